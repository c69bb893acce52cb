#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulwarkd as a service: what it tells its manager, and a unit that gives it no more than it uses."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/systemd/bulwarkd.service")
FIRST = 'lists:\n  feed: { feed: feed.txt, refresh: 1s }\nblock: [feed]\nservices:\n  web: { ports: tcp/443 }\n'
FIRST += 'metrics: { listen: "127.0.0.1:10473" }\n'


def try_notices(lab):
    path = lab.directory + "/notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    manager.settimeout(10)
    for name, value in (("as the one that is watched", "0"), ("as another's child", "1")):
        with it(f"READY, then signs of life, STOPPING: {name}"):
            command = f"export WATCHDOG_PID=$(($$ + {value})); exec {BULWARKD} --foreground"
            daemon = lab.start(lab.node, "sh", "-c", command,
                               env=dict(lab.environment, NOTIFY_SOCKET=path, WATCHDOG_USEC="60000000"))
            same(manager.recv(100), b"READY=1")
            if value == "0":
                same([manager.recv(100) for _ in range(2)], [b"WATCHDOG=1"] * 2)
            else:
                time.sleep(1.5)
            stop(daemon)
            while (words := manager.recv(100)) == b"WATCHDOG=1" and value == "0":
                pass
            same(words, b"STOPPING=1")
    manager.close()


def allowed_calls():
    """System calls that the filter of the unit lets through."""
    calls = set()
    with open(UNIT, encoding="utf-8") as file:
        lines = re.findall(r"^SystemCallFilter=(~?)(.*)$", file.read(), re.M)
    for minus, names in lines:
        found = set()
        for name in names.split():
            found |= expand(name)
        calls = calls - found if minus else calls | found
    return calls | expand("@default")


def expand(name):
    if not name.startswith("@"):
        return {name}
    done = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, check=True)
    found = set()
    for word in (line.strip() for line in done.stdout.decode().splitlines()[1:]):
        if word and not word.startswith("#"):
            found |= expand(word)
    return found


def bulwarkd_below(pid):
    """Child of strace that is it: strace has others for a moment, to find out what it can."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        for child in children.read().split():
            with open(f"/proc/{child}/comm", encoding="ascii") as name:
                if name.read().strip() == "bulwarkd":
                    return int(child)
    return None


def end(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def try_unit(lab):
    with open(UNIT, encoding="utf-8") as file:
        unit = lab.file("bulwarkd.service", file.read().replace("@PREFIX@/sbin", os.path.dirname(BULWARKD)))
    with it("its exposure is below 2.5, as systemd counts"):
        lab.node.run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25", unit)
    with it("it never has CAP_SYS_ADMIN, nor what changes files of others"):
        with open(UNIT, encoding="utf-8") as file:
            allowed = re.search(r"^CapabilityBoundingSet=(.*)$", file.read(), re.M)[1].split()
        same(sorted(allowed), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SETGID", "CAP_SETUID"])
    with it("every system call that it and its helper make is allowed"):
        lab.file("feed.txt", "46.30.66.0/24\n")
        lab.apply(FIRST)
        trace = lab.directory + "/trace"
        daemon = lab.start(lab.node, "strace", "-f", "-qq", "-o", trace, BULWARKD, "--foreground", env=lab.environment)
        traced = wait(lambda: bulwarkd_below(daemon.pid), "bulwarkd below strace")
        lab.undo.callback(end, traced)  # strace lets go of it, it does not end it
        log = lab.state + "/events.jsonl"
        wait(lambda: os.path.exists(log) and "policy-applied" in open(log, encoding="utf-8").read(), "bulwarkd", 30)
        time.sleep(1.1)
        lab.file("feed.txt", "46.30.66.0/24\n46.30.67.0/24\n")
        wait(lambda: "feed-refreshed" in open(log, encoding="utf-8").read(), "a renewal", 90)
        lab.node.run("curl", "-s", "http://127.0.0.1:10473/metrics")
        end(traced)
        daemon.wait(60)
        with open(trace, encoding="utf-8", errors="replace") as file:
            made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", file.read(), re.M))
        assert {"bpf", "epoll_wait", "fork", "clone", "clone3", "vfork"} & made, made
        same(made - allowed_calls(), set(), "refused by the filter")


def tests(lab):
    try_notices(lab)
    if shutil.which("systemd-analyze"):
        try_unit(lab)
    else:
        skip("the unit", "no systemd-analyze here")


main("service", tests)
