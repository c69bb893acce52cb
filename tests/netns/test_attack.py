#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""An attack is seen while it goes on, said, and over when it is over; the service is held as its `under-attack` says
meanwhile, and the lawful client beside it is served."""

import os
import random
import socket
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: native
services:
  web:
    ports: tcp/443
    limits: [ { new-connections: 300/s, per: service } ]
    under-attack: { syn-cookies: always }
  echo:
    ports: udp/6001
    under-attack: { limits: [ { packets: 3/h, burst: 3, per: source } ] }
  quiet:  { ports: tcp/8000 }
under-attack: { hold: 12s }
"""
QUESTIONS = 20
SOURCES = 4096
NETWORK = "46.30.70"  # a /24


def is_quarter(rows):
    """Whether one network stands out, with its quarter of all."""
    same([row["prefix"] for row in rows], [NETWORK + ".0/24"])
    assert abs(rows[0]["share"] - 0.25) < 0.1 and rows[0]["share_error"] < 0.15 and rows[0]["sources"] > 20, rows


def flood(lab, family):
    """SYNs of many sources, every fourth from one network, until it is ended."""
    random.seed(7)
    me, frames = lab.eth1[family], []
    for number in range(SOURCES):
        source = f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        if number % 4 == 0:
            source = f"{NETWORK}.{random.randrange(1, 255)}"
        frames.append(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, me, random.randrange(1024, 65536), 443, 2)))
    with lab.attacker.raw("a0") as sender:
        while True:
            for frame in frames:
                sender.send(frame)


def attacks(lab):
    return {one["service"]: one for one in lab.status()["attacks"]}


def value(lab, name, service):
    wanted = f'{name}{{service="{service}"}} '
    return [float(line[len(wanted):]) for line in lab.bulwark("metrics").splitlines() if line.startswith(wanted)]


def profiles(lab):
    return {one["service"]: one for one in lab.status()["under_attack_profile"]}


def answered(lab):
    """How many of some datagrams are answered."""
    with lab.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((lab.eth0[4], 6001))
        for number in range(QUESTIONS):
            asker.send(b"%d" % number)
        asker.settimeout(0.5)
        answers = 0
        with contextlib.suppress(TimeoutError):
            while answers < QUESTIONS:
                asker.recv(100)
                answers += 1
    return answers


def try_by_hand(lab):
    with it("panic on holds every service as under attack, and says by whom"):
        same(answered(lab), QUESTIONS)
        holds(lab.bulwark("panic", "on"), "until `bulwark panic off`")
        same(answered(lab), 3)
        same(fetch(lab.client, lab.eth0[4]), "served\n")
        one = profiles(lab)[None]
        same((one["by"], one["remaining_s"]), ("root", None))
        holds(lab.bulwark("status"), "under-attack profile: every service, by root")
        same(value(lab, "bulwark_under_attack_profile", "web"), [1])
    with it("it outlives a reload, and the daemon tells who did it"):
        lab.apply(POLICY + "stray: drop\n")
        assert answered(lab) <= 1, "it was forgotten"
        told = wait(lambda: events(lab, "under-attack-on"), "the event")[0]
        same((told["user"]["name"], "service" in told), ("root", False))
    with it("panic off ends it"):
        lab.bulwark("panic", "off")
        same((answered(lab), profiles(lab)), (QUESTIONS, {}))
        wait(lambda: events(lab, "under-attack-off"), "the event")
    with it("for a time: the kernel ends it by itself, and that is told"):
        lab.bulwark("panic", "on", "--for", "2s")
        assert answered(lab) <= 3, "it was not switched on"
        wait(lambda: not profiles(lab), "the end")
        same(answered(lab), QUESTIONS)
        wait(lambda: [one for one in events(lab, "under-attack-off") if one["event"].get("reason") == "expired"], "the event")
    with it("words that are no answer are refused, and so is a policy without under-attack"):
        holds(lab.bulwark("panic", "maybe", status=2), "neither on nor off")
        holds(lab.bulwark("panic", status=2), "on|off is missing")
        lab.apply("services: { web: { ports: tcp/443 } }")
        holds(lab.bulwark("panic", "on", status=2), "has no 'under-attack'")
        lab.apply(POLICY)


def try_attack(lab):
    with it("in peace nothing is said"):
        for _ in range(20):
            same(fetch(lab.client, lab.eth0[4]), "served\n")
        same((lab.status()["attacks"], events(lab, "attack-started")), ([], []))
    began = time.time()
    flooder = child(flood, lab, 4)
    try:
        with it("a SYN flood is an attack, within two seconds"):
            started = wait(lambda: events(lab, "attack-started"), "the event", 30)[0]
            same((started["service"]["name"], started["event"]["reason"], started["event"]["kind"]),
                 ("web", "syn-flood", "alert"))
            assert started["bulwark"]["detected_s"] <= 2, started
            assert started["bulwark"]["rate"] > 600 and started["bulwark"]["new_share"] > 0.9, started
        with it("status and metrics say so while it goes on; other services are at peace"):
            one = wait(lambda: attacks(lab).get("web"), "status")
            same((one["state"], one["cause"], one["stale"], list(attacks(lab))), ("attack", "syn-flood", False, ["web"]))
            holds(lab.bulwark("status"), "UNDER ATTACK: web, syn-flood", f"most from {NETWORK}.0/24 (")
            is_quarter(one["networks"])
            holds(lab.bulwark("top", "--batch", "1", environment={"COLUMNS": "120", "LINES": "40"}), "UNDER ATTACK: web (syn-flood)")
            holds(lab.bulwark("report"), "goes on")
            same((value(lab, "bulwark_attack_active", "web"), value(lab, "bulwark_attacks_total", "web")), ([1], [1]))
        with it("the service is held as under attack, the others are not"):
            on = wait(lambda: [one for one in events(lab, "under-attack-on") if "service" in one], "the event")[0]
            same((on["service"]["name"], on["bulwark"]["by"], on["event"]["reason"]), ("web", "detection", "syn-flood"))
            one, = profiles(lab).values()
            assert one["service"] == "web" and 5 < one["remaining_s"] <= 12, one
            same(answered(lab), QUESTIONS)
            wait(lambda: ("reply", "syn-cookie") in lab.counts(), "cookies")
        with it("the client is served meanwhile"):
            for _ in range(10):
                same(fetch(lab.client, lab.eth0[4]), "served\n")
        with it("a daemon that is killed and comes back goes on with the same attack"):
            lab.daemon.kill()
            lab.daemon.wait()
            wait(lambda: attacks(lab)["web"]["stale"], "status to notice")
            holds(lab.bulwark("status"), "bulwarkd does not run")
            lab.daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
            wait(lambda: not attacks(lab)["web"]["stale"], "the new daemon")
            same((len(events(lab, "attack-started")), list(profiles(lab))), (1, ["web"]))
            is_quarter(wait(lambda: attacks(lab)["web"]["networks"], "samples of its own"))
    finally:
        stop_child(flooder)
    over = time.time()
    with it("it ends, with how long it was and how long it took"):
        ended = wait(lambda: events(lab, "attack-ended"), "the event", 30)[0]
        same((ended["service"]["name"], ended["event"]["start"]), ("web", started["event"]["start"]))
        assert ended["bulwark"]["peak"] >= started["bulwark"]["rate"] and ended["bulwark"]["mitigated_s"] is not None, ended
        assert ended["event"]["duration"] / 1e9 < over - began + 3, ended
        is_quarter(ended["bulwark"]["networks"])
        assert 0.15 < ended["bulwark"]["concentration"] < 0.35 and ended["bulwark"]["new_sources_share"] > 0.9, ended
        same((attacks(lab), value(lab, "bulwark_attack_active", "web")), ({}, [0]))
        assert value(lab, "bulwark_attack_time_to_detect_seconds", "web")[0] <= 2
        assert 0.15 < value(lab, "bulwark_attack_concentration_ratio", "web")[0] < 0.35
        assert value(lab, "bulwark_attack_new_sources_ratio", "web")[0] > 0.9
    with it("the report has it"):
        one, = lab.json("report")["attacks"]
        same((one["service"], one["cause"], one["start"]), ("web", "syn-flood", started["event"]["start"]))
        is_quarter(one["networks"])
        holds(lab.bulwark("report"), "## Attacks", "| web | syn-flood |", f"| {NETWORK}.0/24 (")
    with it("and the service is held as in peace again"):
        off = wait(lambda: [one for one in events(lab, "under-attack-off") if "service" in one], "the event", 30)[0]
        same((off["service"]["name"], off["event"]["reason"], profiles(lab)), ("web", "expired", {}))


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.web = lab.https(lab.node)
    lab.apply(POLICY)
    lab.daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "the daemon")
    lab.udp_echo(lab.node, 4, lab.eth0[4], 6001)
    try_by_hand(lab)
    try_attack(lab)
    with it("none of these packets went by unjudged"):
        same(lab.fallthrough(), 0)


main("attack", tests)
