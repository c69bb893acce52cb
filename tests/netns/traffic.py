# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Traffic that must not lose a packet, and traffic that must not get one through, in processes of their own."""

import contextlib
import mmap
import os
import socket
import struct
import time

from frames import *  # noqa: F403
from lab import *  # noqa: F403

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def echo_server(lab, family):
    """A process of its own, so that the tester's work does not slow it."""
    server = lab.node.socket(FAMILIES[family], socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    server.bind((lab.eth0[family], 7777))

    def serve():
        while True:
            server.sendto(*server.recvfrom(100))

    pid = child(serve)
    server.close()
    return pid


def flood(lab, sent):
    """Each frame would be answered if it got through: pings, SYNs, questions to the echo service. sent counts them."""
    sender = lab.attacker.raw("a0")
    frames = [ethernet(lab.eth1.mac, lab.a0.mac, packet) for family in (4, 6) for packet in (
        echo(lab.a0[family], lab.eth1[family]), tcp(lab.a0[family], lab.eth1[family], 4000, 443, SYN),
        udp(lab.a0[family], lab.eth0[family], 4000, 7777, b"answer me"))]
    while True:
        for frame in frames * 50:
            with contextlib.suppress(OSError):  # ENOBUFS
                sender.send(frame)
        sent[:8] = struct.pack("=Q", struct.unpack("=Q", sent[:8])[0] + 50 * len(frames))
        time.sleep(0.01)  # the machine is others' too


class Lawful:
    """A client that asks hundreds of times a second, in a process of its own. So slowly that no queue overflows."""

    def __init__(self, lab):
        self.shared = mmap.mmap(-1, 4096)
        self.sockets = []
        for family, kind in FAMILIES.items():
            one = lab.client.socket(kind, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            one.connect((lab.eth0[family], 7777))
            one.setblocking(False)
            self.sockets.append(one)
        self.pid = child(self.ask)

    def answers(self):
        count = 0
        for one in self.sockets:
            with contextlib.suppress(BlockingIOError):
                while one.recv(100):
                    count += 1
        return count

    def ask(self):
        asked = answered = 0
        while not self.shared[0]:
            for one in self.sockets:
                one.send(b"%d" % asked)
                asked += 1
            time.sleep(0.005)
            answered += self.answers()
        end = time.monotonic() + 3
        while answered < asked and time.monotonic() < end:
            time.sleep(0.01)
            answered += self.answers()
        self.shared[8:24] = struct.pack("=QQ", asked, answered)

    def end(self):
        """Questions asked, answers received."""
        self.shared[0] = 1
        os.waitpid(self.pid, 0)
        return struct.unpack("=QQ", self.shared[8:24])


def is_reply(frame):
    """An answer to the flood, as opposed to what hosts say to find each other."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return True
    return kind == b"\x86\xdd" and not (frame[20] == ICMP6 and 130 <= frame[54] <= 143) and frame[20] != HOP
