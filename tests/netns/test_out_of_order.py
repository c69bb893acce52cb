#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ClientHellos of real clients (OpenSSL over the kernel's TCP) to a real OpenSSL server, over a line that turns the order
of their segments, loses some and repeats others cut anew: the client sends again what is missing and is served, a name
that is not served never reaches the server's application, and what cannot be known has its own reason and verdict."""

import itertools
import ssl
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from line import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web: {{ ports: tcp/443, tls: {{ sni: api.example.com, unknown: {unknown}{more} }} }}
interfaces: [eth0, eth1, eth2]
"""
SIZE = 1400  # of a segment, about
OVERLAP = 100  # bytes of the segment before that one cut anew repeats
MANY = ("http/1.1", *(letter * 255 for letter in "abcdefghijk"))  # protocols: a hello of three segments
HYBRID, GROUPS, KEY_SHARES, SHARE = 4588, 10, 51, 1216  # X25519MLKEM768, and the bytes that a client sends of it


class Shuffler(Line):
    """The first data segments of each connection to port 443 come out as `order` says: indices; one that is not in it is
    lost, a negative one is the segment -i cut anew, so that it repeats the end of the one before."""

    def __init__(self, lab):
        self.order, self.segments, self.held, self.turned = (), 0, {}, 0
        super().__init__(lab, 0.001)
        self.far.run("ip", "link", "set", "c2", "gso_max_segs", "1")  # a frame is a segment
        self.far.run("ip", "route", "add", "default", "via", self.near.v4)

    def turn(self, order, segments):
        self.order, self.segments, self.held, self.turned = order, segments, {}, 0

    def loses(self, to, frame):
        piece = Piece(frame) if self.order and to is self.ends[0] else None
        if piece and piece.port == 443 and piece.begins:
            self.held.pop(piece.client, None)  # the client uses a port again
        if not piece or not piece.data or piece.port != 443:
            return super().loses(to, frame)
        held = self.held.setdefault(piece.client, {})
        if len(held) == self.segments:  # sent again
            return False
        held[piece.sequence] = piece
        if len(held) == self.segments:
            self.turned += 1
            pieces = [held[sequence] for sequence in sorted(held)]
            for index in self.order:
                out = pieces[index].frame if index >= 0 else pieces[-index].with_end_of(pieces[-index - 1])
                self.way.append((time.monotonic() + self.delay, to, out))
        return True


class Piece:
    """A TCP segment in a frame of the line, which begins with what its sums leave to the device."""

    def __init__(self, frame):
        self.frame, self.ip = frame, VNET_HEADER + 14
        ipv4_there = frame[self.ip] >> 4 == 4
        self.tcp = self.ip + (20 if ipv4_there else 40)
        self.data, self.port, self.begins = b"", 0, False
        if frame[self.ip + (9 if ipv4_there else 6)] != TCP:
            return
        length, = struct.unpack_from("!H", frame, self.ip + (2 if ipv4_there else 4))
        self.client, self.port, self.sequence = struct.unpack_from("!HHI", frame, self.tcp)
        self.begins = frame[self.tcp + 13] & SYN
        self.data_at = self.tcp + (frame[self.tcp + 12] >> 4) * 4
        self.data = frame[self.data_at:(self.ip if ipv4_there else self.tcp) + length]

    def with_end_of(self, before):
        """This segment with the last bytes of the one before it in front, and its sums whole."""
        data, ipv4_there = before.data[-OVERLAP:] + self.data[:-OVERLAP], self.tcp - self.ip == 20
        at, size, family = (self.ip + 12, 4, socket.AF_INET) if ipv4_there else (self.ip + 8, 16, socket.AF_INET6)
        source, destination = (socket.inet_ntop(family, self.frame[i:i + size]) for i in (at, at + size))
        head = self.frame[self.tcp:self.data_at]
        head = head[:4] + struct.pack("!I", (self.sequence - OVERLAP) % (1 << 32)) + head[8:16] + b"\0\0" + head[18:]
        total = checksum(pseudo(source, destination, TCP, head + data))
        head = head[:16] + struct.pack("!H", total) + head[18:]
        return bytes(VNET_HEADER) + self.frame[VNET_HEADER:self.tcp] + head + data


def extensions_at(data):
    """Where the length of all extensions stands."""
    at = 9 + 2 + 32
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at:at + 2], "big")
    return at + 1 + data[at]


def extensions_of(data):
    """[(kind, content)]"""
    at, found = extensions_at(data) + 2, []
    while at < len(data):
        kind, size = struct.unpack_from(">HH", data, at)
        found.append((kind, data[at + 4:at + 4 + size]))
        at += 4 + size
    return found


def counted_first(data, more):
    """A list behind its length in two bytes, with more in front of it."""
    return struct.pack(">H", len(data) - 2 + len(more)) + more + data[2:]


def keyed(name):
    """A ClientHello with a post-quantum share in front of the one that the server takes, and its name behind all that."""
    data, more = hello(name), {GROUPS: struct.pack(">H", HYBRID),
                               KEY_SHARES: struct.pack(">HH", HYBRID, SHARE) + os.urandom(SHARE)}
    first = extensions_at(data)
    behind = b"".join(extension(kind, counted_first(content, more[kind]) if kind in more else content)
                      for kind, content in reversed(extensions_of(data)))
    whole = bytearray(data[:first] + struct.pack(">H", len(behind)) + behind)
    whole[3:5] = (len(whole) - 5).to_bytes(2, "big")
    whole[6:9] = (len(whole) - 9).to_bytes(3, "big")
    return bytes(whole)


def serve(lab):
    """An OpenSSL server that notes which names its application has been asked for."""
    root, context_there = lab.web_root(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context_there.load_cert_chain(root + "/cert.pem", root + "/key.pem")
    context_there.set_alpn_protocols(["http/1.1"])
    context_there.sni_callback = lambda _socket, name, _context: lab.asked.append(name)

    def answer(server):
        connection = server.accept()[0]
        connection.settimeout(30)
        with connection, contextlib.suppress(OSError), context_there.wrap_socket(connection, server_side=True) as one:
            one.sendall(b"served\n")
            one.recv(1)

    lab.serve(lab.node, 6, socket.SOCK_STREAM, "::", 443, answer)


def counted(lab, verdict, reason):
    return lab.counts().get((verdict, reason), 0)


def served(lab, ask, wanted):
    """ask() is served, and the application was asked for its name."""
    lab.asked.clear()
    same(ask(), wanted)
    same(lab.asked, ["api.example.com"])


def refused(lab, reason, ask):
    lab.asked.clear()
    before = counted(lab, "drop", reason)
    same(ask(), "reset")
    assert counted(lab, "drop", reason) > before, f"no drop for {reason}: {lab.counts()}"
    same(lab.asked, [], "names that reached the application")


ORDERS = [order for order in itertools.permutations(range(3)) if order != (0, 1, 2)]
LOSSES = [(1, 2), (0, 2), (0, 1), (2,), (0, 0, 2, 1), (0, -1, 2), (0, -2, 1), (-1, 0, 2), (0, 1, -2, 2)]


def comes_ahead(order):
    """Whether one comes before what is in front of it. A piece cut anew ends before the next one begins."""
    there = 0
    for index in order:
        begin = abs(index) * SIZE - (OVERLAP if index < 0 else 0)
        if begin > there:
            return True
        there = max(there, begin + SIZE)
    return False


def words_of(order):
    return ", ".join(f"{-i + 1} cut anew" if i < 0 else str(i + 1) for i in order)


def orders(lab, mode, family):
    line, to = lab.line, lab.line.near[family]

    def shakes(name):
        return handshake(lab, name, to, line.far, alpn=MANY)

    def sends(data):
        return answer_to(lab, [data], to, line.far)

    for order in ORDERS + LOSSES if mode == "native" else ORDERS[:3] + LOSSES[:5]:
        with it(f"{mode}, IPv{family}: a large hello whose segments come as {words_of(order)} is served, and refused by its name"):
            line.turn(order, 3)
            early = counted(lab, "drop", "first-early")
            served(lab, lambda: shakes("api.example.com"), "TLSv1.3")
            refused(lab, "tls-sni", lambda: shakes("www.example.com"))
            same(line.turned, 2)
            same(counted(lab, "drop", "first-early") > early, comes_ahead(order), "something came ahead of what was missing")
    for order in ((1, 0), (1,), (0, 0, 1)):
        with it(f"{mode}, IPv{family}: one with a post-quantum share before its name, as {words_of(order)}, likewise"):
            line.turn(order, 2)
            served(lab, lambda: sends(keyed("api.example.com"))[:2], b"\x16\x03")
            refused(lab, "tls-sni", lambda: sends(keyed("www.example.com")))
            same(line.turned, 2)


def again(lab, mode, family):
    """Both are reset by their client, so its port is free at once."""
    line = lab.line
    with it(f"{mode}, IPv{family}: a port that a client uses again begins a stream of its own"):
        line.turn((1, 0), 2)
        port = 0
        for _ in range(3):
            with line.far.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.bind((FAR[family], port))
                client.settimeout(5)
                client.connect((line.near[family], 443))
                port = client.getsockname()[1]
                client.sendall(keyed("api.example.com"))
                same(client.recv(5)[:2], b"\x16\x03")
        same(line.turned, 3)


def unknown(lab, mode, family):
    line, to, long = lab.line, lab.line.near[family], padded("api.example.com", 6000)
    body = hello("api.example.com", alpn=MANY)[5:]
    records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:2000], body[2000:]))
    cases = ((long, 5, (4, 2, 0, 1, 3), "longer than is looked at"), (records, 3, (2, 1, 0), "over two records"))
    for verdict, say in (("drop", "refused"), ("pass", "served and counted")):
        lab.apply(POLICY.format(mode=mode, unknown=verdict, more=""))
        for data, segments, order, what in cases:
            with it(f"{mode}, IPv{family}: a hello {what}, out of order, is unknown: {say}"):
                line.turn(order, segments)
                if verdict == "drop":
                    refused(lab, "tls-split", lambda d=data: answer_to(lab, [d], to, line.far))
                else:
                    before = counted(lab, "would-drop", "tls-split")
                    served(lab, lambda d=data: answer_to(lab, [d], to, line.far)[:2], b"\x16\x03")
                    assert counted(lab, "would-drop", "tls-split") > before, lab.counts()
                same(line.turned, 1)
    lab.apply(POLICY.format(mode=mode, unknown="drop", more=", monitor: true"))
    with it(f"{mode}, IPv{family}: a rule that only monitors serves a name out of order that it would refuse, and counts it"):
        line.turn((1, 2, 0), 3)
        before = counted(lab, "would-drop", "tls-sni") + counted(lab, "would-drop", "first-early")
        same(handshake(lab, "www.example.com", to, line.far, alpn=MANY), "TLSv1.3")
        assert counted(lab, "would-drop", "tls-sni") + counted(lab, "would-drop", "first-early") > before, lab.counts()


def tests(lab):
    lab.asked, lab.line = [], Shuffler(lab)
    lab.line.far.run("ip", "-6", "route", "add", "default", "via", lab.line.near.v6)
    serve(lab)
    for mode in ("native", "generic"):
        for family in (4, 6) if mode == "native" else (4,):
            lab.apply(POLICY.format(mode=mode, unknown="drop", more=""))
            orders(lab, mode, family)
            again(lab, mode, family)
            unknown(lab, mode, family)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("out-of-order", tests)
