#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Limits on real traffic: they meet whom they are meant for, a spoofed flood does not turn them against the lawful, and
a reload does not forget."""

import os
import random
import socket
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  sourced:  {{ ports: udp/6001, limits: [ {{ packets: 100/s, per: source }} ] }}
  prefixed: {{ ports: udp/6002, limits: [ {{ packets: 100/s, per: "/24,/48" }} ] }}
  shared:   {{ ports: udp/6003, limits: [ {{ packets: 100/s, per: service }} ] }}
  watched:  {{ ports: udp/6004, limits: [ {{ packets: 100/s, per: source, monitor: true }} ] }}
  web:      {{ ports: tcp/443, limits: [ {{ new-connections: 20/s, per: source }} ] }}
  busy:     {{ ports: tcp/8000, limits: [ {{ packets: 500/s, per: service }} ] }}
  owing:    {{ ports: udp/6005, limits: [ {{ packets: 20/m, burst: 20, per: source }} ] }}
  slow:     {{ ports: tcp/8001, limits: [ {{ bytes: 20kB/s, per: source }} ] }}
{more}
"""
HOT = {4: "46.30.7.7", 6: "2a01:7:0:7::7"}
NEIGHBOUR = {4: "46.30.7.8", 6: "2a01:7:0:8::8"}  # of the same /24 or /48
ELSEWHERE = {4: "46.31.7.7", 6: "2a02:7::7"}


def random_source(family):
    if family == 4:
        return f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    return f"2a03:{random.randrange(65536):x}:{random.randrange(65536):x}::{random.randrange(1, 65536):x}"


class Sent:
    """Frames sent as fast as they go; how many of them arrived behind the shield, and the time it took."""

    def __init__(self, lab, packets):
        overflowed, capture, start = lab.attacker.overflowed("a0"), Capture(lab.node, "eth1"), time.monotonic()
        frames = [ethernet(lab.eth1.mac, lab.a0.mac, packet) for packet in packets]
        with lab.attacker.raw("a0") as sender:
            for frame in frames:
                sender.send(frame)
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, b"the last".ljust(50), kind=0x88CC))
        arrived = []
        wait(lambda: arrived.extend(capture.drain(0.02)) or any(b"the last" in frame for frame in arrived), "the last one")
        capture.close()
        self.seconds = time.monotonic() - start
        self.sent = len(frames) - (lab.attacker.overflowed("a0") - overflowed)
        self.passed = len(set(frames) & set(arrived)) and sum(frame in set(frames) for frame in arrived)

    def within(self, rate):
        most = rate + rate * (self.seconds + 0.05) + 2
        assert rate <= self.passed <= most, \
            f"{self.passed} of {self.sent} passed in {self.seconds:.2f} s, wanted {rate} to {most:.0f}"


def many(source, me, port, count):
    return [udp(source, me, 4000, port, b"many")] * count


def try_counting(lab, mode, family):
    me = lab.eth1[family]
    with it(f"{mode}, IPv{family}: per source: one is limited, the next one is not"):
        Sent(lab, many(HOT[family], me, 6001, 1000)).within(100)
        same(Sent(lab, many(NEIGHBOUR[family], me, 6001, 50)).passed, 50)
    with it(f"{mode}, IPv{family}: lookup says what a source owes"):
        Sent(lab, many(HOT[family], me, 6005, 100))
        limit, = [one for one in lab.json("lookup", HOT[family])["limits"] if one["service"] == "owing"]
        same((limit["counts"], limit["of"]), ("packets", "unproven packets"))
        assert 0.3 < limit["spent"] <= 1 and "limit owing" in limit["rule"], limit
        same([one for one in lab.json("lookup", ELSEWHERE[family])["limits"] if one["service"] == "owing"], [])
    with it(f"{mode}, IPv{family}: per prefix: neighbours share, others do not pay"):
        Sent(lab, many(HOT[family], me, 6002, 500) + many(NEIGHBOUR[family], me, 6002, 500)).within(100)
        same(Sent(lab, many(ELSEWHERE[family], me, 6002, 50)).passed, 50)
    with it(f"{mode}, IPv{family}: per service: everybody together"):
        Sent(lab, [udp(random_source(family), me, 4000, 6003, b"many") for _ in range(2000)]).within(100)
    with it(f"{mode}, IPv{family}: a limit that only monitors passes and counts"):
        before = lab.counts().get(("would-drop", "rate-packets"), 0)
        sent = Sent(lab, many(HOT[family], me, 6004, 1000))
        same(sent.passed, sent.sent)
        assert lab.counts().get(("would-drop", "rate-packets"), 0) > before, "nothing was counted"
    with it(f"{mode}, IPv{family}: a reload does not forget who is over his limit"):
        for _ in range(5):  # on a busy machine a reload may last longer than the debt
            start = time.monotonic()  # from here on the debt falls: what was sent may be judged long before it is seen
            Sent(lab, many(HOT[family], me, 6001, 1000))
            lab.apply(POLICY.format(mode=mode, more=f"stray: {{ reset: {random.randrange(1000, 9000)}/s }}"))
            after = Sent(lab, many(HOT[family], me, 6001, 1000))
            allowed = 100 * (time.monotonic() - start) + 5
            assert after.passed <= allowed, f"{after.passed} passed, at most {allowed:.0f} are allowed"
            if allowed < 100:
                break


def try_connections(lab, mode, family):
    me, client = lab.eth0[family], lab.client
    with it(f"{mode}, IPv{family}: a client over new-connections is refused, and heard again when the time has come"):
        made = 0
        start = time.monotonic()
        while made < 200 and connects(client, me, 443, 0.8):
            made += 1
        most = 20 + 20 * (time.monotonic() - start) + 1
        assert 20 <= made <= most, f"{made} connections came about, wanted 20 to {most:.0f}"
        wait(lambda: connects(client, me, 443, 0.3), "the next connection")
    with it(f"{mode}, IPv{family}: an open connection does not pay for a spoofed flood on its service"):
        with connect(client, me, 8000) as proven:
            same(proven.recv(100), b"welcome\n")
            server = [one for one in lab.accepted[family] if one.getpeername()[1] == proven.getsockname()[1]][0]
            server.settimeout(5)
            flooder = child(flood, lab, family, me, 8000)
            before = lab.counts().get(("drop", "rate-packets"), 0)
            try:
                wait(lambda: lab.counts().get(("drop", "rate-packets"), 0) > before, "drops")
                for number in range(50):
                    proven.sendall(b"%08d" % number)
                    same(server.recv(8), b"%08d" % number)
                    time.sleep(0.01)
            finally:
                stop_child(flooder)


def try_proven(lab, mode, family):
    with it(f"{mode}, IPv{family}: status tells of clients whose open connections meet a limit"):
        same(lab.status()["proven_clients_dropped_5m"], 0 if family == 4 else 1)
        with connect(lab.client, lab.eth0[family], 8001) as greedy:
            greedy.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                greedy.sendall(b"x" * 4000000)
            wait(lambda: lab.status()["proven_clients_dropped_5m"] == (1 if family == 4 else 2), "the client")
        holds(lab.bulwark("status"), "1 client dropped" if family == 4 else "2 clients dropped", "inside open connections")


def flood(lab, family, to, port):
    """SYNs of ever new sources."""
    random.seed(os.getpid())
    with lab.attacker.raw("a0") as sender:
        while True:
            frames = [ethernet(lab.eth1.mac, lab.a0.mac, tcp(random_source(family), to, 4000, port, SYN)) for _ in range(20)]
            for frame in frames * 5:
                sender.send(frame)
            time.sleep(0.002)


def try_lawful(lab, mode, family):
    with it(f"{mode}, IPv{family}: a lawful source loses nothing while spoofed ones fill the limiter"):
        flooder, capture, got = child(spoof, lab, family), Capture(lab.node, "eth0"), []
        try:
            with lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as one:
                for number in range(40):
                    one.sendto(b"lawful%d" % number, (lab.eth0[family], 6001))
                    time.sleep(0.02)
            wait(lambda: got.extend(capture.drain(0.01)) or any(b"lawful39" in frame for frame in got), "the last one")
            same(sum(b"lawful" in frame for frame in got), 40, "arrived")
        finally:
            stop_child(flooder)
            capture.close()
        assert lab.counts().get(("pass", "service"), 0) > 2000, "the flood did not reach the service"


def spoof(lab, family):
    random.seed(os.getpid())
    frames = [ethernet(lab.eth1.mac, lab.a0.mac, udp(random_source(family), lab.eth0[family], 4000, 6001, b"spoofed"))
              for _ in range(4000)]
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def tests(lab):
    lab.accepted = {}
    for family in (4, 6):
        lab.tcp_sink(lab.node, family, lab.eth0[family], 443)
        lab.accepted[family] = lab.tcp_sink(lab.node, family, lab.eth0[family], 8000)
        lab.tcp_sink(lab.node, family, lab.eth0[family], 8001)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode, more=""))
        for family in (4, 6):
            try_counting(lab, mode, family)
            try_connections(lab, mode, family)
            try_lawful(lab, mode, family)
        for family in (4, 6):
            try_proven(lab, mode, family)
        lab.bulwark("down")


main("limits", tests)
