# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a person sees: a live screen of 80 by 24, or a line a second where there is no terminal; a table at the end."""

import sys
import time

TITLES = {"baseline": "no attack", "bare": "flood, no shield", "shield": "flood, shield on"}
BARS = " ▁▂▃▄▅▆▇█"


def count(value):
    return f"{value:,.0f}" if value else "-"


def percent(value):
    return "-" if value is None else f"{value:.1f} %"


def milliseconds(value):
    return "-" if value is None else f"{value:.1f} ms"


def rows(phases):
    """The table that both views share: a label, and a cell a phase."""
    columns = [phases[name] for name in TITLES]
    yield "answered within 1 s", [percent(tally.answered()) for tally in columns]
    yield "latency, half below", [milliseconds(tally.quantile(0.5)) for tally in columns]
    yield "latency, 99 % below", [milliseconds(tally.quantile(0.99)) for tally in columns]
    yield "packets/s in", [count(tally.rate(tally.received)) for tally in columns]
    yield "packets/s dropped", [count(tally.rate(sum(tally.drops.values()))) for tally in columns]


def table(phases, now=None):
    """Lines of at most 79 columns; the title of the phase that is on is marked."""
    titles = [("»" if name == now else "") + title for name, title in TITLES.items()]
    lines = [" " * 25 + "".join(f"{title:>18}" for title in titles)]
    for label, cells in rows(phases):
        lines.append(f"  {label:<23}" + "".join(f"{cell:>18}" for cell in cells))
    return lines


class View:
    """What both have in common: the summary."""

    phases = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def summary(self, offered, timeout, settle):
        bare, shield = self.phases["bare"], self.phases["shield"]
        print("\n".join(table(self.phases)))
        print("\n  dropped, by reason")
        for reason, packets in sorted(shield.drops.items(), key=lambda item: -item[1]):
            if packets:
                print(f"    {reason:<20}{shield.rate(packets):>14,.0f} packets/s")
        print(f"\n  The attacker sent up to {offered:,} packets a second; a request counts as answered within {timeout:.0f} s;\n"
              f"  the first {settle:.0f} s after each change are left out.\n\n"
              f"  Without the shield {percent(bare.answered())} of the client's requests were answered, with it"
              f" {percent(shield.answered())}.")


class Lines(View):
    """For pipes and logs."""

    def __init__(self):
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:4.0f} s  {text}", flush=True)

    def second(self, name, title, second):
        dropped = ", ".join(f"{reason} {second.rate(packets):,.0f}/s" for reason, packets in second.drops.items() if packets)
        self.say(f"{title}: answered {percent(second.answered())}, p50 {milliseconds(second.quantile(0.5))}, p99 "
                 f"{milliseconds(second.quantile(0.99))}, in {second.rate(second.received):,.0f}/s"
                 + (f", dropped {dropped}" if dropped else ""))

    def summary(self, *numbers):
        print()
        super().summary(*numbers)


class Screen(View):
    WIDTH, HISTORY = 80, 60

    def __init__(self):
        self.began = time.monotonic()
        self.history = []
        self.now = ""
        self.last = None

    def __enter__(self):
        sys.stdout.write("\033[?1049h\033[?25l\033[2J")
        return self

    def __exit__(self, *_):
        self._restore()

    def _restore(self):
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()

    def say(self, text):
        self.now = text
        self._draw("")

    def second(self, name, title, second):
        self.last = second
        self.history.append(second.answered())
        self.history = self.history[-self.HISTORY:]
        self._draw(name)

    def summary(self, *numbers):
        self._restore()
        super().summary(*numbers)
        self._restore = lambda: None

    def _bar(self):
        marks = "".join("·" if value is None else BARS[1 + int(value * 7 / 100)] for value in self.history)
        return f"  answered, second by second  {marks}"

    def _picture(self, name):
        arrows = ">>>" if name in ("bare", "shield") else "   "
        shield = "shield" if name == "shield" else "      "
        rate = f"{self.last.rate(self.last.received):,.0f} packets/s" if self.last else ""
        return [
            "   client ──── HTTPS ───┐",
            f"                        ├── router ─── eth0 [{shield}] node, nginx",
            f"   attacker ─── {arrows} ────┘          {rate:>20}",
        ]

    def _drops(self):
        drops = sorted(self.last.drops.items(), key=lambda item: -item[1])[:6] if self.last else []
        lines = [f"    {reason:<24}{self.last.rate(packets):>16,.0f} packets/s" for reason, packets in drops if packets]
        return ["  dropped now, by reason"] + (lines or ["    -"])

    def _draw(self, name):
        lines = [
            f"  Bulwark: an API node under a flood{time.monotonic() - self.began:>40.0f} s", "",
            *self._picture(name), "",
            *table(self.phases, name), "",
            self._bar(), "", *self._drops(), "",
            f"  {self.now}",
        ]
        sys.stdout.write("\033[H" + "".join(f"{line[:self.WIDTH]}\033[K\n" for line in lines[:23]) + "\033[J")
        sys.stdout.flush()
