#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The alert rules and the dashboard of scripts/monitoring: rules by their own tests; then a real Prometheus scrapes a real
bulwarkd, every expression of the dashboard has an answer there, and an alert goes to a real Alertmanager during a flood
and is resolved after it."""

import re
import shutil
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
RULES, DASHBOARD = (os.path.join(ROOT, "scripts/monitoring", name) for name in ("alerts.yaml", "dashboard.json"))
PROMETHEUS, ALERTMANAGER = "127.0.0.1:19090", "127.0.0.1:19093"
POLICY = """
lists:
  bad: { feed: bad.txt }
  inline: { addresses: [46.30.67.0/24] }
block: [bad, inline]
services:
  web: { ports: tcp/443 }
metrics: { listen: "127.0.0.1:10473", connections: true }
"""
CONFIG = f"""
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [quick.yaml]
alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: ["{ALERTMANAGER}"] }} ] }} ] }}
scrape_configs: [ {{ job_name: bulwark, static_configs: [ {{ targets: ["127.0.0.1:10473"] }} ] }} ]
"""
# Metrics that neither the dashboard nor an alert asks for.
LEFT_OUT = {
    "bulwark_confirm_pending": "the time that is left to confirm is shown",
    "bulwark_connection_bytes": "what services pass is shown, connection or not",
    "bulwark_connection_duration_seconds": "how long clients stay is theirs to choose",
    "bulwark_connections_closed": "opened and open are shown",
    "bulwark_feed_bytes": "the prefixes of a list are shown",
}
ROUTE = "route: { receiver: none, group_wait: 0s, group_interval: 1s }\nreceivers: [ { name: none } ]\n"


def expressions(node):
    """Every `expr` of the dashboard."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def as_grafana(expression):
    for name, value in (("$__rate_interval", "10s"), ("$__range", "60s"), ("$instance", ".*")):
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that this test does not know: {expression}"
    return expression


def ask(lab, address, path, **query):
    url = f"http://{address}{path}?{urllib.parse.urlencode(query)}"
    with lab.node:
        done = subprocess.run(["curl", "-s", "-m", "10", url], capture_output=True, check=False)
    return json.loads(done.stdout) if done.stdout.strip().startswith((b"{", b"[")) else None


def answer(lab, expression):
    """The series that Prometheus finds for it."""
    reply = ask(lab, PROMETHEUS, "/api/v1/query", query=expression)
    assert reply and reply["status"] == "success", f"{expression}: {reply}"
    return reply["data"]["result"]


def alerts(lab, name):
    """Those of this name that the Alertmanager holds and that have not ended."""
    reply = ask(lab, ALERTMANAGER, "/api/v2/alerts")
    return [one for one in reply or [] if one["labels"]["alertname"] == name]


def flood_for_ever(lab):
    with lab.attacker.raw("a0") as sender:
        frame = ethernet(lab.eth1.mac, lab.a0.mac, tcp("46.30.67.1", lab.eth1.v4, 4000, 443, SYN))
        while True:
            sender.send(frame)


def try_rules(lab):
    with it("the rules are valid and do what their tests say"):
        shutil.copy(RULES, lab.directory)
        tests = [shutil.copy(os.path.join(ROOT, "tests/netns", name), lab.directory)
                 for name in ("alerts.test.yaml", "alerts-slow.test.yaml")]
        lab.node.run("promtool", "check", "rules", RULES)
        lab.node.run("promtool", "test", "rules", *tests)
    with it("every alert is tested, told and silent"):
        text = ""
        for name in tests:
            with open(name, encoding="utf-8") as tested:
                text += tested.read()
        with open(RULES, encoding="utf-8") as rules:
            names = re.findall(r"alert: (\w+)", rules.read())
        same([name for name in names if f"alertname: {name}\n        exp_alerts:\n" not in text], [], "never told")
    with it("rules and dashboard name only metrics that there are"):
        known = set(re.findall(r"^# TYPE (\w+)", lab.bulwark("metrics", "--names"), re.M))
        with open(RULES, encoding="utf-8") as rules, open(DASHBOARD, encoding="utf-8") as dashboard:
            named = set(re.findall(r"\bbulwark_\w+", rules.read() + " ".join(expressions(json.load(dashboard)))))
        named = {name.removesuffix("_bucket") if name not in known else name for name in named}
        same(named - known, set())
    with it("every metric is on the dashboard or in a rule, or left out for a reason"):
        same({name.removesuffix("_total") for name in known - named}, set(LEFT_OUT))


def quick_rules(lab):
    """The same rules, waiting for seconds: a test does not take a quarter of an hour."""
    with open(RULES, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"for: \w+", "for: 1s", re.sub(r"\[\d+m\]", "[5s]", text)).replace("> 5000", "> 500")
    lab.file("quick.yaml", text)


def try_dashboard(lab):
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    wait(lambda: len(answer(lab, "count_over_time(bulwark_generation[1m]) > 3")), "a few scrapes", 30)
    lab.tcp_sink(lab.node, 4, "0.0.0.0", 443)
    client = connect(lab.client, lab.eth0.v4, 443)
    for panel in dashboard["panels"]:
        with it(f"dashboard, {panel['title']}: every expression has an answer"):
            found = list(expressions(panel))
            assert found, "no expression"
            for expression in found:
                wait(lambda one=expression: answer(lab, as_grafana(one)), f"an answer to {expression}")
    client.close()
    with it("dashboard: its annotations are valid"):
        for expression in expressions(dashboard["annotations"]):
            answer(lab, as_grafana(expression))
    with it("Prometheus scrapes OpenMetrics without losing a series"):
        served = lab.node.run("curl", "-s", "http://127.0.0.1:10473/metrics")
        same(float(answer(lab, "scrape_samples_scraped")[0]["value"][1]),
             float(sum(not line.startswith("#") for line in served.splitlines())))


def try_alert(lab):
    sender = child(flood_for_ever, lab)
    try:
        with it("a flood becomes an alert at the Alertmanager, and so does the attack that it is"):
            wait(lambda: alerts(lab, "BulwarkFlood"), "the alert", 60)
            wait(lambda: alerts(lab, "BulwarkUnderAttack"), "the attack", 60)
    finally:
        stop_child(sender)
    with it("which is resolved when it is over"):
        wait(lambda: not alerts(lab, "BulwarkFlood") and not alerts(lab, "BulwarkUnderAttack"), "the end", 60)
    with it("`down` becomes an alert, too"):
        lab.bulwark("down")
        wait(lambda: alerts(lab, "BulwarkUnprotected"), "the alert", 60)


def tests(lab):
    missing = [name for name in ("promtool", "prometheus", "prometheus-alertmanager") if not shutil.which(name)]
    if missing:
        skip("alert rules and dashboard", f"not installed: {', '.join(missing)}")
        return
    try_rules(lab)
    begin(lab)
    try_dashboard(lab)
    try_alert(lab)


def begin(lab):
    """A policy, bulwarkd, and a Prometheus and an Alertmanager that answer."""
    lab.file("bad.txt", "46.30.66.0/24\n")
    lab.apply(POLICY)
    lab.start(lab.node, BULWARKD, "--foreground", "--log", lab.directory + "/events.jsonl",
              "--syslog", "udp:127.0.0.1:1514", env=lab.environment)
    quick_rules(lab)
    lab.start(lab.node, "prometheus-alertmanager", "--config.file=" + lab.file("route.yaml", ROUTE),
              "--storage.path=" + lab.directory + "/alertmanager", "--web.listen-address=" + ALERTMANAGER,
              "--cluster.listen-address=")
    lab.start(lab.node, "prometheus", "--config.file=" + lab.file("prometheus.yaml", CONFIG),
              "--storage.tsdb.path=" + lab.directory + "/prometheus", "--web.listen-address=" + PROMETHEUS)
    wait(lambda: (ask(lab, PROMETHEUS, "/api/v1/query", query="up") or {}).get("status") == "success", "Prometheus", 60)


if __name__ == "__main__":
    main("monitoring", tests)
