#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A clock that jumps a year ahead, and back: the daemon goes on, events are told and add up, bans last as long as they
should, and what was in force stays. (Times of files are the kernel's and do not jump with it: rotation by age is left
out.)"""

import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from ledger import *  # noqa: E402,F403

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


def metric(lab, name):
    text = lab.node.run("curl", "-s", "-m", "5", "http://127.0.0.1:10473/metrics", status=None)
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ")), None)


def send(lab, source):
    with lab.attacker.raw("a0") as sender:
        sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 9200, SYN)))


def try_jump(lab, daemon, words, seconds, source):
    with it(f"{words}: the daemon goes on, its events have that time, and they add up"):
        with open(lab.directory + "/shift", "w", encoding="ascii") as file:
            file.write(str(seconds))
        send(lab, source)
        event = wait(lambda: [one for one in lines(lab.state + "/events.jsonl") if one.get("source", {}).get("ip") == source], "the event")[0]
        year = time.gmtime(time.time() + seconds).tm_year
        same(int(event["@timestamp"][:4]), year)
        adds_up(lab, lab.state + "/events.jsonl")
        assert daemon.poll() is None, "it ended"
    with it(f"{words}: what is in force stays: policy, ban, exception"):
        same([metric(lab, "bulwark_" + name) for name in ("protected", "bans", "allows")], [1, 1, 1])
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
    daemon = lab.start(lab.node, BULWARKD, "--foreground",
                       env=dict(lab.environment, LD_PRELOAD=lab.directory + "/clock.so", CLOCK_SHIFT=lab.directory + "/shift"))
    wait(lambda: metrics(lab), "bulwarkd", 30)
    try_jump(lab, daemon, "a year ahead", YEAR, "46.30.9.1")
    with it("a feed is a year old then, and the metric says so"):
        assert metric(lab, 'bulwark_feed_age_seconds{list="feed"}') > YEAR - 86400
    try_jump(lab, daemon, "back again", 0, "46.30.9.2")
    try_jump(lab, daemon, "a year into the past", -YEAR, "46.30.9.3")
    with it("ended and begun again, it goes on from there"):
        stop(daemon)
        same(daemon.returncode, 0)
        lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
        wait(lambda: metrics(lab), "bulwarkd", 30)
        adds_up(lab, lab.state + "/events.jsonl")


main("clock", tests)
