#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A container behind the node, on a bridge and behind NAT: what it asks for is answered, its published port is judged as
on the wire, and its connections live through attach, apply and down."""

import os
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
stray: drop
lists:
  bad: {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
block: [bad]
services:
  published: {{ ports: [tcp/8443, tcp/8444] }}
{more}
"""
NFT = """
table inet nat {{
	chain in {{
		type nat hook prerouting priority dstnat
		iifname "eth*" tcp dport 8443 dnat ip to {v4}:443
		iifname "eth*" tcp dport 8443 dnat ip6 to [{v6}]:443
		iifname "eth*" tcp dport {{ 8444, 8445 }} dnat ip to {v4}:5000
		iifname "eth*" tcp dport {{ 8444, 8445 }} dnat ip6 to [{v6}]:5000
	}}
	chain out {{
		type nat hook postrouting priority srcnat
		oifname "eth*" masquerade
	}}
}}
"""


def build_container(lab):
    lab.node.run("ip", "link", "add", "br0", "type", "bridge")
    lab.node.run("ip", "link", "set", "br0", "up")
    box = lab.container(bridge="br0")
    lab.forward()
    lab.node.run("nft", "-f", lab.file("nat.nft", NFT.format(v4=INSIDE[4], v6=INSIDE[6])))
    return box


def talks(client, server, words):
    """Both directions of a connection."""
    client.sendall(words)
    same(server.recv(100), words)
    server.sendall(words)
    same(client.recv(100), words)


class Pair:
    """An open connection from namespace to address:port, and its other end among the connections of a sink."""

    def __init__(self, namespace, address, port, accepted):
        before = len(accepted)
        self.client = connect(namespace, address, port)
        same(self.client.recv(100), b"welcome\n")
        wait(lambda: len(accepted) > before, "the server's end")
        self.server = accepted[-1]
        self.server.settimeout(5)

    def talk(self, what):
        try:
            talks(self.client, self.server, b"hello")
        except OSError as error:
            raise AssertionError(f"{what}: {error}") from error

    def close(self):
        self.client.close()
        self.server.close()


def all_talk(pairs):
    for name, pair in pairs.items():
        pair.talk(name)


def try_outbound(lab, mode, family):
    with it(f"{mode}, IPv{family}: a container fetches a page elsewhere, through NAT"):
        same(fetch(lab.box, lab.c0[family], 444), "served\n")
    with it(f"{mode}, IPv{family}: a container's UDP question is answered, through NAT"):
        assert asks(lab.box, lab.c0[family], 53), "no answer"
    with it(f"{mode}, IPv{family}: a container's ping is answered, through NAT"):
        assert pings(lab.box, lab.c0[family])
    with it(f"{mode}, IPv{family}: what a container asks of a blocked peer is not answered"):
        assert not asks(lab.box, lab.a0[family], 53, 0.3), "answered"


def try_published(lab, mode, family):
    with it(f"{mode}, IPv{family}: curl reaches a container's published HTTPS port"):
        same(fetch(lab.client, lab.eth0[family], 8443), "served\n")
    with it(f"{mode}, IPv{family}: a large download from a container arrives whole"):
        got = lab.client.run("curl", "-skf", "-m", "10", "-o", "/dev/null", "-w", "%{size_download}",
                             url(lab.eth0[family], 8443, "big"))
        same(got, str(8 << 20))
    with it(f"{mode}, IPv{family}: a blocked peer does not reach it"):
        same(fetch(lab.attacker, lab.eth1[family], 8443, seconds=0.5), "")
    with it(f"{mode}, IPv{family}: a published port that no service names is not exposed"):
        assert not connects(lab.client, lab.eth0[family], 8445, 0.4), "connected"


def try_forward(lab, mode, word, reached, closed):
    lab.apply(POLICY.format(mode=mode, more="  direct: { ports: tcp/443 }\nforward: " + word))
    for family in (4, 6):
        with it(f"{mode}, IPv{family}: `forward: {word}`: a container's declared port, by its own address"):
            same(fetch(lab.client, INSIDE[family], 443, seconds=5 if reached else 0.5), "served\n" if reached else "")
        with it(f"{mode}, IPv{family}: `forward: {word}`: a container's undeclared port, by its own address"):
            same(connects(lab.client, INSIDE[family], 5000, 0.4 if closed else 5), not closed, "connected")


def open_pairs(lab):
    pairs = {}
    for family in (4, 6):
        pairs[f"IPv{family}, published"] = Pair(lab.client, lab.eth0[family], 8444, lab.inside[family])
        pairs[f"IPv{family}, outbound"] = Pair(lab.box, lab.c0[family], 5001, lab.outside[family])
        pairs[f"IPv{family}, routed"] = Pair(lab.client, INSIDE[family], 5000, lab.inside[family])
    return pairs


def try_mode(lab, mode):
    pairs = open_pairs(lab)
    all_talk(pairs)
    with it(f"{mode}: connections of containers live through attach"):
        lab.apply(POLICY.format(mode=mode, more=""))
        all_talk(pairs)
    for family in (4, 6):
        try_outbound(lab, mode, family)
        try_published(lab, mode, family)
    try_forward(lab, mode, "pass", True, False)
    with it(f"{mode}: connections of containers live through apply"):
        all_talk(pairs)
    with it(f"{mode}: no segment of theirs is a stray"):
        assert ("drop", "stray") not in lab.counts(), lab.counts()
    try_forward(lab, mode, "services", True, True)
    with it(f"{mode}: open connections stay under `forward: services`"):
        all_talk(pairs)
    try_forward(lab, mode, "drop", False, True)
    with it(f"{mode}: down: connections of containers live on"):
        lab.bulwark("down")
        all_talk(pairs)
    for pair in pairs.values():
        pair.close()


def forward(lab, on):
    lab.forward(on)
    lab.node.run("ip", "link", "set", "port0", *(["master", "br0"] if on else ["nomaster"]))


def try_late(lab):
    """A container engine that starts after the policy was applied."""
    lab.apply(POLICY.format(mode="native", more=""))
    same(lab.headline(), "ENFORCING")
    lab.box = build_container(lab)
    lab.https(lab.client, 444)
    with it("containers that came after the policy: status says what is not reached yet"):
        holds(lab.headline(), "DEGRADED", "this host forwards since")
    for family in (4, 6):
        with it(f"IPv{family}: ... and what the first one asks for is answered at once, without anybody's help"):
            same(fetch(lab.box, lab.c0[family], 444), "served\n")
            same(lab.headline(), "ENFORCING")
    lab.bulwark("down")
    forward(lab, 0)
    lab.apply(POLICY.format(mode="native", more=""))
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "bulwarkd")
    for family in (4, 6):
        lab.tcp_sink(lab.box, family, INSIDE[family], 5002)
    with it("bulwarkd notices within a second, before a packet of a container has left"):
        same(lab.headline(), "ENFORCING")
        forward(lab, 1)
        wait(lambda: lab.headline() == "ENFORCING", "bulwarkd", 1.5 if os.getloadavg()[0] < 2 * os.cpu_count() else 20)  # a status takes 0.3 s
        for family in (4, 6):
            assert connects(lab.client, INSIDE[family], 5002)
    stop(daemon)
    lab.bulwark("down")


def tests(lab):
    lab.client.run("ip", "route", "add", "10.77.0.0/24", "via", lab.eth0.v4)
    lab.client.run("ip", "-6", "route", "add", "fd77::/64", "via", lab.eth0.v6)
    try_late(lab)
    lab.https(lab.box, 443, size=8 << 20)
    lab.inside = {family: lab.tcp_sink(lab.box, family, INSIDE[family], 5000) for family in (4, 6)}
    lab.outside = {family: lab.tcp_sink(lab.client, family, lab.c0[family], 5001) for family in (4, 6)}
    for family in (4, 6):
        lab.udp_echo(lab.client, family, lab.c0[family], 53)
        lab.udp_echo(lab.attacker, family, lab.a0[family], 53)
    for mode in ("native", "generic"):
        try_mode(lab, mode)


main("containers", tests)
