#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the daemon and its children hold in memory with very many bans: no more than it promises, and less than one list
of them would take; and how long a scrape takes then, with as many services as a policy may have. BANS and PREFIXES in
the environment ask for more (make memory: 1 and 10 million; prefixes are in the kernel's tables alone)."""

import re
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

SERVICES = 256
POLICY = """
lists:
  feed: { feed: feed.txt, refresh: 1h }
block: [feed]
services:
  web: { ports: tcp/443 }
%s
metrics: { listen: "127.0.0.1:10473", connections: true }
""" % "\n".join(f"  service-{number}: {{ ports: tcp/{2000 + number} }}" for number in range(SERVICES - 1))
SCRAPE_MS = 20 if "BANS" in os.environ else 100  # make memory runs alone; beside other tests all takes longer
RESIDENT_KIB = 64 * 1024
AUTOMATIC = 100000
BANS, PREFIXES = int(os.environ.get("BANS", "300000")), int(os.environ.get("PREFIXES", "100000"))


def addresses(first, count):
    return "".join(f"{first + (i >> 24)}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(count))


def peak_kib(pid):
    with contextlib.suppress(OSError, TypeError), open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])
    return 0


class Family:
    """The daemon and its children, as large as each ever was."""

    def __init__(self, process):
        self.pid, self.peaks = process.pid, {}

    def look(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            for pid in [self.pid, *file.read().split()]:
                self.peaks[int(pid)] = max(self.peaks.get(int(pid), 0), peak_kib(pid))
        return max(self.peaks.values())


def automatic(lab):
    """Bans of the shield's own, as a daemon before saved them: held again by the first apply."""
    now, line = time.time(), '{"kind":"automatic","address":"%s","until":%f,"since":%f,"forget":%f,"times":1,' \
        '"service":"web","reason":"rate-packets"}\n'
    os.makedirs(lab.state, mode=0o700)
    with open(lab.state + "/bans.jsonl", "w", encoding="ascii") as file:
        for address in addresses(60, AUTOMATIC).splitlines():
            file.write(line % (address, now + 7200, now - 10, now + 86400))


def scraped_ms(daemon, lab):
    """Of the processor, at best: what others take from it is not its own."""
    def used():
        with open(f"/proc/{daemon.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e6

    times = []
    for _ in range(10):
        time.sleep(0.25)  # texts are kept so long
        before = used()
        lab.node.run("curl", "-s", "-o", "/dev/null", "http://127.0.0.1:10473/metrics")
        times.append(used() - before)
    print(f"# ms: {' '.join(f'{one:.1f}' for one in sorted(times))}")
    return min(times)


def bans(lab):
    text = lab.node.run("curl", "-s", "http://127.0.0.1:10473/metrics", status=None)
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("bulwark_bans ")), None)


def tests(lab):
    automatic(lab)
    lab.file("feed.txt", addresses(47, PREFIXES))
    lab.apply(POLICY)
    os.unlink(lab.state + "/bans.jsonl")  # it is to be saved anew
    lab.bulwark("ban", "--file", lab.file("bans", addresses(101, BANS)), "--for", "2h")
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    family = Family(daemon)
    with it(f"{BANS} bans, {AUTOMATIC} automatic ones and {PREFIXES} prefixes: counted, saved, and never more than 64 MiB resident"):
        saved = lab.state + "/bans.jsonl"
        wait(lambda: family.look() and os.path.exists(saved), "the first save", 120)
        wait(lambda: family.look() and (bans(lab) or 0) == BANS + AUTOMATIC, "the number of bans in the metrics", 120)
        print(f"# KiB: {sorted(family.peaks.values())}")
        assert family.look() < RESIDENT_KIB, f"{family.peaks} KiB"
        assert len(family.peaks) > 1, "who saves was not seen"
        with open(saved, "rb") as file:
            same(sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b"")), BANS + AUTOMATIC)
    with it(f"with all of that and {SERVICES} services a scrape takes at most {SCRAPE_MS} ms of the processor"):
        assert scraped_ms(daemon, lab) <= SCRAPE_MS, "longer"


main("memory", tests)
