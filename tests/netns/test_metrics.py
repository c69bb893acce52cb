#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Metrics as bulwarkd serves them and `bulwark metrics` prints them: the numbers of the kernel, valid in both formats,
as many series under a flood as before it; a server that malformed requests and idle connections do not hurt."""

import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
lists:
  bad: { addresses: [46.30.66.0/24, "2a01:66::/48"] }
  odd: { addresses: [45.99.0.0/16] }
block: [bad]
services:
  web: { ports: tcp/443 }
  api: { ports: tcp/8443, allow: [odd] }
metrics: { listen: "%s" }
"""
HERE, THERE = "127.0.0.1:10473", "[::1]:10474"
OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
RESIDENT_KIB = 64 * 1024


class Answer:
    """What a server says to these bytes."""

    def __init__(self, lab, request, port=10473):
        with lab.node.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            raw = b""
            while True:
                try:
                    piece = client.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                raw += piece
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.head = head.decode(errors="replace")
        self.status = int(self.head.split()[1]) if self.head else 0


def get(lab, path="/metrics", accept="*/*", method="GET", port=10473):
    return Answer(lab, f"{method} {path} HTTP/1.1\r\nHost: here\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode(),
                  port)


SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')


def parse(text):
    """{(name, label="value",...): value}; every line is a comment or a sample, no series stands there twice."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"no sample: {line}"
        key = match[1], match[2] or ""
        assert key not in found, f"twice: {line}"
        found[key] = float(match[3])
    return found


def scrape(lab, **more):
    answer = get(lab, **more)
    same(answer.status, 200)
    return parse(answer.body.decode())


def value(series, name, **labels):
    return series[name, ",".join(f'{key}="{word}"' for key, word in labels.items())]


def serving(lab, port=10473):
    try:
        return get(lab, port=port).status == 200
    except OSError:
        return False


def promtool(text):
    return subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)


def flood(lab, count, dport=9200):
    with lab.attacker.raw("a0") as sender:
        for i in range(count):
            source = socket.inet_ntoa(struct.pack("!I", 0x2E1F0000 + i))
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 1024 + i % 60000, dport, SYN)))


def resident_kib(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


def processor_ms(process):
    """Waiting for a processor that others use is not counted."""
    with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e6


def try_numbers(lab, daemon):
    with it("the policy says where, and it is served there"):
        wait(lambda: serving(lab), "the metrics")
        holds(get(lab, "/").body.decode(), "/metrics")
    with it("the counters are those of status"):
        flood(lab, 300)
        with lab.attacker.raw("a0") as sender:
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp("46.30.66.9", lab.eth1.v4, 4000, 443, SYN)))
        wait(lambda: lab.counts().get(("drop", "unexposed")) == 300, "the drops")
        time.sleep(0.25)  # texts are kept so long
        series = scrape(lab)
        same(value(series, "bulwark_packets_total", interface="eth1", verdict="drop", reason="unexposed"), 300)
        same(value(series, "bulwark_bytes_total", interface="eth1", verdict="drop", reason="unexposed"), 300 * 54)
        same(value(series, "bulwark_packets_total", interface="eth1", verdict="drop", reason="blocked"), 1)
        same(value(series, "bulwark_packets_total", interface="eth0", verdict="drop", reason="unexposed"), 0)
        same(value(series, "bulwark_service_packets_total", service="web", verdict="drop"), 0)
        same(value(series, "bulwark_list_prefixes", list="bad", family="ipv6"), 1)
        same([value(series, "bulwark_interface_attached", interface=name, mode="native") for name in ("eth0", "eth1")],
             [1, 1])
        same((value(series, "bulwark_protected"), value(series, "bulwark_generation")), (1, lab.status()["generation"]))
    with it("bans and exceptions are counted, expired ones not"):
        lab.bulwark("ban", "46.30.9.0/24", "--for", "1h")
        lab.bulwark("ban", "46.30.10.1", "--for", "1s")
        lab.bulwark("allow", "45.33.1.9", "--for", "1h", "--reason", "a test")
        wait(lambda: (value(scrape(lab), "bulwark_bans"), value(scrape(lab), "bulwark_allows")) == (1, 1),
             "one ban, one exception", 5)
    with it("a policy whose own tests fail is refused, and counted"):
        lab.apply(POLICY % HERE + '\ntests:\n  - { packet: "tcp 45.33.1.5:4000 > 192.0.2.10:443 syn", expect: drop }\n',
                  status=1)
        wait(lambda: value(scrape(lab), "bulwark_policy_tests_failed") == 1, "the metric")
        same(value(scrape(lab), "bulwark_policy_changes_total", action="refused"), 1)
    with it("pause and monitor show"):
        lab.bulwark("pause", "--for", "1h")
        time.sleep(0.25)
        series = scrape(lab)
        same([value(series, "bulwark_" + name) for name in ("protected", "paused", "monitor")], [0, 1, 0])
        lab.bulwark("resume")
    with it("bulwark metrics prints the same series, with the daemon and without"):
        wait(lambda: set(scrape(lab)) == set(parse(lab.bulwark("metrics"))), "the same series")
    with it("OpenMetrics where the client prefers it, with the same values"):
        answer = get(lab, accept=OPEN)
        holds(answer.head, "application/openmetrics-text; version=1.0.0")
        assert answer.body.endswith(b"# EOF\n"), answer.body[-200:]
        same(set(parse(answer.body.decode())), set(scrape(lab)))
        holds(get(lab).head, "text/plain; version=0.0.4")
        same(parse(lab.bulwark("metrics", "--openmetrics")).keys(), scrape(lab).keys())
    with it("as many series after 20,000 new sources, and the daemon no larger than promised"):
        before = set(scrape(lab))
        flood(lab, 20000)
        time.sleep(1.2)
        same(set(scrape(lab)), before)
        assert resident_kib(daemon) < RESIDENT_KIB, f"{resident_kib(daemon)} KiB"
    if shutil.which("promtool"):
        with it("promtool finds nothing to say"):
            done = promtool(get(lab).body)
            same((done.returncode, done.stdout + done.stderr), (0, b""))
        with it("promtool would find something (a name without its unit)"):
            assert promtool(b"# TYPE bulwark_x counter\nbulwark_x 1\n").returncode, "nothing found"
    else:
        skip("promtool finds nothing to say", "no promtool here (package prometheus)")
    with it("a scrape takes at most 20 ms of the processor"):
        times = []
        for _ in range(10):
            time.sleep(0.25)
            start = processor_ms(daemon)
            get(lab)
            times.append(processor_ms(daemon) - start)
        print(f"# {sorted(times)} ms")
        assert min(times) <= 20, f"{sorted(times)} ms"


def try_bad_requests(lab, daemon):
    rows = [
        ("a path that is not there", b"GET /metrics/../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        ("a method that changes", b"DELETE /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
        ("a body", b"POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("a header larger than a request may be", b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", None),
        ("binary", bytes(range(256)) * 40 + b"\r\n\r\n", None),
        ("TLS", bytes.fromhex("160301020001000100") + b"\0" * 300 + b"\r\n\r\n", None),
        ("a length that lies", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\nConnection: close\r\n\r\n", None),
        ("no host", b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    ]
    for words, request, wanted in rows:
        with it(f"malformed HTTP: {words}"):
            status = Answer(lab, request).status
            assert status == wanted if wanted else not 200 <= status < 300, f"status {status}"
            assert serving(lab) and daemon.poll() is None, "the server is gone"


def try_idle(lab, daemon, log):
    with it("10,000 idle connections: bounded, the log goes on meanwhile, and they end"):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12000), hard))
        idle = []
        try:
            for _ in range(10000):
                one = lab.node.socket(socket.AF_INET, socket.SOCK_STREAM)
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", 10473))
                idle.append(one)
            descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
            assert descriptors < 150, f"{descriptors} descriptors"
            with lab.attacker.raw("a0") as sender:
                sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp("46.30.66.77", lab.eth1.v4, 4000, 443, SYN)))
            wait(lambda: "46.30.66.77" in open(log, encoding="utf-8").read(), "the event")
            assert resident_kib(daemon) < RESIDENT_KIB, f"{resident_kib(daemon)} KiB"
        finally:
            for one in idle:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait(lambda: serving(lab), "a scrape")


def refusals(lab):
    """How often the daemon said that it cannot serve."""
    with open(lab.directory + "/bulwarkd.log", encoding="utf-8") as log:
        return log.read().count("metrics cannot be served")


def try_moves(lab, daemon):
    with it("another policy, another place: IPv6 too"):
        lab.apply(POLICY % THERE)
        wait(lambda: "bulwark_protected 1" in lab.node.run("curl", "-s", f"http://{THERE}/metrics", status=None),
             "the new place")
        wait(lambda: not serving(lab), "the old one to end")
    with it("a place that is taken is told once, and served when it is free"):
        with lab.node.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", 10473))
            other.listen()
            told = refusals(lab)
            lab.apply(POLICY % HERE)
            wait(lambda: refusals(lab) > told, "the words")
        wait(lambda: serving(lab), "the metrics")
        same(refusals(lab), told + 1)
    with it("after `down` it is served on, and says that nothing protects"):
        lab.bulwark("down")
        wait(lambda: value(scrape(lab), "bulwark_protected") == value(scrape(lab), "bulwark_generation") == 0, "zeros")
        same(value(parse(lab.bulwark("metrics")), "bulwark_protected"), 0)
    with it("and after a restart of the daemon, too"):
        stop(daemon)
        assert not serving(lab), "still served"
        start_daemon(lab, lab.directory + "/events.jsonl")
        wait(lambda: serving(lab), "the metrics")
    with it("a policy without `metrics` ends it"):
        lab.apply((POLICY % HERE).replace("metrics:", "#"))
        wait(lambda: not serving(lab), "the end")


def certificate(lab, name):
    """cert.pem and key.pem, of NAME."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-keyout", lab.directory + "/key.pem", "-out", lab.directory + "/cert.pem", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    os.chmod(lab.directory + "/key.pem", 0o600)


def secured(lab, *options, status=0):
    """What curl gets over TLS, and the status of the answer."""
    text = lab.node.run("curl", "-s", "-m", "5", "--cacert", lab.directory + "/cert.pem", "-w", "\n%{http_code}", *options,
                        f"https://{HERE}/metrics", status=status)
    return text.rpartition("\n")[0], text.rpartition("\n")[2]


def try_secured(lab, daemon):
    token = "0123456789abcdef"
    certificate(lab, "first")
    lab.file("token", token + "\n")
    os.chmod(lab.directory + "/token", 0o600)
    bearer = ["-H", "Authorization: Bearer " + token]
    lab.apply(POLICY.replace('"%s"', f'"{HERE}", tls: {{ cert: cert.pem, key: key.pem }}, token-file: token'))
    with it("TLS and a token: who has both is answered"):
        wait(lambda: secured(lab, *bearer, status=None)[1] == "200", "the metrics")
        holds(secured(lab, *bearer)[0], "bulwark_protected 1")
    rows = [("none", []), ("a shorter one", ["-H", "Authorization: Bearer " + token[:-1]]),
            ("a longer one", ["-H", f"Authorization: Bearer {token}0"]),
            ("another one", ["-H", "Authorization: Bearer " + token[::-1]]),
            ("one as a password", ["-u", "a:" + token]), ("an empty one", ["-H", "Authorization: Bearer "]),
            ("a very long one", ["-H", "Authorization: Bearer " + token * 100])]
    for name, options in rows:
        with it(f"a token is asked for: {name} is refused"):
            text, status = secured(lab, *options)
            same((status, "bulwark_" in text), ("401", False))
    with it("clear text is not answered, nor older TLS"):
        assert not serving(lab), "clear text"
        same(secured(lab, *bearer, "--tls-max", "1.1", status=None)[1], "000")
    with it("SIGHUP: a new certificate and a new token; the old ones are over"):
        certificate(lab, "second")
        lab.file("token", "f" * 40)
        daemon.send_signal(signal.SIGHUP)
        bearer[1] = "Authorization: Bearer " + "f" * 40
        wait(lambda: secured(lab, *bearer, status=None)[1] == "200", "the new token")
        same(secured(lab, "-H", "Authorization: Bearer " + token)[1], "401")
    bad = [("a token that is too short", "token", "short\n", 0o600, "not one line of 16 to 255"),
           ("a token that everybody may read", "token", "f" * 40, 0o644, "can be read by everybody"),
           ("a key that is none", "key.pem", "key", 0o600, "")]
    for name, path, text, mode, why in bad:
        with it(f"{name}: nothing is served, that is told, and a repair is taken by itself"):
            with open(f"{lab.directory}/{path}", encoding="ascii") as file:
                good = file.read()
            lab.file(path, text)
            os.chmod(f"{lab.directory}/{path}", mode)
            told = refusals(lab)
            daemon.send_signal(signal.SIGHUP)
            wait(lambda: refusals(lab) > told, "the words")
            with open(lab.directory + "/bulwarkd.log", encoding="utf-8") as log:
                holds(log.read().splitlines()[-1], "metrics cannot be served at " + HERE, why)
            same(secured(lab, *bearer, status=None)[1], "000")
            lab.file(path, good)
            os.chmod(f"{lab.directory}/{path}", 0o600)
            wait(lambda: secured(lab, *bearer, status=None)[1] == "200", "the metrics", 30)
    with it("after `down` and a restart it still asks for the token"):
        lab.bulwark("down")
        stop(daemon)
        daemon = start_daemon(lab, lab.directory + "/events.jsonl")
        wait(lambda: secured(lab, *bearer, status=None)[1] == "200", "the metrics", 30)
        same(secured(lab)[1], "401")
    lab.apply(POLICY % HERE)
    wait(lambda: serving(lab), "clear text again")
    return daemon


def start_daemon(lab, log):
    return lab.start(lab.node, BULWARKD, "--foreground", "--log", log, env=lab.environment)


def tests(lab):
    log = lab.directory + "/events.jsonl"
    lab.apply(POLICY % HERE)
    daemon = start_daemon(lab, log)
    try_numbers(lab, daemon)
    try_bad_requests(lab, daemon)
    try_idle(lab, daemon, log)
    daemon = try_secured(lab, daemon)
    try_moves(lab, daemon)


main("metrics", tests)
