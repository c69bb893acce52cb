#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""metrics: { connections: true }: real connections are counted when they begin and as they end, by service, over a reload,
and in metrics that promtool takes; without the word no program is on the sockets. Over a long line their times are those
of the line, what was lost is what was sent again, and a client that vanished is a timeout."""

import re
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403
from line import FAR, Line  # noqa: E402

POLICY = """
services:
  web:   {{ ports: tcp/443 }}
  plain: {{ ports: tcp/80 }}
{more}
"""
COUNTED = "metrics: { connections: true }"
REQUEST, ANSWER = 300, 5000

POLICY_OF = """
services:
{services}
metrics: {{ connections: true }}
"""
FAR_POLICY = """
services:
{services}
metrics: {{ connections: true }}
interfaces: [eth0, eth2]
"""
DELAY = 0.05  # s, each way
BELOW = "0.065536"  # s: a bucket's bound, between the round trip of a near client and that of a far one
DOWNLOADS, DOWNLOAD = 4, 150000
SEGMENTS = DOWNLOADS * DOWNLOAD // 1500  # at least


def keepalive(server):
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        server.setsockopt(socket.IPPROTO_TCP, option, 1)


def impatient(server):
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
    server.sendall(bytes(ANSWER))


# how the kernel finds out that a client has vanished: {service: (port, what the service does then)}
VANISHED = {
    "unanswered":   (8001, lambda server: server.sendall(bytes(ANSWER))),
    "user-timeout": (8002, impatient),
    "keepalive":    (8003, keepalive),
    "orphan":       (8004, lambda server: server.close()),
    "last-ack":     (8005, lambda server: server.close()),  # its client had closed
}


def rows(lab):
    return {row["service"]: row for row in lab.status()["connections"]}


def row(lab, service="web"):
    return rows(lab).get(service)


def served(lab, address, port=443):
    """A connection that is asked something, answered, and closed by the client."""
    with connect(lab.client, address, port) as client:
        client.sendall(bytes(REQUEST))
        got = 0
        while got < ANSWER:
            got += len(client.recv(65536))


def answers(lab, port):
    """A server that answers REQUEST bytes with ANSWER bytes, then waits for the end."""
    def answer(server):
        connection, _ = server.accept()

        def talk():
            with connection, contextlib.suppress(OSError):
                got = 0
                while piece := connection.recv(65536):
                    got += len(piece)
                    if got == REQUEST:
                        connection.sendall(bytes(ANSWER))
        threading.Thread(target=talk, daemon=True).start()

    lab.serve(lab.node, 6, socket.SOCK_STREAM, "::", port, answer)


def reset(client):
    """Closes with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def value(text, name, **labels):
    found = re.search(name + r"\{" + ",".join(f'{key}="{re.escape(word)}"' for key, word in labels.items()) + r"\} (\S+)", text)
    return float(found[1]) if found else None


def counting(lab):
    lab.apply(POLICY.format(more=COUNTED))
    with it("nothing is told of a service before its first connection"):
        same(lab.status()["connections"], [])
    with it("connections of both families are counted, with what they moved"):
        for family in (4, 6):
            for _ in range(5):
                served(lab, lab.eth0[family])
        wait(lambda: row(lab)["closed"]["fin"] == 10, "ten ends", 30)
        same((row(lab)["opened"], row(lab)["open"]), (10, 0))
        same(row(lab)["bytes"], {"in": 10 * REQUEST, "out": 10 * ANSWER})
        assert min(row(lab)["segments"].values()) >= 10 * 4, row(lab)
    with it("status has a line of them, and what half and nearly all of them took"):
        for name in ("handshake_s", "rtt_s", "duration_s"):
            assert 0 < row(lab)[name]["median"] <= row(lab)[name]["p99"] < 10, row(lab)
        line = next(line for line in lab.bulwark("status").splitlines() if line.startswith("web "))
        holds(line, " 10 ", "10 fin, 0 reset, 0 timeout, 0 abort", "ms")
    with it("each service by itself"):
        same(row(lab, "plain"), None)
        served(lab, lab.eth0.v4, 80)
        wait(lambda: row(lab, "plain")["closed"]["fin"] == 1, "its end", 30)
        same(row(lab)["opened"], 10)
    with it("a reset by the client is one, an end by this host another"):
        reset(connect(lab.client, lab.eth0.v4, 443))
        wait(lambda: row(lab)["closed"]["reset"] == 1, "a reset", 30)
        with connect(lab.client, lab.eth0.v4, 443):
            wait(lambda: row(lab)["open"] == 1, "an open connection", 30)
            lab.node.run("ss", "-K", "sport = :443", status=None)
            wait(lambda: row(lab)["closed"]["abort"] == 1, "an abort", 30)
    with it("a connection that began under one policy ends under the next"):
        with connect(lab.client, lab.eth0.v4, 443):
            wait(lambda: row(lab)["open"] == 1, "an open connection", 30)
            lab.apply(POLICY.format(more=COUNTED + "\nstray: drop"))
            same(row(lab)["open"], 1)
        wait(lambda: (row(lab)["open"], row(lab)["closed"]["fin"]) == (0, 11), "its end", 30)


def exposition(lab):
    text = lab.bulwark("metrics")
    with it("promtool takes the metrics"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        same((done.returncode, done.stdout + done.stderr), (0, ""))
    with it("they say what status says"):
        now = row(lab)
        same(value(text, "bulwark_connections_opened_total", service="web"), now["opened"])
        same(value(text, "bulwark_connections_closed_total", service="web", end="reset"), 1)
        same(value(text, "bulwark_connection_bytes_total", service="web", direction="out"), now["bytes"]["out"])
    with it("histograms add up, and hold what is possible"):
        for name, count in (("handshake", now["opened"]), ("duration", sum(now["closed"].values()))):
            name = f"bulwark_connection_{name}_seconds"
            same(value(text, name + "_count", service="web"), count)
            same(value(text, name + "_bucket", service="web", le="+Inf"), count)
            buckets = [float(b) for b in re.findall(name + r'_bucket\{service="web",le="[^"]+"\} (\S+)', text)]
            same(len(buckets), 25)
            same(buckets, sorted(buckets))
        same(value(text, "bulwark_connection_handshake_seconds_bucket", service="web", le="8.388608"), now["opened"])
        assert 0 < value(text, "bulwark_connection_handshake_seconds_sum", service="web") < 10


def bucket(lab, name, service):
    """How many of a service's values are below BELOW, and how many there are."""
    text, name = lab.bulwark("metrics"), f"bulwark_connection_{name}_seconds"
    return int(value(text, name + "_bucket", service=service, le=BELOW)), int(value(text, name + "_count", service=service))


def sent_again(lab):
    """Segments, by the kernel's own sum of the node."""
    with lab.node, open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, numbers = (line.split() for line in file if line.startswith("Tcp:"))
    return int(numbers[names.index("RetransSegs")])


def download(line, family, port):
    with connect(line.far, line.near[family], port, 30) as client:
        client.sendall(b"?")
        got = 0
        while piece := client.recv(65536):
            got += len(piece)
        same(got, DOWNLOAD)


def downloads(lab, line, times):
    """Over the line, by many at the same time, times: this time included. Retransmits: of all times as Bulwark counts
    them, and as the kernel does of this time."""
    kernel = sent_again(lab)
    several = [threading.Thread(target=download, args=(line, (4, 6)[i % 2], 8000)) for i in range(DOWNLOADS)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    now = wait(lambda: rows(lab).get("far", {"open": 1})["open"] == 0 and row(lab, "far"), "all ends", 30)
    same((now["opened"], now["closed"]["fin"]), (times * DOWNLOADS, times * DOWNLOADS))
    same(now["bytes"], {"in": times * DOWNLOADS, "out": times * DOWNLOADS * DOWNLOAD})
    return now["retransmits"], sent_again(lab) - kernel


def far_times(lab, line):
    with it("far clients: what came without loss was not sent again, and every byte is counted once"):
        clean, kernel = downloads(lab, line, 1)
        same(clean, kernel)
        assert clean < SEGMENTS // 20, f"{clean} sent again"  # a machine that stops for a moment looks like a loss
    with it("handshake and round trip are those of the line, and those of near clients are not"):
        same(bucket(lab, "handshake", "far"), (0, DOWNLOADS))
        same(bucket(lab, "rtt", "far"), (0, DOWNLOADS))
        for _ in range(5):
            served(lab, lab.eth0.v4)
        below, all_of_them = bucket(lab, "handshake", "web")
        assert below * 2 > all_of_them, (below, all_of_them)
    with it("what the line lost is what was sent again, as the kernel counts it, and still every byte is counted once"):
        line.lose_each = 10
        lossy, kernel = downloads(lab, line, 2)
        line.lose_each = 0
        same(lossy - clean, kernel)
        assert kernel >= line.lost >= SEGMENTS // 10, (kernel, line.lost)
        same(value(lab.bulwark("metrics"), "bulwark_connection_retransmits_total", service="far"), lossy)


def vanish(lab, line, listeners):
    """A far client of each service, by either family, vanishes: what stays of them here."""
    clients, servers = [], []
    for service, (port, _) in VANISHED.items():
        for family in (4, 6):
            clients.append(connect(line.far, line.near[family], port))
            servers.append((service, listeners[port].accept()[0]))
    for (service, server), client in zip(servers, clients):
        if service == "last-ack":
            client.shutdown(socket.SHUT_WR)
            same(server.recv(1), b"")
    line.cut = True
    for client in clients:
        reset(client)
    return servers


def far_ends(lab, line, listeners, unreachable, times):
    """times: how often this was done, this time included."""
    servers = vanish(lab, line, listeners)
    if unreachable:
        for address in FAR.values():
            lab.node.run("ip", "neigh", "del", address, "dev", "eth2")
    for service, server in servers:
        VANISHED[service][1](server)
    with it(f"clients that vanished {'with their network' if unreachable else 'in silence'} are timeouts"):
        wait(lambda: not any(rows(lab)[service]["open"] for service in VANISHED), "their ends", 30)
        now = rows(lab)
        for service in VANISHED:
            same(now[service]["closed"], {"fin": 0, "reset": 0, "timeout": 2 * times, "abort": 0}, service)
            same(now[service]["bytes"], {"in": 0, "out": 0}, service)
    for _, server in servers:
        server.close()
    line.cut = False


def far(lab):
    line = Line(lab, DELAY)
    ports = {"web": 443, "far": 8000, **{service: port for service, (port, _) in VANISHED.items()}}
    lab.apply(FAR_POLICY.format(services="".join(f"  {name}: {{ ports: tcp/{port} }}\n" for name, port in ports.items())))
    for name, number in (("tcp_retries2", 1), ("tcp_orphan_retries", 1), ("neigh.eth2.retrans_time_ms", 50)):
        lab.node.sysctl("net.ipv4." + name, number)
    lab.node.sysctl("net.ipv6.neigh.eth2.retrans_time_ms", 50)

    def send(server):
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            connection.sendall(bytes(DOWNLOAD))

    lab.serve(lab.node, 6, socket.SOCK_STREAM, "::", 8000, send)
    far_times(lab, line)
    with lab.node:
        listeners = {port: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) for port, _ in VANISHED.values()}
    for times, unreachable in enumerate((False, True), 1):
        far_ends(lab, line, listeners, unreachable, times)
    with it("status and metrics say so, and they lasted as long as they did"):
        line_of = next(line for line in lab.bulwark("status").splitlines() if line.startswith("user-timeout "))
        holds(line_of, "0 fin, 0 reset, 4 timeout, 0 abort")
        text = lab.bulwark("metrics")
        for service in VANISHED:
            same(value(text, "bulwark_connections_closed_total", service=service, end="timeout"), 4)
        assert value(text, "bulwark_connection_duration_seconds_sum", service="user-timeout") >= 4 * 0.5, text
    with it("what is open is what the kernel has open"):
        with connect(line.far, line.near.v4, 8001), connect(line.far, line.near.v6, 8001):
            wait(lambda: row(lab, "unanswered")["open"] == 2, "two open connections", 30)
            now = rows(lab)
            for service, port in ports.items():
                kernel = lab.node.run("ss", "-Htn", "state", "established", f"sport = :{port}").splitlines()
                same(now[service]["open"], len(kernel), service)
                same(now[service]["opened"], now[service]["open"] + sum(now[service]["closed"].values()), service)


NEAR_ROWS = 64  # include/state.h: sums of further services stand elsewhere


def many(lab):
    ports = {f"s{number}": 9000 + number for number in range(NEAR_ROWS)}
    lab.apply(POLICY_OF.format(services="".join(f"  {name}: {{ ports: tcp/{port} }}\n" for name, port in ports.items())))
    with it("of many services the first and the last are counted alike"):
        for service in ("s0", f"s{NEAR_ROWS - 1}"):
            answers(lab, ports[service])
            for family in (4, 6):
                served(lab, lab.eth0[family], ports[service])
            wait(lambda service=service: row(lab, service)["closed"]["fin"] == 2, "two ends", 30)
            same((row(lab, service)["opened"], row(lab, service)["open"]), (2, 0), service)
            same(row(lab, service)["bytes"], {"in": 2 * REQUEST, "out": 2 * ANSWER}, service)
            same(value(lab.bulwark("metrics"), "bulwark_connections_closed_total", service=service, end="fin"), 2, service)
        same(row(lab, "s1"), None)


def tests(lab):
    for port in (443, 80):
        answers(lab, port)
    with it("without the word nothing is attached for it"):
        lab.apply(POLICY.format(more=""))
        assert "v1/links/sockops" not in pins_below(lab.pins), pins_below(lab.pins)
    counting(lab)
    exposition(lab)
    with it("counts outlive a policy that does not count"):
        before = row(lab)
        lab.apply(POLICY.format(more=""))
        served(lab, lab.eth0.v4)
        same(row(lab), before)
        same(lab.fallthrough(), 0)
    far(lab)
    many(lab)


main("accounts", tests)
