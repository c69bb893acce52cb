#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ClientHellos: real clients reach a real server with the names, versions and protocols it takes, all others are reset
at both ends before the server has seen their hello, however it is cut into segments."""

import ssl
import sys

sys.dont_write_bytecode = True
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

NAMES = 2500  # of each kind
POLICY = """
mode: {mode}
lists:
  office: {{ addresses: [46.30.2.2, "2a01:7e00:2::2"] }}
{who}
services:
  web:
    ports: tcp/443
    tls: {{ sni: [api.example.com, "*.eu.example.com"], min-version: TLSv1.2, alpn: [h2, http/1.1], unknown: {unknown}{more} }}
  plain: {{ ports: tcp/80 }}
"""


def sockets_at_443(lab):
    """Connections of the server that have not ended."""
    return [line for line in lab.node.run("ss", "-Htn", "state", "established", "sport = :443").splitlines()
            if "127.0.0.1" not in line]


def refused(lab, reason, ask):
    same(ask(), "reset")
    counts = lab.counts()  # a packet merged of several counts so; the counts are those since the policy
    assert counts.get(("drop", reason), 0) > lab.refusals.get(reason, 0), f"no drop for {reason}: {counts}"
    lab.refusals = {why: count for (verdict, why), count in counts.items() if verdict == "drop"}
    wait(lambda: not sockets_at_443(lab), "the server's end to be gone")


def is_handshake(data):
    return isinstance(data, bytes) and data[:2] == b"\x16\x03"


def refusals(lab, mode):
    for family in (4, 6) if mode == "native" else (4,):
        address = lab.eth0[family]
        for name in ("api.example.com", "API.Example.COM", "x.eu.example.com"):
            with it(f"{mode}, IPv{family}: {name} is served"):
                holds(handshake(lab, name, address), "TLS")
        for name in ("www.example.com", "eu.example.com", "a.b.eu.example.com", "api.example.com.evil.net"):
            with it(f"{mode}, IPv{family}: {name} is refused, and both ends are closed"):
                refused(lab, "tls-sni", lambda n=name, a=address: handshake(lab, n, a))
        with it(f"{mode}, IPv{family}: a hello without a name is refused where there are names"):
            refused(lab, "tls-no-sni", lambda a=address: handshake(lab, None, a))
    with it(f"{mode}: TLS 1.2 is taken, TLS 1.1 is not"):
        same(handshake(lab, "api.example.com", highest=ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        refused(lab, "tls-version", lambda: answer_to(lab, [hello("api.example.com",
                                                                    highest=ssl.TLSVersion.TLSv1_1)]))
    with it(f"{mode}: of the protocols offered one must be ours; who offers none is served"):
        holds(handshake(lab, "api.example.com", alpn=("http/1.1", "spdy/3.1")), "TLS")
        refused(lab, "tls-alpn", lambda: handshake(lab, "api.example.com", alpn=("spdy/3.1", "irc")))
    with it(f"{mode}: plain text on a TLS port is refused"):
        refused(lab, "tls-not-tls", lambda: answer_to(lab, [b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"]))
        refused(lab, "tls-not-tls", lambda: answer_to(lab, [b"S"]))
    with it(f"{mode}: a hello whose lengths lie is refused"):
        bad = bytearray(hello("api.example.com"))
        bad[43] = 33  # session id
        refused(lab, "tls-malformed", lambda: answer_to(lab, [bytes(bad)]))


def splits(lab, mode):
    good, bad = hello("api.example.com"), hello("www.example.com")
    for at in (1, 5, 6, 9, 60, len(good) - 1) if mode == "native" else (6,):
        with it(f"{mode}: a hello cut after {at} bytes is judged as a whole one"):
            assert is_handshake(answer_to(lab, [good[:at], good[at:]])), "no handshake"
            refused(lab, "tls-sni", lambda a=at: answer_to(lab, [bad[:a], bad[a:]]))
    with it(f"{mode}: so is one in twenty segments"):
        pieces = [good[i:i + len(good) // 20 + 1] for i in range(0, len(good), len(good) // 20 + 1)]
        assert is_handshake(answer_to(lab, pieces)), "no handshake"
        pieces = [bad[i:i + len(bad) // 20 + 1] for i in range(0, len(bad), len(bad) // 20 + 1)]
        refused(lab, "tls-sni", lambda: answer_to(lab, pieces))
    with it(f"{mode}: and one that is longer than a segment"):
        assert is_handshake(answer_to(lab, [padded("api.example.com", 2400)])), "no handshake"
        refused(lab, "tls-sni", lambda: answer_to(lab, [padded("www.example.com", 2400)]))
    with it(f"{mode}: one that is longer than is looked at is unknown"):
        refused(lab, "tls-split", lambda: answer_to(lab, [padded("api.example.com", 6000)]))
    with it(f"{mode}: so is one over two records"):
        body = good[5:]
        records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:50], body[50:]))
        refused(lab, "tls-split", lambda: answer_to(lab, [records]))


def real_ones(lab, mode):
    with it(f"{mode}: a hello with GREASE and an encrypted one within is judged by its outer name"):
        good = like_chrome("api.example.com")
        assert is_handshake(answer_to(lab, [good])), "no handshake"
        assert is_handshake(answer_to(lab, [good[:300], good[300:]])), "no handshake of two segments"
        refused(lab, "tls-sni", lambda: answer_to(lab, [like_chrome("www.example.com")]))


def curl(lab, url, *more):
    return lab.client.run("curl", "-sk", "-m", "5", "--resolve", f"{url.split('/')[0]}:443:{lab.eth0.v4}", "https://" + url,
                          *more, status=None)


def tries(lab, mode):
    lab.apply(POLICY.format(mode=mode, who="trusted: [office]", unknown="drop", more=""))
    refusals(lab, mode)
    splits(lab, mode)
    real_ones(lab, mode)
    with it(f"{mode}: curl and openssl are served by name"):
        same(curl(lab, "api.example.com"), "served\n")
        same(curl(lab, "www.example.com"), "")
        holds(lab.client.run("openssl", "s_client", "-connect", f"{lab.eth0.v4}:443", "-servername", "q.eu.example.com",
                             "-brief", status=None), "CONNECTION ESTABLISHED")
    with it(f"{mode}: an answer of many segments passes"):
        holds(curl(lab, "api.example.com/big", "-o", "/dev/null", "-w", "%{size_download}"), str(1 << 20))
    with it(f"{mode}: who is trusted is not asked"):
        holds(handshake(lab, "www.example.com", lab.eth1.v4, lab.attacker), "TLS")
    with it(f"{mode}: what was refused was dropped, not only counted"):
        rows = [row for row in lab.status()["packets"] if row["reason"].startswith("tls-")]
        assert {row["verdict"] for row in rows} == {"drop"}, rows
    lab.apply(POLICY.format(mode=mode, who="health-checks: [office]", unknown="pass", more=", no-sni: pass"))
    with it(f"{mode}: no-sni: pass serves a hello without a name"):
        holds(handshake(lab, None), "TLS")
    with it(f"{mode}: unknown: pass serves what cannot be seen whole, and counts it"):
        before = lab.counts().get(("would-drop", "tls-split"), 0)
        assert answer_to(lab, [padded("api.example.com", 6000)]) != "reset", "reset"
        assert lab.counts().get(("would-drop", "tls-split"), 0) > before, lab.counts()
    with it(f"{mode}: health checks are not asked"):
        holds(handshake(lab, "www.example.com", lab.eth1.v4, lab.attacker), "TLS")
    lab.apply(POLICY.format(mode=mode, who="block: [{ list: office, monitor: true }]", unknown="drop", more=", monitor: true"))
    with it(f"{mode}: monitor: true counts what it would have refused, and serves it"):
        before = lab.counts().get(("would-drop", "tls-sni"), 0)
        holds(handshake(lab, "www.example.com"), "TLS")
        same(lab.counts().get(("would-drop", "tls-sni"), 0), before + 1)
    with it(f"{mode}: a pause serves everybody"):
        lab.apply(POLICY.format(mode=mode, who="trusted: [office]", unknown="drop", more=""))
        lab.bulwark("pause", "--for", "1m")
        holds(handshake(lab, "www.example.com"), "TLS")
        lab.bulwark("resume")
        same(handshake(lab, "www.example.com"), "reset")
    with it(f"{mode}: nothing fell through, and no socket hook is there for it"):
        same(lab.fallthrough(), 0)
        assert "v1/links/sockops" not in pins_below(lab.pins), pins_below(lab.pins)
    lab.bulwark("down")
    lab.refusals = {}


def published(lab):
    policy = POLICY.format(mode="native", who="", unknown="drop", more="")
    rules = "table ip n {\nchain p {\ntype nat hook prerouting priority -100;\ntcp dport 443 counter dnat to 10.0.0.2:443\n}\n}\n"
    with it("a rule for a port that is sent on to a container is refused with words: nothing is judged there"):
        lab.node.run("nft", "-f", lab.file("published.nft", rules))
        holds(lab.apply(policy, status=1), "'tls' of service web would judge nothing on tcp/443", "dnat to 10.0.0.2", "--force")
        holds(lab.apply(policy, "--force"), "'tls' of service web judges nothing on tcp/443")
        lab.node.run("nft", "delete", "table", "ip", "n")
        lab.apply(policy + "  # again\n")
        lab.bulwark("down")


def many_names(lab):
    names = [f"host-{number}.example.net" for number in range(NAMES)] + [f"*.zone-{number}.example.org" for number in range(NAMES)]
    policy = POLICY.format(mode="native", who="", unknown="drop", more="")
    lab.apply(policy.replace('[api.example.com, "*.eu.example.com"]', json.dumps(names)))
    lab.refusals = {}
    with it(f"of {2 * NAMES} names each is served, the first, the last and those between"):
        for number in (0, 1, NAMES // 2, NAMES - 1):
            for name in (f"host-{number}.example.net", f"www.zone-{number}.example.org"):
                assert is_handshake(answer_to(lab, [hello(name)])), name
    with it("and none that is like them is"):
        for name in (f"host-{NAMES}.example.net", "host-1.example.org", "zone-1.example.org", "a.b.zone-1.example.org", "api.example.com"):
            refused(lab, "tls-sni", lambda n=name: answer_to(lab, [hello(n)]))
    lab.bulwark("down")
    lab.refusals = {}


def tests(lab):
    lab.refusals = {}
    lab.https(lab.node, size=1 << 20)
    many_names(lab)
    for mode in ("native", "generic"):
        tries(lab, mode)
    published(lab)


main("tls", tests)
