#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What follows from a completed handshake and what from a SYN: over its limit a source that may be banned is answered
with a cookie, its ACK is the offence, and nothing that somebody else sends in its name is. And the answer itself, byte
by byte: what the listener would have sent."""

import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  door:   {{ ports: tcp/8002, limits: [ {{ new-connections: 10/m, burst: 10, per: source }} ], syn-cookies: auto }}
  always: {{ ports: tcp/8003, syn-cookies: always }}
  never:  {{ ports: tcp/8004 }}
ban: {{ after: 20 drops in 10s, for: 1h }}
"""
NETWORK = {4: "45.33.1.2", 6: "2a01:7e00:1::/64"}  # what is banned of the client
MSS, SACK, STAMPS, SCALE, NOP = b"\2\4\5\xb4", b"\4\2", b"\10\12" + b"mine" + bytes(4), b"\3\3\7", b"\1"
OPTIONS = {"none": b"", "MSS": MSS, "MSS, SACK": MSS + NOP + NOP + SACK, "MSS, window scale": MSS + NOP + SCALE,
           "MSS, timestamps": MSS + NOP + NOP + STAMPS, "all": MSS + SACK + STAMPS + NOP + SCALE,
           "all, in another order": NOP + SCALE + STAMPS + NOP + NOP + NOP + SACK + NOP + MSS}


def banned(lab):
    return {row["address"]: row for row in lab.json("bans")}


def try_spoofing(lab, mode, family):
    me, client = lab.eth0[family], lab.c0[family]
    with it(f"{mode}, IPv{family}: SYNs in a client's name use up the limit, ban nobody and do not keep it out"):
        before = lab.counts().get(("reply", "syn-cookie"), 0)
        with lab.attacker.raw("a0") as sender:
            for number in range(400):
                sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(client, me, 1024 + number, 8002, SYN)))
        wait(lambda: lab.counts().get(("reply", "syn-cookie"), 0) >= before + 300, "cookies instead of drops", 30)
        same(banned(lab), {})
        with connect(lab.client, me, 8002) as one:
            same(one.recv(100), b"welcome\n", "what the client got")
    with it(f"{mode}, IPv{family}: neither do ACKs in its name that guess"):
        with lab.attacker.raw("a0") as sender:
            for number in range(400):
                sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(client, me, 1024 + number, 8002, ACK, sequence=1001,
                                                                   acknowledge=number * 10000019 & 0xFFFFFFFF)))
        wait(lambda: lab.counts().get(("pass", "stray"), 0) + lab.counts().get(("drop", "stray"), 0) >= 300, "strays", 30)
        same(banned(lab), {})


def try_offences(lab, mode, family):
    me = lab.eth0[family]
    with it(f"{mode}, IPv{family}: who goes on completing handshakes over the limit is banned"):
        made = [connect(lab.client, me, 8002) for _ in range(9)]
        same({one.recv(100) for one in made}, {b"welcome\n"}, "what came within the limit")
        while len(made) < 60 and not banned(lab):
            with contextlib.suppress(OSError):
                made.append(connect(lab.client, me, 8002, 0.3))
        row = banned(lab).get(NETWORK[family])
        assert row, f"nobody is banned after {len(made)}: {banned(lab)}, {lab.counts()}"
        same((row["origin"], row["reason"]), ("auto", "rate-connections on door"))
        for one in made:
            one.close()


def header_of(frame, family):
    """The TCP header of a frame, and of its options those of the sender: the echo and his own clock are not compared."""
    at = 34 if family == 4 else 54
    header = frame[at:at + (frame[at + 12] >> 4) * 4]
    options, found = header[20:], []
    while options:
        length = 1 if options[0] <= 1 else options[1]
        found.append(options[:2] + options[6:10] if options[0] == 8 else options[:length])
        options = options[length:]
    return header, found


def answer(lab, capture, family, port, options, number):
    """The SYN-ACK to a SYN with these options: flags, window, options, what it acknowledges, and how it is addressed."""
    me, source = lab.eth1[family], lab.a0[family]
    padded = options + bytes(-len(options) % 4)
    syn = tcp(source, me, number, port, SYN, padded, sequence=0xFFFFFFFF, words=5 + len(padded) // 4)
    with lab.attacker.raw("a0") as sender:
        sender.send(ethernet(lab.eth1.mac, lab.a0.mac, syn))
    at, frames = 34 if family == 4 else 54, []

    def mine(frame):
        return len(frame) >= at + 20 and frame[at:at + 4] == struct.pack("!HH", port, number) and frame[at + 13] & SYN

    frame = wait(lambda: frames.extend(capture.drain(0.01)) or next(filter(mine, frames), None), "the SYN-ACK", 30)
    header, found = header_of(frame, family)
    if port == 8003:  # what the stack sends itself is summed by the card, and a veth has none
        same(checksum(pseudo(me, source, TCP, header)), 0, "checksum of TCP")
        same(checksum(frame[14:34]) if family == 4 else 0, 0, "checksum of IP")
    # of IP: version to TTL, without length and identification; the kernel's flow label is random
    ip_header = (frame[14:15] + frame[20:24] if family == 4 else frame[14:15] + frame[18:22])
    return {"to": frame[:14], "ip": ip_header, "acknowledges": header[8:12], "flags": header[13], "window": header[14:16],
            "options": found}


def try_bytes(lab, mode, family):
    capture = Capture(lab.attacker, "a0")
    for number, (words, options) in enumerate(OPTIONS.items()):
        with it(f"{mode}, IPv{family}: SYN with options {words}: the answer is the listener's, byte by byte"):
            ours = answer(lab, capture, family, 8003, options, 2000 + number)
            theirs = answer(lab, capture, family, 8004, options, 3000 + number)
            windows = [struct.unpack("!H", one.pop("window"))[0] for one in (ours, theirs)]
            same(ours, theirs)
            same(ours["acknowledges"], bytes(4))
            assert 0 <= windows[0] - windows[1] < 1460, f"windows {windows}: the stack's is whole segments of the same"
    capture.close()


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    for family in (4, 6):
        for port in (8002, 8003, 8004):
            for end in (lab.eth0, lab.eth1):
                lab.tcp_sink(lab.node, family, end[family], port)
    for mode, family in (("native", 4), ("native", 6), ("generic", 4)):
        lab.apply(POLICY.format(mode=mode))
        try_bytes(lab, mode, family)
        try_spoofing(lab, mode, family)
        try_offences(lab, mode, family)
        lab.bulwark("down")


main("handshakes", tests)
