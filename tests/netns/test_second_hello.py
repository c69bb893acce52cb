#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A server that asks a client for another ClientHello (HelloRetryRequest) gets one that is judged like the first: by a real
server whose group no client guesses. Real clients are served, also those that resume, and that send early data."""

import ssl
import sys

sys.dont_write_bytecode = True
from handmade import *  # noqa: E402,F403
from hellos import *  # noqa: E402,F403
from lab import *  # noqa: E402,F403

POLICY = """
mode: {mode}
services:
  web: {{ ports: tcp/443, tls: {{ sni: api.example.com, alpn: [h2, http/1.1], unknown: {unknown}{more} }} }}
  old: {{ ports: tcp/8443, tls: {{ sni: api.example.com, unknown: drop }} }}
  mute: {{ ports: "tcp/9443-9444", tls: {{ sni: api.example.com, unknown: drop }} }}
"""
SERVER = """
	server {{
		listen {port} ssl; listen [::]:{port} ssl; root {root}; ssl_protocols {versions}; {more}
		ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;
		location / {{ return 200 "served to $ssl_server_name, early: $ssl_early_data, again: $ssl_session_reused\\n"; }}
	}}
"""
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 4.1.3
CHANGE_CIPHER = b"\x14\x03\x03\0\1\1"
WARNING = b"\x15\x03\x03\0\2\1\x5a"  # user_canceled, which a server goes on after
NAME, OTHER = b"api.example.com", b"www.example.com"


def record(kind, content):
    return bytes([kind]) + b"\x03\x03" + len(content).to_bytes(2, "big") + content


EARLY = record(23, bytes(64))
TAKEN = record(22, b"\2\0\0\x46\x03\x03" + bytes(range(32)) + b"\x20" + bytes(32) + b"\xc0\x2b\0") + CHANGE_CIPHER + record(22, bytes(40))
FINISHED = CHANGE_CIPHER + record(22, b"\1\xff" + bytes(38))  # encrypted: it begins with whatever it does


class Twice(Client):
    """Its own first hello, made by OpenSSL, and what OpenSSL answers to a server that asks for another one."""

    def __init__(self, lab, family=4, port=443):
        super().__init__(lab, port, family)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.secure = context().wrap_bio(self.incoming, self.outgoing, server_hostname=NAME.decode())
        self.first, self.was_sent = self.written(), False

    def written(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.secure.do_handshake()
        return self.outgoing.read()

    def send_first(self):
        if not self.was_sent:
            self.send(0, self.first)
        return self

    def asked(self):
        """Sends the first hello; the record that answers the server's request, without the change of ciphers before it."""
        self.send_first().was_sent = True
        wait(lambda: self.listen() or len(self.received) >= 11 + 32 or self.ended, "the server's request", 30)
        assert self.received[11:43] == RETRY, self.received
        self.incoming.write(self.received)
        second = self.written()
        assert second.startswith(CHANGE_CIPHER), second[:6]
        self.received = b""
        return second[len(CHANGE_CIPHER):]

    def pieces(self, *pieces):
        """Behind the first hello, each when the one before was received."""
        at = len(self.first)
        for piece in pieces:
            self.acknowledged(at)
            self.send(at, piece)
            at += len(piece)


def cut_at(data, *cuts):
    edges = (0, *cuts, len(data))
    return [data[a:b] for a, b in zip(edges, edges[1:])]


def try_second(lab, mode, family):
    with it(f"{mode}, IPv{family}: a client that is asked for another hello is served"):
        client = Twice(lab, family)
        client.pieces(CHANGE_CIPHER + client.asked())
        same(client.outcome(), b"\x16\x03")
    for what, cuts in (("in one segment", ()), ("cut in its record's header", (8,)), ("cut behind it", (6 + 20,)),
                       ("in three segments", (6, 200)), ("cut in its last byte", (-1,))):
        with it(f"{mode}, IPv{family}: one of which the second names another server is refused: {what}"):
            client = Twice(lab, family)
            second = CHANGE_CIPHER + client.asked()
            refused(lab, "tls-sni", client, lambda: client.pieces(*cut_at(second.replace(NAME, OTHER), *cuts)))
            client = Twice(lab, family)
            client.pieces(*cut_at(CHANGE_CIPHER + client.asked(), *cuts))
            same(client.outcome(), b"\x16\x03")


def try_before(lab, mode):
    """What a server reads over, or has read before it asks. Some is sent to one that says nothing: another one ends a client that
    sends early data without having said so."""
    for what, before, port in (("a warning", WARNING, 443), ("no change of ciphers", b"", 443), ("early data", EARLY, 9443),
                               ("early data and changes of ciphers", (EARLY + CHANGE_CIPHER) * 3, 9443)):
        with it(f"{mode}: {what} in front of the second hello, and that is judged"):
            for cuts in ((), (-30,), (len(before), -30) if before else (3,), (len(before) // 2 or 8, -30)):
                client = Twice(lab, port=port)
                second = (client.asked() if port == 443 else client.first).replace(NAME, OTHER)
                refused(lab, "tls-sni", client, lambda: client.send_first().pieces(*cut_at(before + second, *cuts)))
    with it(f"{mode}: nor is a second hello let in that does not wait to be asked for"):
        client = Twice(lab)
        refused(lab, "tls-sni", client, lambda: client.send(0, client.first + client.first.replace(NAME, OTHER)))
        client = Twice(lab)
        client.send(0, client.first[:50])
        client.acknowledged(50)
        refused(lab, "tls-sni", client, lambda: client.send(50, client.first[50:] + client.first.replace(NAME, OTHER)))
    with it(f"{mode}: one that comes before what is in front of it is dropped, and judged when it comes again"):
        client, early = Twice(lab), lab.counts().get(("drop", "first-early"), 0)
        second, at = client.asked(), len(client.first)
        client.send(at + 6, second)
        counted(lab, "drop", "first-early", early)
        client.send(at, CHANGE_CIPHER)
        client.acknowledged(at + 6)
        client.send(at + 6, second)
        same(client.outcome(), b"\x16\x03")


def try_cannot(lab, mode):
    """What cannot be known, and what is not what it seems."""
    with it(f"{mode}: a second hello over two records is unknown"):
        client = Twice(lab)
        second = client.asked().replace(NAME, OTHER)
        refused(lab, "tls-split", client, lambda: client.pieces(record(22, second[5:60]) + record(22, second[60:])))
        client = Twice(lab)
        client.asked()
        refused(lab, "tls-split", client, lambda: client.pieces(record(22, second[5:8]) + record(22, second[8:])))
    with it(f"{mode}: so is one behind more early data than is looked at"):
        client, pieces = Twice(lab, port=9443), [record(23, bytes(1000))] * 5
        refused(lab, "tls-split", client, lambda: client.send_first().pieces(*pieces))
    with it(f"{mode}: two hellos in one record are none"):
        client = Twice(lab)
        both = client.first[5:] + client.first[5:].replace(NAME, OTHER)
        refused(lab, "tls-malformed", client, lambda: client.send(0, record(22, both)))
    with it(f"{mode}: an empty record in front of it is refused"):
        client = Twice(lab)
        second = client.asked().replace(NAME, OTHER)
        refused(lab, "tls-not-tls", client, lambda: client.pieces(record(22, b"") + second))
    for what, forged in (("early data", record(23, bytes(600))), ("another record of the handshake", record(22, b"\x10" + bytes(599)))):
        with it(f"{mode}: {what} that the kernel throws away do not stand for the second hello"):
            client = Twice(lab)
            second = client.asked().replace(NAME, OTHER)
            client.send(len(client.first), forged[:len(second)], wrong=True)
            refused(lab, "first-changed" if forged[0] == 23 else "tls-sni", client, lambda: client.pieces(second))


def pushed_out(lab):
    """One try: the interface may drop of the others' frames."""
    client, before = Twice(lab), lab.counts().get(("drop", "tls-split"), 0)
    second, other = client.asked().replace(NAME, OTHER), Client(lab)
    for number in range(40000):  # more hellos than are remembered
        other.mine = next(lab.many)
        other.frame(SYN, client.first, 1)
        if not number % 100:
            time.sleep(0.002)
    client.pieces(second)
    same(client.outcome(), "reset")
    return lab.counts().get(("drop", "tls-split"), 0) > before


def served(lab, *more, name=NAME.decode(), port=443):
    """What the server says to openssl s_client."""
    return lab.client.run("sh", "-c", r'printf "GET / HTTP/1.0\r\n\r\n" | openssl s_client -ign_eof "$@" 2>&1', "client",
                          "-connect", f"{lab.eth0.v4}:{port}", "-servername", name, *more, status=None)


def try_real(lab, mode):
    kept = lab.directory + "/session"
    early = lab.file("early", "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    before = sum(count for (verdict, _), count in lab.counts().items() if verdict == "drop")
    with it(f"{mode}: openssl is served by a server that asks it again"):
        holds(served(lab, "-groups", "X25519:secp384r1", "-sess_out", kept), "served to api.example.com, early: , again: .")
    with it(f"{mode}: also when it resumes, and when it sends early data"):
        holds(served(lab, "-groups", "X25519:secp384r1", "-sess_in", kept), "served to api.example.com, early: , again: r")
        holds(served(lab, "-groups", "X25519:secp384r1", "-sess_in", kept, "-early_data", early), "served to api.example.com")
    with it(f"{mode}: a client that guesses the group is served, resumes, and sends early data that the server takes"):
        holds(served(lab, "-groups", "secp384r1", "-sess_out", kept), "served to api.example.com, early: , again: .")
        holds(served(lab, "-groups", "secp384r1", "-sess_in", kept), "served to api.example.com, early: , again: r")
        holds(served(lab, "-groups", "secp384r1", "-sess_in", kept, "-early_data", early), "Early data was accepted", "served to api.example.com")
    with it(f"{mode}: so is one of a server that speaks TLS 1.2 alone, and resumes"):
        holds(served(lab, "-sess_out", kept, port=8443), "served to api.example.com", "again: .")
        for _ in range(60):
            holds(served(lab, "-sess_in", kept, port=8443), "served to api.example.com", "again: r")
    with it(f"{mode}: also when what it says encrypted looks like the beginning of a hello"):
        client = Twice(lab, port=9444)
        client.send_first()
        wait(lambda: client.listen() or len(client.received) == len(TAKEN), "the server's answer", 30)
        client.pieces(FINISHED, b"behind it")
        client.acknowledged(len(client.first) + len(FINISHED) + 9)
        client.send(len(client.first) + len(FINISHED) + 9, b"", flags=RST | ACK)  # its server takes one at a time
    with it(f"{mode}: nothing of theirs was refused"):
        same(sum(count for (verdict, _), count in lab.counts().items() if verdict == "drop"), before)


def says(words):
    """A server that says this when it has read something, and goes on reading."""
    def handle(server):
        with server.accept()[0] as one, contextlib.suppress(OSError):
            one.recv(4096)
            one.sendall(words)
            while one.recv(4096):
                pass
    return handle


def serve(lab):
    root = lab.web_root()
    servers = SERVER.format(root=root, port=443, versions="TLSv1.2 TLSv1.3", more="ssl_ecdh_curve secp384r1; ssl_early_data on;")
    servers += SERVER.format(root=root, port=8443, versions="TLSv1.2", more="ssl_session_cache builtin;")
    lab.nginx(lab.node, root, servers)
    lab.serve(lab.node, 4, socket.SOCK_STREAM, "0.0.0.0", 9443, says(b""))
    lab.serve(lab.node, 4, socket.SOCK_STREAM, "0.0.0.0", 9444, says(TAKEN))
    wait(lambda: lab.node.works("curl", "-skf", "-m", "2", "-o", "/dev/null", "https://127.0.0.1:8443/"), "nginx")


def tests(lab):
    lab.many = iter(range(1024, 65536))
    serve(lab)
    introduce(lab)
    for mode in ("native", "generic"):
        lab.apply(POLICY.format(mode=mode, unknown="drop", more=""))
        for family in (4, 6) if mode == "native" else (4,):
            try_second(lab, mode, family)
        try_before(lab, mode)
        try_cannot(lab, mode)
        try_real(lab, mode)
    lab.apply(POLICY.format(mode="native", unknown="pass", more=""))
    with it("unknown: pass counts a second hello over two records, and lets it in"):
        client, before = Twice(lab), lab.counts().get(("would-drop", "tls-split"), 0)
        second = client.asked()
        client.pieces(record(22, second[5:60]) + record(22, second[60:]))
        same(client.outcome(), b"\x16\x03")
        counted(lab, "would-drop", "tls-split", before)
    with it("a denied fingerprint is looked for in the first hello alone: the second has what the server asked for in it"):
        lab.apply(POLICY.format(mode="native", unknown="pass", more=f", deny-ja4: {ja4(hello(OTHER.decode()))}"))
        before = lab.counts().get(("would-drop", "tls-ja4-unknown"), 0)
        client = Twice(lab)
        client.pieces(CHANGE_CIPHER + client.asked())
        same(client.outcome(), b"\x16\x03")
        same(lab.counts().get(("would-drop", "tls-ja4-unknown"), 0), before + 1)
    with it("nothing fell through"):
        same(lab.fallthrough(), 0)


main("second-hello", tests)
