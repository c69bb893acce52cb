#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What an operator does by hand, and what is refused him: bans and exceptions that end by themselves, pauses that re-arm
themselves, policies that would lock him out, and systems that lack what is needed."""

import os
import shutil
import socket
import sys
import time

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  office:   {{ addresses: ["45.33.1.0/24", "2a01:7e00:1::/64"] }}
  bad:      {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
block: [bad]
services:
  web: {{ ports: tcp/443 }}
  ssh: {{ ports: tcp/22, allow: [{ssh}] }}
{more}
"""


def policy(mode, ssh="office", more=""):
    return POLICY.format(mode=mode, ssh=ssh, more=more)


def answered(namespace, ends):
    return {family: pings(namespace, ends[family], seconds=0.3) for family in (4, 6)}


BOTH, NEITHER = {4: True, 6: True}, {4: False, 6: False}


def nothing_comes(one):
    one.settimeout(0.2)
    try:
        return not one.recv(100)
    except TimeoutError:
        return True


def try_bans(lab, mode):
    opened, servers = {}, {}
    for family in (4, 6):
        opened[family] = connect(lab.client, lab.eth0[family], 443)
        same(opened[family].recv(100), b"welcome\n")
        port = opened[family].getsockname()[1]
        servers[family] = wait(lambda: [one for one in lab.accepted[family] if one.getpeername()[1] == port],
                               "the server's end")[0]
    with it(f"{mode}: a ban drops new packets and open connections, IPv4 and IPv6"):
        for family in (4, 6):
            lab.bulwark("ban", lab.c0[family], "--for", "4s", "--force")
            opened[family].sendall(b"anybody?")
        start = time.monotonic()
        same(answered(lab.client, lab.eth0), NEITHER, "pings")
        assert all(nothing_comes(server) for server in servers.values()), "an open connection went on"
    with it(f"{mode}: the kernel ends it, and its connections go on"):
        wait(lambda: answered(lab.client, lab.eth0) == BOTH, "the end of the bans")
        assert time.monotonic() - start > 2, "it ended early"
        for family in (4, 6):
            servers[family].settimeout(10)
            same(servers[family].recv(100), b"anybody?")
            opened[family].close()
            lab.accepted[family].remove(servers[family])
            servers[family].close()
    with it(f"{mode}: a ban outlives the policy it was made under, and unban ends it"):
        lab.bulwark("ban", lab.c0.v4, "--for", "1h", "--force")
        lab.bulwark("ban", "2a01:7e00:1::/64", "--for", "1h", "--force")
        lab.apply(policy(mode, more="stray: drop"), "--force")
        same(answered(lab.client, lab.eth0), NEITHER, "pings")
        holds(lab.bulwark("bans"), lab.c0.v4, "2a01:7e00:1::/64")
        lab.bulwark("unban", lab.c0.v4)
        lab.bulwark("unban", "2a01:7e00:1::/64")
        wait(lambda: answered(lab.client, lab.eth0) == BOTH, "pings")
        lab.apply(policy(mode))


def try_exceptions(lab, mode):
    with it(f"{mode}: an exception lifts a block, not exposure, and the kernel ends it"):
        same(answered(lab.attacker, lab.eth1), NEITHER, "pings of a blocked peer")
        start = time.monotonic()
        for family in (4, 6):
            lab.bulwark("allow", lab.a0[family], "--for", "4s", "--reason", "a victim of a feed")
        wait(lambda: answered(lab.attacker, lab.eth1) == BOTH, "pings with the exception")
        for family in (4, 6):
            assert not connects(lab.attacker, lab.eth1[family], 8000, 0.2), "it reached an undeclared port"
        wait(lambda: answered(lab.attacker, lab.eth1) == NEITHER, "the end of the exception")
        assert time.monotonic() - start > 2, "it ended early"


def try_pause(lab, mode):
    with it(f"{mode}: a pause lets everybody pass, and the kernel ends it"):
        same(answered(lab.attacker, lab.eth1), NEITHER, "before")
        start = time.monotonic()
        lab.bulwark("pause", "--for", "3s")
        wait(lambda: answered(lab.attacker, lab.eth1) == BOTH, "paused")
        holds(lab.headline(), "PAUSED")
        wait(lambda: answered(lab.attacker, lab.eth1) == NEITHER, "the end of the pause")
        assert time.monotonic() - start > 2, "it ended early"
        same(lab.headline(), "ENFORCING")
    with it(f"{mode}: resume ends a pause early"):
        lab.bulwark("pause", "--for", "1h")
        lab.bulwark("resume")
        same(answered(lab.attacker, lab.eth1), NEITHER, "resumed")
    with it(f"{mode}: what this host asked for during a pause is known when it ends"):
        lab.bulwark("pause", "--for", "1h")
        with lab.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, \
                lab.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((lab.c0.v4, 9999))
            asker.settimeout(2)
            server.settimeout(2)
            asker.sendto(b"who?", (lab.c0.v4, 9999))
            lab.bulwark("resume")
            server.sendto(b"me", server.recvfrom(100)[1])
            same(asker.recv(100), b"me")


def try_guard(lab, mode, family):
    generation = lab.status()["generation"]
    with connect(lab.client, lab.eth0[family], 22) as operator:
        me = {"SSH_CONNECTION": f"{lab.c0[family]} {operator.getsockname()[1]} {lab.eth0[family]} 22"}
        with it(f"{mode}, IPv{family}: a policy that blocks the operator is refused, with the rule"):
            block = policy(mode, more=f'trusted: []\n').replace("block: [bad]", "block: [bad, office]")
            said = lab.apply(block, environment=me, status=1)
            holds(said, lab.c0[family], "would be cut", "blocked", "office", "policy.yaml:7", "untouched")
        with it(f"{mode}, IPv{family}: a policy without his port is refused, with the rule"):
            said = lab.apply(policy(mode).replace("tcp/22", "tcp/23"), environment=me, status=1)
            holds(said, lab.c0[family], "port 22", "unexposed")
        with it(f"{mode}, IPv{family}: a policy that allows his port to others only is refused, with the rule"):
            said = lab.apply(policy(mode, ssh="bad"), environment=me, status=1)
            holds(said, lab.c0[family], "not-allowed", "ssh")
        with it(f"{mode}, IPv{family}: nothing live has changed"):
            same(lab.status()["generation"], generation)
            assert connects(lab.client, lab.eth0[family], 22), "a new connection does not come about"
        if family == 6:
            return
        with it(f"{mode}, IPv{family}: with --confirm it goes live, and back at the deadline with nobody's help"):
            holds(lab.apply(policy(mode, ssh="bad"), "--confirm=2s", environment=me), lab.c0[family])
            assert not connects(lab.client, lab.eth0[family], 22, 0.3), "the candidate does not judge"
            wait(lambda: connects(lab.client, lab.eth0[family], 22, 0.5), "the old policy")
            same(lab.status()["generation"], generation)


def try_refusals(lab, mode):
    generation = lab.status()["generation"]

    def without(*capabilities):
        names = ",".join("-" + name for name in capabilities)
        return "setpriv", "--bounding-set=" + names, "--inh-caps=" + names

    for capabilities in (("bpf", "sys_admin"), ("net_admin", "sys_admin"), ("bpf", "net_admin", "perfmon", "sys_admin")):
        with it(f"{mode}: without {' and '.join(capabilities)}: refused with words, nothing live changes"):
            said = lab.apply(policy(mode, more="stray: drop"), status=3, before=without(*capabilities))
            assert "not permitted" in said.lower() or "CAP_" in said or "privilege" in said.lower(), said
            same(lab.status()["generation"], generation)
    with it(f"{mode}: as an ordinary user: refused with words, nothing live changes"):
        os.chmod(lab.directory, 0o755)
        program = shutil.copy(BULWARK, lab.directory)  # where everybody can read it
        path = lab.file("policy.yaml", "version: 1\ninterfaces: [eth0, eth1]\n" + policy(mode, more="stray: drop"))
        said = lab.node.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "apply", path,
                            status=3, env=lab.environment)
        assert "ermission" in said or "privilege" in said or "root" in said, said
        same(lab.status()["generation"], generation)


def try_missing_bpffs(lab):
    """Seen by a PID 1 of its own, whose /sys/fs/bpf is bare."""
    behaviour = "a missing bpffs is mounted by apply, and taken away by down"
    if not lab.node.works("mountpoint", "-q", "/"):
        return skip(behaviour, "the root is no mount point, so nobody can have mounts of his own")
    script = lab.file("bare.sh", f"""
while mountpoint -q {BPFFS}; do umount -l {BPFFS} || exit 90; done
{BULWARK} apply {lab.directory}/policy.yaml || exit 92
mountpoint -q {BPFFS} || exit 93
{BULWARK} status | head -1 | grep -q ENFORCING || exit 94
{BULWARK} down || exit 95
! mountpoint -q {BPFFS} || exit 96
""")
    with it(behaviour):
        lab.bulwark("down", status=None)
        lab.node.run("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", script, env=lab.environment)


def tests(lab):
    lab.accepted = {}
    for family in (4, 6):
        lab.accepted[family] = lab.tcp_sink(lab.node, family, lab.eth0[family], 443)
        lab.tcp_sink(lab.node, family, lab.eth0[family], 22)
        lab.tcp_sink(lab.node, family, lab.eth1[family], 8000)
    for mode in ("native", "generic"):
        lab.apply(policy(mode))
        try_bans(lab, mode)
        try_exceptions(lab, mode)
        try_pause(lab, mode)
        for family in (4, 6):
            try_guard(lab, mode, family)
        try_refusals(lab, mode)
        lab.bulwark("down")
    try_missing_bpffs(lab)


main("operator", tests)
