#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Events on their way to syslog receivers and the journal: each arrives once, whole and well-formed; a receiver that is
slow, dead or late holds nothing up, and what it loses is counted."""

import re
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = 'services:\n  web: { ports: tcp/443 }\nmetrics: { listen: "127.0.0.1:10473" }\nevents: { sample: 1000/s }\n'
RFC5424 = re.compile(rb"^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) bulwarkd \d+ (\S{1,32}) - (\{.*\})$")


def knock(lab, first, count=1, pause=0.012):
    """SYNs to a port that no service has, of one source each; with the pause every one makes an event."""
    with lab.attacker.raw("a0") as sender:
        for i in range(first, first + count):
            source = socket.inet_ntoa(struct.pack("!I", 0x2E100000 + i))
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 9200, SYN)))
            time.sleep(pause)


def receivers(lab):
    """{(receiver, fate): events}, as the metrics say."""
    text = lab.node.run("curl", "-s", "-m", "5", "http://127.0.0.1:10473/metrics", status=None)
    found = {}
    for line in text.splitlines():
        match = re.match(r'bulwark_receiver_events(?:_total|_waiting)\{receiver="([^"]+)"(?:,fate="(\w+)")?\} (\d+)', line)
        if match:
            found[match[1], match[2] or "waiting"] = int(match[3])
    return found


def logged(log):
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def check_message(message, documents):
    match = RFC5424.match(message)
    assert match, message
    document = json.loads(match[5])
    assert match[5].decode() in documents, f"not in the log: {message}"
    same(match[2].decode(), document["@timestamp"])
    same(match[4].decode(), document["event"]["action"])
    same(int(match[1]) >> 3, 3, "facility")
    return document


class Stream:
    """A TCP receiver; takes whole messages (octet counting)."""

    def __init__(self, lab, port):
        self.listener = lab.node.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen()
        self.listener.settimeout(10)
        self.connection, self.bytes, self.messages = None, b"", []

    def take(self):
        if not self.connection:
            self.connection = self.listener.accept()[0]
            self.connection.setblocking(False)
        try:
            self.bytes += self.connection.recv(1 << 20)
        except BlockingIOError:
            pass
        while b" " in self.bytes[:8]:
            size, rest = self.bytes.split(b" ", 1)
            if len(rest) < int(size):
                break
            self.messages.append(rest[:int(size)])
            self.bytes = rest[int(size):]
        return self.messages

    def close(self):
        if self.connection:
            self.connection.close()
        self.listener.close()


def start(lab, log, *options):
    daemon = lab.start(lab.node, BULWARKD, "--foreground", "--log", log, *options, env=lab.environment)
    wait(lambda: receivers(lab), "the metrics of receivers")
    return daemon


def try_udp(lab, log):
    with it("UDP: every event as an RFC 5424 message, the line of the log as its text"):
        with lab.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 1514))
            receiver.settimeout(10)
            daemon = start(lab, log, "--syslog", "udp:127.0.0.1:1514")
            knock(lab, 0, 20)
            messages = []
            while sum(b"packet-dropped" in one for one in messages) < 20:
                messages.append(receiver.recv(65536))
            documents = logged(log)
            for message in messages:
                check_message(message, documents)
            wait(lambda: receivers(lab)["udp:127.0.0.1:1514", "sent"] == len(logged(log)), "all to be sent")
    with it("UDP: a receiver that is gone is counted"):
        knock(lab, 100, 3)
        wait(lambda: receivers(lab)["udp:127.0.0.1:1514", "lost"] > 0, "a loss")
    stop(daemon)
    with it("which the log says"):
        assert any('"events-undelivered"' in line for line in logged(log)), logged(log)[-3:]


def try_tcp(lab, log):
    target = "tcp:127.0.0.1:1601"
    daemon = start(lab, log, "--syslog", target, "--budget", "0")
    with it("TCP: what happened before the receiver came is sent when it comes"):
        knock(lab, 200, 5)
        wait(lambda: receivers(lab)[target, "waiting"] >= 5, "events to wait")
        receiver = Stream(lab, 1601)
        wait(lambda: sum(b"packet-dropped" in one for one in receiver.take()) >= 5, "the events")
    with it("TCP: it goes away and comes back: the rest arrives, every message whole"):
        receiver.close()
        knock(lab, 300, 5)
        time.sleep(0.3)
        receiver = Stream(lab, 1601)
        knock(lab, 400, 50)
        wait(lambda: {f"46.16.{(400 + i) // 256}.{(400 + i) % 256}" for i in range(50)} <=
             {json.loads(RFC5424.match(one)[5]).get("source", {}).get("ip") for one in receiver.take()}, "the events", 20)
        documents = logged(log)
        for message in receiver.messages:
            check_message(message, documents)
    with it("TCP: one that does not read: the log goes on, the queue is bounded, losses are counted"):
        before = len(logged(log))
        for turn in range(40):
            knock(lab, 1000 + 1000 * turn, 1000, 0.0004)
            if receivers(lab)[target, "lost"]:
                break
        found = receivers(lab)
        assert found[target, "lost"] > 0 and found[target, "waiting"] < 3000, found
        assert len(logged(log)) > before + 1000, "the log stands still"
        with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
            assert int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) < 65536, "too large"
    receiver.close()
    stop(daemon)


def try_datagrams(lab, log):
    path, journal = lab.directory + "/log", lab.directory + "/journal"
    daemon = start(lab, log, "--syslog", "unix:" + path, "--syslog", "journal:" + journal)
    with it("a unix socket that comes late gets what waited"):
        knock(lab, 60000, 3)
        wait(lambda: receivers(lab)["unix:" + path, "waiting"] >= 3, "events to wait")
        receivers_of = {}
        for name in (path, journal):
            receivers_of[name] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            receivers_of[name].bind(name)
            receivers_of[name].settimeout(20)
        documents = None
        for _ in range(3):
            message = receivers_of[path].recv(65536)
            documents = logged(log)
            check_message(message, documents)
    with it("the journal gets words for people, and the document in a field"):
        while True:
            fields = dict(line.split(b"=", 1) for line in receivers_of[journal].recv(65536).splitlines())
            assert {b"MESSAGE", b"PRIORITY", b"SYSLOG_IDENTIFIER", b"BULWARK_EVENT"} == set(fields), fields
            document = json.loads(fields[b"BULWARK_EVENT"])
            if document["event"]["action"] == "packet-dropped":
                break
        same(fields[b"MESSAGE"].decode(),
             f'packet-dropped, unexposed: {document["source"]["ip"]} > {document["destination"]["ip"]}')
        same(fields[b"PRIORITY"], b"6")
    for one in receivers_of.values():
        one.close()
    stop(daemon)


def try_words(lab):
    for target in ("udp:localhost:514", "tcp:127.0.0.1", "unix:log", "http://x", "", "udp:127.0.0.1:70000"):
        with it(f"--syslog '{target}' is refused with words"):
            holds(lab.node.run(BULWARKD, "--syslog", target, status=2), "is no receiver")


def tests(lab):
    lab.apply(POLICY)
    for number, part in enumerate((try_udp, try_tcp, try_datagrams)):
        part(lab, f"{lab.directory}/events{number}.jsonl")
    try_words(lab)


main("receivers", tests)
