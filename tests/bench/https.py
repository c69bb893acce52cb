# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A real HTTPS client and an API node under a flood, in the lab of `make run`: what share of the requests is answered within a
second, and how long that takes."""

import json
import pathlib
import tempfile
import threading
import time
import types

import enclosure
from internet import Internet
from shield import Shield
from tally import Tally

REQUESTS_PPS = 100
TIMEOUT_S = 1.0
OF_ALL = 10_000  # new connections a second that a guard lets through, ours and the peers'
WITH_COOKIES = "with SYN cookies"
STREAM_PORT = 5201  # also exposed, for curves.py
BLOCKED = "203.0.113.64/26"  # the lab's flood wants some


class Web:
    """Client, attacker, router and node in an enclosure inside the enclosure; one client that asks all the time."""

    def __init__(self, ground):
        room = pathlib.Path(tempfile.mkdtemp(prefix="internet-", dir=ground.lab.room))
        room.chmod(0o755)  # nginx's workers are nobody's
        self.lab = enclosure.Lab(room)
        self.internet = Internet(self.lab, ground.build)
        self.internet.serve()
        self.shield = Shield(self.lab, ground.build)
        self.client = self.internet.client(REQUESTS_PPS, TIMEOUT_S)
        self.lines = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.client.stdout:
            self.lines.append((time.monotonic(), line))

    def host(self, name="api"):
        """The node, for peers.py."""
        return types.SimpleNamespace(run=lambda *command, **options: self.lab.run("node", *command, **options), device="eth0",
                                     name=name, room=self.lab.room)

    def clear(self):
        """No peer's rules."""
        script = ("nft flush ruleset; for table in raw filter; do iptables -t $table -F; done; "
                  "echo 1 > /proc/sys/net/ipv4/tcp_syncookies")
        self.lab.run("node", "sh", "-c", script, check=False)

    def apply(self, text):
        path = self.lab.room / "policy.yaml"
        path.write_text(text)
        self.shield.apply(path, "eth0")

    def watch(self, seconds, pps=0, profile="spoofed-syn", settle=0.5):
        """A tally of so many seconds, with a flood beside it; what was asked in the first moments is left out."""
        flood = self.internet.flood(profile, BLOCKED, pps, settle + TIMEOUT_S + seconds + 30) if pps else None
        try:
            time.sleep(settle + TIMEOUT_S)
            tally, began = Tally(), time.monotonic()
            tally.start(self.internet.received(), {})
            time.sleep(seconds)
            tally.stop(self.internet.received(), {})
            for at, line in self.lines:
                if at > began:
                    tally.answers(line)
        finally:
            if flood:
                flood.terminate()
                flood.wait()
        self.lines.clear()
        if self.client.poll() is not None:
            raise enclosure.Trouble("the client of the lab ended early")
        if flood and tally.rate(tally.received) < pps / 100:
            raise enclosure.Trouble("the flood did not reach the node")
        return tally

    def close(self):
        self.lab.close()


def protecting():
    """Policies for a public API, the best that this version takes first."""
    service = {"ports": "tcp/443", "limits": [{"new-connections": "500/s", "per": "source"},
                                              {"new-connections": f"{OF_ALL}/s", "per": "service"}]}
    for more in ({"syn-cookies": "auto"}, {"syn-cookies": "always"}, {}):
        yield json.dumps({"version": 1, "interfaces": ["auto"], "services": {
            "public-api": {**service, **more}, "stream": {"ports": f"tcp/{STREAM_PORT}"}}}, indent=1)


def protect(web):
    """Which policy it was."""
    trouble = None
    for text in protecting():
        try:
            web.apply(text)
            return WITH_COOKIES if "syn-cookies" in text else "without SYN cookies: limits only"
        except enclosure.Trouble as error:
            trouble = error
    raise trouble
