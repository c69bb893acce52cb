#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Feeds with `refresh` under bulwarkd: a changed file is in force by itself, a bad one never; what is in force stays."""

import contextlib
import os
import shutil
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
lists:
  feed: { feed: feed.txt, refresh: 1s, max-shrink: 50% }
  slow: { feed: slow.txt, refresh: 1h }
  own:  { feed: own.txt }
  far:  { feed: far/current/far.txt, refresh: 1s }
block: [feed, slow, own, far]
services:
  web:  { ports: tcp/443 }
  echo: { ports: udp/5300 }
metrics: { listen: "127.0.0.1:10473" }
"""
GOOD = "46.30.66.0/24\n46.30.67.0/24\n46.30.68.0/24\n46.30.69.0/24\n"


def put(lab, name, text):
    """As those who fetch feeds do: written beside it, renamed over it."""
    lab.file(name + ".new", text)
    os.rename(f"{lab.directory}/{name}.new", f"{lab.directory}/{name}")


def blocked(lab, address):
    return any("block" in text for text in lab.bulwark("lookup", address).splitlines() if text.startswith("lists:"))


def try_good(lab):
    with it("a feed that changed is in force by itself, and that is told"):
        assert not blocked(lab, "46.30.99.1"), "blocked before"
        put(lab, "feed.txt", GOOD + "46.30.99.0/24\n")
        wait(lambda: blocked(lab, "46.30.99.1"), "the new prefix", 60)
        wait(lambda: events(lab, "feed-refreshed"), "the event")
        same(events(lab, "feed-refreshed")[-1]["bulwark"]["list"], "feed")
    with it("written in place, it counts when it keeps still"):
        time.sleep(1.1)
        with open(lab.directory + "/feed.txt", "a", encoding="ascii") as file:
            for i in range(6):
                file.write(f"46.31.{i}.0/24\n")
                file.flush()
                time.sleep(0.3)
        wait(lambda: blocked(lab, "46.31.5.1"), "the last line", 60)
    with it("touched only: nothing new, and no end of trying"):
        time.sleep(1.1)
        generation, told = lab.status()["generation"], len(events(lab, "policy-renewal"))
        os.utime(lab.directory + "/feed.txt")
        wait(lambda: len(events(lab, "policy-renewal")) > told, "one attempt", 60)
        time.sleep(4)
        same((lab.status()["generation"], len(events(lab, "policy-renewal"))), (generation, told + 1))
    with it("a feed without `refresh` is left alone"):
        put(lab, "own.txt", "46.40.1.0/24\n")
        time.sleep(4)
        assert not blocked(lab, "46.40.1.1"), "applied"


def try_bad(lab):
    generation = lab.status()["generation"]
    rows = [("one that is empty", ""), ("one that shrank", "46.30.66.0/24\n"),
            ("one that blocks everybody", GOOD + "0.0.0.0/0\n")]
    for words, text in rows:
        with it(f"{words} is refused once, the last good one stays"):
            refused = len(events(lab, "feed-refused"))
            put(lab, "feed.txt", text)
            wait(lambda: len(events(lab, "feed-refused")) == refused + 1, "the refusal", 60)
            assert blocked(lab, "46.30.99.1") and lab.headline() == "ENFORCING", lab.headline()
            same(lab.status()["generation"], generation)
    with it("one that is gone is no reason; a FIFO in its place is refused"):
        refused = len(events(lab, "feed-refused"))
        os.unlink(lab.directory + "/feed.txt")
        time.sleep(3)
        same(len(events(lab, "feed-refused")), refused)
        os.mkfifo(lab.directory + "/feed.txt")
        wait(lambda: len(events(lab, "feed-refused")) == refused + 1, "the refusal", 60)
        assert blocked(lab, "46.30.99.1"), "not blocked any more"
        os.unlink(lab.directory + "/feed.txt")
    with it("a good one again is in force again"):
        put(lab, "feed.txt", GOOD + "46.30.99.0/24\n46.30.98.0/24\n" + "".join(f"46.31.{i}.0/24\n" for i in range(5)))
        wait(lambda: blocked(lab, "46.30.98.1"), "the new prefix", 60)
    with it("the metrics say how often"):
        def counted():
            text = lab.node.run("curl", "-s", "http://127.0.0.1:10473/metrics")
            return [line.split()[1] for line in text.splitlines() if line.startswith("bulwark_feed_refreshes_total")]

        wait(lambda: counted() == ["4", "4"], "four that were applied, four that were refused", 60)


def watched(daemon):
    """Inodes that it has inotify watch."""
    found = set()
    for name in os.listdir(f"/proc/{daemon.pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{daemon.pid}/fdinfo/{name}", encoding="ascii") as file:
            found |= {int(line.split()[2].partition(":")[2], 16) for line in file if line.startswith("inotify ")}
    return found


def release(lab, name, address):
    """far/NAME/far.txt with one address more; far/current becomes a link to it, all at once."""
    os.makedirs(f"{lab.directory}/far/{name}")
    lab.file(f"far/{name}/far.txt", f"46.41.1.0/24\n{address}\n")
    os.symlink(name, lab.directory + "/far/next")
    os.rename(lab.directory + "/far/next", lab.directory + "/far/current")


def try_ways(lab, daemon):
    """Sooner than all are looked at, which is once a minute: inotify saw it."""
    with it("the directories on the way are watched, no file is"):
        inodes = watched(daemon)
        for name in ("", "far", "far/one"):
            assert os.stat(f"{lab.directory}/{name}").st_ino in inodes, f"{name} is not watched"
        assert os.stat(lab.directory + "/far/one/far.txt").st_ino not in inodes, "the file is"
    with it("a link on the way that points elsewhere makes it another feed"):
        release(lab, "two", "46.41.2.0/24")
        wait(lambda: blocked(lab, "46.41.2.1"), "the new prefix", 40)
    with it("the directory goes, and comes back with another feed in it"):
        os.rename(lab.directory + "/far", lab.directory + "/away")
        time.sleep(1.1)
        assert blocked(lab, "46.41.2.1"), "the last good one is gone"
        os.mkdir(lab.directory + "/far")
        release(lab, "three", "46.41.3.0/24")
        wait(lambda: blocked(lab, "46.41.3.1"), "the new prefix", 40)
        shutil.rmtree(lab.directory + "/away")


def try_million(lab):
    with it("a feed of a million entries refreshes without a dropped lawful packet"):
        lab.udp_echo(lab.node, 4, lab.eth0.v4, 5300)
        put(lab, "far/three/far.txt", "".join(f"47.{i >> 16}.{i >> 8 & 255}.{i & 255}\n" for i in range(1000000)))
        none_lost(lab, lab.eth0.v4, 5300, lambda: wait(lambda: blocked(lab, "47.15.66.63"), "the million", 90))


def huge(path):
    with open(path, "wb") as file:
        file.truncate(5 << 30)


def try_no_feeds(lab):
    """What is no feed at all: `check` says so at once, as does every apply."""
    path = lab.file("odd.yaml", "version: 1\nlists: { odd: { feed: odd } }\nblock: [odd]\n")
    odd = lab.directory + "/odd"
    rows = [("5 GB", huge, "is larger than 1 GiB"),
            ("binary garbage", lambda path: lab.file("odd", GOOD + "\0\1\2\3" * 1000), "is a binary file"),
            ("a FIFO", os.mkfifo, "is a pipe"),
            ("a link to a device", lambda path: os.symlink("/dev/zero", path), "is a device"),
            ("a link to a link to nothing", lambda path: os.symlink("nowhere", path), "No such file"),
            ("a link to itself", lambda path: os.symlink(path, path), "symbolic link"),
            ("a directory", os.mkdir, "is a directory")]
    for words, make, told in rows:
        with it(f"{words} is refused"):
            make(odd)
            began = time.monotonic()
            try:
                holds(lab.bulwark("check", path, status=2), "odd.yaml:2:", told)
            finally:
                shutil.rmtree(odd) if os.path.isdir(odd) else os.unlink(odd)
            assert time.monotonic() - began < 5, "read"
    with it("a link to a list is read"):
        os.symlink("feed.txt", odd)
        same(lab.json("check", path)["files"][0]["lists"][0]["v4"], 4)


def tests(lab):
    for name, text in (("feed.txt", GOOD), ("slow.txt", "46.50.0.0/24\n"), ("own.txt", "46.40.0.0/24\n")):
        lab.file(name, text)
        os.utime(f"{lab.directory}/{name}", (time.time() - 3600,) * 2)
    release(lab, "one", "46.41.0.0/24")
    try_no_feeds(lab)
    lab.apply(POLICY)
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: events(lab, "policy-applied"), "bulwarkd")
    try_good(lab)
    try_bad(lab)
    try_ways(lab, daemon)
    try_million(lab)


main("feeds", tests)
