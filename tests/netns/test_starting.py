#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The starting policies, as they are shipped, each on a host with the addresses and peers that it speaks of: what is lawful
there goes on through attach, a flood, another apply and down, what is not is refused, and without the policy's own word for
it the lawful is refused, too. (Their protocols with real daemons: test_failover, test_bgp, test_overlay, test_fronts.)"""

import concurrent.futures
import os
import random
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../policies")
IP_TTL, IPV6_UNICAST_HOPS = 2, 16
FAR_POD = "10.40.1.9"  # on another node


class Network:
    """A host for one of the policies. here: its addresses. lawful, refused: (source, destination, port[, ttl]), port as in a
    policy. word: (what stands in the policy, what stands there without it), and the row of lawful that needs it."""

    def __init__(self, here, lawful, refused, word, needs, rules=""):
        self.here, self.lawful, self.refused = here, lawful, refused
        self.word, self.needs, self.rules = word, needs, rules


NETWORKS = {
    "routed-api": Network(
        here=["198.51.100.11", "2001:db8:1::11", "203.0.113.80", "2001:db8:80::80"],
        lawful=[("192.0.2.77", "203.0.113.80", "tcp/443"), ("2001:db8:c::2", "2001:db8:80::80", "tcp/443"),
                ("198.51.100.1", "198.51.100.11", "tcp/179", 255), ("2001:db8:1::1", "2001:db8:1::11", "tcp/179", 255),
                ("198.51.100.1", "198.51.100.11", "udp/3784", 255), ("198.51.100.22", "198.51.100.11", "tcp/22")],
        refused=[("192.0.2.77", "198.51.100.11", "tcp/443"), ("198.51.100.1", "198.51.100.11", "tcp/179", 254),
                 ("192.0.2.77", "198.51.100.11", "udp/3784", 255)],
        word=("  bgp:  ", "  # "), needs=2),
    "behind-proxy": Network(
        here=["192.0.2.10", "2001:db8::10"],
        lawful=[("198.51.100.113", "192.0.2.10", "tcp/443"), ("2001:db8:cd::9", "2001:db8::10", "tcp/443"),
                ("198.51.100.97", "192.0.2.10", "tcp/443"), ("198.51.100.22", "192.0.2.10", "tcp/22")],
        refused=[("192.0.2.77", "192.0.2.10", "tcp/443"), ("198.51.100.113", "192.0.2.10", "tcp/22")],
        word=("lb-probes]", "]"), needs=2),
    "mesh-node": Network(
        here=["10.20.2.11", "fd20::11"],
        lawful=[("10.20.1.5", "10.20.2.11", "tcp/15021"), ("fd20::5", "fd20::11", "tcp/15443"),
                ("10.20.1.5", "10.20.2.11", "tcp/15006"), ("10.0.3.1", "10.20.2.11", "tcp/15090")],
        refused=[("10.20.1.5", "10.20.2.11", "tcp/8080"), ("10.30.1.5", "10.20.2.11", "tcp/15006"),
                 ("10.20.1.5", "10.20.2.11", "tcp/15090")],
        word=("  metrics: ", "  # "), needs=3),
    "kubernetes-worker": Network(
        here=["10.40.1.7", "fd40::7"],
        lawful=[("10.41.0.5", "10.40.1.7", "tcp/30443"), ("fd41::5", "fd40::7", "tcp/30443"),  # to a pod here, without SNAT
                ("10.41.0.5", "10.40.1.7", "tcp/30444"), ("10.41.0.5", "10.40.1.7", "udp/30053"),  # to another node's, with it
                ("10.40.16.2", "10.40.1.7", "tcp/10250"), ("10.0.9.7", "10.40.1.7", "tcp/22")],
        refused=[("192.0.2.77", "10.40.1.7", "tcp/30443"), ("10.40.1.9", "10.40.1.7", "tcp/10250"),
                 ("192.0.2.77", "10.40.1.7", "udp/30053")],
        word=("    allow: [front]\n", "    allow: [admin]\n"), needs=2,
        rules="""
            tcp dport 30443 dnat ip to {pod[4]}:443
            tcp dport 30443 dnat ip6 to [{pod[6]}]:443
            tcp dport 30444 dnat ip to {far_pod}:8080
            udp dport 30053 dnat ip to {far_pod}:53
        """),
    "container-host": Network(
        here=["10.0.4.4", "fd00:4::4"],
        lawful=[("192.0.2.77", "10.0.4.4", "tcp/443"), ("2001:db8:c::2", "fd00:4::4", "tcp/443"),
                ("10.0.5.5", "10.0.4.4", "tcp/5000"), ("10.0.9.7", "10.0.4.4", "tcp/22")],
        refused=[("192.0.2.77", "10.0.4.4", "tcp/6379"), ("192.0.2.77", "10.0.4.4", "tcp/5000")],
        word=("  registry: ", "  # "), needs=2,
        rules="""
            tcp dport {{ 443, 6379 }} dnat ip to {pod[4]}:443
            tcp dport {{ 443, 6379 }} dnat ip6 to [{pod[6]}]:443
        """),
}
NFT = """
table inet nodes {{
	chain in {{
		type nat hook prerouting priority dstnat
		{rules}
	}}
	chain out {{
		type nat hook postrouting priority srcnat
		ip daddr {far_pod} masquerade
	}}
}}
"""


def family_of(one):
    return 6 if ":" in one else 4


def bits(one):
    return one + ("/128" if ":" in one else "/32")


def client_socket(lab, row, kind):
    source, ttl = row[0], row[3] if len(row) > 3 else None
    one = lab.client.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, kind)
    if ttl:
        level = (socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS) if ":" in source else (socket.IPPROTO_IP, IP_TTL)
        one.setsockopt(*level, ttl)
    one.bind((source, 0))
    return one


def passes(lab, row, seconds):
    """Whether both ends speak to each other."""
    protocol, port = row[2].split("/")
    with client_socket(lab, row, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as one:
        one.settimeout(seconds)
        try:
            one.connect((row[1], int(port)))
            if protocol == "udp":
                one.send(b"welcome\n")
            return one.recv(100) == b"welcome\n"
        except OSError:
            return False


def all_pass(lab, network):
    for row in network.lawful:
        assert passes(lab, row, 10), f"{row} is refused"


def none_passes(lab, network):
    with concurrent.futures.ThreadPoolExecutor(len(network.refused)) as pool:
        for row, passed in zip(network.refused, pool.map(lambda row: passes(lab, row, 0.5), network.refused)):
            assert not passed, f"{row} passes"


class Talk:
    """A connection that is open before the policy comes."""

    def __init__(self, lab, row):
        self.one = client_socket(lab, row, socket.SOCK_STREAM)
        self.one.settimeout(10)
        self.one.connect((row[1], int(row[2].split("/")[1])))
        same(self.one.recv(100), b"welcome\n")
        name = self.one.getsockname()[:2]
        self.other = wait(lambda: next((c for sinks in lab.sinks for c in sinks if self.is_end(c, name)), None), "its other end")
        self.other.settimeout(10)

    @staticmethod
    def is_end(connection, name):
        with contextlib.suppress(OSError):
            address, port = connection.getpeername()[:2]
            return (address.removeprefix("::ffff:"), port) == name
        return False

    def goes_on(self):
        for one, other in ((self.one, self.other), (self.other, self.one)):
            one.sendall(b"still here")
            same(other.recv(100), b"still here")

    def close(self):
        self.one.close()
        self.other.close()


def flood(lab, row):
    """New connections to a lawful port, from everywhere."""
    frames = []
    for _ in range(500):
        source = f"45.{random.randrange(90, 99)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        frames.append(ethernet(lab.eth0.mac, lab.c0.mac, tcp(source, row[1], random.randrange(1024, 65536), 7, SYN)))
        frames.append(ethernet(lab.eth0.mac, lab.c0.mac, udp(source, row[1], 53, 7, bytes(100))))
    with lab.client.raw("c0") as sender:
        send_for_ever(sender, frames)


def settle(lab, network, verb):
    """The host's addresses, and those of everybody that the rows speak of, come or go."""
    peers = {row[0] for row in network.lawful + network.refused}
    if network.rules:
        peers.add(FAR_POD)
    for one in network.here:
        lab.node.run("ip", "addr", verb, bits(one), "dev", "eth0", *(["nodad"] if ":" in one and verb == "add" else []))
    for one in peers:
        lab.client.run("ip", "addr", verb, bits(one), "dev", "lo", *(["nodad"] if ":" in one and verb == "add" else []))
    if verb == "add" and network.rules:
        rules = network.rules.format(pod=INSIDE, far_pod=FAR_POD)
        lab.node.run("nft", "-f", lab.file("rules.nft", NFT.format(rules=rules, far_pod=FAR_POD)))
    elif network.rules:
        lab.node.run("nft", "flush", "ruleset")


def shipped(name):
    with open(f"{POLICIES}/{name}.yaml", encoding="utf-8") as file:
        return file.read()


def without(lab, name, word):
    """The policy without its word, and without tests, which know the word."""
    text = shipped(name).split("\ntests:")[0]
    assert word[0] in text, f"'{word[0]}' is not in {name}"
    return lab.file(f"{name}-without.yaml", text.replace(word[0], word[1]) + "\n")


def apply(lab, path):
    lab.bulwark("apply", path)
    if os.environ.get("OFF"):
        lab.bulwark("pause", "--for", "1h")


def try_policy(lab, name):
    network = NETWORKS[name]
    settle(lab, network, "add")
    talk = Talk(lab, network.lawful[0])
    try:
        with it(f"{name}: applied as it is shipped, what is lawful passes, what is not is refused"):
            for row in network.lawful + network.refused:
                assert passes(lab, row, 10), f"{row} does not pass without the shield: the lab is wrong"
            apply(lab, f"{POLICIES}/{name}.yaml")
            all_pass(lab, network)
            none_passes(lab, network)
            talk.goes_on()
        with it(f"{name}: in a flood, and without the word for it a lawful peer is refused, and nobody else"):
            dropped, flooder = lab.counts().get(("drop", "unexposed"), 0), child(flood, lab, network.lawful[0])
            try:
                wait(lambda: lab.counts().get(("drop", "unexposed"), 0) > dropped + 1000, "the flood to be dropped", 30)
                all_pass(lab, network)
                apply(lab, without(lab, name, network.word))
                assert not passes(lab, network.lawful[network.needs], 0.5), "it passes"
                assert passes(lab, network.lawful[-1], 10) or network.needs == len(network.lawful) - 1
                talk.goes_on()
            finally:
                stop_child(flooder)
        with it(f"{name}: down: its connections live on"):
            lab.bulwark("down")
            talk.goes_on()
    finally:
        talk.close()
        lab.bulwark("down", status=None)
        settle(lab, network, "del")


def serve(lab, pod):
    """Everything that any row asks for, whether it may or not."""
    rows = {(row[1], *row[2].split("/")) for network in NETWORKS.values() for row in network.lawful + network.refused}
    for namespace in (lab.node, lab.client):  # their addresses come later
        namespace.sysctl("net.ipv4.ip_nonlocal_bind", 1)
    lab.sinks = [lab.tcp_sink(lab.node, 6, "::", int(port)) for port in {port for _, kind, port in rows if kind == "tcp"}]
    lab.sinks += [lab.tcp_sink(pod, family, INSIDE[family], 443) for family in (4, 6)]
    lab.sinks.append(lab.tcp_sink(lab.client, 4, FAR_POD, 8080))
    for address, kind, port in rows:
        if kind == "udp":
            lab.udp_echo(lab.node, 4, address, int(port))
    lab.udp_echo(lab.client, 4, FAR_POD, 53)


UNFIT = {  # on a host with none of its network: what apply says
    "routed-api": "service public-api is only for 203.0.113.80",
    "behind-proxy": "{client} to port 443 (not-allowed)",
    "mesh-node": "{client} to port 15006 (not-allowed)",
    "kubernetes-worker": "'forward: pass' is for hosts with containers, pods or a network behind them",
    "container-host": "'forward: pass' is for hosts with containers, pods or a network behind them",
}


def try_unfit(lab):
    """A client that is no proxy and in no mesh is connected to what the policies serve for theirs."""
    clients = [connect(lab.client, lab.eth0.v4, port) for port in (443, 15006)]
    try:
        for name, words in UNFIT.items():
            with it(f"{name}: on a host that it is not for, apply says what does not fit"):
                holds(lab.bulwark("apply", f"{POLICIES}/{name}.yaml"), words.format(client=lab.c0.v4))
    finally:
        lab.bulwark("down")
        for one in clients:
            one.close()


def tests(lab):
    pod = lab.container("b1")
    for family, peer in ((4, lab.c0.v4), (6, lab.c0.v6)):  # `auto` means eth0
        lab.node.run("ip", f"-{family}", "route", "add", "default", "via", peer, "dev", "eth0")
    serve(lab, pod)
    try_unfit(lab)
    lab.forward()
    for name in NETWORKS:
        try_policy(lab, name)


main("starting", tests)
