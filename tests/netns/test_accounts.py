#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""metrics: { connections: true }: real connections are counted when they begin and as they end, by service, over a reload,
and in metrics that promtool takes; without the word no program is on the sockets."""

import re
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
services:
  web:   {{ ports: tcp/443 }}
  plain: {{ ports: tcp/80 }}
{more}
"""
COUNTED = "metrics: { connections: true }"
REQUEST, ANSWER = 300, 5000


def row(lab, service="web"):
    return next((row for row in lab.status()["connections"] if row["service"] == service), None)


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


main("accounts", tests)
