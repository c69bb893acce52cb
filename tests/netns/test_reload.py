#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fifty reloads under traffic: no lawful packet is lost, and of a flood from a blocked source not one packet goes by
unjudged, or is answered."""

import mmap
import struct
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403
from traffic import *  # noqa: E402,F403

RELOADS = 25  # in each mode
POLICY = """
mode: {mode}
lists:
  bad: {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
block: [bad]
services:
  web:  {{ ports: [tcp/443{more}] }}
  echo: {{ ports: udp/7777 }}
"""


def try_mode(lab, mode):
    lab.apply(POLICY.format(mode=mode, more=""))
    sent, capture, before = mmap.mmap(-1, 4096), Capture(lab.attacker, "a0"), lab.counts()
    attacker, lawful, generation = child(flood, lab, sent), Lawful(lab), lab.status()["generation"]
    new = 0
    try:
        for number in range(RELOADS):
            lab.apply(POLICY.format(mode=mode, more=", tcp/80" if number % 2 == 0 else ""))
            new += connects(lab.client, lab.eth0[4 if number % 2 else 6], 443, 5)
    finally:
        stop_child(attacker)
        asked, answered = lawful.end()
    after, frames = lab.counts(), struct.unpack("=Q", sent[:8])[0]
    changes = {key: packets - before.get(key, 0) for key, packets in after.items()}
    with it(f"{mode}: {RELOADS} reloads under traffic all go live"):
        same(lab.status()["generation"], generation + RELOADS)
    with it(f"{mode}: every one of the lawful questions was answered"):
        assert asked > RELOADS, f"only {asked} were asked"
        same(answered, asked)
    with it(f"{mode}: every new connection came about"):
        same(new, RELOADS)
    with it(f"{mode}: nothing but the flood was dropped"):
        same([key for key, packets in changes.items() if key[0] == "drop" and packets and key[1] != "blocked"], [])
    with it(f"{mode}: packets of the flood were dropped as blocked, and no more than were sent"):
        assert 0 < changes.get(("drop", "blocked"), 0) <= frames + 300, f"{frames} sent, {changes}"
    with it(f"{mode}: no packet fell through unjudged"):
        same(lab.fallthrough(), 0)
    with it(f"{mode}: no packet of the flood was answered"):
        replies = [frame for frame in capture.drain(0.1) if is_reply(frame)]
        assert not replies, f"{len(replies)} answers, the first one: {replies[0].hex()}"
    capture.close()
    lab.bulwark("down")


def tests(lab):
    for family in (4, 6):
        lab.tcp_sink(lab.node, family, lab.eth0[family], 443)
        lab.undo.callback(stop_child, echo_server(lab, family))
    lab.attacker.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
    for mode in ("native", "generic"):
        try_mode(lab, mode)


main("reload", tests)
