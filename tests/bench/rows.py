# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the benchmark promises to show: one row a target, one group a contest or curve. A new row is a line here and a call of
results.measured() with its key in the part that it names; a row without a part stands for what is not built yet."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Aim:
    relation: str  # "at most", "at least" or "within"
    value: float
    around: float = 0.0  # of "within": value is how far from this

    def met(self, measured):
        if self.relation == "within":
            return abs(measured - self.around) <= self.value
        return measured <= self.value if self.relation == "at most" else measured >= self.value

    def ratio(self, measured):
        """Of what was measured to the aim; None where there is nothing to divide by."""
        by = self.around if self.relation == "within" else self.value
        return measured / by if by else None

    def text(self, unit):
        if self.relation == "within":
            return f"{self.around:.2f} ± {self.value:g}"
        return f"{self.relation} {self.value:g} {unit}".strip()


def at_most(value):
    return Aim("at most", value)


def at_least(value):
    return Aim("at least", value)


@dataclasses.dataclass(frozen=True)
class Row:
    key: str
    part: str  # the function of parts.py that measures it; "" where there is nothing to measure yet
    what: str
    unit: str  # ns, s, MiB, Mpps, %, packets, or "x": a ratio
    aim: Aim = None
    section: str = ""


def section(name, *rows):
    return tuple(dataclasses.replace(row, section=name) for row in rows)


MACHINE = section(
    "this machine",
    Row("read-1", "memory_latency", "one random read in 1 MiB", "ns"),
    Row("read-16", "memory_latency", "one random read in 16 MiB", "ns"),
    Row("bare", "blocked_floods", "bare XDP_DROP over veth, one core, generator included", "Mpps"),
)

SPINE = section(
    "the spine",
    Row("blocked-1k", "blocked_verdicts", "blocked source dropped, 1k prefixes, over bare XDP_DROP", "ns", at_most(50)),
    Row("blocked-1m", "blocked_verdicts", "blocked source dropped, 1M prefixes, over bare XDP_DROP", "ns", at_most(50)),
    Row("syn", "lookups", "SYN to a service, 1M prefixes, over bare XDP_PASS", "ns", at_most(50)),
    Row("segment", "segments", "segment of an open connection, over bare XDP_PASS", "ns", at_most(80)),
    Row("v4-miss", "lookups", "IPv4 lookup, 1M prefixes, miss", "ns", at_most(12)),
    Row("v4-hit", "lookups", "IPv4 lookup, 1M prefixes, hit", "ns", at_most(40)),
    Row("v6-miss", "lookups", "IPv6 lookup, 1M prefixes, miss", "ns", at_most(25)),
    Row("v6-miss-near", "lookups", "IPv6 lookup, 1M prefixes, miss in a /32 that holds listed ones", "ns"),
    Row("v6-hit", "lookups", "IPv6 lookup, 1M prefixes, hit", "ns", at_most(85)),
    Row("v4-memory", "memory", "IPv4 tables, 1M prefixes", "MiB", at_most(70)),
    Row("v6-memory", "memory", "IPv6 tables, 1M prefixes", "MiB", at_most(24)),
    Row("events", "events", "events under a flood, a dropped packet", "ns", at_most(2)),
    Row("flood-1m", "blocked_floods", "end to end, 1M prefixes, every packet blocked, to bare XDP_DROP", "x", at_least(0.6)),
    Row("flood-nft", "blocked_floods", "end to end, 1M prefixes, every packet blocked, to an nft interval set", "x", at_least(12)),
    Row("flood-ipset", "blocked_floods", "end to end, 1M prefixes, every packet blocked, to iptables with an ipset", "x", at_least(1)),
    Row("flood-xdp-filter", "blocked_floods", "end to end, 8k addresses, to xdp-filter", "x", at_least(1)),
    Row("flood-10m", "blocked_floods", "end to end, 10M prefixes to 1k", "x", at_least(0.6)),
    Row("apply-1m", "apply_time", "apply of 1M prefixes, from text to live", "s", at_most(1.5)),
    Row("apply-1m-again", "apply_time", "apply of 1M prefixes again, the list unchanged", "s", at_most(0.5)),
    Row("apply-10m", "apply_time", "apply of 10M prefixes, from text to live", "s", at_most(8)),
    Row("unjudged", "reload", "packets of a flood that no policy judged, 4 applies meanwhile", "packets", at_most(0)),
)

FLOODS = section(
    "floods",
    Row("limit-hot", "limits", "one limit, one source over it, over the same policy without", "ns", at_most(18)),
    Row("limit-new", "limits", "one limit, every source new, over the same policy without", "ns", at_most(42)),
    Row("limit-lru", "limits", "an LRU_HASH token bucket of 1M entries, every source new, over parsing", "ns"),
    Row("limit-to-lru", "limits", "LRU_HASH token bucket to one limit of ours, every source new", "x", at_least(8)),
    Row("admitted", "accuracy", "admitted of the limit, sources at 10 times of it beside a spoofed flood 50 times the rest", "x",
        Aim("within", 0.02, 1.0)),
    Row("lawful-lost", "accuracy", "lawful packets dropped, sources at half the limit beside it", "packets", at_most(0)),
    Row("whole", "spoofed_floods", "whole path, 1M prefixes, two limits, every source new, to bare XDP_DROP", "x", at_least(0.36)),
    Row("whole-nft", "spoofed_floods", "whole path, every source new, to nft with a meter", "x", at_least(4.5)),
    Row("whole-hashlimit", "spoofed_floods", "whole path, every source new, to iptables hashlimit", "x", at_least(4.5)),
    Row("whole-two", "spoofed_floods", "whole path, every source new, two cores to one", "x", at_least(1.5)),
    Row("cookie-reply", "cookies", "SYN cookie, reply alone, to bare XDP_DROP", "x", at_least(0.33)),
    Row("cookie-whole", "cookies", "SYN cookie, whole path, to bare XDP_DROP", "x", at_least(0.22)),
    Row("cookie-kernel", "cookies", "SYN cookie, whole path, to the kernel's own", "x", at_least(4)),
    Row("cookie-clients", "cookie_clients", "of 1000 real connections, those that succeed during 2M spoofed SYNs a second", "",
        at_least(1000)),
    Row("https-success", "https", "HTTPS client during 2M spoofed SYNs a second: answered", "%", at_least(99.9)),
    Row("https-p99", "https", "HTTPS client during 2M spoofed SYNs a second: p99 latency, to an idle node's", "x", at_most(3)),
    Row("https-without", "https", "HTTPS client during 2M spoofed SYNs a second, without the shield: answered", "%"),
    Row("bans-load", "million_bans", "a million bans, to load at boot", "s", at_most(3)),
    Row("bans-judge", "million_bans", "a million bans, a packet of a banned source over bare XDP_DROP", "ns", at_most(60)),
)

API = section(
    "connections and first bytes",
    Row("tc-segment", "established", "data segment of an open connection at TC ingress, over an empty tcx program", "ns", at_most(60)),
    Row("tc-segment-bare", "first_bytes", "the same where XDP could leave nothing in front of it: classified again", "ns"),
    Row("tc-answer", "established", "what the host says in an open connection at TC egress, over an empty tcx program", "ns"),
    Row("tc-hello", "first_bytes", "ClientHello judged at TC ingress, over an empty tcx program", "ns", at_most(2000)),
    Row("sockops", "connection_sums", "sockops, tags and counts of a whole connection, over an empty program", "ns", at_most(300)),
    Row("flow-memory", "flow_memory", "flow table, for 1M flows", "MiB", at_most(128)),
    Row("account-memory", "flow_memory", "table of counted connections, for 1M of them", "MiB", at_most(128)),
    Row("stream-on", "streams", "TCP stream over veth, everything on, to bare XDP_PASS and an empty tcx program", "x", at_least(0.93)),
    Row("stream-xdp", "streams", "the same with bare XDP_PASS and an empty tcx program, to no program at all", "x"),
)

ROWS = MACHINE + SPINE + FLOODS + API


@dataclasses.dataclass(frozen=True)
class Group:
    """Several contenders on the same packets: a contest, or with more than one x a curve."""

    key: str
    title: str
    unit: str
    x: str = ""  # what the x axis is; "" for a contest
    better: str = "more"  # or "less"
    logarithmic: bool = True


GROUPS = (
    Group("blocked", "Every packet from a blocked source, one core, generator included", "Mpps"),
    Group("spoofed", "SYNs, every source new, rates limited, generator included", "Mpps"),
    Group("cookies", "SYNs of 74 bytes, every source new, answered with a cookie, generator included", "Mpps"),
    Group("stages", "What a packet costs over a bare program with the same verdict", "ns", better="less"),
    Group("words", "What words of a policy cost packets that they are not about", "ns", better="less", logarithmic=False),
    # make bench-full
    Group("list-v4", "Blocked IPv4 sources, every packet one", "Mpps", "prefixes in the list"),
    Group("list-v6", "Blocked IPv6 sources, every packet one", "Mpps", "prefixes in the list"),
    Group("list-miss", "IPv4 sources that are in no list, dropped by the next rule", "Mpps", "prefixes in the list"),
    Group("lookup-v4", "IPv4 lookup, over the same program without a list", "ns a packet", "prefixes in the list", "less"),
    Group("lookup-v6", "IPv6 lookup, over the same program without a list", "ns a packet", "prefixes in the list", "less"),
    Group("sources", "SYNs of so many sources, rates limited", "Mpps", "sources"),
    Group("services", "SYNs to a port of no service, dropped", "Mpps", "services"),
    Group("lists", "Blocked sources of all lists; a policy can use 62", "Mpps", "lists of 1000 prefixes"),
    Group("profiles", "Floods of every kind, to bare XDP_DROP with the same packets", "of bare XDP_DROP"),
    Group("cores", "Every packet from a blocked source, 1M prefixes; and every source new, limited", "Mpps", "cores"),
    Group("load", "From text to live", "s", "prefixes in the list", "less"),
    Group("memory", "Memory of a loaded list", "MiB", "prefixes in the list", "less"),
    Group("bans", "Bans by command line, one process each", "bans/s"),
    Group("https-answered", "HTTPS requests answered within a second", "%", "spoofed SYNs a second"),
    Group("https-p99", "HTTPS requests, 99 % below", "ms", "spoofed SYNs a second", "less"),
    Group("idle-p99", "No attack: HTTPS requests, 99 % below", "ms", better="less"),
    Group("idle-stream", "No attack: one TCP stream into the node", "Gbit/s"),
)

OURS = "bulwark"
