#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulwarkd beside a shield at work: events in the log within a second, counts that add up, interfaces that return,
deadlines that pass, and a shield that does not care when it dies."""

import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists:
  bad: {{ addresses: [46.30.66.0/24, "2a01:66::/48"] }}
block: [bad]
services:
  web: {{ ports: tcp/443 }}
"""
BAD = {4: "46.30.66.6", 6: "2a01:66::6"}
OTHER = {4: "46.30.66.7", 6: "2a01:66::7"}


class Log:
    def __init__(self, path):
        self.path = path

    def events(self, **wanted):
        """Documents whose `event` has these words."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [one for one in lines if all(one["event"].get(key) == word for key, word in wanted.items())]

    def about(self, source):
        return [one for one in self.events(action="packet-dropped") if one["source"]["ip"] == source]


def send(lab, source, family, copies=1):
    frame = ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1[family], 4000, 443, SYN))
    with lab.attacker.raw("a0") as sender:
        for _ in range(copies):
            sender.send(frame)


def start_daemon(lab, log):
    daemon = lab.start(lab.node, BULWARKD, "--foreground", "--log", log.path, env=lab.environment)
    wait(lambda: log.events(action="policy-applied"), "bulwarkd to say what is in force")
    return daemon


def try_event(lab, log, mode, family):
    with it(f"{mode}, IPv{family}: a drop is in the log, in ECS words"):
        source, known = BAD[family], len(log.about(BAD[family]))
        send(lab, source, family)
        event = wait(lambda: log.about(source)[known:], "the event")[0]
        same((event["event"]["kind"], event["event"]["category"], event["event"]["reason"]),
             ("event", ["network"], "blocked"))
        assert "denied" in event["event"]["type"], event
        same((event["source"]["port"], event["destination"]["ip"], event["destination"]["port"]),
             (4000, lab.eth1[family], 443))
        same((event["network"]["transport"], event["network"]["type"]), ("tcp", f"ipv{family}"))
        same((event["observer"]["ingress"]["interface"]["name"], event["rule"]["name"]), ("eth1", "bad"))
        assert event["network"]["community_id"].startswith("1:") and event["ecs"]["version"], event
        holds(event["bulwark"]["rule"], "policy.yaml:")


def blocked_at_rest(lab):
    before = lab.counts()
    time.sleep(0.05)
    return lab.counts() == before


def try_sums(lab, log, mode, family):
    with it(f"{mode}, IPv{family}: the packets of all events are those that were counted"):
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cpus)})  # what was not told yet is kept for each CPU
        try:
            send(lab, BAD[family], family, 2000)
            # else the one that follows meets a full queue of the kernel on a busy machine
            wait(lambda: blocked_at_rest(lab), "the last of them to be counted")
            send(lab, OTHER[family], family)
            wait(lambda: log.about(OTHER[family]), "the event of the second source")
        finally:
            os.sched_setaffinity(0, cpus)
        told = sum(event["bulwark"]["packets"] for event in log.events(action="packet-dropped", reason="blocked"))
        same(told, lab.counts()["drop", "blocked"])
        assert len(log.events(action="packet-dropped")) < 100, "not sampled"


def try_mode(lab, log, mode):
    lab.apply(POLICY.format(mode=mode))
    daemon = start_daemon(lab, log)
    wait(lambda: log.events(action="policy-applied")[-1]["bulwark"]["generation"] == lab.status()["generation"],
         "the newest policy to be told")
    for family in (4, 6):
        try_event(lab, log, mode, family)
        try_sums(lab, log, mode, family)
    with it(f"{mode}: a second bulwarkd for the same state is refused"):
        holds(lab.node.run(BULWARKD, "--foreground", "--log", log.path + "2", env=lab.environment, status=3),
              "already runs")
    try_return(lab, mode)
    with it(f"{mode}: a candidate that nobody confirms is told as reverted"):
        lab.apply(POLICY.format(mode=mode).replace("443", "444"), "--confirm=1s")
        wait(lambda: log.events(action="policy-reverted"), "the event")
        same(lab.headline(), "ENFORCING")
    with it(f"{mode}: bulwarkd killed: the shield goes on"):
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        before = lab.counts()["drop", "blocked"]
        send(lab, BAD[4], 4, 10)
        wait(lambda: lab.counts()["drop", "blocked"] == before + 10, "ten drops")
    with it(f"{mode}: a bulwarkd that comes back tells what happened meanwhile, once"):
        applied, daemon = len(log.events(action="policy-applied")), start_daemon(lab, log)
        send(lab, "46.30.66.8", 4)
        wait(lambda: log.about("46.30.66.8"), "an event")
        same(len(log.events(action="policy-applied")), applied)
        numbers = [event["bulwark"]["sequence"] for event in log.events()]
        same(numbers, sorted(set(numbers)), "sequence numbers")
    stop(daemon)
    lab.bulwark("down")
    os.rename(log.path, log.path + "-" + mode)


def try_return(lab, mode):
    with it(f"{mode}: an interface that goes and returns is protected again, in the same mode"):
        lab.node.run("ip", "link", "del", "eth1")
        lab.join_attacker()
        wait(lambda: lab.headline() == "ENFORCING", "the interface to be attached")
        same({one["name"]: one["mode"] for one in lab.status()["interfaces"]}, {"eth0": mode, "eth1": mode})
        before = lab.counts()["drop", "blocked"]
        send(lab, BAD[4], 4)
        wait(lambda: lab.counts()["drop", "blocked"] > before, "a drop")


def tests(lab):
    log = Log(lab.directory + "/events.jsonl")
    for mode in ("native", "generic"):
        try_mode(lab, log, mode)


main("daemon", tests)
