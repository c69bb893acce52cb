#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""Floods of packets that belong to no connection, spoofed, with a real HTTPS client beside each: the client is served, and
what gets past the shield is what the budget of the flood's kind lets through. With OFF=1 every one of these fails."""

import os
import random
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
services:
  web:  { ports: tcp/443 }
  quic: { ports: udp/443 }
"""
LEAST = 1200  # frames of a flood that the shield must have met
DISTINCT = 800


def source(family):
    if family == 4:
        return f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    return f"2a03:{random.randrange(65536):x}:{random.randrange(65536):x}::{random.randrange(1, 65536):x}"


def segment(flags, port=443):
    def make(lab, family):
        return tcp(source(family), lab.eth1[family], random.randrange(1024, 65536), port, flags)
    return make


def answers(port, length, to=None):
    """Answers of a reflector, to any port of any of this host's addresses: carpet bombing."""
    def make(lab, family):
        return udp(source(family), random.choice(lab.carpet[family]), port, to or random.randrange(1024, 65536), bytes(length))
    return make


def datagrams(lab, family):
    return udp(source(family), random.choice(lab.carpet[family]), random.randrange(40000, 65536), random.randrange(1024, 65536),
               bytes(30))


def pieces(lab, family):
    return ip(source(family), lab.eth1[family], UDP, bytes(64), number=random.randrange(65536), offset=1480)


def first_pieces(lab, family):
    payload = udp_header(source(family), lab.eth1[family], 389, 40000, bytes(1400), length=3000)
    return ip(source(family), lab.eth1[family], UDP, payload, number=random.randrange(65536), more=True)


def echoes(lab, family):
    return echo(source(family), lab.eth1[family])


def errors(lab, family):
    """That a host is unreachable which nobody here asked."""
    one, me = source(family), lab.eth1[family]
    return icmp(one, me, 3 if family == 4 else 1, 3, payload=udp(me, one, 40000, 9999, bytes(20)))


# name, frames, reason, what passes a second (0: nothing)
FLOODS = (
    ("ACK", segment(ACK), "stray", 1000),
    ("SYN-ACK", segment(SYN | ACK), "stray", 1000),
    ("RST", segment(RST), "stray", 1000),
    ("FIN-ACK", segment(FIN | ACK), "stray", 1000),
    ("SYN to a port that is not exposed", segment(SYN, 9200), "unexposed", 0),
    ("DNS answers", answers(53, 900), "amplification", 0),
    ("DNS answers to a service", answers(53, 900, 443), "amplification", 0),
    ("NTP answers", answers(123, 440), "amplification", 0),
    ("CLDAP answers", answers(389, 1200), "amplification", 0),
    ("SSDP answers", answers(1900, 300), "amplification", 0),
    ("memcached answers", answers(11211, 1400), "amplification", 0),
    ("SNMP answers", answers(161, 700), "amplification", 0),
    ("first fragments of answers", first_pieces, "amplification", 0),
    ("UDP over a whole prefix", datagrams, "unexposed", 0),
    ("later fragments", pieces, "fragment-early", 1000),
    ("echo requests", echoes, "icmp-rate", 100),
    ("ICMP errors", errors, "icmp-unrelated", 0),
)


def pour(lab, frames):
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def flooded(lab, reason):
    return lab.counts().get(("drop", reason), 0)


def try_flood(lab, family, name, make, reason, rate):
    with it(f"IPv{family}: {name}: dropped as {reason}, and a client beside them is served"):
        random.seed(family * 1000 + len(name))
        frames = [ethernet(lab.eth1.mac, lab.a0.mac, make(lab, family)) for _ in range(DISTINCT)]
        before, known = flooded(lab, reason), set(frames)
        capture, start = Capture(lab.node, "eth1"), time.monotonic()
        flooder, passed, served = child(pour, lab, frames), 0, 0
        try:
            while flooded(lab, reason) - before < LEAST and passed < 4 * LEAST and time.monotonic() < start + 20:
                served += fetch(lab.client, lab.eth0[family]) == "served\n"
                passed += sum(frame in known for frame in capture.drain())
            dropped = flooded(lab, reason) - before
            fetched = [fetch(lab.client, lab.eth0[family]) for _ in range(3)]
        finally:
            stop_child(flooder)
            time.sleep(0.05)
            passed += sum(frame in known for frame in capture.drain())
            seconds = time.monotonic() - start
            capture.close()
        assert dropped >= LEAST, f"only {dropped} were dropped as {reason}, {passed} passed: {lab.counts()}"
        same(fetched, ["served\n"] * 3, "the client")
        most = rate + rate * (seconds + 0.1)  # the burst is what a second allows
        assert passed <= most, f"{passed} passed in {seconds:.2f} s, {dropped} were dropped; at most {most:.0f} may"


def tests(lab):
    lab.carpet = {4: [lab.eth1[4]] + [f"46.30.2.{n}" for n in range(10, 26)],
                  6: [lab.eth1[6]] + [f"2a01:7e00:2::{n:x}" for n in range(16, 32)]}
    for address in lab.carpet[4][1:]:
        lab.node.run("ip", "addr", "add", f"{address}/24", "dev", "eth1")
    for address in lab.carpet[6][1:]:
        lab.node.run("ip", "addr", "add", f"{address}/64", "dev", "eth1", "nodad")
    lab.https(lab.node)
    lab.apply(POLICY)
    for family in (4, 6):
        for flood in FLOODS:
            try_flood(lab, family, *flood)


main("floods", tests)
