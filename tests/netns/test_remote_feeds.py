#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Feeds from https: a real server, good, slow, lying or somebody else's; what is in force and on disk stays good."""

import glob
import gzip
import http.server
import shutil
import ssl
import subprocess
import sys

sys.dont_write_bytecode = True
from lab import *  # noqa: E402,F403

POLICY = """
lists:
  feed: { feed: "https://127.0.0.1:8443/list", ca: ca.pem, refresh: %s, max-shrink: 50%% }
  slow: { feed: "https://127.0.0.1:8443/slow", ca: ca.pem, refresh: 1h }
block: [feed, slow]
services:
  echo: { ports: udp/5300 }
metrics: { listen: "127.0.0.1:10473" }
"""
GOOD = b"46.30.66.0/24\n46.30.67.0/24\n46.30.68.0/24\n46.30.69.0/24\n"
SLOW = b"46.40.1.0/24\n"
MORE = GOOD + b"46.30.99.0/24\n"


def certificate(directory, name, signer=None):
    """NAME.pem and NAME.key in directory, for 127.0.0.1; its own authority, or signed by one."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.pem", "-subj", "/CN=" + name]
    if signer:
        command += ["-CA", f"{directory}/{signer}.pem", "-CAkey", f"{directory}/{signer}.key",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:false"]
    subprocess.run(command, check=True, capture_output=True)


class Server:
    """https on the node's loopback: /slow is answered by self.slow(handler), all else by self.answer(handler)."""

    def __init__(self, lab, port, name):
        self.asked, self.body, self.etag, self.answer = [], GOOD, '"1"', self.serve
        self.slow = lambda handler: send(handler, 200, SLOW)
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                with contextlib.suppress(OSError):
                    if self.path == "/slow":
                        server.slow(self)
                        return
                    server.asked.append(dict(self.headers))
                    server.answer(self)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{lab.directory}/{name}.pem", f"{lab.directory}/{name}.key")
        listener = Listener(("127.0.0.1", port), Handler, bind_and_activate=False)
        listener.socket.close()
        listener.socket = context.wrap_socket(lab.node.socket(socket.AF_INET, socket.SOCK_STREAM), server_side=True,
                                              do_handshake_on_connect=False)
        listener.allow_reuse_address = True
        listener.server_bind()
        listener.server_activate()
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        lab.undo.callback(listener.server_close)

    def serve(self, handler):
        if self.etag and handler.headers.get("If-None-Match") == self.etag:
            send(handler, 304, b"", ETag=self.etag)
        else:
            send(handler, 200, self.body, ETag=self.etag)


def send(handler, status, body, **headers):
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def drip(handler):
    send(handler, 200, b"4", Content_Length="1000")
    for _ in range(600):
        handler.wfile.write(b"6")
        handler.wfile.flush()
        time.sleep(0.5)


def headers_without_end(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(100000):
        handler.wfile.write(b"X-%d: " % i + b"x" * 1000 + b"\r\n")


def copies(lab):
    """The last good texts on disk."""
    directory = lab.state + "/feeds/remote"
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        if name.endswith(".list"):
            with open(f"{directory}/{name}", "rb") as file:
                found.append(file.read())
    return sorted(found)  # that of `feed` first


def blocked(lab, address):
    return any("block" in text for text in lab.bulwark("lookup", address).splitlines() if text.startswith("lists:"))


def try_first(lab, server):
    path = lab.file("policy.yaml", "version: 1\n" + POLICY % "1h" + "interfaces: [eth0, eth1]\n")
    with it("check asks nobody: it says what is missing and takes it as empty"):
        holds(lab.bulwark("check", path), "policy.yaml:4:", "was never fetched here and is taken as empty")
        same(server.asked, [])
    with it("--dry-run fetches nothing"):
        holds(lab.bulwark("apply", path, "--dry-run", status=3), "never fetched")
        same(server.asked, [])
    with it("apply without a server: refused with words, nothing is in force"):
        server.answer = lambda handler: send(handler, 404, b"gone")
        holds(lab.bulwark("apply", path, status=3), "https://127.0.0.1:8443/list", "status 404", "untouched")
        server.answer = server.serve
        assert lab.headline().startswith("UNPROTECTED"), lab.headline()
    with it("apply fetches what was never fetched, says so, and it is in force"):
        holds(lab.bulwark("apply", path), "was fetched: 4 prefixes")
        assert blocked(lab, "46.30.69.1") and not blocked(lab, "46.30.70.1")
        same(copies(lab), [GOOD, SLOW])
    with it("applied again, it is not fetched again; check takes the copy"):
        asked = len(server.asked)
        holds(lab.bulwark("apply", path), "unchanged")
        same(lab.json("check", path)["files"][0]["lists"][0]["v4"], 4)
        same(len(server.asked), asked)


def try_same(lab, server):
    with it("304: the server is told what we have, and confirms it"):
        names = glob.glob(lab.state + "/feeds/remote/*.json")
        for name in names:
            os.utime(name, (1, 1))
        holds(lab.bulwark("fetch"), "feed: nothing new", "slow: nothing new")
        same(server.asked[-1].get("If-None-Match"), '"1"')
        assert len(names) == 2 and all(os.stat(name).st_mtime > 1e9 for name in names), "not confirmed"
    with it("the same bytes under another tag are no news either"):
        server.etag = '"2"'
        same(lab.json("fetch", "feed")[0]["outcome"], "same")
    with it("gzip is unpacked"):
        server.answer = lambda handler: send(handler, 200, gzip.compress(GOOD), Content_Encoding="gzip")
        same(lab.json("fetch", "feed")[0]["outcome"], "same")
    with it("a list that the policy has not is refused"):
        holds(lab.bulwark("fetch", "fed", status=2), "no list 'fed'")


def try_refused(lab, server):
    bomb = gzip.compress(bytes(300 << 20), 1)
    redirect = lambda where: lambda handler: send(handler, 302, b"", Location=where)  # noqa: E731
    rows = [
        ("404", lambda handler: send(handler, 404, b"no"), "status 404"),
        ("500", lambda handler: send(handler, 500, GOOD), "status 500"),
        ("nothing", lambda handler: send(handler, 200, b""), "holds no address"),
        ("a web page", lambda handler: send(handler, 200, b"<html>sold out</html>"), "is a web page"),
        ("binary garbage", lambda handler: send(handler, 200, bytes(range(256)) * 99), "is a binary file"),
        ("words", lambda handler: send(handler, 200, b"46.1.0.0/16\nhello world\n"), "line 2"),
        ("everybody", lambda handler: send(handler, 200, GOOD + b"0.0.0.0/0\n"), "the whole address space"),
        ("much less than before", lambda handler: send(handler, 200, b"46.30.66.0/24\n"), "shrank from 4 to 1"),
        ("half of what it promised", lambda handler: send(handler, 200, GOOD, Content_Length="9000"), "remaining"),
        ("5 GB", lambda handler: send(handler, 200, GOOD, Content_Length=str(5 << 30)), "larger than 256 MiB"),
        ("a bomb of gzip", lambda handler: send(handler, 200, bomb, Content_Encoding="gzip"), "larger than 256 MiB"),
        ("headers without end", headers_without_end, "64 KiB of headers"),
        ("a redirect to http", redirect("http://127.0.0.1:8443/list"), "redirects to what is not https"),
        ("a redirect to a file", redirect("file:///etc/passwd"), "redirects to what is not https"),
        ("redirects in a circle", redirect("/list"), "more than 3 times"),
        ("a redirect to a server with another's certificate", redirect("https://127.0.0.1:8444/list"), "certificate"),
    ]
    for words, answer, told in rows:
        with it(f"refused: {words}; the last good one stays, in force and on disk"):
            server.answer = answer
            holds(lab.bulwark("fetch", "feed", status=1), told, "the last good one stays")
            same(copies(lab), [GOOD, SLOW])
            same(len(glob.glob(lab.state + "/feeds/remote/*.partial")), 1, "halves left over")
            assert blocked(lab, "46.30.69.1")
    with it("what shrank is taken when a person says so, and asked for again later"):
        server.answer = lambda handler: send(handler, 200, b"46.30.66.0/24\n")
        same(lab.json("fetch", "feed", "--force")[0]["outcome"], "new")
        server.answer, server.body, server.etag = server.serve, GOOD, '"3"'
        same(lab.json("fetch", "feed")[0]["prefixes"], 4)
    with it("a redirect within https is followed"):
        def moved(handler):
            return server.serve(handler) if handler.path == "/new" else send(handler, 301, b"", Location="/new")

        server.answer, server.body, server.etag = moved, MORE, '"4"'
        same(lab.json("fetch", "feed")[0]["prefixes"], 5)
        server.answer, server.body, server.etag = server.serve, GOOD, '"5"'
        lab.bulwark("fetch", "feed")


def fetcher_of(process):
    """What /proc says of the bulwark-fetch that a `bulwark fetch` has started."""
    def look():
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/status", encoding="ascii") as status:
                    found = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
                if found["Name"] == "bulwark-fetch" and found["Seccomp"] == "2":
                    return found
        return None

    return wait(look, "bulwark-fetch")


def begin_slow(lab, server):
    """A fetch from a server that drips, under way while other tests run."""
    asked = []

    def slow(handler):
        asked.append(handler)
        drip(handler)

    server.slow = slow
    with lab.node:
        process = subprocess.Popen([BULWARK, "fetch", "slow"], env=lab.environment, stderr=subprocess.PIPE)
    lab.undo.callback(stop, process)
    with it("who fetches is nobody: no capability, no way back, few system calls"):
        found = fetcher_of(process)
        assert "0" not in found["Uid"].split(), found["Uid"]
        same((found["CapEff"].strip("0"), found["CapPrm"].strip("0"), found["CapBnd"].strip("0"), found["NoNewPrivs"]),
             ("", "", "", "1"))
        same(found["Groups"].strip(), "")
    with it("one feed is fetched by one at a time"):
        wait(lambda: asked, "the question")
        holds(lab.bulwark("fetch", "slow", status=1), "being fetched already")
    return process


def end_slow(lab, server, process):
    with it("a server that drips is given up"):
        _, words = process.communicate(timeout=60)
        holds(words.decode(), "too slow")
        same((process.returncode, copies(lab)), (1, [GOOD, SLOW]))
    with it("killed while it fetches: the copy stays, and the next one is not held up"):
        with lab.node:
            process = subprocess.Popen([BULWARK, "fetch", "slow"], env=lab.environment)
        fetcher_of(process)
        process.kill()
        process.wait()
        server.slow = lambda handler: send(handler, 200, SLOW)
        wait(lambda: lab.json("fetch", "slow", status=None)[0]["outcome"] == "same", "a fetch")
        same(copies(lab), [GOOD, SLOW])


def metric(lab, name):
    text = lab.node.run("curl", "-s", "http://127.0.0.1:10473/metrics")
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ")), None)


def try_daemon(lab, server):
    lab.apply(POLICY % "1s")
    lab.start(lab.node, BULWARKD, "--foreground", env=lab.environment)
    wait(lambda: events(lab, "policy-applied"), "bulwarkd", 30)
    with it("bulwarkd fetches by itself; what is new is in force, and told"):
        server.body, server.etag = MORE, '"6"'
        wait(lambda: blocked(lab, "46.30.99.1"), "the new prefix", 60)
        wait(lambda: events(lab, "feed-refreshed"), "the event")
    with it("what it may not take is told once, tried again ever more seldom, and the last good one stays"):
        server.answer = lambda handler: send(handler, 404, b"no")
        refused = wait(lambda: events(lab, "feed-refused"), "the event", 30)
        same((refused[0]["bulwark"]["list"], refused[0]["bulwark"]["why"]), ("feed", "its server answered with status 404"))
        wait(lambda: metric(lab, 'bulwark_feed_fetches_total{outcome="refused"}') >= 2, "a second try", 30)
        same((len(events(lab, "feed-refused")), blocked(lab, "46.30.99.1"), copies(lab)), (1, True, [MORE, SLOW]))
    with it("age, size and outcomes are metrics"):
        server.answer = server.serve
        same_before = metric(lab, 'bulwark_feed_fetches_total{outcome="same"}')
        wait(lambda: metric(lab, 'bulwark_feed_fetches_total{outcome="same"}') > same_before, "a fetch", 30)
        same(metric(lab, 'bulwark_feed_bytes{list="feed"}'), len(MORE))
        assert metric(lab, 'bulwark_feed_age_seconds{list="feed"}') < 20, "older"
        assert metric(lab, 'bulwark_feed_fetches_total{outcome="new"}') >= 1


def try_million(lab, server):
    with it("a feed of a million entries refreshes without a dropped lawful packet"):
        lab.udp_echo(lab.node, 4, lab.eth0.v4, 5300)
        server.body = MORE + b"".join(b"%d.%d.%d.%d\n" % (47, i >> 16, i >> 8 & 255, i & 255) for i in range(1000000))
        server.etag = '"7"'
        none_lost(lab, lab.eth0.v4, 5300, lambda: wait(lambda: blocked(lab, "47.15.66.63"), "the million", 90))


def tests(lab):
    if not shutil.which("openssl"):
        skip("feeds from https", "no openssl here")
        return
    for name, signer in (("ca", None), ("server", "ca"), ("other", None)):
        certificate(lab.directory, name, signer)
    server = Server(lab, 8443, "server")
    Server(lab, 8444, "other")
    try_first(lab, server)
    try_same(lab, server)
    process = begin_slow(lab, server)
    try_refused(lab, server)
    end_slow(lab, server, process)
    try_daemon(lab, server)
    try_million(lab, server)


main("remote-feeds", tests)
