#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A flood of more SYNs than SYN cookies are sent: known clients are answered at once, strangers when they ask again, and the
node sends no more into the world than its policy says, whoever was named as the source."""

import random
import socket
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

REPLIES = 20  # a second, at once if they like
POLICY = """
services:
  web: {{ ports: tcp/8001, syn-cookies: always }}
syn-cookies: {{ replies: {replies} }}
"""
STRANGER = {4: "45.33.1.77", 6: "2a01:7e00:1:1::77"}  # of another /64
TRIES = 5
TCP_INFO, RETRANSMITS_AT = 11, 100  # tcpi_total_retrans


def spoofed(lab, family):
    """A SYN of a source that never came before."""
    source = (f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
              if family == 4 else f"2a03:{random.randrange(65536):x}:{random.randrange(65536):x}::1")
    return ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth0[family], random.randrange(1024, 65536), 8001, SYN))


def new_ones(lab, family):
    with lab.attacker.raw("a0") as sender:
        while True:
            sender.send(spoofed(lab, family))


def the_same_again(lab, family):
    frames = [spoofed(lab, family) for _ in range(1000)]
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def come_in(lab, family, source=None, number=TRIES):
    """How often the SYN was sent again, of so many connections at once."""
    tries = []
    for _ in range(number):
        one = lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        if source:
            one.bind((source, 0))
        one.setblocking(False)
        one.connect_ex((lab.eth0[family], 8001))
        tries.append(one)
    again = []
    for one in tries:
        one.settimeout(20)
        same(one.recv(100), b"welcome\n")
        again.append(struct.unpack_from("I", one.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104), RETRANSMITS_AT)[0])
        one.close()
    return again


def left_out(lab):
    return lab.counts().get(("drop", "syn-overload"), 0)


def replies(lab):
    return lab.counts().get(("reply", "syn-cookie"), 0)


@contextlib.contextmanager
def flooded(lab, family, flood):
    before, flooder = left_out(lab), child(flood, lab, family)
    try:
        wait(lambda: left_out(lab) > before + 2000, "a flood over the budget", 30)
        yield
    finally:
        stop_child(flooder)


def try_overload(lab, family):
    name = f"IPv{family}"
    lab.apply(POLICY.format(replies=f"{REPLIES}/s"))
    come_in(lab, family)
    with flooded(lab, family, new_ones):
        with it(f"{name}: a flood of ever new sources: who is known comes in at once"):
            same(come_in(lab, family), [0] * TRIES, "SYNs sent again")
        with it(f"{name}: a stranger comes in when the SYN is sent again"):
            # more than a second's replies: so many may have gathered if the flood stood still for a moment
            again = come_in(lab, family, STRANGER[family], 2 * REPLIES)
            assert max(again) > 0, "the flood left room for everybody"
        with it(f"{name}: no more is sent into the world than the policy says, thrice: to strangers, known and again"):
            began, before = time.monotonic(), replies(lab)
            time.sleep(1)
            sent, took = replies(lab) - before, time.monotonic() - began
            assert 0 < sent <= 3 * REPLIES * (took + 1), f"{sent} replies in {took:.1f} s"
    with it(f"{name}: a flood that repeats itself leaves the known what they have"), flooded(lab, family, the_same_again):
        same(come_in(lab, family), [0] * TRIES, "SYNs sent again")
    with it(f"{name}: without a bound everybody is answered"):
        lab.apply(POLICY.format(replies="unlimited"))
        before, flooder = replies(lab), child(new_ones, lab, family)
        try:
            wait(lambda: replies(lab) > before + 2000, "a flood", 30)
            left = left_out(lab)
            come_in(lab, family, STRANGER[family])
            same(left_out(lab), left)
        finally:
            stop_child(flooder)
    lab.bulwark("down")


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.second_source(STRANGER)
    lab.tcp_sink(lab.node, 6, "::", 8001)
    for family in (4, 6):
        try_overload(lab, family)


main("overload", tests)
