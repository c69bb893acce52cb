# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What `make bench-full` measures beside parts.py: how cost grows with lists, sources, services and floods, ours and the peers'.
Each reports the points of a group of rows.py. A peer whose next load would take too long is not tried, and that is said."""

import pathlib
import subprocess
import time

import peers
from enclosure import Trouble
from ground import HERE, Flood, Shielded, differences, policy, ratios
from https import OF_ALL, STREAM_PORT, Web, protect
from parts import (FLOOD_PPS, HOSTS, MILLION, OURS, SMALL, TWO_LIMITS, report_rates, try_peers, words_of)

SIZES = (1000, 10_000, 100_000, MILLION, 10 * MILLION)
PATIENCE = 60   # seconds that one load of a peer may take
SECONDS = 0.3   # of a round
BANS = 100
LISTS = 62       # LISTS_USABLE of userspace/compile_lists.c


def sizes(ground):
    return [size for size in SIZES if size <= ground.largest]


class Patience:
    """Does not try what would take too long, by what a load ten times smaller took."""

    def __init__(self):
        self.took = {}

    def setup(self, name, setup):
        def timed(place, *arguments):
            if self.took.get(name, 0) * 12 > PATIENCE:
                raise Trouble(f"not tried: a tenth of it took {self.took[name]:.0f} s to load")
            began = time.monotonic()
            load = setup(place, *arguments)
            self.took[name] = time.monotonic() - began
            return load
        return timed


def unlisted(ground, count):
    """A file of addresses in the space of the list that are not in it; both are sorted."""
    path = ground.build / "bench" / f"unlisted-{count}.txt"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    candidates = iter(subprocess.run([ground.build / "bench" / "prefixes", str(MILLION), "-1", "2"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout.split())
    with ground.list(count).open() as listed, partial.open("w") as file:
        end, candidate = -1, next(candidates, None)
        at = number(candidate)
        for line in listed:
            start = number(line)
            while candidate and at < start:
                if at > end:
                    file.write(candidate + "\n")
                candidate = next(candidates, None)
                at = number(candidate) if candidate else 0
            end = start + (1 << (32 - int(line[line.index("/") + 1:]))) - 1
    partial.rename(path)
    return path


def number(prefix):
    """Of its first address."""
    a, b, c, d = prefix[:prefix.index("/")].split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


# ---- lists

def list_curves(ground, results):
    """End to end; load and memory of each on the way."""
    for group, v6 in (("list-v4", False), ("list-v6", True)):
        patience = Patience()
        for size in sizes(ground):
            feed = ground.list(size, v6)
            flood = ("blocked-v6" if v6 else "blocked", "--blocked", feed)
            place = ground.blocking(size, v6)
            floods = {"bare XDP_DROP": Flood(ground.bare(), *flood), OURS: Flood(place, *flood)}
            before = slab()
            try_peers(ground, results, group, floods, size, {
                "nft set": (flood, patience.setup("nft", peers.nft_set), feed)})
            nft_bytes = slab() - before
            try_peers(ground, results, group, floods, size, {
                "ipset": (flood, patience.setup("ipset", peers.ipset), feed),
                "xdp-filter": (flood, peers.xdp_filter, feed)})
            report_rates(results, group, ground.turns(floods, SECONDS), size)
            if not v6:
                list_memory(ground, results, size, floods, place, nft_bytes)
            ground.forget(f"nft-set{size}", f"ipset{size}")
    single = ground.list(HOSTS, hosts=True)
    flood = ("blocked", "--blocked", single)
    floods = {f"{OURS}, single addresses": Flood(ground.blocking(HOSTS, hosts=True), *flood)}
    try_peers(ground, results, "list-v4", floods, HOSTS, {"xdp-filter, single addresses": (flood, peers.xdp_filter, single)})
    report_rates(results, "list-v4", ground.turns(floods, SECONDS), HOSTS)


def slab():
    """Bytes that the kernel has in small objects: sets are that, and little else changes here meanwhile."""
    lines = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    return int(lines["SUnreclaim"].split()[0]) * 1024


def list_memory(ground, results, size, floods, place, nft_bytes):
    tables = place.checked()["table-bytes"]
    results.point("memory", OURS, size, [(tables["v4"] + tables["v6"]) / 2**20])
    results.point("load", OURS, size, [apply_again(ground, size)])
    for name in ("nft set", "ipset", "xdp-filter"):
        if name in floods:
            results.point("load", name, size, [floods[name].place.load])
    if "nft set" in floods and nft_bytes > 0:
        results.point("memory", "nft set", size, [nft_bytes / 2**20], "growth of SUnreclaim")
    if "ipset" in floods:
        said = floods["ipset"].place.run("ipset", "list", "-t", "blocked")
        bytes_said = next(line.split(":")[1] for line in said.splitlines() if line.startswith("Size in memory"))
        results.point("memory", "ipset", size, [int(bytes_said) / 2**20])


def apply_again(ground, size):
    """As on a host that never saw the list."""
    if "load" not in ground.made:
        ground.made["load"] = Shielded(ground, "load")
    place = ground.made["load"]
    place.fresh()
    took = place.apply(policy(ground.list(size)))
    place.down()
    return took


def list_misses(ground, results):
    """After the list: a port that nobody serves, and a rule that drops the rest."""
    patience = Patience()

    def and_drop(setup):
        def both(place, feed):
            load = setup(place, feed)
            if setup is peers.nft_set:
                place.run("nft", "add", "rule", "netdev", "bench", "ingress", "tcp", "dport", "9200", "drop")
            else:
                place.run("iptables", "-t", "raw", "-A", "PREROUTING", "-i", place.name, "-p", "tcp", "--dport", "9200", "-j", "DROP")
            return load
        return both
    for size in sizes(ground):
        feed, flood = ground.list(size), ("blocked:9200", "--blocked", unlisted(ground, size))
        floods = {"bare XDP_DROP": Flood(ground.bare(), *flood), OURS: Flood(ground.blocking(size), *flood)}
        try_peers(ground, results, "list-miss", floods, size, {
            "nft set": (flood, patience.setup("nft", and_drop(peers.nft_set)), feed),
            "ipset": (flood, patience.setup("ipset", and_drop(peers.ipset)), feed)})
        report_rates(results, "list-miss", ground.turns(floods, SECONDS), size)
        ground.forget(f"nft-set{size}", f"ipset{size}")


def lookup_curves(ground, results):
    """Test runs of the whole program: exact misses and hits, without a generator."""
    plain = ground.plain()
    for group, v6 in (("lookup-v4", False), ("lookup-v6", True)):
        for size in sizes(ground):
            feed = ground.list(size, v6)
            kinds = [("miss", ground.blocking(size, v6), ["--miss", feed, "--anywhere"]),
                     ("hit", ground.allowing(size, v6), ["--hit", feed])]
            if v6:
                kinds.append(("miss in a /32 that holds listed ones", ground.blocking(size, v6), ["--miss", feed]))
            for words, place, sources in kinds:
                without, ours = ground.probe(place, [plain, place], *sources, v6=v6)
                results.point(group, f"{OURS}, {words}", size, [max(ns, 0.1) for ns in differences(ours, without)])
            ground.forget(f"a{size}{'v6' if v6 else ''}")


def many_lists(ground, results):
    """As many as a policy can use, of 1000 prefixes each; what is blocked is in all of them alike."""
    prefixes = ground.list(LISTS * SMALL).read_text().split()
    for count in (1, 4, 16, LISTS):
        lists = [prefixes[at::LISTS] for at in range(count)]
        path = ground.lab.room / f"lists-{count}.txt"
        path.write_text("\n".join(prefix for chunk in lists for prefix in chunk) + "\n")
        flood = ("blocked", "--blocked", path)
        names = [f"list-{number}" for number in range(count)]
        text = policy(lists={name: {"addresses": chunk} for name, chunk in zip(names, lists)}, block=names)
        floods = {OURS: Flood(ground.shielded(f"lists{count}", text), *flood)}
        try_peers(ground, results, "lists", floods, count, {"nft sets": (flood, peers.nft_sets, lists),
                                                            "ipsets": (flood, peers.ipsets, lists)})
        report_rates(results, "lists", ground.turns(floods, SECONDS), count)
        results.cannot("lists", "xdp-filter", count, peers.XDP_FILTER_TAKES)


# ---- rates, services, cores

def source_curves(ground, results):
    """So many sources in turn; the peers' tables and the baseline's hold a million. xdp-filter knows no rates."""
    limited = ground.shielded("sources", policy(service=TWO_LIMITS))
    for count in (1, 1000, 100_000, MILLION, 10 * MILLION):
        flood = ("n-sources", "--sources", count)
        floods = {"bare XDP_DROP": Flood(ground.bare(), *flood), OURS: Flood(limited, *flood),
                  "LRU_HASH token bucket": Flood(ground.bucket(), *flood)}
        try_peers(ground, results, "sources", floods, None, {"nft meter": (flood, peers.nft_meter),
                                                             "hashlimit": (flood, peers.hashlimit)})
        report_rates(results, "sources", ground.turns(floods, SECONDS), count)
        results.cannot("sources", "xdp-filter", count, peers.NO_RATES)


def service_curves(ground, results):
    """Ports from 10000 on, every second one, so that no range holds them; a flood to a port between them."""
    flood = ("spoofed-syn:9999",)
    for count in (1, 10, 100, 1000):
        ports = [10000 + 2 * number for number in range(count)]
        services = {f"s{port}": {"ports": f"tcp/{port}"} for port in ports}
        floods = {OURS: Flood(ground.shielded(f"services{count}", policy(services=services)), *flood)}
        try_peers(ground, results, "services", floods, count, {"xdp-filter": (flood, peers.xdp_filter_ports, ports),
                                                               "nft set": (flood, peers.nft_ports, ports),
                                                               "ipset": (flood, peers.ipset_ports, ports),
                                                               "iptables rules": (flood, peers.iptables_rules, ports)})
        report_rates(results, "services", ground.turns(floods, SECONDS), count)


PROFILES = ("blocked", "blocked-udp", "blocked-v6", "vlan", "qinq", "vlan-v6", "spoofed-udp", "spoofed-udp-v6", "scan", "scan-v6",
            "ack", "ack-v6", "syn-ack", "rst", "fin", "udp-amplification", "udp-amplification-v6", "fragments", "fragments-v6",
            "echo", "echo-v6", "imix", "mixed")


def profile_floods(ground, results):
    """What one shield makes of each kind of packet that the generator knows and the policy drops."""
    prefixes = ("46.30.0.0/16", "2a01:7e00::/32")
    place = ground.shielded("profiles", policy(lists={"bad": {"addresses": list(prefixes)}}, block=["bad"], service=TWO_LIMITS))
    for profile in PROFILES:
        flood = (profile, "--blocked", ",".join(prefixes))
        rates = ground.turns({"bare": Flood(ground.bare(), *flood), OURS: Flood(place, *flood)}, SECONDS)
        results.point("profiles", profile, None, ratios(rates[OURS], rates["bare"]))


def core_curves(ground, results):
    blocked, spoofed = ("blocked", "--blocked", ground.list(MILLION)), ("spoofed-syn",)
    whole = ground.shielded("whole", policy(ground.list(MILLION), service=TWO_LIMITS))
    for count in range(1, len(ground.cpus) + 1):
        cpus = ground.cpus[:count]
        floods = {"bare XDP_DROP": Flood(ground.bare(), *spoofed, cpus=cpus),
                  f"{OURS}, blocked": Flood(ground.blocking(MILLION), *blocked, cpus=cpus),
                  f"{OURS}, new sources": Flood(whole, *spoofed, cpus=cpus),
                  "LRU_HASH bucket, new sources": Flood(ground.bucket(), *spoofed, cpus=cpus)}
        for name, flood, setup, arguments in (("nft set, blocked", blocked, peers.nft_set, (ground.list(MILLION),)),
                                              ("nft meter, new sources", spoofed, peers.nft_meter, ()),
                                              ("hashlimit, new sources", spoofed, peers.hashlimit, ()),
                                              ("ipset, blocked", blocked, peers.ipset, (ground.list(MILLION),)),
                                              ("xdp-filter, blocked", blocked, peers.xdp_filter, (ground.list(MILLION),))):
            try:
                floods[name] = Flood(ground.peer(f"cores-{setup.__name__[:8]}", setup, *arguments), *flood, cpus=cpus)
            except Trouble as trouble:
                results.cannot("cores", name, count, words_of(trouble))
        report_rates(results, "cores", ground.turns(floods, SECONDS), count)


# ---- people's commands, people's requests

def bans(ground, results):
    """As fail2ban would: a process a ban."""
    place, host = ground.plain(), ground.peer("bans", lambda place: None)
    nft = ("table inet bench {\n set bans { type ipv4_addr; flags timeout; }\n chain in { type filter hook input priority 0; "
           "ip saddr @bans drop\n }\n}\n")
    commands = {OURS: lambda address: place.shield("ban", address, "--for", "1h")}
    try:
        peers.need("nft")
        host.run("nft", "-f", "-", input=nft)
        commands["nft"] = lambda address: host.run("nft", "add", "element", "inet", "bench", "bans", f"{{ {address} timeout 1h }}")
    except Trouble as trouble:
        results.cannot("bans", "nft", None, words_of(trouble))
    try:
        peers.need("ipset")
        host.run("ipset", "create", "bans", "hash:ip", "timeout", "3600")
        commands["ipset"] = lambda address: host.run("ipset", "add", "bans", address)
    except Trouble as trouble:
        results.cannot("bans", "ipset", None, words_of(trouble))
    rates = {name: [] for name in commands}
    for turn in range(ground.rounds):
        for name, command in commands.items():
            began = time.monotonic()
            for last in range(BANS):
                command(f"45.77.{turn}.{last}")
            rates[name].append(BANS / (time.monotonic() - began))
    for name, values in rates.items():
        results.point("bans", name, None, values)


def guards(web):
    """name -> how to protect the node, and how to stop: what people would do about SYN floods."""
    return {"nothing": (lambda: None, web.clear), OURS: (lambda: protect(web), web.shield.down),
            "nft meter": (lambda: peers.nft_meter(web.host(), OF_ALL), web.clear),
            "hashlimit": (lambda: peers.hashlimit(web.host(), OF_ALL), web.clear),
            "kernel cookies": (lambda: peers.kernel_cookies(web.host()), web.clear),
            "SYNPROXY": (lambda: peers.synproxy(web.host()), web.clear)}


def watched(web, pps, start, stop):
    """A tally of a second, guarded, and words about the guard."""
    note = start() or ""
    try:
        return web.watch(1, pps), note
    finally:
        stop()


def https_curves(ground, results):
    """Every guard at every rate in turns."""
    web, answered, slower, notes, cannot = Web(ground), {}, {}, {}, {}
    try:
        for _ in range(ground.rounds):
            for pps in (0, 100_000, 500_000, FLOOD_PPS):
                for name, guard in guards(web).items():
                    if name in cannot:
                        continue
                    try:
                        tally, notes[name] = watched(web, pps, *guard)
                    except Trouble as trouble:
                        cannot[name] = words_of(trouble)
                        continue
                    answered.setdefault((name, pps), []).append(tally.answered() or 0.0)
                    if tally.good:
                        slower.setdefault((name, pps), []).append(tally.quantile(0.99))
    finally:
        web.close()
    for (name, pps), values in answered.items():
        results.point("https-answered", name, pps, values, notes[name])
        if (name, pps) in slower:
            results.point("https-p99", name, pps, slower[name, pps], notes[name])
        else:
            results.cannot("https-p99", name, pps, "no request was answered")
    for name, why in {**cannot, "xdp-filter": peers.NO_RATES}.items():
        results.cannot("https-answered", name, FLOOD_PPS, why)


def idle_cost(ground, results):
    """No attack: what a host that is left alone pays. XDP of any kind takes segmentation offload from a veth's other end, so an
    empty program is beside it."""
    web, slow, fast = Web(ground), {}, {}
    bare = (lambda: web.lab.run("node", "ip", "link", "set", "dev", "eth0", "xdp", "object", ground.build / "bench" / "pass.bpf.o",
                                "section", "xdp"), lambda: web.lab.run("node", "ip", "link", "set", "dev", "eth0", "xdp", "off"))
    states = {"no XDP": (lambda: None, lambda: None), "an empty XDP program": bare, OURS: (lambda: protect(web), web.shield.down)}
    taker = web.lab.start("node", "python3", HERE / "stream.py", "take", "192.0.2.10", STREAM_PORT, stdout=subprocess.PIPE, text=True)
    try:
        if taker.stdout.readline() != "ready\n":
            raise Trouble("the far end of the stream did not start (its words are above)")
        for _ in range(ground.rounds):
            for name, (start, stop) in states.items():
                start()
                try:
                    tally = web.watch(2)
                    if tally.good:
                        slow.setdefault(name, []).append(tally.quantile(0.99))
                    fast.setdefault(name, []).append(stream(web, taker))
                finally:
                    stop()
    finally:
        web.close()
    for group, values in (("idle-p99", slow), ("idle-stream", fast)):
        for name, rates in values.items():
            results.point(group, name, None, rates)


def stream(web, taker):
    """Gbit/s."""
    web.lab.run("client", "python3", HERE / "stream.py", "send", "192.0.2.10", STREAM_PORT, 1)
    taken, seconds = taker.stdout.readline().split()
    return int(taken) * 8 / float(seconds) / 1e9


CURVES = (list_curves, list_misses, lookup_curves, many_lists, source_curves, service_curves, profile_floods,
          core_curves, bans, https_curves,
          idle_cost)
