#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Open connections to a published port, which end in a container: no socket of the node, so that connection tracking is what
bulwarkd counts them by."""

import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
services:
  published: { ports: tcp/8443, limits: [ { connections: 3, per: source } ] }
  own:       { ports: tcp/8001, limits: [ { connections: 3, per: source } ] }
"""
NFT = """
table inet nat {{
	chain in {{
		type nat hook prerouting priority dstnat
		iifname "eth*" tcp dport 8443 dnat ip to {v4}:5000
		iifname "eth*" tcp dport 8443 dnat ip6 to [{v6}]:5000
	}}
}}
"""
MOST, PROMISED = 3, 30  # s: ten are promised, of a machine that is not overloaded


def counted(lab, address, service, number):
    def open_now():
        return {limit["service"]: limit["open"] for limit in lab.json("lookup", address)["limits"]}.get(service, 0)
    wait(lambda: open_now() == number, f"{number} to be counted", PROMISED)


def refused(lab, address, port):
    before = lab.counts().get(("drop", "connections"), 0)
    return not connects(lab.client, address, port, 0.4) and lab.counts().get(("drop", "connections"), 0) > before


def welcomed(lab, address, port):
    connection = connect(lab.client, address, port)
    same(connection.recv(100), b"welcome\n")
    return connection


def try_published(lab, family):
    me, client = lab.eth0[family], lab.c0[family]
    first = welcomed(lab, me, 8443)
    with it(f"IPv{family}: connections to a published port are counted, also what is older than the policy"):
        lab.apply(POLICY)
        counted(lab, client, "published", 1)
        more = [welcomed(lab, me, 8443) for _ in range(MOST - 1)]
        counted(lab, client, "published", MOST)
    with it(f"IPv{family}: no more than that come in, and those that are open go on"):
        assert refused(lab, me, 8443)
        first.sendall(b"x")
    with it(f"IPv{family}: what ends here is counted by its socket, once"):
        own = welcomed(lab, me, 8001)
        counted(lab, client, "own", 1)
        own.close()
        lab.ends[family].pop().close()
        counted(lab, client, "own", 0)
    with it(f"IPv{family}: who has closed comes in again"):
        more.pop().close()
        lab.inside[family].pop().close()
        counted(lab, client, "published", MOST - 1)
        welcomed(lab, me, 8443).close()
    for one in (first, *more):
        one.close()


def tests(lab):
    if not lab.node.works("nft", "add", "table", "inet", "t") or not lab.node.works("sysctl", "net.netfilter.nf_conntrack_count"):
        skip("published ports", "no nftables or no connection tracking here")
        return
    lab.box = lab.container()
    lab.forward()
    lab.node.run("nft", "-f", lab.file("nat.nft", NFT.format(v4=INSIDE[4], v6=INSIDE[6])))
    lab.inside = {family: lab.tcp_sink(lab.box, family, INSIDE[family], 5000) for family in (4, 6)}
    lab.ends = {family: lab.tcp_sink(lab.node, family, lab.eth0[family], 8001) for family in (4, 6)}
    lab.apply(POLICY)
    lab.start(lab.node, BULWARKD, "--foreground", "--pin-dir", lab.pins, "--state-dir", lab.state)
    for family in (4, 6):
        try_published(lab, family)
    lab.bulwark("down")


main("published connections", tests)
