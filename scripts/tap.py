# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads what test programs print, for scripts/run-tests and scripts/vm/matrix.

A program speaks TAP (cmocka's dialect too), or says nothing that looks like TAP and is then one test: exit status 0
passed, 77 skipped (the last line is the reason), anything else failed. Nothing passes by accident: a plan that was
not kept, a status that contradicts the lines and a skip without a reason are failures.
"""

import re

PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?$", re.I)
LINE = re.compile(r"^(not ok|ok)\b\s*\d*\s*(?:-\s*)?(.*?)\s*(?:#\s*skip\S*\s*(.*))?$", re.I)


class Outcome:
    def __init__(self, program):
        self.program = program
        self.passed = 0
        self.failed = []  # words, one a failure
        self.skipped = []

    def fail(self, what):
        self.failed.append(f"{self.program}: {what}")

    def skip(self, what, reason):
        if reason:
            self.skipped.append(f"{self.program}: {what}: {reason}" if what else f"{self.program}: {reason}")
        else:
            self.fail(f"{what or 'everything'}: skipped without saying why")


def is_cmocka_skip(name, reason):
    """cmocka 1.1.5 says `not ok 3 # SKIP skipped`, without name or reason."""
    return reason == "skipped" and not name


def read_tap(outcome, output, status):
    planned = None
    seen = 0
    for line in output.splitlines():
        if line.startswith("Bail out!"):
            outcome.fail(line)
            continue
        plan = PLAN.match(line)
        if plan:
            planned = (planned or 0) + int(plan[1])  # a cmocka program may run several groups
            if plan[1] == "0":
                outcome.skip("", plan[2])
            continue
        test = LINE.match(line)
        if not test:
            continue
        seen += 1
        verdict, name, reason = test.groups()
        if reason is not None:
            outcome.skip(f"test {seen}" if is_cmocka_skip(name, reason) else name, reason)
        elif verdict == "ok":
            outcome.passed += 1
        else:
            outcome.fail(name or f"test {seen}")
    if planned is not None and planned != seen:
        outcome.fail(f"planned {planned} tests, ran {seen}")
    if planned is None:
        outcome.fail(f"{seen} tests and no plan: it may have ended early")
    if status != 0 and not outcome.failed:
        outcome.fail(f"status {status}, although no test failed")


def read_plain(outcome, output, status):
    last = output.strip().splitlines()[-1:] or [""]
    if status == 0:
        outcome.passed += 1
    elif status == 77:
        outcome.skip("", last[0])
    else:
        outcome.fail(f"status {status}: {last[0]}")


def read(program, output, status, trouble=None):
    """The outcome of a program that ended with status, or that had trouble (words)."""
    outcome = Outcome(program)
    if trouble:
        outcome.fail(trouble)
    if any(PLAN.match(line) or LINE.match(line) for line in output.splitlines()):
        read_tap(outcome, output, status)
    elif not trouble:
        read_plain(outcome, output, status)
    return outcome


def tell(passed, failed, skipped):
    """Names what failed and what was skipped, then the one line that sums it up. True when all is well."""
    for title, lines in (("skipped", skipped), ("failed", failed)):
        if lines:
            print(f"\n{title}:")
            print("\n".join("  " + line for line in lines))
    if not passed and not failed:
        failed = failed + ["no test passed"]
        print("\nno test passed: that is a failure")
    print(f"\n{passed} passed, {len(failed)} failed, {len(skipped)} skipped", flush=True)
    return not failed
