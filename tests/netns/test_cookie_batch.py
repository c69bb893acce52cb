#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""First bytes of a connection that a SYN cookie opens, in segments that the node polls together with the ACK that brings
the cookie back: none of them has a socket yet when it is judged. What is refused in one segment is so in several."""

import socket
import struct
import sys

sys.dont_write_bytecode = True
from handmade import *  # noqa: E402,F403
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
stray: {stray}
services:
  web:   {{ ports: tcp/443, syn-cookies: always, tls: {{ sni: api.example.com, unknown: drop }} }}
  plain: {{ ports: tcp/80, syn-cookies: always, http: {{ deny-paths: [/admin], unknown: drop }} }}
"""
PACKET_VNET_HDR, NEEDS_SUM, LARGE = 15, 1, {4: 1, 6: 4}
GOOD, BAD = hello("api.example.com"), hello("www.example.com")
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
DENIED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


class Batch(Client):
    """Its first bytes come with the ACK that ends the handshake, cut into segments by the device: the node polls them
    together."""

    def __init__(self, lab, port, family, data, size):
        super().__init__(lab, port, family, completes=False)
        self.batch(data, size)

    def batch(self, data, size):
        head = struct.pack("!HHIIBBHHH", self.mine, self.port, self.start, self.next, 5 << 4, ACK | PSH, 8192, 0, 0)
        both = address(self.me) + address(self.peer)
        length = len(head) + len(data)
        begun = both + (struct.pack("!HH", TCP, length) if self.family == 4 else struct.pack("!II", length, TCP))
        head = head[:16] + struct.pack("!H", checksum(begun) ^ 0xFFFF) + head[18:]
        frame = ethernet(self.lab.eth0.mac, self.lab.c0.mac, ip(self.me, self.peer, TCP, head + data))
        at = len(frame) - length
        with self.lab.client.raw("c0") as sender:
            sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sender.send(struct.pack("=BBHHHH", NEEDS_SUM, LARGE[self.family], at + len(head), size, at, 16) + frame)


def so_far(lab, verdict, reason):
    return lab.counts().get((verdict, reason), 0)


def opened(client):
    """Whether the node has its connection, or has had it."""
    client.listen()
    return client.ended or client.received or client.lab.node.run("ss", "-Htn", "sport", "=", f":{client.port}", "dport", "=", f":{client.mine}")


def outcome(client, data, size):
    """What it gets when it sends again what was not taken."""
    client.send(0, b"")
    wait(lambda: opened(client), "the connection")
    for at in range(0, len(data), size):
        client.send(at, data[at:at + size])
    return client.outcome()


KINDS = ((443, GOOD, BAD, "tls-sni", b"\x16\x03"), (80, ASKED, DENIED, "http-path", b"HT"))


def try_batches(lab, words, family):
    for port, good, bad, reason, answer in KINDS:
        for pieces in (1, 2, 5):
            with it(f"{words}, IPv{family}, port {port}: {pieces} segment{'s' * (pieces > 1)} with the cookie: refused and served as in one that comes later"):
                before, size = so_far(lab, "drop", reason), -(-len(bad) // pieces)
                same(outcome(Batch(lab, port, family, bad, size), bad, size), "reset")
                assert so_far(lab, "drop", reason) > before, lab.counts()
                size = -(-len(good) // pieces)
                same(outcome(Batch(lab, port, family, good, size), good, size), answer)


def try_fragments(lab, words, family):
    for port, _, bad, reason, _ in KINDS:
        with it(f"{words}, IPv{family}, port {port}: a fragment from before the connection is not put together in it"):
            before, cut, number = so_far(lab, "drop", reason), len(bad) // 3, next(ports)
            client = Client(lab, port, family, completes=False)
            client.fragments(bad[cut:], 4, (0,), start=cut, number=number)
            client.send(0, b"")
            wait(lambda: opened(client), "the connection")
            client.send(0, bad[:cut])
            client.acknowledged(cut)
            client.fragments(bad[cut:], 4, (1,), start=cut, number=number)
            client.send(cut, bad[cut:])
            same(client.outcome(), "reset")
            assert so_far(lab, "drop", reason) > before, lab.counts()


def try_strays(lab, words):
    with it(f"{words}: data of a connection that died here are answered with a reset, as without a rule"):
        client = Client(lab, completes=False)
        client.mine = next(ports)
        client.send(700, GOOD)
        same(client.outcome(), "reset")


def tests(lab):
    let_pass(lab, lab.client, "c0")
    lab.client.run("ethtool", "-K", "c0", "tso", "off", "gso", "off")
    lab.https(lab.node, plain=80)
    introduce(lab)
    for mode in ("native", "generic"):
        for stray in ("{ reset: 1k/s }", "pass", "drop"):
            lab.apply(POLICY.format(mode=mode, stray=stray))
            words = f"{mode}, stray: {stray}"
            for family in (4, 6) if mode == "native" else (4,):
                try_batches(lab, words, family)
            if stray == "pass":
                try_fragments(lab, words, 4)
                try_strays(lab, words)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("cookie-batch", tests)
