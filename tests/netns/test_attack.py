#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An attack is seen while it goes on, said, and over when it is over; the lawful client beside it is served."""

import json
import os
import random
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: native
services:
  web:    { ports: tcp/443, limits: [ { new-connections: 300/s, per: service } ], syn-cookies: auto }
  quiet:  { ports: tcp/8000 }
"""
SOURCES = 4096


def flood(lab, family):
    """SYNs of many sources, until it is ended."""
    random.seed(7)
    me, frames = lab.eth1[family], []
    for _ in range(SOURCES):
        source = f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        frames.append(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, me, random.randrange(1024, 65536), 443, 2)))
    with lab.attacker.raw("a0") as sender:
        while True:
            for frame in frames:
                sender.send(frame)


def events(lab, action):
    with contextlib.suppress(FileNotFoundError), open(lab.state + "/events.jsonl", encoding="utf-8") as file:
        return [one for one in map(json.loads, file) if one["event"]["action"] == action]
    return []


def attacks(lab):
    return {one["service"]: one for one in lab.status()["attacks"]}


def value(lab, name, service):
    wanted = f'{name}{{service="{service}"}} '
    return [float(line[len(wanted):]) for line in lab.bulwark("metrics").splitlines() if line.startswith(wanted)]


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
            one = wait(lambda: attacks(lab).get("web"), "status", 5)
            same((one["state"], one["cause"], one["stale"], list(attacks(lab))), ("attack", "syn-flood", False, ["web"]))
            holds(lab.bulwark("status"), "UNDER ATTACK: web, syn-flood")
            same((value(lab, "bulwark_attack_active", "web"), value(lab, "bulwark_attacks_total", "web")), ([1], [1]))
        with it("the client is served meanwhile"):
            for _ in range(10):
                same(fetch(lab.client, lab.eth0[4]), "served\n")
        with it("a daemon that is killed and comes back goes on with the same attack"):
            lab.daemon.kill()
            lab.daemon.wait()
            wait(lambda: attacks(lab)["web"]["stale"], "status to notice", 15)
            holds(lab.bulwark("status"), "bulwarkd does not run")
            lab.daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
            wait(lambda: not attacks(lab)["web"]["stale"], "the new daemon", 15)
            same(len(events(lab, "attack-started")), 1)
    finally:
        stop_child(flooder)
    over = time.time()
    with it("it ends, with how long it was and how long it took"):
        ended = wait(lambda: events(lab, "attack-ended"), "the event", 30)[0]
        same((ended["service"]["name"], ended["event"]["start"]), ("web", started["event"]["start"]))
        assert ended["bulwark"]["peak"] >= started["bulwark"]["rate"] and ended["bulwark"]["mitigated_s"] is not None, ended
        assert ended["event"]["duration"] / 1e9 < over - began + 3, ended
        same((attacks(lab), value(lab, "bulwark_attack_active", "web")), ({}, [0]))
        assert value(lab, "bulwark_attack_time_to_detect_seconds", "web")[0] <= 2


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.web = lab.https(lab.node)
    lab.apply(POLICY)
    lab.daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "the daemon")
    try_attack(lab)
    with it("none of these packets went by unjudged"):
        same(lab.fallthrough(), 0)


main("attack", tests)
