#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""First bytes of a published port, which ends in a container: a shield of its own in the container's network namespace judges
them by the socket that is there, beside the node's, as bulwark-policy(5) has it."""

import sys

sys.dont_write_bytecode = True
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

NODE = """
services:
  web: {{ ports: tcp/443{more} }}
  plain: {{ ports: [tcp/80, tcp/5000] }}
"""
CONTAINER = """
interfaces: [b0]
tag-mask: 0x0000FF00
services:
  web:
    ports: tcp/443
    tag: 10
    tls: { sni: [api.example.com], min-version: TLSv1.2, unknown: drop }
  plain:
    ports: tcp/80
    http: { allow-hosts: [api.example.com], methods: [GET], deny-paths: [/admin], unknown: drop }
  echo:
    ports: tcp/5000
    tag: 11
"""
PROVEN = 11 << 8 | 1 << 14
NFT = """
table inet nat {{
	chain in {{
		type nat hook prerouting priority dstnat
		iifname "eth*" tcp dport {{ 80, 443, 5000 }} dnat ip to {v4}
		iifname "eth*" tcp dport {{ 80, 443, 5000 }} dnat ip6 to [{v6}]
	}}
}}
"""


def build_container(lab):
    box = lab.container()
    lab.forward()
    lab.node.run("nft", "-f", lab.file("nat.nft", NFT.format(v4=INSIDE[4], v6=INSIDE[6])))
    return box


def inside(lab, *arguments, status=0):
    """A verb of the container's own shield, as an operator of the node says it (nsenter --net)."""
    place = {"BULWARK_PIN_DIR": lab.pins + "-inside", "BULWARK_STATE_DIR": lab.directory + "/inside"}
    return lab.bulwark(*arguments, status=status, namespace=lab.box, environment=place)


def drops(lab, reason):
    return sum(row["packets"] for row in json.loads(inside(lab, "--json", "status"))["packets"]
               if (row["verdict"], row["reason"]) == ("drop", reason))


def ends_of(lab, port):
    return lab.box.run("ss", "-Htn", "state", "established", "state", "fin-wait-1", "state", "close-wait", f"sport = :{port}")


def refused(lab, reason, port, ask):
    before = drops(lab, reason)
    same(ask(), "reset")
    assert drops(lab, reason) > before, f"no drop for {reason}"
    wait(lambda: "45.33.1.2" not in ends_of(lab, port), "the container's end to be gone", 30)


def answers(lab, address, requests):
    """The first line of what comes back to each request on one connection, up to its end."""
    lines = []
    with connect(lab.client, address, 80) as client, client.makefile("rwb") as stream:
        try:
            for request in requests:
                stream.write(request)
                stream.flush()
                lines.append(stream.readline().decode().strip())
                length = 0
                while (header := stream.readline().strip()):
                    length = int(header.split(b":")[1]) if header.lower().startswith(b"content-length") else length
                stream.read(length)
        except (ConnectionResetError, BrokenPipeError):
            lines.append("reset")
    return lines


def request(method="GET", path="/", host="api.example.com"):
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def tries(lab, family):
    address = lab.eth0[family]
    good, bad = hello("api.example.com"), hello("www.example.com")
    with it(f"IPv{family}: who asks for a name of the container's policy is served through the published port"):
        holds(handshake(lab, "api.example.com", address), "TLS")
        same(answer_to(lab, [good[:60], good[60:]], address)[:2], b"\x16\x03")
    with it(f"IPv{family}: a server in the container reads its tag"):
        connect(lab.client, address, 5000).close()
        wait(lambda: lab.inside[family], "the container's end")
        same(lab.inside[family][0].getsockopt(socket.SOL_SOCKET, socket.SO_MARK), PROVEN)
    with it(f"IPv{family}: another name is refused, whole or in two segments, and both ends are closed"):
        refused(lab, "tls-sni", 443, lambda: handshake(lab, "www.example.com", address))
        refused(lab, "tls-sni", 443, lambda: answer_to(lab, [bad[:60], bad[60:]], address))
        refused(lab, "tls-not-tls", 443, lambda: answer_to(lab, [request()], address))
    with it(f"IPv{family}: requests are judged one after the other on a connection that is kept alive"):
        same(answers(lab, address, [request(), request(path="/index.html")]), ["HTTP/1.1 200 OK"] * 2)
        for reason, ask in (("http-method", request("DELETE")), ("http-path", request(path="/admin/x")), ("http-host", request(host="x.org"))):
            refused(lab, reason, 80, lambda a=ask: answers(lab, address, [request(), a])[-1])


def restart(lab):
    """The container goes, and its namespace with all that stood in it; another one comes."""
    policy = lab.file("container.yaml", "version: 1\n" + CONTAINER)
    inside(lab, "apply", policy)
    lab.node.run("ip", "link", "del", "port0")
    lab.node.run("nft", "delete", "table", "inet", "nat")
    lab.box = build_container(lab)
    with it("the next container is not taken for the one that was there"):
        holds(inside(lab, "status", status=1), "UNPROTECTED", "another network namespace")
        holds(inside(lab, "apply", policy, status=None), "protect another network namespace", "bulwark down")
    with it("and has its policy after down and apply"):
        inside(lab, "down")
        holds(inside(lab, "apply", policy), "live on b0")
    inside(lab, "down")


def tests(lab):
    if not lab.node.works("nft", "add", "table", "inet", "t") or not lab.node.works("sysctl", "net.netfilter.nf_conntrack_count"):
        skip("published ports", "no nftables or no connection tracking here")
        return
    lab.box = build_container(lab)
    lab.undo.callback(remove_pins, lab.pins + "-inside")
    lab.https(lab.box, plain=80)
    lab.inside = {family: lab.tcp_sink(lab.box, family, INSIDE[family], 5000) for family in (4, 6)}
    with it("the node refuses a rule for what goes on, and says where it can stand"):
        holds(lab.apply(NODE.format(more=", tls: { sni: api.example.com }"), status=1), "would judge nothing on tcp/443", "80, 443, 5000", "nsenter --net")
    lab.apply(NODE.format(more=""))
    inside(lab, "apply", lab.file("container.yaml", "version: 1\n" + CONTAINER))
    for family in (4, 6):
        tries(lab, family)
    inside(lab, "down")
    with it("without it, all are served: the node judges what it can"):
        holds(handshake(lab, "www.example.com"), "TLS")
    restart(lab)


main("published-first-bytes", tests)
