#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Budgets that many share: of a burst no more passes than burst and rate allow, and the lawful do not pay for it."""

import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
icmp: {{ echo: 50/s }}
stray: {{ reset: 40/s }}
lists:
  office: {{ addresses: [46.30.40.0/28, "2a01:77::/48", "45.33.1.2", "2a01:7e00:1::2"] }}
trusted: [office]
services:
  web: {{ ports: tcp/443 }}
"""
STRANGER = {4: "46.30.7.7", 6: "2a01:7::7"}
OFFICE = {4: "46.30.40.3", 6: "2a01:77::3"}


class Burst:
    """copies of a packet, sent as fast as they go: how many were counted as what, and how long it took."""

    def __init__(self, lab, packets, copies):
        frames = [ethernet(lab.eth1.mac, lab.a0.mac, packet) for packet in packets]
        before, overflowed, start = lab.counts(), lab.attacker.overflowed("a0"), time.monotonic()
        with lab.attacker.raw("a0") as sender:
            for _ in range(copies // len(frames)):
                for frame in frames:
                    sender.send(frame)
            capture = Capture(lab.node, "eth1")
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, b"the last".ljust(50), kind=0x88CC))
            wait(lambda: any(b"the last" in frame for frame in capture.drain(0.02)), "the last frame")
            capture.close()
        self.seconds = time.monotonic() - start
        self.sent = copies // len(frames) * len(frames) - (lab.attacker.overflowed("a0") - overflowed)
        after = lab.counts()
        self.changes = {key: packets - before.get(key, 0) for key, packets in after.items()}

    def counted(self, verdict, reason):
        return self.changes.get((verdict, reason), 0)

    def within(self, passed, rate):
        """A burst of one second's measure, and what the time allowed since; the clock ticks every 4 to 10 ms."""
        same(passed >= rate, True, f"at least the burst: {passed} passed in {self.seconds:.2f} s")
        most = rate + rate * (self.seconds + 0.05) + 2
        assert passed <= most, f"{passed} passed in {self.seconds:.2f} s, at most {most:.0f} are allowed"


def try_family(lab, mode, family):
    me, stranger = lab.eth1[family], STRANGER[family]
    with it(f"{mode}, IPv{family}: echo requests pass at the rate of icmp.echo"):
        burst = Burst(lab, [echo(stranger, me)], 2000)
        burst.within(burst.counted("pass", "icmp-echo"), 50)
        same(burst.counted("pass", "icmp-echo") + burst.counted("drop", "icmp-rate"), burst.sent)
    with it(f"{mode}, IPv{family}: strays go to the kernel, to be reset, at the rate of stray.reset"):
        burst = Burst(lab, [tcp(stranger, me, 4000, 443, ACK), tcp(stranger, me, 443, 4000, SYN | ACK)], 2000)
        burst.within(burst.counted("pass", "stray"), 40)
        same(burst.counted("pass", "stray") + burst.counted("drop", "stray"), burst.sent)
    with it(f"{mode}, IPv{family}: fragments without their first one pass at a thousand a second"):
        burst = Burst(lab, [ip(stranger, me, UDP, bytes(64), number=77, offset=64)], 6000)
        burst.within(burst.counted("pass", "fragment-budget"), 1000)
        same(burst.counted("pass", "fragment-budget") + burst.counted("drop", "fragment-early"), burst.sent)
    with it(f"{mode}, IPv{family}: errors that only quote a declared port pass at a hundred a second"):
        burst = Burst(lab, [too_big(stranger, me, tcp(me, stranger, 443, 4000, ACK))], 2000)
        burst.within(burst.counted("pass", "icmp-declared"), 100)
        same(burst.counted("pass", "icmp-declared") + burst.counted("drop", "icmp-unrelated"), burst.sent)


def try_trust(lab, mode, family):
    """The client is trusted, and someone forges the office."""
    me = lab.eth1[family]
    with connect(lab.client, lab.eth0[family], 8000) as proven:
        same(proven.recv(100), b"welcome\n")
        with it(f"{mode}, IPv{family}: forged packets of trusted names pass at ten thousand a second, the rest is judged"):
            burst = Burst(lab, [tcp(OFFICE[family], me, 4000, 9200, SYN)], 40000)
            burst.within(burst.counted("pass", "trusted"), 10000)
            same(burst.counted("pass", "trusted") + burst.counted("drop", "unexposed"), burst.sent)
        with it(f"{mode}, IPv{family}: over that budget a forged name still reaches what everybody reaches"):
            packets = [tcp(OFFICE[family], me, 4000, 9200, SYN)] * 19 + [tcp(OFFICE[family], me, 4000, 443, SYN)]
            for _ in range(5):  # on a busy machine a burst may be slower than the budget
                burst = Burst(lab, packets, 40000)
                if burst.counted("pass", "service"):
                    break
            assert burst.counted("pass", "service"), burst.changes
            same(burst.counted("pass", "trusted") + burst.counted("pass", "service") + burst.counted("drop", "unexposed"),
                 burst.sent)
        with it(f"{mode}, IPv{family}: the open connection of a trusted source pays nothing for the forger"):
            flooder = child(forge, lab, family)
            try:
                wait(lambda: lab.counts().get(("drop", "unexposed"), 0) > burst.counted("drop", "unexposed"), "a flood")
                server = [one for one in lab.accepted[family] if one.getpeername()[1] == proven.getsockname()[1]][0]
                server.settimeout(5)
                for number in range(200):
                    proven.sendall(b"%08d" % number)
                    same(server.recv(8), b"%08d" % number)
            finally:
                stop_child(flooder)


def forge(lab, family):
    frame = ethernet(lab.eth1.mac, lab.a0.mac, tcp(OFFICE[family], lab.eth1[family], 4000, 9200, SYN))
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, [frame] * 300)


def tests(lab):
    lab.accepted = {family: lab.tcp_sink(lab.node, family, lab.eth0[family], 8000) for family in (4, 6)}
    for mode in ("native", "generic"):
        for family in (4, 6):
            lab.apply(POLICY.format(mode=mode))
            try_family(lab, mode, family)
            try_trust(lab, mode, family)
            lab.bulwark("down")  # budgets begin anew


main("budgets", tests)
