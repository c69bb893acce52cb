#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Data of a connection that the kernel found established a moment ago passes without asking it again: for that moment, for that
connection alone, and never what begins or ends one, nor the ACK of a handshake. Where sockets tell their ends, that moment is over with
the connection, so that first bytes are judged of each."""

import contextlib
import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
stray: drop
services:
  web:  {{ ports: tcp/443 }}
  door: {{ ports: tcp/8002, limits: [ {{ new-connections: 10/m, burst: 3, per: source }} ], syn-cookies: always }}
"""
FIRST_BYTES = """
mode: {mode}
stray: drop
metrics: {{ connections: true }}
services:
  web: {{ ports: tcp/443, tls: {{ sni: [api.example.com] }} }}
"""
TRIES = 50
FEW = 3
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST, and nothing is left


class Pair:
    """A connection of the client's to the node, both ends of it. port: the client's, 0 for any."""

    def __init__(self, lab, listener, family, port=0):
        self.lab, self.family = lab, family
        self.client = lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.client.settimeout(10)
        self.client.bind((lab.c0[family], port))
        self.client.connect((lab.eth0[family], 443))
        self.server, _ = listener.accept()
        for end in (self.client, self.server):
            end.settimeout(10)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.port = self.client.getsockname()[1]

    def talk(self):
        for _ in range(3):
            self.client.sendall(b"to node!")
            same(self.server.recv(100), b"to node!", "what the node got")

    def sends(self, *flags, port=None, ends=False):
        """Segments of it that its client's kernel knows nothing of, behind the end of the connection if it ends: how many the
        shield found strays, and how many not."""
        lab, before = self.lab, self.lab.counts()
        frames = [ethernet(lab.eth0.mac, lab.c0.mac, tcp(lab.c0[self.family], lab.eth0[self.family], port or self.port, 443, each))
                  for each in flags]

        def found():
            now = lab.counts()
            return [now.get(key, 0) - before.get(key, 0) for key in (("drop", "stray"), ("pass", "established"))]

        with lab.client.raw(lab.c0.device) as sender:
            if ends:
                self.server.close()
            for frame in frames:
                sender.send(frame)
        wait(lambda: sum(found()) >= len(flags), "the segments to be counted", 30)
        return found()

    def repeats(self):
        """The ACK of its handshake once more, which the kernel finds an open connection for; what follows comes at once."""
        with self.lab.client.raw(self.lab.c0.device) as sender:
            sender.send(ethernet(self.lab.eth0.mac, self.lab.c0.mac, tcp(self.lab.c0[self.family], self.lab.eth0[self.family],
                                                                         self.port, 443, ACK)))

    def greet(self, name):
        """What the node gets of a ClientHello, or "reset"."""
        greeting = hello(name)
        self.client.sendall(greeting)
        try:
            return self.server.recv(len(greeting))
        except ConnectionResetError:
            return "reset"

    def settle(self):
        """The node answers the first bytes, and data follows."""
        assert self.greet("api.example.com") != "reset", "the hello was refused"
        self.server.sendall(b"an answer")
        self.client.recv(100)
        self.talk()

    def close(self):
        self.client.close()
        self.server.close()


def try_ends(lab, mode, family, listener):
    with it(f"{mode}, IPv{family}: data of a connection that ended a moment ago passes, a FIN or RST of it never"):
        for _ in range(TRIES):
            with contextlib.closing(Pair(lab, listener, family)) as pair:
                pair.talk()
                strays, passed = pair.sends(ACK, FIN | ACK, RST | ACK, ends=True)
            assert strays >= 2, f"{strays} strays, {passed} passed"
            if passed:
                break
        else:
            raise AssertionError(f"every ACK of {TRIES} connections was a stray: the kernel is asked for each segment")
    with it(f"{mode}, IPv{family}: after that moment it is a stray"), contextlib.closing(Pair(lab, listener, family)) as pair:
        pair.talk()
        pair.server.close()
        wait(lambda: pair.sends(ACK) == [1, 0], "a stray", 30)
    with it(f"{mode}, IPv{family}: an open one vouches for no other port"), contextlib.closing(Pair(lab, listener, family)) as pair:
        pair.talk()
        same(pair.sends(ACK, port=pair.port ^ 1), [1, 0])
        pair.talk()


def visit(lab, family, port):
    """Whether the service answers a client that comes by this port, and goes with a RST."""
    with lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.settimeout(0.3)
        client.bind((lab.c0[family], port))
        try:
            client.connect((lab.eth0[family], 8002))
            if client.recv(100) != b"welcome\n":
                return False
            for _ in range(3):
                client.sendall(b"to node!")  # the kernel is asked about these, and finds an open connection
        except OSError:
            return False
    return True


def try_cookies(lab, mode, family):
    with it(f"{mode}, IPv{family}: who comes by one port again and again has his limit all the same"):
        visits = [visit(lab, family, 40000) for _ in range(10)]
        assert visits[0], f"the first one was refused: {lab.counts()}"
        assert sum(visits) <= 5, f"{sum(visits)} of {len(visits)} came in, 3 at once and one in 6 s are allowed"


def on(cpu):
    """What this test sends is judged there from now on."""
    os.sched_setaffinity(0, {cpu})


def try_first_bytes(lab, mode, family, listener, cpus):
    with it(f"{mode}, IPv{family}: where sockets tell their ends, data is a stray with the connection"):
        with contextlib.closing(Pair(lab, listener, family)) as pair:
            pair.settle()
            same(pair.sends(ACK, FIN | ACK, RST | ACK, ends=True), [3, 0])
    with it(f"{mode}, IPv{family}: a hello is judged though its connection was found open a moment ago"):
        for _ in range(FEW):
            with contextlib.closing(Pair(lab, listener, family)) as pair:
                pair.repeats()
                same(pair.greet("www.example.com"), "reset")
    with it(f"{mode}, IPv{family}: a hello is judged though an older connection between its ends sent data a moment ago"):
        for _ in range(FEW):
            with contextlib.closing(Pair(lab, listener, family, 40001)) as older:
                older.settle()
            on(cpus[-1])  # the SYN goes another way than data, as when a network card spreads flows anew
            with contextlib.closing(Pair(lab, listener, family, 40001)) as pair:
                on(cpus[0])
                same(pair.greet("www.example.com"), "reset")


def tests(lab):
    cpus = sorted(os.sched_getaffinity(0))
    on(cpus[0])  # each CPU asks for itself
    let_pass(lab, lab.client, "c0")
    for family in (4, 6):
        with lab.node:
            listener = socket.create_server((lab.eth0[family], 443), family=socket.AF_INET if family == 4 else socket.AF_INET6)
        lab.undo.callback(listener.close)
        lab.tcp_sink(lab.node, family, lab.eth0[family], 8002)
        for mode in ("native", "generic") if family == 4 else ("native",):
            lab.apply(POLICY.format(mode=mode))
            try_ends(lab, mode, family, listener)
            try_cookies(lab, mode, family)
            lab.apply(FIRST_BYTES.format(mode=mode))
            try_first_bytes(lab, mode, family, listener, cpus)
            lab.bulwark("down")


main("open_lately", tests)
