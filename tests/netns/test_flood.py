#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""The flood generator against the shield: each of its kinds of packets meets the verdict it was made for, so that the
benchmark measures what it says."""

import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts" / "lab"))
sys.dont_write_bytecode = True

import enclosure  # noqa: E402
from shield import Shield  # noqa: E402

BUILD = (HERE.parent.parent / os.environ.get("BUILD", "build")).resolve()
NODE4, NODE6 = "198.18.0.10", "2001:2::10"
BLOCKED = "46.30.0.0/16,2a01:7e00::/32"
POLICY = """version: 1
interfaces: [auto]
lists: { bad: { addresses: [46.30.0.0/16, "2a01:7e00::/32"] } }
block: [bad]
services: { api: { ports: tcp/443 } }
"""
# None: both verdicts; a slow machine sends no more strays and fragments than their budget lets through.
PROFILES = {  # what the generator sends -> how most of it ends
    "blocked": ("drop", "blocked"), "blocked-udp": ("drop", "blocked"), "blocked-v6": ("drop", "blocked"),
    "vlan": ("drop", "blocked"), "qinq": ("drop", "blocked"), "vlan-v6": ("drop", "blocked"),
    "spoofed-syn": ("pass", "service"), "spoofed-syn-v6": ("pass", "service"),
    "spoofed-udp": ("drop", "unexposed"), "spoofed-udp-v6": ("drop", "unexposed"),
    "scan": ("drop", "unexposed"), "scan-v6": ("drop", "unexposed"),
    "ack": (None, "stray"), "ack-v6": (None, "stray"),
    "udp-amplification": ("drop", "amplification"),
    "udp-amplification-v6": ("drop", "amplification"),
    "fragments": (None, "fragment-early", "fragment-budget"), "fragments-v6": (None, "fragment-early", "fragment-budget"),
    "syn-plain": ("pass", "service"), "syn-ack": (None, "stray"), "syn-ack-v6": (None, "stray"),
    "rst": (None, "stray"), "rst-v6": (None, "stray"), "fin": (None, "stray"), "fin-v6": (None, "stray"), "strays": (None, "stray"),
    "echo": (None, "icmp-echo", "icmp-rate"), "echo-v6": (None, "icmp-echo", "icmp-rate"), "imix": ("drop", "unexposed"), "lawful": ("pass", "service"),
    "lawful-v6": ("pass", "service"), "n-sources-udp": ("drop", "unexposed"),
    "one-source": ("pass", "service"), "n-sources": ("pass", "service"), "n-sources-v6": ("pass", "service"),
}
PPS, SECONDS, MOST = 20000, 0.5, 0.8


def flood(lab, profile):
    """Sends; again where a busy machine gave the generator no time before its end. What it says of itself."""
    for _ in range(5):
        sent = lab.run("sender", BUILD / "flood", "--iface", "eth0", "--dst-mac", lab.mac("node", "eth0"), "--dst",
                       f"{NODE4},{NODE6}", "--profile", profile, "--blocked", BLOCKED, "--from", "33.1.2.3", "--rate", PPS,
                       "--duration", SECONDS)
        if json.loads(sent)["sent"] > 100:
            break
    return sent


def main():
    if os.geteuid() or not (BUILD / "flood").exists():
        print(f"1..0 # SKIP {'needs root' if os.geteuid() else 'build/flood is not built'}")
        return 0
    lab = enclosure.Lab(enclosure.enter())
    failed = 0
    print(f"1..{len(PROFILES)}")
    try:
        for name in ("sender", "node"):
            lab.namespace(name)
        lab.veth("sender", "eth0", "node", "eth0", 2)
        lab.run("node", "ip", "address", "add", f"{NODE4}/24", "dev", "eth0")
        lab.run("node", "ip", "address", "add", f"{NODE6}/64", "dev", "eth0", "nodad")
        policy = lab.room / "policy.yaml"
        policy.write_text(POLICY)
        shield = Shield(lab, BUILD)
        shield.apply(policy, "eth0")
        for number, (profile, (verdict, *reasons)) in enumerate(PROFILES.items(), 1):
            before = shield.packets()
            sent = flood(lab, profile)
            grown = {key: count - before.get(key, 0) for key, count in shield.packets().items() if count > before.get(key, 0)}
            expected = sum(count for (ended, reason), count in grown.items() if reason in reasons and ended == (verdict or ended))
            good = expected > MOST * sum(grown.values()) > 100
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - most packets of '{profile}' end as {verdict or 'judged by their budget:'}", *reasons, flush=True)
            if not good:
                print(f"# {sent.strip()} {grown}", flush=True)
        shield.down()
    finally:
        lab.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
