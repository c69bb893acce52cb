#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients behind a proxy that speaks the PROXY protocol, version 2: a real haproxy in front of a real nginx, and headers
made by hand. Each client has the limit of requests for itself, first bytes are judged behind the header, and nobody but
the proxy is believed."""

import struct
import sys

sys.dont_write_bytecode = True
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
lists: {{ front: {{ addresses: [45.33.1.2, "2a01:7e00:1::2"] }} }}
proxies: [front]
services:
  api:
    ports: tcp/8080
    client: proxy-v2
    http: {{ methods: [GET], unknown: {unknown}, limits: [ {{ requests: 3/m, burst: 3, per: source }} ] }}
  secure:
    ports: tcp/443
    client: proxy-v2
    tls: {{ sni: api.example.com, unknown: {unknown} }}
"""
SERVERS = """
	large_client_header_buffers 4 16k;
	server {{ listen 8080 proxy_protocol; listen [::]:8080 proxy_protocol; return 200 "served $proxy_protocol_addr\\n"; }}
	server {{
		listen 443 ssl proxy_protocol;
		ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;
	}}
"""
HAPROXY = """
defaults
	mode http
	retries 0
	timeout connect 5s
	timeout client 20s
	timeout server 20s
frontend clients
	bind 127.0.0.1:8080
	default_backend nodes
backend nodes
	server v4 {address}:8080 send-proxy-v2
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TCP4, TCP6, UDP4, UNIX, UNSPEC = 0x11, 0x21, 0x12, 0x31, 0


def header(client=None, family=None, command=0x21, addresses=None, tlvs=b""):
    """A header that says it is for this client; the rest as it is told."""
    if addresses is None and client:
        kind = socket.AF_INET6 if ":" in client else socket.AF_INET
        address = socket.inet_pton(kind, client)
        family = family or (TCP6 if ":" in client else TCP4)
        addresses = address + address + struct.pack("!HH", 4000, 8080)
    body = (addresses or b"") + tlvs
    return SIGNATURE + bytes([command, family or 0]) + struct.pack("!H", len(body)) + body


def received(client, pieces):
    """What comes back to these segments: the answer, b"" at the end, or "reset"."""
    try:
        for piece in pieces:
            client.sendall(piece)
            if piece is not pieces[-1]:
                wait(lambda: not outstanding(client), "an acknowledgement", 30)
        return client.recv(4096)
    except (ConnectionResetError, BrokenPipeError):
        return "reset"


def said(lab, *pieces, namespace=None, address=None, port=8080):
    with connect(namespace or lab.client, address or lab.eth0.v4, port, 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return received(client, pieces)


def served(answer):
    """The client's address as the server says it."""
    return answer.split()[-1].decode() if isinstance(answer, bytes) and b"served" in answer else answer


def refused(lab, reason, *pieces, **more):
    before = lab.counts().get(("drop", reason), 0)
    same(said(lab, *pieces, **more), "reset", reason)
    assert lab.counts().get(("drop", reason), 0) > before, f"no drop for {reason}: {lab.counts()}"


def each_client(lab):
    with it("each client of a connection's header has the limit of requests for itself"):
        for proxy, client in ((4, "45.50.0.1"), (4, "2a01:50::1"), (6, "45.50.0.2"), (6, "2a01:51::1")):
            answers = [served(said(lab, header(client) + GET, address=lab.eth0[proxy])) for _ in range(4)]
            same(answers, [client] * 3 + ["reset"], client)
    with it("the header may be a segment of its own, have TLVs, and the request come in pieces"):
        same([served(said(lab, header("45.50.1.1"), GET)),
              served(said(lab, header("45.50.1.1", tlvs=b"\x05\x00\x20" + b"x" * 32) + GET)),
              served(said(lab, header("45.50.1.1") + GET[:9], GET[9:])),
              served(said(lab, header("45.50.1.1"), GET[:9], GET[9:]))], ["45.50.1.1"] * 3 + ["reset"])
    with it("all requests of a connection are its client's"):
        with connect(lab.client, lab.eth0.v4, 8080, 30) as client:
            answers = [served(received(client, [piece])) for piece in (header("45.50.2.1") + GET, GET, GET, GET)]
            same(answers, ["45.50.2.1"] * 3 + ["reset"])
    with it("through a real haproxy, too"):
        lab.start(lab.client, "haproxy", "-db", "-f", lab.file("haproxy.cfg", HAPROXY.format(address=lab.eth0.v4)))
        wait(lambda: connects(lab.client, "127.0.0.1", 8080), "haproxy", 30)
        for client in ("127.0.1.1", "127.0.1.2"):
            answers = [lab.client.run("curl", "-s", "-m", "30", "--interface", client, "http://127.0.0.1:8080/", status=None)
                       for _ in range(4)]
            same([answer for answer in answers if "served" in answer], [f"served {client}\n"] * 3)


def behind_the_header(lab):
    with it("what is asked of a request is asked of what stands behind the header"):
        refused(lab, "http-method", header("45.50.3.1") + b"PUT" + GET[3:])
        refused(lab, "http-method", header("45.50.3.1"), b"PU", b"T" + GET[3:])
        refused(lab, "http-not-http", header("45.50.3.1") + b"\x16\x03\x01\x00")
    with it("and likewise of a ClientHello"):
        good, bad = hello("api.example.com"), hello("www.example.com")
        for pieces in ((header("45.50.3.1") + good,), (header("45.50.3.1"), good),
                       (header("45.50.3.1") + good[:50], good[50:])):
            same(said(lab, *pieces, port=443)[:2], b"\x16\x03")
        for pieces in ((header("45.50.3.1") + bad,), (header("45.50.3.1"), bad), (header("45.50.3.1") + bad[:50], bad[50:])):
            refused(lab, "tls-sni", *pieces, port=443)
        long = header("45.50.3.1", tlvs=b"\x04\x00\x39" + bytes(57))  # the hello ends behind the 4096th byte of all
        refused(lab, "tls-sni", long, padded("www.example.com", 4050), port=443)


def wrong_headers(lab):
    addresses = bytes(range(12))
    with it("a proxy's connection without a header, or with a wrong one, is refused"):
        for piece in (GET, b"PROXY TCP4 45.50.4.1 45.50.4.2 4000 8080\r\n" + GET, header("45.50.4.1", command=0x11) + GET,
                      header("45.50.4.1", command=0x22) + GET, header(family=TCP4, addresses=addresses[:11]) + GET,
                      header(family=TCP6, addresses=addresses) + GET, header(family=UDP4, addresses=addresses) + GET,
                      header(family=UNIX, addresses=bytes(215)) + GET, b"\r\n" + header("45.50.4.1") + GET):
            refused(lab, "proxy-header", piece)
        refused(lab, "proxy-header", hello("api.example.com"), port=443)
    with it("one that is not all in the first segment is not read: unknown has the verdict"):
        whole = header("45.50.4.1")
        for at in (1, 8, 13, 27):
            refused(lab, "proxy-split", whole[:at])
    with it("who is no proxy is not believed, and needs no header"):
        stranger = {"namespace": lab.attacker, "address": lab.eth1.v4}
        refused(lab, "proxy-forged", header("45.50.4.1") + GET, **stranger)
        refused(lab, "proxy-forged", header(command=0x20) + GET, **stranger)
        refused(lab, "http-not-http", header("45.50.4.1")[:5], **stranger)
        refused(lab, "proxy-forged", header("45.50.4.1") + hello("api.example.com"), port=443, **stranger)
        before = lab.counts().get(("drop", "rate-requests"), 0)
        for _ in range(4):  # its server wants one, and closes
            said(lab, GET, **stranger)
        assert lab.counts().get(("drop", "rate-requests"), 0) > before, "it is counted by its own address"


def no_address(lab):
    with it("a header without an address does not show its client; one of the proxy's own checks has none"):
        refused(lab, "http-client", header(family=UNSPEC) + GET)
        refused(lab, "http-client", header(family=UNIX, addresses=bytes(216)) + GET)
        same([said(lab, header(command=0x20) + GET)[:12] for _ in range(5)], [b"HTTP/1.1 200"] * 5)
    lab.apply(POLICY.format(unknown="pass"))
    with it("unknown: pass lets both go on, counted"):
        same([said(lab, header(family=UNSPEC) + GET)[:12] for _ in range(5)], [b"HTTP/1.1 200"] * 5)
        whole, refusals = header("45.50.5.1") + GET, lab.counts().get(("drop", "proxy-split"))
        said(lab, whole[:9], whole[9:])  # this server may take it for a broken one
        counts = lab.counts()
        assert counts.get(("would-drop", "http-client"), 0) >= 5 and counts.get(("would-drop", "proxy-split"), 0) >= 2, counts
        same(counts.get(("drop", "proxy-split")), refusals)
    with it("a connection that is older than the policy goes on, uncounted"):
        with connect(lab.client, lab.eth0.v4, 8080, 30) as client:
            same(served(received(client, [header("45.50.6.1") + GET])), "45.50.6.1")
            lab.apply(POLICY.format(unknown="drop"))
            same([served(received(client, [GET])) for _ in range(5)], ["45.50.6.1"] * 5)


def servers(lab):
    root = lab.web_root()
    lab.nginx(lab.node, root, SERVERS.format(root=root))
    wait(lambda: connects(lab.node, "127.0.0.1", 8080), "nginx", 30)


def tests(lab):
    servers(lab)
    lab.apply(POLICY.format(unknown="drop"))
    each_client(lab)
    behind_the_header(lab)
    wrong_headers(lab)
    no_address(lab)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("proxied", tests)
