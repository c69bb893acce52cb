# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What happened in a stretch of time: requests answered, how long they took, packets in, packets dropped by reason."""

import json
import time


class Tally:
    def __init__(self):
        self.good = self.bad = 0
        self.took = []
        self.seconds = 0.0
        self.received = 0
        self.drops = {}
        self._began = time.monotonic()
        self._first = (0, {})
        self._last = (0, {})

    def start(self, received, drops):
        self._began = time.monotonic()
        self._first = (received, drops)

    def age(self):
        return time.monotonic() - self._began

    def answers(self, line):
        """A line that load.py printed."""
        if not line:
            raise ChildProcessError("the client of the lab ended early")
        part = json.loads(line)
        self.good += part["good"]
        self.bad += part["bad"]
        self.took += part["seconds"]

    def stop(self, received, drops):
        self.seconds = self.age()
        self._last = (received, drops)
        self.received = max(received - self._first[0], 0)
        self.drops = {reason: max(count - self._first[1].get(reason, 0), 0) for reason, count in drops.items()}

    def next(self):
        """A new one that begins where this one ended."""
        tally = Tally()
        tally._first = self._last
        return tally

    def add(self, other):
        self.good += other.good
        self.bad += other.bad
        self.took += other.took
        self.seconds += other.seconds
        self.received += other.received
        for reason, count in other.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count

    def answered(self):
        """In percent of the requests that ended, or None."""
        return 100 * self.good / (self.good + self.bad) if self.good + self.bad else None

    def quantile(self, part):
        """Milliseconds, of the requests that were answered, or None."""
        ordered = sorted(self.took)
        return 1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None

    def rate(self, count):
        return count / self.seconds if self.seconds else 0.0
