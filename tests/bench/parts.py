# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What `make bench` measures: one function a part of the run, in the order of PARTS. Each is called with the ground it
measures on and the results it reports to, under the keys of rows.py."""

import contextlib
import json
import pathlib
import re
import shutil
import socket
import ssl
import statistics
import struct
import subprocess
import time

import enclosure
import peers
from enclosure import Trouble
from ground import HERE, SERVICE, Flood, Place, Shielded, differences, policy, ratios
from https import WITH_COOKIES, Web, protect
from rows import OURS

OPEN_CONNECTIONS = 1024
MILLION = 1_000_000
SMALL = 1000
HOSTS = 8000  # as many addresses as xdp-filter takes, and some room
BANS_SECONDS = 25  # no further round begins
NOT_BUILT = "not supported by this version yet"
FLOOD_PPS = 2_000_000
LIMIT = {"ports": "tcp/443", "limits": [{"packets": "20k/s", "per": "source"}]}
TWO_LIMITS = {"ports": "tcp/443", "limits": [{"packets": "20k/s", "per": "source"}, {"new-connections": "1k/s", "per": "service"}]}


def over(ours, base):
    return f"{statistics.median(ours):.0f} ns against {statistics.median(base):.0f} ns"


# ---- nanoseconds a packet

def memory_latency(ground, results):
    """What one look past the caches costs here: lookups in a long list make one to three of them."""
    for size in (1, 16):
        values = [float(enclosure.run(ground.build / "bench" / "latency", size)) for _ in range(ground.rounds)]
        results.measured(f"read-{size}", values)


def blocked_verdicts(ground, results):
    for count, key in ((SMALL, "blocked-1k"), (MILLION, "blocked-1m")):
        place = ground.blocking(count)
        base, ours = ground.probe(place, ["bare_drop", place], "--hit", ground.list(count), expect="drop")
        results.measured(key, differences(ours, base), over(ours, base))


def lookups(ground, results):
    """What the lists cost in the whole program: the same lawful SYNs with and without them."""
    plain = ground.plain()
    for family, v6 in (("v4", False), ("v6", True)):
        feed = ground.list(MILLION, v6)
        blocking, allowing = ground.blocking(MILLION, v6), ground.allowing(MILLION, v6)
        bare, without, ours = ground.probe(blocking, ["bare_pass", plain, blocking], "--miss", feed, "--anywhere", v6=v6)
        results.measured(f"{family}-miss", differences(ours, without), over(ours, without))
        if v6:
            without, ours = ground.probe(blocking, [plain, blocking], "--miss", feed, v6=True)
            results.measured("v6-miss-near", differences(ours, without), over(ours, without))
        else:
            results.measured("syn", differences(ours, bare), over(ours, bare))
        without, ours = ground.probe(allowing, [plain, allowing], "--hit", feed, v6=v6)
        results.measured(f"{family}-hit", differences(ours, without), over(ours, without))


def segments(ground, results):
    place = ground.blocking(MILLION)
    base, ours = ground.probe(place, ["bare_pass", place], "--shape", "ack", "--peers", open_connections(ground, place))
    results.measured("segment", differences(ours, base), f"{OPEN_CONNECTIONS} real sockets; {over(ours, base)}")


def open_connections(ground, place):
    """A file of the far ends of real connections, which stay open until the lab ends."""
    script, lab = HERE / "connections.py", ground.lab
    sources = [place.net4.format(last) for last in range(100, 132)]
    for source in sources:
        lab.run("sender", "ip", "address", "add", f"{source}/24", "dev", place.name)
    listener = lab.start("node", "python3", script, "listen", place.address4, 443, stdout=subprocess.PIPE)
    listener.stdout.readline()
    connector = lab.start("sender", "python3", script, "connect", place.address4, 443, OPEN_CONNECTIONS, *sources,
                          stdout=subprocess.PIPE, text=True)
    peers_file = lab.room / "peers.txt"
    with peers_file.open("w") as file:
        for line in iter(connector.stdout.readline, ""):
            if line == "ready\n":
                return peers_file
            file.write(line)
    raise Trouble("the open connections of the benchmark could not be made")


def memory(ground, results):
    for family, v6 in (("v4", False), ("v6", True)):
        results.measured(f"{family}-memory", [ground.blocking(MILLION, v6).checked()["table-bytes"][family] / 2**20])


def events(ground, results):
    """Ports of no service: a million sources, which make all the events that the budget allows, against one source, which makes
    one a second."""
    place, both = ground.plain(), {1: [], 1 << 20: []}
    for _ in range(ground.rounds):
        for distinct, values in both.items():
            base, ours = ground.probe(place, ["bare_drop", place], "--miss", "-", "--port", 9200, "--distinct", distinct, rounds=1,
                                      expect="drop")
            values.append(ours[0] - base[0])
    results.measured("events", differences(both[1 << 20], both[1]), "a million sources against one")


def limits(ground, results):
    plain, limited = ground.plain(), ground.shielded("limited", policy(service=LIMIT))
    parsed, bucket, without, ours = ground.probe(limited, ["parsed", "bucket", plain, limited], "--fresh")
    lru, new = differences(bucket, parsed), differences(ours, without)
    results.measured("limit-new", new, over(ours, without))
    results.measured("limit-lru", lru, over(bucket, parsed))
    results.measured("limit-to-lru", ratios(lru, [max(ns, 0.1) for ns in new]))
    # "any": few of its packets pass, and the last one may be one of them
    without, ours = ground.probe(limited, [plain, limited], "--miss", "-", "--distinct", 1, expect="any")
    results.measured("limit-hot", differences(ours, without), over(ours, without))


def unanswered(ground, results):
    """What a flood costs whose cookies are all sent."""
    place = listen(ground, ground.shielded("overload", policy(service=CHALLENGING, **{"syn-cookies": {"replies": "1/s"}})))
    base, ours = ground.probe(place, ["bare_drop", place], "--fresh", expect="any")
    results.point("stages", "IPv4 SYN over the budget of SYN cookies, new source", None, differences(ours, base), over(ours, base))


def stages(ground, results):
    """One kind of packet after the other through the real program; what a list, a limit or a second header adds is the difference
    of two lines."""
    plain, blocking, limited = ground.plain(), ground.blocking(MILLION), ground.shielded("limited", policy(service=LIMIT))
    twice = ground.shielded("limited2", policy(service=TWO_LIMITS))
    anyone, unlisted, closed = ("--miss", "-"), ("--miss", ground.list(MILLION)), ("--port", 9200)
    for name, place, expect, *arguments in (
            ("IPv4 TCP to a closed port", plain, "drop", *anyone, *closed),
            ("IPv6 TCP to a closed port", plain, "drop", *anyone, *closed),
            ("IPv4 UDP to a closed port", plain, "drop", *anyone, *closed, "--shape", "udp"),
            ("the same in a VLAN", plain, "drop", *anyone, *closed, "--shape", "udp", "--tags", 1),
            ("the same in two VLAN tags", plain, "drop", *anyone, *closed, "--shape", "udp", "--tags", 2),
            ("a reflector's answer of 482 bytes", plain, "drop", *anyone, *closed, "--shape", "answer"),
            ("a later fragment of nothing", plain, "drop", *anyone, "--shape", "fragment"),
            ("an ACK of no connection", plain, "drop", *anyone, "--shape", "ack"),
            ("IPv4 SYN to a service", plain, "pass", *anyone),
            ("IPv6 SYN to a service", plain, "pass", *anyone),
            ("IPv4 SYN, 1M prefixes, in none", blocking, "pass", *unlisted),
            ("IPv4 SYN, one limit, new source", limited, "pass", "--fresh"),
            ("IPv4 SYN, over the second limit, new source", twice, "any", "--fresh")):
        bare = "bare_pass" if expect == "pass" else "bare_drop"
        base, ours = ground.probe(place, [bare, place], *arguments, v6=name.startswith("IPv6"), expect=expect)
        results.point("stages", name, None, differences(ours, base), over(ours, base))
    plain.shield("pause", "--for", "10m")
    try:
        base, ours = ground.probe(plain, ["bare_pass", plain], *anyone)
        results.point("stages", "the root alone, paused", None, differences(ours, base), over(ours, base))
    finally:
        plain.shield("resume")


OTHERS = {"others": {"addresses": ["45.10.20.0/24", "2a01:77::/48"]}}
WORDS = {  # what a policy says of others than whom the packets are from and for
    "proxies and health-checks": {"lists": OTHERS, "proxies": ["others"], "health-checks": ["others"]},
    "zones, and a trusted list in one": {"lists": OTHERS, "zones": {"inside": {"interfaces": ["words1"]}},
                                         "trusted": [{"list": "others", "zone": "inside"}]},
    "forward: services": {"forward": "services"},
    "VRRP and BGP with their TTL": {"services": {"api": SERVICE, "vrrp": {"ports": "ip/vrrp", "ttl": 255},
                                                 "bgp": {"ports": "tcp/179", "ttl": 255}}},
}


def words(ground, results):
    """Lawful SYNs to one service, with and without words that are about somebody else."""
    plain = ground.plain()
    places = [ground.shielded(f"words{number}", policy(**more)) for number, more in enumerate(WORDS.values())]
    without, *rest = ground.probe(plain, [plain, *places], "--miss", "-")
    for name, ours in zip(WORDS, rest):
        results.point("words", name, None, differences(ours, without), over(ours, without))


def accuracy(ground, results):
    """The real program on a virtual clock (tests/packets/accuracy)."""
    lines = enclosure.run(ground.build / "tests" / "run_accuracy", HERE.parent / "packets" / "policies" / "limits.yaml").splitlines()
    admitted = next(re.search(r"let through ([\d.]+) of their limit", line) for line in lines if "hostile sources" in line)
    results.measured("admitted", [float(admitted[1])], "all of them together; on a virtual clock")
    lost = next(line for line in lines if "who stays below it" in line)
    results.measured("lawful-lost", [0 if lost.startswith("ok") else 1], "on a virtual clock")


# ---- packets a second

def words_of(trouble):
    """Without the command that failed and the file it was about."""
    return str(trouble).rsplit("error: ", maxsplit=1)[-1]


def report_rates(results, group, rates, x=None):
    for name, values in rates.items():
        results.point(group, name, x, [value / 1e6 for value in values])


def try_peers(ground, results, group, floods, x, contenders):
    """Adds those that work here: name -> (the flood's arguments, setup, its arguments)."""
    for name, (flood, setup, *arguments) in contenders.items():
        try:
            place = ground.peer(f"{name.replace(' ', '-')[:8]}{'' if x is None else x}", setup, *arguments)
            floods[name] = Flood(place, *flood)
        except Trouble as trouble:
            results.cannot(group, name, x, words_of(trouble))


def blocked_floods(ground, results):
    def blocked(count, **more):
        return "blocked", "--blocked", ground.list(count, **more)
    names = {f"{OURS}, {words}": count for words, count in (("1k prefixes", SMALL), ("1M", MILLION), ("10M", 10 * MILLION))
             if count <= ground.largest}
    floods = {"bare XDP_DROP": Flood(ground.bare(), *blocked(MILLION))}
    for name, count in names.items():
        floods[name] = Flood(ground.blocking(count), *blocked(count))
    few = f"{OURS}, 8k addresses"
    floods[few] = Flood(ground.blocking(HOSTS, hosts=True), *blocked(HOSTS, hosts=True))
    try_peers(ground, results, "blocked", floods, None, {
        "xdp-filter": (blocked(HOSTS, hosts=True), peers.xdp_filter, ground.list(HOSTS, hosts=True)),
        "nft set": (blocked(MILLION), peers.nft_set, ground.list(MILLION)),
        "ipset": (blocked(MILLION), peers.ipset, ground.list(MILLION))})
    rates = ground.turns(floods)
    report_rates(results, "blocked", rates)
    million = rates[f"{OURS}, 1M"]
    results.measured("bare", [rate / 1e6 for rate in rates["bare XDP_DROP"]])
    results.measured("flood-1m", ratios(million, rates["bare XDP_DROP"]))
    for key, ours, peer in (("flood-nft", million, "nft set"), ("flood-ipset", million, "ipset"),
                            ("flood-xdp-filter", rates[few], "xdp-filter")):
        against(results, key, ours, rates.get(peer), peer)
    if f"{OURS}, 10M" in rates:
        results.measured("flood-10m", ratios(rates[f"{OURS}, 10M"], rates[f"{OURS}, 1k prefixes"]))


def against(results, key, ours, theirs, peer):
    if theirs:
        results.measured(key, ratios(ours, theirs))
    else:
        results.missing(key, "cannot", f"{peer} does not work here")


def spoofed_floods(ground, results):
    """Every packet from a source of its own, and what a limit for all of a service's sources leaves of them."""
    whole = ground.shielded("whole", policy(ground.list(MILLION), service=TWO_LIMITS))
    bare, flood, both = ground.bare(), ("spoofed-syn",), ground.cpus
    floods = {"bare XDP_DROP": Flood(bare, *flood), f"{OURS}, 1M prefixes and two limits": Flood(whole, *flood),
              "LRU_HASH token bucket": Flood(ground.bucket(), *flood)}
    try_peers(ground, results, "spoofed", floods, None, {"nft meter": (flood, peers.nft_meter), "hashlimit": (flood, peers.hashlimit)})
    results.cannot("spoofed", "xdp-filter", None, peers.NO_RATES)
    if len(both) > 1:
        floods["bare XDP_DROP, two cores"] = Flood(bare, *flood, cpus=both)
        floods[f"{OURS}, two cores"] = Flood(whole, *flood, cpus=both)
    rates = ground.turns(floods)
    report_rates(results, "spoofed", rates)
    ours = rates[f"{OURS}, 1M prefixes and two limits"]
    results.measured("whole", ratios(ours, rates["bare XDP_DROP"]))
    against(results, "whole-nft", ours, rates.get("nft meter"), "nft meter")
    against(results, "whole-hashlimit", ours, rates.get("hashlimit"), "hashlimit")
    if len(both) > 1:
        results.measured("whole-two", ratios(rates[f"{OURS}, two cores"], ours))
    else:
        results.missing("whole-two", "cannot", "this machine has one core")


def listen(ground, place):
    """A real listener, and a far end that takes what it is sent and does nothing with it."""
    ground.lab.run("sender", "ip", "link", "set", "dev", place.name, "xdp", "object", ground.build / "bench" / "bare.bpf.o",
                   "section", "xdp")
    far = ground.lab.mac("sender", place.name)
    place.run("ip", "neighbour", "replace", place.sender4, "lladdr", far, "dev", place.name, "nud", "permanent")
    place.run("ip", "route", "replace", "default", "via", place.sender4, "dev", place.name)
    listener = ground.lab.start(place.space, "python3", HERE / "connections.py", "listen", place.address4, 443,
                                stdout=subprocess.PIPE)
    if listener.stdout.readline() != b"ready\n":
        raise Trouble("the listener did not start (its words are above)")
    return place


def answers(ground, flood):
    """What share of the SYNs is answered."""
    def sent():
        return ground.lab.link("sender", flood.place.name)["stats64"]["rx"]["packets"]
    before, began = sent(), flood.place.received()
    flood.ready().go(0.2)
    return (sent() - before) / max(flood.place.received() - began, 1)


def cookie_policies(ground):
    """The reply alone, and with a list and two limits that nothing exceeds."""
    answered = {"syn-cookies": {"replies": "unlimited"}}
    yield "reply alone", policy(service=CHALLENGING, **answered)
    yield "whole path", policy(ground.list(MILLION), service={**CHALLENGING, "limits": [
        {"packets": "20k/s", "per": "source"}, {"packets": "100M/s", "per": "service"}]}, **answered)


def cookies(ground, results):
    """74-byte SYNs with options, every source new, to a real listener: who answers how many of them."""
    syns, floods = ("spoofed-syn",), {"bare XDP_DROP": Flood(ground.bare(), "spoofed-syn")}
    try:
        for words, text in cookie_policies(ground):
            place = listen(ground, ground.shielded(f"cookie{len(floods)}", text))
            floods[f"{OURS}, {words}"] = Flood(place, *syns)
        state = "cannot", f"{OURS}, the kernel or both do not answer SYNs with cookies here"
    except Trouble as trouble:
        results.cannot("cookies", OURS, None, words_of(trouble))
        state = ("not built", "") if NOT_BUILT in str(trouble) else ("cannot", words_of(trouble))
    try_peers(ground, results, "cookies", floods, None, {
        "kernel": (syns, lambda place: peers.kernel_cookies(listen(ground, place))),
        "SYNPROXY": (syns, lambda place: peers.synproxy(listen(ground, place)))})
    results.cannot("cookies", "xdp-filter", None, "it answers nothing")
    for name, flood in list(floods.items())[1:]:
        share = answers(ground, flood)
        if share < 0.9:
            flood.close()
            del floods[name]
            results.cannot("cookies", name, None, f"it answered {share:.0%} of the SYNs")
    rates = ground.turns(floods)
    report_rates(results, "cookies", rates)
    bare, whole = rates["bare XDP_DROP"], rates.get(f"{OURS}, whole path")
    for key, ours, theirs in (("cookie-reply", rates.get(f"{OURS}, reply alone"), bare), ("cookie-whole", whole, bare),
                              ("cookie-kernel", whole, rates.get("kernel"))):
        if ours and theirs:
            results.measured(key, ratios(ours, theirs))
        else:
            results.missing(key, *state)


# ---- seconds

def apply_time(ground, results):
    """From the text of the list to the switch, by the program itself, its start and the tests of the policy included; and again
    with one more port and the same list."""
    for count, key in ((MILLION, "apply-1m"), (10 * MILLION, "apply-10m")):
        if count > ground.largest:
            results.missing(key, "not run", "a quick run")
            continue
        feed, place, first, again = ground.list(count), Shielded(ground, f"apply{count}"), [], []
        for _ in range(ground.rounds):
            place.fresh()
            first.append(place.apply(policy(feed)))
            if count == MILLION:
                again.append(place.apply(policy(feed, service={"ports": ["tcp/443", "tcp/8443"]})))
            place.down()
        results.measured(key, first)
        if again:
            results.measured(f"{key}-again", again)


def reload(ground, results):
    """Policies change under a flood: whether every packet that came in was judged, by the old or the new one."""
    feed, place = ground.list(MILLION), ground.blocking(MILLION)
    flood = Flood(place, "blocked", "--blocked", feed).ready()
    flood.begin(60)
    time.sleep(0.5)
    before, judged = place.received(), place.judged()
    for turn in range(4):
        place.apply(policy(feed, service={"ports": ["tcp/443", "tcp/8443"]} if turn % 2 else None))
    seen, came = place.judged() - judged, place.received() - before
    flood.close()
    if not came:
        raise Trouble("no packet of the flood came in")
    fell = place.shield.status()["fallthrough"]["xdp"]
    results.measured("unjudged", [fell], f"{came:,} came in, {seen:,} were judged")


def million_bans(ground, results):
    """As after a reboot: the policy and a file of bans in the state directory, nothing in the kernel; with and without the bans."""
    place, feed, seconds = Shielded(ground, "bans-m"), ground.list(MILLION, hosts=True), {False: [], True: []}
    place.apply(policy())
    state, kept, now = place.shield.state_dir, place.room / "kept-state", time.time()
    shutil.copytree(state, kept)
    for _ in range(max(1, ground.rounds // 3)):
        if time.time() - now > BANS_SECONDS:
            break
        for banned, taken in seconds.items():
            place.down()
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(kept, state)
            if banned:
                with (state / "bans.jsonl").open("w") as file:
                    for prefix in feed.read_text().split():
                        file.write(f'{{"kind":"ban","address":"{prefix}","until":{now + 86400},"since":{now},"origin":"bench",'
                                   '"reason":"bench"}\n')
            began = time.monotonic()
            place.shield("apply", "--saved", "--iface", place.name, "--ephemeral")
            taken.append(time.monotonic() - began)
    base, ours = ground.probe(place, ["bare_drop", place], "--hit", feed, expect="drop")  # else these would pass
    results.measured("bans-load", differences(seconds[True], seconds[False]), "over a boot without bans")
    results.measured("bans-judge", differences(ours, base), over(ours, base))
    place.close()


# ---- API flows

CHALLENGING = {"ports": "tcp/443", "syn-cookies": "always"}
EVERYTHING = {"ports": "tcp/443", "tag": 10, "tls": {"sni": ["api.example.com", "*.eu.example.com"], "min-version": "TLSv1.2", "unknown": "drop"},
              "limits": [{"packets": "10M/s", "per": "source"}, {"new-connections": "10k/s", "per": "source"}]}
API = {"tag-mask": 0x0000FF00, "metrics": {"connections": True}}


def client_hello(name):
    """As OpenSSL has it: with what else real clients offer."""
    outgoing, context = ssl.MemoryBIO(), ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def write_segment(place, path, port, sequence, data):
    """A frame from the sender's end of a connection, hexadecimal; nobody looks at its checksums."""
    ends = socket.inet_aton(place.sender4) + socket.inet_aton(place.address4)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 52 + len(data), 1, 0, 64, 6, 0) + ends
    stamps = b"\1\1\10\12" + bytes(8)
    tcp = struct.pack("!HHIIBBHHH", port, 443, sequence & 0xFFFFFFFF, 1, 0x80, 0x18, 8192, 0, 0) + stamps
    path.write_text((bytes.fromhex(place.mac.replace(":", "")) + bytes(6) + b"\x08\0" + ip + tcp + data).hex())


def first_bytes(ground, results):
    """One connection to a real listener that has not received anything: its hello, and a segment from far behind it."""
    place, script = ground.shielded("first", policy(service=EVERYTHING, **API)), HERE / "connections.py"
    listener = ground.lab.start("node", "python3", script, "listen", place.address4, 443, stdout=subprocess.PIPE)
    listener.stdout.readline()
    silent = ground.lab.start("sender", "python3", script, "silent", place.address4, 443, stdout=subprocess.PIPE, text=True)
    port, first = map(int, silent.stdout.readline().split())
    frame, hello = ground.lab.room / "segment.hex", client_hello("api.example.com")
    for key, sequence, data, note in (("tc-segment-bare", first + (1 << 20), bytes(1400), "of 1400 bytes"),
                                      ("tc-hello", first, hello, f"of {len(hello)} bytes")):
        write_segment(place, frame, port, sequence, data)
        base, ours = json.loads(ground.lab.run("node", ground.build / "bench" / "tc_probe", place.name, ground.cpus[-1], ground.rounds,
                                               max(ground.repeat // 4, 10000), frame, place.root.parent / "root_ingress"))
        results.measured(key, differences(ours, base), f"{note}; {over(ours, base)}")
    end([silent, listener])


def flow_memory(ground, results):
    """What the kernel charges for the tables, by the flows that fit into them."""
    pins = ground.plain().root.parent
    for key, table in (("flow-memory", "flows"), ("account-memory", "accounts")):
        shown = json.loads(enclosure.run(ground.bpftool, "-j", "map", "show", "pinned", pins / table))
        slots = shown["max_entries"] * shown["bytes_value"] // 8
        results.measured(key, [shown["bytes_memlock"] / slots * MILLION / 2**20], f"{slots:,} fit into the one that is there")


class Statistics:
    """What the kernel's own clock of programs says: how often they ran, and how long."""

    def __init__(self, ground, *programs):
        self.process = ground.lab.start("node", ground.build / "bench" / "run_stats", *programs, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def read(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Trouble("no statistics of programs (the words are above)")
        return json.loads(line)

    def during(self, do, *arguments):
        """[times, ns] of each program meanwhile."""
        before = self.read()
        do(*arguments)
        return [[now - then for now, then in zip(*pair)] for pair in zip(self.read(), before)]

    def kill(self):
        self.process.kill()

    def wait(self):
        self.process.wait()


def end(processes):
    for process in processes:
        process.kill()
        process.wait()


def cgroup2():
    mounts = (line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines())
    return next((mount[1] for mount in mounts if mount[2] == "cgroup2"), None)


def streaming(ground):
    """Everything on; the stream is no TLS, so its first bytes would end it."""
    service = {"ports": "tcp/443", "tag": 10, "limits": EVERYTHING["limits"], "tls": {"unknown": "pass", "monitor": True}}
    return ground.shielded("stream", policy(service=service, **API))


def empty_programs(ground, place):
    """The ids of those at TC."""
    place.attach("xdp", "pass.bpf.o")
    place.run("tc", "qdisc", "add", "dev", place.name, "clsact")
    ids = []
    for direction in ("ingress", "egress"):
        place.run("tc", "filter", "add", "dev", place.name, direction, "bpf", "direct-action", "object-file",
                  ground.build / "bench" / "empty_tc.bpf.o", "section", "tc")
        shown = json.loads(place.run("tc", "-j", "filter", "show", "dev", place.name, direction))
        ids += [filter["options"]["prog"]["id"] for filter in shown if "prog" in filter.get("options", {})]
    return ids


def stream_takers(ground, places):
    takers = {name: ground.lab.start("node", "python3", HERE / "stream.py", "take", place.address4, 443, stdout=subprocess.PIPE, text=True)
              for name, place in places.items()}
    for taker in takers.values():
        taker.stdout.readline()
    return takers


def stream(ground, place, taker, seconds):
    """Gbit/s."""
    ground.lab.run("sender", "python3", HERE / "stream.py", "send", place.address4, 443, seconds)
    taken, took = taker.stdout.readline().split()
    return int(taken) * 8 / float(took) / 1e9


def established(ground, results):
    """A stream through each of two interfaces in turn: here TC is told what XDP knows."""
    places = {"empty": Place(ground, "empty-tc"), OURS: streaming(ground)}
    pins = places[OURS].root.parent
    programs = {"empty": empty_programs(ground, places["empty"]), OURS: [pins / "root_ingress", pins / "root_egress"]}
    takers, clock = stream_takers(ground, places), Statistics(ground, *programs["empty"], *programs[OURS])
    spent = {name: ([], []) for name in places}
    try:
        for _ in range(ground.rounds):
            for at, name in enumerate(places):
                ran = clock.during(stream, ground, places[name], takers[name], ground.seconds)
                for found, (times, ns) in zip(spent[name], ran[2 * at:]):
                    found.append(ns / times)
    finally:
        end([clock, *takers.values()])
    for key, ours, empty in zip(("tc-segment", "tc-answer"), spent[OURS], spent["empty"]):
        results.measured(key, differences(ours, empty), over(ours, empty))


BATCH = 10  # connections: so few that most batches meet no interrupt
PORTS = 20_000  # of the client that one run may use: each is taken for a minute


def connection_sums(ground, results):
    """Whole connections, each of which meets both programs, by the kernel's own clock of programs: the time of a connection itself is a
    thousand times longer, and no clock finds the program in it. An interrupt counts as time of the program that it meets and is as long as
    ten connections, so a round is the median of many small batches. Of the thirteen callbacks of a connection four are changes of state that
    ours has asked for; the empty program meets them as well."""
    ground.forget("first")  # another shield on the same sockets: it would have set the mark and met what is cold
    place, script = streaming(ground), HERE / "connections.py"
    server = ground.lab.start("node", "python3", script, "serve", place.address4, 443, stdout=subprocess.PIPE)
    server.stdout.readline()
    client = ground.lab.start("sender", "python3", script, "churn", place.address4, 443, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    clock = Statistics(ground, cgroup2(), place.root.parent / "root_sockops")
    batches = min(20 if ground.seconds < 0.5 else 200, PORTS // BATCH // (ground.rounds + 1))

    def churn():
        client.stdin.write(f"{BATCH}\n")
        client.stdin.flush()
        client.stdout.readline()

    def spent():
        """By the empty program and by ours, of each batch."""
        return zip(*([ns / BATCH for _, ns in clock.during(churn)] for _ in range(batches)))
    try:
        spent()  # what is new to the caches
        rounds = [[statistics.median(of) for of in spent()] for _ in range(ground.rounds)]
    finally:
        end([clock, client, server])
    base, ours = zip(*rounds)
    results.measured("sockops", differences(ours, base), over(ours, base))


def streams(ground, results):
    """One stream into the node through each interface in turn. XDP of any kind takes segmentation offload from a veth's other end, which
    is the last row."""
    places = {"none": Place(ground, "nothing"), "empty": Place(ground, "empty"), OURS: streaming(ground)}
    empty_programs(ground, places["empty"])
    takers, rates = stream_takers(ground, places), {name: [] for name in places}
    try:
        for turn in range(ground.rounds + 1):
            for name, place in places.items():
                rate = stream(ground, place, takers[name], ground.seconds if turn else 0.2)
                if turn:
                    rates[name].append(rate)
    finally:
        end(takers.values())
    results.measured("stream-on", ratios(rates[OURS], rates["empty"]),
                     f"{statistics.median(rates[OURS]):.1f} Gbit/s against {statistics.median(rates['empty']):.1f}")
    results.measured("stream-xdp", ratios(rates["empty"], rates["none"]), f"{statistics.median(rates['none']):.1f} Gbit/s without")


# ---- requests

def cookie_clients(ground, results):
    web = Web(ground)
    try:
        how = protect(web)
        if how != WITH_COOKIES:
            results.missing("cookie-clients", "not built")
            return
        flood = web.internet.flood("spoofed-syn", "203.0.113.64/26", FLOOD_PPS, 60)
        time.sleep(1)
        done = web.lab.run("client", "python3", HERE / "connections.py", "try", "192.0.2.10", 443, 1000)
        flood.terminate()
        flood.wait()
        results.measured("cookie-clients", [int(done)], how)
    finally:
        web.close()


def https(ground, results):
    """In turns: an idle node, one under a flood with the shield, one under a flood without."""
    web, answered, slower, without, note = Web(ground), [], [], [], ""
    quick = ground.seconds < 0.5
    try:
        for _ in range(max(1, ground.rounds // 3)):
            idle = web.watch(1 if quick else 2)
            note = protect(web)
            under = web.watch(2 if quick else 3.5, FLOOD_PPS, settle=1.5)
            web.shield.down()
            without.append(web.watch(1, FLOOD_PPS).answered() or 0.0)
            if not idle.good:
                raise Trouble("the idle node did not answer")
            answered.append(under.answered() or 0.0)
            if under.good:
                slower.append(under.quantile(0.99) / idle.quantile(0.99))
            note = f"{note}; {under.rate(under.received) / 1e6:.2f}M packets/s came in; p99 of the idle node {idle.quantile(0.99):.1f} ms"
    finally:
        web.close()
    results.measured("https-success", answered, note)
    results.measured("https-without", without)
    if slower:
        results.measured("https-p99", slower, "of the requests that were answered")
    else:
        results.missing("https-p99", "cannot", "no request was answered")


PARTS = (memory_latency, blocked_verdicts, lookups, segments, memory, limits, events, stages, unanswered, words, accuracy, blocked_floods,
         spoofed_floods, cookies, apply_time, reload, million_bans, https, cookie_clients, first_bytes, established, connection_sums, flow_memory,
         streams)
