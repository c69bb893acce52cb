#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a policy blocks outbound: it does not leave, whoever of this host or behind it sends it, and log, status, metrics
and lookup say what was refused, to whom, and by which list."""

import contextlib
import os
import socket
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
{more}
lists:
  incoming: {{ addresses: [46.31.9.0/24, "2a01:9::/64"] }}
  callers:  {{ feed: callers.txt, format: plain }}
  rivals:   {{ addresses: [46.31.9.77, "2a01:9::77"] }}
  watched:  {{ addresses: [46.31.9.88, "2a01:9::88"] }}
block:
  - {{ list: incoming, monitor: true }}
  - {{ list: callers, direction: out }}
  - {{ list: rivals, direction: both }}
  - {{ list: watched, direction: out, monitor: true }}
services:
  web: {{ ports: tcp/443 }}
"""
CALLERS = "46.31.9.66\n46.31.9.67\n2a01:9::66\n2a01:9::67\n"
FAR = {4: "46.31.9.", 6: "2a01:9::"}  # behind the far host, which is its router


class Listener:
    """What the far host gets, by the address that it is for: SYNs and datagrams."""

    def __init__(self, lab):
        self.capture, self.frames = Capture(lab.attacker, "a0"), []

    def got(self, words):
        self.frames.extend(self.capture.drain())
        return any(words in frame for frame in self.frames)

    def close(self):
        self.capture.close()


def send_udp(namespace, address, words, port=53):
    """The port that it was sent from."""
    with namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with contextlib.suppress(OSError):  # the kernel may say at once that it did not leave
            sender.sendto(words, (address, port))
        return sender.getsockname()[1]


def send_syn(namespace, address, port=443):
    """The port of the socket that asks for a connection, which stays open while the kernel sends its SYN."""
    with namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        client.connect_ex((address, port))
        return client.getsockname()[1]


def refused(lab, action, address, transport):
    """The one event of this; the log is written by a daemon."""
    def found():
        return [one for one in events(lab, action) if one.get("destination", {}).get("ip") == address
                and one["network"].get("transport") == transport]
    return wait(found, f"{action} of {transport} to {address}")[0]


def tells(event, source, address, port, more):
    """That everything that the man page promises is in it, the right way round."""
    same((event["source"]["ip"], event["source"]["port"]), source, "source")
    same((event["destination"]["ip"], event["destination"]["port"]), (address, port), "destination")
    same((event["network"]["direction"], event["network"]["type"]), ("outbound", "ipv6" if ":" in address else "ipv4"))
    same((event["event"]["reason"], event["bulwark"]["hook"]), ("blocked-out", "egress"))
    same(event["observer"], {"type": "firewall", "product": "bulwark", "egress": {"interface": {"name": "eth1"}}})
    same((event["rule"]["name"], event["rule"]["category"], event["bulwark"]["list"]), (more["list"], "block", more["list"]), "rule")
    same(event.get("threat"), {"feed": {"name": "callers"}} if more["list"] == "callers" else None, "threat")
    same((event["event"]["type"][1], event["bulwark"]["verdict"]), more["verdict"])
    same("community_id" in event["network"], True)
    same("service" in event, False)


DROPPED, WATCHED = ("denied", "drop"), ("allowed", "would-drop")


def try_host(lab, mode, family):
    net = FAR[family]
    listener = Listener(lab)
    with it(f"{mode}, IPv{family}: UDP of this host to a blocked address does not leave, and the log says so"):
        port = send_udp(lab.node, net + "66", b"calls home")
        tells(refused(lab, "packet-dropped", net + "66", "udp"), (lab.eth1[family], port), net + "66", 53,
              {"list": "callers", "verdict": DROPPED})
    with it(f"{mode}, IPv{family}: so it says of a second one, a moment later, of the same list"):
        port = send_udp(lab.node, net + "67", b"calls home")
        tells(refused(lab, "packet-dropped", net + "67", "udp"), (lab.eth1[family], port), net + "67", 53,
              {"list": "callers", "verdict": DROPPED})
    with it(f"{mode}, IPv{family}: TCP of this host to an address that is blocked both ways"):
        port = send_syn(lab.node, net + "77")
        event = refused(lab, "packet-dropped", net + "77", "tcp")
        tells(event, (lab.eth1[family], port), net + "77", 443, {"list": "rivals", "verdict": DROPPED})
        same(event["bulwark"]["tcp_flags"] & 0x12, 2)
    with it(f"{mode}, IPv{family}: an entry that only monitors tells, and lets pass"):
        port = send_udp(lab.node, net + "88", b"watched")
        wait(lambda: listener.got(b"watched"), "it at the far host")
        tells(refused(lab, "packet-would-drop", net + "88", "udp"), (lab.eth1[family], port), net + "88", 53,
              {"list": "watched", "verdict": WATCHED})
    with it(f"{mode}, IPv{family}: none of what was refused got there"):
        assert not listener.got(b"calls home"), "it did"
    listener.close()


def try_forwarded(lab, mode, family):
    net = FAR[family]
    listener = Listener(lab)
    with it(f"{mode}, IPv{family}: what a container behind this host sends to a blocked address does not leave, and is told as its"):
        port = send_udp(lab.box, net + "66", b"calls home", 5353)
        event = wait(lambda: [one for one in events(lab, "packet-dropped") if one.get("source", {}).get("ip") == INSIDE[family]
                              and one["network"]["transport"] == "udp"], "the event", 20)[0]
        tells(event, (INSIDE[family], port), net + "66", 5353, {"list": "callers", "verdict": DROPPED})
        port = send_syn(lab.box, net + "67")
        event = refused(lab, "packet-dropped", net + "67", "tcp")
        tells(event, (INSIDE[family], port), net + "67", 443, {"list": "callers", "verdict": DROPPED})
        assert not listener.got(b"calls home"), "it left"
    with it(f"{mode}, IPv{family}: its lawful traffic leaves"):
        send_udp(lab.box, lab.a0[family], b"lawful")
        wait(lambda: listener.got(b"lawful"), "it at the far host")
    listener.close()


def try_words(lab, mode, family):
    net = FAR[family]
    with it(f"{mode}, IPv{family}: lookup of the destination says what it is blocked for"):
        holds(lab.bulwark("lookup", net + "66"), "callers: block outbound")
        holds(lab.bulwark("lookup", net + "77"), "rivals: block both ways")
        holds(lab.bulwark("lookup", net + "88"), "watched: block outbound (only monitors)")
    with it(f"{mode}, IPv{family}: explain says the same of such a packet"):
        host = (f"[{lab.eth1[family]}]", f"[{net}66]") if family == 6 else (lab.eth1[family], net + "66")
        holds(lab.bulwark("explain", "--packet", f"udp {host[0]}:4000 > {host[1]}:53"), "drop", "blocked-out", "policy.yaml:")
    with it(f"{mode}, IPv{family}: log --source finds it by this host's own address"):
        holds(lab.bulwark("log", "--reason", "blocked-out", "--source", lab.eth1[family]), net + "66", "list callers", "eth1")


def try_counts(lab, mode):
    with it(f"{mode}: status and metrics count what was refused, and what would have been"):
        counts = lab.counts()
        same((counts[("drop", "blocked-out")] >= 10, counts[("would-drop", "blocked-out")]), (True, 2), str(counts))
        text = lab.bulwark("metrics")
        holds(text, f'bulwark_packets_total{{interface="eth1",verdict="drop",reason="blocked-out"}} {counts[("drop", "blocked-out")]}')


def try_inbound(lab, mode):
    """Where a monitoring entry and one that drops both cover a source, each is told under its own list."""
    with it(f"{mode}: what comes from an address that is blocked both ways is told as inbound, by its own list"):
        lab.attacker.run("ip", "addr", "add", "46.31.9.77/32", "dev", "a0")
        with lab.attacker.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("46.31.9.77", 0))
            sender.sendto(b"comes in", (lab.eth1.v4, 443))
        found = {}
        for action in ("packet-dropped", "packet-would-drop"):
            event = wait(lambda action=action: [one for one in events(lab, action) if one.get("source", {}).get("ip") == "46.31.9.77"],
                         action, 20)[0]
            found[action] = (event["network"]["direction"], event["event"]["reason"], event["rule"]["name"], event["bulwark"]["list"])
        same(found, {"packet-dropped": ("inbound", "blocked", "rivals", "rivals"),
                     "packet-would-drop": ("inbound", "blocked", "incoming", "incoming")})
        lab.attacker.run("ip", "addr", "del", "46.31.9.77/32", "dev", "a0")


def try_monitor(lab, mode):
    lab.apply(POLICY.format(mode=mode, more="monitor: true"))
    for family in (4, 6):
        net = FAR[family]
        listener = Listener(lab)
        with it(f"{mode}, IPv{family}: a policy that monitors tells, and lets pass"):
            words = b"tried %d" % family
            port = send_udp(lab.node, net + "66", words, 5454)
            wait(lambda: listener.got(words), "it at the far host")
            tells(refused(lab, "packet-would-drop", net + "66", "udp"), (lab.eth1[family], port), net + "66", 5454,
                  {"list": "callers", "verdict": WATCHED})
        listener.close()
    lab.apply(POLICY.format(mode=mode, more=""))


def route_far(lab):
    lab.node.run("ip", "route", "add", "46.31.9.0/24", "via", lab.a0.v4)
    lab.node.run("ip", "-6", "route", "add", "2a01:9::/64", "via", lab.a0.v6)


def tests(lab):
    lab.box = lab.container()
    lab.forward()
    route_far(lab)
    lab.file("callers.txt", CALLERS)
    for mode in sys.argv[1:] or ("native", "generic"):
        lab.apply(POLICY.format(mode=mode, more=""))
        daemon = lab.start(lab.node, BULWARKD, "--foreground", "--pin-dir", lab.pins, "--state-dir", lab.state)
        for family in (4, 6):
            try_host(lab, mode, family)
            try_forwarded(lab, mode, family)
            try_words(lab, mode, family)
        try_counts(lab, mode)
        try_inbound(lab, mode)
        try_monitor(lab, mode)
        stop(daemon)
        lab.bulwark("down")
        os.unlink(lab.state + "/events.jsonl")


main("outbound", tests)
