#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""SYN cookies: a client that is challenged gets the connection it would have had without; a flood of spoofed SYNs leaves
nothing in the kernel; the node is as it was after `down`."""

import hashlib
import os
import random
import socket
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web:    {{ ports: [tcp/443, tcp/5000], syn-cookies: {cookies} }}
  plain:  {{ ports: tcp/8000 }}
  sink:   {{ ports: tcp/8001, syn-cookies: {cookies} }}
"""
DOWNLOAD, UPLOAD, CONNECTIONS = 8 << 20, 8 << 20, 1000
TCP_INFO = 11
# what the client may do without; what is agreed then must be what the node's own stack would have agreed to
CLIENTS = [{}, {"tcp_timestamps": 0}, {"tcp_sack": 0}, {"tcp_window_scaling": 0}, {"tcp_timestamps": 0, "tcp_sack": 0},
           {"tcp_timestamps": 0, "tcp_window_scaling": 0}, {"tcp_sack": 0, "tcp_window_scaling": 0},
           {"tcp_timestamps": 0, "tcp_sack": 0, "tcp_window_scaling": 0}, {"tcp_ecn": 1}]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def uploads(namespace, address, port=5000):
    data = os.urandom(UPLOAD)
    with connect(namespace, address, port, 20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.recv(64) == hashlib.sha256(data).digest()


def transfers(lab, family):
    """Megabytes both ways, intact."""
    me, path = lab.eth0[family], lab.directory + "/got"
    lab.client.run("curl", "-skf", "-m", "20", "-o", path, url(me, path="big"))
    same(digest(path), digest(lab.web + "/big"), "download")
    assert uploads(lab.client, me), "upload: another digest"


def agreed(lab, family, port):
    """What the node's end of a fresh connection says was agreed: options, window scales, and the peer's MSS."""
    with connect(lab.client, lab.eth0[family], port) as client:
        same(client.recv(100), b"welcome\n")
        server = lab.accepted[family, port][-1]
        same(server.getpeername()[1], client.getsockname()[1], "port")
        info = server.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
        theirs = client.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
        return {"options": info[5] & 0xF, "scales": info[6], "mss": struct.unpack_from("I", info, 16)[0],
                "client's": (theirs[5] & 0xF, theirs[6], struct.unpack_from("I", theirs, 16)[0])}


def cookies(lab):
    return lab.counts().get(("reply", "syn-cookie"), 0)


def half_open(lab):
    return len(lab.node.run("ss", "-Htan", "state", "syn-recv").splitlines())


def try_transfers(lab, mode, family):
    with it(f"{mode}, IPv{family}: a client that was challenged gets its page, and megabytes both ways"):
        before = cookies(lab)
        same(fetch(lab.client, lab.eth0[family]), "served\n")
        transfers(lab, family)
        assert cookies(lab) >= before + 3, f"{cookies(lab) - before} of 3 SYNs were challenged"
    with it(f"{mode}, IPv{family}: a port without cookies is not challenged"):
        before = cookies(lab)
        connect(lab.client, lab.eth0[family], 8000).close()
        same(cookies(lab), before)
    with it(f"{mode}, IPv{family}: a port on which nobody listens is the kernel's to refuse"):
        lab.apply(POLICY.format(mode=mode, cookies="always").replace("tcp/5000]", "tcp/5000, tcp/5999]"))
        with lab.client.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            try:
                client.connect((lab.eth0[family], 5999))
                raise AssertionError("connected")
            except ConnectionRefusedError:
                pass


def try_options(lab, mode, family):
    for settings in CLIENTS:
        words = ", ".join(f"{name}={value}" for name, value in settings.items()) or "defaults"
        with it(f"{mode}, IPv{family}: the same is agreed with a cookie as without: {words}"):
            for name, value in settings.items():
                lab.client.sysctl("net.ipv4." + name, value)
            try:
                same(agreed(lab, family, 8001), agreed(lab, family, 8000))
            finally:
                for name in settings:
                    lab.client.sysctl("net.ipv4." + name, 2 if name == "tcp_ecn" else 1)


def random_source(family):
    if family == 4:
        return f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    return f"2a03:{random.randrange(65536):x}:{random.randrange(65536):x}::{random.randrange(1, 65536):x}"


def flood(lab, family):
    """SYNs of ever new sources to the port of the sink."""
    random.seed(os.getpid())
    with lab.attacker.raw("a0") as sender:
        while True:
            for _ in range(20):
                sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(random_source(family), lab.eth0[family],
                                                                  random.randrange(1024, 65536), 8001, SYN)))


def try_flood(lab, mode, family):
    with it(f"{mode}, IPv{family}: {CONNECTIONS} of {CONNECTIONS} connections come about while SYNs are forged, and the "
            "kernel never hears of those"):
        before, most = cookies(lab), 0
        flooder = child(flood, lab, family)
        try:
            wait(lambda: cookies(lab) > before + 1000, "the flood")
            for number in range(CONNECTIONS):
                with connect(lab.client, lab.eth0[family], 8001, 10) as client:
                    same(client.recv(100), b"welcome\n")
                if not number % 100:
                    most = max(most, half_open(lab))
        finally:
            stop_child(flooder)
        same(most, 0, "half-open connections in the kernel")


def try_sysctl(lab):
    with it("tcp_syncookies=0 is set to 1, which is said, and put back by down"):
        lab.node.sysctl("net.ipv4.tcp_syncookies", 0)
        holds(lab.apply(POLICY.format(mode="native", cookies="always")), "net.ipv4.tcp_syncookies was 0, it is 1 now")
        same(lab.node.run("cat", "/proc/sys/net/ipv4/tcp_syncookies").strip(), "1")
        same(fetch(lab.client, lab.eth0.v4), "served\n")
        holds(lab.bulwark("down"), "net.ipv4.tcp_syncookies=0 as before")
        same(lab.node.run("cat", "/proc/sys/net/ipv4/tcp_syncookies").strip(), "0")
    lab.node.sysctl("net.ipv4.tcp_syncookies", 1)


def try_stack(lab):
    """The ways the node's own stack can be set."""
    for syncookies, timestamps in ((1, 0), (1, 2), (2, 1)):
        lab.node.sysctl("net.ipv4.tcp_syncookies", syncookies)
        lab.node.sysctl("net.ipv4.tcp_timestamps", timestamps)
        with it(f"tcp_syncookies={syncookies}, tcp_timestamps={timestamps}: megabytes both ways"):
            lab.apply(POLICY.format(mode="native", cookies="always"))
            before = cookies(lab)
            for family in (4, 6):
                transfers(lab, family)
                if syncookies == 1:  # with 2 every handshake is a cookie of the kernel's, which can do less
                    same(agreed(lab, family, 8001), agreed(lab, family, 8000))
            assert cookies(lab) >= before + 4, "not challenged"
    lab.node.sysctl("net.ipv4.tcp_syncookies", 1)
    lab.node.sysctl("net.ipv4.tcp_timestamps", 1)


def armed(lab):
    return [row["service"] for row in lab.status()["syn_cookies_armed"]]


def try_auto(lab):
    with it("auto: nobody is challenged until SYNs flood in; then all are, and connections come about"):
        lab.apply(POLICY.format(mode="native", cookies="auto"))
        wait(lambda: armed(lab) == [], "the end of what an earlier flood armed", 60)
        before = cookies(lab)
        connect(lab.client, lab.eth0.v4, 8001).close()
        same(cookies(lab), before)
        same(armed(lab), [])
        flooder = child(flood, lab, 4)
        try:
            wait(lambda: armed(lab) == ["sink"], "armed cookies")
            before = cookies(lab)
            for _ in range(100):
                with connect(lab.client, lab.eth0.v4, 8001, 10) as client:
                    same(client.recv(100), b"welcome\n")
        finally:
            stop_child(flooder)
        assert cookies(lab) >= before + 100, "not challenged"
        holds(lab.bulwark("status", status=None), "service sink answers with them")


KERNEL = """
mode: native
syn-cookies: {{ sysctls: [{sysctls}] }}
services:
  web:   {{ ports: [tcp/443, tcp/5000], syn-cookies: always }}
  plain: {{ ports: tcp/8000 }}
  sink:  {{ ports: tcp/8001, syn-cookies: always }}
  bound: {{ ports: [tcp/5001, tcp/8002], syn-cookies: always }}
"""
COUNTED = """
mode: native
services:
  sink: { ports: tcp/8001, syn-cookies: always, limits: [ { new-connections: 3/h, per: source } ] }
"""


def now(lab, name):
    return int(lab.node.run("cat", "/proc/sys/net/ipv4/" + name))


NAT = "table ip t { chain c { type nat hook prerouting priority -100; tcp dport 9999 dnat to 10.0.0.1; }; }"
DNAT = "table ip t { chain c { type nat hook prerouting priority -100; tcp dport 5000 dnat to 10.0.0.1; }; }"
NEW = "table inet t { chain c { type filter hook input priority 0; tcp flags & (fin|syn|rst|ack) != syn ct state new drop; }; }"
INVALID = "table inet t { chain c { type filter hook input priority 0; ct state invalid drop; }; }"
FIREWALLS = [  # rules, nf_conntrack_tcp_loose, what is said, which services it is said of
    ("", 1, "", ()), ("", 0, "", ()),
    (NAT, 1, "nf_conntrack_tcp_loose=0", ("web", "sink")), (NAT, 0, "", ()),
    (NEW, 1, "nf_conntrack_tcp_loose=0", ("web", "sink")), (NEW, 0, "", ()),
    (INVALID, 1, "", ()), (INVALID, 0, "nf_conntrack_tcp_loose=1", ("web", "sink")),
    (DNAT, 0, "port 5000 is sent elsewhere", ("web",)),
]


def try_firewalls(lab, taken=FIREWALLS):
    loose = "net.netfilter.nf_conntrack_tcp_loose"
    if not lab.node.works("nft", "add", "table", "inet", "t") or not lab.node.works("sysctl", loose):
        skip("what the node's own firewall makes of cookies", "no nftables or no connection tracking here")
        return
    for rules, value, words, services in taken:
        with it(f"tcp_loose={value}, '{rules}': " + ("refused with the reason" if words else "works")):
            lab.node.run("nft", "flush", "ruleset")
            lab.node.sysctl(loose, value)
            if rules:
                lab.node.run("nft", rules)
            said = lab.apply(POLICY.format(mode="native", cookies="always"))
            for service in ("web", "sink"):
                same(f"SYN cookies of service {service} are not armed" in said, service in services, said)
            holds(said, words)
            before = cookies(lab)
            for family in (4, 6):
                connect(lab.client, lab.eth0[family], 8001).close()
                same(fetch(lab.client, lab.eth0[family]), "served\n")
            assert (cookies(lab) > before) == (len(services) < 2), "armed against what was said"
    lab.node.run("nft", "flush", "ruleset")
    lab.node.sysctl(loose, 1)


def try_sysctls_of_kernel_format(lab):
    with it("the kernel's format: without its sysctl nothing is armed, which is said"):
        holds(lab.apply(POLICY.format(mode="native", cookies="always")), "syn-cookies: { sysctls: [tcp_syncookies] }")
        before = cookies(lab)
        same(fetch(lab.client, lab.eth0.v4), "served\n")
        same((cookies(lab), now(lab, "tcp_syncookies"), now(lab, "tcp_timestamps")), (before, 1, 1))
    with it("the kernel's format: the policy may have it set; then nothing but the MSS is agreed"):
        holds(lab.apply(KERNEL.format(sysctls="tcp_syncookies")), "net.ipv4.tcp_syncookies was 1, it is 2 now")
        same(now(lab, "tcp_timestamps"), 1)
        for family in (4, 6):
            before, got = cookies(lab), agreed(lab, family, 8001)
            same((got["options"], got["scales"], got["client's"][:2]), (0, 0, (0, 0)))
            transfers(lab, family)
            assert cookies(lab) >= before + 3, "not challenged"
    with it("the kernel's format: so are timestamps"):
        holds(lab.apply(KERNEL.format(sysctls="tcp_syncookies, tcp_timestamps")), "net.ipv4.tcp_timestamps was 1, it is 2 now")


def try_listeners_of_kernel_format(lab):
    with it("the kernel's format: a listener that bounds its window is offered no scale, and serves"):
        before, got = cookies(lab), agreed(lab, 4, 8002)
        same((got["options"], got["client's"][0], got["scales"]), (3, 3, 0))
        for family in (4, 6):
            assert uploads(lab.client, lab.eth0[family], 5001), "upload: another digest"
        assert cookies(lab) >= before + 3, "not challenged"
    with it("the kernel's format: handshakes are counted when they are complete"):
        lab.apply(COUNTED)
        before = cookies(lab)
        for _ in range(3):
            with connect(lab.client, lab.eth0.v4, 8001) as client:
                same(client.recv(100), b"welcome\n")
        connect(lab.client, lab.eth0.v4, 8001).close()
        wait(lambda: lab.counts().get(("drop", "rate-connections")), "the handshake over the limit")
        same(cookies(lab), before + 4)
        lab.apply(KERNEL.format(sysctls="tcp_syncookies, tcp_timestamps"))


def try_settings_by_hand(lab):
    with it("the kernel's format: set back by hand, timestamps are offered no more, and SYNs are the kernel's"):
        before = cookies(lab)
        lab.node.sysctl("net.ipv4.tcp_timestamps", 1)
        same(agreed(lab, 4, 8001)["options"], 0)
        transfers(lab, 4)
        assert cookies(lab) >= before + 3, "not challenged"
        lab.node.sysctl("net.ipv4.tcp_syncookies", 1)
        before = cookies(lab)
        transfers(lab, 4)
        same(cookies(lab), before)
    with it("the kernel's format: the same policy again sets them again"):
        lab.apply(KERNEL.format(sysctls="tcp_syncookies, tcp_timestamps"))
        same((now(lab, "tcp_syncookies"), now(lab, "tcp_timestamps")), (2, 2))


def try_kernel_format(lab):
    """As on a kernel before 6.8, which can be handed no cookies but its own."""
    lab.environment["BULWARK_KERNEL_COOKIES"] = "1"
    try_sysctls_of_kernel_format(lab)
    for family in (4, 6):
        with it(f"the kernel's format, IPv{family}: megabytes both ways"):
            before = cookies(lab)
            transfers(lab, family)
            assert cookies(lab) >= before + 2, "not challenged"
        try_options(lab, "the kernel's format", family)
        try_flood(lab, "the kernel's format", family)
    try_listeners_of_kernel_format(lab)
    try_settings_by_hand(lab)
    # the kernel finds out for itself that it is a connection: nothing for address translation to reset
    try_firewalls(lab, [row if row[:2] != (NAT, 1) else (NAT, 1, "", ()) for row in FIREWALLS])
    with it("the kernel's format: what was set is put back by down"):
        lab.bulwark("down")
        same((now(lab, "tcp_syncookies"), now(lab, "tcp_timestamps")), (1, 1))
    del lab.environment["BULWARK_KERNEL_COOKIES"]


def bounded(lab, family):
    """Listeners that set their buffer themselves."""
    connections = lab.accepted[family, 8002] = []

    def greet(server):
        connections.append(server.accept()[0])
        connections[-1].sendall(b"welcome\n")

    for port, answer in ((5001, digest_of_all), (8002, greet)):
        server = lab.serve(lab.node, family, socket.SOCK_STREAM, lab.eth0[family], port, answer)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200000)


def tests(lab):
    for namespace, device in ((lab.client, "c0"), (lab.attacker, "a0")):
        let_pass(lab, namespace, device)
    lab.web = lab.https(lab.node, size=DOWNLOAD)
    lab.accepted = {}
    for family in (4, 6):
        lab.serve(lab.node, family, socket.SOCK_STREAM, lab.eth0[family], 5000, digest_of_all)
        bounded(lab, family)
        for port in (8000, 8001):
            lab.accepted[family, port] = lab.tcp_sink(lab.node, family, lab.eth0[family], port)
    for mode, groups in (("native", (try_transfers, try_options, try_flood)), ("generic", (try_transfers,))):
        for family in (4, 6):
            lab.apply(POLICY.format(mode=mode, cookies="always"))
            for group in groups:
                group(lab, mode, family)
        with it(f"{mode}: none of these packets went by unjudged"):
            same(lab.fallthrough(), 0)
        lab.bulwark("down")
    try_stack(lab)
    try_auto(lab)
    try_firewalls(lab)
    lab.bulwark("down")
    try_sysctl(lab)
    try_kernel_format(lab)


main("cookies", tests)
