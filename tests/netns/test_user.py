#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulwarkd as a user of its own with three capabilities: all that it does, it does so, and root and it meet in the state
directory without the one leading the other astray. The user is `nobody` here, which every host has."""

import pwd
import re
import shutil
import signal
import stat
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/systemd/bulwarkd.service")
USER = pwd.getpwnam("nobody")
CAPABILITIES = 1 << 12 | 1 << 38 | 1 << 39  # CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF
POLICY = """
lists:
  feed: { feed: feed.txt, refresh: 1s }
  bad: { addresses: [46.30.67.0/24] }
block: [feed, bad]
services:
  web: { ports: tcp/443, limits: [ { connections: 100, per: source } ] }
metrics: { listen: "127.0.0.1:10473" }
"""


def status_of(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def begin(lab, *options, environment=None):
    daemon = lab.start(lab.node, BULWARKD, "--foreground", *options, env=dict(lab.environment, **(environment or {})))
    wait(lambda: daemon.poll() is not None or status_of(daemon)["NoNewPrivs"] == "1", "the drop of privileges")
    return daemon


def told(lab, *words):
    """Whether one line of the log, rotated ones too, holds all of them."""
    for name in ("", ".1", ".2", ".3", ".4"):
        with contextlib.suppress(FileNotFoundError), open(lab.state + "/events.jsonl" + name, encoding="utf-8") as log:
            if any(all(word in line for word in words) for line in log):
                return True
    return False


def hit(lab, source):
    with lab.attacker.raw("a0") as sender:
        sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 443, SYN)))


def metric(lab, line):
    return line in lab.node.run("curl", "-s", "-m", "5", "http://127.0.0.1:10473/metrics", status=None)


def try_who(lab, daemon):
    with it("it is that user, with three capabilities and no way to more"):
        status = status_of(daemon)
        same([int(one) for one in status["Uid"].split()], [USER.pw_uid] * 4)
        same([int(one) for one in status["Gid"].split()], [USER.pw_gid] * 4)
        same(status["Groups"].strip(), "")
        same([int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")],
             [CAPABILITIES] * 3 + [0, 0])
        same(status["NoNewPrivs"], "1")
    with it("the state directory is root's, and what root made there stays root's"):
        about = os.stat(lab.state)
        same((about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)), (0, USER.pw_gid, 0o3770))
        same([os.stat(f"{lab.state}/{name}").st_uid for name in ("generations", "history.jsonl", "lock", "bulwarkd.lock")],
             [0, 0, 0, USER.pw_uid])


def try_work(lab, daemon):
    with it("events, with the names of the policy"):
        hit(lab, "46.30.67.1")
        wait(lambda: told(lab, '"46.30.67.1"', '"blocked"', '"bulwark"', "policy.yaml"), "the event", 30)
    with it("metrics, and open connections counted again"):
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        wait(lambda: "uncounted" not in lab.bulwark("status", status=None), "the count", 30)
        assert not told(lab, "connections-uncounted"), "they could not be counted"
    with it("what a person does meanwhile"):
        lab.bulwark("ban", "46.30.99.0/24", "--for", "1h", "--reason", "by hand")
        wait(lambda: told(lab, '"46.30.99.0/24"', "by hand"), "the ban", 30)
    with it("a feed that changed is in force, by a helper that has the privileges"):
        lab.file("feed.txt", "46.30.66.0/24\n46.30.68.0/24\n")
        wait(lambda: told(lab, "feed-refreshed"), "the refresh", 60)
        hit(lab, "46.30.68.1")
        wait(lambda: told(lab, '"46.30.68.1"', '"blocked"'), "the event", 30)
    with it("an interface that goes and returns is attached"):
        lab.node.run("ip", "link", "del", "eth1")
        lab.join_attacker()
        wait(lambda: told(lab, "interface-attached", '"eth1"'), "the words", 30)
        hit(lab, "46.30.67.2")
        wait(lambda: told(lab, '"46.30.67.2"', '"blocked"'), "the event", 30)
    with it("SIGHUP: the log is made anew"):
        os.rename(lab.state + "/events.jsonl", lab.state + "/events.jsonl.4")
        daemon.send_signal(signal.SIGHUP)
        wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "the new log", 30)
        hit(lab, "46.30.67.3")
        wait(lambda: told(lab, '"46.30.67.3"'), "the event", 30)
    with it("the log is rotated"):
        wait(lambda: os.path.exists(lab.state + "/events.jsonl.1") or lab.bulwark("ban", "46.30.98.1", "--for", "1h"),
             "a rotation", 30)


def try_ends(lab, daemon):
    with it("SIGTERM: the bans are saved, and it is ready again after a restart and after kill -9"):
        stop(daemon)
        with open(lab.state + "/bans.jsonl", encoding="utf-8") as file:
            holds(file.read(), "46.30.99.0")
        for ending in (signal.SIGKILL, signal.SIGTERM):
            daemon = begin(lab)
            same(status_of(daemon)["Uid"].split()[0], str(USER.pw_uid))
            wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
            daemon.send_signal(ending)
            daemon.wait(30)
    with it("`down` by root, another policy by root, and the daemon is there again"):
        daemon = begin(lab)
        lab.bulwark("down")
        lab.apply(POLICY)
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        hit(lab, "46.30.67.9")
        wait(lambda: told(lab, '"46.30.67.9"'), "the event", 30)
        stop(daemon)
    with it("a deadline that nobody confirms is noted by it, in root's history"):
        daemon = begin(lab)
        lab.apply(POLICY.replace("[feed, bad]", "[bad]"), "--confirm=1s", "--force")
        wait(lambda: told(lab, "policy-reverted"), "the words", 30)
        stop(daemon)


def try_links(lab):
    with it("root follows no link that the user planted"):
        victim = lab.file("victim", "whole\n")
        for name in ("history.jsonl", "actions.jsonl", "sysctls.json"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{lab.state}/{name}", f"{lab.state}/{name}.kept")
            os.symlink(victim, f"{lab.state}/{name}")
        lab.bulwark("ban", "46.30.97.1", "--for", "1h", status=None)
        lab.bulwark("pause", "--for", "1h", status=None)
        lab.bulwark("resume", status=None)
        stop(begin(lab))
        with open(victim, encoding="utf-8") as file:
            same(file.read(), "whole\n")
        same(os.stat(victim).st_uid, 0)
        for name in ("history.jsonl", "actions.jsonl", "sysctls.json"):
            os.unlink(f"{lab.state}/{name}")
    with it("nor is a file given away that has another name, too"):
        os.unlink(lab.state + "/bans.jsonl")
        os.link(lab.file("other", ""), lab.state + "/bans.jsonl")
        stop(begin(lab))
        same(os.stat(lab.directory + "/other").st_uid, 0)
        os.unlink(lab.state + "/bans.jsonl")


def refused(lab, *options, environment=None):
    """What it says, when it will not begin."""
    return lab.node.run(BULWARKD, "--foreground", *options, status=None, timeout=30,
                        env=dict(lab.environment, **(environment or {})))


def try_refusals(lab):
    with it("a user that is not there is an error with words"):
        holds(refused(lab, "--user", "nobody-of-that-name"), "no user 'nobody-of-that-name'", "useradd")
    with it("so is a place that the user cannot reach, and one where it cannot rotate"):
        os.makedirs(lab.directory + "/closed/logs", exist_ok=True)
        os.chmod(lab.directory + "/closed", 0o700)
        holds(refused(lab, environment={"BULWARK_STATE_DIR": lab.directory + "/closed/state"}),
              "the user nobody cannot work there", "--user root")
        os.chmod(lab.directory + "/closed", 0o755)
        holds(refused(lab, "--log", lab.directory + "/closed/logs/events"), "cannot rotate the log there", "chown nobody")
    with it("root again: everything is root's, as if there had never been a user"):
        daemon = begin(lab, environment={"BULWARK_USER": "root"})
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        about = os.stat(lab.state)
        same((about.st_gid, stat.S_IMODE(about.st_mode), os.stat(lab.state + "/events.jsonl").st_uid), (0, 0o700, 0))
        same([os.stat(f"{lab.pins}/{name}").st_gid for name in os.listdir(lab.pins)], [0] * len(os.listdir(lab.pins)))
        stop(daemon)


def try_manager(lab):
    """The way of the unit: sharing beforehand, a start without CAP_CHOWN, a renewal by the manager."""
    if not shutil.which("setpriv"):
        skip("the way of the unit", "no setpriv here (package util-linux)")
        return
    with open(UNIT, encoding="utf-8") as file:
        kept = re.search(r"^CapabilityBoundingSet=(.*)$", file.read(), re.M)[1].lower().replace("cap_", "+").split()
    sandbox = ["setpriv", "--bounding-set=-all," + ",".join(kept)]
    os.makedirs(lab.directory + "/bin", exist_ok=True)
    lab.file("bin/systemctl", f'#!/bin/sh\necho "$@" > {lab.directory}/asked\nexec {BULWARK} apply --renew\n')
    os.chmod(lab.directory + "/bin/systemctl", 0o755)
    with it("the way of the unit: --share first, then without a capability to share or to load"):
        lab.node.run(BULWARKD, "--share", env=lab.environment)
        daemon = lab.start(lab.node, *sandbox, BULWARKD, "--foreground", "--renew-unit", "bulwark-renew.service",
                           env=dict(lab.environment, PATH=f"{lab.directory}/bin:{os.environ['PATH']}"))
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        same(status_of(daemon)["Uid"].split()[0], str(USER.pw_uid))
        same(int(status_of(daemon)["CapEff"], 16), CAPABILITIES)
    with it("a feed that changed: the manager is asked for the unit that applies"):
        lab.file("feed.txt", "46.30.66.0/24\n46.30.69.0/24\n")
        wait(lambda: os.path.exists(lab.directory + "/asked"), "the question", 60)
        with open(lab.directory + "/asked", encoding="ascii") as file:
            same(file.read().split(), ["--no-ask-password", "start", "--", "bulwark-renew.service"])
    with it("it ends and is ready again, the way of the unit"):
        stop(daemon)
        daemon = lab.start(lab.node, *sandbox, BULWARKD, "--foreground", env=lab.environment)
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        stop(daemon)


def try_bpffs(lab):
    """A bpffs as systemd mounts it, for root alone."""
    mount = lab.directory + "/bpf"
    os.makedirs(mount)
    lab.node.run("mount", "-t", "bpf", "-o", "mode=0700", "bpf", mount)
    lab.undo.callback(lab.node.run, "umount", mount)
    there = {"BULWARK_PIN_DIR": mount + "/bulwark", "BULWARK_STATE_DIR": lab.directory + "/state2"}
    with it("a bpffs for root alone is opened to the group, and closed again by `down`"):
        lab.bulwark("down")
        lab.bulwark("apply", lab.directory + "/policy.yaml", environment=there)
        same((os.stat(mount).st_gid, stat.S_IMODE(os.stat(mount).st_mode)), (USER.pw_gid, 0o1710))
        daemon = begin(lab, environment=there)
        wait(lambda: metric(lab, "bulwark_protected 1"), "the metrics", 30)
        stop(daemon)
        lab.bulwark("down", environment=there)
        same((os.stat(mount).st_gid, stat.S_IMODE(os.stat(mount).st_mode)), (0, 0o1700))


def tests(lab):
    os.chmod(lab.directory, 0o755)
    lab.file("feed.txt", "46.30.66.0/24\n")
    lab.apply(POLICY)  # before there was a user: everything is root's
    lab.environment["BULWARK_USER"] = "nobody"
    daemon = begin(lab, "--log-size", "2KiB")
    try_who(lab, daemon)
    try_work(lab, daemon)
    try_ends(lab, daemon)
    try_links(lab)
    try_refusals(lab)
    try_manager(lab)
    try_bpffs(lab)


main("user", tests)
