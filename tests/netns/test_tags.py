#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tags: a server reads its service and the class of its client, a firewall rule matches them, a container's flow carries
them, other software's mark bits stay, and a policy without tags attaches nothing for them."""

import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../userspace/bulwark-policy.5.scd")
NEW, PROVEN, SUSPECT, TRUSTED = range(4)
POLICY = """
mode: {mode}
lists:
  office: {{ addresses: [45.33.1.0/24, "2a01:7e00:1::/64"] }}
  bad:    {{ addresses: [46.30.2.2, "2a01:7e00:2::2"] }}
{who}
services:
  web:       {{ ports: [tcp/443, udp/443], tag: 10 }}
  plain:     {{ ports: tcp/80 }}
  published: {{ ports: tcp/8443, tag: 11 }}
tag-mask: 0x0000ff00
"""
UNTAGGED = """
services:
  web:   {{ ports: [tcp/443, udp/443] }}
  plain: {{ ports: tcp/80 }}
"""
NFT = """
table inet counts {
	chain input {
		type filter hook input priority 0
		tcp dport 443 ct state established meta mark & 0xff00 == 0x4a00 counter comment "proven"
		tcp dport 443 ct state new meta mark & 0xff00 == 0x0a00 counter comment "new"
		udp dport 443 meta mark & 0xff00 == 0x0a00 counter comment "datagram"
		tcp dport 443 meta mark & 0x3f00 != 0x0a00 counter comment "other"
		tcp dport 80 meta mark != 0 counter comment "untagged"
		tcp dport 443 meta priority 0:6 counter comment "interactive"
		tcp dport 443 meta priority 0:2 counter comment "bulk"
		tcp dport 443 meta priority none counter comment "usual"
	}
	chain output {
		type filter hook output priority 0
		tcp sport 443 meta mark & 0xff00 == 0x4a00 counter comment "answer"
	}
	chain forward {
		type filter hook forward priority 0
		ip daddr 10.77.0.2 ct direction original meta mark & 0x3f00 == 0x0b00 counter comment "container"
		ip daddr 10.77.0.2 ct direction original meta mark & 0x3f00 != 0x0b00 counter comment "bare"
	}
}
table ip nat {
	chain in {
		type nat hook prerouting priority dstnat
		iifname "eth*" tcp dport 8443 dnat to 10.77.0.2:443
	}
}
"""


def mark(tag, kind, other=0):
    return tag << 8 | kind << 14 | other


def counters(lab):
    """{comment: packets} of the rules that count."""
    found = {}
    for item in json.loads(lab.node.run("nft", "-j", "list", "ruleset"))["nftables"]:
        rule = item.get("rule")
        if rule and rule.get("comment"):
            found[rule["comment"]] = next(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)
    return found


def manual_counts(lab):
    """Packets of the man page's rules, in their order."""
    items = json.loads(lab.node.run("nft", "-j", "list", "chain", "inet", "filter", "input"))["nftables"]
    return [expression["counter"]["packets"] for item in items if "rule" in item for expression in item["rule"]["expr"]
            if "counter" in expression]


def counted(lab, comment, before):
    return wait(lambda: counters(lab)[comment] > before[comment], f"the rule '{comment}' to count")


def mark_seen(lab, client, port, family=4, address=None):
    """The mark that the server finds on the socket it accepted from client."""
    accepted = lab.accepted[port, family]
    before = len(accepted)
    with connect(client, address or (lab.eth0 if client is lab.client else lab.eth1)[family], port) as one:
        same(one.recv(100), b"welcome\n")
        one.sendall(b"hello")
        wait(lambda: len(accepted) > before, "the server's end")
        return accepted[-1].getsockopt(socket.SOL_SOCKET, socket.SO_MARK)


def tries(lab, mode):
    lab.apply(POLICY.format(mode=mode, who=""))
    with it(f"{mode}: both TC sides and sockops are attached, and said to be"):
        pins = pins_below(lab.pins)
        for pin in ("egress-eth0", "ingress-eth0", "ingress-eth1", "sockops"):
            assert f"v1/links/{pin}" in pins, pins
        assert all(i["ingress"] for i in lab.status()["interfaces"])
        holds(lab.headline(), "ENFORCING")
    for family in (4, 6):
        with it(f"{mode}, IPv{family}: an application reads its service and that its client is proven"):
            same(mark_seen(lab, lab.client, 443, family), mark(10, PROVEN))
        with it(f"{mode}, IPv{family}: a service without a tag leaves the mark alone"):
            same(mark_seen(lab, lab.client, 80, family), 0)
    with it(f"{mode}: a rule of the firewall matches service and class, packet by packet"):
        before = counters(lab)
        mark_seen(lab, lab.client, 443)
        for comment in ("new", "proven", "usual"):
            counted(lab, comment, before)
        same(counters(lab)["other"], before["other"], "packets with another tag")
        same(counters(lab)["untagged"], 0, "packets of a service without a tag that have a mark")
    with it(f"{mode}: a datagram proves nothing, so its class is new"):
        before = counters(lab)
        assert asks(lab.client, lab.eth0.v4, 443), "no answer"
        counted(lab, "datagram", before)
    with it(f"{mode}: a container's flow carries the tag of its published port"):
        before = counters(lab)
        with connect(lab.client, lab.eth0.v4, 8443) as one:
            same(one.recv(100), b"welcome\n")
        counted(lab, "container", before)
        same(counters(lab)["bare"], before["bare"], "packets to the container without the tag")
    with it(f"{mode}: mark bits that are not ours stay as they are"):
        lab.listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x7F0000F5)
        same(mark_seen(lab, lab.client, 443), mark(10, PROVEN, 0x7F0000F5))
        lab.listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0)
    with it(f"{mode}: answers carry the tag out"):
        before = counters(lab)
        mark_seen(lab, lab.client, 443)
        counted(lab, "answer", before)
    lab.apply(POLICY.format(mode=mode, who="trusted: [office]\nblock: [{ list: bad, monitor: true }]"))
    for family in (4, 6):
        with it(f"{mode}, IPv{family}: the class says who is trusted, and who is suspect"):
            same(mark_seen(lab, lab.client, 443, family), mark(10, TRUSTED))
            same(mark_seen(lab, lab.attacker, 443, family), mark(10, SUSPECT))
    with it(f"{mode}: so does the priority of packets, and it leaves all others alone"):
        for client, comment, others in ((lab.client, "interactive", ("bulk",)), (lab.attacker, "bulk", ("interactive",))):
            before = counters(lab)
            mark_seen(lab, client, 443)
            counted(lab, comment, before)
            same([counters(lab)[other] for other in others], [before[other] for other in others])
    with it(f"{mode}: tags go on while the shield is paused"):
        lab.bulwark("pause", "--for", "1m")
        before = counters(lab)
        same(mark_seen(lab, lab.client, 443), mark(10, TRUSTED))
        same(counters(lab)["other"], before["other"], "packets with another tag")
        lab.bulwark("resume")
    with it(f"{mode}: nothing fell through"):
        same(lab.fallthrough(), 0)
    with it(f"{mode}: a policy without tags takes both programs off again"):
        lab.apply(UNTAGGED.format() + f"mode: {mode}\n")
        assert not [p for p in pins_below(lab.pins) if "ingress-" in p or p == "v1/links/sockops"], pins_below(lab.pins)
        same(mark_seen(lab, lab.client, 443), 0)
        same(lab.fallthrough(), 0)
    with it(f"{mode}: one that is tried keeps what the old one needs, and rolling back takes off what it brought"):
        lab.apply(POLICY.format(mode=mode, who=""), "--confirm=60s")
        same(mark_seen(lab, lab.client, 443), mark(10, PROVEN))
        lab.bulwark("rollback")
        assert not [p for p in pins_below(lab.pins) if "ingress-" in p], pins_below(lab.pins)
        lab.apply(POLICY.format(mode=mode, who=""))
        lab.apply(UNTAGGED.format() + f"mode: {mode}\n", "--confirm=60s")
        assert "v1/links/ingress-eth0" in pins_below(lab.pins), pins_below(lab.pins)
        same(mark_seen(lab, lab.client, 443), 0)
        lab.bulwark("confirm")
        assert not [p for p in pins_below(lab.pins) if "ingress-" in p], pins_below(lab.pins)
        same(lab.fallthrough(), 0)
    with it(f"{mode}: a link that somebody removed is said to be missing, and comes back with the same policy"):
        lab.apply(POLICY.format(mode=mode, who=""))
        os.unlink(lab.pins + "/v1/links/ingress-eth0")
        os.unlink(lab.pins + "/v1/links/sockops")
        holds(lab.bulwark("status", status=1), "eth0: the ingress program is not attached", "sockops")
        lab.apply(POLICY.format(mode=mode, who=""))
        same(mark_seen(lab, lab.client, 443), mark(10, PROVEN))
        holds(lab.headline(), "ENFORCING")
    lab.bulwark("down")
    with it(f"{mode}: down leaves nothing of it"):
        assert not os.path.exists(lab.pins), pins_below(lab.pins)
        same(mark_seen(lab, lab.client, 443), 0)


def tests(lab):
    box, node = lab.container("b1"), lab.node
    node.sysctl("net.ipv4.ip_forward", 1)
    node.run("nft", "-f", lab.file("counts.nft", NFT))
    lab.accepted = {}
    for port in (80, 443):
        for family, address in ((4, "0.0.0.0"), (6, "::")):
            listener = {}
            lab.accepted[port, family] = sink(lab, node, family, address, port, listener)
            if (port, family) == (443, 4):
                lab.listener = listener["socket"]
    lab.tcp_sink(box, 4, INSIDE[4], 443)
    lab.udp_echo(node, 4, "0.0.0.0", 443)
    for mode in ("native", "generic"):
        tries(lab, mode)
    with it("the man page's rules of nft, as a shell takes them, find who is of a service and who is suspect"):
        with open(MANUAL, encoding="utf-8") as manual:
            rules = [line for line in manual if line.startswith("nft ")]
        same(len(rules), 2)
        node.run("nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; }")
        for rule in rules:
            node.run("sh", "-c", rule.replace("limit rate over 100/second drop", "counter"))
        lab.apply(POLICY.format(mode="native", who="block: [{ list: bad, monitor: true }]"))
        mark_seen(lab, lab.client, 443)
        same([packets > 0 for packets in manual_counts(lab)], [True, False])
        mark_seen(lab, lab.attacker, 443)
        same([packets > 0 for packets in manual_counts(lab)], [True, True])
    with it("an IPv4 client of a listener for both families is tagged as IPv4"):
        lab.apply(POLICY.format(mode="native", who="trusted: [office]").replace("tcp/80", "tcp/81, tag: 12"))
        both = node.socket(socket.AF_INET6, socket.SOCK_STREAM)
        both.bind(("::", 81))
        both.listen()
        with connect(lab.client, lab.eth0.v4, 81), both.accept()[0] as server:
            same(server.getsockopt(socket.SOL_SOCKET, socket.SO_MARK), mark(12, TRUSTED))
        both.close()
    with it("sockets of other network namespaces are not ours to mark"):
        inside = box.socket(socket.AF_INET, socket.SOCK_STREAM)
        inside.bind((INSIDE[4], 81))
        inside.listen()
        with connect(node, INSIDE[4], 81), inside.accept()[0] as server:
            same(server.getsockopt(socket.SOL_SOCKET, socket.SO_MARK), 0)
        inside.close()


def sink(lab, namespace, family, address, port, found):
    connections = []

    def answer(server):
        found["socket"] = server
        connection, _ = server.accept()
        connection.sendall(b"welcome\n")
        connections.append(connection)

    server = namespace.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == 6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    server.listen(64)
    found["socket"] = server

    def loop():
        with contextlib.suppress(OSError):
            while True:
                answer(server)

    threading.Thread(target=loop, daemon=True).start()
    lab.undo.callback(server.close)
    return connections


main("tags", tests)
