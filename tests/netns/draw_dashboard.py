#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The picture of the README: tests/netns/draw_dashboard.py scripts/monitoring/dashboard.svg

Grafana is in no distribution we build on, so this draws what it would show: the first panels of dashboard.json, where they
stand there, with their own titles, units, thresholds and expressions, from the answers of a real Prometheus that scraped a
real bulwarkd while a real flood came. Tables and further panels are left out."""

import html
import sys

sys.dont_write_bytecode = True
from test_monitoring import *  # noqa: E402,F403

COLUMN, ROW, SHOWN_ROWS, BEFORE, DURING, AFTER = 40, 26, 20, 15, 30, 15  # pixels; rows of the grid; seconds
COLORS = ["#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9"]
NAMED = {"red": "#c4162a", "green": "#37872d", "yellow": "#c99700", "orange": "#d9730d", "blue": "#1f60c4"}
SCALES = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
SUFFIX = {"pps": " p/s", "bps": " b/s", "s": " s", "cps": " c/s", "ops": " /s"}


def number(value, unit):
    size, letter = next(((size, letter) for size, letter in SCALES if abs(value) >= size), (1, ""))
    return f"{value / size:.3g}{letter}{SUFFIX.get(unit, '')}"


def prepared(expression):
    return expression.replace("$__rate_interval", "5s").replace("$__range", "60s").replace("$instance", ".*")


def legend(target, labels):
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), target.get("legendFormat") or "") or "value"


def text(x, y, words, size=11, color="#ccccdc", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}">{html.escape(words)}</text>'


def stat(lab, panel, box, at):
    """The value at that time, on the colour that its mapping or threshold says."""
    x, y, width, height = box
    reply = ask(lab, PROMETHEUS, "/api/v1/query", query=prepared(panel["targets"][0]["expr"]), time=at)
    value = float(reply["data"]["result"][0]["value"][1])
    defaults = panel["fieldConfig"]["defaults"]
    color = [step["color"] for step in defaults["thresholds"]["steps"] if value >= (step["value"] or 0)][-1]
    words = number(value, defaults["unit"])
    for mapping in defaults.get("mappings", []):
        found = mapping["options"].get(f"{value:g}")
        if found:
            words, color = found["text"], found["color"]
    return [f'<rect x="{x}" y="{y + 22}" width="{width}" height="{height - 22}" fill="{NAMED[color]}"/>',
            text(x + width / 2, y + 22 + (height - 22) / 2 + 9, words, 24, "#ffffff", "middle")]


def curves(lab, panel, first, last):
    """[(legend, [(time, value)])] of its expressions."""
    found = []
    for target in panel["targets"]:
        reply = ask(lab, PROMETHEUS, "/api/v1/query_range", query=prepared(target["expr"]), start=first, end=last, step=1)
        for series in reply["data"]["result"]:
            points = [(float(at), float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf")]
            found.append((legend(target, series["metric"]), points))
    return found


def graph(lab, panel, box, first, last):
    x, y, width, height = box
    unit, drawn = panel["fieldConfig"]["defaults"]["unit"], curves(lab, panel, first, last)
    left, top, right, bottom = x + 62, y + 30, x + width - 8, y + height - 40
    most = max((value for _, points in drawn for _, value in points), default=0) or 1
    out = []
    for part in (0, 0.5, 1):
        level = bottom - part * (bottom - top)
        out += [f'<path d="M{left:.0f} {level:.0f}H{right:.0f}" stroke="#2c3235"/>',
                text(left - 5, level + 4, number(most * part, unit), 10, "#8e8e9d", "end")]
    for part in (0, 15, 30, 45, 60):
        out.append(text(left + (right - left) * part / (last - first), bottom + 13, f"{part} s", 9, "#8e8e9d", "middle"))
    at = x + 8
    for i, (name, points) in enumerate(drawn[:len(COLORS)]):
        path = " ".join(f"{left + (right - left) * (when - first) / (last - first):.0f},"
                        f"{bottom - (bottom - top) * value / most:.1f}" for when, value in points)
        out += [f'<polyline points="{path}" fill="none" stroke="{COLORS[i]}" stroke-width="1.5"/>',
                f'<rect x="{at:.0f}" y="{y + height - 17}" width="10" height="3" fill="{COLORS[i]}"/>',
                text(at + 13, y + height - 12, name, 9)]
        at += 20 + 4.9 * len(name)
    return out


def draw(lab, first, last, path):
    with open(DASHBOARD, encoding="utf-8") as file:
        panels = [panel for panel in json.load(file)["panels"] if panel["gridPos"]["y"] < SHOWN_ROWS]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {bottom}" font-family="sans-serif">',
           f'<rect width="{24 * COLUMN}" height="{bottom}" fill="#111217"/>']
    for panel in panels:
        place = panel["gridPos"]
        box = (place["x"] * COLUMN + 3, place["y"] * ROW + 3, place["w"] * COLUMN - 6, place["h"] * ROW - 6)
        out += [f'<rect x="{box[0]}" y="{box[1]}" width="{box[2]}" height="{box[3]}" fill="#181b1f" stroke="#2c3235"/>',
                text(box[0] + 8, box[1] + 15, panel["title"], 12)]
        if panel["type"] == "stat":
            out += stat(lab, panel, box, first + BEFORE + DURING - 3)
        elif panel["type"] == "timeseries":
            out += graph(lab, panel, box, first, last)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out + ["</svg>", ""]))


def traffic(lab, seconds):
    """Clients of the service, one after the other."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with connect(lab.client, lab.eth0.v4, 443) as client:
            client.recv(100)
        time.sleep(0.02)


def flood(lab):
    """Blocked sources, closed ports, and flags that no stack sends."""
    mac = lab.eth1.mac, lab.a0.mac
    frames = [ethernet(*mac, tcp("46.30.67.1", lab.eth1.v4, 4000, 443, SYN)),
              ethernet(*mac, tcp("46.30.9.9", lab.eth1.v4, 4000, 9200, SYN)),
              ethernet(*mac, tcp("46.30.9.10", lab.eth1.v4, 4000, 443, SYN | FIN))]
    with lab.attacker.raw("a0") as sender:
        while True:
            for frame in frames:
                sender.send(frame)


def picture(lab):
    begin(lab)
    lab.tcp_sink(lab.node, 4, "0.0.0.0", 443)
    wait(lambda: answer(lab, "count_over_time(bulwark_generation[1m]) > 8"), "some scrapes", 60)
    first = time.time()
    traffic(lab, BEFORE)
    sender = child(flood, lab)
    traffic(lab, DURING)
    stop_child(sender)
    traffic(lab, AFTER)
    draw(lab, first, first + BEFORE + DURING + AFTER, sys.argv[1])


main("picture", picture)
