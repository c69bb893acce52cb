#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run-tests: alone
"""Lawful and hostile traffic together, a reload every second, bulwarkd beside it: no lawful packet is lost, no memory
grows, the counters add up. SOAK_SECONDS says how long (make soak: ten minutes; else a few seconds)."""

import mmap
import os
import random
import re
import ssl
import struct
import sys
import time
from http import client as http

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from ledger import *  # noqa: E402,F403
from traffic import *  # noqa: E402,F403

SECONDS = int(os.environ.get("SOAK_SECONDS") or 8)
GROWTH_BYTES = 4 << 20  # of bulwarkd after its first reloads: the heap's slack, not a leak a reload
POLICY = """
lists:
  bad: {{ addresses: ["46.30.2.2", "2a01:7e00:2::2"] }}
  odd: {{ feed: {feed} }}
block: [bad, odd]
services:
  web:  {{ ports: [tcp/443{more}], limits: [ {{ new-connections: 100/s, per: source }} ] }}
  echo: {{ ports: udp/7777 }}
ban: {{ after: 100 drops in 10s, for: 1m }}
metrics: {{ listen: "127.0.0.1:10473" }}
"""


def strangers(lab, sent):
    """From ever new sources, what a service does not want: strays, SYNs to closed ports, and fragments of nothing."""
    with lab.attacker.raw("a0") as sender:
        while True:
            for _ in range(100):
                source = f"46.30.{random.randrange(3, 255)}.{random.randrange(1, 255)}"
                packet = random.choice((
                    tcp(source, lab.eth1.v4, 4000, 443, ACK), tcp(source, lab.eth1.v4, 4000, 9200, SYN),
                    udp(source, lab.eth1.v4, 53, 4000, b"an answer that nobody asked for"),
                    ipv4(source, lab.eth1.v4, UDP, bytes(64), offset=64)))
                with contextlib.suppress(OSError):  # ENOBUFS
                    sender.send(ethernet(lab.eth1.mac, lab.a0.mac, packet))
            sent[:8] = struct.pack("=Q", struct.unpack("=Q", sent[:8])[0] + 100)
            time.sleep(0.02)


def requests(lab, results):
    """HTTPS requests on one connection that stays, and on a new one each time. results: asked, served, most ns."""
    context = ssl._create_unverified_context()  # noqa: SLF001 - the lab's own certificate

    def connection():
        return http.HTTPSConnection(lab.eth0.v4, 443, timeout=20, context=context)

    def ask(one):
        asked, served, longest = struct.unpack("=QQQ", results[8:32])
        start = time.monotonic_ns()
        results[8:16] = struct.pack("=Q", asked + 1)
        with contextlib.suppress(OSError, http.HTTPException):
            one.request("GET", "/")
            if one.getresponse().read() == b"served\n":
                results[16:32] = struct.pack("=QQ", served + 1, max(longest, time.monotonic_ns() - start))

    with lab.client:
        lasting = connection()
        while not results[0]:
            ask(lasting)
            new = connection()
            ask(new)
            new.close()
            time.sleep(0.05)


def held(lab, daemon):
    """What grows when something is kept that should not be: bulwarkd's memory and descriptors, pins of generations."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024
    pins = sum(len(files) for _, _, files in os.walk(lab.pins))
    return resident, len(os.listdir(f"/proc/{daemon.pid}/fd")), pins


def judged(lab):
    """Packets that came to XDP on both interfaces, by the kernel's count and by ours."""
    came = 0
    for device in ("eth0", "eth1"):
        came += sum(map(int, re.findall(r"rx_queue_\d+_xdp_packets: (\d+)", lab.node.run("ethtool", "-S", device))))
    return came, sum(packets for (_, reason), packets in lab.counts().items() if reason != "blocked-out")


def soak(lab, daemon, feed):
    """Reloads every second until the time is over; [held(), ...] after each."""
    found, end, number = [], time.monotonic() + SECONDS, 0
    while time.monotonic() < end or number < 4:
        number += 1
        with open(feed, "w", encoding="ascii") as file:
            file.writelines(f"198.18.{i % 250}.{number % 250}\n" for i in range(number % 3 * 100 + 1))
        lab.apply(POLICY.format(feed=feed, more=", tcp/80" if number % 2 else ""))
        found.append(held(lab, daemon))
        time.sleep(max(0.0, 1 - time.monotonic() % 1))
    return number, found


def tests(lab):
    feed, log = lab.file("odd.txt", "198.18.0.1\n"), f"{lab.directory}/events.json"
    lab.https(lab.node)
    for family in (4, 6):
        lab.undo.callback(stop_child, echo_server(lab, family))
    lab.attacker.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
    lab.apply(POLICY.format(feed=feed, more=""))
    daemon = lab.start(lab.node, BULWARKD, "--foreground", "--log", log, "--log-keep", "50", env=lab.environment)
    wait(lambda: metrics(lab), "bulwarkd", 30)
    asked_before = judged(lab)
    sent, unknown, results = (mmap.mmap(-1, 4096) for _ in range(3))
    hostile, lawful = [child(flood, lab, sent), child(strangers, lab, unknown)], Lawful(lab)
    browser = child(requests, lab, results)
    try:
        reloads, sizes = soak(lab, daemon, feed)
    finally:
        for pid in hostile:
            stop_child(pid)
        results[0] = 1
        os.waitpid(browser, 0)
        questions, answers = lawful.end()
    asked, served, longest = struct.unpack("=QQQ", results[8:32])
    print(f"# {SECONDS} s, {reloads} reloads; {asked} HTTPS requests, the longest {longest / 1e6:.0f} ms; {questions} questions; "
          f"hostile: {sum(struct.unpack('=Q', one[:8])[0] for one in (sent, unknown))} packets; "
          f"bulwarkd: {sizes[0][0] >> 10} KiB at first, {sizes[-1][0] >> 10} KiB at last")
    with it("every reload went live"):
        same((lab.headline(), reloads >= 4), ("ENFORCING", True))
    with it("every lawful question was answered"):
        assert questions > 10 * reloads, f"only {questions} were asked"
        same(answers, questions)
    with it("every HTTPS request was served, on the connection that stayed and on new ones"):
        assert asked > 2 * reloads, f"only {asked} were made"
        same(served, asked)
    with it("bulwarkd's memory and descriptors, and the pins, do not grow"):
        settled_sizes = sizes[len(sizes) // 4]
        assert sizes[-1][0] <= settled_sizes[0] + GROWTH_BYTES, f"resident bytes: {[size[0] for size in sizes]}"
        assert sizes[-1][1] <= settled_sizes[1] + 2, f"descriptors: {[size[1] for size in sizes]}"
        assert sizes[-1][2] <= max(size[2] for size in sizes[:4]), f"pins: {[size[2] for size in sizes]}"
    with it("every packet that came to the driver was judged, once"):
        came, counted = (after - before for after, before in zip(judged(lab), asked_before))
        assert came > 1000, f"only {came} came"
        assert abs(came - counted) <= came // 1000, f"{came} came, {counted} were judged"
    with it("no packet fell through unjudged"):
        same(lab.fallthrough(), 0)
    with it("events made are events written, sampled out and lost, and the log holds those written"):
        adds_up(lab, log)


main("soak", tests)
