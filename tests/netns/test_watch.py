#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Interfaces that the policy wants and that change: the default route moves, a device goes and returns, one is not there
yet at boot. With bulwarkd within a second, without it by what the udev rule runs."""

import os
import shlex
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

AUTO = "interfaces: [auto]\nservices:\n  web: { ports: tcp/443 }\n"
NAMED = "interfaces: [eth0, eth1]\nservices:\n  web: { ports: tcp/443 }\n"
RULE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/systemd/90-bulwark.rules")


def a_second():
    """What is promised; a machine that many others use takes longer."""
    return 1 if os.getloadavg()[0] < 2 * os.cpu_count() else 20


def has_xdp(lab, device):
    return any(link.get("xdp") for link in json.loads(lab.node.run("ip", "-j", "link")) if link["ifname"] == device)


def route_by(lab, end, peer):
    for family in (4, 6):
        lab.node.run("ip", f"-{family}", "route", "replace", "default", "via", peer[family], "dev", end.device)


def start_daemon(lab):
    log = lab.directory + "/events.jsonl"
    daemon = lab.start(lab.node, BULWARKD, "--foreground", "--log", log, env=lab.environment)
    wait(lambda: os.path.exists(log) and "policy-applied" in open(log, encoding="utf-8").read(), "bulwarkd")
    return daemon


def try_route(lab):
    route_by(lab, lab.eth0, lab.c0)
    lab.apply(AUTO)
    with it("`auto` attaches to what carries the default route"):
        same((has_xdp(lab, "eth0"), has_xdp(lab, "eth1")), (True, False))
    with it("the default route moves: status says which interface lacks protection, and what to do"):
        route_by(lab, lab.eth1, lab.a0)
        text = lab.bulwark("status", status=1)
        holds(text, "DEGRADED: eth1: the policy asks for it, but it is not attached", "apply --attach")
    with it("without bulwarkd `apply --attach` attaches it"):
        same(lab.json("apply", "--attach"), {"attached": [{"name": "eth1", "mode": "native"}], "refused": []})
        same((lab.headline(), has_xdp(lab, "eth0")), ("ENFORCING", True))
        same(lab.json("apply", "--attach"), {"attached": [], "refused": []})
    lab.bulwark("down")
    route_by(lab, lab.eth0, lab.c0)
    lab.apply(AUTO)
    daemon = start_daemon(lab)
    with it("bulwarkd attaches it within a second"):
        route_by(lab, lab.eth1, lab.a0)
        wait(lambda: has_xdp(lab, "eth1"), "eth1", a_second())
        same(lab.headline(), "ENFORCING")
    with it("a route to somewhere makes no difference"):
        lab.bulwark("down")
        route_by(lab, lab.eth0, lab.c0)
        lab.apply(AUTO)
        lab.node.run("ip", "route", "add", "198.51.100.0/24", "via", lab.a0.v4)
        time.sleep(0.3)
        assert not has_xdp(lab, "eth1")
    stop(daemon)
    lab.bulwark("down")


def leave_and_return(lab):
    lab.node.run("ip", "link", "del", "eth1")
    lab.join_attacker()


def try_return(lab):
    lab.apply(NAMED)
    with it("an interface that went and returned: `apply --attach`, which the udev rule runs"):
        leave_and_return(lab)
        assert not has_xdp(lab, "eth1")
        words = [line for line in open(RULE, encoding="ascii") if "RUN+=" in line][0].split('RUN+="')[1].split('"')[0]
        command = shlex.split(words)
        same(os.path.basename(command[0]), "bulwark")
        lab.bulwark(*command[1:])
        assert has_xdp(lab, "eth1")
    daemon = start_daemon(lab)
    with it("bulwarkd attaches it within a second"):
        leave_and_return(lab)
        wait(lambda: has_xdp(lab, "eth1"), "eth1", a_second())
        wait(lambda: lab.headline() == "ENFORCING", "both sides")
    with it("one that is away longer is no error, and attached when it comes"):
        lab.node.run("ip", "link", "del", "eth0")
        same(lab.json("apply", "--attach"), {"attached": [], "refused": []})
        lab.eth0, lab.c0 = lab.join("eth0", lab.client, "c0", "45.33.1.", "2a01:7e00:1::", 1500)
        wait(lambda: has_xdp(lab, "eth0"), "eth0", a_second())
    stop(daemon)


def try_boot(lab):
    with it("at boot one interface is not there yet: the policy is in force on the other"):
        lab.node.run("ip", "link", "del", "eth1")
        remove_pins(lab.pins)
        holds(lab.bulwark("apply", "--saved"), "live on eth0", "not there yet: 'eth1'")
        assert has_xdp(lab, "eth0")
    with it("... and the late one is attached when it comes"):
        lab.join_attacker()
        lab.bulwark("apply", "--attach")
        same((has_xdp(lab, "eth1"), lab.headline()), (True, "ENFORCING"))
    lab.bulwark("down")
    with it("at boot there is no default route yet: `auto` is what it was"):
        route_by(lab, lab.eth0, lab.c0)
        lab.apply(AUTO)
        remove_pins(lab.pins)
        for family in (4, 6):
            lab.node.run("ip", f"-{family}", "route", "del", "default")
        lab.bulwark("apply", "--saved")
        assert has_xdp(lab, "eth0")
    with it("by hand a policy whose interface is missing is refused"):
        holds(lab.apply(AUTO, status=2), "'auto': no interface of this host carries a default route")


def try_words(lab):
    with it("--attach applies no policy"):
        holds(lab.bulwark("apply", "--attach", "--force", status=2), "no other option goes with it")
        holds(lab.bulwark("apply", "--attach", "x.yaml", status=2), "one argument too many")
    lab.bulwark("down")
    with it("--attach with nothing in force says so"):
        holds(lab.bulwark("apply", "--attach", status=None), "bulwark apply FILE")


def tests(lab):
    try_route(lab)
    try_return(lab)
    try_boot(lab)
    try_words(lab)


main("watch", tests)
