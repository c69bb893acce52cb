#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Requests of HTTP/1: methods, hosts and paths that a service has are answered by a real server, all others are reset
before it has seen them; keep-alive, requests in pieces, paths in disguise, and a limit of requests."""

import sys
import tempfile

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  office: {{ addresses: [46.30.2.2, "2a01:7e00:2::2"] }}
services:
  api:
    ports: tcp/8080
    http:
      allow-hosts: [api.internal, "*.svc.internal"]
      methods: [GET, POST]
      deny-paths: [/debug]
      paths: {{ /v1/admin: {{ allow: [office] }} }}
      unknown: {unknown}
{more}
"""
LIMIT = "      limits: [ { requests: 5/m, burst: 5, per: source } ]"


SERVER = '\tserver { listen 8080; listen [::]:8080; location / { return 200 "served\\n"; } }'


def request(path="/", host="api.internal", method="GET", more=""):
    return f"{method} {path} HTTP/1.1\r\nUser-Agent: x\r\nHost: {host}\r\n{more}\r\n".encode()


def outstanding(client):
    import fcntl
    import struct
    return struct.unpack("i", fcntl.ioctl(client, 0x5411, b"\0\0\0\0"))[0]


def ask(client, *pieces):
    """The status of the answer to a request in these segments, or "reset"."""
    try:
        for piece in pieces:
            client.sendall(piece)
            if piece is not pieces[-1]:
                wait(lambda: not outstanding(client), "an acknowledgement")
        answer = client.recv(4096)
        while answer and not answer.endswith(b"served\n") and b" 200 " in answer:
            answer += client.recv(4096)
        return int(answer.split()[1]) if answer else "closed"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"


def asked(lab, *pieces, namespace=None, address=None):
    with connect(namespace or lab.client, address or lab.eth0.v4, 8080) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ask(client, *pieces)


def refused(lab, reason, *requests, **more):
    """Each of the requests, whole or in pieces, is reset for this reason."""
    before = lab.counts().get(("drop", reason), 0)
    for one in requests:
        pieces = one if isinstance(one, tuple) else (one,)
        same(asked(lab, *pieces, **more), "reset", f"{pieces[0][:60]}")
    dropped = lab.counts().get(("drop", reason), 0) - before
    assert dropped >= len(requests), f"{dropped} drops of {len(requests)} for {reason}"


def curl(lab, address, path, *options):
    """The status of the answer that curl gets to a request as it is written, 0 for none."""
    host = f"[{address}]" if ":" in address else address
    return int(lab.client.run("curl", "-s", "-m", "20", "--path-as-is", "-H", "Host: api.internal", "-o", "/dev/null", "-w",
                              "%{http_code}", *options, f"http://{host}:8080{path}", status=None))


def what_it_has(lab, mode, address):
    with it(f"{mode}: what the service has is answered"):
        for one in (request(), request("/v1/users?x=/debug"), request(host="API.internal:8080"), request("/debugger"),
                    request(host="a.svc.internal", method="POST", more="Content-Length: 0\r\n"), request("/.well-known/x"),
                    b"GET http://api.internal/x HTTP/1.1\r\nHost: y\r\n\r\n"):
            same(asked(lab, one, address=address), 200, one.decode())
        same(curl(lab, address, "/x"), 200)
    with it(f"{mode}: other methods, hosts and paths are refused"):
        refused(lab, "http-method", request(method="DELETE"), address=address)
        refused(lab, "http-host", request(host="other.internal"), b"GET / HTTP/1.1\r\nAccept: x\r\n\r\n",
                b"GET http://other/ HTTP/1.1\r\nHost: api.internal\r\n\r\n",
                b"GET http://api.internal:x@other/ HTTP/1.1\r\nHost: api.internal\r\n\r\n", address=address)
        refused(lab, "http-path", request("/debug/pprof?x"), address=address)
        same(curl(lab, address, "/debug"), 0)
        same(curl(lab, address, "/x", "-X", "DELETE"), 0)


DISGUISES = ("/%64ebug", "//debug", "/./debug", "/x/../debug", "/x/%2e%2e/debug", "/debug;a=b", "/..;/debug", "/;x/debug", "/;/debug", "/v1;a=b/admin", "/v1;;;;;;;;;/;/admin;c", "/v1%3bx/admin", "/v1//admin",
             "/v1/admin/", "/v1\\admin", "/v1/ad%6din/x", "/debug%00", "/%2564ebug", "/%2fdebug", "/DeBug", "/v1/ADMIN",
             "/debug#x", "/x#/../debug", "/%c1%a4ebug", "debug", "http:/debug", "http://api.internal/debug")


def in_disguise(lab, mode):
    with it(f"{mode}: no disguise is a way around a path"):
        refused(lab, "http-path", *[request(path) for path in DISGUISES])
        same(curl(lab, lab.eth0.v4, "/x/../debug"), 0)
    with it(f"{mode}: a privileged path is for its list alone"):
        same(asked(lab, request("/v1/admin/x"), namespace=lab.attacker, address=lab.eth1.v4), 200)
        refused(lab, "http-path", request("/v1/admin/x"), request("/v1/admin"))
        refused(lab, "http-path", request("/debug"), namespace=lab.attacker, address=lab.eth1.v4)


CUTS = (1, 5, 12, 30, 50)


def in_pieces(lab, mode):
    with it(f"{mode}: what is no HTTP/1 is refused"):
        refused(lab, "http-not-http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"GET /\r\n\r\n",
                b"\r\n" + request("/debug"), request(method="get"), b"GET  /debug HTTP/1.1\r\nHost: api.internal\r\n\r\n")
        refused(lab, "http-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    with it(f"{mode}: a request is judged however it is cut"):
        good, bad = request(), request("/debug/a/long/path")
        for at in CUTS:
            same(asked(lab, good[:at], good[at:]), 200)
        refused(lab, "http-path", *[(bad[:at], bad[at:]) for at in CUTS], (bad[:2], bad[2:9], bad[9:]))
    with it(f"{mode}: a host that comes late is waited for, one beyond what is looked at is unknown"):
        late = request(more="").replace(b"User-Agent: x", b"User-Agent: " + b"x" * 2500)
        same(asked(lab, late), 200)
        refused(lab, "http-host", late.replace(b"api.internal", b"other.internl"))
        refused(lab, "http-split", late.replace(b"xxxx", b"x" * 12))
    with it(f"{mode}: later requests of a connection are judged too, and a body is none"):
        with connect(lab.client, lab.eth0.v4, 8080) as client:
            for _ in range(3):
                same(ask(client, request()), 200)
            same(ask(client, request(method="POST", more="Content-Length: 3000\r\n"), b"GET /debug " + b"y" * 2989), 200)
            same(ask(client, request("/debug")), "reset")


WRAP, TAIL = 1 << 32, 1000  # bytes of a stream until its numbers begin again, and of what is sent behind them
UPLOAD = """
services:
  files: { ports: tcp/8081, http: { deny-paths: [/debug], unknown: drop } }
"""


def swallow(server):
    """Answers a request when all of it has come."""
    with server.accept()[0] as one:
        came, piece = 0, b"-"
        while came < WRAP + TAIL and piece:
            piece = one.recv(1 << 20, socket.MSG_TRUNC)  # thrown away by the kernel
            came += len(piece)
        one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def upload(lab):
    lab.serve(lab.node, 4, socket.SOCK_STREAM, "0.0.0.0", 8081, swallow)
    lab.apply(UPLOAD)
    with it("a request of more than 4 GiB that nothing was answered to yet is one request, also where its numbers begin again"):
        with connect(lab.client, lab.eth0.v4, 8081) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(60)
            head, body = request("/up", method="POST", more="Content-Length: 5000000000\r\n"), memoryview(bytes(1 << 20))
            for piece in (head[:20], head[20:]):
                client.sendall(piece)
                wait(lambda: not outstanding(client), "an acknowledgement")
            left = WRAP - len(head)
            while left:
                left -= client.send(body[:left])
            wait(lambda: not outstanding(client), "the last acknowledgement", 60)  # what comes now begins with number 0
            client.sendall(body[:TAIL])
            same(client.recv(15), b"HTTP/1.1 200 OK")
        same({key: number for key, number in lab.counts().items() if key[0] in ("drop", "would-drop")}, {}, "refused")
    lab.bulwark("down")


def monitored_and_limited(lab, mode):
    lab.apply(POLICY.format(mode=mode, unknown="pass", more="      monitor: true"))
    with it(f"{mode}: monitor: true counts what it would have refused, and lets it be answered"):
        before = lab.counts().get(("would-drop", "http-path"), 0)
        same(asked(lab, request("/debug")), 200)
        same(lab.counts().get(("would-drop", "http-path"), 0), before + 1)
    lab.apply(POLICY.format(mode=mode, unknown="pass", more=LIMIT))
    with it(f"{mode}: a source over its limit of requests is refused, others are not"):
        with connect(lab.client, lab.eth0.v4, 8080) as client:
            same([ask(client, request()) for _ in range(6)], [200] * 5 + ["reset"])
        same(asked(lab, request(), namespace=lab.attacker, address=lab.eth1.v4), 200)
        assert lab.counts().get(("drop", "rate-requests"), 0) >= 1, lab.counts()


BEHIND = """
lists: {{ front: {{ addresses: [45.33.1.2] }} }}
proxies: [front]
services:
  api:
    ports: tcp/8080
{client}
    http: {{ unknown: {unknown}, limits: [ {{ requests: 3/m, burst: 3, per: source }} ] }}
"""


def through(lab, *headers, **more):
    """A request with these X-Forwarded-For headers, each on a connection of its own as a proxy's are."""
    return asked(lab, request(more="".join(f"X-Forwarded-For: {header}\r\n" for header in headers)), **more)


def clients_behind_proxies(lab):
    lab.apply(BEHIND.format(client="    client: x-forwarded-for", unknown="drop"))
    with it("each client behind a proxy has the limit for itself"):
        same([through(lab, "45.50.0.1") for _ in range(4)], [200] * 3 + ["reset"])
        same([through(lab, "2a01:50::1") for _ in range(4)], [200] * 3 + ["reset"])
        same(through(lab, "45.50.0.2"), 200)
    with it("what a client wrote before its proxy changes nothing: several entries, headers, ports, brackets"):
        same([through(lab, "45.50.9.9, 45.50.0.1"), through(lab, "45.50.9.9", "45.50.0.1:4000"),
              through(lab, "45.50.9.9", "[2a01:50::1]:4000"), through(lab, "45.50.9.9 ,\t2a01:50:0:0::7 "),
              through(lab, "::ffff:45.50.0.1")], ["reset"] * 5)
    with it("a request of a proxy that does not show its client is refused where the rule says so"):
        for header in ("unknown", "45.50.0.300", "045.50.0.3", "45.50.0.3,", "45.50.0.3 x", "45.50.0.3\r\n 45.50.0.4"):
            refused(lab, "http-client", request(more=f"X-Forwarded-For: {header}\r\n"))
        refused(lab, "http-client", request(), request(more="X-Forwarded-For : 45.50.0.3\r\n"))
    with it("a head in pieces is read when it is whole"):
        whole = request(more="X-Forwarded-For: 45.50.0.1\r\n")
        same(asked(lab, whole[:30], whole[30:-20], whole[-20:]), "reset")
        whole = request(more="X-Forwarded-For: 45.50.0.5\r\n")
        same(asked(lab, whole[:30], whole[30:-20], whole[-20:]), 200)
    with it("later requests of a proxy's connection are counted by their own clients; one whose head goes on is not shown"):
        with connect(lab.client, lab.eth0.v4, 8080) as client:
            answers = [ask(client, request(more=f"X-Forwarded-For: {address}\r\n"))
                       for address in ["45.50.0.6", "45.50.0.7"] * 3 + ["45.50.0.8", "45.50.0.7"]]
            same(answers, [200] * 7 + ["reset"])
        whole = request(more="X-Forwarded-For: 45.50.0.8\r\n")
        with connect(lab.client, lab.eth0.v4, 8080) as client:
            before = lab.counts().get(("drop", "http-client"), 0)
            same([ask(client, whole), ask(client, whole[:-20])], [200, "reset"])
            same(lab.counts()[("drop", "http-client")], before + 1)
    with it("nor is one whose head ends beyond what is looked at"):
        refused(lab, "http-client", request(more="X-Forwarded-For: 45.50.0.8\r\nX: " + "y" * 4096 + "\r\n"))
    with it("who is no proxy is counted by its own address, whatever it writes"):
        answers = [through(lab, f"45.50.1.{i}", namespace=lab.attacker, address=lab.eth1.v4) for i in range(4)]
        same(answers, [200] * 3 + ["reset"])
    lab.apply(BEHIND.format(client="    client: { x-forwarded-for: 2 }", unknown="pass"))
    with it("with two proxies the entry before the last is the client's"):
        same([through(lab, f"45.50.2.1, 45.60.0.{i}") for i in range(4)], [200] * 3 + ["reset"])
        same([through(lab, "45.50.2.1") for _ in range(5)], [200] * 5, "fewer entries than proxies")
        assert lab.counts().get(("would-drop", "http-client"), 0) >= 3, lab.counts()
    lab.apply(BEHIND.format(client="", unknown="drop"))
    with it("without the word a proxy is not counted, and its clients neither"):
        same([through(lab, "45.50.0.1") for _ in range(5)], [200] * 5)


def web(lab):
    lab.nginx(lab.node, tempfile.mkdtemp(prefix="web-", dir=lab.directory), SERVER)
    wait(lambda: lab.node.works("curl", "-sf", "-m", "2", "-o", "/dev/null", "http://127.0.0.1:8080/"), "nginx")


def tests(lab):
    web(lab)
    upload(lab)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode, unknown="drop", more=""))
        for family in (4, 6):
            what_it_has(lab, f"{mode}, IPv{family}", lab.eth0[family])
        in_pieces(lab, mode)
        if mode == "native":  # what the program at TC makes of a path does not depend on what stands before it
            in_disguise(lab, mode)
        monitored_and_limited(lab, mode)
        with it(f"{mode}: nothing fell through"):
            same(lab.fallthrough(), 0)
        lab.bulwark("down")
    clients_behind_proxies(lab)


main("http", tests)
