#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The shielded interface is a port of a bridge: the node's own address is on the bridge, and a machine behind it, with an
address of the same network, is judged as `forward` says."""

import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
interfaces: [eth0]
stray: drop
services:
  web: {{ ports: tcp/443 }}
forward: {word}
"""
MACHINE = {4: "45.33.1.50", 6: "2a01:7e00:1::50"}


def build(lab):
    node, machine = lab.node, lab.namespace("machine")
    node.run("ip", "addr", "flush", "dev", "eth0")
    node.run("ip", "link", "add", "br0", "type", "bridge")
    node.run("ip", "link", "set", "br0", "up")
    node.run("ip", "link", "set", "eth0", "master", "br0")
    End(node, "br0", lab.eth0.v4, lab.eth0.v6)
    veth(node, "port0", machine, "m0")
    node.run("ip", "link", "set", "port0", "master", "br0")
    End(machine, "m0", MACHINE[4], MACHINE[6])
    return machine


def try_word(lab, mode, word, declared, undeclared):
    lab.apply(POLICY.format(mode=mode, word=word))
    for family in (4, 6):
        me, machine = lab.eth0[family], MACHINE[family]
        with it(f"{mode}, IPv{family}, `forward: {word}`: the node is served and shielded as ever"):
            assert connects(lab.client, me, 443, 3), "its service is not reached"
            assert not connects(lab.client, me, 5000, 0.3), "an undeclared port is reached"
            assert pings(lab.client, me)
        with it(f"{mode}, IPv{family}, `forward: {word}`: the machine's declared port {'is' if declared else 'is not'} reached"):
            same(talks(lab.client, machine, 443, 3 if declared else 0.3), declared)
        with it(f"{mode}, IPv{family}, `forward: {word}`: its undeclared port {'is' if undeclared else 'is not'} reached"):
            same(talks(lab.client, machine, 5000, 3 if undeclared else 0.3), undeclared)
        if word != "drop":
            with it(f"{mode}, IPv{family}, `forward: {word}`: the machine reaches others"):
                same(talks(lab.machine, lab.c0[family], 5001, 3), True)
                assert asks(lab.machine, lab.c0[family], 53, 2), "no answer over UDP"


def talks(namespace, address, port, seconds):
    """Whether a connection comes about and carries bytes."""
    try:
        with connect(namespace, address, port, seconds) as client:
            return client.recv(100) == b"welcome\n"
    except OSError:
        return False


def tests(lab):
    lab.machine = build(lab)
    for family in (4, 6):
        for port in (443, 5000):
            lab.tcp_sink(lab.node, family, lab.eth0[family], port)
            lab.tcp_sink(lab.machine, family, MACHINE[family], port)
        lab.tcp_sink(lab.client, family, lab.c0[family], 5001)
        lab.udp_echo(lab.client, family, lab.c0[family], 53)
    for mode in ("native", "generic"):
        try_word(lab, mode, "pass", True, True)
        try_word(lab, mode, "services", True, False)
        try_word(lab, mode, "drop", False, False)
        lab.bulwark("down")


main("bridge", tests)
