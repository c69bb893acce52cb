#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulwark top in a real terminal of 80 x 24 (tmux): what it shows under a flood, its keys; and --batch."""

import random
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
lists:
  bad: { addresses: [46.30.66.0/24] }
block: [bad]
services:
  web: { ports: tcp/443 }
  api: { ports: tcp/8443, allow: [bad] }
"""
LIMITED = """
services:
  web: { ports: tcp/443, limits: [ { packets: 10/s, burst: 10, per: service } ] }
"""


class Terminal:
    def __init__(self, lab, columns=80, rows=24):
        self.lab, self.tmux = lab, ["tmux", "-L", f"bulwark-{os.getpid()}", "-f", "/dev/null"]
        environment = dict(lab.environment, LC_ALL="C.UTF-8", TERM="xterm")
        with lab.node:
            subprocess.run(self.tmux + ["new-session", "-d", "-x", str(columns), "-y", str(rows), BULWARK, "top"],
                           env=environment, check=True, timeout=20)

    def keys(self, *keys):
        subprocess.run(self.tmux + ["send-keys", *keys], check=True, timeout=20)

    def text(self, *options):
        return subprocess.run(self.tmux + ["capture-pane", "-p", *options], capture_output=True, timeout=20,
                              check=False).stdout.decode()

    def shows(self, pattern, seconds=10):
        return wait(lambda: re.search(pattern, self.text()), f"'{pattern}' on the screen", seconds)

    def close(self):
        subprocess.run(self.tmux + ["kill-server"], capture_output=True, timeout=20, check=False)


SPOOFED = 50_000
ONE, NETWORK = "46.30.9.9", "46.30.70.0/24"


def spoofed_flood(lab):
    """SYNs of 50,000 made-up sources of both families; every twentieth is of one address, as many are of one network."""
    random.seed(5)

    def source(number):
        if number % 20 == 0:
            return ONE
        if number % 20 == 1:
            return f"46.30.70.{random.randrange(1, 255)}"
        return f"{random.randrange(60, 120)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"

    def six(number):
        return f"2a01:{random.randrange(1, 65536):x}:{random.randrange(1, 65536):x}::{number:x}"

    frames = [ethernet(lab.eth1.mac, lab.a0.mac, tcp(six(number), lab.eth1.v6, 4000, 443, SYN) if number % 4 == 3 else
                       tcp(source(number), lab.eth1.v4, 4000, 443, SYN)) for number in range(SPOOFED)]
    with lab.attacker.raw("a0") as sender:
        while True:
            for frame in frames:
                sender.send(frame)


def flood_for_ever(lab):
    """From one source 2,000 packets a second to a port that no service has, and a few from a blocked one."""
    frames = [ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, port, SYN))
              for source, port in [("46.30.9.9", 9200)] * 9 + [("46.30.66.6", 443)]]
    with lab.attacker.raw("a0") as sender:
        while True:
            for frame in frames:
                sender.send(frame)
            time.sleep(0.005)


def try_screen(lab, terminal):
    with it("the head says what is in force"):
        terminal.shows(r"bulwark +ENFORCING +generation 1 +bans 0")
    with it("rates by interface and reason, 80 columns wide at most"):
        terminal.shows(r"eth1 +native +\S+ +[1-9][\d.]*k?")
        terminal.shows(r"unexposed +[\d.]+k? ")
        terminal.shows(r"dropped +[\d.]+k/s +.*[▁▂▃▄▅▆▇█]")
        assert max(len(line) for line in terminal.text().splitlines()) <= 80, terminal.text()
    with it("drops are coloured"):
        assert "\x1b[" in terminal.text("-e") and re.search(r"\x1b\[[\d;]*31m", terminal.text("-e")), "no red"
    with it("who sends, how much, with its error, its part, and what for it is refused"):
        terminal.shows(r"46\.30\.9\.9 +0 +[\d.]+k? +[\d.]+k? +\d+% +unexposed", 15)
        terminal.shows(r"46\.30\.66\.6 +0 +[\d.]+k? +[\d.]+k? +\d+% +blocked")
    with it("n shows networks and back; one address is no network"):
        terminal.keys("n")
        terminal.shows(r"NETWORK +PASSED/s")
        assert "46.30.9." not in terminal.text(), terminal.text()
        terminal.keys("n")
        terminal.shows(r"SOURCE +PASSED/s")
    with it("/ filters, escape clears"):
        terminal.keys("/", "b", "l", "o", "c", "k")
        wait(lambda: "blocked" in terminal.text() and "unexposed" not in terminal.text(), "only what is blocked")
        terminal.keys("Escape")
        terminal.shows("unexposed")
    with it("s sorts by another column"):
        terminal.keys("s")
        terminal.shows("sort: passed")
        terminal.keys("s")
        terminal.shows("sort: name")
        wait(lambda: 0 < terminal.text().find("blocked") < terminal.text().find("unexposed"), "the order of names")
        terminal.keys("s")
    with it("space freezes the screen, and goes on"):
        terminal.keys("Space")
        terminal.shows("FROZEN")
        before = re.search(r"unexposed.*", terminal.text())[0]
        time.sleep(2.2)
        same(re.search(r"unexposed.*", terminal.text())[0], before)
        terminal.keys("Space")
        wait(lambda: re.search(r"unexposed.*", terminal.text())[0] != before, "other numbers")
    with it("b asks, n changes nothing"):
        terminal.keys("b")
        terminal.shows(r"ban 46\.30\.\d+\.\d+ for 10m\? y/n")
        terminal.keys("n")
        wait(lambda: "y/n" not in terminal.text(), "the answer to be taken")
        same(lab.json("bans"), [])
    with it("b and y ban the selected source, as the verb does"):
        terminal.keys("b")
        chosen = terminal.shows(r"ban (46\.30\.\d+\.\d+) for 10m\? y/n")[1]
        terminal.keys("y")
        wait(lambda: [row for row in lab.json("bans") if row["address"] == chosen], "the ban")
        terminal.shows(r"BAN +LEFT")
        terminal.shows(re.escape(chosen) + r" +(9m|10m)")
        terminal.shows(r"bans 1")
    with it("pause and what follows shows in the head"):
        lab.bulwark("pause", "--for", "1h")
        terminal.shows(r"PAUSED (59m|1h)")
        lab.bulwark("resume")
        terminal.shows("ENFORCING")
    with it("`down` under it: UNPROTECTED, and it goes on with the next policy"):
        lab.bulwark("down")
        terminal.shows("UNPROTECTED")
        lab.apply(POLICY)
        terminal.shows("ENFORCING")
    with it("q ends it and gives the terminal back"):
        terminal.keys("q")
        wait(lambda: not terminal.text().strip(), "the end")


def try_batch(lab):
    with it("--batch prints frames"):
        output = lab.bulwark("top", "--batch", "2", environment={"COLUMNS": "100", "LINES": "30"})
        same(output.count("bulwark  ENFORCING"), 2)
        same(len(output.splitlines()), 2 * 31)
        holds(output, "unexposed", "INTERFACE", "SERVICE")
    with it("--batch in a small frame, in no UTF-8, too"):
        holds(lab.bulwark("top", "--batch", "1", environment={"COLUMNS": "20", "LINES": "5"}), "too small")
        lab.bulwark("top", "--batch", "1", environment={"LC_ALL": "C"}).encode("ascii")
    with it("--batch --json prints an object a line"):
        lines = lab.bulwark("--json", "top", "--batch", "2").splitlines()
        same(len(lines), 2)
        frame = json.loads(lines[1])
        assert frame["dropped_rate"] > 100, frame
        assert {"eth0", "eth1"} <= {row["name"] for row in frame["interfaces"]}, frame
        holds([row["name"] for row in frame["reasons"]], "unexposed")
    with it("sources with rates and their errors, and no two of an address"):
        rows = {row["address"]: row for row in frame["sources"]}
        one = rows["46.30.9.9"]
        same((one["reason"], one["passed_rate"], one["sources"], len(rows)), ("unexposed", 0, 1, len(frame["sources"])))
        assert one["dropped_rate"] > 50 and 0.8 < one["share"] < 0.96, one
    for words in (("--batch", "0"), ("--batch", "many"), ("--json",), ()):
        with it(f"top {' '.join(words)} without a terminal is refused"):
            lab.bulwark("top", *words, status=2)


def try_flood(lab):
    lab.apply(LIMITED)
    sender = child(spoofed_flood, lab)

    def flooders():
        """Of the flood's packets: the sources and the networks."""
        frame = json.loads(lab.bulwark("--json", "top", "--batch", "1"))
        return [{row["address"]: row for row in frame[kind] if row["reason"] == "rate-packets"}
                for kind in ("sources", "networks")]

    def near(row, share):
        return row and abs(row["share"] - share) < 0.025

    try:
        with it("in a spoofed flood one attacker and one network show, with their parts, and nobody else"):
            sources, networks = wait(lambda: [found for found in (flooders(),) if near(found[0].get(ONE), 0.05) and
                                              near(found[1].get(NETWORK), 0.05)], "these two", 40)[0]
            same((list(sources), list(networks)), ([ONE], [NETWORK]))
            assert networks[NETWORK]["sources"] > 20, networks
            assert 0 < sources[ONE]["dropped_error"] < sources[ONE]["dropped_rate"], sources
    finally:
        stop_child(sender)


def tests(lab):
    lab.apply(POLICY)
    lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    sender = child(flood_for_ever, lab)
    try:
        if shutil.which("tmux"):
            terminal = Terminal(lab)
            try:
                try_screen(lab, terminal)
                if os.environ.get("SHOW"):
                    print(terminal.text())
            finally:
                terminal.close()
        else:
            skip("the screen", "no tmux here")
        try_batch(lab)
    finally:
        stop_child(sender)
    try_flood(lab)


main("top", tests)
