#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`idle-request`: connections that stay open and send next to nothing are ended, while a thousand that are slow and
honest, those that are idle between requests and those whose service takes its time go on."""

import contextlib
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: native
lists:
  carriers: {{ addresses: [10.77.0.0/24] }}
  office:   {{ addresses: [{office}] }}
trusted: [office]
services:
  web:      {{ ports: tcp/80, limits: [ {{ idle-request: 5s }} ] }}
  watched:  {{ ports: tcp/81, limits: [ {{ idle-request: 5s, monitor: true }} ] }}
  greets:   {{ ports: tcp/82, limits: [ {{ idle-request: 5s }} ] }}
  patient:  {{ ports: tcp/83, limits: [ {{ idle-request: 1h }} ] }}
  excepted: {{ ports: tcp/84, limits: [ {{ idle-request: 5s, for: [carriers] }} ] }}
  tls:      {{ ports: tcp/443, limits: [ {{ idle-request: 5s }} ], tls: {{ sni: [api.example.com] }} }}
"""
PORTS = (80, 81, 82, 83, 84, 443)
HONEST, SLOW, OTHERS = 1000, 60, 10
LATE = 6  # s: a service that takes its time, longer than `idle-request`


class Service:
    """Reads all that comes, and answers a request, which ends with an empty line; one that begins with `late` late."""

    def __init__(self, lab):
        self.selector, self.late, self.lab = selectors.DefaultSelector(), [], lab
        for port in PORTS:
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                server = lab.node.socket(family, socket.SOCK_STREAM)
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind((address, port))
                server.listen(4096)
                self.selector.register(server, selectors.EVENT_READ, port)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            for key, _ in self.selector.select(0.1):
                if isinstance(key.data, int):
                    connection, _ = key.fileobj.accept()
                    if key.data == 82:
                        connection.sendall(b"greetings\n")
                    self.selector.register(connection, selectors.EVENT_READ, bytearray())
                else:
                    self.read(key.fileobj, key.data)
            while self.late and self.late[0][0] < time.monotonic():
                with contextlib.suppress(OSError):
                    self.late.pop(0)[1].sendall(b"at last\n")

    def read(self, connection, request):
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            connection.close()
            return
        request += data
        if not request.endswith(b"\n\n"):
            return
        if request.startswith(b"late"):
            self.late.append((time.monotonic() + LATE, connection))
        else:
            connection.sendall(b"here you are\n")
        request.clear()


class Clients:
    """So many connections that send the same again and again."""

    def __init__(self, namespace, address, port, number, first=b"", again=b"", source=""):
        self.again, self.ended, self.again_at = again, 0, time.monotonic() + 1
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.open = [namespace.socket(family, socket.SOCK_STREAM) for _ in range(number)]
        for one in self.open:
            one.settimeout(5)
            one.bind((source, 0))
            one.connect((address, port))
            one.sendall(first)
            one.setblocking(False)

    def go_on(self):
        """Sends once a second; counts those that were ended."""
        send = self.again and time.monotonic() >= self.again_at
        self.again_at += 1 if send else 0
        for one in list(self.open):
            try:
                if send:
                    one.sendall(self.again)
                if one.recv(100) == b"":
                    raise OSError
            except BlockingIOError:
                pass
            except OSError:
                self.open.remove(one)
                one.close()
                self.ended += 1

    def asks(self):
        """Whether each of them still gets an answer."""
        for one in self.open:
            one.settimeout(5)
            one.sendall(b"again\n\n")
            if b"here you are" not in one.recv(100):
                return False
        return True

    def close(self):
        for one in self.open:
            one.close()


def answered(clients, words):
    for one in clients.open:
        one.settimeout(10)
        if words not in one.recv(100):
            return False
    return True


def neighbours(lab):
    """Two more addresses of the client."""
    net = lab.c0.v4.rpartition(".")[0]
    return net + ".77", net + ".78"


def start_daemon(lab):
    return lab.start(lab.node, BULWARKD, "--foreground", "--pin-dir", lab.pins, "--state-dir", lab.state)


def until(everybody, condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        for clients in everybody:
            clients.go_on()
        time.sleep(0.05)


def try_crowd(lab):
    me4, me6, from4, from6 = lab.eth0.v4, lab.eth0.v6, lab.eth1.v4, lab.eth1.v6
    client, attacker = lab.client, lab.attacker
    began = time.monotonic()
    keep = Clients(client, me4, 80, OTHERS, b"GET\n\n")
    late = Clients(client, me6, 80, OTHERS, b"late\n\n")
    greeted = Clients(client, me4, 82, OTHERS)
    patient = Clients(client, me4, 83, OTHERS, b"GET", b"x")
    excepted = Clients(attacker, from4, 84, OTHERS, b"GET", b"x")
    spared = [Clients(client, me4, 80, OTHERS, source=address) for address in neighbours(lab)]
    with it("IPv4, IPv6: clients that are slow and honest come"):
        honest = [Clients(client, me4, 80, HONEST // 2, b"POST\n", b"x" * 1023 + b"\n"),
                  Clients(client, me6, 80, HONEST // 2, b"POST\n", b"x" * 1023 + b"\n")]
        same(sum(len(clients.open) for clients in honest), HONEST)
    slow = [Clients(attacker, from4, 80, SLOW // 3, b"GET / HTTP/1.1\r\n", b"X-a: 1\r\n"),
            Clients(attacker, from6, 80, SLOW // 3, b"GET / HTTP/1.1\r\n", b"X-a: 1\r\n"),
            Clients(attacker, from6, 80, SLOW // 3)]  # not a byte
    hello = Clients(attacker, from4, 443, OTHERS, b"\x16\x03\x01\x02\x00\x01")
    watched = Clients(attacker, from4, 81, OTHERS, b"GET", b"x")
    everybody = [*honest, *slow, *spared, keep, greeted, patient, excepted, hello, watched]
    with it("IPv4, IPv6: those that send next to nothing, or nothing, are ended"):
        until(everybody, lambda: not any(clients.open for clients in slow), "the slow ones to be ended")
        same([clients.ended for clients in slow], [SLOW // 3] * 3)
    with it("so is who begins a ClientHello and never completes it"):
        until(everybody, lambda: not hello.open, "them to be ended")
    with it("the honest ones live"):
        until(everybody, lambda: time.monotonic() > began + LATE + 2, "the time")
        same([clients.ended for clients in honest], [0, 0])
    with it("so do those that are idle between requests, and they are answered"):
        same((keep.ended, len(keep.open)), (0, OTHERS))
        assert keep.asks(), "no answer"
    with it("and those whose service takes its time"):
        assert answered(late, b"at last"), "no answer"
    with it("and those that a service has greeted, those of a longer limit, and those that it is not for"):
        same((greeted.ended, patient.ended, excepted.ended), (0, 0, 0))
    with it("and those of trusted sources and of those that are excepted"):
        same([clients.ended for clients in spared], [0, 0])
    with it("a limit that only monitors counts each of them once"):
        until(everybody, lambda: lab.counts().get(("would-drop", "idle-request"), 0) >= OTHERS, "the counts")
        same((watched.ended, lab.counts()[("would-drop", "idle-request")]), (0, OTHERS))
    with it("each that was ended is counted, and some are told"):
        same(lab.counts()[("drop", "idle-request")], SLOW + OTHERS)
        told = lab.bulwark("log", "--reason", "idle-request")
        holds(told, lab.a0.v4, lab.a0.v6, "idle-request")
        assert len(told.splitlines()) < 20, "every single one was told"
        for one in events(lab, "packet-dropped"):
            service = {80: "web", 443: "tls"}[one["destination"]["port"]]
            same((one["event"]["reason"], one["service"]["name"], one["rule"]["name"], one["network"]["direction"], one["bulwark"]["hook"]),
                 ("idle-request", service, service, "inbound", "sockops"))
    with it("metrics and status say how many are followed"):
        text = lab.bulwark("metrics")
        holds(text, 'bulwark_senders_beyond 0')
        ended = sum(int(line.split()[1]) for line in text.splitlines()
                    if line.startswith("bulwark_packets_total{") and 'verdict="drop",reason="idle-request"' in line)
        same(ended, SLOW + OTHERS, "the metric of what was ended")
        followed = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("bulwark_senders_followed "))
        assert HONEST < followed < HONEST + 10 * OTHERS, f"{followed} are followed"
        senders = lab.json("status")["senders"]
        same((senders["beyond"], senders["followed"] > HONEST), (0, True))
    with it("to the end not one of the honest ones was ended, and each gets the answer to its request"):
        same([(clients.ended, len(clients.open)) for clients in honest], [(0, HONEST // 2)] * 2)
        assert all(clients.asks() for clients in honest), "no answer"
    for clients in everybody + [late]:
        clients.close()


def try_lookup(lab):
    """Of one that has not sent a byte, one that goes on with its request, and one that was answered."""
    silent, asking, done = [Clients(lab.client, lab.eth0.v4, 83, 1, first) for first in (b"", b"GET", b"GET\n\n")]
    other = Clients(lab.client, lab.eth0.v6, 83, 1, b"GET")
    with it("IPv6: lookup says how much came in an open connection"):
        found = wait(lambda: [one for one in lab.json("lookup", lab.c0.v6)["connections"] if one.get("received")], "it", 30)
        same([(one["received"], one["sent"]) for one in found], [(3, 0)])
    with it("IPv4: and who is silent or waits for an answer, in JSON and in words"):
        assert answered(done, b"here you are"), "no answer"
        by_port = {str(c.open[0].getsockname()[1]): name for c, name in ((silent, "silent"), (asking, "asking"), (done, "done"))}

        def said():
            found = lab.json("lookup", lab.c0.v4)["connections"]
            return {by_port[one["remote"].rpartition(":")[2]]: one for one in found}
        wait(lambda: said()["silent"]["silent_ms"] and said()["asking"]["unanswered_ms"], "what the kernel knows", 30)
        now = said()
        same({name: (one["received"], one["sent"], one["silent_ms"] > 0, one["unanswered_ms"] > 0) for name, one in now.items()},
             {"silent": (0, 0, True, False), "asking": (3, 0, False, True), "done": (5, 13, False, False)})
        holds(lab.bulwark("lookup", lab.c0.v4), ": 0 bytes in", "silent since its handshake, ", "; not answered for ", ": 5 bytes in, the last")
    for one in (silent, asking, done, other):
        one.close()


def try_pause(lab):
    lab.bulwark("pause", "--for", "5m")
    silent = Clients(lab.attacker, lab.eth1.v4, 80, 3)
    with it("during a pause nobody is ended, afterwards at once"):
        until([silent], lambda: time.monotonic() > silent.again_at + 6, "the time")
        same(silent.ended, 0)
        lab.bulwark("resume")
        until([silent], lambda: silent.ended == 3, "them to be ended")


def try_alone(lab, daemon):
    with it("without bulwarkd nobody is ended, and status says so"):
        stop(daemon)
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        subprocess.run(["bpftool", "map", "update", "pinned", f"{lab.pins}/v1/slow_looks", "key", "0", "0", "0", "0", "value", "hex",
                        *(f"{byte:02x}" for byte in struct.pack("<QQQIIIi", now - 60 * 10**9, 1, 1, 0, 0, 0, 0))],
                       check=True, capture_output=True)
        holds(lab.bulwark("status", status=1), "nobody looks for slow senders", "start bulwarkd")
    with it("one that comes back ends them"):
        silent = Clients(lab.attacker, lab.eth1.v6, 80, 3)
        start_daemon(lab)
        until([silent], lambda: silent.ended == 3, "them to be ended")
        holds(lab.headline(), "ENFORCING")


def tests(lab):
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    Service(lab)
    trusted, excepted = neighbours(lab)
    for address in (trusted, excepted):
        lab.client.run("ip", "addr", "add", address + "/24", "dev", "c0")
    lab.apply(POLICY.format(office=trusted))
    lab.bulwark("allow", excepted, "--for", "1h", "--reason", "a test")
    daemon = start_daemon(lab)
    try_lookup(lab)
    try_crowd(lab)
    try_pause(lab)
    try_alone(lab, daemon)


main("slow", tests)
