#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The units under a real systemd as PID 1 (boot_systemd.sh): the policy and its bans are in force before anything of the
network comes up; bulwarkd is started, watched, reloaded and restarted, and enforcement never waits for it."""

import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import lab as house  # noqa: E402
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(HERE, "../../scripts/systemd")
SYSTEMD = "/lib/systemd/systemd"
BANNED, LISTED = "46.30.77.1", "46.30.66.1"
POLICY = """version: 1
mode: native
interfaces: [eth0, eth1]
lists:
  feed: { feed: /etc/bulwark/feed.txt, refresh: 1s }
block: [feed]
services:
  web: { ports: tcp/443 }
"""
# What begins with this machine's units and is not of systemd itself is not started; nor what would set up the machine.
PREPARE = """#!/bin/sh
set -eu
root=$1
rm -rf "$root/etc/systemd/system" "$root/etc/init.d" "$root"/etc/rc?.d
[ -e {room}/prepared ] || rm -rf "$root/var/lib/bulwark" "$root/etc/bulwark" # this machine's own
: > {room}/prepared
mkdir -p "$root/etc/systemd/system/bulwarkd.service.d" "$root/etc/bulwark" "$root/usr/local/sbin" \\
	"$root/usr/local/lib/systemd/system" "$root/usr/local/lib/sysusers.d"
for program in bulwark bulwarkd bulwark-fetch; do install -m 755 "{build}/$program" "$root/usr/local/sbin/"; done
for unit in "{units}"/*.service; do
	sed 's|@PREFIX@|/usr/local|' "$unit" > "$root/usr/local/lib/systemd/system/${{unit##*/}}"
done
install -m 644 "{units}/bulwark.sysusers" "$root/usr/local/lib/sysusers.d/bulwark.conf"
chroot "$root" systemd-sysusers /usr/local/lib/sysusers.d/bulwark.conf
for unit in systemd-sysctl systemd-modules-load systemd-random-seed systemd-logind systemd-udevd systemd-udev-trigger \\
	systemd-journal-flush getty@ console-getty dbus networking; do
	ln -s /dev/null "$root/etc/systemd/system/$unit.service"
done
cp {room}/network.service "$root/etc/systemd/system/"
printf '[Service]\\nWatchdogSec=5\\n' > "$root/etc/systemd/system/bulwarkd.service.d/quick.conf"
systemctl --quiet --root="$root" enable bulwark bulwarkd network.service
"""
# Stands for what configures the network: says what protects at the moment when it may begin.
NETWORK = """[Unit]
DefaultDependencies=no
After=network-pre.target
Wants=network-pre.target
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'bulwark --json status > /run/status-before; bulwark --json bans > /run/bans-before; exec ip link set eth1 up'
Environment=PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
[Install]
WantedBy=multi-user.target
"""


class Machine:
    """A systemd that boots, and what root does there."""

    def __init__(self, lab):
        self.lab, self.room = lab, lab.directory + "/room"
        self.group = f"{cgroups()}/bulwark-{os.getpid()}"
        os.makedirs(self.room)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.room], check=True)
        lab.undo.callback(subprocess.run, ["umount", "-l", self.room], check=False)
        lab.undo.callback(self.remove_group)
        with open(self.room + "/prepare", "w", encoding="utf-8") as file:
            file.write(PREPARE.format(build=os.path.dirname(BULWARK), units=UNITS, room=self.room))
        os.chmod(self.room + "/prepare", 0o755)
        with open(self.room + "/network.service", "w", encoding="utf-8") as file:
            file.write(NETWORK)

    def remove_group(self):
        wait(lambda: not processes_in(self.group), "the last process to end", 30)
        for top, directories, _ in os.walk(self.group, topdown=False):
            for name in directories:
                os.rmdir(os.path.join(top, name))
        os.rmdir(self.group)

    def boot(self):
        self.process = self.lab.start(self.lab.node, HERE + "/boot_systemd.sh", self.room, self.group)
        self.one = wait(self.first, "PID 1", 30)
        # PID 1 answers a moment after it is there
        wait(lambda: os.path.exists(self.path("/run/systemd/private")), "systemd to answer", 30)
        self.state = self.run("systemctl", "is-system-running", "--wait", status=None).strip()

    def first(self):
        """PID of its PID 1, once that is systemd."""
        assert self.process.poll() is None, open(self.lab.directory + "/boot_systemd.sh.log", encoding="utf-8").read()
        with contextlib.suppress(FileNotFoundError), \
                open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                if os.readlink(f"/proc/{child}/exe").endswith("systemd/systemd"):
                    return child
        return None

    def run(self, *command, status=0):
        with self.lab.node:  # not its network namespace: that of the node, the same
            done = subprocess.run(["nsenter", "-t", self.one, "-m", "-p", "-i", "-u", "-C", "--", *command],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env={"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                                  timeout=120, check=False)
        text = done.stdout.decode(errors="replace")
        assert status is None or done.returncode == status, f"{command}: status {done.returncode}: {text}"
        return text

    def bulwark(self, *arguments):
        return self.run("bulwark", *arguments)

    def show(self, unit, name):
        return self.run("systemctl", "show", unit, "--value", "-p", name).strip()

    def failed(self):
        return self.run("systemctl", "--failed", "--plain", "--no-legend").strip()

    def path(self, name):
        return f"/proc/{self.one}/root{name}"

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def daemon(self):
        """Number of its main process there, 0 while it does not run."""
        return int(self.show("bulwarkd", "MainPID"))

    def restarted(self, pid, times):
        """systemd has started another one in this one's place, for the so manieth time."""
        wait(lambda: self.daemon() not in (0, pid) and self.show("bulwarkd", "SubState") == "running", "another process", 60)
        same(self.show("bulwarkd", "NRestarts"), times)

    def power_off(self):
        with contextlib.suppress(AssertionError):  # PID 1 may be gone before it has answered
            self.run("systemctl", "poweroff")
        self.process.wait(90)


    def say_why(self):
        text = self.run("journalctl", "--no-pager", "-o", "cat", "-n", "40", status=None)
        print("\n".join("# " + line for line in text.splitlines()))


def cgroups():
    with open("/proc/mounts", encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)


def processes_in(group):
    found = ""
    for top, _, _ in os.walk(group):
        with contextlib.suppress(OSError), open(top + "/cgroup.procs", encoding="ascii") as file:
            found += file.read()
    return found.split()


def passes(lab, source):
    """Whether a SYN of this source gets past the shield."""
    with lab.attacker.raw("a0") as sender:
        sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 443, SYN)))
    return any(socket.inet_aton(source) in frame for frame in lab.behind.drain(0.5))


def enforces(lab):
    return [passes(lab, source) for source in (BANNED, LISTED, "46.30.78.1")] == [False, False, True]


def try_first_boot(lab, machine):
    machine.boot()
    with it("without a saved policy nothing fails, and bulwarkd waits for one"):
        same((machine.state, machine.failed()), ("running", ""))
        same([machine.show(unit, "ActiveState") for unit in ("bulwark", "bulwarkd")], ["inactive", "active"])
    machine.write("/etc/bulwark/feed.txt", "46.30.66.0/24\n")
    machine.write("/etc/bulwark/policy.yaml", POLICY)
    with it("a policy is applied, and enforced"):
        machine.bulwark("apply", "/etc/bulwark/policy.yaml")
        machine.bulwark("ban", BANNED, "--for", "1h", "--reason", "before the boot")
        assert enforces(lab), "not enforced"
    with it("bulwarkd is the user bulwark, with three capabilities"):
        status = machine.run("cat", f"/proc/{machine.daemon()}/status")
        user = machine.run("id", "-u", "bulwark").strip()
        same(re.search(r"^Uid:\s+(.*)$", status, re.M)[1].split(), [user] * 4)
        same(int(re.search(r"^CapEff:\s+(\w+)", status, re.M)[1], 16), 1 << 12 | 1 << 38 | 1 << 39)
    with it("its exposure is below 2.5, as the systemd that runs it says"):
        text = machine.run("systemd-analyze", "security", "--no-pager", "bulwarkd.service")
        level = float(re.search(r"exposure level for bulwarkd.service: ([\d.]+)", text)[1])
        print(f"# {level}")
        assert level < 2.5, text


def try_service(lab, machine):
    log = "/var/lib/bulwark/events.jsonl"
    with it("a feed that changed is in force, by the unit that may apply"):
        wait(lambda: "policy-applied" in machine.read(log), "the first event", 30)
        machine.write("/etc/bulwark/feed.txt", "46.30.66.0/24\n46.30.99.0/24\n")
        wait(lambda: "feed-refreshed" in machine.read(log), "the renewal", 60)
        assert not passes(lab, "46.30.99.1"), "not in force"
        same(machine.show("bulwark-renew", "Result"), "success")
    with it("systemctl reload has it open its log anew"):
        pid = machine.daemon()
        os.rename(machine.path(log), machine.path(log + ".old"))
        machine.run("systemctl", "reload", "bulwarkd")
        wait(lambda: os.path.exists(machine.path(log)), "the new file", 30)
        assert not passes(lab, BANNED), "not enforced"
        wait(lambda: BANNED in machine.read(log), "an event in it", 30)
        same(machine.daemon(), pid)
    with it("one that stands still is noticed and started again; enforcement goes on meanwhile"):
        machine.run("sh", "-c", f"kill -STOP {pid}")
        assert enforces(lab), "not enforced"
        machine.restarted(pid, "1")
    with it("kill -9: enforcement stays, and it is started again"):
        pid = machine.daemon()
        machine.run("sh", "-c", f"kill -9 {pid}")
        assert enforces(lab), "not enforced"
        machine.restarted(pid, "2")
    with it("systemctl stop: enforcement stays; a start makes it go on"):
        machine.run("systemctl", "stop", "bulwarkd")
        same(machine.show("bulwarkd", "Result"), "success")
        assert enforces(lab), "not enforced"
        machine.run("systemctl", "start", "bulwarkd")


def try_second_boot(lab, machine):
    with it("it can be switched off"):
        machine.power_off()
        lab.behind.close()
        lab.node.run("ip", "link", "set", "eth1", "down")
        assert b"xdp" not in lab.node.run("ip", "link", "show", "eth1").encode(), "programs of the machine before"
    machine.boot()
    lab.behind = Capture(lab.node, "eth1")
    with it("at the boot the policy and the ban are in force before anything of the network is up"):
        before = json.loads(machine.read("/run/status-before"))
        same(before["status"], "ENFORCING")
        same([ban["address"] for ban in json.loads(machine.read("/run/bans-before"))], [BANNED])
        times = [int(machine.show(unit, "ActiveEnterTimestampMonotonic"))
                 for unit in ("bulwark.service", "network-pre.target", "network.service")]
        assert 0 < times[0] <= times[1] <= times[2], times
        assert enforces(lab) and not passes(lab, "46.30.99.1"), "not enforced"
    with it("bulwarkd runs, and nothing failed"):
        same((machine.state, machine.failed()), ("running", ""))
        same(machine.show("bulwarkd", "SubState"), "running")


def why_not():
    if not os.path.exists(SYSTEMD):
        return "no systemd here"
    if not cgroups():
        return "no cgroup2 here"
    with open("/proc/filesystems", encoding="ascii") as file:
        if "\toverlay\n" not in file.read():
            return "no overlayfs in this kernel"
    if not all(shutil.which(name) for name in ("nsenter", "unshare", "systemd-sysusers")):
        return "no nsenter, unshare or systemd-sysusers"
    return None


def tests(lab):
    reason = why_not()
    if reason:
        skip("the units under systemd", reason)
        return
    machine = Machine(lab)
    lab.behind = Capture(lab.node, "eth1")
    for part in (try_first_boot, try_service, try_second_boot):
        part(lab, machine)
        if house.failures:
            machine.say_why()
            return


main("systemd", tests)
