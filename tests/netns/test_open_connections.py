#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`connections: N`: open connections of real clients are counted and bounded, and the count is right again within ten
seconds whatever happened to it; one that nobody checks refuses nobody."""

import os
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403
from other_sockops import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web:     {{ ports: tcp/443, limits: [ {{ connections: 5, per: source }} ] }}
  watched: {{ ports: tcp/444, limits: [ {{ connections: 1, per: source, monitor: true }} ] }}
  other:   {{ ports: tcp/445 }}
{more}
"""
WITHOUT = "mode: {mode}\nservices: {{ web: {{ ports: tcp/443 }} }}\n"
MOST, PROMISED = 5, 30  # s: ten are promised, of a machine that is not overloaded


def state_of(lab, address, service="web"):
    """(open, over) as lookup tells it."""
    for limit in lab.json("lookup", address)["limits"]:
        if limit["service"] == service and limit["counts"] == "connections":
            return limit["open"], limit["over"]
    return 0, False


def counted(lab, address, number, seconds=PROMISED):
    wait(lambda: state_of(lab, address)[0] == number, f"{number} to be counted, last {state_of(lab, address)}", seconds)


def refused(lab, namespace, address, port=443):
    """A client's SYN is dropped for the reason of this test."""
    before = lab.counts().get(("drop", "connections"), 0)
    return not connects(namespace, address, port, 0.4) and lab.counts().get(("drop", "connections"), 0) > before


def echo(lab, namespace, address, port):
    """Sends back what comes, and closes when its client has closed."""
    def talk(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def answer(server):
        threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    lab.serve(namespace, 6 if ":" in address else 4, socket.SOCK_STREAM, address, port, answer)


def echoes(connection, data=b"hello"):
    connection.sendall(data)
    return connection.recv(100) == data


def close(connections):
    while connections:
        connections.pop().close()


def poke(lab, name, key, value):
    """Writes into a pinned map, as something that went wrong would leave it."""
    subprocess.run(["bpftool", "map", "update", "pinned", f"{lab.pins}/v1/{name}", "key", *key, "value", *value], check=True,
                   capture_output=True)


def octets(data):
    return ["hex", *(f"{byte:02x}" for byte in data)]


def start_daemon(lab):
    return lab.start(lab.node, BULWARKD, "--foreground", "--pin-dir", lab.pins, "--state-dir", lab.state)


def try_counting(lab, mode, family):
    me, client, peer = lab.eth0[family], lab.client, lab.c0[family]
    old = [connect(client, me, 443) for _ in range(3)]
    lab.apply(POLICY.format(mode=mode, more=""))
    made = []
    try:
        with it(f"{mode}, IPv{family}: connections older than the policy are counted"):
            counted(lab, peer, 3)
        with it(f"{mode}, IPv{family}: so many may be open and no more"):
            made += [connect(client, me, 443) for _ in range(2)]
            same(state_of(lab, peer), (MOST, True))
            assert refused(lab, client, me), "the sixth connection came about"
            holds(lab.bulwark("lookup", peer), "connections: 5 open of at most 5: the next one is too much")
        with it(f"{mode}, IPv{family}: those that are open go on, and another source has its own"):
            assert echoes(old[0]), "no answer"
            assert connects(lab.attacker, me, 443), "another source was refused"
        with it(f"{mode}, IPv{family}: closing one admits one, at once"):
            made.pop().close()
            wait(lambda: state_of(lab, peer)[0] == MOST - 1, "the end to be counted")
            made.append(connect(client, me, 443))
            assert refused(lab, client, me), "one too many came about"
        with it(f"{mode}, IPv{family}: so does a reset"):
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.pop().close()
            wait(lambda: state_of(lab, peer)[0] == MOST - 1, "the reset to be counted")
        with it(f"{mode}, IPv{family}: another service is none of its business, and a reload forgets nothing"):
            made.append(connect(client, me, 443))
            assert connects(client, me, 445), "another service was refused"
            lab.apply(POLICY.format(mode=mode, more="stray: drop"))
            assert refused(lab, client, me), "one too many came about"
        try_returning(lab, mode, family)
        if mode == "native":  # the kernel's own count does not know of either
            try_wrong(lab, mode, family, old)
    finally:
        close(old)
        close(made)
    lab.apply(WITHOUT.format(mode=mode))


def try_returning(lab, mode, family):
    """The attacker's stack knows nothing of the address, so it resets nothing."""
    me, source = lab.eth1[family], ("46.30.2.77", "2a01:7e00:2:0:1::77")[family == 6]
    prefix = ["-6", "neigh"] if family == 6 else ["neigh"]
    lab.node.run("ip", *prefix, "replace", source, "lladdr", lab.a0.mac.hex(":"), "dev", "eth1")
    capture, numbers = Capture(lab.attacker, "a0"), {}

    def send(port, flags, **fields):
        with lab.attacker.raw("a0") as sender:
            sender.send(ethernet(lab.eth1.mac, lab.a0.mac, tcp(source, me, port, 443, flags, **fields)))

    def answered():
        at = 34 if family == 4 else 54
        for frame in capture.drain():
            if frame[at:at + 2] == struct.pack("!H", 443) and frame[at + 13] == SYN | ACK:
                numbers[struct.unpack("!H", frame[at + 2:at + 4])[0]] = struct.unpack("!I", frame[at + 4:at + 8])[0]
        return len(numbers) == MOST + 1

    with it(f"{mode}, IPv{family}: of more SYNs than there is room for, only so many ACKs complete"):
        for port in range(MOST + 1):
            send(1000 + port, SYN)
        wait(answered, "SYN-ACKs")
        for number, port in enumerate(sorted(numbers)):
            before = lab.counts().get(("drop", "connections"), 0)
            send(port, ACK, sequence=1001, acknowledge=numbers[port] + 1)
            if number < MOST:
                wait(lambda: state_of(lab, source)[0] == number + 1, f"connection {number + 1}")
            else:
                wait(lambda: lab.counts().get(("drop", "connections"), 0) > before, "the drop of the ACK over it")
        same(state_of(lab, source), (MOST, True))
    for port in numbers:
        send(port, RST, sequence=1001)
    capture.close()
    with it(f"{mode}, IPv{family}: their resets are counted"):
        counted(lab, source, 0)


def try_wrong(lab, mode, family, old):
    """The client holds five."""
    me, client, peer = lab.eth0[family], lab.client, lab.c0[family]
    address_ = socket.inet_pton(socket.AF_INET6, "::ffff:" + peer) if family == 4 else \
        socket.inet_pton(socket.AF_INET6, peer)[:8] + bytes(8)
    dump = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{lab.pins}/v1/open_counts"], check=True,
                                     capture_output=True).stdout)
    key = next(bytes(int(byte, 16) for byte in row["key"]) for row in dump
               if bytes(int(byte, 16) for byte in row["key"])[:16] == address_
               and int(row["value"][0], 16) == MOST)
    with it(f"{mode}, IPv{family}: a count that went wrong, up or down, is right again"):
        poke(lab, "open_counts", octets(key), octets(struct.pack("<iIII", 1000, 0, 0, 0)))
        counted(lab, peer, MOST)
        poke(lab, "open_counts", octets(key), octets(struct.pack("<iIII", -3, 0, 0, 0)))
        counted(lab, peer, MOST)
        assert refused(lab, client, me), "one too many came about"
    with it(f"{mode}, IPv{family}: so is the end of a connection that was there before the policy"):
        old.pop().close()
        counted(lab, peer, MOST - 1)


def try_namespaces(lab, mode):
    """A container has the same addresses and the same port: its connections are not this host's."""
    other = lab.namespace("other")
    me, peer = lab.eth0.v4, lab.c0.v4
    lab.apply(POLICY.format(mode=mode, more=""))
    with it(f"{mode}: connections of another network namespace are not counted"):
        for address_ in (me, peer):
            other.run("ip", "addr", "add", address_ + "/32", "dev", "lo")
        echo(lab, other, me, 443)
        made = []
        for _ in range(MOST + 3):
            one = other.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.bind((peer, 0))
            one.connect((me, 443))
            made.append(one)
        counted(lab, peer, 0)
        assert connects(lab.client, me, 443), "the client paid for it"
        close(made)


def try_clobbered(lab, mode, daemon):
    me, peer = lab.eth0.v4, lab.c0.v4
    with robbed_cgroup(lab):
        echo(lab, lab.node, me, 446)
    lab.apply(POLICY.format(mode=mode, more="  robbed: { ports: tcp/446, limits: [ { connections: 5, per: source } ] }"))
    with it(f"{mode}: a connection whose callbacks another program took away is counted and, when it ends, forgotten"):
        made = [connect(lab.client, me, 446) for _ in range(MOST)]
        wait(lambda: state_of(lab, peer, "robbed") == (MOST, True), "five to be counted")
        wait(lambda: refused(lab, lab.client, me, 446), "the sixth connection to be refused")
        daemon.send_signal(signal.SIGSTOP)
        close(made)  # to CLOSE_WAIT: here the callbacks are taken
        wait(lambda: not lab.node.run("ss", "-Htn", "state", "connected", "sport", "=", ":446").strip(), "the ends")
        same(state_of(lab, peer, "robbed"), (MOST, True), "the callbacks were not taken, the test tests nothing")
        daemon.send_signal(signal.SIGCONT)
        wait(lambda: state_of(lab, peer, "robbed")[0] == 0, "the ends to be counted", PROMISED)
        assert connects(lab.client, me, 446), "the next one was refused"


def try_unchecked(lab, mode, daemon):
    """The time that a check is good for is not waited for: it is written."""
    me, client, peer = lab.eth0.v4, lab.client, lab.c0.v4
    lab.apply(POLICY.format(mode=mode, more=""))
    made = [connect(client, me, 443) for _ in range(MOST)]
    wait(lambda: refused(lab, client, me), "the limit to hold", PROMISED)
    with it(f"{mode}: without bulwarkd the kernel goes on counting"):
        daemon.kill()
        daemon.wait()
        made.pop().close()
        wait(lambda: state_of(lab, peer)[0] == MOST - 1, "the end to be counted")
        made.append(connect(client, me, 443))
        assert refused(lab, client, me), "one too many came about"
    with it(f"{mode}: a count that nobody has checked for a minute refuses nobody, and status says so"):
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        poke(lab, "open_checked", octets(bytes(4)), octets(struct.pack("<Q", now - 61 * 10**9)))
        with connect(client, me, 443):
            holds(lab.bulwark("status", status=1), "their limits refuse nobody", "start bulwarkd")
    with it(f"{mode}: bulwarkd returns, and the limit with it"):
        daemon = start_daemon(lab)
        wait(lambda: refused(lab, client, me), "the limit to hold", PROMISED)
        holds(lab.headline(), "ENFORCING")
    with it(f"{mode}: under a policy without such limits nothing is counted, and nothing of it is trusted afterwards"):
        stop(daemon)
        lab.apply(WITHOUT.format(mode=mode))
        same([pin for pin in pins_below(lab.pins) if "recount" in pin or pin.endswith("links/sockops")], [])
        lab.apply(POLICY.format(mode=mode, more=""))
        assert connects(client, me, 443), "a count that nobody kept refused a client"
    close(made)


def try_monitor(lab, mode):
    lab.apply(POLICY.format(mode=mode, more=""))
    with it(f"{mode}: a limit that only monitors lets pass and counts"):
        before = lab.counts().get(("would-drop", "connections"), 0)
        made = [connect(lab.client, lab.eth0.v4, 444)]
        wait(lambda: state_of(lab, lab.c0.v4, "watched")[1], "the first one to be counted", PROMISED)
        made += [connect(lab.client, lab.eth0.v4, 444) for _ in range(2)]
        assert lab.counts().get(("would-drop", "connections"), 0) > before, "nothing was counted"
        close(made)


def tests(lab):
    for family in (4, 6):
        for port in (443, 444, 445):
            echo(lab, lab.node, "0.0.0.0" if family == 4 else lab.eth0.v6, port)
        if family == 6:
            echo(lab, lab.node, lab.eth1.v6, 443)
    lab.apply(WITHOUT.format(mode="native"))
    daemon = start_daemon(lab)
    for mode, family in (("native", 4), ("generic", 6)):
        lab.bulwark("down")
        lab.apply(WITHOUT.format(mode=mode))
        try_counting(lab, mode, family)
    try_namespaces(lab, "generic")
    try_clobbered(lab, "generic", daemon)
    try_monitor(lab, "generic")
    try_unchecked(lab, "generic", daemon)


main("open-connections", tests)
