#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real programs talk through the shield: curl and nginx, ping, DNS, large transfers, routers that say "too big" or
"time exceeded". Native and generic, IPv4 and IPv6."""

import hashlib
import os
import socket
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  bad: {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
block: [bad]
services:
  web:    {{ ports: tcp/443 }}
  upload: {{ ports: tcp/5000 }}
"""

UPLOAD, DOWNLOAD = 16 << 20, 32 << 20
IP_RECVERR, IPV6_RECVERR, IP_TTL, IPV6_UNICAST_HOPS = 11, 25, 2, 16
FAR = {4: "45.60.1.2", 6: "2a01:60::2"}
V = {4: socket.AF_INET, 6: socket.AF_INET6}


def dns(server):
    """Answers every question with one address record."""
    question, peer = server.recvfrom(512)
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([45, 33, 1, 77])
    server.sendto(question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:] + record, peer)


def resolve(namespace, server):
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3api\7example\3com\0\0\1\0\1"
    with namespace.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(question, (server, 53))
        answer = client.recv(512)
    return socket.inet_ntoa(answer[-4:]) if answer[:2] == b"\x12\x34" else None


def uploads(namespace, address, size, port=5000):
    """Whether size random bytes arrive as they were sent."""
    data = os.urandom(size)
    with connect(namespace, address, port, 10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.recv(64) == hashlib.sha256(data).digest()


def build_far(lab):
    """node == client, who routes == a link of 1300 bytes == far, who advertises segments of 1440"""
    far = lab.namespace("far")
    veth(lab.client, "r0", far, "f0", 1300)
    End(lab.client, "r0", "45.60.1.1", "2a01:60::1")
    End(far, "f0", FAR[4], FAR[6])
    lab.client.sysctl("net.ipv4.ip_forward", 1)
    lab.client.sysctl("net.ipv6.conf.all.forwarding", 1)
    far.run("ip", "route", "add", "default", "via", "45.60.1.1", "advmss", "1460")
    far.run("ip", "-6", "route", "add", "default", "via", "2a01:60::1", "advmss", "1440")
    lab.node.run("ip", "route", "add", "45.60.1.0/24", "via", lab.c0.v4)
    lab.node.run("ip", "-6", "route", "add", "2a01:60::/64", "via", lab.c0.v6)
    return far


def forget_routes(lab):
    """What the node learned of path MTUs and neighbours."""
    lab.node.run("ip", "route", "flush", "cache")
    lab.node.run("ip", "-6", "route", "flush", "cache")


def try_web(lab, mode, family):
    me, client = lab.eth0[family], lab.client
    with it(f"{mode}, IPv{family}: curl gets a page over HTTPS"):
        same(fetch(client, me), "served\n")
    with it(f"{mode}, IPv{family}: a large download arrives as it was sent"):
        path = lab.directory + "/got"
        client.run("curl", "-skf", "-m", "20", "-o", path, url(me, path="big"))
        same(file_digest(path), file_digest(lab.web + "/big"))
    with it(f"{mode}, IPv{family}: a large upload arrives as it was sent"):
        assert uploads(client, me, UPLOAD), "another digest"
    with it(f"{mode}, IPv{family}: a hundred connections in a row all come about"):
        for _ in range(100):
            connect(client, me, 443).close()
    with it(f"{mode}, IPv{family}: a blocked peer gets no page"):
        same(fetch(lab.attacker, lab.eth1[family], seconds=0.6), "")
    with it(f"{mode}, IPv{family}: a port that no service names does not answer, although somebody listens"):
        assert not connects(client, me, 8000, 0.5), "connected"


def file_digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def try_ping(lab, mode, family):
    with it(f"{mode}, IPv{family}: the client pings the node"):
        assert pings(lab.client, lab.eth0[family])
    with it(f"{mode}, IPv{family}: a large ping comes in fragments and is answered"):
        assert pings(lab.client, lab.eth0[family], "-s", "6000")
    with it(f"{mode}, IPv{family}: the node pings the client"):
        assert pings(lab.node, lab.c0[family])
    with it(f"{mode}, IPv{family}: a blocked peer's ping is not answered"):
        assert not pings(lab.attacker, lab.eth1[family], seconds=0.5), "answered"
    with it(f"{mode}, IPv{family}: neighbours are found anew under `default: drop`"):
        for namespace in (lab.node, lab.client):
            namespace.run("ip", "neigh", "flush", "all")
        assert pings(lab.node, lab.c0[family]) and pings(lab.client, lab.eth0[family])


def try_outbound(lab, mode, family):
    peer = lab.c0[family]
    with it(f"{mode}, IPv{family}: the answer to a DNS question passes"):
        same(resolve(lab.node, peer), "45.33.1.77")
    with it(f"{mode}, IPv{family}: UDP that nobody asked for does not pass, from the same server to another port"):
        with lab.node.socket(V[family], socket.SOCK_DGRAM) as listener, \
                lab.client.socket(V[family], socket.SOCK_DGRAM) as sender:
            listener.bind((lab.eth0[family], 0))
            listener.settimeout(0.3)
            sender.sendto(b"unasked", listener.getsockname()[:2])
            try:
                assert not listener.recv(100), "it arrived"
            except TimeoutError:
                pass
    with it(f"{mode}, IPv{family}: the node fetches a page elsewhere"):
        same(fetch(lab.node, peer, 444), "served\n")
    with it(f"{mode}, IPv{family}: what the node asks of a blocked peer is not answered"):
        assert not asks(lab.node, lab.a0[family], 53, 0.3), "answered"
        assert not connects(lab.node, lab.a0[family], 8000, 0.5), "connected"


def try_routers(lab, mode, family):
    def too_bigs():
        return lab.counts().get(("pass", "icmp-error"), 0)

    far, before = lab.far, too_bigs()
    forget_routes(lab)
    with it(f"{mode}, IPv{family}: a router that says `too big` is heard by a connection of the node"):
        assert uploads(lab.node, FAR[family], 200000, 5001), "another digest"
        assert too_bigs() > before, "no such error came: the path is not what this test thinks"
    forget_routes(lab)
    before = too_bigs()
    with it(f"{mode}, IPv{family}: and by a connection to a service"):
        got = far.run("curl", "-skf", "-m", "10", "-r", "0-200000", "-o", "/dev/null", "-w", "%{size_download}",
                      url(lab.eth0[family], path="big"))
        same(got, "200001")
        assert too_bigs() > before, "no such error came: the path is not what this test thinks"
    with it(f"{mode}, IPv{family}: a router's `time exceeded` reaches the tracer"):
        same(trace(lab.node, family), lab.c0[family])
    with it(f"{mode}, IPv{family}: `port unreachable` reaches the asker"):
        with lab.node.socket(V[family], socket.SOCK_DGRAM) as asker:
            asker.settimeout(2)
            asker.connect((FAR[family], 9))
            asker.send(b"anybody?")
            try:
                assert not asker.recv(100)
            except ConnectionRefusedError:
                pass


def trace(namespace, family):
    """Who says that a packet with TTL 1 to the far end exceeded its time."""
    level, hops, errors = ((socket.IPPROTO_IP, IP_TTL, IP_RECVERR) if family == 4 else
                           (socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_RECVERR))
    with namespace.socket(V[family], socket.SOCK_DGRAM) as tracer:
        tracer.setsockopt(level, hops, 1)
        tracer.setsockopt(level, errors, 1)
        tracer.sendto(b"how far?", (FAR[family], 33434))

        def told():
            try:
                return tracer.recvmsg(100, 512, socket.MSG_ERRQUEUE)[1]
            except BlockingIOError:
                return None

        tracer.setblocking(False)
        data = wait(told, "an error")[0][2]
    offender = data[16:]  # struct sock_extended_err, then the sockaddr of who says it
    return socket.inet_ntop(V[family], offender[4:8] if family == 4 else offender[8:24])


def try_cookies(lab, mode, family):
    lab.node.sysctl("net.ipv4.tcp_syncookies", 2)
    with it(f"{mode}, IPv{family}: connections by the kernel's own SYN cookies come about and carry data"):
        same(fetch(lab.client, lab.eth0[family]), "served\n")
        assert uploads(lab.client, lab.eth0[family], 1 << 20), "another digest"
    lab.node.sysctl("net.ipv4.tcp_syncookies", 1)


def tests(lab):
    lab.web = lab.https(lab.node, size=DOWNLOAD)
    lab.https(lab.client, 444)
    lab.far = build_far(lab)
    for family in (4, 6):
        lab.serve(lab.node, family, socket.SOCK_STREAM, lab.eth0[family], 5000, digest_of_all)
        lab.serve(lab.far, family, socket.SOCK_STREAM, FAR[family], 5001, digest_of_all)
        lab.tcp_sink(lab.node, family, lab.eth0[family], 8000)
        lab.tcp_sink(lab.attacker, family, lab.a0[family], 8000)
        lab.serve(lab.client, family, socket.SOCK_DGRAM, lab.c0[family], 53, dns)
        lab.udp_echo(lab.attacker, family, lab.a0[family], 53)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode))
        for family in (4, 6):
            for group in (try_web, try_ping, try_outbound, try_routers, try_cookies):
                group(lab, mode, family)
        with it(f"{mode}: none of these packets went by unjudged"):
            same(lab.fallthrough(), 0)
        lab.bulwark("down")


main("peers", tests)
