#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Frames of 9000 bytes: native XDP sees them in pieces (xdp.frags), generic XDP sees many segments as one packet."""

import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

MTU = 9000
POLICY = """
mode: {mode}
lists:
  bad: {{ addresses: [46.30.66.0/24, "2a01:66::/48"] }}
block: [bad]
services:
  web:  {{ ports: tcp/443 }}
  bulk: {{ ports: udp/5000 }}
"""
BAD = {4: "46.30.66.6", 6: "2a01:66::6"}
STRANGER = {4: "46.30.7.7", 6: "2a01:7::7"}
SIZE = 32 << 20


def frame_of(lab, source, family, port, **fields):
    payload = bytes(MTU - (28 if family == 4 else 48))
    return ethernet(lab.eth1.mac, lab.a0.mac, udp(source, lab.eth1[family], 4000, port, payload, **fields))


def lengths(capture, sender, frame):
    """Lengths of the large frames that came through, the lawful last one included."""
    frames = []
    sender.send(frame)
    wait(lambda: frames.extend(capture.drain(0.02)) or frame in frames, "the last frame")
    return [len(one) for one in frames if len(one) > 8000]


def try_family(lab, mode, family):
    with it(f"{mode}, IPv{family}: a ping that fills the frame is answered"):
        assert pings(lab.client, lab.eth0[family], "-M", "do", "-s", str(MTU - (28 if family == 4 else 48)))
    with it(f"{mode}, IPv{family}: a large download and a large upload in large segments"):
        got = lab.client.run("curl", "-skf", "-m", "20", "-o", "/dev/null", "-w", "%{size_download}",
                             url(lab.eth0[family], path="big"))
        same(got, str(SIZE))
        path = lab.web + "/big"
        got = lab.client.run("curl", "-sk", "-m", "20", "-o", "/dev/null", "-w", "%{size_upload}", "-H", "Expect:",
                             "--data-binary", "@" + path, url(lab.eth0[family]))
        same(got, str(SIZE))
    with it(f"{mode}, IPv{family}: of frames of {MTU} bytes, the lawful one arrives whole, and no other"):
        before, capture = lab.counts(), Capture(lab.node, "eth1")
        with lab.attacker.raw("a0") as sender:
            sender.send(frame_of(lab, BAD[family], family, 5000))
            sender.send(frame_of(lab, STRANGER[family], family, 5001))
            sender.send(frame_of(lab, STRANGER[family], family, 5000, total=MTU + 1))
            same(lengths(capture, sender, frame_of(lab, STRANGER[family], family, 5000)), [MTU + 14])
        capture.close()
        after = lab.counts()
        for key in (("drop", "blocked"), ("drop", "unexposed"), ("drop", f"malformed-ipv{family}"), ("pass", "service")):
            assert after.get(key, 0) > before.get(key, 0), f"not counted: {key}"


def tests(lab):
    lab.web = lab.https(lab.node, size=SIZE)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode))
        with it(f"{mode}: attaches to an interface with an MTU of {MTU}"):
            same({one["mode"] for one in lab.status()["interfaces"]}, {mode})
        for family in (4, 6):
            try_family(lab, mode, family)
        lab.bulwark("down")


main("jumbo", tests, mtu=MTU)
