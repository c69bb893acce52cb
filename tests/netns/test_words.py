#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Words of the policy that one host alone shows, each once written and once left out: the same frames get behind the shield
in one case and not in the other. (Words that speak of a network have labs of their own: proxies and health-checks in
test_fronts, zones in test_zones, forward in test_bridge and test_containers.)"""

import os
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

# <NAME>: where a word stands, or what stands there without it.
POLICY = """
<source-v6>
lists:
  cgnat: { addresses: [100.64.0.0/10] }
services:
  diameter: { ports: <sctp/> }
  tunnel:   { ports: <ip/NAME> }
  bgp:      { ports: tcp/179<ttl> }
  shared:   { ports: udp/6001, limits: [ { packets: 5/s, per: <per: service> } ] }
  carrier:  { ports: udp/6002, limits: [ { packets: 5/s, per: source<except> } ] }
  others:   { ports: udp/6003, limits: [ { packets: 5/s, per: source<for> } ] }
  prefixes: { ports: udp/6004, limits: [ { packets: 5/s, per: source } ] }
  over:     { ports: udp/6005<until> }
"""
MANY = 40
ALL, NONE, SOME = "all", "none", "some"


class Word:
    """What stands in the policy, what stands there without it; which of the frames pass with it, and without."""

    def __init__(self, name, on, off, frames, passes_on, passes_off):
        self.name, self.on, self.off, self.frames = name, on, off, frames
        self.passes_on, self.passes_off = passes_on, passes_off


def words(lab):
    def frames(packets):
        return [ethernet(lab.eth0.mac, lab.c0.mac, packet) for packet in packets]

    def datagrams(source, port):
        v6 = ":" in source.format(1)
        return frames(udp(source.format(i), lab.eth0[6 if v6 else 4], 4000 + i, port, b"word %d" % i) for i in range(1, MANY))

    sctp = struct.pack("!HHII", 4000, 3868, 7, 0) + b"\1\0\0\x14" + bytes(16)
    return [
        Word("sctp/", "sctp/3868", "tcp/3868", frames([ip("45.90.1.1", lab.eth0.v4, 132, sctp)]), ALL, NONE),
        Word("ip/NAME", "ip/gre", "tcp/47", frames([ip("45.90.1.1", lab.eth0.v4, 47, b"\0\0\x08\0" + bytes(40))]), ALL, NONE),
        Word("ttl", ", ttl: 255", "", frames([tcp("45.90.1.1", lab.eth0.v4, 4000, 179, SYN, ttl=254)]), NONE, ALL),
        Word("per: service", "service", "source", datagrams("45.90.2.{}", 6001), SOME, ALL),
        Word("except", ", except: [cgnat]", "", datagrams("100.64.9.9", 6002), ALL, SOME),
        Word("for", ", for: [cgnat]", "", datagrams("45.90.3.3", 6003), ALL, SOME),
        Word("source-v6", "source-v6: /48", "", datagrams("2a01:90:1:{}::1", 6004), SOME, ALL),
        Word("until", ", until: 2020-01-01", "", datagrams("45.90.4.4", 6005), NONE, ALL),
    ]


def passed(lab, table):
    """{word: ALL, NONE or SOME of its frames got past the shield}"""
    capture = Capture(lab.node, "eth0")
    last = ethernet(lab.eth0.mac, lab.c0.mac, bytes(60), kind=0x88B5)  # not IP: passes, behind all others
    with lab.client.raw("c0") as sender:
        for word in table:
            for frame in word.frames:
                sender.send(frame)
        sender.send(last)
    seen = []
    wait(lambda: seen.extend(capture.drain(0.05)) or last in seen, "the last frame", 30)
    capture.close()
    seen = set(seen)
    counts = {word.name: sum(frame in seen for frame in word.frames) for word in table}
    return {word.name: ALL if counts[word.name] == len(word.frames) else SOME if counts[word.name] else NONE
            for word in table}


def try_words(lab):
    table = words(lab)
    for state, wanted in (("on", "passes_on"), ("off", "passes_off")):
        policy = POLICY
        for word in table:
            policy = policy.replace(f"<{word.name}>", getattr(word, state))
        lab.apply(policy)
        found = passed(lab, table)
        for word in table:
            with it(f"{word.name}, {state}: {getattr(word, wanted)} of its packets pass"):
                same(found[word.name], getattr(word, wanted))


def try_max_age(lab):
    feed = lab.file("old.netset", "45.91.0.0/16\n")
    os.utime(feed, (time.time() - 2 * 86400,) * 2)
    policy = "lists: {{ old: {{ feed: " + feed + "{} }} }}\nblock: [old]\n"
    with it("max-age: a feed of two days is refused with a day, and taken without the word"):
        holds(lab.apply(policy.format(", max-age: 1d"), status=2), "more than its max-age of 1d")
        lab.apply(policy.format(""))


def tests(lab):
    try_words(lab)
    try_max_age(lab)


main("words", tests)
