#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the flood generator puts on the wire: lengths and checksums of every profile are right, so that no peer of the benchmark
drops a packet before it has looked at it; and captures are sent again, in their order, to the address asked for."""

import os
import pathlib
import socket
import struct
import subprocess
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts" / "lab"))
sys.dont_write_bytecode = True

import enclosure  # noqa: E402

BUILD = (HERE.parent.parent / os.environ.get("BUILD", "build")).resolve()
NODE4, NODE6 = "198.18.0.10", "2001:2::10"
BLOCKED = "46.30.0.0/16,2a01:7e00::/32"
MOST = 400  # frames that are looked at
LISTEN = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
print("ready", flush=True)
sys.stdin.readline()
wire.setblocking(False)
try:
    for _ in range(%d):
        frame, where = wire.recvfrom(2048)
        if where[2] != socket.PACKET_OUTGOING:
            print(frame.hex())
except BlockingIOError:
    pass
""" % MOST


def ones(data):
    data = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def right(frame):
    """Asserts what a receiver would; returns source, destination, protocol and transport bytes."""
    tags = 4 if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else 0  # the kernel has taken the outer one
    packet = frame[14 + tags:]
    if packet[0] >> 4 == 4:
        assert ones(packet[:20]) == 0xffff, "IPv4 header checksum"
        length, protocol, offset = struct.unpack("!H", packet[2:4])[0], packet[9], struct.unpack("!H", packet[6:8])[0] & 0x1fff
        source, destination, transport = packet[12:16], packet[16:20], packet[20:length]
        pseudo = b"" if protocol == 1 else source + destination + struct.pack("!HH", protocol, length - 20)
    else:
        assert packet[0] >> 4 == 6, f"version {packet[0] >> 4}"
        length, protocol, offset = struct.unpack("!H", packet[4:6])[0] + 40, packet[6], 0
        source, destination, transport = packet[8:24], packet[24:40], packet[40:length]
        pseudo = source + destination + struct.pack("!IHH", length - 40, 0, protocol)
    assert len(packet) >= length and (len(frame) == 60 or len(packet) == length), f"{len(packet)} bytes, {length} said"
    if not offset and protocol != 44:
        assert ones(pseudo + transport) == 0xffff, f"checksum of protocol {protocol}"
    return source, destination, protocol, transport


class Wire:
    def __init__(self, lab):
        self.lab = lab
        for name in ("sender", "node"):
            lab.namespace(name)
        lab.veth("sender", "eth0", "node", "eth0", 2)
        lab.run("node", "ethtool", "-K", "eth0", "gro", "on")
        self.mac = lab.mac("node", "eth0")

    def frames(self, *what, seconds=0.1):
        listener = self.lab.start("node", "python3", "-c", LISTEN, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert listener.stdout.readline() == "ready\n"
        for _ in range(20):  # a busy machine may give it no turn in so short a time
            done = self.lab.run("sender", BUILD / "flood", "--iface", "eth0", "--dst-mac", self.mac, *what, "--duration", seconds)
            if '"sent":0' not in done:
                break
        return [bytes.fromhex(line) for line in listener.communicate("\n")[0].split()]


def profiles():
    lines = enclosure.run(BUILD / "flood", "--help").splitlines()
    return [line.split()[0] for line in lines[next(at for at, line in enumerate(lines) if line.startswith("profiles")) + 1:]]


def check_profile(wire, profile):
    frames = wire.frames("--dst", f"{NODE4},{NODE6}", "--profile", profile, "--blocked", BLOCKED, "--rate", 5000)
    ours = [frame for frame in frames if frame[:6] == bytes.fromhex(wire.mac.replace(":", ""))]
    assert len(ours) >= 20, f"{len(ours)} frames"
    found = [right(frame) for frame in ours]
    same = {destination for _, destination, _, _ in found}
    assert same == {socket.inet_pton(socket.AF_INET6, NODE6) if profile.endswith("-v6") else socket.inet_aton(NODE4)}, same
    if not profile.startswith("one-source"):
        assert len({source for source, _, _, _ in found}) > len(found) / 2, "many sources"
    sizes = {"imix": {60, 594, 1514}, "spoofed-syn": {74}, "syn-plain": {60}}.get(profile)
    assert not sizes or {len(frame) for frame in ours} == sizes, {len(frame) for frame in ours}


def capture(path, packets, link_type=1, cut=()):
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link_type))
        for number, (at, packet) in enumerate(packets):
            kept = packet[:20] if number in cut else packet
            file.write(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(kept), len(packet)) + kept)


def udp4(number, destination="203.0.113.9"):
    payload = struct.pack("!I", number) + b"x" * (number % 40)
    source, target = socket.inet_aton(f"45.1.2.{number % 200}"), socket.inet_aton(destination)
    udp = struct.pack("!HHHH", 4000, 9200, 8 + len(payload), 0)
    check = ones(source + target + struct.pack("!HH", 17, len(udp + payload)) + udp + payload) ^ 0xffff
    udp = udp[:6] + struct.pack("!H", check or 0xffff)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp + payload), number, 0, 64, 17, 0) + source + target
    return ip[:10] + struct.pack("!H", ones(ip) ^ 0xffff) + ip[12:] + udp + payload


def udp6(number):
    payload = struct.pack("!I", number) + b"y" * 30
    source, target = socket.inet_pton(socket.AF_INET6, "2a01:77::5"), socket.inet_pton(socket.AF_INET6, "2001:db8::9")
    udp = struct.pack("!HHHH", 4000, 9200, 8 + len(payload), 0)
    check = ones(source + target + struct.pack("!IHH", len(udp + payload), 0, 17) + udp + payload) ^ 0xffff
    return struct.pack("!IHBB", 6 << 28, len(udp + payload), 17, 64) + source + target + udp[:6] + struct.pack("!H", check) + payload


def ethernet(packet):
    return b"\2\2\2\2\2\2\4\4\4\4\4\4" + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def numbers(frames):
    """The payloads' numbers, of what is right and arrived at the node's address."""
    found = [right(frame) for frame in frames]
    assert all(destination in (socket.inet_aton(NODE4), socket.inet_pton(socket.AF_INET6, NODE6)) for _, destination, _, _ in found)
    return [struct.unpack("!I", transport[8:12])[0] for _, _, protocol, transport in found if protocol == 17]


def check_replay_in_order(wire):
    path = wire.lab.room / "a.pcap"
    capture(path, [(number * 0.001, ethernet(udp6(number) if number % 3 == 2 else udp4(number))) for number in range(30)])
    found = numbers(wire.frames("--replay", path, "--dst", f"{NODE4},{NODE6}", "--rate", 2000))
    assert len(found) > 60 and found == [number % 30 for number in range(len(found))], found


def check_replay_of_raw_ip(wire):
    path = wire.lab.room / "raw.pcap"
    capture(path, [(0, udp4(1)), (0, udp6(2)), (0, udp4(3))], link_type=101)
    found = numbers(wire.frames("--replay", path, "--dst", f"{NODE4},{NODE6}", "--rate", 2000))
    assert set(found) == {1, 2, 3}, found


def check_replay_leaves_out_what_is_cut_off(wire):
    path = wire.lab.room / "cut.pcap"
    capture(path, [(0, ethernet(udp4(number))) for number in range(4)], cut=(1, 3))
    found = numbers(wire.frames("--replay", path, "--dst", NODE4, "--rate", 2000))
    assert set(found) == {0, 2}, found


def check_replay_keeps_time(wire):
    path = wire.lab.room / "slow.pcap"
    capture(path, [(number * 0.1, ethernet(udp4(number))) for number in range(8)])
    found = numbers(wire.frames("--replay", path, "--dst", NODE4, "--speed", 2, seconds=0.3))
    assert 1 <= len(found) <= 7 and found == list(range(len(found))), found  # one each 50 ms, the first at once


def check_replay_refuses(wire):
    path = wire.lab.room / "none.pcap"
    capture(path, [])
    for what, words in ((["--replay", path], "no packet that can be sent"), (["--replay", "/dev/null"], "--replay"),
                        (["--replay", path, "--profile", "ack"], "usage"), (["--profile", "ack", "--speed", 2], "--speed")):
        try:
            wire.frames(*what, "--dst", NODE4)
        except enclosure.Trouble as trouble:
            assert words in str(trouble), trouble
        else:
            raise AssertionError(f"{what} was taken")


def main():
    if os.geteuid() or not (BUILD / "flood").exists():
        print(f"1..0 # SKIP {'needs root' if os.geteuid() else 'build/flood is not built'}")
        return 0
    lab = enclosure.Lab(enclosure.enter())
    checks = [(f"every packet of '{profile}' is right", lambda wire, profile=profile: check_profile(wire, profile))
              for profile in profiles()]
    checks += [(name[6:].replace("_", " "), function) for name, function in globals().items() if name.startswith("check_replay")]
    print(f"1..{len(checks)}")
    failed = 0
    try:
        wire = Wire(lab)
        for number, (name, check) in enumerate(checks, 1):
            try:
                check(wire)
                print(f"ok {number} - {name}", flush=True)
            except (AssertionError, enclosure.Trouble, struct.error, IndexError):
                failed += 1
                print("# " + traceback.format_exc().strip().replace("\n", "\n# "))
                print(f"not ok {number} - {name}", flush=True)
    finally:
        lab.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
