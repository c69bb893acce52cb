# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reading pcap and pcapng, writing pcap; frames as Ethernet. Written from the formats' own descriptions."""

import struct
from collections import namedtuple

# data: what was captured; original: the length on the wire; time: nanoseconds since the epoch
Captured = namedtuple("Captured", "data original time")

ETHERNET, NULL, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 1, 0, 101, 108, 113, 228, 229, 276
PREFIX = bytes.fromhex("5254005b1d025254005b1d01")


def as_ethernet(link, data, original):
    """The frame with an Ethernet header of ours in place of the link's, and its length on the wire."""
    if link == ETHERNET:
        return data, original
    skip, kind = 0, 0
    if link in (RAW, 12, 14, IPV4, IPV6):
        kind = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4 if data else 0, 0)
    elif link in (NULL, LOOP) and len(data) >= 4:
        family = max(struct.unpack("<H", data[:2])[0], struct.unpack(">H", data[2:4])[0])
        skip, kind = 4, 0x0800 if family == 2 else 0x86DD if family in (10, 24, 28, 30) else 0
    elif link == SLL and len(data) >= 16:
        skip, kind = 16, struct.unpack(">H", data[14:16])[0]
    elif link == SLL2 and len(data) >= 20:
        skip, kind = 20, struct.unpack(">H", data[:2])[0]
    return PREFIX + struct.pack(">H", kind) + data[skip:], original - skip + 14


def read_pcap(blob, order, nano):
    link = struct.unpack_from(order + "I", blob, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(blob):
        seconds, fraction, size, original = struct.unpack_from(order + "IIII", blob, at)
        data = blob[at + 16 : at + 16 + size]
        if len(data) < size:
            return
        at += 16 + size
        frame, length = as_ethernet(link, data, max(original, size))
        yield Captured(frame, length, seconds * 10**9 + fraction * (1 if nano else 1000))


def interface_of(order, body):
    """Link type and clock ticks a second of an interface description block."""
    link, resolution, at = struct.unpack_from(order + "H", body)[0], 10**6, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            break
        if code == 9:
            value = body[at + 4]
            resolution = 2 ** (value & 127) if value & 128 else 10**value
        at += 4 + (size + 3) // 4 * 4
    return link, resolution


def read_pcapng(blob):
    order, interfaces, at = "<", [], 0
    while at + 12 <= len(blob):
        if blob[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if blob[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, size = struct.unpack_from(order + "II", blob, at)
        if size < 12 or at + size > len(blob):
            return
        body = blob[at + 8 : at + size - 4]
        at += size
        if kind == 1:
            interfaces.append(interface_of(order, body))
        elif kind == 6:
            number, high, low, length, original = struct.unpack_from(order + "IIIII", body)
            link, resolution = interfaces[number]
            frame, original = as_ethernet(link, body[20 : 20 + length], max(original, length))
            yield Captured(frame, original, ((high << 32) | low) * 10**9 // resolution)
        elif kind == 3:
            original = struct.unpack_from(order + "I", body)[0]
            frame, original = as_ethernet(interfaces[0][0], body[4 : 4 + original], original)
            yield Captured(frame, original, 0)


def read(path):
    with open(path, "rb") as file:
        blob = file.read()
    magics = {
        b"\xd4\xc3\xb2\xa1": ("<", False),
        b"\xa1\xb2\xc3\xd4": (">", False),
        b"\x4d\x3c\xb2\xa1": ("<", True),
        b"\xa1\xb2\x3c\x4d": (">", True),
    }
    if blob[:4] == b"\x0a\x0d\x0d\x0a":
        return list(read_pcapng(blob))
    if blob[:4] not in magics:
        raise ValueError(f"{path}: neither pcap nor pcapng")
    return list(read_pcap(blob, *magics[blob[:4]]))


def write(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, ETHERNET))
        for packet in packets:
            seconds, fraction = divmod(packet.time, 10**9)
            file.write(struct.pack("<IIII", seconds, fraction, len(packet.data), packet.original) + packet.data)
