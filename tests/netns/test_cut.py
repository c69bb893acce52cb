#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Open connections that a new policy would not let in: told, left alone, or ended by --cut; never the operator's own."""

import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

OPEN = "services:\n  both: { ports: [tcp/443, tcp/8080, tcp/22] }\n"
NARROW = "services:\n  web: { ports: tcp/443 }\n"
BLOCKED = 'lists:\n  bad: { addresses: ["46.30.2.2"] }\nblock: [bad]\n' + OPEN


def talks(pair):
    client, server = pair
    client.sendall(b"hello")
    return server.recv(100) == b"hello"


def ended(one):
    one.settimeout(5)
    try:
        return not one.recv(100)
    except ConnectionError:
        return True


def opened(lab, namespace, address, port):
    before = len(lab.accepted[port])
    client = connect(namespace, address, port)
    same(client.recv(100), b"welcome\n")
    server = wait(lambda: lab.accepted[port][before:], "the server's end")[0]
    server.settimeout(5)
    return client, server


def operator_of(client, port):
    return {"SSH_CONNECTION": f"{client.getsockname()[0]} {client.getsockname()[1]} {client.getpeername()[0]} {port}"}


def try_cut(lab):
    stays = opened(lab, lab.client, lab.eth0.v4, 443)
    goes = [opened(lab, lab.client, lab.eth0[family], 8080) for family in (4, 4, 6)]
    lab.apply(OPEN)
    with it("without --cut they are told and stay"):
        holds(lab.apply(NARROW), "3 open connections stay, but could not be opened anew:", f"{lab.c0.v4} to port 8080",
              f"{lab.c0.v6} to port 8080 (unexposed)")
        assert all(talks(pair) for pair in [stays, *goes])
    with it("--cut of the same policy ends them at both ends, and no other"):
        said = lab.apply(NARROW, "--cut")
        holds(said, "unchanged", "3 open connections ended:", f"{lab.c0.v6} to port 8080 (unexposed)")
        assert all(ended(one) for pair in goes for one in pair)
        assert talks(stays)
    with it("--cut again finds nothing"):
        same((lab.json("apply", "--cut", lab.directory + "/policy.yaml")["cut_connections"]), 0)


def try_blocked(lab):
    lab.apply(OPEN)
    goes, stays = opened(lab, lab.attacker, lab.eth1.v4, 443), opened(lab, lab.client, lab.eth0.v4, 443)
    with it("--cut ends what a block entry drops from now on"):
        lab.apply(BLOCKED, "--cut")
        assert ended(goes[1])
        assert talks(stays)
    lab.apply(OPEN)


def try_operator(lab):
    operator = opened(lab, lab.client, lab.eth0.v4, 22)
    other = opened(lab, lab.client, lab.eth0.v4, 22)
    environment = operator_of(operator[0], 22)
    with it("--cut that would not let the operator back in is refused like any apply"):
        holds(lab.apply(NARROW, "--cut", status=1, environment=environment), "your own connection")
        assert talks(operator) and talks(other)
    with it("... and even with --force the operator's own connection stays"):
        lab.apply(NARROW, "--cut", "--force", environment=environment)
        assert ended(other[0]) and talks(operator)
    with it("--cut does not go with --confirm: a connection does not come back"):
        holds(lab.apply(OPEN, "--cut", "--confirm=5s", status=2), "what --cut ends does not come back")


def tests(lab):
    lab.accepted = {port: lab.tcp_sink(lab.node, 6, "::", port) for port in (443, 8080, 22)}
    try_cut(lab)
    try_blocked(lab)
    try_operator(lab)


main("cut", tests)
