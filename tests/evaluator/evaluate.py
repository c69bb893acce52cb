#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: evaluate.py POLICY CAPTURE [--to ADDR]...

What becomes of each packet of a capture, decided slowly and on its own: written from the product's description, it shares
nothing with the programs. Prints {"n", "verdict", "reason", "service", "source", "would-drop"} a packet, as `bulwark
explain --json` does; "unsure": true where a lifetime ends within the second that the programs' clocks are coarse by.
"""

import argparse
import ipaddress
import json
import struct
import sys

import captures
import packets
from packets import ACK, FIN, RST, SYN, CutOff, Refused
from policies import Policy

SECOND = 10**9
ASKED, SPOKEN, FRAGMENT_LIFE, TIME_WAIT = 30 * SECOND, 120 * SECOND, 30 * SECOND, 60 * SECOND
COARSE = 2 * SECOND  # how far a lifetime may be off
# UDP source ports of services that are abused for amplification
REFLECTORS = {17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 623, 1434, 1604, 1900, 3283, 3702, 5093, 5353, 5683,
              10001, 10074, 11211, 32414, 33848, 37810}


class Verdict:
    def __init__(self, verdict, reason, service=None):
        self.verdict, self.reason, self.service = verdict, reason, service
        self.would = None


class Timed:
    """Things remembered for a while."""

    def __init__(self):
        self.ends = {}
        self.unsure = False

    def note(self, key, end):
        self.ends[key] = end

    def knows(self, key, now):
        end = self.ends.get(key)
        if end is None:
            return False
        if abs(end - now) < COARSE:
            self.unsure = True
        return now < end


class Connections:
    """TCP connections of the capture. States: half, open, before."""

    def __init__(self):
        self.state, self.finished, self.ends = {}, {}, {}

    @staticmethod
    def key(seen):
        ends = ((seen["source"], seen["ports"][0]), (seen["destination"], seen["ports"][1]))
        return (min(ends), max(ends))

    def foresee(self, glances):
        first, spoke = {}, {}
        for seen in glances:
            if "flags" not in seen:
                continue
            key = self.key(seen)
            first.setdefault(key, seen["flags"] & (SYN | ACK) == SYN)
            if not seen["flags"] & RST:
                spoke.setdefault(key, set()).add((seen["source"], seen["ports"][0]))
        for key, began in first.items():
            if not began and len(spoke.get(key, ())) == 2:
                self.state[key] = "before"

    def before(self, seen, now):
        if "flags" not in seen:
            return
        key = self.key(seen)
        if key in self.ends and (now >= self.ends[key] or seen["flags"] & (SYN | ACK) == SYN):
            del self.ends[key]
            self.state.pop(key, None)

    def after(self, seen, now):
        if "flags" not in seen:
            return
        key, flags = self.key(seen), seen["flags"]
        if flags & (SYN | ACK) == SYN:
            if key not in self.state:
                self.state[key] = "half"
                self.finished[key] = set()
                self.ends.pop(key, None)
            return
        if key not in self.state:
            return
        if flags & RST:
            self.state.pop(key)
            self.ends.pop(key, None)
            return
        if flags & FIN:
            self.finished.setdefault(key, set()).add((seen["source"], seen["ports"][0]))
        if len(self.finished.get(key, ())) == 2:
            self.ends.setdefault(key, now + TIME_WAIT)
        if self.state[key] == "half" and not flags & SYN:
            self.state[key] = "open"

    def open(self, one, other):
        return (min(one, other), max(one, other)) in self.state


def link_local(address):
    return address[0] == 6 and address[1] >> 118 == 0xFE80 >> 6


def group(address):
    version, number = address
    return number >> 120 == 0xFF if version == 6 else number >> 28 == 14 or number == 0xFFFFFFFF


class Evaluator:
    def __init__(self, policy, own):
        self.policy = policy
        self.own = {(address.version, int(address)) for address in map(ipaddress.ip_address, own)}
        self.connections = Connections()
        self.flows, self.fragments = Timed(), Timed()
        self.spoken = set()
        self.arrivals = {}  # theoretical arrival times of the budgets
        self.neighbours = {}  # of MAC addresses at the floor
        self.now = 0

    # ---- what is remembered

    def within(self, name):
        rate = self.policy.budgets[name]
        if rate is None:
            return False
        increment, tolerance = rate
        arrival = self.arrivals.get(name, 0)
        if arrival > self.now + tolerance:
            return False
        self.arrivals[name] = max(arrival, self.now) + increment
        return True

    def asked(self, flow):
        """Whether this host asked for it; then both have spoken."""
        if not self.flows.knows(flow, self.now):
            return False
        life = SPOKEN if flow[0] == packets.UDP else ASKED
        self.spoken.add(flow)
        self.flows.note(flow, self.now + life)
        return True

    def left(self, seen):
        """A packet that this host sent. What it sends is not judged, however odd."""
        six = seen["version"] == 6
        protocol, source, destination = seen["protocol"], seen["source"], seen["destination"]
        if seen["later"] or seen.get("headers", 0) > packets.EXTENSIONS_WALKED:
            return
        if protocol == packets.UDP and "ports" in seen:
            port, other = seen["ports"]
            service = self.policy.service(protocol, port, source)
            if other < 1024 and other != port and other in REFLECTORS:
                service = None  # that is a question, from whatever port
            if service and (not service.allow or self.policy.in_any(destination, service.allow)):
                return  # an answer of a service is no question
        elif protocol == (packets.ICMPV6 if six else packets.ICMP) and seen.get("icmp_type") == (128 if six else 8):
            port = other = seen["ident"]
        else:
            return
        flow = (protocol, source, port, destination, other)
        if not self.flows.knows(flow, self.now):
            self.spoken.discard(flow)
        spoken = flow in self.spoken and protocol == packets.UDP
        self.flows.note(flow, self.now + (SPOKEN if spoken else ASKED))

    # ---- the floor and what cannot be

    def floor(self, packet):
        if packet.fragment == "later":
            return False
        if packet.version == 4:
            if packet.protocol == packets.IGMP and packet.destination[1] >> 28 == 14 and packet.ttl == 1:
                return True
            return packet.protocol == packets.UDP and (packet.source_port, packet.destination_port) == (67, 68)
        if packet.protocol == packets.ICMPV6:
            kind = packet.icmp_type
            if 133 <= kind <= 137:
                if packet.ttl != 255 or packet.icmp_code or packet.fragment:
                    raise Refused("malformed-nd")
                if kind in (134, 137) and not link_local(packet.source):
                    raise Refused("malformed-nd")
                return True
            if kind in (130, 131, 132, 143):
                if packet.ttl == 1 and (link_local(packet.source) or packet.source[1] == 0):
                    return True
                raise Refused("icmp-type")
        ports = (packet.source_port, packet.destination_port)
        return packet.protocol == packets.UDP and ports == (547, 546) and link_local(packet.source)

    def floor_takes(self, packet):
        """What one MAC address may send there in a second, all at once: what the kernel works on, and other frames."""
        frame = not packet.version and packets.link(packet.frame)[0] != packets.ARP
        key, cost = (packet.frame[6:12], frame), 10**4 if frame else 10**6
        debt = max(self.neighbours.get(key, 0) - self.now, 0)
        if debt > 10**9 - cost:
            return False
        self.neighbours[key] = self.now + debt + cost
        return True

    def addresses(self, packet):
        version, source = packet.source
        destination = packet.destination[1]
        if version == 4:
            dhcp = (packet.protocol, packet.source_port, packet.destination_port) == (packets.UDP, 68, 67)
            if source >> 24 == 0 and not (source == 0 and dhcp):
                raise Refused("malformed-source")
            if source >> 24 == 127 or source >> 28 == 14 or source == 0xFFFFFFFF:
                raise Refused("malformed-source")
            if destination >> 24 in (0, 127):
                raise Refused("malformed-destination")
        else:
            nowhere = lambda number: number in (0, 1) or number >> 32 == 0xFFFF
            if source >> 120 == 0xFF or nowhere(source):
                raise Refused("malformed-source")
            if nowhere(destination):
                raise Refused("malformed-destination")
        if packet.protocol in (packets.TCP, packets.UDP):
            if (packet.source, packet.source_port) == (packet.destination, packet.destination_port):
                raise Refused("malformed-land")

    # ---- who sent it

    def proven(self, packet):
        if packet.fragment == "later":
            return False
        if packet.protocol == packets.UDP or packet.is_icmp():
            return self.asked(packet.flow())
        if packet.protocol != packets.TCP or packet.flags & (SYN | ACK) == SYN:
            return False
        return self.connected(packet)

    def connected(self, packet):
        return self.connections.open((packet.source, packet.source_port), (packet.destination, packet.destination_port))

    def judge_source(self, packet, outcome):
        if self.policy.in_any(packet.source, self.policy.trusted):
            if self.proven(packet) or self.within("trusted"):
                return "trusted"
        for use in self.policy.block:
            if packet.source not in self.policy.lists[use["list"]]:
                continue
            if use.get("monitor") or self.policy.monitor:
                outcome.would = outcome.would or "blocked"
        for use in self.policy.block:
            if use.get("monitor") or self.policy.monitor:
                continue
            if packet.source in self.policy.lists[use["list"]]:
                raise Refused("blocked")
        return None

    # ---- exposure

    def forwarded(self, packet):
        return bool(self.own) and packet.destination not in self.own and not group(packet.destination)

    def judge_exposure(self, packet, outcome):
        if self.forwarded(packet):
            if self.policy.forward == "pass":
                return "forwarded"
            if self.policy.forward == "drop":
                raise Refused("forward-refused")
        if packet.fragment == "later":
            if self.fragments.knows((packet.source, packet.destination, packet.fragment_id), self.now):
                return "fragment"
            if self.within("fragment"):
                return "fragment-budget"
            raise Refused("fragment-early")
        if packet.is_icmp():
            return self.judge_icmp(packet)
        service = self.policy.service(packet.protocol, packet.destination_port, packet.destination)
        outcome.service = service.name if service else None
        if packet.protocol == packets.TCP:
            return self.judge_tcp(packet, outcome, service)
        if packet.protocol == packets.UDP:
            reflected = packet.source_port in REFLECTORS and packet.source_port != packet.destination_port and (
                service is None or (not service.allow and packet.source_port < 1024))
            if (reflected or not self.admits(packet, service)) and self.asked(packet.flow()):
                return "answer"
            if reflected and (service is None or self.admits(packet, service)):
                return self.judge_reflected(outcome, service)
        reason = self.judge_service(packet, outcome, service)
        if packet.protocol == packets.UDP and service and service.quic is not None:
            return self.judge_quic(packet, outcome, service)
        return reason

    def judge_quic(self, packet, outcome, service):
        versions = service.quic.get("versions", ["v1", "v2"])
        named = {"v1": 1, "v2": 0x6B3343CF}
        taken = {named.get(text) or int(text, 16) for text in ([versions] if isinstance(versions, str) else versions)}
        why = packets.quic(packet.payload, taken)
        if not why:
            return "service"
        if self.asked(packet.flow()):
            return "answer"
        lenient = why == "quic-unknown" and service.quic.get("unknown", "pass") == "pass"
        if not lenient and not (service.quic.get("monitor") or service.monitor or self.policy.monitor):
            raise Refused(why)
        outcome.would = outcome.would or why
        return "service"

    def admits(self, packet, service):
        if service is None or (service.ttl and packet.ttl != service.ttl):
            return False
        return not service.allow or self.policy.in_any(packet.source, service.allow)

    def judge_service(self, packet, outcome, service):
        if service is None:
            if self.policy.default_pass:
                outcome.verdict = "pass"
            raise Refused("unexposed")
        if not self.admits(packet, service):
            if not service.monitor and not self.policy.monitor:
                raise Refused("not-allowed")
            outcome.would = outcome.would or "not-allowed"
        return "service"

    def judge_reflected(self, outcome, service):
        if service and (service.monitor or self.policy.monitor):
            outcome.would = outcome.would or "amplification"
            return "service"
        if service is None and self.policy.default_pass:
            outcome.verdict = "pass"
        raise Refused("amplification")

    def judge_tcp(self, packet, outcome, service):
        if packet.flags & (SYN | ACK) == SYN:
            return self.judge_service(packet, outcome, service)
        if self.connected(packet):
            return "established" if service else "answer"
        if self.policy.stray_pass or self.within("stray"):
            outcome.verdict = "pass"
        raise Refused("stray")

    def judge_icmp(self, packet):
        six, kind = packet.version == 6, packet.icmp_type
        if kind == (128 if six else 8):
            if self.within("echo"):
                return "icmp-echo"
            raise Refused("icmp-rate")
        if kind == (129 if six else 0):
            if self.asked(packet.flow()):
                return "answer"
            raise Refused("icmp-unrelated")
        if kind in ((1, 2, 3, 4) if six else (3, 11, 12)):
            return self.judge_error(packet)
        raise Refused("icmp-type")

    def quoted(self, packet):
        """The packet of ours that an ICMP error quotes: addresses, protocol and ports, or None."""
        data, quote = packet.payload[8:], packets.Packet(b"")
        if packet.version == 4:
            if len(data) < 20 or data[0] >> 4 != 4 or data[0] & 15 < 5:
                return None
            if struct.unpack_from(">H", data, 6)[0] & 0x1FFF:
                return None
            quote.source, quote.destination = (
                (4, int.from_bytes(data[12:16], "big")), (4, int.from_bytes(data[16:20], "big")))
            quote.protocol, data = data[9], data[(data[0] & 15) * 4 :]
        else:
            if len(data) < 40 or data[0] >> 4 != 6:
                return None
            quote.source, quote.destination = (
                (6, int.from_bytes(data[8:24], "big")), (6, int.from_bytes(data[24:40], "big")))
            quote.protocol, data = data[6], data[40:]
            if quote.protocol == packets.FRAGMENT:
                if len(data) < 8 or struct.unpack_from(">H", data, 2)[0] & 0xFFF8:
                    return None  # a later fragment has no ports
                quote.protocol, data = data[0], data[8:]
        quote.version = packet.version
        if len(data) < 8:
            return None
        quote.source_port, quote.destination_port = struct.unpack_from(">HH", data)
        if quote.is_icmp():
            quote.source_port = quote.destination_port = struct.unpack_from(">H", data, 4)[0]
        return quote

    def judge_error(self, packet):
        quote = self.quoted(packet)
        if quote is None:
            raise Refused("icmp-unrelated")
        local, remote = (quote.source, quote.source_port), (quote.destination, quote.destination_port)
        if quote.protocol == packets.TCP and self.connections.open(local, remote):
            return "icmp-error"
        if quote.protocol != packets.TCP and self.asked((quote.protocol, *local, *remote)):
            return "icmp-error"
        if quote.source != packet.destination:
            raise Refused("icmp-unrelated")
        if self.policy.service(quote.protocol, quote.source_port, quote.source) and self.within("icmp-error"):
            return "icmp-declared"
        raise Refused("icmp-unrelated")

    # ---- all of it, in order

    def steps(self, packet, outcome):
        if not packets.parse(packet) or self.floor(packet):
            if not self.floor_takes(packet):
                raise Refused("floor-rate")
            return "floor"
        self.addresses(packet)
        reason = self.judge_source(packet, outcome)
        if not reason:
            reason = self.judge_exposure(packet, outcome)
            if self.health_check(packet, reason):
                return "health-check"
            self.judge_limits(packet, outcome, reason)
        return reason

    def health_check(self, packet, reason):
        return (reason in ("service", "established") and self.policy.in_any(packet.source, self.policy.health_checks)
                and self.within("health-check"))

    def judge_limits(self, packet, outcome, reason):
        if reason not in ("service", "established"):
            return
        proven = reason == "established"
        service = next(service for service in self.policy.services if service.name == outcome.service)
        for limit in service.limits:
            if limit.kind == "new-connections" and (proven or packet.protocol != packets.TCP):
                continue
            if not self.policy.counts(limit, packet.source) or limit.within(packet.source, proven, len(packet.frame), self.now):
                continue
            if not limit.monitor and not self.policy.monitor:
                raise Refused(limit.reason)
            outcome.would = outcome.would or limit.reason

    def judge(self, packet):
        outcome = Verdict(None, None)
        try:
            outcome.reason = self.steps(packet, outcome)
            outcome.verdict = "pass"
        except Refused as refused:
            outcome.reason = str(refused)
            if outcome.reason.startswith("unparsed-") and self.policy.unparsed_pass:
                outcome.verdict = "pass"
            outcome.verdict = outcome.verdict or "drop"
        if outcome.verdict == "drop" and self.policy.monitor:
            outcome.would = outcome.would or outcome.reason
            outcome.verdict, outcome.reason = "pass", "monitored"
        if packet.fragment == "first" and outcome.verdict == "pass":
            key = (packet.source, packet.destination, packet.fragment_id)
            if not self.fragments.knows(key, self.now):
                self.fragments.note(key, self.now + FRAGMENT_LIFE)
        return outcome

    def sends(self, seen):
        return "source" in seen and seen["source"] in self.own and seen["destination"] not in self.own

    def packet(self, captured, seen):
        """What `explain --json` says of one packet."""
        self.flows.unsure = self.fragments.unsure = False
        if seen is None:
            return {"verdict": None, "reason": None, "service": None, "source": None}
        packet = packets.Packet(captured.data + bytes(captured.original - len(captured.data)))
        self.connections.before(seen, self.now)
        if self.sends(seen):
            self.left(seen)
            self.connections.after(seen, self.now)
            return {"verdict": "sent", "reason": None, "service": None, "source": text_of(seen["source"])}
        outcome = self.judge(packet)
        if outcome.verdict == "pass":
            self.connections.after(seen, self.now)
        answer = {
            "verdict": outcome.verdict,
            "reason": outcome.reason,
            "service": outcome.service,
            "source": text_of(packet.source),
        }
        if outcome.would:
            answer["would-drop"] = outcome.would
        if self.flows.unsure or self.fragments.unsure:
            answer["unsure"] = True
        return answer


def text_of(address):
    if address is None:
        return None
    version, number = address
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


def glance_or_none(captured):
    try:
        return packets.glance(captured.data, captured.original)
    except CutOff:
        return None


def evaluate(policy_path, capture_path, own):
    frames = captures.read(capture_path)
    evaluator = Evaluator(Policy(policy_path, own), own)
    glances = [glance_or_none(captured) for captured in frames]
    evaluator.connections.foresee(seen for seen in glances if seen)
    for number, (captured, seen) in enumerate(zip(frames, glances), 1):
        evaluator.now = captured.time if number == 1 else max(captured.time, evaluator.now)
        yield {"n": number, **evaluator.packet(captured, seen)}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("policy")
    parser.add_argument("capture")
    parser.add_argument("--to", action="append", default=[])
    options = parser.parse_args()
    for answer in evaluate(options.policy, options.capture, options.to):
        json.dump(answer, sys.stdout)
        print()


if __name__ == "__main__":
    main()
