#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The floor under a flood: a neighbour that sends ARP, neighbour discovery or DHCP without end is held to what a link
needs, by its MAC address; its neighbours go on being heard, and so does it when it stops."""

import os
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web: {{ ports: tcp/443 }}
"""
NEIGHBOUR = {4: "46.30.2.77", 6: "2a01:7e00:2::77"}
NEIGHBOUR_MAC = bytes.fromhex("020000000077")
FLOOD = 5000
RATE = 1000  # a second, and as many at once


def asks_neighbour(source, mac, target, family):
    """Who has target?"""
    if family == 4:
        body = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + mac + address(source) + bytes(6) + address(target)
        return b"\xff" * 6 + mac + struct.pack("!H", ARP) + body
    option = b"\1\1" + mac
    return ethernet(bytes.fromhex("3333ff") + address(target)[-3:], mac,
                    icmp(source, f"ff02::1:ff00:{address(target)[-1]:x}", 135, 0, bytes(4), address(target) + option, ttl=255))


def is_answer(frame, mac, target, family):
    """Target says to mac where it is."""
    if frame[:6] != mac:
        return False
    if family == 4:
        return frame[12:14] == struct.pack("!H", ARP) and frame[20:22] == b"\0\2" and frame[28:32] == address(target)
    return frame[12:14] == struct.pack("!H", IPV6) and frame[54] == 136 and frame[62:78] == address(target)


def heard(lab, family, mac=NEIGHBOUR_MAC, source=None):
    """Whether the node answers another neighbour on the flooded link."""
    me, source = lab.eth1[family], source or NEIGHBOUR[family]
    replies = Capture(lab.attacker, "a0")
    try:
        with lab.attacker.raw("a0") as sender:
            sender.send(asks_neighbour(source, mac, me, family))
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            if any(is_answer(frame, mac, me, family) for frame in replies.drain(0.01)):
                return True
        return False
    finally:
        replies.close()


def floods(lab):
    """name, families, frame"""
    node, mine = lab.eth1.mac, lab.a0.mac
    yield "ARP requests", 4, asks_neighbour(lab.a0.v4, mine, lab.eth1.v4, 4)
    yield "neighbour solicitations", 6, asks_neighbour(lab.a0.v6, mine, lab.eth1.v6, 6)
    yield "DHCP answers", 4, ethernet(node, mine, udp(lab.a0.v4, lab.eth1.v4, 67, 68, bytes(240)))
    yield "router advertisements", 6, ethernet(node, mine, icmp("fe80::7", "ff02::1", 134, 0, bytes(4), bytes(8), ttl=255))


def counted(lab, verdict, reason):
    return lab.counts().get((verdict, reason), 0)


def send(lab, frame, count):
    """Sends it as fast as it goes; how many came to the shield, in which time."""
    overflowed, start = lab.attacker.overflowed("a0"), time.monotonic()
    with lab.attacker.raw("a0") as sender:
        for _ in range(count):
            sender.send(frame)
    return count - (lab.attacker.overflowed("a0") - overflowed), time.monotonic() - start


def try_flood(lab, mode, name, family, frame):
    with it(f"{mode}: {name} from one neighbour: no more than a link needs"):
        time.sleep(1.1)  # what it owes from the last flood
        dropped, passed = counted(lab, "drop", "floor-rate"), counted(lab, "pass", "floor")
        sent, seconds = send(lab, frame, FLOOD)
        wait(lambda: counted(lab, "drop", "floor-rate") - dropped + counted(lab, "pass", "floor") - passed >= sent, "all of them")
        passed, dropped = counted(lab, "pass", "floor") - passed, counted(lab, "drop", "floor-rate") - dropped
        assert passed <= RATE * (1.1 + seconds) + 50, f"{passed} of {sent} passed in {seconds:.2f} s"
        assert dropped >= sent - RATE * (1.1 + seconds) - 50, f"{dropped} of {sent} dropped in {seconds:.2f} s"
    if name not in ("ARP requests", "neighbour solicitations"):
        return
    with it(f"{mode}: {name}: another neighbour is heard meanwhile, and the flooder when it has stopped"):
        flooder = child(endless, lab, frame)
        try:
            before = counted(lab, "drop", "floor-rate")
            wait(lambda: counted(lab, "drop", "floor-rate") > before, "drops")
            wait(lambda: heard(lab, family), "the neighbour's answer", 30)
            assert counted(lab, "drop", "floor-rate") > before
        finally:
            stop_child(flooder)
        wait(lambda: heard(lab, family, lab.a0.mac, lab.a0[family]), "the flooder's answer", 30)


def endless(lab, frame):
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, [frame] * 100)


def tests(lab):
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode))
        for name, family, frame in floods(lab):
            try_flood(lab, mode, name, family, frame)
            if mode == "generic":
                break  # the same program decides
    with it("frames that are not of IP may be a line's whole traffic"):
        lab.apply(POLICY.format(mode="native"))
        dropped = counted(lab, "drop", "floor-rate")
        frame = ethernet(lab.eth1.mac, lab.a0.mac, b"session".ljust(200), kind=0x8864)
        sent, _ = send(lab, frame, FLOOD)
        assert sent > RATE * 2, f"only {sent} came through"
        same(counted(lab, "drop", "floor-rate") - dropped, 0)


main("floor", tests)
