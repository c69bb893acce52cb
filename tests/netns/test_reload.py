#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Fifty reloads under traffic: no lawful packet is lost, and of a flood from a blocked source not one packet goes by
unjudged, or is answered."""

import contextlib
import mmap
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

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
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def echo_server(lab, family):
    """A process of its own, so that the tester's work does not slow it."""
    server = lab.node.socket(FAMILIES[family], socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    server.bind((lab.eth0[family], 7777))

    def serve():
        while True:
            server.sendto(*server.recvfrom(100))

    pid = child(serve)
    server.close()
    return pid


def flood(lab, sent):
    """Each frame would be answered if it got through: pings, SYNs, questions to the echo service."""
    sender = lab.attacker.raw("a0")
    frames = [ethernet(lab.eth1.mac, lab.a0.mac, packet) for family in (4, 6) for packet in (
        echo(lab.a0[family], lab.eth1[family]), tcp(lab.a0[family], lab.eth1[family], 4000, 443, SYN),
        udp(lab.a0[family], lab.eth0[family], 4000, 7777, b"answer me"))]
    while True:
        for frame in frames * 50:
            with contextlib.suppress(OSError):  # ENOBUFS
                sender.send(frame)
        sent[:8] = struct.pack("=Q", struct.unpack("=Q", sent[:8])[0] + 50 * len(frames))
        time.sleep(0.01)  # the machine is others' too


class Lawful:
    """A client that asks hundreds of times a second, in a process of its own. So slowly that no queue overflows."""

    def __init__(self, lab):
        self.shared = mmap.mmap(-1, 4096)
        self.sockets = []
        for family, kind in FAMILIES.items():
            one = lab.client.socket(kind, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            one.connect((lab.eth0[family], 7777))
            one.setblocking(False)
            self.sockets.append(one)
        self.pid = child(self.ask)

    def answers(self):
        count = 0
        for one in self.sockets:
            with contextlib.suppress(BlockingIOError):
                while one.recv(100):
                    count += 1
        return count

    def ask(self):
        asked = answered = 0
        while not self.shared[0]:
            for one in self.sockets:
                one.send(b"%d" % asked)
                asked += 1
            time.sleep(0.005)
            answered += self.answers()
        end = time.monotonic() + 3
        while answered < asked and time.monotonic() < end:
            time.sleep(0.01)
            answered += self.answers()
        self.shared[8:24] = struct.pack("=QQ", asked, answered)

    def end(self):
        """Questions asked, answers received."""
        self.shared[0] = 1
        os.waitpid(self.pid, 0)
        return struct.unpack("=QQ", self.shared[8:24])


def is_reply(frame):
    """An answer to the flood, as opposed to what hosts say to find each other."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return True
    return kind == b"\x86\xdd" and not (frame[20] == ICMP6 and 130 <= frame[54] <= 143) and frame[20] != HOP


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
