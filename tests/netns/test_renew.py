#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A policy that time or the host overtakes is applied anew by itself: an `until` that is over, addresses that feeds are cut
around. And what holds when a saved policy cannot be loaded: `on-failure`, a feed that is too old."""

import datetime
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

DAY = 86400
FIRST = "services:\n  ssh: { ports: tcp/22 }\n"
ENDS = "services:\n  ssh: {{ ports: tcp/22 }}\n  partner: {{ ports: tcp/8443, until: {day} }}\n"
FED = "lists:\n  feed: {{ feed: {feed}, bogons: keep {more} }}\nblock: [feed]\nservices:\n  ssh: {{ ports: tcp/22 }}\n"
CLOSED = ('on-failure: {word}\nlists:\n  office: {{ addresses: ["{office}"] }}\n  feed: {{ feed: {feed} }}\n'
          "trusted: [office]\nblock: [feed]\nservices:\n  ssh: {{ ports: tcp/22 }}\n")
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

time_t time(time_t *result) /* shifted by the seconds in the file SHIFT */
{
	struct timespec now;
	FILE *file = fopen(getenv("SHIFT"), "r");
	long shift = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	if (file && fscanf(file, "%ld", &shift) != 1)
		shift = 0;
	if (file)
		fclose(file);
	now.tv_sec += shift;
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}
"""


def build_clock(lab):
    library = lab.directory + "/clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, lab.file("clock.c", CLOCK)], check=True)
    lab.shift = lab.file("shift", "0")
    lab.environment.update(LD_PRELOAD=library, SHIFT=lab.shift)


def shift(lab, seconds):
    with open(lab.shift + ".new", "w", encoding="ascii") as file:
        file.write(str(seconds))
    os.rename(lab.shift + ".new", lab.shift)


def start_daemon(lab):
    daemon = lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: events(lab, "policy-applied"), "bulwarkd")
    return daemon


def try_until(lab):
    today = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc).date()
    lab.apply(FIRST)
    lab.apply(ENDS.format(day=today))
    daemon = start_daemon(lab)
    with it("an entry holds on its last day"):
        assert connects(lab.client, lab.eth0.v4, 8443)
    with it("a pause is not ended for it, and status tells that it is over"):
        lab.bulwark("pause", "--for", "1h")
        shift(lab, 2 * DAY)
        time.sleep(1.5)
        holds(lab.headline(), "DEGRADED: the time of an entry of the policy is over")
        holds(lab.bulwark("apply", "--renew", status=1), "paused")
        same(events(lab, "policy-renewal"), [])
        lab.bulwark("resume")
    with it("then it ends by itself, and the rest goes on"):
        wait(lambda: not connects(lab.client, lab.eth0.v4, 8443, 0.2), "the end of the entry", 30)
        assert connects(lab.client, lab.eth0.v4, 22)
        holds(events(lab, "policy-renewal")[0]["message"], "the time of one of its entries is over")
        wait(lambda: lab.headline() == "ENFORCING", "the new generation")
    with it("once"):
        generation = lab.status()["generation"]
        time.sleep(1.5)
        same((lab.status()["generation"], len(events(lab, "policy-renewal"))), (generation, 1))
        holds(lab.bulwark("apply", "--renew"), f"unchanged: generation {generation}")
    with it("rollback means the policy before, not the same one before its end"):
        lab.bulwark("rollback")
        holds(lab.bulwark("show"), "ssh")
        assert "partner" not in lab.bulwark("show")
    stop(daemon)
    with it("the helper ends with the daemon"):
        helpers = [pid for pid in os.listdir("/proc") if pid.isdigit() and is_helper(pid, lab)]
        wait(lambda: not [pid for pid in helpers if os.path.exists(f"/proc/{pid}")], "the helper's end")
    shift(lab, 0)
    lab.bulwark("down")


def is_helper(pid, lab):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            mine = lab.state.encode() in file.read()
        return mine and os.readlink(f"/proc/{pid}/exe").endswith("/bulwarkd")
    except OSError:
        return False


def is_blocked(lab, address):
    return any("feed" in json.dumps(one) for one in lab.json("lookup", address)["lists"])


def try_addresses(lab):
    feed = lab.file("feed.netset", "45.99.0.0/16\n1.10.16.0/20\n")
    lab.apply(FED.format(feed=feed, more=""))
    daemon = start_daemon(lab)
    with it("a feed holds an address that this host does not have"):
        assert is_blocked(lab, "45.99.1.1")
    stop(daemon)
    with it("it gets that address: status says that the feed is not cut around it"):
        lab.node.run("ip", "addr", "add", "45.99.1.1/24", "dev", "eth0")
        holds(lab.headline(), "DEGRADED: this host's addresses, gateways or resolvers changed")
        lab.node.run("ip", "addr", "del", "45.99.1.1/24", "dev", "eth0")
        same(lab.headline(), "ENFORCING")
    daemon = start_daemon(lab)
    with it("it gets that address: the feed is cut around it by itself"):
        lab.node.run("ip", "addr", "add", "45.99.1.1/24", "dev", "eth0")
        wait(lambda: not is_blocked(lab, "45.99.1.1"), "the renewal", 30)
        assert is_blocked(lab, "45.99.7.1")
        wait(lambda: lab.headline() == "ENFORCING", "the new generation")
    stop(daemon)
    with it("a renewal that is refused leaves what is in force"):
        os.unlink(feed)
        generation = lab.status()["generation"]
        lab.bulwark("apply", "--renew", status=2)
        same((lab.status()["generation"], lab.headline()), (generation, "ENFORCING"))
    lab.node.run("ip", "addr", "del", "45.99.1.1/24", "dev", "eth0")
    lab.bulwark("down")


def try_age(lab):
    feed = lab.file("feed.netset", "45.99.0.0/16\n")
    text = FED.format(feed=feed, more=", max-age: 7d")
    os.utime(feed, (time.time() - 8 * DAY,) * 2)
    with it("a feed older than its max-age is refused by hand"):
        holds(lab.apply(text, status=2), "is 8d old, more than its max-age of 7d")
        holds(lab.apply(text, "--force"), "note: feed")
    with it("at boot and by itself an old list is better than none"):
        remove_pins(lab.pins)
        holds(lab.bulwark("apply", "--saved"), "note: feed", "is 8d old")
        holds(lab.headline(), "DEGRADED: feed", "is 8d old, more than its max-age")
    lab.bulwark("down")


def boot_without_feed(lab, word, damage=None):
    feed = lab.file("gone.netset", "45.99.0.0/16\n")
    lab.apply(CLOSED.format(word=word, feed=feed, office=lab.c0.v4))
    remove_pins(lab.pins)
    os.unlink(feed)
    if damage:
        damage()
    return lab.bulwark("apply", "--saved", status=None)


def damage_policy(lab):
    newest = max(os.listdir(lab.state + "/generations"), key=int)
    with open(f"{lab.state}/generations/{newest}/policy.yaml", "w", encoding="ascii") as file:
        file.write("version: 1\nservices: [")


def try_failure(lab):
    with it("on-failure: open: a saved policy that cannot be loaded at boot leaves the host as it is, and says so"):
        holds(boot_without_feed(lab, "open"), "gone.netset")
        holds(lab.headline(), "UNPROTECTED")
        assert connects(lab.attacker, lab.eth1.v4, 22)
    with it("on-failure: closed: nothing is exposed, whom the policy trusts by name comes in, and what is asked is answered"):
        holds(boot_without_feed(lab, "closed"), "on-failure: closed: nothing is exposed", "live on eth0")
        holds(lab.headline(), "DEGRADED: the saved policy could not be loaded, and `on-failure: closed` exposes nothing")
        holds(lab.bulwark("metrics"), "\nbulwark_protected 0\n")
        same([connects(lab.client, lab.eth0.v4, 22), connects(lab.attacker, lab.eth1.v4, 22, 0.4)], [True, False])
        assert pings(lab.node, lab.a0.v4), "an answer"
    with it("... it is nothing that would be renewed or kept: the next boot tries the saved policy again"):
        lab.bulwark("apply", "--renew", status=1)
        lab.file("gone.netset", "45.99.0.0/16\n")
        lab.bulwark("apply", "--saved")
        same(lab.headline(), "ENFORCING")
        holds(lab.bulwark("metrics"), "\nbulwark_protected 1\n")
        assert connects(lab.attacker, lab.eth1.v4, 22)
    lab.bulwark("down")
    with it("on-failure: closed: also when the saved policy cannot even be read"):
        boot_without_feed(lab, "closed", lambda: damage_policy(lab))
        holds(lab.headline(), "DEGRADED: the saved policy could not be loaded")
        same([connects(lab.client, lab.eth0.v4, 22, 0.4), connects(lab.attacker, lab.eth1.v4, 22, 0.4)], [False, False])
    lab.bulwark("down")
    with it("on-failure: closed closes nothing where a policy is in force"):
        feed = lab.file("gone.netset", "45.99.0.0/16\n")
        lab.apply(CLOSED.format(word="closed", feed=feed, office=lab.c0.v4))
        os.unlink(feed)
        lab.bulwark("apply", "--saved", status=2)
        same(lab.headline(), "ENFORCING")
        assert connects(lab.attacker, lab.eth1.v4, 22)


def tests(lab):
    build_clock(lab)
    for port in (22, 8443):
        lab.tcp_sink(lab.node, 6, "::", port)
    try_until(lab)
    try_addresses(lab)
    try_age(lab)
    try_failure(lab)


main("renew", tests)
