#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A real BGP session with BFD (bird) between the node and its router: it comes up through the shield, and a flood, an
apply and a reload do not cost it a single BFD packet too many. Without the services for it neither comes up."""

import os
import random
import re
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  routers: {{ addresses: [45.33.1.2, "2a01:7e00:1::2", "fe80::/64"] }}
services:
  api: {{ ports: tcp/443, limits: [ {{ new-connections: 50/s, per: source }} ] }}
  {bgp}
  {bfd}
{more}
"""
BGP = "bgp: { ports: tcp/179, allow: [routers], ttl: 255 }"
BFD = "bfd: { ports: udp/3784, allow: [routers], ttl: 255 }"
BIRD = """
router id {router};
log "{directory}/bird-{name}.trace" all;
protocol device {{ }}
protocol bfd {{ interface "*" {{ interval 100 ms; multiplier 10; }}; }}
protocol static {{ ipv4; route {announced} blackhole; }}
template bgp peer {{
	local as {own}; bfd on; ttl security on; direct;
	connect retry time 1; connect delay time 1; error wait time 1, 2;
	debug {{ states }};
}}
protocol bgp four from peer {{
	neighbor {v4} as {other}; passive {passive};
	ipv4 {{ import all; export all; }};
}}
protocol bgp six from peer {{
	neighbor {v6} as {other}; passive {passive};
	ipv6 {{ import all; export all; }};
}}
"""
SESSIONS = {4: "four", 6: "six"}


class Bird:
    def __init__(self, lab, namespace, peer, **words):
        self.namespace, self.socket = namespace, f"{lab.directory}/bird-{namespace.name}.ctl"
        config = lab.file(f"bird-{namespace.name}.conf",
                          BIRD.format(directory=lab.directory, name=namespace.name, v4=peer.v4, v6=peer.v6, **words))
        lab.start(namespace, "bird", "-f", "-c", config, "-s", self.socket, "-P", self.socket + ".pid")
        wait(lambda: os.path.exists(self.socket), "bird")

    def ask(self, *words):
        return self.namespace.run("birdc", "-s", self.socket, *words, status=None)

    def established(self, family):
        return "Established" in self.ask("show", "protocols", SESSIONS[family])

    def bfd_up(self):
        """Neighbours that BFD sees."""
        return len(re.findall(r" Up ", self.ask("show", "bfd", "sessions")))

    def restart(self):
        for session in SESSIONS.values():
            self.ask("restart", session)


def flood(lab):
    """SYNs to the API, BFD and BGP of routers that are none, from everywhere."""
    frames = []
    for _ in range(1000):
        four, six = (f"46.30.{random.randrange(3, 200)}.{random.randrange(1, 255)}", f"2a01:9::{random.randrange(1, 65536):x}")
        for source, me in ((four, lab.eth0.v4), (six, lab.eth0.v6)):
            for packet in (tcp(source, me, random.randrange(1024, 65536), 443, SYN), udp(source, me, 49152, 3784, bytes(24), ttl=255),
                           tcp(source, me, random.randrange(1024, 65536), 179, SYN, ttl=255)):
                frames.append(ethernet(lab.eth1.mac, lab.a0.mac, packet))
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def up(node, router):
    for bird in (node, router):
        for family in (4, 6):
            wait(lambda: bird.established(family), f"BGP over IPv{family} in {bird.namespace.name}", 30)
        wait(lambda: bird.bfd_up() == 2, f"BFD in {bird.namespace.name}: {bird.ask('show', 'bfd', 'sessions')}", 30)


def try_mode(lab, mode, node, router):
    words = {"mode": mode, "more": "", "bgp": BGP, "bfd": BFD}
    with it(f"{mode}: BGP and BFD that were up remain so when the shield is attached"):
        up(node, router)
        since = router.ask("show", "protocols")
        lab.apply(POLICY.format(**words))
        up(node, router)
        same(router.ask("show", "protocols"), since)
    with it(f"{mode}: they come up through it, asked for by the router"):
        router.restart()
        up(node, router)
    with it(f"{mode}: they live through a flood on the API and on their own ports, and through a reload in it"):
        since, flooder = router.ask("show", "protocols"), child(flood, lab)
        try:
            wait(lambda: lab.counts().get(("drop", "not-allowed"), 0) > 3000, "forged routers to be dropped", 30)
            lab.apply(POLICY.format(**dict(words, more="icmp: { echo: 50/s }")))
            time.sleep(1.5)  # longer than BFD waits
            up(node, router)
            same(router.ask("show", "protocols"), since)
        finally:
            stop_child(flooder)
    with it(f"{mode}: down leaves them as they are"):
        lab.bulwark("down")
        time.sleep(1.2)
        same(router.ask("show", "protocols"), since)


def try_without(lab, node, router):
    with it("without the service for BFD the sessions are lost within seconds"):
        up(node, router)
        lab.apply(POLICY.format(mode="native", more="", bgp=BGP, bfd=""))
        wait(lambda: not node.bfd_up(), "BFD to be lost", 30)
        lab.apply(POLICY.format(mode="native", more="", bgp=BGP, bfd=BFD))
        up(node, router)
    with it("without the service for BGP the router's connection is refused"):
        lab.apply(POLICY.format(mode="native", more="", bgp="", bfd=BFD))
        before = lab.counts().get(("drop", "unexposed"), 0)
        router.restart()
        wait(lambda: lab.counts().get(("drop", "unexposed"), 0) > before, "the router's SYN", 30)
        assert not router.established(4) and not router.established(6)
    with it("a router that is further away than it says is refused by its TTL"):
        lab.apply(POLICY.format(mode="native", more="", bgp=BGP.replace("255", "254"), bfd=BFD))
        before = lab.counts().get(("drop", "not-allowed"), 0)
        router.restart()
        wait(lambda: lab.counts().get(("drop", "not-allowed"), 0) > before, "the router's SYN", 30)
        assert not router.established(4) and not router.established(6)


def tests(lab):
    lab.tcp_sink(lab.node, 4, lab.eth0.v4, 443)
    node = Bird(lab, lab.node, lab.c0, router="45.33.1.1", own=65001, other=65002, announced="203.0.113.80/32", passive="on")
    router = Bird(lab, lab.client, lab.eth0, router="45.33.1.2", own=65002, other=65001, announced="203.0.113.0/25", passive="off")
    try_mode(lab, "native", node, router)
    try_without(lab, node, router)


main("bgp", tests)
