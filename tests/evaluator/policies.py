# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A policy as the evaluator sees it. Policies are written in JSON, which is YAML too: the compiler under test reads the
same file with its own parser."""

import functools
import ipaddress
import json
import os
import re

PROTOCOLS = {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "vrrp": 112}
PORTED = {"tcp": 6, "udp": 17, "sctp": 132}

# Special-purpose space that is not reachable from everywhere (IANA's registries).
SPECIAL = """0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b::/96
64:ff9b:1::/48 100::/64 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 3fff::/20 5f00::/16 fc00::/7 fe80::/10
fec0::/10 ff00::/8"""


class Prefixes:
    """A set of prefixes, looked up length by length."""

    def __init__(self):
        self.lengths = {4: {}, 6: {}}

    def add(self, text):
        net = ipaddress.ip_network(text, strict=False)
        shift = net.max_prefixlen - net.prefixlen
        self.lengths[net.version].setdefault(shift, set()).add(int(net.network_address) >> shift)

    def add_range(self, first, last):
        for net in ipaddress.summarize_address_range(ipaddress.ip_address(first), ipaddress.ip_address(last)):
            self.add(str(net))

    def __contains__(self, address):
        """address: (version, number)"""
        version, number = address
        return any(number >> shift in nets for shift, nets in self.lengths[version].items())


@functools.lru_cache(maxsize=None)
def read_feed(path):
    prefixes = Prefixes()
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.strip()
            if line.startswith("{"):
                record = json.loads(line)
                if "cidr" in record:
                    prefixes.add(record["cidr"])
                continue
            line = re.split(r"[#;]", line)[0].strip()
            if not line:
                continue
            word = re.split(r"[\s,]", line)[0]
            if "-" in word:
                prefixes.add_range(*word.split("-"))
            else:
                prefixes.add(word)
    return prefixes


class List:
    """Inline addresses mean what they say; what a feed says is cut around `holes`."""

    def __init__(self, words, directory):
        self.inline = Prefixes()
        self.holes = None
        for address in words.get("addresses", []):
            self.inline.add(address)
        self.feed = read_feed(os.path.join(directory, words["feed"])) if "feed" in words else None
        self.bogons = words.get("bogons") == "keep"

    def __contains__(self, address):
        if address in self.inline:
            return True
        if self.feed is None or address not in self.feed:
            return False
        return self.holes is None or not any(address in hole for hole in self.holes)


def rate(text):
    """(increment, tolerance) in ns of a rate like 100/s; None: nothing passes."""
    count, unit = re.fullmatch(r"(\d+[kM]?)/([a-z]+)", text).groups()
    count = int(count.rstrip("kM")) * {"k": 1000, "M": 10**6}.get(count[-1], 1)
    period = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}[unit]
    if not count:
        return None
    increment = period // count
    return increment, increment * (max(3, 10**9 // increment) - 1)


UNITS = {"": 1, "k": 1000, "M": 10**6, "B": 1, "kB": 1000, "MB": 10**6, "KiB": 1024, "MiB": 2**20,
         "bit": 1, "kbit": 1000, "Mbit": 10**6}


def amount(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(text)).groups()
    return int(number) * UNITS[unit]


class Limit:
    """A generic cell rate algorithm for each source, prefix or for everybody; packets of open connections apart."""

    REASONS = {"packets": "rate-packets", "bytes": "rate-bytes", "bits": "rate-bytes", "new-connections": "rate-connections"}

    def __init__(self, words):
        self.kind = next(kind for kind in self.REASONS if kind in words)
        self.reason = self.REASONS[self.kind]
        self.per = words["per"]
        self.monitor = words.get("monitor", False)
        self.excepted = [use["list"] for use in uses(words.get("except"))]
        self.only = [use["list"] for use in uses(words["for"])] if "for" in words else None
        number, unit = words[self.kind].split("/")
        period = {"s": 10**9, "m": 60 * 10**9}[unit]
        rate, burst = amount(number), amount(words["burst"]) if "burst" in words else None
        if self.kind == "bits":
            rate, burst = rate // 8, burst and burst // 8
        least = max(65536 if self.kind in ("bytes", "bits") else 3, rate * 10**7 // period)
        burst = max(least, rate * 10**9 // period if burst is None else burst)
        self.cost = period / rate
        self.tolerance = self.cost * (burst if self.kind in ("bytes", "bits") else burst - 1)
        self.arrivals = {}

    def counted(self, address):
        if self.per == "service":
            return None
        lengths = {4: 32, 6: 64}
        if self.per != "source":
            lengths = dict(zip((4, 6), (int(length) for length in self.per.replace("/", "").split(","))))
        version, number = address
        return version, number >> (32 if version == 4 else 128) - lengths[version]

    def within(self, source, proven, size, now):
        key = (self.counted(source), proven)
        debt = max(self.arrivals.get(key, 0) - now, 0)
        if debt > self.tolerance:
            return False
        self.arrivals[key] = now + debt + self.cost * (size if self.kind in ("bytes", "bits") else 1)
        return True


class Service:
    def __init__(self, name, words):
        self.name = name
        self.ports = set()  # (protocol, first, last)
        ports = words["ports"]
        for port in [ports] if isinstance(ports, str) else ports:
            protocol, number = port.split("/")
            if protocol == "ip":
                self.ports.add((int(number) if number.isdigit() else PROTOCOLS[number], None, None))
                continue
            first, _, last = ("1-65535" if number == "*" else number).partition("-")
            self.ports.add((PORTED[protocol], int(first), int(last or first)))
        self.allow = words.get("allow")
        self.to = words.get("to")
        self.ttl = words.get("ttl")
        self.monitor = words.get("monitor", False)
        self.quic = words.get("quic")
        self.limits = [Limit(limit) for limit in words.get("limits", [])]

    def serves(self, protocol, port):
        for known, first, last in self.ports:
            if known == protocol and (first is None or first <= port <= last):
                return True
        return False


def uses(entries):
    return [{"list": entry} if isinstance(entry, str) else entry for entry in entries or []]


class Policy:
    def __init__(self, path, own):
        with open(path, encoding="utf-8") as file:
            words = json.load(file)
        directory = os.path.dirname(os.path.abspath(path))
        self.lists = {name: List(entry, directory) for name, entry in words.get("lists", {}).items()}
        self.services = [Service(name, entry) for name, entry in words.get("services", {}).items()]
        self.trusted = [use["list"] for use in uses(words.get("trusted"))]
        self.block = [use for use in uses(words.get("block")) if use.get("direction", "in") != "out"]
        self.health_checks = [use["list"] for use in uses(words.get("health-checks"))]
        self.proxies = [use["list"] for use in uses(words.get("proxies"))]
        self.monitor = words.get("monitor", False)
        self.default_pass = words.get("default", "drop") == "pass"
        self.forward = words.get("forward", "pass")
        self.unparsed_pass = words.get("unparsed", "drop") == "pass"
        stray = words.get("stray", {"reset": "1k/s"})
        self.stray_pass = stray == "pass"
        self.budgets = {
            "trusted": rate("10k/s"),
            "stray": rate(stray["reset"]) if isinstance(stray, dict) else None,
            "echo": rate(words.get("icmp", {}).get("echo", "100/s")),
            "fragment": rate("1k/s"),
            "icmp-error": rate("100/s"),
            "health-check": rate("1k/s"),
        }
        self.cut_feeds(words, own)

    def cut_feeds(self, words, own):
        special, host = Prefixes(), Prefixes()
        for prefix in SPECIAL.split():
            special.add(prefix)
        for address in own:
            host.add(address)
        names = set(self.trusted)
        for key in ("never-ban", "health-checks", "proxies"):
            names |= {use["list"] for use in uses(words.get(key))}
        for service in self.services:
            names |= set(service.allow or [])
        for use in uses(words.get("block")):
            entry = self.lists[use["list"]]
            if entry.feed is None:
                continue
            if use["list"] in names:  # protected: nothing of it is blocked
                self.block = [other for other in self.block if other["list"] != use["list"]]
                continue
            entry.holes = [host] + ([] if entry.bogons else [special]) + [self.lists[name] for name in names]

    def in_any(self, address, names):
        return any(address in self.lists[name] for name in names)

    def counts(self, limit, address):
        if self.in_any(address, limit.excepted) or (limit.per != "service" and self.in_any(address, self.proxies)):
            return False
        return limit.only is None or self.in_any(address, limit.only)

    def service(self, protocol, port, local):
        """The first in file order that has the port and serves the local address."""
        for service in self.services:
            if service.serves(protocol, port) and (not service.to or self.in_any(local, service.to)):
                return service
        return None
