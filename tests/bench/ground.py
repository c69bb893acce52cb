# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the benchmark measures: interfaces of a node and their peers in a sender, a shield or a peer at each, floods between
them. All of it inside one enclosure (scripts/lab/enclosure.py), so that no packet leaves it and nothing is left behind."""

import json
import os
import pathlib
import subprocess
import time

import enclosure
from results import say
from shield import Shield

HERE = pathlib.Path(__file__).resolve().parent
NODE4, NODE6 = "198.18.{}.{}", "2001:2:{:x}::{}"  # the space for benchmarks (RFC 2544, RFC 5180); one net an interface
LONGEST_NAME = 15  # of an interface
SERVICE = {"ports": "tcp/443"}


def policy(feed=None, blocks=True, service=None, **more):
    """The text of a policy with one service and one list, which is blocked or may use the service; more replaces whole keys.
    YAML has JSON in it."""
    service = dict(service or SERVICE)
    if feed and not blocks:
        service["allow"] = ["big"]
    return json.dumps({"version": 1, "interfaces": ["auto"],
                       "lists": {"big": {"feed": str(feed), "bogons": "keep"}} if feed else {},
                       "block": ["big"] if feed and blocks else [], "services": {"api": service}} | more, indent=1)


class Place:
    """An interface of a node, its other end in the sender, and what judges the packets between them."""

    def __init__(self, ground, name, space="node"):
        ground.place_count += 1
        number = ground.place_count
        if len(name) > LONGEST_NAME:
            name, space = f"{name[:10]}-{number}", "node" if space == "node" else f"{space[:10]}-{number}"
        self.ground, self.name, self.device, self.space, self.room = ground, name, name, space, ground.lab.room
        self.bpftool = ground.bpftool
        self.address4, self.address6 = NODE4.format(number, 10), NODE6.format(number, 10)
        self.sender4, self.sender6 = NODE4.format(number, 1), NODE6.format(number, 1)
        self.net4 = NODE4.format(number, "{}")
        lab = ground.lab
        if space not in ground.spaces:
            lab.namespace(space)
            ground.spaces.add(space)
        lab.veth("sender", name, space, name, len(ground.cpus))
        lab.run(space, "ip", "address", "add", f"{self.address4}/24", "dev", name)
        lab.run(space, "ip", "address", "add", f"{self.address6}/64", "dev", name, "nodad")
        lab.run("sender", "ip", "address", "add", f"{self.sender4}/24", "dev", name)
        lab.run("sender", "ip", "address", "add", f"{self.sender6}/64", "dev", name, "nodad")
        # Without XDP a veth only takes redirected frames when it has GRO on, as network cards have.
        lab.run(space, "ethtool", "-K", name, "gro", "on")
        self.mac = lab.mac(space, name)

    def run(self, *command, **options):
        return self.ground.lab.run(self.space, *command, **options)

    def attach(self, section, program="bare.bpf.o"):
        """A baseline's own program."""
        self.run("ip", "link", "set", "dev", self.name, "xdp", "object", self.ground.build / "bench" / program, "section", section)
        return self

    def close(self):
        """With everything at it; a namespace of its own, too, and the tables in there."""
        self.ground.lab.run("sender", "ip", "link", "delete", self.name)
        if self.space != "node":
            enclosure.run("umount", self.room / "net" / self.space)
            self.ground.spaces.remove(self.space)

    def received(self):
        return self.ground.lab.link(self.space, self.name)["stats64"]["rx"]["packets"]


class Shielded(Place):
    """With a shield of its own: pins and state are this place's alone."""

    def __init__(self, ground, name):
        super().__init__(ground, name)
        self.fresh()

    def fresh(self):
        """As on a host that never had a policy."""
        self.shield = Shield(self.ground.lab, self.ground.build, f"{self.name}-{time.monotonic_ns()}")
        self.root = self.shield.pin_dir / "v1" / "root_xdp"
        self.events = self.shield.pin_dir / "v1" / "events"

    def apply(self, text):
        """Seconds that it took."""
        self.file = self.ground.lab.room / f"{self.name}.yaml"
        self.file.write_text(text)
        began = time.monotonic()
        self.shield.apply(self.file, self.name)
        return time.monotonic() - began

    def down(self):
        """Until the interface is free: the kernel lets go of a link in its own time."""
        self.shield.down()
        end = time.monotonic() + 10
        while "prog" in self.ground.lab.link(self.space, self.name).get("xdp", {}) and time.monotonic() < end:
            time.sleep(0.01)

    def close(self):
        self.down()
        super().close()

    def checked(self):
        return json.loads(self.shield("check", "--json", self.file))["files"][0]

    def judged(self):
        return sum(self.shield.packets().values())


class Flood:
    """A generator that is ready to send to a place: its sources are read once."""

    def __init__(self, place, profile, *options, cpus=None):
        self.place, self.is_ready = place, False
        ground = place.ground
        cpus = cpus or ground.cpus[-1:]
        self.process = ground.lab.start(
            "sender", ground.build / "flood", "--on-demand", "--iface", place.name, "--dst-mac", place.mac, "--dst",
            f"{place.address4},{place.address6}", "--profile", profile, "--cpu", ",".join(map(str, cpus)), *options, nice=-20,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ground.floods.append(self)

    def ready(self):
        """Waits until its sources are read; more than once is as good."""
        if self.is_ready:
            return self
        self.is_ready = True
        if self.process.stdout.readline() != "ready\n":
            raise enclosure.Trouble(f"the generator for {self.place.name} did not start (its words are above)")
        return self

    def begin(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def end(self):
        line = self.process.stdout.readline()
        if not line:
            raise enclosure.Trouble(f"the generator for {self.place.name} ended early (its words are above)")
        return json.loads(line)

    def go(self, seconds):
        """Packets a second that came through to the place."""
        before = self.place.received()
        self.begin(seconds)
        done = self.end()
        return (self.place.received() - before) / done["seconds"]

    def close(self):
        self.process.kill()
        self.process.wait()


class Ground:
    def __init__(self, lab, build, bpftool, rounds, seconds, repeat, largest):
        self.lab, self.build, self.bpftool = lab, build, bpftool
        self.rounds, self.seconds, self.repeat, self.largest = rounds, seconds, repeat, largest
        self.cpus = sorted(os.sched_getaffinity(0))[:2]
        self.place_count, self.spaces, self.made = 0, {"node"}, {}
        self.floods = []
        lab.namespace("sender")
        lab.namespace("node")

    def calm(self):
        """No flood goes on, whatever became of the part that began it."""
        for flood in self.floods:
            flood.close()
        self.floods.clear()

    # ---- what is measured

    def list(self, count, ipv6=False, hosts=False):
        """A file of that many prefixes, always the same ones."""
        path = self.build / "bench" / f"{'hosts' if hosts else 'prefixes'}-{count}{'-v6' if ipv6 else ''}.txt"
        if not path.exists():
            say(f"writing {path.name}")
            partial = path.with_suffix(".partial")
            options = (["-6"] if ipv6 else []) + (["-1"] if hosts else [])
            with partial.open("w") as file:
                subprocess.run([self.build / "bench" / "prefixes", str(count), *options], stdout=file, check=True)
            partial.rename(path)
        return path

    def shielded(self, name, text):
        """Made once, with its policy applied."""
        if name not in self.made:
            place = Shielded(self, name)
            place.apply(text)
            self.made[name] = place
        return self.made[name]

    def blocking(self, count, ipv6=False, hosts=False):
        return self.shielded(f"b{'h' if hosts else ''}{count}{'v6' if ipv6 else ''}", policy(self.list(count, ipv6, hosts)))

    def allowing(self, count, ipv6=False):
        return self.shielded(f"a{count}{'v6' if ipv6 else ''}", policy(self.list(count, ipv6), blocks=False))

    def plain(self):
        return self.shielded("plain", policy())

    def peer(self, name, setup, *arguments):
        """In a network namespace of its own, where setup(place, ...) protects it; made once. What setup returns is .load."""
        if name not in self.made:
            place = Place(self, name, f"{name}-node")
            try:
                place.load = setup(place, *arguments)
            except enclosure.Trouble:
                place.close()
                raise
            self.made[name] = place
        return self.made[name]

    def bare(self):
        if "bare" not in self.made:
            self.made["bare"] = Place(self, "bare").attach("xdp")
        return self.made["bare"]

    def bucket(self):
        if "bucket" not in self.made:
            self.made["bucket"] = Place(self, "bucket").attach("xdp", "bucket.bpf.o")
        return self.made["bucket"]

    def forget(self, *names):
        """What takes much memory, after use."""
        for name in names:
            if name in self.made:
                self.made.pop(name).close()

    # ---- how

    def probe(self, place, programs, *arguments, v6=False, rounds=None, expect="pass"):
        """Lists of ns a packet, one of each program, taken in turns. The first is the baseline and need not do what is
        expected. Programs: a place stands for its root, a name for one of probe's own."""
        command = [self.build / "bench" / "probe", "--iface", place.name, "--dst", place.address6 if v6 else place.address4,
                   "--expect", expect, "--rounds", rounds or self.rounds, "--repeat", self.repeat, "--cpu", self.cpus[-1]]
        for program in programs:
            command += ["--program", program.root if isinstance(program, Place) else program]
        if isinstance(place, Shielded):
            command += ["--events", place.events]
        return json.loads(self.lab.run("node", *command, *arguments))

    def turns(self, floods, seconds=None, rounds=None):
        """Packets a second, a list of rounds of each: name -> Flood."""
        for flood in floods.values():
            flood.ready()
        drainers = [self.drain(flood.place) for flood in floods.values() if isinstance(flood.place, Shielded)]
        rates = {name: [] for name in floods}
        try:
            for flood in floods.values():
                flood.go(0.1)
            for _ in range(rounds or self.rounds):
                for name, flood in floods.items():
                    rates[name].append(flood.go(seconds or self.seconds))
        finally:
            for drainer in drainers:
                drainer.kill()
                drainer.wait()
            for flood in floods.values():
                flood.close()
        return rates

    def drain(self, place):
        """Keeps the events flowing, as the daemon does."""
        return self.lab.start("node", self.build / "bench" / "probe", "--drain", place.events)


def differences(ours, theirs):
    return [mine - other for mine, other in zip(ours, theirs)]


def ratios(ours, theirs):
    return [mine / other for mine, other in zip(ours, theirs)]
