#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""{native, generic} x what breaks shields: behind each, a real client and a flood, with SYN cookies and tags asked for.
Every cell is right, or it is refused with words that name what stands in the way."""

import mmap
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from other_sockops import *  # noqa: E402,F403
from traffic import *  # noqa: E402,F403

REQUESTS = 6  # of each family, each a connection of its own
POLICY = """
mode: {mode}
lists:
  bad: {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
block: [bad]
tag-mask: 0x0000ff00
services:
  web: {{ ports: [tcp/443, tcp/8443, tcp/9443], tag: 10, syn-cookies: always, limits: [ {{ new-connections: 1k/s, per: source }} ] }}
"""


class Cell:
    """A trouble and its end. says: words of the apply; port: where the client asks."""

    says, port = (), 443

    def __init__(self, lab):
        self.lab = lab

    def begin(self):
        pass

    def end(self):
        pass

    def apply(self, policy):
        return self.lab.apply(policy)


class Plain(Cell):
    name = "nothing in the way"


class Rules(Cell):
    text = ""

    def begin(self):
        self.lab.node.run("nft", "-f", self.lab.file("rules.nft", self.text.format(lab=self.lab)))

    def end(self):
        self.lab.node.run("nft", "flush", "ruleset")


class Nat(Rules):
    name = "NAT of what goes out"
    text = 'table inet n {{ chain o {{ type nat hook postrouting priority 100; oifname "eth*" masquerade; }}; }}'
    says = ("SYN cookies of service web are not armed", "nf_conntrack_tcp_loose=0")


class NewNotSyn(Rules):
    name = "a rule that drops new connections without a SYN"
    text = ("table inet f {{ chain i {{ type filter hook input priority 0; "
            "ct state new tcp flags & (fin|syn|rst|ack) != syn drop; }}; }}")
    says = ("SYN cookies of service web are not armed", "nf_conntrack_tcp_loose=0")


class Published(Rules):
    name = "a published container port"
    port = 8443
    text = """
table inet d {{
	chain i {{
		type nat hook prerouting priority dstnat
		iifname "eth*" tcp dport 8443 redirect to :443
	}}
}}"""
    says = ("SYN cookies of service web are not armed", "port 8443 is sent elsewhere")
    loose = "net.netfilter.nf_conntrack_tcp_loose"

    def begin(self):
        super().begin()
        self.lab.node.sysctl(self.loose, 0)

    def end(self):
        self.lab.node.sysctl(self.loose, 1)
        super().end()


class OtherSockops(Cell):
    name = "a second sockops program that clears all flags"
    port = 9443

    def begin(self):
        if not self.lab.node.works("curl", "-skf", "-o", "/dev/null", f"https://127.0.0.1:{self.port}/"):
            with robbed_cgroup(self.lab):
                self.lab.https(self.lab.node, self.port)


class Offloads(Cell):
    name = "GRO and TSO"

    def set(self, value):
        for namespace, device in ((self.lab.node, "eth0"), (self.lab.client, "c0")):
            namespace.run("ethtool", "-K", device, "gro", value, "tso", value, "gso", value)

    def begin(self):
        self.set("on")

    def end(self):
        self.set("off")


class Jumbo(Cell):
    name = "jumbo frames"

    def set(self, mtu):
        for namespace, device in ((self.lab.node, "eth0"), (self.lab.client, "c0"), (self.lab.node, "eth1"),
                                  (self.lab.attacker, "a0")):
            namespace.run("ip", "link", "set", device, "mtu", str(mtu))

    def begin(self):
        self.set(9000)

    def end(self):
        self.set(1500)


class PrivateMounts(Cell):
    name = "a private mount namespace, which would take pins of its own away"

    def apply(self, policy):
        place = self.lab.directory + "/bpffs"
        os.makedirs(place, exist_ok=True)
        inside = ("unshare", "-m", "--propagation", "private", "sh", "-c", 'mount -t bpf bpf "$0" && exec "$@"', place)
        holds(self.lab.apply(policy, status=3, before=inside, environment={"BULWARK_PIN_DIR": place + "/pins"}),
              "mount namespace")
        return self.lab.apply(policy)


CELLS = (Plain, Nat, NewNotSyn, Published, OtherSockops, Offloads, Jumbo, PrivateMounts)  # VLAN tags: tests/vm


def served(lab, family, port):
    answer = lab.client.run("curl", "-sk", "-m", "20", url(lab.eth0[family], port), status=None)
    return answer == "served\n"


def try_cell(lab, mode, cell):
    sent = mmap.mmap(-1, 4096)
    with it(f"{mode}, {cell.name}: a client is served during a flood, nothing of which is answered"):
        said = cell.apply(POLICY.format(mode=mode))
        holds(said, *cell.says)
        assert cell.says or "are not armed" not in said, said
        capture, before = Capture(lab.attacker, "a0"), lab.counts()
        attacker = child(flood, lab, sent)
        try:
            wait(lambda: struct.unpack("=Q", sent[:8])[0], "the flood", 30)
            same([served(lab, family, cell.port) for family in (4, 6) for _ in range(REQUESTS)], [True] * 2 * REQUESTS)
        finally:
            stop_child(attacker)
        after, replies = lab.counts(), [frame for frame in capture.drain(0.1) if is_reply(frame)]
        capture.close()
        assert not replies, f"{len(replies)} answers to the flood, the first one: {replies[0].hex()}"
        assert after.get(("drop", "blocked"), 0) > before.get(("drop", "blocked"), 0), "the flood was not dropped"
        challenged = sum(packets for (_, reason), packets in after.items() if reason == "syn-cookie")
        assert bool(challenged) != bool(cell.says), f"cookies against what was said: {after}"
        same((lab.headline(), lab.fallthrough()), ("ENFORCING", 0))


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.attacker.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
    lab.https(lab.node)
    for mode in ("native", "generic"):
        for kind in CELLS:
            cell = kind(lab)
            if isinstance(cell, Rules) and not lab.node.works("nft", "add", "table", "inet", "probe"):
                skip(f"{mode}, {cell.name}", "no nftables here")
                continue
            if isinstance(cell, PrivateMounts) and not lab.node.works("mountpoint", "-q", "/"):
                skip(f"{mode}, {cell.name}", "the root is no mount point, so nobody can have mounts of his own")
                continue
            cell.begin()
            try:
                try_cell(lab, mode, cell)
            finally:
                cell.end()
                lab.bulwark("down")


main("matrix", tests)
