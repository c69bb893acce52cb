#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Every reason of include/reasons.def is reached by a frame on a real interface, native and generic, IPv4 and IPv6:
the frame arrives behind the shield or does not, and is counted under its reason."""

import os
import re
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
stray: drop
icmp: {{ echo: 10/s }}
lists:
  office:   {{ addresses: [46.30.40.0/28, "2a01:77::/48"] }}
  bad:      {{ addresses: [46.30.66.0/24, "2a01:66::/48"] }}
  wanted:   {{ addresses: [46.30.99.0/24, "2a01:99::/48"] }}
  partners: {{ addresses: [45.10.20.0/24, "2a01:20::/48"] }}
  probes:   {{ addresses: [45.10.30.0/24, "2a01:30::/48"] }}
trusted: [office]
health-checks: [probes]
block: [bad, {{ list: wanted, direction: out }}]
services:
  web:      {{ ports: [tcp/443, udp/443] }}
  partner:  {{ ports: tcp/8443, allow: [partners] }}
  vrrp:     {{ ports: ip/vrrp, ttl: 255 }}
  packets:  {{ ports: udp/6001, limits: [ {{ packets: 20/s, per: source }} ] }}
  bytes:    {{ ports: udp/6002, limits: [ {{ bytes: 4KiB/s, per: service }} ] }}
  h3:       {{ ports: udp/6004, quic: {{ versions: v1, unknown: drop }} }}
  newcomer: {{ ports: tcp/6003, limits: [ {{ new-connections: 20/s, per: "/24,/48" }} ] }}
{more}
"""

STRANGER = {4: "46.30.7.7", 6: "2a01:7::7"}
OFFICE = {4: "46.30.40.3", 6: "2a01:77::3"}
BAD = {4: "46.30.66.6", 6: "2a01:66::6"}
EXCUSED = {4: "46.30.66.5", 6: "2a01:66::5"}
BANNED = {4: "46.30.50.1", 6: "2a01:50::1"}
WANTED = {4: "46.30.99.9", 6: "2a01:99::9"}
PARTNER = {4: "45.10.20.5", 6: "2a01:20::5"}
PROBE = {4: "45.10.30.5", 6: "2a01:30::5"}
BEHIND = {4: "45.90.1.5", 6: "2a01:90::5"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
GROUP = {4: "224.0.0.5", 6: "ff02::5"}
DROPS = ("amplification", "banned", "floor-rate", "blocked", "unexposed", "not-allowed", "stray", "icmp-type", "icmp-rate", "icmp-unrelated",
         "forward-refused", "rate-", "malformed", "fragment-bogus", "fragment-tiny", "fragment-early", "unparsed", "blocked-out",
         "quic-")
NOISY = ("floor", "established")  # the hosts themselves send such packets meanwhile
ROWS = []
reached = set()


def row(reason, behaviour, families=(4, 6)):
    """Registers function(at) -> packet, frame or list of them. at: family, me (the node), token, ..."""
    def register(function):
        ROWS.append((reason, behaviour, families, function))
        return function
    return register


class At:
    def __init__(self, trial, family, number):
        self.trial, self.family = trial, family
        self.me = trial.lab.eth1[family]
        self.token = b"token%04d" % number
        self.stranger, self.bad = STRANGER[family], BAD[family]

    def frame(self, packet, **fields):
        return ethernet(self.trial.lab.eth1.mac, self.trial.lab.a0.mac, packet, **fields)


# ---- passes

@row("floor", "an ARP request passes", (4,))
def _(at):
    body = struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, at.trial.lab.a0.mac, address(at.trial.lab.a0.v4), bytes(6),
                       address(at.me))
    return at.frame(body + at.token, kind=ARP)


@row("floor", "a frame that is not IP passes", (4,))
def _(at):
    return at.frame(at.token * 4, kind=0x88CC)


@row("floor", "IGMP passes", (4,))
def _(at):
    return ipv4(at.stranger, "224.0.0.1", 2, b"\x11\x00\xee\xff\0\0\0\0" + at.token, ttl=1, options=b"\x94\x04\0\0")


@row("floor", "an answer of a DHCP server passes")
def _(at):
    if at.family == 4:
        return udp(at.stranger, "255.255.255.255", 67, 68, at.token)
    return udp("fe80::7", at.me, 547, 546, at.token)


@row("floor", "neighbour solicitation passes", (6,))
def _(at):
    return icmp(at.trial.lab.a0.v6, at.me, 135, 0, bytes(4), address(at.me) + at.token, ttl=255)


@row("floor", "a router's advertisement passes", (6,))
def _(at):
    return icmp("fe80::7", "ff02::1", 134, 0, bytes(4), bytes(8) + at.token, ttl=255)


@row("floor", "multicast listener discovery passes", (6,))
def _(at):
    return icmp("fe80::7", "ff02::16", 143, 0, bytes(4), at.token, ttl=1, extensions=[(HOP, b"\0\5\2\0\0\1\0")])


@row("trusted", "a trusted source reaches an undeclared port")
def _(at):
    return tcp(OFFICE[at.family], at.me, 4000, 9200, SYN, at.token)


@row("health-check", "a health check passes a limit of new connections")
def _(at):
    return [tcp(PROBE[at.family], at.me, 4000 + n, 6003, SYN, at.token) for n in range(25)]


@row("allowed", "a blocked source with an exception reaches a service")
def _(at):
    return tcp(EXCUSED[at.family], at.me, 4000, 443, SYN, at.token)


@row("answer", "a UDP answer passes")
def _(at):
    return udp(at.stranger, at.me, 9999, at.trial.asking[at.family], at.token)


@row("answer", "an echo reply to our ping passes")
def _(at):
    return echo(at.stranger, at.me, at.trial.pinged[at.family], at.token, reply=True)


@row("established", "a segment of an open connection passes")
def _(at):
    client = at.trial.open[at.family]
    return tcp(client.getsockname()[0], at.trial.lab.eth0[at.family], client.getsockname()[1], 443, ACK, at.token,
               sequence=5, acknowledge=7)


@row("service", "a SYN to a service passes")
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token)


@row("service", "UDP to a service passes")
def _(at):
    return udp(at.stranger, at.me, 4000, 443, at.token)


@row("service", "a partner's SYN passes")
def _(at):
    return tcp(PARTNER[at.family], at.me, 4000, 8443, SYN, at.token)


@row("service", "a SYN in VLAN and QinQ tags passes")
def _(at):
    packet = tcp(at.stranger, at.me, 4000, 443, SYN, at.token)
    return [at.frame(packet, tags=[5]), at.frame(packet, tags=[(QINQ, 6), 5])]


@row("service", "IP options or extension headers before TCP are walked")
def _(at):
    if at.family == 4:
        return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, options=b"\1" * 40)
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, extensions=[(HOP, PADDING), (DSTOPTS, PADDING)])


@row("service", "a protocol without ports passes as a service, with its TTL")
def _(at):
    return ip(at.stranger, at.me, 112, at.token, ttl=255)


@row("icmp-echo", "an echo request passes")
def _(at):
    return echo(at.stranger, at.me, 7, at.token)


@row("icmp-error", "an ICMP error that quotes a flow of ours passes")
def _(at):
    quoted = udp(at.me, at.stranger, at.trial.asking[at.family], 9999, at.token)
    return too_big(at.stranger, at.me, quoted)


@row("icmp-error", "an ICMP error that quotes an open connection passes")
def _(at):
    client = at.trial.open[at.family]
    me = at.trial.lab.eth0[at.family]
    return too_big(at.stranger, me, tcp(me, client.getsockname()[0], 443, client.getsockname()[1], ACK, at.token))


@row("icmp-declared", "an ICMP error that quotes a declared port passes within its budget")
def _(at):
    return too_big(at.stranger, at.me, tcp(at.me, STRANGER[at.family], 443, 4001, ACK, at.token))


@row("fragment", "a later fragment follows its first one")
def _(at):
    return ip(at.stranger, at.me, UDP, at.token, number=900, offset=48)


@row("fragment-budget", "a later fragment that comes first passes within the budget")
def _(at):
    return ip(at.stranger, at.me, UDP, at.token, number=901, offset=48)


# ---- drops

@row("banned", "a banned source is dropped")
def _(at):
    return tcp(BANNED[at.family], at.me, 4000, 443, SYN, at.token)


@row("blocked", "a blocked source is dropped at a service")
def _(at):
    return tcp(at.bad, at.me, 4000, 443, SYN, at.token)


@row("blocked", "a blocked source is dropped with an extension header or options before TCP")
def _(at):
    if at.family == 4:
        return tcp(at.bad, at.me, 4000, 443, SYN, at.token, options=b"\1" * 8)
    return [tcp(at.bad, at.me, 4000, 443, SYN, at.token, extensions=extensions)
            for extensions in ([(HOP, PADDING)], [(DSTOPTS, PADDING)], [(AH, b"\1\0\0\0\0\0\1\0\0\0\1")])]


@row("blocked", "a blocked source is dropped behind VLAN and QinQ tags")
def _(at):
    packet = tcp(at.bad, at.me, 4000, 443, SYN, at.token)
    return [at.frame(packet, tags=[5]), at.frame(packet, tags=[(QINQ, 6), 5])]


@row("blocked", "a later fragment from a blocked source is dropped")
def _(at):
    return ip(at.bad, at.me, UDP, at.token, number=902, offset=48)


@row("blocked", "GRE and ESP from a blocked source are dropped")
def _(at):
    return [ip(at.bad, at.me, 47, bytes(4) + at.token), ip(at.bad, at.me, 50, bytes(8) + at.token)]


@row("blocked", "ICMP from a blocked source is dropped")
def _(at):
    return echo(at.bad, at.me, 8, at.token)


def quic(at, first, version, size):
    """A long header with two connection ids."""
    return udp(at.stranger, at.me, 4000, 6004, (struct.pack("!BI", first, version) + b"\x08\0\0\0\0\0\0\0\0\0" + at.token).ljust(size, b"\0"))


@row("service", "an Initial of QUIC reaches a service that takes its version")
def _(at):
    return quic(at, 0xC0, 1, 1200)


@row("quic-version", "one of another version is dropped")
def _(at):
    return quic(at, 0xD0, 0x6B3343CF, 1200)


@row("quic-unknown", "a version that stands for nothing is dropped")
def _(at):
    return quic(at, 0xC0, 0x1A2A3A4A, 1200)


@row("quic-unknown", "version negotiation, which only servers send, is dropped")
def _(at):
    return quic(at, 0x80, 0, 60)


@row("quic-malformed", "an Initial in a small datagram is dropped")
def _(at):
    return quic(at, 0xC0, 1, 1199)


@row("unexposed", "a SYN to an undeclared port is dropped")
def _(at):
    return tcp(at.stranger, at.me, 4000, 9200, SYN, at.token)


@row("unexposed", "unsolicited UDP is dropped")
def _(at):
    return udp(at.stranger, at.me, 5000, 40000, at.token)


@row("amplification", "an answer that nobody asked for is dropped")
def _(at):
    return udp(at.stranger, at.me, 53, 40000, at.token)


@row("unexposed", "GRE is dropped where no service names it")
def _(at):
    return ip(at.stranger, at.me, 47, bytes(4) + at.token)


@row("unexposed", "a multicast answer of nobody's question is dropped")
def _(at):
    return udp(at.stranger, GROUP[at.family], 5353, 5353, at.token)


@row("not-allowed", "a SYN to a service that is not for its source is dropped")
def _(at):
    return tcp(at.stranger, at.me, 4000, 8443, SYN, at.token)


@row("not-allowed", "a packet from beyond the link is dropped where the service asks for TTL 255")
def _(at):
    return ip(at.stranger, at.me, 112, at.token, ttl=254)


@row("stray", "a segment of no connection is dropped")
def _(at):
    return tcp(at.stranger, at.me, 4002, 443, ACK, at.token)


@row("stray", "a SYN-ACK that nobody asked for is dropped")
def _(at):
    return tcp(at.stranger, at.me, 443, 40001, SYN | ACK, at.token)


@row("icmp-type", "ICMP types that no host needs are dropped")
def _(at):
    return icmp(at.stranger, at.me, 5 if at.family == 4 else 139, 1, bytes(4), at.token)


@row("icmp-unrelated", "an echo reply that nobody asked for is dropped")
def _(at):
    return echo(at.stranger, at.me, 4242, at.token, reply=True)


@row("icmp-unrelated", "an ICMP error that quotes nothing of ours is dropped")
def _(at):
    return too_big(at.stranger, at.me, udp(at.me, at.stranger, 1234, 4321, at.token))


@row("malformed-ethernet", "a frame that ends inside its VLAN tag is dropped", (4,))
def _(at):
    return ethernet(at.trial.lab.eth1.mac, at.trial.lab.a0.mac, b"", kind=VLAN)


@row("malformed-ipv4", "an IPv4 length beyond the frame is dropped", (4,))
def _(at):
    return udp(at.stranger, at.me, 4000, 443, at.token, total=400)


@row("malformed-ipv4", "an IPv4 header length below 20 is dropped", (4,))
def _(at):
    return udp(at.stranger, at.me, 4000, 443, at.token, words=4)


@row("malformed-ipv4", "an IPv4 header of another version is dropped", (4,))
def _(at):
    return at.frame(udp(at.stranger, at.me, 4000, 443, at.token, version=6), kind=IPV4)


@row("malformed-ipv6", "an IPv6 length beyond the frame is dropped", (6,))
def _(at):
    return udp(at.stranger, at.me, 4000, 443, at.token, total=400)


@row("malformed-ipv6", "an IPv6 header of another version is dropped", (6,))
def _(at):
    return at.frame(udp(at.stranger, at.me, 4000, 443, at.token, version=4), kind=IPV6)


@row("malformed-extension", "routing header type 0 is dropped", (6,))
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, extensions=[(ROUTING, b"\0\0\1\0\0\0\0")])


@row("malformed-extension", "hop-by-hop options behind another header are dropped", (6,))
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, extensions=[(DSTOPTS, PADDING), (HOP, PADDING)])


@row("malformed-extension", "an extension header longer than its packet is dropped", (6,))
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, extensions=[(DSTOPTS, b"\xff" + PADDING[1:])])


@row("malformed-source", "loopback as source is dropped")
def _(at):
    return udp(LOOPBACK[at.family], at.me, 4000, 443, at.token)


@row("malformed-source", "a multicast source is dropped")
def _(at):
    return udp(GROUP[at.family], at.me, 4000, 443, at.token)


@row("malformed-destination", "loopback as destination is dropped")
def _(at):
    return udp(at.stranger, LOOPBACK[at.family], 4000, 443, at.token)


@row("malformed-land", "the same address and port at both ends is dropped")
def _(at):
    return tcp(at.me, at.me, 443, 443, SYN, at.token)


@row("malformed-tcp", "a TCP header that lies about its length is dropped")
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, words=4)


@row("malformed-tcp-flags", "sets of flags that no stack sends are dropped")
def _(at):
    return [tcp(at.stranger, at.me, 4000, 443, flags, at.token)
            for flags in (0, SYN | FIN, SYN | RST, FIN, FIN | PSH | 32, FIN | RST | ACK)]


@row("malformed-sctp", "an SCTP header cut short is dropped")
def _(at):
    return ip(at.stranger, at.me, 132, at.token[:8])


@row("malformed-udp", "a UDP length beyond its packet is dropped")
def _(at):
    return udp(at.stranger, at.me, 4000, 443, at.token, length=400)


@row("malformed-icmp", "an ICMP header cut short is dropped")
def _(at):
    return ip(at.stranger, at.me, ICMP if at.family == 4 else ICMP6, b"\x08\0\0\0")


@row("malformed-nd", "neighbour discovery from beyond the link is dropped", (6,))
def _(at):
    return icmp(at.stranger, at.me, 136, 0, b"\x60\0\0\0", address(at.stranger) + at.token, ttl=254)


@row("malformed-nd", "a router's advertisement from a global address is dropped", (6,))
def _(at):
    return icmp(at.stranger, at.me, 134, 0, bytes(4), bytes(8) + at.token, ttl=255)


@row("malformed-port", "port 0 is dropped")
def _(at):
    return tcp(at.stranger, at.me, 4000, 0, SYN, at.token)


@row("fragment-bogus", "a fragment that ends beyond 65535 is dropped")
def _(at):
    return ip(at.stranger, at.me, UDP, at.token * 4, offset=65528)


@row("fragment-tiny", "a first fragment without its whole transport header is dropped")
def _(at):
    return ip(at.stranger, at.me, TCP, tcp_header(at.stranger, at.me, 4000, 443, SYN)[:16], more=True)


@row("unparsed-vlan", "a third VLAN tag is dropped")
def _(at):
    return at.frame(tcp(at.stranger, at.me, 4000, 443, SYN, at.token), tags=[(QINQ, 7), 6, 5])


@row("unparsed-extension", "a ninth extension header is dropped", (6,))
def _(at):
    return tcp(at.stranger, at.me, 4000, 443, SYN, at.token, extensions=[(DSTOPTS, PADDING)] * 9)


# ---- running them

class Trial:
    """One mode: what the rows need to be there, and how they are tried."""

    def __init__(self, lab, mode):
        self.lab, self.mode = lab, mode
        self.sender = lab.attacker.raw("a0")
        self.capture = Capture(lab.node, "eth1")
        self.asking, self.pinged, self.open, self.sockets = {}, {}, {}, []
        self.counts = None

    def prepare(self, family):
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        asker = self.lab.node.socket(kind, socket.SOCK_DGRAM)
        asker.bind((self.lab.eth1[family], 0))
        asker.sendto(b"who?", (STRANGER[family], 9999))
        self.asking[family] = asker.getsockname()[1]
        pinger = self.lab.node.socket(kind, socket.SOCK_DGRAM, ICMP if family == 4 else ICMP6)
        pinger.bind((self.lab.eth1[family], 0))
        pinger.sendto(bytes([8 if family == 4 else 128, 0, 0, 0, 0, 0, 0, 1]), (STRANGER[family], 0))
        self.pinged[family] = pinger.getsockname()[1]
        self.open[family] = connect(self.lab.client, self.lab.eth0[family], 443)
        self.sockets += [asker, pinger, self.open[family]]
        first = udp_header(STRANGER[family], self.lab.eth1[family], 4000, 443, bytes(100))[:48]
        self.send(ethernet(self.lab.eth1.mac, self.lab.a0.mac,
                           ip(STRANGER[family], self.lab.eth1[family], UDP, first, number=900, more=True)))
        self.lab.bulwark("ban", BANNED[family], "--for", "1h")
        self.lab.bulwark("allow", EXCUSED[family], "--for", "1h", "--reason", "test")
        self.settle()
        self.counts = self.lab.counts()

    def send(self, frame):
        self.sender.send(frame)

    def settle(self):
        """Waits until the node has judged all that was sent: a last frame that passes comes last."""
        last = b"last%d" % time.monotonic_ns()
        self.send(ethernet(self.lab.eth1.mac, self.lab.a0.mac, last.ljust(60), kind=0x88CC))
        frames = []
        wait(lambda: frames.extend(self.capture.drain(0.01)) or any(last in frame for frame in frames), "the last frame")
        return frames

    def try_rows(self, family):
        """All rows at once: each frame's fate by what it carries, and the sums of every reason. Copies differ, so that
        two rows that took each other's reason are found."""
        sent, sums, arrived, unsettled = {}, {}, [], 0
        for number, (reason, _, families, function) in enumerate(ROWS):
            if family not in families:
                continue
            at, copies = At(self, family, number), 1 + number % 7
            packets = function(at)
            packets = packets if isinstance(packets, list) else [packets]
            frames = [packet if packet[:6] == self.lab.eth1.mac else at.frame(packet) for packet in packets]
            sent[number] = (at.token, frames, copies)
            sums[reason] = sums.get(reason, 0) + copies * len(frames)
            for frame in frames * copies:
                self.send(frame)
            unsettled += copies * len(frames)
            if unsettled > 60:  # no queue overflows
                arrived, unsettled = arrived + self.settle(), 0
        arrived, changes = arrived + self.settle(), self.changes()
        for number in sent:
            reason, behaviour = ROWS[number][:2]
            with it(f"{self.mode}, IPv{family}: {behaviour}: {reason}"):
                self.check(reason, sums[reason], *sent[number], arrived, changes)
                reached.add((self.mode, family, reason))

    def changes(self):
        """What was counted since the last time."""
        before, self.counts = self.counts, self.lab.counts()
        return {key: packets - before.get(key, 0) for key, packets in self.counts.items() if packets != before.get(key, 0)}

    def check(self, reason, wanted, token, frames, copies, arrived, changes):
        drops = reason.startswith(DROPS)
        key = ("drop" if drops else "pass", reason)
        counted = changes.get(key, 0)
        assert counted == wanted or (reason in NOISY and counted > wanted), \
            f"{counted} counted as {key}, wanted {wanted}; all changes: {changes}"
        came = sum(token in frame or frame in frames for frame in arrived)
        same(came, 0 if drops else copies * len(frames), "frames behind the shield")

    def burst(self, reason, family, behaviour, packet, count):
        """Over a budget: some pass, the rest drops under its own reason."""
        with it(f"{self.mode}, IPv{family}: {behaviour}: {reason}"):
            frame = ethernet(self.lab.eth1.mac, self.lab.a0.mac, packet)
            self.settle()
            overflowed = self.lab.attacker.overflowed("a0")
            for _ in range(count):
                self.send(frame)
            arrived = sum(frame == one for one in self.settle())
            count -= self.lab.attacker.overflowed("a0") - overflowed
            dropped = self.changes().get(("drop", reason), 0)
            same(arrived + dropped, count, "passed and dropped")
            assert dropped and arrived, f"{arrived} arrived, {dropped} dropped"
            reached.add((self.mode, family, reason))

    def close(self):
        for one in self.sockets + [self.sender, self.capture]:
            one.close()


def try_egress(trial, family):
    lab = trial.lab
    with it(f"{trial.mode}, IPv{family}: what this host sends to an address blocked outbound does not leave: blocked-out"):
        capture = Capture(lab.client, "c0")
        with lab.node.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"calls home", (WANTED[family], 53))
            sender.sendto(b"lawful", (STRANGER[family], 53))
        frames = []
        wait(lambda: frames.extend(capture.drain(0.01)) or any(b"lawful" in frame for frame in frames), "the lawful one")
        capture.close()
        assert not any(b"calls home" in frame for frame in frames), "it left"
        same(trial.changes().get(("drop", "blocked-out")), 1)
        reached.add((trial.mode, family, "blocked-out"))


def try_one(trial, family, arrives, behaviour, packet, *counted):
    """A single frame under a policy, or a state, of its own."""
    with it(f"{trial.mode}, IPv{family}: {behaviour}: {', '.join(reason for _, reason in counted)}"):
        frame = ethernet(trial.lab.eth1.mac, trial.lab.a0.mac, packet)
        trial.send(frame)
        same(frame in trial.settle(), arrives, "arrived")
        changes = trial.changes()
        for key in counted:
            assert key in changes, f"not counted as {key}: {changes}"
            reached.add((trial.mode, family, key[1]))


def try_policies(trial):
    lab, mode = trial.lab, trial.mode
    lab.node.sysctl("net.ipv4.ip_forward", 1)
    lab.node.sysctl("net.ipv6.conf.all.forwarding", 1)
    for word, verdict, reason in (("pass", "pass", "forwarded"), ("drop", "drop", "forward-refused"),
                                  ("services", "drop", "unexposed")):
        lab.apply(POLICY.format(mode=mode, more="forward: " + word))
        for family in (4, 6):
            try_one(trial, family, verdict == "pass", f"a packet to somebody behind this host, `forward: {word}`",
                    udp(STRANGER[family], BEHIND[family], 4000, 5000, b"behind"), (verdict, reason))
    lab.node.sysctl("net.ipv4.ip_forward", 0)
    lab.node.sysctl("net.ipv6.conf.all.forwarding", 0)
    lab.apply(POLICY.format(mode=mode, more="monitor: true"))
    for family in (4, 6):
        try_one(trial, family, True, "a policy that only monitors passes and counts what it would drop",
                tcp(BAD[family], lab.eth1[family], 4000, 9200, SYN, b"watched"), ("pass", "monitored"),
                ("would-drop", "blocked"))
    lab.apply(POLICY.format(mode=mode, more=""))
    lab.bulwark("pause", "--for", "1h")
    for family in (4, 6):
        try_one(trial, family, True, "a paused shield passes and counts",
                tcp(BAD[family], lab.eth1[family], 4000, 443, SYN, b"paused"), ("pass", "paused"))
    lab.bulwark("resume")


def try_mode(lab, mode):
    lab.apply(POLICY.format(mode=mode, more=""))
    same({i["mode"] for i in lab.status()["interfaces"]}, {mode}, "mode")
    trial = Trial(lab, mode)
    for family in (4, 6):
        trial.prepare(family)
        trial.try_rows(family)
        me, stranger = lab.eth1[family], STRANGER[family]
        trial.burst("icmp-rate", family, "echo requests over their rate are dropped", echo(stranger, me, 9), 100)
        trial.burst("fragment-early", family, "later fragments over their budget are dropped",
                    ip(stranger, me, UDP, bytes(64), number=903, offset=48), 6000)
        trial.burst("rate-packets", family, "packets over the limit of a service are dropped",
                    udp(stranger, me, 4000, 6001, b"many"), 200)
        trial.burst("rate-bytes", family, "bytes over the limit of a service are dropped",
                    udp(stranger, me, 4000, 6002, bytes(500)), 200)
        trial.burst("rate-connections", family, "SYNs over the limit of a service are dropped",
                    tcp(stranger, me, 4000, 6003, SYN), 200)
        groups = ip(stranger, "224.0.0.5", 2, bytes(8), ttl=1) if family == 4 else icmp("fe80::7", "ff02::16", 143, ttl=1)
        trial.burst("floor-rate", family, "one neighbour cannot flood with what every policy lets in", groups, 3000)
        try_egress(trial, family)
    try_policies(trial)
    trial.close()
    lab.bulwark("down")


def shown_elsewhere(reason):
    """Whether another test reaches the reason: those that real connections with their handshake and first bytes lead to,
    or devices that not every machine has."""
    places = {"tls-ja4": "test_ja4.py", "tls-": "test_tls.py", "http-": "test_http.py", "rate-requests": "test_http.py",
              "proxy-": "test_proxied.py",
              "first-": "test_disguise.py", "syn-cookie": "test_cookies.py", "syn-overload": "test_overload.py",
              "connections": "test_open_connections.py", "idle-request": "test_slow.py",
              "decrypted": "../vm/test_tunnels.sh"}
    place = next((place for beginning, place in places.items() if reason.startswith(beginning)), None)
    if not place:
        return False
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), place), encoding="utf-8") as file:
        return re.search(rf"[\"' ]{reason}[\"' ]", file.read()) is not None


def try_completeness():
    source = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../include/reasons.def"), encoding="utf-8")
    reasons = re.findall(r'^REASON\(\w+, "([^"]+)"', source.read(), re.M)
    only = {4: {"malformed-ethernet", "malformed-ipv4"}, 6: {"malformed-ipv6", "malformed-extension", "malformed-nd",
                                                          "unparsed-extension"}}
    for mode in ("native", "generic"):
        with it(f"{mode}: every reason of include/reasons.def was reached"):
            missing = [(family, reason) for reason in reasons for family in (4, 6)
                       if (mode, family, reason) not in reached and reason not in only[10 - family]
                       and not shown_elsewhere(reason)]
            same(missing, [])


def tests(lab):
    lab.node.run("ip", "route", "add", "default", "via", lab.c0.v4)
    lab.node.run("ip", "-6", "route", "add", "default", "via", lab.c0.v6)
    for family, any_address in ((4, "0.0.0.0"), (6, "::")):
        server = lab.node.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        if family == 6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((any_address, 443))
        server.listen(16)
        lab.undo.callback(server.close)
    for mode in ("native", "generic"):
        try_mode(lab, mode)
    try_completeness()


main("reasons", tests)
