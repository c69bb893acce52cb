#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""QUIC: real clients (ngtcp2 with GnuTLS) speak HTTP/3 with a real server in the versions that the policy takes; of others
the server sees nothing, and who asks in one that it does not speak hears of it where the policy lets that through."""

import shutil
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  office: {{ addresses: [46.30.2.2, "2a01:7e00:2::2"] }}
{who}
services:
  h3:    {{ ports: udp/443, quic: {{ {quic} }} }}
  plain: {{ ports: udp/4433 }}
"""
# This client's packets of version 2 have the types of version 1: there its Initial is a Retry, which no client sends.
V1, V2, DRAFT_29, V2_DRAFT, RESERVED = "0x1", "0x6b3343cf", "0xff00001d", "0x709a50c4", "0x1a2a3a4a"
SERVED, NEGOTIATES, NOTHING = "served", "negotiates", "nothing"  # what a client gets; this server speaks none that is RESERVED


def ask(lab, version, address, *more, port=443, namespace=None, patience=10):
    """What becomes of a client that begins in this version; so many seconds without a packet end it."""
    said = (namespace or lab.client).run("gtlsclient", "-v", version, "--sni=node", f"--timeout={patience}s",
                                         "--exit-on-all-streams-close", *more, address, str(port), "https://node/index.html", status=None)
    if "ERR_RECV_VERSION_NEGOTIATION" in said:
        return NEGOTIATES
    return SERVED if "found me" in said else NOTHING


def asks_so(lab, version, address, wanted, verdict="", reason="", *more):
    """A client gets what is wanted; it is counted so, or nothing is said against it."""
    def against():
        return {key: count for key, count in lab.counts().items() if key[1].startswith("quic-")}

    before = against()
    same(ask(lab, version, address, *more, patience=1 if wanted == NOTHING else 10), wanted)
    grown = {key for key, count in against().items() if count > before.get(key, 0)}
    same(grown, {(verdict, reason)} if reason else set())


def tries(lab, mode, family):
    to, what = lab.eth0[family], f"{mode}, IPv{family}"

    def policy(quic, who=""):
        lab.apply(POLICY.format(mode=mode, who=who, quic=quic))

    policy("unknown: drop")
    with it(f"{what}: version 1 is served, what is no hello of version 2 gets no answer"):
        asks_so(lab, V1, to, SERVED)
        asks_so(lab, V2, to, NOTHING, "drop", "quic-malformed")
    with it(f"{what}: a connection goes on when its client comes from another port"):
        asks_so(lab, V1, to, SERVED, "", "", "--change-local-addr=10ms", "--nat-rebinding", "--delay-stream=50ms")
    with it(f"{what}: drafts and versions that stand for nothing get no answer"):
        for version in (DRAFT_29, V2_DRAFT, RESERVED):
            asks_so(lab, version, to, NOTHING, "drop", "quic-unknown")
    with it(f"{what}: a service without the rule is not asked, a port without a service is closed"):
        same(ask(lab, DRAFT_29, to, port=4433), SERVED)
        same(ask(lab, V1, to, port=4434, patience=1), NOTHING)
        assert lab.counts().get(("drop", "unexposed"), 0) > 0, lab.counts()
    policy("versions: v2, unknown: pass")
    with it(f"{what}: a service that takes version 2 alone refuses version 1, whoever else is unknown"):
        asks_so(lab, V1, to, NOTHING, "drop", "quic-version")
    with it(f"{what}: unknown: pass serves a draft, lets the server negotiate, and counts both"):
        asks_so(lab, DRAFT_29, to, SERVED, "would-drop", "quic-unknown")
        asks_so(lab, RESERVED, to, NEGOTIATES, "would-drop", "quic-unknown")
    policy(f"versions: [v1, {DRAFT_29}], unknown: drop", "trusted: [office]")
    with it(f"{what}: a version given by its number is served beside version 1, version 2 is not"):
        asks_so(lab, V1, to, SERVED)
        asks_so(lab, DRAFT_29, to, SERVED)
        asks_so(lab, V2, to, NOTHING, "drop", "quic-version")
    with it(f"{what}: who is trusted is not asked"):
        same(ask(lab, V2_DRAFT, lab.eth1[family], namespace=lab.attacker), SERVED)
    policy("versions: v2, unknown: drop, monitor: true")
    with it(f"{what}: monitor: true serves what it would have refused, and counts it"):
        asks_so(lab, V1, to, SERVED, "would-drop", "quic-version")
        asks_so(lab, V2_DRAFT, to, SERVED, "would-drop", "quic-unknown")
    with it(f"{what}: nothing fell through"):
        same(lab.fallthrough(), 0)
    lab.bulwark("down")


def tests(lab):
    if not shutil.which("gtlsclient") or not shutil.which("gtlsserver"):
        skip("QUIC with real clients", "there is no ngtcp2 (gtlsclient, gtlsserver)")
        return
    root = lab.web_root()
    with open(root + "/index.html", "w", encoding="ascii") as file:
        file.write("found me\n")
    for port in (443, 4433, 4434):
        lab.start(lab.node, "gtlsserver", "-q", "-d", root, "*", str(port), root + "/key.pem", root + "/cert.pem")
        wait(lambda p=port: ask(lab, V1, lab.eth0.v4, port=p, patience=1) == SERVED, "the server")
    for mode in ("native", "generic"):
        for family in (4, 6):
            tries(lab, mode, family)


main("quic", tests)
