#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Open connections to a server behind this host, which only routes them (`forward: services`): no socket of the node, no
address translation, with connection tracking and without. Their limit holds, and their count is right again in time."""

import ctypes
import glob
import signal
import struct
import sys

sys.dont_write_bytecode = True
from frames import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
forward: {forward}
services:
  web:   {{ ports: tcp/443, limits: [ {{ connections: 3, per: source }} ] }}
  whole: {{ ports: tcp/444, limits: [ {{ connections: 3, per: service }} ] }}
  other: {{ ports: tcp/445 }}
{more}
"""
WITHOUT = "mode: {mode}\nforward: services\nservices: {{ web: {{ ports: [tcp/443, tcp/444] }} }}\n"
TRACKED = "table inet stateful {\n chain f {\n type filter hook forward priority 0\n ct state invalid counter\n }\n}\n"
BPF_OBJ_GET, BPF_PROG_TEST_RUN, RECOUNT_BEGIN, RECOUNT_SETTLE = 7, 10, 0, 2
MOST, PROMISED = 3, 30  # s: ten are promised, of a machine that is not overloaded


def open_of(lab, address, service="web"):
    return {limit["service"]: limit["open"] for limit in lab.json("lookup", address)["limits"]}.get(service, 0)


def counted(lab, address, number, service="web"):
    wait(lambda: open_of(lab, address, service) == number,
         f"{number} to be counted, last {open_of(lab, address, service)}", PROMISED)


def refusals(lab):
    return lab.counts().get(("drop", "connections"), 0)


def established(lab):
    return lab.counts().get(("pass", "established"), 0)


def refused(lab, family, port=443):
    before = refusals(lab)
    return not connects(lab.client, INSIDE[family], port, 0.4) and refusals(lab) > before


def echoes(connection):
    connection.sendall(b"hello")
    return connection.recv(100) == b"hello"


def talks(lab, family, port=443, namespace=None):
    connection = connect(namespace or lab.client, INSIDE[family], port)
    assert echoes(connection), "no answer"
    return connection


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def close(connections):
    while connections:
        connections.pop().close()


def echo(lab, address, port):
    """Sends back what comes; `reset` resets. Closes when its client has closed."""
    def talk(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                if data == b"reset":
                    reset(connection)
                    return
                connection.sendall(data)

    def answer(server):
        threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    lab.serve(lab.box, 6 if ":" in address else 4, socket.SOCK_STREAM, address, port, answer)


def tracked_now(lab):
    return int(lab.node.run("sysctl", "-n", "net.netfilter.nf_conntrack_count", status=None).strip() or 0)


def kept(lab):
    return json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{lab.pins}/v1/routed"], check=True,
                                     capture_output=True).stdout)


@contextlib.contextmanager
def held(process):
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def recount(lab, late):
    """As bulwarkd does it (include/state.h), with a time that was read `late` seconds ago."""
    path = max(glob.glob(f"{lab.pins}/v1/recount-*"), key=lambda path: os.stat(path).st_mtime_ns)
    name = ctypes.create_string_buffer(path.encode())
    program = bpf(BPF_OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))
    for operation in (RECOUNT_BEGIN, RECOUNT_SETTLE):
        request = ctypes.create_string_buffer(struct.pack("=IIQ", operation, 0, time.monotonic_ns() - int(late * 1e9)), 16)
        bpf(BPF_PROG_TEST_RUN, struct.pack("=I36xI4xQ24x", program, 16, ctypes.addressof(request)))
    os.close(program)


def forget_flows(lab):
    """What the shield remembers of half-open and of forwarded connections, as time would have it forgotten."""
    path = f"{lab.pins}/v1/half_open"
    rows = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", path], check=True, capture_output=True).stdout)
    for row in rows:
        if any(int(byte, 16) for byte in row["value"]):
            subprocess.run(["bpftool", "map", "update", "pinned", path, "key", "hex", *(b[2:] for b in row["key"]), "value",
                            "hex", *["0"] * len(row["value"])], check=True, capture_output=True)


class Forger:
    """Sends from the attacker's side in another one's name, and sees what is answered to names of its own network."""

    def __init__(self, lab, family, source):
        self.lab, self.family, self.source = lab, family, source
        self.sender, self.capture, self.numbers = lab.attacker.raw("a0"), Capture(lab.attacker, "a0"), {}

    def send(self, port, flags, to=443, **fields):
        self.sender.send(ethernet(self.lab.eth1.mac, self.lab.a0.mac,
                                  tcp(self.source, INSIDE[self.family], port, to, flags, **fields)))

    def answered(self, number):
        at = 34 if self.family == 4 else 54
        for frame in self.capture.drain():
            if frame[at:at + 2] == struct.pack("!H", 443) and frame[at + 13] == SYN | ACK:
                self.numbers[struct.unpack("!H", frame[at + 2:at + 4])[0]] = struct.unpack("!I", frame[at + 4:at + 8])[0]
        return len(self.numbers) >= number

    def close(self):
        self.sender.close()
        self.capture.close()


def try_limit(lab, what, family):
    client = lab.c0[family]
    made = []
    try:
        with it(f"{what}: so many may be open and no more"):
            made += [talks(lab, family) for _ in range(MOST)]
            counted(lab, client, MOST)
            wait(lambda: refused(lab, family), "the first look of bulwarkd", PROMISED)
        with it(f"{what}: those that are open go on, another source has its own, another service is none of its business"):
            assert all(echoes(one) for one in made), "no answer"
            talks(lab, family, namespace=lab.attacker).close()
            talks(lab, family, 445).close()
        with it(f"{what}: closing one admits one, at once"):
            made.pop().close()
            counted(lab, client, MOST - 1)
            made.append(talks(lab, family))
            assert refused(lab, family), "one too many came about"
        with it(f"{what}: so does a reset by the client"):
            reset(made.pop())
            counted(lab, client, MOST - 1)
            made.append(talks(lab, family))
        with it(f"{what}: and one by the server"):
            made[-1].sendall(b"reset")
            counted(lab, client, MOST - 1)
            made.pop().close()
            made.append(talks(lab, family))
            assert refused(lab, family), "one too many came about"
        with it(f"{what}: a reload forgets nothing"):
            lab.apply(POLICY.format(mode=lab.mode, forward="services", more="stray: drop"))
            assert refused(lab, family), "one too many came about"
            lab.apply(POLICY.format(mode=lab.mode, forward="services", more=""))
        with it(f"{what}: half of a connection counts until the other half has ended"):
            made[-1].shutdown(socket.SHUT_WR)
            counted(lab, client, MOST - 1)
            made.pop().close()
    finally:
        close(made)
    counted(lab, client, 0)


def try_forged(lab, what, family):
    """The attacker's stack knows nothing of the address, so it resets nothing."""
    source = ("46.30.2.77", "2a01:7e00:2:0:1::77")[family == 6]
    prefix = ["-6", "neigh"] if family == 6 else ["neigh"]
    lab.node.run("ip", *prefix, "replace", source, "lladdr", lab.a0.mac.hex(":"), "dev", "eth1")
    forger = Forger(lab, family, source)
    with it(f"{what}: handshakes that somebody forges, who does not see the answers, are nobody's connections"):
        for port in range(2000, 2000 + 2 * MOST):
            forger.send(port, SYN)
        wait(lambda: forger.answered(2 * MOST), "SYN-ACKs")
        before = established(lab)
        for port, number in forger.numbers.items():
            forger.send(port, ACK, sequence=1001, acknowledge=(number + 12345) & 0xffffffff)
            forger.send(port, ACK | PSH, sequence=1001, acknowledge=(number - 77) & 0xffffffff, payload=b"x")
        wait(lambda: established(lab) >= before + 2 * len(forger.numbers), "ACKs")
        same(open_of(lab, source), 0)
        forger.numbers.clear()
    with it(f"{what}: of more SYNs than there is room for, only so many ACKs complete"):
        for port in range(3000, 3000 + MOST + 1):
            forger.send(port, SYN)
        wait(lambda: forger.answered(MOST + 1), "SYN-ACKs")
        for at, port in enumerate(sorted(forger.numbers)):
            before = refusals(lab)
            forger.send(port, ACK, sequence=1001, acknowledge=forger.numbers[port] + 1)
            if at < MOST:
                wait(lambda: open_of(lab, source) == at + 1, f"connection {at + 1}")  # noqa: B023
            else:
                wait(lambda: refusals(lab) > before, "the drop of the ACK over it")  # noqa: B023
        same(open_of(lab, source), MOST)
        before = refusals(lab)
        forger.send(port, ACK | PSH, sequence=1001, acknowledge=forger.numbers[port] + 1, payload=b"x")
        wait(lambda: refusals(lab) > before, "the drop of what follows it")
    for port in forger.numbers:
        forger.send(port, RST, sequence=1001)
    forger.close()
    with it(f"{what}: their resets are counted"):
        counted(lab, source, 0)


def try_forged_reset(lab, what, family):
    client, one = lab.c0[family], talks(lab, family)
    forger = Forger(lab, family, client)
    if not lab.tracked:
        with it(f"{what}: a recount with a time from before a reset does not take the connection to have ended"):
            counted(lab, client, 1)
            with held(lab.daemon):
                forger.send(one.getsockname()[1], RST, sequence=7)
                wait(lambda: any(row["formatted"]["value"]["reset"] for row in kept(lab)), "the reset to be seen")
                recount(lab, 0.6)
                same(open_of(lab, client), 1)
    with it(f"{what}: a reset that the server does not believe ends nothing: what goes on counts on"):
        counted(lab, client, 1)
        forger.send(one.getsockname()[1], RST, sequence=7)
        if not lab.tracked:  # it is seen, and who is silent after it is taken to have ended
            counted(lab, client, 0)
        assert echoes(one), "the connection has ended"
        counted(lab, client, 1)
        one.close()
        counted(lab, client, 0)
    forger.close()


def try_silent(lab, what, family):
    client, ended = lab.c0[family], talks(lab, family)
    with it(f"{what}: a client that vanished is counted until it is forgotten"):
        counted(lab, client, 1)
        if lab.tracked:
            wait(lambda: any(row["formatted"]["value"]["told"] for row in kept(lab)), "a look of bulwarkd", PROMISED)
            lab.node.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", 2)
            assert echoes(ended)
        else:
            forget_flows(lab)
        counted(lab, client, 0)
    if lab.tracked:
        lab.node.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", 432000)
    reset(ended)


def try_outbound(lab, what, family):
    """The limit is of the service, whoever asks."""
    inside, outside = lab.box, lab.c0[family]
    with it(f"{what}: what servers behind this host open themselves is no connection of the service"):
        made = [connect(inside, outside, 444) for _ in range(MOST + 2)]
        incoming = [talks(lab, family, 444) for _ in range(MOST)]
        wait(lambda: refused(lab, family, 444), "the refusal of one too many", PROMISED)
        close(made)
        close(incoming)
        wait(lambda: connects(lab.client, INSIDE[family], 444), "room", PROMISED)


def try_older(lab, what, family):
    client = lab.c0[family]
    lab.apply(WITHOUT.format(mode=lab.mode))
    old = [talks(lab, family) for _ in range(MOST)]
    lab.apply(POLICY.format(mode=lab.mode, forward="services", more=""))
    with it(f"{what}: connections older than the limit go on, and count once they say something, where they are tracked"):
        assert all(echoes(one) for one in old), "no answer"
        if lab.tracked:
            counted(lab, client, MOST)
            assert refused(lab, family), "one too many came about"
        close(old)
        counted(lab, client, 0)
    made = [talks(lab, family) for _ in range(MOST)]
    with it(f"{what}: under a policy that counts none of them nothing is kept"):
        counted(lab, client, MOST)
        lab.apply(WITHOUT.format(mode=lab.mode))
        wait(lambda: not kept(lab), "it to be forgotten", PROMISED)
        lab.apply(POLICY.format(mode=lab.mode, forward="pass", more=""))
        close(made)
        made = [talks(lab, family) for _ in range(MOST + 2)]
        counted(lab, client, 0)
        close(made)
    lab.apply(POLICY.format(mode=lab.mode, forward="services", more=""))


def try_all(lab, mode, family):
    lab.mode, what = mode, f"{mode}, IPv{family}, {'tracked' if lab.tracked else 'not tracked'}"
    lab.apply(POLICY.format(mode=mode, forward="services", more=""))
    with it(f"{what}: connection tracking is as it should be"):
        talks(lab, family, 445).close()
        same(tracked_now(lab) > 0, lab.tracked)
    try_limit(lab, what, family)
    try_forged(lab, what, family)
    try_forged_reset(lab, what, family)
    try_silent(lab, what, family)
    try_outbound(lab, what, family)
    try_older(lab, what, family)
    lab.bulwark("down")


def tests(lab):
    lab.box = lab.container()
    lab.forward()
    lab.tracked = False
    for family in (4, 6):
        for port in (443, 444, 445):
            echo(lab, INSIDE[family], port)
        lab.tcp_sink(lab.client, family, lab.c0[family], 444)
    lab.apply(POLICY.format(mode="native", forward="services", more=""))
    lab.daemon = lab.start(lab.node, BULWARKD, "--foreground", "--pin-dir", lab.pins, "--state-dir", lab.state)
    for mode, family in (("native", 4), ("generic", 6)):
        try_all(lab, mode, family)
    if not lab.node.works("nft", "add", "table", "inet", "t"):
        skip("with connection tracking", "no nftables here")
        return
    lab.node.run("nft", "-f", lab.file("stateful.nft", TRACKED))
    lab.tracked = True
    for mode, family in (("native", 6), ("generic", 4)):
        try_all(lab, mode, family)


main("routed-connections", tests)
