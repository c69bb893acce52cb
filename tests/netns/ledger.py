# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What became of every event, by the metrics and by the log."""

import glob
import json
import re
import subprocess
import time

from lab import *  # noqa: F403


def metrics(lab):
    with lab.node:
        done = subprocess.run(["curl", "-s", "-m", "5", "http://127.0.0.1:10473/metrics"], capture_output=True,
                              check=False)
    found = {}
    for line in done.stdout.decode().splitlines():
        if line.startswith("bulwark_events_"):
            name, value = line.rsplit(" ", 1)
            found[re.sub("^bulwark_events_|_total", "", name).replace('"', "")] = int(value)
    return found


def sums(found):
    made = found["made{by=kernel}"] + found["made{by=daemon}"]
    fates = sum(found[name] for name in ("written", "sampled_out", "lost{at=ring}", "lost{at=log}", "lost{at=crash}",
                                         "waiting"))
    return made, fates


def lines(log):
    found = []
    for name in glob.glob(log + "*"):
        with open(name, encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return found


def settled(lab):
    """The numbers once nothing waits any more."""
    last = {}

    def quiet():
        nonlocal last
        found = metrics(lab)
        same_again = found and found == last and not found["waiting"]
        last = found
        time.sleep(0.3)
        return same_again

    wait(quiet, "the daemon to catch up")
    return last


def adds_up(lab, log):
    for _ in range(20):  # the daemon has something to say of its own at any moment: read until nothing came between
        found = settled(lab)
        documents = lines(log)
        if metrics(lab) == found:
            break
    same(*sums(found), f"{found}")
    numbers = sorted(one["bulwark"]["sequence"] for one in documents)
    same(numbers, list(range(1, len(numbers) + 1)), "numbers in the log")
    same(len(numbers), found["written"], "lines in the log")
    return found
