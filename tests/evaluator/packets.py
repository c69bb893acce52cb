# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A frame taken apart, slowly, from the RFCs and the product's words."""

import struct

ARP = 0x0806
VLAN_TYPES = (0x8100, 0x88A8)
HOPOPTS, ICMP, IGMP, TCP, UDP, ROUTING, FRAGMENT, AH, ICMPV6, DSTOPTS, SCTP, MOBILITY, HIP, SHIM6 = (
    0, 1, 2, 6, 17, 43, 44, 51, 58, 60, 132, 135, 139, 140)
EXTENSIONS = (HOPOPTS, ROUTING, FRAGMENT, AH, DSTOPTS, MOBILITY, HIP, SHIM6)
EXTENSIONS_WALKED = 8
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Refused(Exception):
    """The packet ends here, with this reason."""


class CutOff(Exception):
    """The capture ends before the headers do."""


class Packet:
    def __init__(self, frame):
        self.frame = frame
        self.version = 0  # 4 or 6 once there are addresses
        self.source = self.destination = None  # (version, number)
        self.protocol = self.ttl = None
        self.source_port = self.destination_port = 0
        self.flags = 0
        self.icmp_type = self.icmp_code = None
        self.fragment = None  # "first", "later"
        self.fragment_id = 0
        self.payload = b""  # from the transport header to the end of the datagram

    def is_icmp(self):
        return self.protocol == (ICMPV6 if self.version == 6 else ICMP)

    def flow(self):
        """The key of what this host asked for, local end first."""
        return (self.protocol, self.destination, self.destination_port, self.source, self.source_port)


def link(frame):
    """(type, offset) of what the frame carries behind at most two tags."""
    if len(frame) < 14:
        raise Refused("malformed-ethernet")
    at, kind = 14, struct.unpack_from(">H", frame, 12)[0]
    for _ in range(2):
        if kind not in VLAN_TYPES:
            break
        if len(frame) < at + 4:
            raise Refused("malformed-ethernet")
        kind = struct.unpack_from(">H", frame, at + 2)[0]
        at += 4
    if kind in VLAN_TYPES:
        raise Refused("unparsed-vlan")
    return kind, at


def note_fragment(packet, offset, more):
    if not offset and not more:
        return
    packet.fragment = "later" if offset else "first"
    length = len(packet.payload)
    if offset + length > 65535 or (more and (length % 8 or not length)):
        raise Refused("fragment-bogus")


def parse_ipv4(packet, data):
    if len(data) < 20:
        raise Refused("malformed-ipv4")
    first, _, total, ident, offset, ttl, protocol = struct.unpack_from(">BBHHHBB", data)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20 or total < header or total > len(data):
        raise Refused("malformed-ipv4")
    packet.version = 4
    packet.source = (4, int.from_bytes(data[12:16], "big"))
    packet.destination = (4, int.from_bytes(data[16:20], "big"))
    packet.protocol, packet.ttl, packet.fragment_id = protocol, ttl, ident
    packet.payload = data[header:total]
    note_fragment(packet, (offset & 0x1FFF) * 8, bool(offset & 0x2000))


def extension_size(kind, header):
    if kind == FRAGMENT:
        return 8
    return (header[1] + 2) * 4 if kind == AH else (header[1] + 1) * 8


def walk_extensions(packet):
    for number in range(EXTENSIONS_WALKED + 1):
        if packet.fragment == "later" or packet.protocol not in EXTENSIONS:
            return
        if number == EXTENSIONS_WALKED:
            raise Refused("unparsed-extension")
        header, kind = packet.payload, packet.protocol
        if len(header) < 8:
            raise Refused("malformed-extension")
        if (kind == HOPOPTS and number) or (kind == ROUTING and header[2] == 0):
            raise Refused("malformed-extension")
        size = extension_size(kind, header)
        if size > len(header):
            raise Refused("malformed-extension")
        packet.protocol, packet.payload = header[0], header[size:]
        if kind == FRAGMENT:
            field, packet.fragment_id = struct.unpack_from(">HI", header, 2)
            note_fragment(packet, field & 0xFFF8, bool(field & 1))


def parse_ipv6(packet, data):
    if len(data) < 40:
        raise Refused("malformed-ipv6")
    first, length, protocol, ttl = struct.unpack_from(">IHBB", data)
    if first >> 28 != 6 or length + 40 > len(data):
        raise Refused("malformed-ipv6")
    packet.version = 6
    packet.source = (6, int.from_bytes(data[8:24], "big"))
    packet.destination = (6, int.from_bytes(data[24:40], "big"))
    packet.protocol, packet.ttl = protocol, ttl
    packet.payload = data[40 : 40 + length]
    walk_extensions(packet)


def impossible(flags):
    """Sets of flags that no stack sends."""
    if flags & SYN:
        return bool(flags & (FIN | RST))
    if not flags & (ACK | RST):
        return True
    return flags & (FIN | RST) == FIN | RST


def parse_transport(packet):
    data, tiny = packet.payload, "fragment-tiny" if packet.fragment else None
    if packet.protocol == TCP:
        if len(data) < 20:
            raise Refused(tiny or "malformed-tcp")
        offset = data[12] >> 4
        if offset < 5:
            raise Refused("malformed-tcp")
        if offset * 4 > len(data):
            raise Refused(tiny or "malformed-tcp")
        packet.source_port, packet.destination_port = struct.unpack_from(">HH", data)
        packet.flags = data[13]
        if impossible(packet.flags):
            raise Refused("malformed-tcp-flags")
        if not packet.source_port or not packet.destination_port:
            raise Refused("malformed-port")
    elif packet.protocol == UDP:
        if len(data) < 8:
            raise Refused(tiny or "malformed-udp")
        source, destination, length = struct.unpack_from(">HHH", data)
        if length < 8 or (not packet.fragment and length > len(data)):
            raise Refused("malformed-udp")
        packet.source_port, packet.destination_port = source, destination
        if not destination:
            raise Refused("malformed-port")
    elif packet.is_icmp():
        if len(data) < 8:
            raise Refused(tiny or "malformed-icmp")
        packet.icmp_type, packet.icmp_code = data[0], data[1]
        if packet.icmp_type in ((128, 129) if packet.version == 6 else (8, 0)):
            packet.source_port = packet.destination_port = struct.unpack_from(">H", data, 4)[0]
    elif packet.protocol == SCTP:
        if len(data) < 12:
            raise Refused(tiny or "malformed-sctp")
        packet.source_port, packet.destination_port = struct.unpack_from(">HH", data)
        if not packet.source_port or not packet.destination_port:
            raise Refused("malformed-port")


def quic(datagram, taken):
    """What is wrong with a datagram to a server of QUIC that takes these versions, or None."""
    length, data = struct.unpack_from(">H", datagram, 4)[0] - 8, datagram[8:]
    if not length or not data:
        return "quic-malformed"
    if not data[0] & 0x80:
        return None
    lengths, at = [], 5
    for _ in range(2):
        if at >= min(length, len(data)):
            return "quic-malformed"
        lengths.append(data[at])
        at += 1 + data[at]
    if at > length:
        return "quic-malformed"
    version = int.from_bytes(data[1:5], "big")
    if not version or all(byte & 15 == 10 for byte in data[1:5]):
        return "quic-unknown"
    if version not in taken:
        return "quic-version" if version in (1, 0x6B3343CF) else "quic-unknown"
    if version not in (1, 0x6B3343CF):
        return None
    kind = ["initial", "0-rtt", "handshake", "retry"][((data[0] >> 4) - (version != 1)) % 4]
    wrong = max(lengths) > 20 or kind == "retry" or (kind == "initial" and length < 1200)
    return "quic-malformed" if wrong else None


def parse(packet):
    """Fills the packet; False when the frame is not IP. Raises Refused."""
    kind, at = link(packet.frame)
    if kind == 0x0800:
        parse_ipv4(packet, packet.frame[at:])
    elif kind == 0x86DD:
        parse_ipv6(packet, packet.frame[at:])
    else:
        return False
    if packet.fragment != "later":
        parse_transport(packet)
    return True


class Looker:
    """Which headers a frame has, without judging them: for captures that kept only the beginning of a packet."""

    def __init__(self, data, original):
        self.data, self.original = data, original

    def at(self, offset, size):
        if offset + size <= len(self.data):
            return self.data[offset : offset + size]
        if offset + size <= self.original:
            raise CutOff()
        return None


def glance(data, original):
    """Ends, flags and where the headers are: a dict, or {} for what is not IP. Raises CutOff."""
    look, at, seen = Looker(data, original), 14, {}
    kind = look.at(12, 2)
    kind = struct.unpack(">H", kind)[0] if kind else 0
    for _ in range(2):
        if kind in VLAN_TYPES:
            tag = look.at(at, 4)
            if tag is None:
                return {}
            kind, at = struct.unpack(">H", tag[2:])[0], at + 4
    if kind == 0x0800:
        header = look.at(at, 20)
        if header is None or header[0] >> 4 != 4 or header[0] & 15 < 5:
            return {}
        seen.update(version=4, protocol=header[9], later=bool(struct.unpack_from(">H", header, 6)[0] & 0x1FFF))
        seen.update(source=(4, int.from_bytes(header[12:16], "big")))
        seen.update(destination=(4, int.from_bytes(header[16:20], "big")))
        at += (header[0] & 15) * 4
    elif kind == 0x86DD:
        header = look.at(at, 40)
        if header is None or header[0] >> 4 != 6:
            return {}
        seen.update(version=6, protocol=header[6], later=False)
        seen.update(source=(6, int.from_bytes(header[8:24], "big")))
        seen.update(destination=(6, int.from_bytes(header[24:40], "big")))
        at += 40
        for number in range(64):
            seen["headers"] = number
            if seen["later"] or seen["protocol"] not in EXTENSIONS:
                break
            header = look.at(at, 8)
            if header is None:
                return seen
            kind = seen["protocol"]
            if kind == FRAGMENT:
                seen["later"] = bool(struct.unpack_from(">H", header, 2)[0] & 0xFFF8)
            at, seen["protocol"] = at + extension_size(kind, header), header[0]
    else:
        return {}
    glance_transport(look, at, seen)
    return seen


def glance_transport(look, at, seen):
    protocol = seen["protocol"]
    if seen["later"]:
        return
    size = {TCP: 20, UDP: 8, SCTP: 12, ICMP: 8, ICMPV6: 8}.get(protocol)
    header = look.at(at, size) if size else None
    if header is None:
        return
    if protocol in (ICMP, ICMPV6):
        seen.update(icmp_type=header[0], ident=struct.unpack_from(">H", header, 4)[0])
        error = 1 <= header[0] <= 4 if seen["version"] == 6 else header[0] in (3, 11, 12)
        if error:
            quoted = look.at(at + 8, 48 if seen["version"] == 6 else 20)
            if quoted and seen["version"] == 4:
                look.at(at + 8, (quoted[0] & 15) * 4 + 8)
        return
    seen["ports"] = struct.unpack_from(">HH", header)
    if protocol == TCP:
        seen["flags"] = header[13]
