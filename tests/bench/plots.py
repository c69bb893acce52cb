#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Draws results.json as SVG, with nothing but Python: a curve where there is an axis, bars where there is none, and one chart of
all aims. usage: plots.py [RESULTS [DIRECTORY]]"""

import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

WIDTH, ROW, LEFT, TOP = 760, 26, 300, 56
COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#6d597a", "#00798c", "#8d6a4f", "#444444", "#b56576", "#7a9e3f")
STYLE = ("<style>text{font:13px sans-serif;fill:#333}.t{font-size:15px;font-weight:bold}.s{font-size:11px;fill:#666}"
         ".g{stroke:#ddd}.a{stroke:#888}</style>")


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def short(value):
    """1k, 10M: for an axis."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def text(x, y, words, anchor="start", kind=""):
    attributes = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(words)}</text>'


def line(x1, y1, x2, y2, kind="g"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def picture(height, title, parts, below=""):
    parts = [text(16, 26, title, kind="t")] + parts + ([text(16, height - 12, below, kind="s")] if below else [])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">{STYLE}'
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>' + "\n".join(parts) + "</svg>\n")


def whiskers(scale, y, values):
    """The range of the rounds."""
    low, high = (scale(value) for value in (min(values), max(values)))
    return [line(low, y, high, y, "a"), line(low, y - 4, low, y + 4, "a"), line(high, y - 4, high, y + 4, "a")]


def bars(group, below):
    """One bar a contender, the largest first; who cannot is there with the reason."""
    rows = sorted(((who, points[-1]) for who, points in group["contenders"].items()), key=lambda row: -(row[1]["value"] or 0))
    most = max([max(point["values"]) for _, point in rows if point["value"]] or [1])
    parts = []

    def scale(value):
        return LEFT + (WIDTH - LEFT - 90) * value / most
    for at, (who, point) in enumerate(rows):
        y = TOP + at * ROW
        parts.append(text(LEFT - 10, y + 12, who, "end"))
        if point["value"] is None:
            parts.append(text(LEFT, y + 12, f"cannot: {point['note']}"[:70], kind="s"))
            continue
        colour = COLOURS[0] if who.startswith("bulwark") else "#9aa5b1"
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{scale(point["value"]) - LEFT:.1f}" height="16" fill="{colour}"/>')
        parts += whiskers(scale, y + 8, point["values"])
        parts.append(text(scale(max(point["values"])) + 8, y + 12, f"{figure(point['value'])} {group['unit']}"))
    return picture(TOP + len(rows) * ROW + 36, group["title"], parts, below)


def ticks(low, high):
    """Powers of ten from at most low to at least high."""
    return [10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


class Axes:
    """Both logarithmic; the ends of y are powers of ten."""

    left, right, top, bottom = 70, WIDTH - 230, 50, 370

    def __init__(self, xs, ys):
        self.xs = xs
        self.y_ticks = ticks(min(ys), max(ys))
        if len(self.y_ticks) == 1:
            self.y_ticks.append(self.y_ticks[0] * 10)

    def x(self, value):
        low, high = math.log10(max(self.xs[0], 0.5)), math.log10(max(self.xs[-1], 1))
        return self.left + (self.right - self.left) * (math.log10(max(value, 0.5)) - low) / ((high - low) or 1)

    def y(self, value):
        low, high = math.log10(self.y_ticks[0]), math.log10(self.y_ticks[-1])
        return self.bottom - (self.bottom - self.top) * (math.log10(value) - low) / (high - low)

    def draw(self, group):
        parts = []
        for value in self.y_ticks:
            parts += [line(self.left, self.y(value), self.right, self.y(value)),
                      text(self.left - 8, self.y(value) + 4, short(value), "end", "s")]
        for value in self.xs:
            parts += [line(self.x(value), self.top, self.x(value), self.bottom),
                      text(self.x(value), self.bottom + 18, short(value), "middle", "s")]
        parts += [text((self.left + self.right) / 2, self.bottom + 36, group["x"], "middle", "s"),
                  text(self.left, self.top - 8, group["unit"], "middle", "s")]
        return parts


def curve(group, below):
    known = {who: [point for point in points if point["value"] and point["value"] > 0] for who, points in
             group["contenders"].items()}
    xs = sorted({point["x"] for points in group["contenders"].values() for point in points})
    ys = [value for points in known.values() for point in points for value in point["values"] if value > 0]
    if not ys:
        return None
    axes = Axes(xs, ys)
    parts = axes.draw(group)
    for at, (who, points) in enumerate(known.items()):
        colour, y = COLOURS[at % len(COLOURS)], axes.top + 12 + at * 34
        parts.append(f'<rect x="{axes.right + 16}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(axes.right + 32, y, who))
        missing = [point for point in group["contenders"][who] if point["value"] is None]
        if missing:
            parts.append(text(axes.right + 32, y + 14, f"cannot: {', '.join(short(point['x']) for point in missing)}", kind="s"))
        path = " ".join(f"{axes.x(point['x']):.1f},{axes.y(point['value']):.1f}" for point in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x = axes.x(point["x"])
            low, high = (axes.y(max(value, axes.y_ticks[0])) for value in (min(point["values"]), max(point["values"])))
            parts.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{axes.y(point["value"]):.1f}" r="3.5" fill="{colour}"/>')
    height = max(440, axes.top + 34 * len(known) + 60)
    return picture(height, group["title"], parts, below)


def aims(results, below):
    """How far each row is from its aim: to the right of the line is better."""
    rows = [row for row in results["rows"] if row["state"] == "measured" and row.get("aim", {}).get("relation") in
            ("at most", "at least") and row.get("ratio")]
    parts, middle, half = [], LEFT + 225, 120

    def scale(factor):
        return middle + half * max(-1.0, min(1.0, math.log10(factor)))
    for at, row in enumerate(rows):
        ratio = max(row["ratio"], 0.1) if row["aim"]["relation"] == "at least" else 1 / max(row["ratio"], 0.1)
        y, x = TOP + 10 + at * ROW, scale(ratio)
        colour = "#66a182" if row["met"] else "#d1495b"
        parts.append(text(LEFT + 90, y + 12, row["what"] if len(row["what"]) < 58 else row["what"][:56] + "…", "end", "s"))
        parts.append(f'<rect x="{min(x, middle):.1f}" y="{y}" width="{abs(x - middle):.1f}" height="16" fill="{colour}"/>')
        parts.append(text(WIDTH - 14, y + 12, f"{figure(row['value'])} / {row['aim']['value']:g} {'×' if row['unit'] == 'x' else row['unit']}",
                          "end", "s"))
    bottom = TOP + 10 + len(rows) * ROW
    for factor, words in ((0.1, "10 × worse"), (1, "the aim"), (10, "10 × better")):
        parts += [line(scale(factor), TOP, scale(factor), bottom, "a" if factor == 1 else "g"),
                  text(scale(factor), TOP - 6, words, "middle", "s")]
    return picture(bottom + 36, "Measured and aimed at", parts, below)


def draw(path, directory):
    """The files that were written."""
    results = json.loads(path.read_text())
    machine, written = results["machine"], {}
    below = (f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, {machine['time']}; veth, medians of "
             f"{results['rounds']} rounds with their range")
    for group in results["groups"]:
        written[group["key"]] = curve(group, below) if group["x"] else bars(group, below)
    if any(row["state"] == "measured" for row in results["rows"]):
        written["aims"] = aims(results, below)
    written = {name: svg for name, svg in written.items() if svg}
    for name, svg in written.items():
        (directory / f"{name}.svg").write_text(svg)
    return [directory / f"{name}.svg" for name in written]


if __name__ == "__main__":
    source = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench/results.json")
    for file in draw(source, pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else source.parent):
        print(file)
