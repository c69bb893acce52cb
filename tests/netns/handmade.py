# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""TCP connections of which a client makes every segment itself: also those that no kernel would send."""

import struct

from frames import *  # noqa: F403
from lab import *  # noqa: F403

URG = 0x20
SOURCE = {4: "45.33.1.9", 6: "2a01:7e00:1::9"}  # nobody's: no kernel answers in its name
ports = iter(range(20000, 60000))


def introduce(lab):
    """Tells the node where these clients are."""
    for family in (4, 6):
        lab.node.run("ip", "neighbour", "replace", SOURCE[family], "lladdr", lab.c0.mac.hex(":"), "dev", "eth0", "nud", "permanent")


class Client:
    """A TCP connection made by hand."""

    def __init__(self, lab, port=443, family=4, completes=True):
        self.lab, self.me, self.peer, self.family = lab, SOURCE[family], lab.eth0[family], family
        self.mine, self.port, self.start, self.next = next(ports), port, 5000, 0
        self.capture, self.received, self.ended = Capture(lab.client, "c0"), b"", False
        lab.undo.callback(self.capture.close)
        self.sender = lab.client.raw("c0")
        lab.undo.callback(self.sender.close)
        self.frame(SYN, b"", self.start - 1)
        wait(lambda: self.listen() or self.next, "the SYN-ACK", 30)
        if completes:
            self.send(0, b"")

    def frame(self, flags, data, sequence, wrong=False):
        packet = tcp(self.me, self.peer, self.mine, self.port, flags, data, sequence=sequence, acknowledge=self.next)
        if wrong:  # the checksum, which only the kernel looks at
            at = (20 if self.family == 4 else 40) + 16
            packet = packet[:at] + bytes([packet[at] ^ 0x55]) + packet[at + 1:]
        self.sender.send(ethernet(self.lab.eth0.mac, self.lab.c0.mac, packet))

    def send(self, offset, data, flags=ACK, wrong=False):
        self.frame(flags | (PSH if data else 0), data, self.start + offset, wrong)

    def fragments(self, data, cut, order=(0, 1), options=b"", start=0, number=None):
        """A segment of its stream, by default of the beginning, in two fragments: the first holds `cut` bytes of its options and data."""
        segment = tcp_header(self.me, self.peer, self.mine, self.port, ACK | PSH, options + data, sequence=self.start + start, acknowledge=self.next,
                             words=5 + len(options) // 4)
        at, number = 20 + cut, number or next(ports)
        packets = (ip(self.me, self.peer, TCP, segment[:at], number=number, more=True),
                   ip(self.me, self.peer, TCP, segment[at:], number=number, offset=at))
        for index in order:
            self.sender.send(ethernet(self.lab.eth0.mac, self.lab.c0.mac, packets[index]))

    def listen(self):
        """Takes what has come, and acknowledges it."""
        at = 34 if self.family == 4 else 54
        for frame in self.capture.drain():
            if frame[at:at + 4] != struct.pack("!HH", self.port, self.mine):
                continue
            sequence, = struct.unpack("!I", frame[at + 4:at + 8])
            length = struct.unpack("!H", frame[16:18])[0] - 20 if self.family == 4 else struct.unpack("!H", frame[18:20])[0]
            data = frame[at + (frame[at + 12] >> 4) * 4:at + length]
            self.ended |= bool(frame[at + 13] & RST)
            if frame[at + 13] & SYN:
                self.next = sequence + 1
            elif data and sequence == self.next:
                self.received += data
                self.next += len(data)

    def outcome(self):
        """What the server makes of it: "reset", or the first bytes of its answer."""
        def came():
            self.listen()
            return self.ended or self.received
        wait(came, "an answer", 30)
        return "reset" if self.ended else self.received[:2]

    def acknowledged(self, offset):
        """Waits until the kernel has taken so much of the stream, in order."""
        def taken():
            rows = self.lab.node.run("ss", "-Htin", "sport", "=", f":{self.port}", "dport", "=", f":{self.mine}")
            return f"bytes_received:{offset}" in rows
        wait(taken, f"{offset} bytes to be received", 30)


def counted(lab, verdict, reason, before=0):
    wait(lambda: lab.counts().get((verdict, reason), 0) > before, f"{verdict} {reason}", 30)


def refused(lab, reason, client, do):
    before = lab.counts().get(("drop", reason), 0)
    do()
    same(client.outcome(), "reset")
    counted(lab, "drop", reason, before)
