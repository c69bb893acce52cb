#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who comes first under a flood, and what arms SYN cookies. Over a service's budget a source that has completed a handshake
before is answered, a stranger is not, and without cookies neither is; a queue of half-open connections that fills up arms,
however slowly it does."""

import os
import random
import socket
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

# A budget that comes back so slowly that a flood which waits for its CPU leaves nobody any of it.
POLICY = """
services:
  web:   {{ ports: tcp/8001, syn-cookies: {cookies}, limits: [ {{ packets: 60/m, burst: 200, per: service }} ] }}
  short: {{ ports: tcp/8002, syn-cookies: {cookies} }}
  long:  {{ ports: tcp/8003, syn-cookies: {cookies} }}
"""
STRANGER = {4: "45.33.1.77", 6: "2a01:7e00:1:1::77"}  # of another /64
TRIES = 10
BACKLOG = 16


def come_about(lab, family, source=None, seconds=1.5):
    """How many of TRIES connections at once: later SYNs of the same attempt would find a budget that was spent, too."""
    tries = []
    for _ in range(TRIES):
        one = lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        one.setblocking(False)
        if source:
            one.bind((source, 0))
        one.connect_ex((lab.eth0[family], 8001))
        tries.append(one)
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end and done < TRIES:
        time.sleep(0.02)
        done = sum(is_connected(one) for one in tries)
    for one in tries:
        one.close()
    return done


def is_connected(one):
    try:
        one.getpeername()
        return True
    except OSError:
        return False


def flood(lab, family):
    """SYNs of ever new sources to the service."""
    random.seed(3)
    frames = []
    for _ in range(4000):
        source = (f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
                  if family == 4 else f"2a03:{random.randrange(65536):x}:{random.randrange(65536):x}::1")
        frames.append(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth0[family], 4000, 8001, SYN)))
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def dropped(lab):
    return lab.counts().get(("drop", "rate-packets"), 0)


def armed(lab):
    return [row["service"] for row in lab.status()["syn_cookies_armed"]]


def during_flood(lab, family, what):
    before, flooder = dropped(lab), child(flood, lab, family)
    try:
        wait(lambda: dropped(lab) > before + 2000, "a flood over the budget", 30)
        return what()
    finally:
        stop_child(flooder)


def try_known(lab, family):
    name, stranger = f"IPv{family}", STRANGER[family]
    lab.apply(POLICY.format(cookies="auto"))
    with it(f"{name}: in peace both come in, and nobody is challenged"):
        same((come_about(lab, family), ("reply", "syn-cookie") in lab.counts()), (TRIES, False))
    with it(f"{name}: under a flood over the budget the known client comes in, the stranger does not"):
        known, strange = during_flood(lab, family, lambda: (wait(lambda: armed(lab) == ["web"], "armed cookies", 30) and
                                                            come_about(lab, family, seconds=5),
                                                            come_about(lab, family, stranger)))
        same(known, TRIES, "the known client")
        assert strange <= TRIES // 3, f"the stranger: {strange} of {TRIES}"
    with it(f"{name}: without cookies the known client does not either"):
        lab.apply(POLICY.format(cookies="off"))
        known = during_flood(lab, family, lambda: come_about(lab, family))
        assert known <= TRIES // 3, f"{known} of {TRIES}"
    lab.bulwark("down")


def trickle(lab, family, port, count):
    """SYNs of neighbours that are not there, far fewer than 1000 a second: each waits in the listener's queue."""
    prefix = "46.30.2." if family == 4 else "2a01:7e00:2::"
    with lab.attacker.raw("a0") as sender:
        for number in range(count):
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(f"{prefix}{20 + number % 200}", lab.eth1[family],
                                                               3000 + number, port, SYN)))
            time.sleep(0.005)


def half_open(lab, port):
    return len(lab.node.run("ss", "-Htan", "state", "syn-recv", "sport", "=", f":{port}").splitlines())


def try_queue(lab, family):
    name = f"IPv{family}"
    lab.apply(POLICY.format(cookies="auto"))
    with it(f"{name}: forty half-open connections in a long queue arm nothing"):
        trickle(lab, family, 8003, 40)
        wait(lambda: half_open(lab, 8003) >= 40, "the queue")
        trickle(lab, family, 8003, 40)
        same(armed(lab), [])
    with it(f"{name}: in a short one they do, and a client is served with a cookie"):
        trickle(lab, family, 8002, 3 * BACKLOG)
        # one SYN in eight looks at the queue
        wait(lambda: armed(lab) == ["short"] or trickle(lab, family, 8002, 10), "armed cookies", 30)
        before = lab.counts().get(("reply", "syn-cookie"), 0)
        with connect(lab.client, lab.eth0[family], 8002) as client:
            same(client.recv(100), b"welcome\n")
        assert lab.counts().get(("reply", "syn-cookie"), 0) > before, "not challenged"
    lab.bulwark("down")


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.second_source(STRANGER)
    for port in (8001, 8002, 8003):
        lab.tcp_sink(lab.node, 6, "::", port, backlog=BACKLOG if port == 8002 else 4096)
    for family in (4, 6):
        try_known(lab, family)
        try_queue(lab, family)


main("known", tests)
