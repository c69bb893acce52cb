#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""deny-ja4: a client that bulwarkd has seen once is refused from its next connection on, however it shuffles its hello,
also after the pins are gone and without bulwarkd; all others are served."""

import sys

sys.dont_write_bytecode = True
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
services:
  web:
    ports: tcp/443
    tls: {{ sni: api.example.com, deny-ja4: [{denied}], unknown: {unknown}{more} }}
"""
NAME = "api.example.com"
TOOL = {"ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0", "alpn": ("http/1.0", "h2")}
OTHER = {"ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", "alpn": ("http/1.1",)}
FINGERPRINTS = 16384


def lines(lab, action):
    """Events of this action in the log."""
    with contextlib.suppress(FileNotFoundError), open(lab.state + "/events.jsonl", encoding="utf-8") as log:
        return [event for event in map(json.loads, log) if event["event"]["action"] == action]
    return []


def seen(lab):
    """JA4 of the clients that bulwarkd has told, in that order."""
    return [event["bulwark"]["ja4"] for event in lines(lab, "tls-client-seen")]


def saved(lab):
    with contextlib.suppress(FileNotFoundError), open(lab.state + "/fingerprints.json", encoding="utf-8") as file:
        return {entry["ja4"] for entry in json.load(file).values() if isinstance(entry, dict)}
    return set()


def count(lab, verdict, reason):
    return lab.counts().get((verdict, reason), 0)


def apply(lab, unknown="pass", more=""):
    lab.apply(POLICY.format(denied=", ".join({ja4(hello(NAME, **TOOL)), "t13d1516h2_8daaf6152771_e5627efa2ab1"}),
                            unknown=unknown, more=more))


def start(lab):
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: lines(lab, "policy-applied"), "bulwarkd to be there", 30)
    return daemon


def learning(lab):
    tool = ja4(hello(NAME, **TOOL))
    with it("a denied client that nobody has seen yet is unknown: served and counted with unknown: pass"):
        holds(handshake(lab, NAME, **TOOL), "TLS")
        assert count(lab, "would-drop", "tls-ja4-unknown") == 1, lab.counts()
    with it("bulwarkd tells its JA4, which is what the hello makes by the description of JA4"):
        wait(lambda: seen(lab), "the first client", 30)
        same(seen(lab), [tool])
    for family in (4, 6):
        with it(f"IPv{family}: from the second connection on it is refused"):
            before = count(lab, "drop", "tls-ja4")
            same(handshake(lab, NAME, lab.eth0[family], **TOOL), "reset")
            assert count(lab, "drop", "tls-ja4") > before, lab.counts()
    with it("so is its hello in two segments, and one with everything in another order"):
        data = hello(NAME, **TOOL)
        same(answer_to(lab, [data[:70], data[70:]]), "reset")
        assert turned(data) != data
        same(ja4(turned(data)), tool)
        same(answer_to(lab, [turned(data)]), "reset")
    with it("its order of signature algorithms makes another client"):
        other = bytearray(data)
        at = other.index(b"\x00\x0d\x00", 100)
        other[at + 6:at + 8], other[at + 8:at + 10] = other[at + 8:at + 10], other[at + 6:at + 8]
        assert ja4(bytes(other)) != tool
        same(answer_to(lab, [bytes(other)])[:2], b"\x16\x03")
        wait(lambda: seen(lab) == [tool, ja4(bytes(other))], "the second client", 30)


def others(lab):
    with it("curl and openssl are served, again and again, and each is told once"):
        before = len(seen(lab))
        for _ in range(2):
            same(lab.client.run("curl", "-sk", "-m", "5", "--resolve", f"{NAME}:443:{lab.eth0.v4}", f"https://{NAME}"),
                 "served\n")
            holds(lab.client.run("openssl", "s_client", "-connect", f"{lab.eth0.v4}:443", "-servername", NAME, "-brief",
                                 status=None), "CONNECTION ESTABLISHED")
        wait(lambda: len(seen(lab)) == before + 2, "two clients more", 30)
        same(len(set(seen(lab))), len(seen(lab)))
    with it("what a hello asks for is judged before who it is from"):
        before = count(lab, "drop", "tls-sni")
        same(handshake(lab, "www.example.com", **TOOL), "reset")
        assert count(lab, "drop", "tls-sni") > before, lab.counts()
    with it("monitor: true only counts"):
        apply(lab, more=", monitor: true")
        holds(handshake(lab, NAME, **TOOL), "TLS")
        assert count(lab, "would-drop", "tls-ja4") > 0, lab.counts()
    with it("unknown: drop refuses a client once, until it is known"):
        apply(lab, unknown="drop")
        same(handshake(lab, NAME, **OTHER), "reset")
        assert count(lab, "drop", "tls-ja4-unknown") > 0, lab.counts()
        wait(lambda: ja4(hello(NAME, **OTHER)) in seen(lab), "the other client", 30)
        holds(handshake(lab, NAME, **OTHER), "TLS")


def memory(lab, daemon):
    tool = ja4(hello(NAME, **TOOL))
    with it("what is known is saved"):
        wait(lambda: {tool, ja4(hello(NAME, **OTHER))} <= saved(lab), "fingerprints.json", 30)
        stop(daemon)
    with it("after the pins are gone a client of before is refused from its first connection on, without bulwarkd"):
        lab.bulwark("down")
        apply(lab, unknown="drop")
        same(handshake(lab, NAME, **TOOL), "reset")
        same(count(lab, "drop", "tls-ja4-unknown"), 0)
        assert count(lab, "drop", "tls-ja4") > 0, lab.counts()
        holds(handshake(lab, NAME, **OTHER), "TLS")
    with it("a table that is full forgets those that no policy denied and nobody has seen"):
        lab.bulwark("down")
        path = lab.state + "/fingerprints.json"
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
        same([entry.get("denied", False) for entry in known.values() if entry["ja4"] == tool], [True])
        known |= {"x": {"ja4": tool}, "00000000000000ff": 7, "00000000000000fe": {"ja4": 5},
                  "00000000000000fd": {"ja4": "t13d"}}  # are passed over
        known |= {f"1{number:015x}": {"ja4": f"t13d0101h2_{number:012x}_000000000000"}
                  for number in range(1, FINGERPRINTS - len(known) + 5)}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(known, file)
        apply(lab)
        lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
        new = {"ciphers": "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"}
        holds(handshake(lab, NAME, **new), "TLS")
        wait(lambda: ja4(hello(NAME, **new)) in saved(lab), "a new client", 30)
        assert FINGERPRINTS // 2 < len(saved(lab)) < FINGERPRINTS, len(saved(lab))
        same(handshake(lab, NAME, **TOOL), "reset")
    with it("a damaged file teaches nothing, and harms nobody"):
        lab.bulwark("down")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"0000000000000001": ')
        apply(lab)
        holds(handshake(lab, NAME, **TOOL), "TLS")


def tests(lab):
    lab.https(lab.node)
    apply(lab)
    daemon = start(lab)
    learning(lab)
    others(lab)
    memory(lab, daemon)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("ja4", tests)
