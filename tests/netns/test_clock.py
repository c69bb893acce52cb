#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A clock that jumps a year ahead, and back: the daemon goes on, events are told and add up, bans last as long as they
should, the log is rotated once, and what was in force stays."""

import glob
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

HERE = os.path.dirname(os.path.abspath(__file__))
YEAR = 365 * 86400
POLICY = """
lists:
  feed: { feed: feed.txt, refresh: 1s, max-age: 30d }
block: [feed]
services:
  web: { ports: tcp/443 }
metrics: { listen: "127.0.0.1:10473" }
"""


def metrics(lab):
    text = lab.node.run("curl", "-s", "-m", "5", "http://127.0.0.1:10473/metrics", status=None)
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines() if line and not line.startswith("#")}


def told(lab):
    found = []
    for name in glob.glob(lab.state + "/events.jsonl*"):
        with open(name, encoding="utf-8") as file:
            found += [json.loads(line) for line in file if line.endswith("\n")]
    return sorted(found, key=lambda one: one["bulwark"]["sequence"])


def send(lab, source):
    with lab.attacker.raw("a0") as sender:
        sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 9200, SYN)))


def adds_up(found):
    made = found['bulwark_events_made_total{by="kernel"}'] + found['bulwark_events_made_total{by="daemon"}']
    return made == sum(value for name, value in found.items() if name.startswith(
        ("bulwark_events_written_total", "bulwark_events_sampled_out_total", "bulwark_events_lost_total",
         "bulwark_events_waiting")))


def try_jump(lab, daemon, words, seconds, source):
    with it(f"{words}: the daemon goes on, its events have that time, and they add up"):
        with open(lab.directory + "/shift", "w", encoding="ascii") as file:
            file.write(str(seconds))
        send(lab, source)
        event = wait(lambda: [one for one in told(lab) if one.get("source", {}).get("ip") == source], "the event")[0]
        year = time.gmtime(time.time() + seconds).tm_year
        same(int(event["@timestamp"][:4]), year)
        wait(lambda: adds_up(metrics(lab)), "a sum", 10)
        assert daemon.poll() is None, "it ended"
    with it(f"{words}: what is in force stays: policy, ban, exception"):
        found = metrics(lab)
        same([found["bulwark_" + name] for name in ("protected", "bans", "allows")], [1, 1, 1])
        same(lab.status()["generation"], 1)
        assert 3000 < lab.json("bans")[0]["left_s"] <= 3600, lab.json("bans")


def tests(lab):
    if not shutil.which("cc"):
        skip("a clock that jumps", "no compiler here")
        return
    subprocess.run(["cc", "-shared", "-fPIC", "-o", lab.directory + "/clock.so", HERE + "/clock.c"], check=True)
    lab.file("shift", "0")
    lab.file("feed.txt", "46.30.66.0/24\n")
    lab.apply(POLICY)
    lab.bulwark("ban", "46.99.0.1", "--for", "1h")
    lab.bulwark("allow", "46.99.0.2", "--for", "1h", "--reason", "a test")
    daemon = lab.start(lab.node, BULWARKD, "--foreground", "--log-age", "30d",
                       env=dict(lab.environment, LD_PRELOAD=lab.directory + "/clock.so", CLOCK_SHIFT=lab.directory + "/shift"))
    wait(lambda: metrics(lab), "bulwarkd", 30)
    try_jump(lab, daemon, "a year ahead", YEAR, "46.30.9.1")
    with it("a feed is a year old then, and the metric says so"):
        assert metrics(lab)['bulwark_feed_age_seconds{list="feed"}'] > YEAR - 86400
    try_jump(lab, daemon, "back again", 0, "46.30.9.2")
    try_jump(lab, daemon, "a year into the past", -YEAR, "46.30.9.3")
    with it("numbers have no hole, and the log was rotated at most twice"):
        numbers = [one["bulwark"]["sequence"] for one in told(lab)]
        same(numbers, list(range(1, len(numbers) + 1)))
        assert len(glob.glob(lab.state + "/events.jsonl*")) <= 3, glob.glob(lab.state + "/events.jsonl*")
    with it("ended and begun again, it goes on from there"):
        stop(daemon)
        same(daemon.returncode, 0)
        lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
        wait(lambda: metrics(lab), "bulwarkd", 30)
        wait(lambda: adds_up(metrics(lab)), "a sum", 10)


main("clock", tests)
