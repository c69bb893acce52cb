#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What `bulwark report` concludes: clients with completed connections that met a drop, limits that are too tight or met
nobody, services that nobody used, a stale feed; and the events that it knows them from, field by field."""

import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """lists:
  old:   { feed: old.txt }
  fresh: { feed: fresh.txt }
block: [old, fresh]
services:
  web:
    ports: tcp/443
    limits:
      - { packets: 20/s, burst: 20, per: source }
      - { new-connections: 100k/s, per: service }
  spare: { ports: tcp/8443 }
  closed: { ports: tcp/8444, allow: [old] }
"""
DAYS = 86400


def hurry(lab):
    """A client whose own connection goes over the limit of packets."""
    with connect(lab.client, lab.eth0.v4, 443) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + 20
        while time.monotonic() < end and not any(one["event"]["reason"] == "rate-packets" for one in drops(lab)):
            with contextlib.suppress(BlockingIOError):
                for _ in range(40):
                    client.send(b"x", socket.MSG_DONTWAIT)
            time.sleep(0.05)


def drops(lab):
    return events(lab, "packet-dropped")


def refused(lab):
    with lab.attacker.raw("a0") as sender:
        for dport in (8444, 9200):
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp("46.30.2.2", lab.eth1.v4, 4000, dport, SYN)))


def sums(lab, service, member):
    return sum(row[member] for one in events(lab, "summary") for row in one["bulwark"]["services"] if row["name"] == service)


def try_events(lab):
    with it("a drop inside an open connection says so, one of a source that may be forged does not"):
        hurry(lab)
        refused(lab)
        wait(lambda: {"rate-packets", "not-allowed", "unexposed"} <= {one["event"]["reason"] for one in drops(lab)},
             "the drops", 30)
        for one in drops(lab):
            same(one["bulwark"].get("proven"), True if one["event"]["reason"] == "rate-packets" else None)
    with it("summaries: services, limits and feeds, each field"):
        wait(lambda: sums(lab, "web", "passed") and sums(lab, "web", "refused") and sums(lab, "closed", "refused"),
             "the summaries", 30)
        one = events(lab, "summary")[-1]
        same((one["event"]["kind"], one["event"]["category"], one["event"]["type"]), ("event", ["network"], ["info"]))
        assert one["event"]["start"] < one["event"]["end"] and one["event"]["duration"] >= 10 ** 9, one["event"]
        same(sorted(one["bulwark"]), ["feeds", "limits", "sequence", "services"])
        same([sorted(row) for row in one["bulwark"]["services"]], [["name", "passed", "refused"]] * 3)
        same([row["service"] for row in one["bulwark"]["limits"]], ["web", "web"])
        same([row["rule"].rpartition(":")[0] for row in one["bulwark"]["limits"]], [lab.directory + "/policy.yaml"] * 2)
        ages = {row["list"]: row["age_s"] // DAYS for row in one["bulwark"]["feeds"]}
        same(ages, {"old": 10, "fresh": 0})
        same(sums(lab, "spare", "passed") + sums(lab, "spare", "refused"), 0)


def try_report(lab):
    report, text = lab.json("report"), lab.bulwark("report")
    limits = [row["rule"] for row in events(lab, "summary")[-1]["bulwark"]["limits"]]
    with it("lawful clients hit"):
        clients = report["lawful_clients"]
        same((clients["sources"], clients["outside_attacks"], clients["events_not_counted"]), (1, 1, 0))
        row, = clients["rows"]
        same((row["source"], row["service"], row["reason"], row["outside_attacks"]),
             ("45.33.1.2", "web", "rate-packets", True))
        assert row["packets"] >= row["events"] >= 1, row
        holds(text, "1 sources with completed connections met a drop, 1 of them while there was no attack.",
              "| 45.33.1.2 | web | rate-packets |")
    with it("advice: a limit that is too tight, one that met nobody"):
        holds(text, f"rate-packets on web ({limits[0]}) met 1 clients inside open connections",
              f"the limit of web at {limits[1]} met nobody in ")
        assert f"at {limits[0]} met nobody" not in text, text
    with it("advice: a service that nobody used, one that refused everybody; not the one that is used"):
        holds(text, "nobody used spare in ", "of what came to closed in ")
        assert "used web" not in text and "to web" not in text, text
    with it("advice: a stale feed; not the fresh one"):
        holds(text, "the feed of old is 10d")
        assert "feed of fresh" not in text, text
    with it("no attack: no times of one"):
        same(report["times"], {"attacks": 0, "detected_s": None, "mitigated_s": None, "not_mitigated": 0})


def attack_line(began, ended, mitigated):
    """As bulwarkd writes it."""
    return json.dumps({
        "@timestamp": ended, "event": {"action": "attack-ended", "reason": "packets", "start": began, "end": ended},
        "service": {"name": "web"}, "bulwark": {"service": "web", "detected_s": 1.5, "mitigated_s": mitigated}})


def try_attacks(lab):
    with it("hits during an attack on the service are told apart; times to detect and to mitigate, the longest of all"):
        hit = next(one for one in drops(lab) if one["bulwark"].get("proven"))
        now = time.time()
        stamp = [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now + s)) for s in (-50, -30, -10, -5)]
        hit["@timestamp"] = stamp[1]
        lines = [json.dumps(hit), attack_line(stamp[0], stamp[2], 2.25), attack_line(stamp[3], stamp[3], None)]
        log = lab.file("attacks.jsonl", "".join(line + "\n" for line in lines))
        report, text = lab.json("report", "--file", log), lab.bulwark("report", "--file", log)
        same(report["times"], {"attacks": 2, "detected_s": 1.5, "mitigated_s": 2.25, "not_mitigated": 1})
        same([report["lawful_clients"][key] for key in ("sources", "outside_attacks")], [1, 0])
        holds(text, "2 attacks: detected after at most 1.5 s, mitigated after at most 2.2 s; 1 not mitigated.",
              "1 sources with completed connections met a drop, 0 of them")
        assert "too tight" not in text, text


def tests(lab):
    now = time.time()
    for name, age in (("old", 10 * DAYS + 3600), ("fresh", 60)):
        os.utime(lab.file(name + ".txt", "46.30.66.0/24\n"), (now - age, now - age))
    lab.apply(POLICY)
    lab.tcp_sink(lab.node, 4, "0.0.0.0", 443)
    lab.start(lab.node, BULWARKD, "--foreground", "--summary", "2s", env=lab.environment)
    wait(lambda: events(lab, "summary"), "a first summary: bulwarkd has seen what there was before", 30)
    try_events(lab)
    try_report(lab)
    try_attacks(lab)


main("report", tests)
