#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""Many real clients at once, whose handshakes the kernel completes, more than their service takes: from everywhere they are a
surge, from one network an attack, and what is said of them is so."""

import os
import random
import select
import sys
import time

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
mode: native
syn-cookies: {{ replies: 100k/s }}
services:
  web: {{ ports: tcp/443, syn-cookies: off, limits: [ {{ new-connections: {most}/s, per: service }} ] }}
"""
MOST, MANY, FEWER = 100, 700, 420  # connections a second; of FEWER more packets pass than are refused
EVERYWHERE, NETWORK = "46.64.0.0/10", "46.70.9"  # a /24 of it
PATIENCE = 0.5  # s: before a SYN is sent again


class Clients:
    """Connections without end, each from an address of its own, that ask, are answered and close."""

    def __init__(self, lab, concentrated, offered):
        self.lab, self.concentrated, self.offered = lab, concentrated, offered
        self.poll, self.open = select.epoll(), {}
        random.seed(11)

    def source(self):
        if random.random() < self.concentrated:
            return f"{NETWORK}.{random.randrange(1, 255)}"
        return f"46.{random.randrange(64, 128)}.{random.randrange(256)}.{random.randrange(1, 255)}"

    def begin(self):
        one = self.lab.client.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(OSError):
            one.bind((self.source(), 0))
            one.connect_ex((self.lab.eth0.v4, 443))
        self.open[one.fileno()] = [one, time.monotonic() + PATIENCE, False]
        self.poll.register(one, select.EPOLLOUT)

    def end(self, number):
        one, _, _ = self.open.pop(number)
        self.poll.unregister(one)
        one.close()

    def step(self, number):
        one, _, asked = self.open[number]
        try:
            if asked:
                if not one.recv(100):
                    self.end(number)
                return
            one.send(b"what?")
        except OSError:
            self.end(number)
            return
        self.open[number][2] = True
        self.poll.modify(one, select.EPOLLIN)

    def run(self):
        begun, start = 0, time.monotonic()
        while True:
            due = (time.monotonic() - start) * self.offered
            while begun < due:
                self.begin()
                begun += 1
            for number, _ in self.poll.poll(0.005):
                self.step(number)
            now = time.monotonic()
            for number in [n for n, (_, until, _) in self.open.items() if until < now]:
                self.end(number)


def serve(lab):
    def talk(connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(2)
            if connection.recv(100):
                connection.sendall(b"this")

    def answer(server):
        threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    lab.serve(lab.node, 4, socket.SOCK_STREAM, lab.eth0.v4, 443, answer)


def web(lab):
    return {one["service"]: one for one in lab.status()["attacks"]}.get("web", {})


def established(lab):
    return lab.counts().get(("pass", "established"), 0)


def while_they_come(lab, concentrated, offered, look):
    clients = child(Clients(lab, concentrated, offered).run)
    try:
        look()
    finally:
        stop_child(clients)


def try_surge(lab):
    def look():
        wait(lambda: web(lab).get("state") == "surge", "the surge", 30)
        before, until = established(lab), time.monotonic() + 8
        while time.monotonic() < until:  # no other alarm for as long as it goes on
            same(events(lab, "attack-started"), [])
            time.sleep(0.2)
        same(web(lab)["state"], "surge")
        assert established(lab) > before, "nobody was served"
        assert lab.counts().get(("drop", "rate-connections"), 0) > 0, "nothing was refused"
        holds(lab.bulwark("status"), "surge: web")

    with it("real clients from everywhere, more than are let in, are a surge and no attack"):
        while_they_come(lab, 0, MANY, look)


def try_concentrated(lab, offered, what):
    before = len(events(lab, "attack-started"))

    def look():
        started = wait(lambda: events(lab, "attack-started")[before:], "the attack", 30)[0]
        same((started["service"]["name"], started["event"]["reason"]), ("web", "connections"))
        one = wait(lambda: web(lab).get("state") == "attack" and web(lab), "status")
        same(one["networks"][0]["prefix"], NETWORK + ".0/24")
        assert one["concentration"] > 0.5, one

    with it(f"{what} from one network are an attack of connections, and it is named"):
        while_they_come(lab, 0.8, offered, look)


def tests(lab):
    lab.client.run("ip", "route", "add", "local", EVERYWHERE, "dev", "lo")
    lab.node.run("ip", "route", "add", EVERYWHERE, "via", lab.c0.v4)
    serve(lab)
    lab.apply(POLICY.format(most=MOST))
    lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "the daemon")
    try_surge(lab)
    try_concentrated(lab, MANY, "as many, at once behind it,")
    wait(lambda: events(lab, "attack-ended"), "the end of the attack", 30)
    try_concentrated(lab, FEWER, "fewer, of whose packets more pass than are refused,")


main("surge", tests)
