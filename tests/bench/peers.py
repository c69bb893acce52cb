# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What people would use instead, each in a network namespace of its own, set up as its manual would have it for speed: rules
as early as they go, sets instead of rows of rules. A peer that does not work here is a Trouble in its own words."""

import pathlib
import shutil
import subprocess
import time

from enclosure import Trouble, run
from ground import Place
from results import say

PROGRAMS = {"xdp-filter": ["xdp-filter", "load", "--version"], "nft": ["nft", "--version"], "iptables": ["iptables", "--version"],
            "ipset": ["ipset", "--version"]}
LARGEST = 4_000_000  # prefixes: nft and ipset take minutes and gigabytes beyond


def versions():
    found = {}
    for name, command in PROGRAMS.items():
        if not shutil.which(command[0]):
            found[name] = "not installed"
            continue
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        words = [word.strip("v,:") for word in done.stdout.split()]
        found[name] = next((word for word in words if word[:1].isdigit()), "of an unknown version")
    return found


def need(name):
    if not shutil.which(name):
        raise Trouble(f"{name} is not installed")


def loaded(what, count, began):
    say(f"{what} took {time.monotonic() - began:.1f} s to load {count:,}")


def nft_set(ground, name, feed):
    """An interval set at netdev ingress, where nft is quickest."""
    need("nft")
    place, prefixes = Place(ground, name, f"{name}-node"), feed.read_text().split()
    version = "6" if ":" in prefixes[0] else "4"
    rules = ground.lab.room / f"{name}.nft"
    with rules.open("w") as file:
        file.write(f"table netdev bench {{\n set blocked {{ type ipv{version}_addr; flags interval; elements = {{\n")
        file.write(",\n".join(prefixes))
        file.write(f"}}\n}}\n chain ingress {{ type filter hook ingress device {name} priority 0; "
                   f"ip{version.replace('4', '')} saddr @blocked drop\n}}\n}}\n")
    began = time.monotonic()
    ground.lab.run(place.space, "nft", "-f", rules)
    loaded("nft", len(prefixes), began)
    return place


def ipset(ground, name, feed):
    """In the raw table, before connection tracking."""
    need("ipset")
    need("iptables")
    place, prefixes = Place(ground, name, f"{name}-node"), feed.read_text().split()
    v6 = ":" in prefixes[0]
    lines = [f"create blocked hash:net family inet{'6' if v6 else ''} hashsize {max(1024, len(prefixes))} maxelem {len(prefixes) + 1}"]
    lines += [f"add blocked {prefix}" for prefix in prefixes]
    began = time.monotonic()
    ground.lab.run(place.space, "ipset", "restore", input="\n".join(lines) + "\n")
    loaded("ipset", len(prefixes), began)
    ground.lab.run(place.space, "ip6tables" if v6 else "iptables", "-t", "raw", "-A", "PREROUTING", "-i", name, "-m", "set",
                   "--match-set", "blocked", "src", "-j", "DROP")
    return place


def xdp_filter(ground, name, feed):
    """Its program by its own tool, the addresses into its own map: its tool takes one a start. Its maps are in one fixed
    directory, in the lab's mount namespace."""
    need("xdp-filter")
    addresses = [prefix.split("/")[0] for prefix in feed.read_text().split()]
    pins = pathlib.Path("/sys/fs/bpf")
    run("mount", "-t", "bpf", "xdp-filter", pins)
    place = Place(ground, name, f"{name}-node")
    ground.lab.run(place.space, "xdp-filter", "load", "--features", "ipv4", "--policy", "allow", name)
    ground.lab.run(place.space, "xdp-filter", "ip", "--mode", "src", addresses[0])
    source = "1 0 0 0 0 0 0 0"  # the flag that the line above has set: refuse as source
    batch = "".join(f"map update pinned {pins}/xdp-filter/filter_ipv4 key {address.replace('.', ' ')} value {source}\n"
                    for address in addresses)
    run(ground.bpftool, "batch", "file", "-", input=batch)
    return place


def nft_meter(ground, name):
    """A rate a source in a dynamic set, and one for all of them, as the policy beside it has."""
    need("nft")
    place = Place(ground, name, f"{name}-node")
    rules = f"""table netdev bench {{
 set sources {{ type ipv4_addr; size 1048576; flags dynamic; timeout 10s; }}
 chain ingress {{ type filter hook ingress device {name} priority 0;
  tcp dport 443 tcp flags & (syn|ack) == syn update @sources {{ ip saddr limit rate over 20000/second }} drop
  tcp dport 443 tcp flags & (syn|ack) == syn limit rate over 1000/second drop
 }}
}}
"""
    ground.lab.run(place.space, "nft", "-f", "-", input=rules)
    return place


def hashlimit(ground, name):
    need("iptables")
    place = Place(ground, name, f"{name}-node")
    chain = ("iptables", "-t", "raw", "-A", "PREROUTING", "-i", name, "-p", "tcp", "--dport", "443", "--syn")
    ground.lab.run(place.space, *chain, "-m", "hashlimit", "--hashlimit-name", "sources", "--hashlimit-mode", "srcip",
                   "--hashlimit-above", "20000/sec", "--hashlimit-burst", "20000", "--hashlimit-htable-size", "1048576",
                   "--hashlimit-htable-max", "1048576", "--hashlimit-htable-expire", "10000", "-j", "DROP")
    ground.lab.run(place.space, *chain, "-m", "limit", "--limit", "1000/sec", "--limit-burst", "1000", "-j", "ACCEPT")
    ground.lab.run(place.space, *chain, "-j", "DROP")
    return place
