# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Frames, byte by byte: lawful ones with right lengths and sums, and every lie on demand."""

import socket
import struct
import time

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
HOP, ROUTING, FRAGMENT, DSTOPTS, AH = 0, 43, 44, 60, 51
ARP, IPV4, IPV6, VLAN, QINQ = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
PADDING = b"\0\1\4\0\0\0\0"  # length 0, PadN: fills an extension header of options to eight bytes


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo(source, destination, protocol, payload):
    one, two = address(source), address(destination)
    if len(one) == 4:
        return one + two + struct.pack("!HH", protocol, len(payload)) + payload
    return one + two + struct.pack("!II", len(payload), protocol) + payload


def ethernet(to, sender, payload, kind=None, tags=()):
    """tags: VLAN ids, or (type, id)."""
    if kind is None:
        kind = IPV4 if payload[0] >> 4 == 4 else IPV6
    head = to + sender
    for tag in tags:
        ethertype, number = tag if isinstance(tag, tuple) else (VLAN, tag)
        head += struct.pack("!HH", ethertype, number)
    return head + struct.pack("!H", kind) + payload


def ipv4(source, destination, protocol, payload, *, ttl=64, options=b"", number=1, offset=0, more=False, total=None,
         version=4, words=None):
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH4s4s", version << 4 | (length // 4 if words is None else words), 0,
                       length + len(payload) if total is None else total, number, offset // 8 | (0x2000 if more else 0),
                       ttl, protocol, 0, address(source), address(destination)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, protocol, payload, *, ttl=64, extensions=(), number=1, offset=0, more=False,
         total=None, version=6):
    """extensions: (type, bytes after the next-header field), outermost first."""
    extensions = list(extensions)
    if offset or more:
        extensions.append((FRAGMENT, struct.pack("!BHI", 0, offset | more, number)))
    kinds = [kind for kind, _ in extensions] + [protocol]
    body = b"".join(bytes([after]) + rest for (_, rest), after in zip(extensions, kinds[1:])) + payload
    return struct.pack("!IHBB16s16s", version << 28, len(body) if total is None else total, kinds[0], ttl,
                       address(source), address(destination)) + body


def ip(source, destination, protocol, payload, **fields):
    return (ipv6 if ":" in source else ipv4)(source, destination, protocol, payload, **fields)


def tcp_header(source, destination, sport, dport, flags, payload=b"", *, sequence=1000, acknowledge=0, words=5):
    head = struct.pack("!HHIIBBHHH", sport, dport, sequence, acknowledge, words << 4, flags, 8192, 0, 0) + payload
    total = checksum(pseudo(source, destination, TCP, head))
    return head[:16] + struct.pack("!H", total) + head[18:]


def udp_header(source, destination, sport, dport, payload=b"", *, length=None):
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload
    total = checksum(pseudo(source, destination, UDP, head)) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + head[8:]


def icmp_header(source, destination, kind, code, rest, payload=b""):
    head = struct.pack("!BBH4s", kind, code, 0, rest) + payload
    total = checksum(pseudo(source, destination, ICMP6, head) if ":" in source else head)
    return head[:2] + struct.pack("!H", total) + head[4:]


def tcp(source, destination, sport, dport, flags, payload=b"", *, sequence=1000, acknowledge=0, words=5, **fields):
    return ip(source, destination, TCP, tcp_header(source, destination, sport, dport, flags, payload, sequence=sequence,
                                                   acknowledge=acknowledge, words=words), **fields)


def udp(source, destination, sport, dport, payload=b"", *, length=None, **fields):
    return ip(source, destination, UDP, udp_header(source, destination, sport, dport, payload, length=length), **fields)


def icmp(source, destination, kind, code=0, rest=b"\0\0\0\0", payload=b"", **fields):
    protocol = ICMP6 if ":" in source else ICMP
    return ip(source, destination, protocol, icmp_header(source, destination, kind, code, rest, payload), **fields)


def echo(source, destination, identifier=7, payload=b"", reply=False, **fields):
    kind = (129 if reply else 128) if ":" in source else (0 if reply else 8)
    return icmp(source, destination, kind, 0, struct.pack("!HH", identifier, 1), payload, **fields)


def too_big(source, destination, quoted, mtu=1400):
    if ":" in source:
        return icmp(source, destination, 2, 0, struct.pack("!I", mtu), quoted)
    return icmp(source, destination, 3, 4, struct.pack("!HH", 0, mtu), quoted)


def send_for_ever(sender, frames):
    """As fast as the machine lets others work, too. For a child process that somebody ends."""
    while True:
        for number, frame in enumerate(frames):
            sender.send(frame)
            if not number % 100:
                time.sleep(0.002)
