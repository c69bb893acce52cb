#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""The lab of `make run`: it shows what it promises, ends by itself, and leaves nothing behind, however it ends."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
DEMO = [str(ROOT / "scripts" / "demo"), "--quick"]
MARK = f"BULWARK_TEST_DEMO={os.getpid()}"
TOOLS = ("nginx", "openssl", "curl", "ethtool", "unshare")


class Tests:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, name, good, words=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good and words:
            print("# " + str(words).replace("\n", "\n# "), flush=True)

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def left():
    """Processes that carry the mark in their environment."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return found


def interrupted(environment, number):
    """Ctrl-C reaches everything that runs in the terminal, SIGKILL only the one."""
    process = subprocess.Popen(DEMO, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    time.sleep(5)
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    process.wait()
    time.sleep(1)


def main():
    missing = [tool for tool in TOOLS if not shutil.which(tool)] + [name for name in ("flood", "bench/wire", "bulwark")
                                                                   if not (BUILD / name).exists()]
    if os.geteuid() or missing:
        print(f"1..0 # SKIP {'needs root' if os.geteuid() else 'missing: ' + ', '.join(missing)}")
        return 0
    tests = Tests()
    environment = {**os.environ, "BUILD": str(BUILD), **dict([MARK.split("=")])}
    for name in ("IFACE", "POLICY"):
        environment.pop(name, None)
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, timeout=120, check=False)
    words = done.stdout + done.stderr
    tests.check("the demo ends by itself and well", done.returncode == 0, words)
    for reason in ("blocked", "unexposed", "stray"):
        tests.check(f"its summary names what was dropped as {reason}", f"    {reason} " in done.stdout, words)
    tests.check("it leaves no process behind", not left(), left())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        interrupted(environment, number)
        tests.check(f"nor after {number.name} in the middle of it", not left(), left())
    return tests.end()


if __name__ == "__main__":
    sys.exit(main())
