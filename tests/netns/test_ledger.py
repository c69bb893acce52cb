#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What became of every event, exactly: made = written + sampled out + lost + waiting, as the metrics say and the log holds,
through floods, kill -9 at any moment, a full disk, rotation, SIGHUP, SIGTERM, and pins that go and come back."""

import glob
import random
import shutil
import signal
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from ledger import *  # noqa: E402,F403

POLICY = 'services:\n  web: { ports: tcp/443 }\nmetrics: { listen: "127.0.0.1:10473" }\nevents: { sample: 1000/s }\n'


class Daemon:
    def __init__(self, lab, log, *options):
        self.lab, self.log = lab, log
        self.process = lab.start(lab.node, BULWARKD, "--foreground", "--log", log, "--log-keep", "50", *options,
                                 env=lab.environment)

    def kill(self):
        self.process.kill()
        self.process.wait()


def unwritten(log):
    """Events that the log says are not in it."""
    return sum(one["bulwark"]["events"] for one in lines(log) if one["event"]["action"] == "events-unwritten")


def flood(lab, stop_after=None):
    """SYNs of ever new sources that nobody wants."""
    end = time.monotonic() + (stop_after or 3600)
    with lab.attacker.raw("a0") as sender:
        while time.monotonic() < end:
            source = socket.inet_ntoa(struct.pack("!I", 0x2E100000 + random.getrandbits(20)))
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, lab.eth1.v4, 4000, 9200, SYN)))


def try_kills(lab, log):
    daemon = Daemon(lab, log)
    wait(lambda: metrics(lab), "metrics")
    sender = child(flood, lab)
    try:
        for turn in range(8):
            time.sleep(0.2 + random.random() * 1.2)
            daemon.kill()
            daemon = Daemon(lab, log)
        time.sleep(1)
    finally:
        stop_child(sender)
    with it("a flood and eight times kill -9: everything adds up, no event is in the log twice"):
        found = adds_up(lab, log)
        assert found["written"] > 100, found
        told = [one["bulwark"]["event"] for one in lines(log) if one["event"]["action"] == "packet-dropped"]
        same(len(told), len(set(told)), "events told")
    with it("SIGHUP in a flood"):
        sender = child(flood, lab)
        for _ in range(5):
            time.sleep(0.2)
            daemon.process.send_signal(signal.SIGHUP)
        stop_child(sender)
        adds_up(lab, log)
    with it("SIGTERM in a flood: what is written is told, what waits goes on waiting"):
        sender = child(flood, lab)
        time.sleep(0.5)
        stop(daemon.process)
        same(daemon.process.returncode, 0)
        time.sleep(0.5)
        stop_child(sender)
        daemon = Daemon(lab, log)
        adds_up(lab, log)
    with it("a budget of bytes a minute, and files of 100 kB"):
        stop(daemon.process)
        daemon = Daemon(lab, log, "--budget", "64KiB", "--log-size", "100000")
        wait(lambda: metrics(lab), "metrics")
        flood(lab, 1)
        found = adds_up(lab, log)
        assert found["sampled_out"] > 0, found
        assert glob.glob(log + ".1"), "not rotated"
    with it("`down` and `apply` while it runs"):
        made = metrics(lab)["made{by=kernel}"]
        lab.bulwark("down")
        lab.apply(POLICY)
        flood(lab, 0.5)
        assert adds_up(lab, log)["made{by=kernel}"] > made, "the counter began anew"
    with it("killed in a flood, then `down` and `apply`"):
        sender = child(flood, lab)
        time.sleep(1.3)
        daemon.kill()
        time.sleep(0.3)
        stop_child(sender)
        lab.bulwark("down")
        lab.apply(POLICY)
        daemon = Daemon(lab, log)
        wait(lambda: metrics(lab), "metrics")
        adds_up(lab, log)
    stop(daemon.process)


def try_full_disk(lab):
    disk = lab.directory + "/small"
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False).returncode:
        skip("a full disk", "no tmpfs here")
        return
    lab.undo.callback(subprocess.run, ["umount", disk], check=False)
    lab.bulwark("down")
    lab.state = lab.environment["BULWARK_STATE_DIR"] = lab.directory + "/state2"
    lab.apply(POLICY)
    log = disk + "/events.jsonl"
    daemon = Daemon(lab, log)
    wait(lambda: metrics(lab), "metrics")
    with it("a full disk: what could not be written is counted, exactly"):
        flood(lab, 1)
        found = settled(lab)
        same(*sums(found), f"{found}")
        assert found["lost{at=log}"] > 0, found
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        wait(lambda: unwritten(log), "the words")
        flood(lab, 0.3)  # a line that is lost behind those words is told with the next one that is written
        found = adds_up(lab, log)
        wait(lambda: unwritten(log) == found["lost{at=log}"], "every event that is lost to be told as unwritten")
    with it("the log is moved away, and opened anew"):
        os.rename(log, disk + "/gone")
        daemon.process.send_signal(signal.SIGHUP)
        flood(lab, 0.3)
        found = settled(lab)
        same(*sums(found), f"{found}")
    stop(daemon.process)


def try_vanished(lab):
    directory = lab.directory + "/vanishes"
    os.mkdir(directory)
    log = directory + "/events.jsonl"
    daemon = Daemon(lab, log)
    wait(lambda: metrics(lab), "metrics")
    flood(lab, 0.2)
    before = settled(lab)
    with it("the directory of the log vanishes: what is not written is counted, and said"):
        shutil.rmtree(directory)
        flood(lab, 0.3)
        found = settled(lab)
        same(*sums(found), f"{found}")
        same(found["written"], before["written"])
        assert found["lost{at=log}"] > before["lost{at=log}"], found
        with open(lab.directory + "/bulwarkd.log", encoding="utf-8") as words:
            holds(words.read(), f"{log}: No such file or directory; events are counted")
    with it("a directory that is there again is written to by itself"):
        os.mkdir(directory)
        flood(lab, 0.3)
        wait(lambda: os.path.exists(log) and [one for one in lines(log) if one["event"]["action"] == "events-unwritten"],
             "the words", 30)
        found = settled(lab)
        same(*sums(found), f"{found}")
        same(len(lines(log)), found["written"] - before["written"])
    stop(daemon.process)


def try_age(lab):
    log = lab.directory + "/aged.jsonl"
    daemon = Daemon(lab, log, "--log-age", "2s", "--sync", "line")
    with it("a file that is old enough is rotated with the next line"):
        wait(lambda: metrics(lab), "metrics")
        flood(lab, 0.1)
        wait(lambda: os.path.exists(log) and os.path.getsize(log), "a line")
        time.sleep(2.5)
        flood(lab, 0.1)
        wait(lambda: os.path.exists(log + ".1"), "the rotated file")
    stop(daemon.process)
    for option, value in (("--log-age", "soon"), ("--log-age", "0s"), ("--sync", "always")):
        with it(f"{option} {value} is refused with words"):
            holds(lab.node.run(BULWARKD, option, value, status=2), option, value)


def tests(lab):
    log = lab.directory + "/events.jsonl"
    lab.apply(POLICY)
    try_kills(lab, log)
    try_full_disk(lab)
    try_vanished(lab)
    try_age(lab)


main("ledger", tests)
