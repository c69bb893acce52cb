#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A node behind a load balancer: a real haproxy stands for many clients (PROXY protocol) and checks whether the node is
there. `proxies` and `health-checks` let it; without the words the same traffic is refused."""

import concurrent.futures
import csv
import json
import os
import re
import socket
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  front: {{ addresses: [46.30.2.2, "2a01:7e00:2::2"] }}
  partners: {{ addresses: [45.33.1.0/24] }}
services:
  web: {{ ports: tcp/8080, {allow} limits: [ {{ new-connections: {rate}/s, burst: {burst}, per: {per} }} ] }}
{more}
"""
HAPROXY = """
global
	stats socket {directory}/haproxy.sock
defaults
	mode tcp
	retries 0
	timeout connect 300ms
	timeout client 5s
	timeout server 5s
frontend clients
	bind 127.0.0.1:8080
	default_backend nodes
backend nodes
	balance roundrobin
	default-server send-proxy-v2 check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
	server v4 {v4}:8080
	server v6 [{v6}]:8080
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENTS = 60


def serve_proxied(lab, family):
    """Says to each client which address the proxy gave it."""
    def answer(server):
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            head = connection.recv(16, socket.MSG_WAITALL)
            if len(head) < 16 or head[:12] != SIGNATURE:
                return  # a check only connects
            rest = connection.recv(int.from_bytes(head[14:16], "big"), socket.MSG_WAITALL)
            connection.sendall(socket.inet_ntoa(rest[:4]).encode() if head[13] == 0x11 else b"local")

    lab.serve(lab.node, family, socket.SOCK_STREAM, lab.eth1[family], 8080, answer)


def answered(lab, number):
    """What the client 127.0.1.NUMBER hears through haproxy."""
    with lab.attacker.socket(socket.AF_INET, socket.SOCK_STREAM) as client, contextlib.suppress(OSError):
        client.settimeout(5)
        client.bind((f"127.0.1.{number}", 0))
        client.connect(("127.0.0.1", 8080))
        return client.recv(100).decode()
    return ""


def served(lab):
    with concurrent.futures.ThreadPoolExecutor(20) as clients:
        heard = list(clients.map(lambda number: answered(lab, number), range(1, CLIENTS + 1)))
    return sum(words == f"127.0.1.{number}" for number, words in enumerate(heard, 1))


def states(lab):
    """What haproxy thinks of the node's two addresses."""
    with lab.attacker.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.connect(lab.directory + "/haproxy.sock")
        control.sendall(b"show stat\n")
        text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
    rows = list(csv.DictReader(text.lstrip("# ").splitlines()))
    return {row["svname"]: row["status"].split()[0] for row in rows if row["pxname"] == "nodes" and row["svname"] in ("v4", "v6")}


def both(lab, state):
    wait(lambda: set(states(lab).values()) == {state}, f"haproxy to call both {state}", 30)


def try_many(lab, mode):
    words = {"mode": mode, "allow": "", "rate": 5, "burst": 20, "per": "source"}  # the checks alone are ten a second
    with it(f"{mode}: without the word the clients of a proxy are taken for one"):
        lab.apply(POLICY.format(more="", **words))
        assert served(lab) < CLIENTS, "all were served: the limit does not limit"
        assert lab.counts().get(("drop", "rate-connections"), 0), lab.counts()
    with it(f"{mode}: as a proxy it has no limit per source: every client is served, under its own name"):
        lab.apply(POLICY.format(more="proxies: [front]\nhealth-checks: []", **words))
        both(lab, "UP")
        same(served(lab), CLIENTS)
    with it(f"{mode}: a limit that excepts it does the same"):
        lab.apply(POLICY.format(more="", **words).replace("per: source", "per: source, except: [front]"))
        same(served(lab), CLIENTS)
    with it(f"{mode}: a limit per service is for proxies too"):
        lab.apply(POLICY.format(more="proxies: [front]", **dict(words, per="service")))
        assert served(lab) < CLIENTS, "all were served: the limit does not limit"


def try_checks(lab, mode):
    words = {"mode": mode, "allow": "", "rate": 1, "burst": 1, "per": "source"}
    with it(f"{mode}: health checks over a limit, and banned: without the word the node is called down"):
        lab.apply(POLICY.format(more="", **words))
        for family in (4, 6):
            lab.bulwark("ban", lab.a0[family], "--force", "--for", "1h")
        both(lab, "DOWN")
    with it(f"{mode}: as health checks they pass both"):
        lab.apply(POLICY.format(more="health-checks: [front]", **words))
        both(lab, "UP")
        wait(lambda: lab.counts().get(("pass", "health-check"), 0) > 20, "health checks to be counted as such", 30)
    with it(f"{mode}: but not what the policy does not declare"):
        before = lab.counts().get(("drop", "banned"), 0)
        assert not connects(lab.attacker, lab.eth1.v4, 8081, 0.3), "a port that is not declared let it in"
        assert lab.counts().get(("drop", "banned"), 0) > before, lab.counts()
    for family in (4, 6):
        lab.bulwark("unban", lab.a0[family])


def try_bans(lab):
    words = {"mode": "auto", "rate": 20, "burst": 20, "per": "service"}
    with it("a ban of a client says that those behind a proxy are not met"):
        lab.apply(POLICY.format(more="proxies: [front]", allow="", **words))
        holds(lab.bulwark("ban", "45.90.1.9"), "note: ban:", "only what comes here directly")
    with it("and that it meets nobody where only proxies are let in"):
        lab.apply(POLICY.format(more="proxies: [front]", allow="allow: [front],", **words))
        holds(lab.bulwark("ban", "45.90.1.9"), "warning: ban:", "matches nothing at this layer")
        lab.apply(POLICY.format(more="proxies: [front]", allow="allow: [front, partners],", **words))
        holds(lab.bulwark("ban", "45.90.1.9"), "matches nothing at this layer")
        holds(lab.bulwark("ban", "45.33.1.77"), "only what comes here directly")
    with it("JSON and the log of what people did say it, too"):
        said = lab.bulwark("--json", "ban", "45.90.1.9")  # a warning, then the object
        same(json.loads(said[said.index("{"):said.rindex("}") + 1])["reaches"], "nobody")
        with open(lab.state + "/actions.jsonl", encoding="utf-8") as file:
            same([json.loads(line).get("reaches") for line in file][-2:], ["direct", "nobody"])
    with it("a ban of the proxy itself is refused, in words"):
        holds(lab.bulwark("ban", lab.a0.v4, status=2), "the proxy list front", "--force")
    with it("without proxies a ban says nothing of them"):
        lab.apply(POLICY.format(more="", allow="", **words))
        same(re.findall("warning|note", lab.bulwark("ban", "45.90.1.9")), [])


def tests(lab):
    for family in (4, 6):
        serve_proxied(lab, family)
    config = lab.file("haproxy.cfg", HAPROXY.format(directory=lab.directory, v4=lab.eth1.v4, v6=lab.eth1.v6))
    lab.start(lab.attacker, "haproxy", "-db", "-f", config)
    wait(lambda: os.path.exists(lab.directory + "/haproxy.sock"), "haproxy")
    both(lab, "UP")
    for mode in ("native", "generic"):
        try_many(lab, mode)
        if mode == "native":  # the same program decides in generic mode
            try_checks(lab, mode)
        lab.bulwark("down")
    try_bans(lab)


main("fronts", tests)
