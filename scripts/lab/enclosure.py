# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A place of its own for experiments with the network: process, mount and network namespaces that vanish with the
process that made them, however it ends. Nothing is left behind, because nothing was ever outside."""

import atexit
import ctypes
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MARK = "BULWARK_ENCLOSURE"


class Trouble(Exception):
    """Something that a person should read, in one line."""


def enter():
    """Runs this program again as root inside new process and mount namespaces, and returns only in there."""
    if MARK in os.environ:
        _keep_mounts()
        return pathlib.Path(os.environ[MARK])
    if os.geteuid():
        if not shutil.which("sudo"):
            raise Trouble("network namespaces need root, and there is no sudo: run it as root")
        keep = [f"{name}={os.environ[name]}" for name in ("BUILD", "IFACE", "POLICY", "ENFORCE", "TERM", "COLUMNS", "LINES",
                                                         "PATH") if name in os.environ]
        os.execvp("sudo", ["sudo", "env", *keep, sys.executable, *sys.argv])
    inner = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv],
        env={**os.environ, MARK: _room()}, preexec_fn=_die_with_parent)
    sys.exit(_outlive(inner))


def _keep_mounts():
    """What is mounted in here is not mounted outside. unshare would ask that of the root, which in a chroot is no mount: so each
    mount that can be seen is asked."""
    system, private = ctypes.CDLL(None, use_errno=True), 1 << 18  # MS_PRIVATE
    for line in pathlib.Path("/proc/self/mountinfo").read_bytes().splitlines():
        place = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4])
        if system.mount(None, place, None, private, None) and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT, errno.EACCES):
            raise Trouble(f"{place.decode(errors='replace')} cannot be made private: {os.strerror(ctypes.get_errno())}")
    run("mount", "-t", "proc", "proc", "/proc")


def _room():
    """Where the inner process mounts a file system of its own. A directory that every system has, so that there is none to
    remove; only where it is missing, one more."""
    usual = "/dev/shm"
    if os.path.isdir(usual):
        return usual
    room = tempfile.mkdtemp(prefix="bulwark-lab-")
    atexit.register(os.rmdir, room)
    return room


def _outlive(inner):
    """Waits for the inner process. An interrupt reaches it, too, and it has ten seconds to end in good order; anything else
    that asks this process to end ends that one at once."""
    deadline = []
    signal.signal(signal.SIGINT, lambda *_: deadline.append(time.monotonic() + 10))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: inner.kill())
    while inner.poll() is None:
        if deadline and time.monotonic() > deadline[0]:
            inner.kill()
        try:
            inner.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    return inner.returncode if inner.returncode >= 0 else 128 - inner.returncode


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _prepare(nice):
    """A process of the lab ends when the lab says so, or with it; Ctrl-C is the lab's to hear."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpriority(os.PRIO_PROCESS, 0, nice)


def come_first(nice):
    """What measures must not wait for a CPU because something else runs on this machine. Kernels that share the CPUs out
    by session (autogroups) count the niceness within one only, so it is set for the session, too."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        pathlib.Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        pass


class Lab:
    """Network namespaces, veths and processes of one enclosure."""

    def __init__(self, room):
        self.room = room
        self.processes = []
        run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", room)
        for name in ("net", "bpf", "state"):
            (room / name).mkdir()
        run("mount", "-t", "bpf", "lab", room / "bpf")

    def namespace(self, name):
        (self.room / "net" / name).touch()
        run("unshare", f"--net={self.room / 'net' / name}", "true")
        self.run(name, "ip", "link", "set", "lo", "up")

    def inside(self, name):
        return ["nsenter", f"--net={self.room / 'net' / name}"]

    def run(self, name, *command, **options):
        return run(*self.inside(name), *command, **options)

    def start(self, name, *command, nice=0, **options):
        """A process that lives no longer than this one."""
        process = subprocess.Popen([*self.inside(name), *map(str, command)], preexec_fn=lambda: _prepare(nice),
                                   **options)
        self.processes.append(process)
        return process

    def veth(self, one, one_name, other, other_name, queues):
        """A pair of interfaces, up; each end with as many queues as there are CPUs."""
        size = ["numtxqueues", queues, "numrxqueues", queues]
        run("ip", "link", "add", "name", "bulwark-lab-0", *size, "type", "veth", "peer", "name", "bulwark-lab-1", *size,
            inside=self.inside(one))
        self.run(one, "ip", "link", "set", "bulwark-lab-1", "netns", self.room / "net" / other)
        for side, name, old in ((one, one_name, "bulwark-lab-0"), (other, other_name, "bulwark-lab-1")):
            self.run(side, "ip", "link", "set", old, "name", name)
            self.run(side, "ip", "link", "set", name, "up")

    def mac(self, name, interface):
        return self.link(name, interface)["address"]

    def link(self, name, interface):
        return json.loads(self.run(name, "ip", "-s", "-j", "link", "show", "dev", interface))[0]

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes = []


def run(*command, inside=(), check=True, **options):
    """Runs a command to its end and returns what it printed; a failure is a Trouble with the command's own words."""
    done = subprocess.run([*map(str, inside), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **options)
    if check and done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no words"]
        raise Trouble(f"{' '.join(map(str, command))}: {words[0]}")
    return done.stdout
