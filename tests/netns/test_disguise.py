#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""First bytes in disguise: a client that makes every segment itself, and sends what the kernel throws away, what comes out
of order, before the stream, in fragments, the same bytes with another content, or urgent ones, does not get a hello or a request past the rule. Honest
clients whose segments are lost, sent twice or come out of order are served."""

import socket
import sys
import time

sys.dont_write_bytecode = True
from handmade import *  # noqa: E402,F403
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web:   {{ ports: tcp/443, tls: {{ sni: api.example.com, unknown: {unknown} }} }}
  plain: {{ ports: tcp/80, http: {{ deny-paths: [/admin], unknown: {unknown} }} }}
"""
GOOD, BAD = hello("api.example.com"), hello("www.example.com")
LONG = padded("api.example.com", 1900)  # as with a post-quantum key: longer than a segment
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
DENIED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


def try_tls(lab, mode, family):
    cut = len(BAD) // 2
    with it(f"{mode}, IPv{family}: a hello made by hand is served, in one segment and in two"):
        client = Client(lab, family=family)
        client.send(0, GOOD)
        same(client.outcome(), b"\x16\x03")
        client = Client(lab, family=family)
        client.send(0, GOOD[:cut])
        client.send(cut, GOOD[cut:])
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: what comes ahead of the first bytes is dropped, and judged when it comes again"):
        for data, at, wanted in ((GOOD, cut, b"\x16\x03"), (BAD, cut, "reset"), (LONG, 1400, b"\x16\x03")):
            client, before = Client(lab, family=family), lab.counts().get(("drop", "first-early"), 0)
            client.send(at, data[at:])
            counted(lab, "drop", "first-early", before)
            client.send(0, data[:at])
            client.acknowledged(at)
            client.send(at, data[at:])
            same(client.outcome(), wanted)
    with it(f"{mode}, IPv{family}: so is what leaves a gap in a hello of three segments"):
        client, before = Client(lab, family=family), lab.counts().get(("drop", "first-early"), 0)
        client.send(0, GOOD[:50])
        client.send(cut, GOOD[cut:])
        counted(lab, "drop", "first-early", before)
        client.send(50, GOOD[50:cut])
        client.send(cut, GOOD[cut:])
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: a piece that is sent twice, or cut anew, is served"):
        client = Client(lab, family=family)
        client.send(0, GOOD[:cut])
        client.send(0, GOOD[:cut])
        client.send(20, GOOD[20:cut + 20])
        client.send(cut, GOOD[cut:])
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: a piece that was lost behind the rule is sent again"):
        client = Client(lab, family=family)
        client.send(0, GOOD[:cut], wrong=True)
        client.send(cut, GOOD[cut:])
        client.send(0, GOOD[:cut])
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: a harmless last piece that the kernel throws away does not stand for the real one"):
        client = Client(lab, family=family)
        at = BAD.index(b"www")
        client.send(0, BAD[:at])
        client.send(at, b"api" + BAD[at + 3:], wrong=True)
        refused(lab, "first-changed", client, lambda: client.send(at, BAD[at:]))
    with it(f"{mode}, IPv{family}: a refused last piece that repeats what the kernel has does not get in"):
        client = Client(lab, family=family)
        client.send(0, BAD[:cut])
        client.acknowledged(cut)
        refused(lab, "tls-sni", client, lambda: client.send(cut - 20, BAD[cut - 20:]))
    with it(f"{mode}, IPv{family}: nor does one get in that was refused while the kernel waited for what is before it"):
        client, before = Client(lab, family=family), lab.counts().get(("drop", "tls-sni"), 0)
        client.send(0, BAD[:cut], wrong=True)
        client.send(cut, BAD[cut:])
        counted(lab, "drop", "tls-sni", before)
        client.send(0, BAD[:cut])
        client.acknowledged(cut)
        refused(lab, "tls-sni", client, lambda: client.send(cut, BAD[cut:]))
    with it(f"{mode}, IPv{family}: nor a harmless first piece, nor a whole harmless hello"):
        client = Client(lab, family=family)
        client.send(0, GOOD[:cut], wrong=True)
        refused(lab, "first-changed", client, lambda: client.send(0, BAD[:cut]))
        client = Client(lab, family=family)
        client.send(0, GOOD, wrong=True)
        client.send(0, BAD[:cut])
        refused(lab, "tls-sni", client, lambda: client.send(cut, BAD[cut:]))
    with it(f"{mode}, IPv{family}: what waits behind a short harmless hello does not become the end of another one"):
        long = padded("www.example.com", len(GOOD) + 300)
        client, end = Client(lab, family=family), len(GOOD)
        client.send(0, GOOD, wrong=True)
        client.send(end, long[end:])
        refused(lab, "first-changed", client, lambda: client.send(0, long[:end]))
    with it(f"{mode}, IPv{family}: urgent data, which servers do not read, are dropped"):
        client, before = Client(lab, family=family), lab.counts().get(("drop", "first-urgent"), 0)
        client.send(0, GOOD[:cut], flags=ACK | URG)
        client.send(0, b"", flags=ACK | URG)
        counted(lab, "drop", "first-urgent", before + 1)
        client.send(0, GOOD)
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: also where the server has answered, and nothing else is looked at any more"):
        before = lab.counts()[("drop", "first-urgent")]
        client.send(len(GOOD), b"x", flags=ACK | URG)
        counted(lab, "drop", "first-urgent", before)


def try_cut_off(lab, mode, family):
    """What the kernel cuts off in front, or puts together."""
    with it(f"{mode}, IPv{family}: bytes before a stream, which the kernel cuts off, hide no hello"):
        for ahead in (b"x", b"0123456789"):
            client = Client(lab, family=family)
            client.send(-len(ahead), ahead + GOOD)
            same(client.outcome(), b"\x16\x03")
            refused(lab, "tls-sni", client := Client(lab, family=family), lambda: client.send(-len(ahead), ahead + BAD))
        cut = len(BAD) // 2
        client = Client(lab, family=family)
        client.send(-1, b"x" + BAD[:cut])
        client.acknowledged(cut)
        refused(lab, "tls-sni", client, lambda: client.send(cut, BAD[cut:]))
    with it(f"{mode}, IPv{family}: nor do those that hold nothing of it: a probe whether the peer lives"):
        client = Client(lab, family=family)
        client.send(-1, b"x")
        client.send(-1, b"")
        client.send(0, GOOD)
        same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: of a hello in fragments not all is seen: it is unknown, in whatever order they come"):
        for cut, order in ((100, (0, 1)), (100, (1, 0)), (12, (0, 1)), (4, (0, 1)), (len(BAD) - len(BAD) % 8 - 4, (0, 1))):
            client, before = Client(lab, family=family), lab.counts().get(("drop", "tls-split"), 0)
            client.fragments(BAD, cut, order)
            counted(lab, "drop", "tls-split", before)
            client.send(0, GOOD)
            same(client.outcome(), b"\x16\x03")
    with it(f"{mode}, IPv{family}: so is one whose first fragment ends with the header of TCP"):
        client, before = Client(lab, family=family), lab.counts().get(("drop", "tls-split"), 0)
        client.send(0, GOOD[:40])
        client.acknowledged(40)
        client.fragments(BAD, 4, options=b"\1\1\1\1")
        counted(lab, "drop", "tls-split", before)
        client.send(40, GOOD[40:])
        same(client.outcome(), b"\x16\x03")


def try_http(lab, mode):
    with it(f"{mode}: a request likewise"):
        client = Client(lab, 80)
        client.send(10, ASKED[10:])
        client.send(0, ASKED[:10])
        client.acknowledged(10)
        client.send(10, ASKED[10:])
        same(client.outcome(), b"HT")
        client = Client(lab, 80)
        client.send(0, DENIED[:5])
        client.send(5, b"index" + DENIED[10:], wrong=True)
        refused(lab, "first-changed", client, lambda: client.send(5, DENIED[5:]))
        client = Client(lab, 80)
        client.send(0, DENIED[:9])
        client.acknowledged(9)
        refused(lab, "http-path", client, lambda: client.send(5, DENIED[5:]))
        client, before = Client(lab, 80), lab.counts().get(("drop", "http-path"), 0)
        client.send(0, DENIED[:5], wrong=True)
        client.send(5, DENIED[5:])
        counted(lab, "drop", "http-path", before)
        client.send(0, DENIED[:5])
        client.acknowledged(5)
        refused(lab, "http-path", client, lambda: client.send(5, DENIED[5:]))
        refused(lab, "http-path", client := Client(lab, 80), lambda: client.send(-3, b"GET" + DENIED))
        client, before = Client(lab, 80), lab.counts().get(("drop", "http-split"), 0)
        client.fragments(DENIED, 4)
        counted(lab, "drop", "http-split", before)
    with it(f"{mode}: what follows a whole head passes, also before it was received"):
        client, head = Client(lab, 80), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n"
        client.send(0, head, wrong=True)
        client.send(len(head), bytes(300))
        client.send(0, head)
        same(client.outcome(), b"HT")


def pushed_out(lab):
    """One try: the interface may drop of the others' frames, and the table does not forget strictly in turn."""
    client, before = Client(lab), lab.counts().get(("drop", "tls-split"), 0)
    client.send(0, BAD[:60])
    client.acknowledged(60)
    other = Client(lab)
    for number in range(2000):  # more beginnings than are kept: each of these is one
        other.mine = next(ports)
        other.frame(SYN, BAD[:60], 1)
        if not number % 50:
            time.sleep(0.002)
    client.send(60, BAD[60:])
    same(client.outcome(), "reset")
    return lab.counts().get(("drop", "tls-split"), 0) > before


def try_forgotten(lab, mode):
    with it(f"{mode}: a beginning that was pushed out by others counts as unknown"):
        wait(lambda: pushed_out(lab), "drop tls-split", 30)


def answer_requests(server):
    with server.accept()[0] as one:
        one.settimeout(30)
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head and (data := one.recv(4096)):
                head += data
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def tests(lab):
    lab.https(lab.node)
    lab.serve(lab.node, 4, socket.SOCK_STREAM, "0.0.0.0", 80, answer_requests)
    introduce(lab)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode, unknown="drop"))
        for family in (4, 6) if mode == "native" else (4,):
            try_tls(lab, mode, family)
            try_cut_off(lab, mode, family)
        try_http(lab, mode)
        try_forgotten(lab, mode)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("disguise", tests)
