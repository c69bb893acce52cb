#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the benchmark makes of its figures: verdicts, results.json, plots and the README's block. Nothing is measured here."""

import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import plots  # noqa: E402
import rows  # noqa: E402
from results import Results, noise  # noqa: E402

MACHINE = {"cpu": "A <CPU> & more", "cpus": 2, "virtual": "", "memory-gib": 8, "kernel": "6.1", "load-before": 0.0, "stolen": 0.25, "time": "now"}


def collected(quick=False, million=(190, 200, 201)):
    """Results as of a run: a row met, one missed, one noisy, a peer that cannot, a curve; the rest failed or is not built."""
    results = Results(3, {"nft": "1.0"})
    with contextlib.redirect_stderr(io.StringIO()):
        results.measured("blocked-1k", [40, 41, 42])
        results.measured("blocked-1m", list(million))
        results.measured("flood-1m", [0.5, 0.9, 0.3])
        results.measured("unjudged", [0])
        results.missing("flood-nft", "cannot", "nft <does> not work here")
        results.missing("cookie-reply", "not built")
        results.point("blocked", "bulwark", None, [5.0, 6.0, 5.5])
        results.cannot("blocked", "nft", None, "too & old")
        results.point("lists", "bulwark", 1, [4.0, 4.1, 4.2])
        results.point("lists", "bulwark", 62, [1.0, 2.0, 3.0])
        results.cannot("lists", "peer", 62, "one list only")
    results = results.closed({row.part: "it broke" for row in rows.ROWS if row.part})
    results.save(directory() / "results.json", MACHINE, {"quick": quick, "parts": []})
    return results


def directory():
    return pathlib.Path(room.name)


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def test_aims_are_judged_by_their_relation():
    same([rows.at_most(50).met(value) for value in (49, 50, 51)], [True, True, False])
    same([rows.at_least(0.6).met(value) for value in (0.59, 0.6, 0.61)], [False, True, True])
    same([rows.Aim("within", 0.02, 1.0).met(value) for value in (0.97, 0.99, 1.01, 1.03)], [False, True, True, False])
    same(rows.at_most(0).ratio(3), None)
    same(rows.at_most(50).ratio(100), 2.0)


def test_noise_is_the_middle_half_to_the_median():
    same(noise([10]), 0.0)
    same(noise([100, 100, 100, 100, 900]), 0.0)
    same(noise([80, 90, 100, 110, 120]), 0.2)
    same(noise([0, 0, 0]), 0.0)


def test_every_target_has_one_row_and_every_part_is_a_function():
    parts = (HERE / "parts.py").read_text()
    same(len({row.key for row in rows.ROWS}), len(rows.ROWS))
    same([row.part for row in rows.ROWS if row.part and f"\ndef {row.part}(" not in parts], [])
    same([row.key for row in rows.ROWS if row.part and f'"{row.key}"' not in parts and not family(row.key, parts)], [])


def test_every_group_is_measured_and_no_other():
    text = (HERE / "parts.py").read_text() + (HERE / "curves.py").read_text()
    same([group.key for group in rows.GROUPS if f'"{group.key}"' not in text], [])
    used = set(re.findall(r'(?:point|cannot|report_rates|try_peers)\((?:ground, )?(?:results, )?"([a-z0-9-]+)"', text))
    same(used - {group.key for group in rows.GROUPS}, set())
    assert len(used) >= 10, used


def family(key, parts):
    """Keys that are put together: one of each address family or size, or with -again."""
    pieces = {'f"read-{size}"': "read-", 'f"{family}-': ("v4-", "v6-"), 'f"{key}-again"': "apply-1m-again"}
    return any(piece in parts and key.startswith(start) for piece, start in pieces.items())


def test_the_table_says_met_not_met_noisy_and_why_there_is_nothing():
    table = collected().table()
    for words in ("| 41 ns | 40 to 42 | at most 50 ns | met (0.82 of it) |", "| 200 ns | 190 to 201 | at most 50 ns | **not met** (4.00 of",
                  "| 0.5 × | 0.3 to 0.9 ± |", "cannot: nft <does> not work here |", "| not built |", "failed: it broke |",
                  "| nft | cannot | too & old |", "| bulwark | 5.5 |  |"):
        assert words in table, f"{words} is not in\n{table}"


def test_results_hold_every_row_with_its_state():
    collected()
    saved = json.loads((directory() / "results.json").read_text())
    same([row["key"] for row in saved["rows"]], [row.key for row in rows.ROWS])
    same({row["state"] for row in saved["rows"]}, {"measured", "cannot", "failed", "not built"})
    same(next(row for row in saved["rows"] if row["key"] == "blocked-1m")["met"], False)


def test_what_is_kept_in_the_middle_of_a_run_leaves_the_rest_to_be_measured():
    results = Results(3, {})
    same(results.closed({}).rows["blocked-1k"]["state"], "not run")
    with contextlib.redirect_stderr(io.StringIO()):
        results.measured("blocked-1k", [40, 41, 42])
    same(results.closed({}).rows["blocked-1k"]["value"], 41)


def test_plots_are_well_formed():
    collected()
    whole = json.loads((directory() / "results.json").read_text())
    whole["groups"].append({"key": "curve", "title": "<a curve>", "unit": "ns", "x": "entries", "better": "less", "contenders": {
        "bulwark": [{"x": 1, "value": 3.0, "values": [2.0, 3.0], "noise": 0, "note": ""},
                    {"x": 10**7, "value": 900.0, "values": [900.0], "noise": 0, "note": ""}],
        "peer": [{"x": 1, "value": 3.0, "values": [0.0, 3.0], "noise": 0, "note": ""}, {"x": 10**7, "value": None, "note": "full"}]}})
    (directory() / "results.json").write_text(json.dumps(whole))
    written = plots.draw(directory() / "results.json", directory())
    same(sorted(path.name for path in written), ["aims.svg", "blocked.svg", "curve.svg", "lists.svg"])
    for path in written:
        same(xml.parse(path).getroot().tag, "{http://www.w3.org/2000/svg}svg")


def test_what_an_earlier_run_measured_is_kept_where_nothing_is_measured_again():
    collected()
    earlier = json.loads((directory() / "results.json").read_text())
    results = Results(3, {})
    results.keep(earlier, [row.part for row in rows.ROWS if row.key == "blocked-1k"])
    with contextlib.redirect_stderr(io.StringIO()):
        results.point("lists", "bulwark", 4, [3.0])
        results.point("lists", "bulwark", 16, [2.0])
    same(sorted(results.rows), ["flood-1m", "unjudged"])
    same(results.rows["flood-1m"]["value"], 0.5)
    same([point["x"] for point in results.points["lists"]["bulwark"]], [4, 16])
    same(sorted(results.points["lists"]), ["bulwark"])
    same(results.points["blocked"]["bulwark"][0]["value"], 5.5)
    results.closed({}).save(directory() / "results.json", MACHINE | {"earlier": "long ago"}, {"quick": False, "parts": []})
    kept = json.loads((directory() / "results.json").read_text())
    same([row["aim"]["text"] for row in kept["rows"] if row["key"] == "flood-1m"], ["at least 0.6 ×"])


def readme(text):
    target = directory() / "README.md"
    target.write_text(text)
    done = subprocess.run([HERE / "readme", directory() / "results.json", target], stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr, target.read_text()


BEFORE, AFTER = "one\n<!-- bench: begin -->\n", "<!-- bench: end -->\nthree\n"


def test_the_readme_changes_between_its_marks_only():
    collected()
    status, _, text = readme(BEFORE + "old\n" + AFTER)
    same(status, 0)
    assert text.startswith(BEFORE) and text.endswith(AFTER) and "old\n" not in text
    for words in ("| 200 ns | at most 50 ns | not met |", "Not built: SYN cookie", "physical network card", "25% of its CPUs' time", "| bulwark | 4.1 | 2 ± |  |", "| peer |  | cannot | one list only |"):
        assert words in text, f"{words} is not in\n{text}"
    same(readme(text)[2], text)


def test_the_readme_rounds_no_miss_to_what_was_aimed_at():
    results = collected(million=[50.01, 50.02, 50.03])
    same([results.value(row) for row in rows.ROWS if row.key == "blocked-1m"], ["50.02 ns"])
    text = readme(BEFORE + AFTER)[2]
    assert "| 50.02 ns | at most 50 ns | not met |" in text, text


def test_the_readme_takes_no_quick_run_and_needs_its_marks():
    collected(quick=True)
    status, words, text = readme(BEFORE + AFTER)
    same((status, text), (1, BEFORE + AFTER))
    assert "quick" in words
    collected()
    same(readme("nothing\n")[::2], (1, "nothing\n"))


if __name__ == "__main__":
    tests = [(name, function) for name, function in list(globals().items()) if name.startswith("test_")]
    bad = 0
    print(f"1..{len(tests)}")
    with tempfile.TemporaryDirectory() as made:
        room = type("Room", (), {"name": made})
        for number, (name, function) in enumerate(tests, 1):
            try:
                function()
                print(f"ok {number} - {name[5:].replace('_', ' ')}")
            except Exception:  # noqa: BLE001 - a broken test is a failed one
                bad += 1
                print("# " + traceback.format_exc().replace("\n", "\n# "))
                print(f"not ok {number} - {name[5:].replace('_', ' ')}")
    sys.exit(bool(bad))
