#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Bans that the shield makes by itself: they meet who is proven to offend and nobody else, they end, grow, outlive
processes and reboots. What a spoofer sends in a client's name never leads to one."""

import os
import random
import signal
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
lists: {{ known: {{ addresses: ["45.33.1.2", "2a01:7e00:1::2"] }} }}
services:
  web:   {{ ports: tcp/8000, limits: [ {{ packets: 50/s, burst: 50, per: source }} ] }}
  all:   {{ ports: tcp/8001, limits: [ {{ packets: 50/s, burst: 50, per: service }} ] }}
  game:  {{ ports: udp/6001, limits: [ {{ packets: 50/s, burst: 50, per: source }} ] }}
ban: {{ after: 20 drops in 10s, for: {time} }}
{more}
"""
NETWORK = {4: "45.33.1.2", 6: "2a01:7e00:1::/64"}  # what is banned of the client


class Open:
    """An open connection of the client, and the last segment that it sent."""

    def __init__(self, lab, family, port=8000):
        capture = Capture(lab.node, "eth0")
        self.lab, self.family, self.port = lab, family, port
        self.socket = connect(lab.client, lab.eth0[family], port)
        same(self.socket.recv(100), b"welcome\n")
        self.socket.sendall(b"hello")
        frames = []
        wait(lambda: frames.extend(capture.drain(0.02)) or any(b"hello" in frame for frame in frames), "the segment")
        self.frame = next(frame for frame in frames if b"hello" in frame)
        capture.close()

    def repeats(self, count=300):
        """The client itself sends it again and again."""
        with self.lab.client.raw("c0") as sender:
            for number in range(count):
                sender.send(self.frame)
                if not number % 50:
                    time.sleep(0.005)

    def forged(self, count=4000):
        """Somebody else sends segments of this very connection, but does not know its numbers."""
        me, client = self.lab.eth0[self.family], self.lab.c0[self.family]
        port = self.socket.getsockname()[1]
        kinds = (ACK, ACK | PSH, ACK | FIN, RST, SYN, SYN | ACK)
        with self.lab.attacker.raw("a0") as sender:
            for number in range(count):
                header = tcp_header(client, me, port, self.port, kinds[number % 6] if number % 2 else ACK, b"forged",
                                    sequence=random.randrange(1 << 32), acknowledge=random.randrange(1 << 32))
                sender.send(ethernet(self.lab.eth1.mac, self.lab.a0.mac, ip(client, me, TCP, header)))
                if not number % 50:
                    time.sleep(0.005)

    def close(self):
        self.socket.close()


def banned(lab):
    return {row["address"]: row for row in lab.json("bans")}


def offend(lab, family, port=8000):
    one = Open(lab, family, port)
    one.repeats()
    one.close()


def dropped(lab, reason):
    return lab.counts().get(("drop", reason), 0)


def try_ban(lab, mode, family):
    me = lab.eth0[family]
    with it(f"{mode}, IPv{family}: who goes on over a limit inside an open connection is banned, without any process"):
        offend(lab, family)
        row = banned(lab).get(NETWORK[family])
        assert row, f"nobody is banned: {banned(lab)}, {lab.counts()}"
        same((row["origin"], row["reason"]), ("auto", "rate-packets on web"))
        assert 0 < row["left_s"] <= 3600, row
    with it(f"{mode}, IPv{family}: the ban holds for new connections, the neighbour's go on"):
        assert not connects(lab.client, me, 8000, 0.3), "the banned client came in"
        assert dropped(lab, "banned"), "nothing was dropped as banned"
        assert connects(lab.attacker, lab.eth1[family], 8000), "another source was banned with it"
    with it(f"{mode}, IPv{family}: lookup names it"):
        holds(lab.bulwark("lookup", lab.c0[family]), "auto", "rate-packets on web")
    with it(f"{mode}, IPv{family}: unban lifts it"):
        lab.bulwark("unban", lab.c0[family])
        same(banned(lab), {})
        assert connects(lab.client, me, 8000), "the client is still refused"
        lab.bulwark("unban", lab.c0[family], status=1)


def try_spoofing(lab, mode, family):
    me = lab.eth0[family]
    with it(f"{mode}, IPv{family}: segments forged into a client's open connection are dropped over the limit, and ban nobody"):
        one, before = Open(lab, family), dropped(lab, "rate-packets")
        one.forged()
        assert dropped(lab, "rate-packets") - before > 1000, f"the forged segments were not limited: {lab.counts()}"
        same(banned(lab), {})
        one.close()
    with it(f"{mode}, IPv{family}: neither do SYNs and UDP in its name, at any rate"):
        flood = [ethernet(lab.eth1.mac, lab.a0.mac, packet) for packet in
                 (tcp(lab.c0[family], me, 4000, 8000, SYN), udp(lab.c0[family], me, 4000, 6001, b"x"),
                  tcp(lab.c0[family], me, 4000, 8000, ACK))]
        with lab.attacker.raw("a0") as sender:
            for number in range(3000):
                sender.send(flood[number % 3])
                if not number % 100:
                    time.sleep(0.005)
        same(banned(lab), {})
        wait(lambda: connects(lab.client, me, 8000, 0.5), "the client's turn")
    with it(f"{mode}, IPv{family}: nor a limit that all share"):
        offend(lab, family, 8001)
        same(banned(lab), {})


def try_spared(lab, mode, family, word, more):
    with it(f"{mode}, IPv{family}: {word} is never banned"):
        lab.apply(POLICY.format(mode=mode, time="1h", more=more))
        offend(lab, family)
        same(banned(lab), {})


def try_gateway(lab, mode, family):
    with it(f"{mode}, IPv{family}: this host's gateway is never banned"):
        lab.node.run("ip", f"-{family}", "route", "add", "default", "via", lab.c0[family])
        lab.apply(POLICY.format(mode=mode, time="1h", more=f"stray: {{ reset: {random.randrange(2000, 9000)}/s }}"))
        offend(lab, family)
        same(banned(lab), {})
        lab.node.run("ip", f"-{family}", "route", "del", "default")


def try_mode(lab, mode):
    for family in (4, 6):
        lab.apply(POLICY.format(mode=mode, time="1h", more=""))
        try_ban(lab, mode, family)
        if mode == "generic":  # the same program: what it decides by is what mattered
            continue
        try_spoofing(lab, mode, family)
        try_spared(lab, mode, family, "a source in never-ban", "never-ban: [known]")
        try_spared(lab, mode, family, "a trusted source", "trusted: [known]")
        try_spared(lab, mode, family, "a proxy", "proxies: [known]")
        try_spared(lab, mode, family, "a health check", "health-checks: [known]")
        try_spared(lab, mode, family, "who only met a monitored policy", "monitor: true")
        try_gateway(lab, mode, family)
    lab.bulwark("down")


# ---- time, processes, reboots

def try_end(lab):
    lab.apply(POLICY.format(mode="auto", time="2s", more=""))
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: os.path.exists(lab.state + "/events.jsonl"), "the daemon")
    with it("the kernel ends a ban; the daemon has told its beginning and its end"):
        offend(lab, 4)
        wait(lambda: connects(lab.client, lab.eth0[4], 8000, 0.2), "the end of the ban")
        begun = wait(lambda: events(lab, "ban"), "the event of the ban")[0]
        same((begun["source"]["ip"], begun["event"]["reason"], begun["bulwark"]["origin"]), ("45.33.1.2", "rate-packets", "auto"))
        same((begun["bulwark"]["service"], begun["bulwark"]["for_s"], "user" in begun), ("web", 2, False))
        same(wait(lambda: events(lab, "unban"), "the event of its end")[0]["source"]["ip"], "45.33.1.2")
    return daemon


def try_processes(lab, daemon):
    lab.apply(POLICY.format(mode="auto", time="1h", more=""))
    with it("kill -9 of the daemon changes nothing"):
        offend(lab, 6)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        assert NETWORK[6] in banned(lab)
        assert not connects(lab.client, lab.eth0[6], 8000, 0.3), "the banned client came in"
        assert connects(lab.client, lab.eth0[4], 8000), "its other address was banned too"


def try_reboot(lab):
    with it("bans of both kinds and exceptions are back after a reboot, with the time they had left"):
        lab.bulwark("ban", "198.51.100.7", "--for", "1h", "--reason", 'says "no"', "--origin", "tests")
        lab.bulwark("ban", "198.51.100.8", "--for", "1s")
        many = [f"198.18.0.{last}" for last in range(100)]
        with open(lab.state + "/many", "w", encoding="utf-8") as file:
            file.write("\n".join(many))
        lab.bulwark("ban", "--file", lab.state + "/many", "--for", "2h", "--reason", "a hundred", "--origin", "feed")
        lab.bulwark("allow", "203.0.113.0/24", "--for", "1h", "--reason", "a test")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lab.state + "/bans.jsonl")  # of the one before
        daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
        wait(lambda: os.path.exists(lab.state + "/bans.jsonl"), "the first save")
        daemon.terminate()
        daemon.wait()
        before = banned(lab)
        remove_pins(lab.pins)  # as a reboot does
        wait(lambda: not lab.node.run("ip", "link", "show", "eth0").count("xdp"), "the programs to go")
        time.sleep(1)  # one of the bans ends meanwhile
        holds(lab.apply(POLICY.format(mode="auto", time="1h", more="")), "are held again")
        after = banned(lab)
        same(sorted(after), sorted(["198.51.100.7", NETWORK[6]] + many))
        holds(lab.bulwark("metrics"), f"\nbulwark_bans {len(after)}\n", "\nbulwark_automatic_bans 1\n")
        for name, row in after.items():
            same((row["origin"], row["reason"]), (before[name]["origin"], before[name]["reason"]))
            assert before[name]["left_s"] - 60 < row["left_s"] <= before[name]["left_s"], (before[name], row)
        same([row["address"] for row in lab.json("allows")], ["203.0.113.0/24"])
        assert not connects(lab.client, lab.eth0[6], 8000, 0.3), "the banned client came in"
    with it("down leaves no ban behind, nor a file of them"):
        lab.bulwark("down")
        assert not os.path.exists(lab.state + "/bans.jsonl")
        lab.apply(POLICY.format(mode="auto", time="1h", more=""))
        same(banned(lab), {})


def tests(lab):
    for family in (4, 6):
        for port in (8000, 8001):
            for end in (lab.eth0, lab.eth1):
                lab.tcp_sink(lab.node, family, end[family], port)
    for mode in os.environ.get("MODES", "native generic").split():
        try_mode(lab, mode)
    daemon = try_end(lab)
    try_processes(lab, daemon)
    try_reboot(lab)


main("bans", tests)
