# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Random captures: conversations of all kinds between addresses and ports that policies care about, mixed with frames
that lie. Seeded: the same seed makes the same capture."""

import ipaddress
import random
import struct

from captures import Captured

OWN = ["192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11"]
SOURCES = {
    4: """45.33.1.5 45.33.1.6 45.10.20.9 45.10.19.255 45.10.21.0 46.30.40.3 46.30.40.16 203.0.113.5 203.0.112.255
        198.51.100.7 198.51.100.8 47.1.2.3 47.2.0.1 99.1.2.3 99.1.2.200 99.128.0.1 99.1.3.255 8.8.4.4 15.255.255.255
        16.0.0.0 10.1.2.3 192.168.1.1 80.81.192.1 192.0.2.10 192.0.2.12 0.1.2.3 127.0.0.1 224.0.0.5
        255.255.255.255""".split(),
    6: """2a01:4f8::5 2a01:4f8::6 2a01:77::9 2a01:78::1 2a02:30:40::3 2a02:30:41::3 2001:db8:bad::5 2001:db8:bae::5
        2001:db8:1::7 2001:db8:1::8 2a03:1::3 2a03:1::4 2a03:1:2::9 2a03:2::3 2a00:1450::44 2a20::1 fe80::1 ff02::1 ::1
        :: ::ffff:46.30.40.3 2001:db8::10 fd00::1 2001:7f8::1""".split(),
}
DESTINATIONS = {
    4: OWN[:2] * 6 + "192.0.2.12 8.8.8.8 224.0.0.251 255.255.255.255 127.0.0.1 0.0.0.0".split(),
    6: OWN[2:] * 6 + "2001:db8::12 2a00:1450::8 ff02::fb ff02::1 ::1 fe80::10".split(),
}
PORTS = [443, 80, 8443, 8444, 9000, 9010, 8999, 9011, 53, 4433, 3868, 68, 67, 546, 547, 0, 22, 161, 40000, 40001, 50000]
CLIENT_PORTS = [4000, 4001, 53, 443, 67, 547, 123, 0, 65535]
ICMP4, ICMP6 = [0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 17], [1, 2, 3, 4, 128, 129, 130, 133, 134, 135, 136, 137, 143, 139, 200]
PROTOCOLS = [6, 17, 132, 1, 58, 2, 47, 50, 51, 112, 4, 41, 59, 253, 0, 60, 43, 44]


class Maker:
    def __init__(self, seed, extra_sources=()):
        self.random = random.Random(seed)
        self.sources = {version: list(known) for version, known in SOURCES.items()}
        for address in extra_sources:
            self.sources[ipaddress.ip_address(address).version].append(address)
        self.time = 1_700_000_000 * 2**30  # in steps of 1024 ns: limiters round to 64
        self.packets = []
        self.recent = []  # network layers seen lately, for ICMP errors to quote

    # ---- layers

    def chance(self, probability):
        return self.random.random() < probability

    def tcp(self, source, destination, flags, size=0):
        return struct.pack(">HHIIBBHHH", source, destination, 1, 1, 0x50, flags, 64240, 0, 0) + bytes(size)

    def udp(self, source, destination, size):
        return struct.pack(">HHHH", source, destination, 8 + size, 0) + bytes(size)

    def extensions(self, protocol):
        """A chain of extension headers, sometimes a wrong one: (first protocol, bytes)."""
        chain = b""
        for _ in range(self.random.choice([1, 1, 2, 3, 7, 8, 9])):
            kind = self.random.choice([60, 60, 43, 135, 139, 140, 51, 0, 44])
            body = bytearray(self.random.choice([8, 8, 8, 16, 24]))
            body[0], body[1] = protocol, len(body) // 8 - 1
            if kind == 43:
                body[2] = self.random.choice([2, 3, 4, 0])
            elif kind == 51:
                body[1] = len(body) // 4 - 2
            elif kind == 44:
                body = bytearray(struct.pack(">BBHI", protocol, 0, self.random.choice([0, 0, 1, 1480]), 7))
            if self.chance(0.05):
                body[1] = self.random.randrange(256)
            chain = bytes(body) + chain
            protocol = kind
        if self.chance(0.5):
            chain = struct.pack(">BBHI", protocol, 0, 0x0104, 0) + chain
            protocol = 0
        return protocol, chain

    def network(self, source, destination, protocol, payload, ttl=64, fragment=None):
        """fragment: (offset in bytes, more, id)"""
        source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
        offset, more, ident = fragment or (0, False, self.random.randrange(65536))
        if source.version == 4:
            options = b"\x01" * self.random.choice([0] * 9 + [4, 8, 40])
            field = offset // 8 | (0x2000 if more else 0)
            return struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, field,
                               ttl, protocol, 0, source.packed, destination.packed) + options + payload
        if fragment:
            payload = struct.pack(">BBHI", protocol, 0, offset | (1 if more else 0), ident) + payload
            protocol = 44
        if self.chance(0.1):
            protocol, chain = self.extensions(protocol)
            payload = chain + payload
        return struct.pack(">IHBB16s16s", 6 << 28, len(payload), protocol, ttl, source.packed, destination.packed) + payload

    def frame(self, network):
        tags = b"".join(struct.pack(">HH", self.random.choice([0x8100, 0x88A8]), self.random.randrange(65536))
                        for _ in range(self.random.choice([0] * 12 + [1, 1, 2, 3])))
        kind = {4: 0x0800, 6: 0x86DD}.get(network[0] >> 4, 0x88CC)
        data = bytes.fromhex("5254005b1d025254005b1d01") + tags + struct.pack(">H", kind) + network
        return data.ljust(60, b"\0")

    def quic(self):
        """The beginning of a datagram of QUIC, often a wrong one."""
        version = self.random.choice([1, 1, 1, 0x6B3343CF, 0x6B3343CF, 0, 0x1A2A3A4A, 0xFF00001D, 0x12345678])
        ids = b"".join(bytes([size]) + bytes(size) for size in self.random.choices([0, 8, 8, 20, 21, 255], k=2))
        first = self.random.choice([0x80, 0xC0, 0xD0, 0xE0, 0xF0, 0x40, 0x00])
        data = bytes([first]) + version.to_bytes(4, "big") + ids
        if self.chance(0.2):
            return data[: self.random.randrange(len(data) + 1)]
        return data.ljust(self.random.choice([0, 100, 1199, 1200, 1252]), b"\0")

    def datagram(self):
        client, own = self.calm_ends()
        data, ports = self.quic(), (self.random.choice([4000, 53]), self.random.choice([443, 4433, 9000]))
        payload = struct.pack(">HHHH", *ports, 8 + len(data), 0) + data
        self.emit(self.network(client, own, 17, payload))

    # ---- onto the wire

    def pass_time(self):
        self.time += self.random.choice([1, 100, 1000, 1000, 10**4, 10**5]) * 1024
        if self.chance(0.002):
            self.time += self.random.choice([5, 13, 47, 200]) * 10**6 * 1024

    def emit(self, network, honest=False):
        self.pass_time()
        self.recent = (self.recent + [network])[-40:]
        data = bytearray(self.frame(network))
        if not honest and self.chance(0.15):
            for _ in range(self.random.choice([1, 1, 2, 5])):
                data[self.random.randrange(12, min(len(data), 90))] = self.random.randrange(256)
        if not honest and self.chance(0.05):
            del data[self.random.randrange(14, len(data)) :]
        captured = bytes(data)
        if self.chance(0.02):  # a snaplen
            captured = captured[: self.random.randrange(20, max(21, len(captured)))]
        self.packets.append(Captured(captured, len(data), self.time))

    # ---- conversations

    def ends(self):
        version = self.random.choice([4, 6])
        return self.random.choice(self.sources[version]), self.random.choice(DESTINATIONS[version])

    def calm_ends(self):
        """Two ends that could really talk."""
        version = self.random.choice([4, 6])
        while True:
            source = ipaddress.ip_address(self.random.choice(self.sources[version]))
            if not (source.is_multicast or source.is_loopback or source.is_unspecified):
                return str(source), self.random.choice([own for own in OWN if (":" in own) == (version == 6)])

    def stray_packet(self):
        source, destination = self.ends()
        protocol = self.random.choice(PROTOCOLS)
        ports = self.random.choice(CLIENT_PORTS), self.random.choice(PORTS)
        if protocol == 6:
            payload = self.tcp(*ports, self.random.choice([2, 2, 2, 16, 4, 18, 0, 1, 3, 6, 41, 17, 24, 194]))
        elif protocol == 17:
            payload = self.udp(*ports, self.random.randrange(64))
        elif protocol == 132:
            payload = struct.pack(">HHII", *ports, 0, 0)
        elif protocol in (1, 58):
            kind = self.random.choice(ICMP6 if ":" in source else ICMP4)
            payload = struct.pack(">BBHHH", kind, self.random.choice([0, 0, 4]), 0, 7, 1) + bytes(24)
        else:
            payload = bytes(self.random.randrange(40))
        if self.chance(0.1):
            payload = payload[: self.random.randrange(len(payload) + 1)]
        fragment = None
        if self.chance(0.1):
            fragment = (self.random.choice([0, 0, 8, 1480, 65528]), self.chance(0.5), self.random.randrange(4))
            if self.chance(0.8):
                payload = payload.ljust((len(payload) + 7) // 8 * 8, b"\0")
        self.emit(self.network(source, destination, protocol, payload, self.random.choice([64, 255, 1, 254]), fragment))

    def handshake(self):
        client, own = self.calm_ends()
        ports = self.random.choice([4000, 4001, 5000]), self.random.choice([443, 80, 8443, 22])
        steps = [(False, 2), (True, 18), (False, 16), (False, 24), (True, 24), (False, 17), (True, 17), (False, 16)]
        for back, flags in steps[self.random.choice([0, 0, 0, 2, 3]) : self.random.randrange(3, 9)]:
            self.segment(client, own, ports, back, flags)
        if self.chance(0.3):
            self.segment(client, own, ports, self.chance(0.5), 4)

    def segment(self, client, own, ports, back, flags):
        source, destination = (own, client) if back else (client, own)
        order = ports[::-1] if back else ports
        self.emit(self.network(source, destination, 6, self.tcp(*order, flags)), honest=back)

    def outbound_connection(self):
        peer, own = self.calm_ends()
        ports = self.random.choice([50000, 50001]), 443
        for back, flags in [(False, 2), (True, 18), (False, 16), (True, 24)][: self.random.randrange(1, 5)]:
            self.segment(own, peer, ports, back, flags)

    def question(self):
        peer, own = self.calm_ends()
        here, there = self.random.choice([40000, 40001, 53, 4433]), self.random.choice([53, 123, 443])
        for _ in range(self.random.choice([1, 1, 2, 3])):
            if self.chance(0.8):
                self.emit(self.network(own, peer, 17, self.udp(here, there, 30)), honest=True)
            if self.chance(0.8):
                self.emit(self.network(peer, own, 17, self.udp(there + self.chance(0.1), here, 30)))

    def echo(self):
        peer, own = self.calm_ends()
        six, ident = ":" in own, self.random.randrange(3)
        request, reply, protocol = (128, 129, 58) if six else (8, 0, 1)
        if self.chance(0.6):
            self.emit(self.network(own, peer, protocol, struct.pack(">BBHHH", request, 0, 0, ident, 1)), honest=True)
        self.emit(self.network(peer, own, protocol, struct.pack(">BBHHH", reply, 0, 0, ident, 1)))

    def error(self):
        """An ICMP error that quotes something seen lately."""
        if not self.recent:
            return
        quoted = self.random.choice(self.recent)
        six = quoted[0] >> 4 == 6
        packed = quoted[8:24] if six else quoted[12:16]
        about = str(ipaddress.ip_address(packed)) if self.chance(0.9) else (OWN[3] if six else OWN[1])
        kind = self.random.choice([1, 2, 3, 4] if six else [3, 3, 11, 12])
        router = self.random.choice(self.sources[6 if six else 4])
        payload = struct.pack(">BBHI", kind, self.random.choice([0, 1, 3, 4]), 0, 1400) + quoted[: self.random.choice([28, 48, 60, 100])]
        self.emit(self.network(router, about, 58 if six else 1, payload))

    def fragments(self):
        client, own = self.calm_ends()
        ident, data = self.random.randrange(1000), self.udp(4000, self.random.choice([53, 9000, 161]), 3000)
        parts = [(at, data[at : at + 1480]) for at in range(0, len(data), 1480)]
        if self.chance(0.3):
            self.random.shuffle(parts)
        for at, part in parts:
            self.emit(self.network(client, own, 17, part, 64, (at, at + 1480 < len(data), ident)))

    def burst(self):
        """Enough of one kind to use up a budget."""
        client, own = self.calm_ends()
        six = ":" in own
        kind, port = self.random.choice(["echo", "stray", "syn", "udp"]), self.random.choice([443, 53, 9000, 9005, 4433])
        for _ in range(self.random.choice([10, 60, 120])):
            if kind == "syn":
                network = self.network(client, own, 6, self.tcp(self.random.randrange(1024, 65536), 443, 2))
            elif kind == "udp":
                network = self.network(client, own, 17, self.udp(4000, port, self.random.choice([0, 100, 1400])))
            elif kind == "echo":
                network = self.network(client, own, 58 if six else 1, struct.pack(">BBHHH", 128 if six else 8, 0, 0, 1, 1))
            else:
                network = self.network(client, own, 6, self.tcp(6000, 443, 16))
            self.emit(network, honest=True)

    def capture(self, count):
        kinds = [self.stray_packet] * 12 + [self.handshake] * 4 + [self.datagram] * 2 + [self.outbound_connection, self.question, self.question, self.echo,
                                                                  self.error, self.error, self.fragments]
        while len(self.packets) < count:
            if self.chance(0.01):
                self.burst()
            else:
                self.random.choice(kinds)()
        return self.packets
