#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""bulwark top in a real terminal of 80 x 24 (tmux): what it shows under a flood, its keys; and --batch."""

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
        terminal.shows(r"eth1 +native +\S+ +[\d.]+k")
        terminal.shows(r"unexposed +[\d.]+k? ")
        terminal.shows(r"dropped +[\d.]+k/s +.*[▁▂▃▄▅▆▇█]")
        assert max(len(line) for line in terminal.text().splitlines()) <= 80, terminal.text()
    with it("drops are coloured"):
        assert "\x1b[" in terminal.text("-e") and re.search(r"\x1b\[[\d;]*31m", terminal.text("-e")), "no red"
    with it("the sources of sampled events, with their reasons"):
        terminal.shows(r"46\.30\.9\.9 +\d+ +unexposed", 15)
        terminal.shows(r"46\.30\.66\.6 +\d+ +blocked")
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
    for words in (("--batch", "0"), ("--batch", "many"), ("--json",), ()):
        with it(f"top {' '.join(words)} without a terminal is refused"):
            lab.bulwark("top", *words, status=2)


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


main("top", tests)
