# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Collects what was measured, judges it, and says it: results.json, a table, one line a row while it goes on."""

import copy
import json
import os
import statistics
import sys
import time

import rows

NOISY = 0.10  # the middle half of the rounds, to the median


def noise(values):
    """The width of the middle half of the rounds, as a part of the median."""
    median = statistics.median(values)
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    if not median:
        return 0.0 if high == low else 1.0
    return (high - low) / abs(median)


def figure(value, digits=3):
    """So many digits, and thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def judged_figure(value, missed):
    """missed: the aim that was, else None. Three digits may say that it was met."""
    text = figure(value)
    return figure(value, 4) if missed is not None and text == figure(missed) else text


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cell(point):
    if point is None:
        return ""
    if point["value"] is None:
        return "cannot"
    return figure(point["value"]) + (" ±" if point["noise"] > NOISY else "")


def group_table(group, points):
    """Contenders down, the axis across."""
    axis = sorted({point["x"] for row in points.values() for point in row if point["x"] is not None}) or [None]
    heads = [group.unit if x is None else f"{x:,}" for x in axis]
    lines = ["", f"### {group.title}" + (f", {group.unit} over {group.x}" if group.x else ""), "",
             "| |" + "".join(f" {head} |" for head in heads) + " |", "|---|" + "---|" * (len(axis) + 1)]
    for who, row in points.items():
        at = {point["x"]: point for point in row}
        cells = [cell(at.get(x)) for x in axis]
        notes = "; ".join(dict.fromkeys(point["note"] for point in row if point["note"]))
        lines.append(f"| {who} | " + " | ".join(cells) + f" | {notes} |")
    return lines


class Results:
    def __init__(self, rounds, peers):
        self.rounds = rounds
        self.peers = peers  # name -> version, or why it is missing
        self.rows = {}
        self.points = {}
        self.kept = set()  # groups of an earlier run, until this one has points of its own
        self.began = time.time()
        self.load = os.getloadavg()[0]

    # ---- collecting

    def keep(self, earlier, parts):
        """What an earlier run, as save() wrote it, has measured and these parts do not measure again."""
        again = {row.key for row in rows.ROWS if row.part in parts}
        known = {row.key for row in rows.ROWS}
        self.rows = {entry["key"]: {name: value for name, value in entry.items() if name not in ("key", "section", "what", "unit", "aim")}
                     for entry in earlier["rows"] if entry["state"] == "measured" and entry["key"] in known - again}
        self.points = {group["key"]: group["contenders"] for group in earlier["groups"]}
        self.kept = set(self.points)

    def points_of(self, group, who):
        if group in self.kept:
            self.kept.remove(group)
            self.points[group] = {}
        return self.points.setdefault(group, {}).setdefault(who, [])

    def measured(self, key, values, note=""):
        row = next(row for row in rows.ROWS if row.key == key)
        value = statistics.median(values)
        entry = {"state": "measured", "value": value, "values": values, "noise": noise(values), "rounds": len(values),
                 "note": note}
        if row.aim:
            entry |= {"met": row.aim.met(value), "ratio": row.aim.ratio(value)}
        self.rows[key] = entry
        say(self.line(row))

    def missing(self, key, state, note=""):
        """state: not built, not run, failed, or cannot: a peer that cannot do it."""
        self.rows.setdefault(key, {"state": state, "note": note})

    def point(self, group, who, x, values, note=""):
        """x: where on the axis, None in a contest."""
        self.points_of(group, who).append(
            {"x": x, "value": statistics.median(values), "values": values, "noise": noise(values), "note": note})
        where = "" if x is None else f" at {x:,}"
        say(f"{group}{where}: {who}: {figure(statistics.median(values))} {self.group(group).unit}")

    def cannot(self, group, who, x, why):
        self.points_of(group, who).append({"x": x, "value": None, "note": why})
        say(f"{group}{'' if x is None else f' at {x:,}'}: {who} cannot: {why}")

    def group(self, key):
        return next(group for group in rows.GROUPS if group.key == key)

    def closed(self, failed):
        """A copy in which every row has a state. failed: part -> its words; a part that did not run is not in it."""
        whole = copy.copy(self)
        whole.rows = dict(self.rows)
        for row in rows.ROWS:
            if not row.part:
                whole.missing(row.key, "not built")
            elif row.part in failed:
                whole.missing(row.key, "failed", failed[row.part])
            else:
                whole.missing(row.key, "not run")
        return whole

    # ---- saying

    def verdict(self, row):
        entry = self.rows[row.key]
        if entry["state"] != "measured":
            return entry["state"] + (f": {entry['note']}" if entry["note"] else "")
        if not row.aim:
            return ""
        ratio = "" if entry["ratio"] is None else f" ({entry['ratio']:.2f} of it)"
        return ("met" if entry["met"] else "**not met**") + ratio

    def value(self, row):
        entry = self.rows[row.key]
        if entry["state"] != "measured":
            return "-"
        missed = row.aim.value if row.aim and not entry["met"] else None
        return f"{judged_figure(entry['value'], missed)} {'×' if row.unit == 'x' else row.unit}".strip()

    def spread(self, entry):
        if entry.get("value") is None or len(entry["values"]) < 2:
            return ""
        return f"{figure(min(entry['values']))} to {figure(max(entry['values']))}" + (" ±" if entry["noise"] > NOISY else "")

    def line(self, row):
        entry = self.rows[row.key]
        aim = f", aim {row.aim.text('×' if row.unit == 'x' else row.unit)}: {self.verdict(row)}" if row.aim else ""
        return f"{row.what}: {self.value(row)} ({self.spread(entry)}){aim}"

    def table(self):
        lines = []
        for name in dict.fromkeys(row.section for row in rows.ROWS):
            lines += ["", f"### {name.capitalize()}", "", "| what | measured | rounds from .. to | aim | |", "|---|---|---|---|---|"]
            for row in (row for row in rows.ROWS if row.section == name):
                aim = row.aim.text("×" if row.unit == "x" else row.unit) if row.aim else ""
                lines.append(f"| {row.what} | {self.value(row)} | {self.spread(self.rows[row.key])} | {aim} | {self.verdict(row)} |")
        for group in (group for group in rows.GROUPS if group.key in self.points):
            lines += group_table(group, self.points[group.key])
        return "\n".join(lines).strip() + "\n"

    def heading(self, machine):
        peers = ", ".join(f"{name} {version}" for name, version in self.peers.items()) or "none"
        return (f"# Benchmark\n\n{machine['cpu']}, {machine['cpus']} CPUs{machine['virtual']}, {machine['memory-gib']} GiB, Linux "
                f"{machine['kernel']}, {machine['time']}; load {machine['load-before']:.1f} before, {machine['stolen']:.0%} of the "
                f"CPUs' time stolen. Peers: {peers}.\n\nMedians of "
                f"{self.rounds} rounds, taken in turns with the baseline, on virtual interfaces (veth): no physical network card was "
                f"measured. ± marks what varied by more than {NOISY:.0%} (the middle half of the rounds).\n\n")

    def save(self, path, machine, asked):
        measured = []
        for row in rows.ROWS:
            entry = {"key": row.key, "section": row.section, "what": row.what, "unit": row.unit, **self.rows[row.key]}
            if row.aim:
                entry["aim"] = {"relation": row.aim.relation, "value": row.aim.value, "around": row.aim.around,
                                "text": row.aim.text("×" if row.unit == "x" else row.unit)}
            measured.append(entry)
        groups = [{"key": group.key, "title": group.title, "unit": group.unit, "x": group.x, "better": group.better,
                   "contenders": self.points[group.key]} for group in rows.GROUPS if group.key in self.points]
        whole = {"machine": machine, "asked": asked, "rounds": self.rounds, "noisy-above": NOISY, "peers": self.peers,
                 "seconds": round(time.time() - self.began, 1), "rows": measured, "groups": groups}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(whole, indent=1) + "\n")
        partial.rename(path)
