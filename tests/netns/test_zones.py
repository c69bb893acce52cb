#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Zones: services, trust, lists and blocks that hold for one of a node's networks only; interfaces that leave, return
and are named otherwise; frames of a VLAN that belong to no zone. The same policy without `zone:` behaves otherwise in
each of these."""

import os
import socket
import sys

sys.dont_write_bytecode = True
import frames  # noqa: E402
from lab import *  # noqa: E402,F403

# Every list holds both neighbours, so that nothing but the zone tells them apart.
POLICY = """
interfaces: [eth0, eth1]
zones:
  front: {{ interfaces: [eth0] }}
  mgmt:  {{ interfaces: [eth1] }}
mode: {mode}
lists:
  office:   {{ addresses: ["45.33.1.3", "46.30.2.3", "2a01:7e00:1::3", "2a01:7e00:2::3"] }}
  friends:  {{ addresses: ["45.33.1.0/24", "46.30.2.0/24", "2a01:7e00::/32"]{zone} }}
  told-off: {{ addresses: ["45.33.1.77", "46.30.2.77"] }}
trusted: [ {{ list: office{zone} }} ]
block: [ {{ list: told-off, direction: out{zone} }} ]
services:
  ssh:     {{ ports: [tcp/5022, udp/5022]{zone} }}
  partner: {{ ports: tcp/6000, allow: [friends] }}
  web:     {{ ports: tcp/443 }}
"""
ZONED, PLAIN = POLICY.replace("{zone}", ", zone: mgmt"), POLICY.replace("{zone}", "")
TWO = """
interfaces: [eth0, eth1]
zones: { front: { interfaces: [eth0] }, mgmt: { interfaces: [eth1] } }
lists: { nobody: { addresses: [198.51.100.1] } }
services:
  api-inside: { ports: tcp/6000, zone: mgmt }
  api:        { ports: tcp/6000, zone: front, allow: [nobody] }
"""


def without_zones(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith(("  front:", "  mgmt:", "zones:")))


def serve(lab):
    for family in (4, 6):
        for port in (5022, 9999):
            lab.udp_echo(lab.node, family, lab.eth0[family], port)
            lab.udp_echo(lab.node, family, lab.eth1[family], port)
    for port in (5022, 6000):
        lab.tcp_sink(lab.node, 6, "::", port)
    for end, namespace in ((lab.c0, lab.client), (lab.a0, lab.attacker)):
        for address, bits in ((end.v4[:-1] + "3", 24), (end.v6[:-1] + "3", 64)):
            namespace.run("ip", "addr", "add", f"{address}/{bits}", "dev", end.device, *(["nodad"] if bits == 64 else []))
    for address, end in (("45.33.1.77", lab.c0), ("46.30.2.77", lab.a0)):
        mac = ":".join(f"{byte:02x}" for byte in end.mac)
        lab.node.run("ip", "neigh", "add", address, "lladdr", mac, "dev", "eth0" if end is lab.c0 else "eth1")


def reach(lab, port, family):
    """(by front, by mgmt)"""
    return (connects(lab.client, lab.eth0[family], port, 0.3), connects(lab.attacker, lab.eth1[family], port, 5))


def asked(lab, port, family):
    return (asks(lab.client, lab.eth0[family], port, 0.3), asks(lab.attacker, lab.eth1[family], port, 5))


def office_asks(lab, family):
    """The same of the addresses that are trusted, at a port that no service names."""
    answers = []
    for namespace, end, seconds in ((lab.client, lab.eth0, 0.3), (lab.attacker, lab.eth1, 5)):
        with namespace.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((end[family][:-1] + "3", 0))
            client.settimeout(seconds)
            client.sendto(b"who?", (end[family], 9999))
            try:
                answers.append(client.recv(100) == b"who?")
            except OSError:
                answers.append(False)
    return tuple(answers)


def sends(lab, address):
    """Whether the node can send somebody a datagram."""
    with lab.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        before = lab.counts().get(("drop", "blocked-out"), 0)
        sender.sendto(b"x", (address, 9))
        return lab.counts().get(("drop", "blocked-out"), 0) == before


def try_zones(lab, mode):
    lab.apply(ZONED.format(mode=mode))
    for family in (4, 6) if mode == "native" else (4,):
        with it(f"{mode}, IPv{family}: a service of a zone is there for that zone alone"):
            same((reach(lab, 5022, family), asked(lab, 5022, family)), ((False, True), (False, True)))
        with it(f"{mode}, IPv{family}: a list of a zone has nobody of another zone in it"):
            same(reach(lab, 6000, family), (False, True))
        with it(f"{mode}, IPv{family}: a trusted source is not trusted outside its zone"):
            same(office_asks(lab, family), (False, True))
    with it(f"{mode}: a block of what leaves holds in its zone"):
        same((sends(lab, "45.33.1.77"), sends(lab, "46.30.2.77")), (True, False))
    lab.apply(without_zones(PLAIN).format(mode=mode))
    with it(f"{mode}: none of it without the word"):
        same((reach(lab, 5022, 4), reach(lab, 6000, 4), office_asks(lab, 4)), ((True, True),) * 3)
        same((sends(lab, "45.33.1.77"), sends(lab, "46.30.2.77")), (False, False))


def try_port_of_two(lab):
    lab.apply(TWO)
    with it("one port is another service in each zone"):
        same(reach(lab, 6000, 4), (False, True))
    with it("lookup judges a SYN by the zone of the address that it is for"):
        zones = {end.device: lab.json("lookup", "45.99.1.1", f"{end.v4}:6000")["next_syn"] for end in (lab.eth0, lab.eth1)}
        same({device: (syn["verdict"], syn["service"]) for device, syn in zones.items()},
             {"eth0": ("drop", "api"), "eth1": ("pass", "api-inside")})
    with it("explain --zone judges packets as if they came in there"):
        packet = ("explain", "--packet", "tcp 45.99.1.1:4000 > 45.33.1.1:6000 syn")
        same(lab.json(*packet, "--zone", "mgmt")["service"], "api-inside")
        same(lab.json(*packet)["reason"], "unexposed")
        holds(lab.bulwark(*packet, "--zone", "nowhere", status=2), "--zone 'nowhere'")
    with it("status says which interface is in which zone"):
        same({row["name"]: row["zones"] for row in lab.status()["interfaces"]},
             {"eth0": [{"zone": "front", "vlan": 0}], "eth1": [{"zone": "mgmt", "vlan": 0}]})
        holds(lab.bulwark("status"), "in zone front", "in zone mgmt")


def try_vlan(lab):
    """A tag makes another network of the same wire: what is not named is in no zone."""
    with it("a tagged frame is not in the zone of the untagged interface"):
        before = lab.counts().get(("drop", "unexposed"), 0)
        with lab.attacker.raw("a0") as sender:
            sender.send(frames.ethernet(lab.eth1.mac, lab.a0.mac,
                                        frames.tcp(lab.a0.v4, lab.eth1.v4, 4000, 6000, 2), tags=(7,)))
        wait(lambda: lab.counts().get(("drop", "unexposed"), 0) == before + 1, "the drop", 30)


def try_comings_and_goings(lab):
    with it("an interface that went and returned is in its zone again, by what the udev rule runs"):
        lab.node.run("ip", "link", "del", "eth1")
        lab.join_attacker()
        lab.bulwark("apply", "--attach")
        same(connects(lab.attacker, lab.eth1.v4, 6000, 5), True)
    with it("and by bulwarkd"):
        daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
        wait(lambda: events(lab, "policy-applied") or os.path.exists(lab.state + "/events.jsonl"), "bulwarkd", 30)
        lab.node.run("ip", "link", "del", "eth1")
        lab.join_attacker()
        wait(lambda: connects(lab.attacker, lab.eth1.v4, 6000, 0.5), "eth1 in zone mgmt", 30)
        stop(daemon)
    with it("what lists neither name nor hold any more goes from the kernel's table with its generation"):
        lab.apply(TWO.replace("[eth1]", "[eth1, eth7]"))
        lab.apply("services: { web: { ports: tcp/443 } }\n")
        lab.apply(TWO)
        same({row["name"]: len(row["zones"]) for row in lab.status()["interfaces"]}, {"eth0": 1, "eth1": 1})


def try_refusals(lab):
    with it("an interface that is not there yet is said, and is in the zone when it comes"):
        holds(lab.apply(TWO.replace("[eth1]", "[eth1, eth7]")),
              "'eth7': this host has no such interface now")
    with it("what is not judged is said to be in no zone"):
        holds(lab.apply(TWO.replace("[eth0, eth1]", "[eth0]")), "zone 'mgmt': eth1 is not among the interfaces")
    with it("who would be locked out by a zone is told before it holds"):
        lab.apply(TWO.replace("[eth1]", "[eth0]").replace("[eth0]", "[eth1]", 1))
        kept = connect(lab.client, lab.eth0.v4, 6000)
        holds(lab.apply(TWO), lab.c0.v4)
        kept.close()


def tests(lab):
    serve(lab)
    for mode in ("native", "generic"):
        try_zones(lab, mode)
        lab.bulwark("down")
    try_port_of_two(lab)
    try_vlan(lab)
    try_comings_and_goings(lab)
    try_refusals(lab)


main("zones", tests)
