#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Two thousand open connections live through attach, apply and down, and down leaves the host as it was found."""

import contextlib
import resource
import selectors
import socket
import sys
import time

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

COUNT = 1000  # of each family
POLICY = """
mode: {mode}
stray: drop
services:
  web: {{ ports: [tcp/443{more}] }}
"""


def all_receive(sockets, wanted, seconds=10):
    """How many of the sockets received the wanted bytes."""
    got, end = 0, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        while got < len(sockets) and time.monotonic() < end:
            for key, _ in selector.select(0.2):
                got += key.fileobj.recv(len(wanted)) == wanted
                selector.unregister(key.fileobj)
    return got


def all_talk(lab, what):
    """Both directions of every connection carry bytes."""
    for senders, receivers, words in ((lab.clients, lab.servers, b"to node!"), (lab.servers, lab.clients, b"to peer!")):
        for one in senders:
            one.sendall(words)
        same(all_receive(receivers, words), 2 * COUNT, f"{what}: connections that carried {words!r}")


def open_all(lab, listeners):
    for address in (lab.eth0.v4, lab.eth0.v6):
        lab.clients += [connect(lab.client, address, 443) for _ in range(COUNT)]
    wait(lambda: sum(map(len, listeners)) == 2 * COUNT, "every connection to be accepted")
    lab.servers += [connection for accepted in listeners for connection in accepted]
    same(all_receive(lab.clients, b"welcome\n"), 2 * COUNT, "greetings")


def close_all(lab):
    for one in lab.clients + lab.servers:
        one.close()
    lab.clients.clear()
    lab.servers.clear()


def picture(lab):
    """The node's network as an administrator sees it."""
    return "".join(lab.node.run(*words.split()) for words in (
        "ip -d link", "ip addr", "ip rule", "tc qdisc", "tc filter show dev eth0 ingress",
        "tc filter show dev eth0 egress", "ethtool -k eth0", "ethtool -k eth1", "nft list ruleset"))


def try_mode(lab, mode, listeners):
    found = picture(lab)
    open_all(lab, listeners)
    all_talk(lab, "before the shield")
    with it(f"{mode}: attaching breaks none of {2 * COUNT} open connections"):
        lab.apply(POLICY.format(mode=mode, more=""))
        all_talk(lab, "attached")
    with it(f"{mode}: a segment of none of them is a stray"):
        assert ("drop", "stray") not in lab.counts(), lab.counts()
        assert lab.counts().get(("pass", "established"), 0) >= 4 * COUNT, lab.counts()
    with it(f"{mode}: another policy breaks none of them"):
        lab.apply(POLICY.format(mode=mode, more=", tcp/80"))
        all_talk(lab, "another policy")
    with it(f"{mode}: a policy without their service leaves them open, and says so"):
        said = lab.apply(POLICY.format(mode=mode, more="").replace("443", "80"))
        all_talk(lab, "no service")
        holds(said, str(2 * COUNT))
    with it(f"{mode}: while new ones are refused"):
        assert not connects(lab.client, lab.eth0.v4, 443, 0.4), "connected"
        assert not connects(lab.client, lab.eth0.v6, 443, 0.4), "connected"
    with it(f"{mode}: down breaks none of them"):
        lab.bulwark("down")
        all_talk(lab, "down")
    with it(f"{mode}: down leaves the interfaces, queues and filters as they were found"):
        same(picture(lab), found)
    with it(f"{mode}: down leaves no pin and nothing in force"):
        assert not os.path.exists(lab.pins), pins_below(lab.pins)
        holds(lab.headline(), "UNPROTECTED")
    close_all(lab)
    for accepted in listeners:
        accepted.clear()


def tests(lab):
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    lab.clients, lab.servers = [], []
    listeners = [lab.tcp_sink(lab.node, 4, lab.eth0.v4, 443), lab.tcp_sink(lab.node, 6, lab.eth0.v6, 443)]
    lab.node.sysctl("net.core.somaxconn", 8192)
    for mode in ("native", "generic"):
        try_mode(lab, mode, listeners)


main("connections", tests)
