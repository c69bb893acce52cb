#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A real keepalived pair that shares an address, the node its backup: it hears its master through a flood, takes over
when the master dies, and steps back when it returns. Without the service for VRRP both think that they are masters."""

import json
import os
import random
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  pair: {{ addresses: [45.33.1.2, "fe80::/64"] }}
services:
  api:  {{ ports: tcp/443, limits: [ {{ new-connections: 50/s, per: source }} ] }}
  {vrrp}
"""
VRRP_SERVICE = "vrrp: { ports: ip/vrrp, allow: [pair], ttl: 255 }"
KEEPALIVED = """
global_defs {{
	router_id {name}
	vrrp_version 3
}}
vrrp_instance four {{
	state BACKUP
	interface {device}
	virtual_router_id 51
	priority {priority}
	advert_int 0.2
	virtual_ipaddress {{ 45.33.1.80/24 }}
}}
vrrp_instance six {{
	state BACKUP
	interface {device}
	native_ipv6
	virtual_router_id 61
	priority {priority}
	advert_int 0.2
	virtual_ipaddress {{ 2a01:7e00:1::80/64 }}
}}
"""
SHARED = {4: "45.33.1.80", 6: "2a01:7e00:1::80"}
VRRP_PROTOCOL = 112


class Keepalived:
    def __init__(self, lab, namespace, device, priority):
        self.lab, self.namespace, self.device, self.name = lab, namespace, device, namespace.name
        self.config = lab.file(f"keepalived-{self.name}.conf",
                               KEEPALIVED.format(name=self.name, device=device, priority=priority))
        self.process = None
        self.start()

    def start(self):
        pid = f"{self.lab.directory}/keepalived-{self.name}"
        for left in ("", "-vrrp"):  # by one that was killed
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{pid}{left}.pid")
        self.process = self.lab.start(self.namespace, "keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", self.config,
                                      "-p", pid + ".pid", "-r", pid + "-vrrp.pid", start_new_session=True)

    def kill(self):
        """At once, without a word to the other one."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for family, bits in ((4, 24), (6, 64)):  # as if its machine had gone
            self.namespace.run("ip", "addr", "del", f"{SHARED[family]}/{bits}", "dev", self.device, status=None)

    def holds(self):
        """Which families' shared address is here."""
        rows = json.loads(self.namespace.run("ip", "-json", "addr", "show", "dev", self.device))
        here = {address["local"] for row in rows for address in row.get("addr_info", [])}
        return {family for family in (4, 6) if SHARED[family] in here}

    def comes_to_hold(self, families):
        wait(lambda: self.holds() == families, f"{self.name} to hold {families or 'nothing'}, not {self.holds()}", 30)


def flood(lab):
    """SYNs to the API and advertisements of masters who are none, from everywhere."""
    frames = []
    for _ in range(1000):
        four, six = (f"46.30.{random.randrange(3, 200)}.{random.randrange(1, 255)}", f"2a01:9::{random.randrange(1, 65536):x}")
        for source, me, group in ((four, lab.eth1.v4, "224.0.0.18"), (six, lab.eth1.v6, "ff02::12")):
            frames.append(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, me, random.randrange(1024, 65536), 443, SYN)))
            frames.append(ethernet(lab.eth1.mac, lab.a0.mac, ip(source, group, VRRP_PROTOCOL, bytes(20), ttl=255)))
    with lab.attacker.raw("a0") as sender:
        send_for_ever(sender, frames)


def remains(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), what
        time.sleep(0.05)


def try_mode(lab, mode, master, backup):
    with it(f"{mode}: the backup hears its master through the shield, and remains one under a flood"):
        lab.apply(POLICY.format(mode=mode, vrrp=VRRP_SERVICE))
        backup.comes_to_hold(set())
        flooder = child(flood, lab)
        try:
            wait(lambda: lab.counts().get(("drop", "not-allowed"), 0) > 1000, "forged masters to be dropped", 30)
            remains(lambda: not backup.holds(), 2, "the backup took the address from a living master")
            master.comes_to_hold({4, 6})
        except BaseException:
            stop_child(flooder)
            raise
    with it(f"{mode}: the master dies in the middle of the flood: the backup takes over, and serves"):
        try:
            master.kill()
            backup.comes_to_hold({4, 6})
            for family in (4, 6):
                wait(lambda: connects(lab.client, SHARED[family], 443), "a connection to the shared address", 30)
        finally:
            stop_child(flooder)
    with it(f"{mode}: the master returns: the backup steps back"):
        master.start()
        master.comes_to_hold({4, 6})
        backup.comes_to_hold(set())


def tests(lab):
    api = lab.node.socket(socket.AF_INET6, socket.SOCK_STREAM)
    api.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    api.bind(("::", 443))
    api.listen(4096)
    lab.undo.callback(api.close)
    master = Keepalived(lab, lab.client, "c0", 150)
    backup = Keepalived(lab, lab.node, "eth0", 100)
    master.comes_to_hold({4, 6})
    backup.comes_to_hold(set())
    try_mode(lab, "native", master, backup)
    with it("without the service for VRRP there are two masters"):
        lab.apply(POLICY.format(mode="native", vrrp=""))
        backup.comes_to_hold({4, 6})
        same(master.holds(), {4, 6})
    with it("down: one master again"):
        lab.bulwark("down")
        backup.comes_to_hold(set())


main("failover", tests)
