#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Two nodes of a cluster with an overlay (VXLAN) between their pods: it is judged by its outer header, lives through
attach, a flood, a reload and down, and takes nothing from who is no node. Then: a policy for another kind of host is told
what does not fit, and a device that no program can read (tun, as WireGuard's) is not attached to."""

import random
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  nodes: {{ addresses: [45.33.1.2, "2a01:7e00:1::2"] }}
services:
  kubelet: {{ ports: tcp/10250, allow: [nodes] }}
  {overlay}
{more}
"""
OVERLAY = "overlay: { ports: udp/4789, allow: [nodes] }"
INSIDE = {4: ("10.99.0.1", "10.99.0.2"), 6: ("fd99::1", "fd99::2")}  # the node's pod, the other one's


def build_overlay(namespace, local, remote, number):
    """Pods of both families behind a VXLAN device whose outer packets are IPv4."""
    namespace.run("ip", "link", "add", "vxlan0", "type", "vxlan", "id", "7", "dstport", "4789", "local", local, "remote", remote)
    namespace.run("ip", "addr", "add", f"{INSIDE[4][number]}/24", "dev", "vxlan0")
    namespace.run("ip", "addr", "add", f"{INSIDE[6][number]}/64", "dev", "vxlan0", "nodad")
    namespace.run("ip", "link", "set", "vxlan0", "up")


def encapsulated(lab, outer_source):
    """A datagram for the node's pod, as a node would wrap it."""
    inner = ethernet(lab.pod_mac, bytes.fromhex("020000000099"), udp("10.99.0.66", INSIDE[4][0], 4000, 7777, b"smuggled"))
    wrapped = udp(outer_source, lab.eth1.v4, 50000, 4789, struct.pack("!II", 0x08000000, 7 << 8) + inner)
    return ethernet(lab.eth1.mac, lab.a0.mac, wrapped)


def flood(lab):
    frames = [encapsulated(lab, f"46.30.{random.randrange(3, 200)}.{random.randrange(1, 255)}") for _ in range(1000)]
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def smuggles(lab):
    """Whether what a stranger wraps arrives at the node's pod."""
    pod = lab.node.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pod, lab.attacker.raw("a0") as sender:
        pod.bind((INSIDE[4][0], 7777))
        pod.settimeout(0.5)
        sender.send(encapsulated(lab, "46.30.2.2"))
        with contextlib.suppress(TimeoutError):
            return pod.recv(100) == b"smuggled"
    return False


def pods_talk(lab):
    return all(pings(lab.node, INSIDE[family][1]) and pings(lab.client, INSIDE[family][0]) for family in (4, 6))


def try_mode(lab, mode):
    accepted = lab.accepted
    with it(f"{mode}: pods talk to each other when the shield is attached"):
        with connect(lab.client, INSIDE[4][0], 6000) as before:
            same(before.recv(100), b"welcome\n")
            lab.apply(POLICY.format(mode=mode, overlay=OVERLAY, more=""))
            assert pods_talk(lab)
            accepted[-1].sendall(b"still here")
            same(before.recv(100), b"still here")
    if mode == "generic":  # the same program decides
        lab.bulwark("down")
        return
    with it(f"{mode}: in a flood of forged overlay packets, and through a reload in it"):
        dropped, flooder = lab.counts().get(("drop", "not-allowed"), 0), child(flood, lab)
        try:
            wait(lambda: lab.counts().get(("drop", "not-allowed"), 0) > dropped + 1000, "forged nodes to be dropped", 30)
            lab.apply(POLICY.format(mode=mode, overlay=OVERLAY, more="icmp: { echo: 50/s }"))
            wait(lambda: pods_talk(lab), "the pods' echo", 30)
        finally:
            stop_child(flooder)
    with it(f"{mode}: who is no node reaches no pod"):
        assert not smuggles(lab), "it was smuggled in"
    with it(f"{mode}: down leaves the overlay as it was, open to everybody"):
        lab.bulwark("down")
        assert pods_talk(lab) and smuggles(lab)


def try_fit(lab):
    with it("a policy that does not declare the overlay says so, and cuts it"):
        holds(lab.apply(POLICY.format(mode="native", overlay="", more="")),
              "vxlan0 (vxlan) gets its packets as udp/4789, which no service declares")
        wait(lambda: not pings(lab.client, INSIDE[4][0], seconds=0.3), "the overlay to be cut", 30)
        assert "vxlan0" not in lab.apply(POLICY.format(mode="native", overlay=OVERLAY, more=""))
        wait(lambda: pods_talk(lab), "the pods' echo", 30)
    with it("so does one that cuts off what is behind this host"):
        forward = {"mode": "native", "overlay": OVERLAY, "more": "forward: drop"}
        assert "cuts them off" not in lab.apply(POLICY.format(**forward))
        lab.node.sysctl("net.ipv4.ip_forward", 1)
        holds(lab.apply(POLICY.format(**dict(forward, more="forward: drop\nicmp: { echo: 7/s }"))), "'forward: drop' cuts them off")
        lab.node.sysctl("net.ipv4.ip_forward", 0)
    with it("and one for an address that this host does not have"):
        elsewhere = "vip: { ports: tcp/443, to: [203.0.113.80] }"
        holds(lab.apply(POLICY.format(mode="native", overlay=elsewhere, more="")), "service vip is only for 203.0.113.80")
        lab.node.run("ip", "addr", "add", "203.0.113.80/32", "dev", "lo")
        assert "service vip" not in lab.apply(POLICY.format(mode="native", overlay=elsewhere, more="stray: drop"))
    with it("and one that does not hear the neighbours of a routing daemon"):
        with lab.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
            daemon.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                              socket.inet_aton("224.0.0.5") + socket.inet_aton(lab.eth0.v4))
            holds(lab.apply(POLICY.format(mode="native", overlay="", more="stray: pass")),
                  "the group 224.0.0.5 (OSPF), but no service declares ip/ospf")
            assert "OSPF" not in lab.apply(POLICY.format(mode="native", overlay="ospf: { ports: ip/ospf, ttl: 1 }", more=""))


def try_bare(lab):
    """A device whose packets begin with their IP header, as WireGuard's do."""
    lab.node.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    lab.node.run("ip", "link", "set", "tun0", "up")
    lab.node.run("ip", "route", "add", "default", "dev", "tun0")

    def applied(interfaces, status=0):
        return lab.apply(POLICY.format(mode="auto", overlay=OVERLAY, more=f"interfaces: [{interfaces}]"), status=status)

    with it("a device without Ethernet headers is refused in words"):
        for names in ("tun0", "eth0, tun0"):
            holds(applied(names, 2), "'tun0': packets of tun0 (tun) have no Ethernet header")
    with it("so is `auto` where the default route goes by it alone"):
        holds(applied("auto", 2), "'auto': packets of tun0 (tun) have no Ethernet header")
    with it("beside another one `auto` leaves it out"):
        lab.node.run("ip", "route", "add", "default", "via", lab.c0.v4, "metric", "9")
        applied("auto")
        same([row["name"] for row in lab.status()["interfaces"]], ["eth0"])
    with it("status names it, and the overlay, as what is judged by its outer header"):
        same({row["name"]: row["kind"] for row in lab.status()["tunnels"]}, {"tun0": "tun", "vxlan0": "vxlan"})
        same(lab.status()["unprotected"], ["eth1"])
        holds(lab.bulwark("status", status=None), "tun0", "tun: judged by its outer header")
    with it("doctor says what apply will do with it"):
        holds(lab.bulwark("doctor", "tun0", status=None), "no Ethernet header: nothing is attached there")


def tests(lab):
    build_overlay(lab.node, lab.eth0.v4, lab.c0.v4, 0)
    build_overlay(lab.client, lab.c0.v4, lab.eth0.v4, 1)
    lab.accepted = lab.tcp_sink(lab.node, 4, INSIDE[4][0], 6000)
    with lab.node:
        lab.pod_mac = mac_of("vxlan0")
    assert pods_talk(lab)
    for mode in ("native", "generic"):
        try_mode(lab, mode)
    try_fit(lab)
    try_bare(lab)


main("overlay", tests)
