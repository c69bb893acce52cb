# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The lab's little internet: a client, an attacker and an API node, each in a network namespace, behind one router.

    client 198.51.100.2 ─┐
                         ├─ router ─── eth0 node 192.0.2.10, nginx with HTTPS on port 443
    attacker ────────────┘
      (any source)
"""

import os
import subprocess

from enclosure import Trouble, run

NODE = "192.0.2.10"
CLIENT = "198.51.100.2"
NAME = "api.example.com"

# Before what else runs on this machine; the lab's own order is explained where it is used.
NODE_NICE, FLOOD_NICE, CLIENT_NICE = 0, -18, -20

NGINX = """
daemon off; worker_processes {workers}; pid {room}/nginx.pid; error_log {room}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {room}; proxy_temp_path {room}; fastcgi_temp_path {room};
  uwsgi_temp_path {room}; scgi_temp_path {room};
  server {{
    listen 443 ssl backlog=1024; server_name {name}; ssl_certificate {room}/node.crt; ssl_certificate_key {room}/node.key;
    location / {{ default_type application/json; return 200 '{{"answer":42}}'; }}
  }}
}}
"""


class Internet:
    def __init__(self, lab, build):
        self.lab = lab
        self.build = build
        self.cpus = sorted(os.sched_getaffinity(0))[:2]  # the node has two, wherever the lab runs
        os.sched_setaffinity(0, self.cpus)
        for name in ("client", "attacker", "router", "node"):
            lab.namespace(name)
        for name in ("client", "attacker", "node"):
            lab.veth(name, "eth0", "router", name, len(self.cpus))
        self._addresses()
        self._wire()

    def _addresses(self):
        def inside(name, *commands):
            for command in commands:
                self.lab.run(name, *command.split())
        inside("client", f"ip address add {CLIENT}/24 dev eth0", "ip route add default via 198.51.100.1")
        inside("attacker", "ip address add 203.0.113.2/24 dev eth0")
        inside("node", f"ip address add {NODE}/24 dev eth0", "ip route add default via 192.0.2.1")
        inside("router", "ip address add 198.51.100.1/24 dev client", "ip address add 203.0.113.1/24 dev attacker",
               "ip address add 192.0.2.1/24 dev node", "ip route add blackhole default")
        self.lab.run("router", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        # Without XDP a veth only takes redirected frames when it has GRO on, as network cards have.
        inside("node", "ethtool -K eth0 gro on")
        inside("router", "ethtool -K attacker gro on")

    def _wire(self):
        wire = self.lab.start("router", self.build / "bench" / "wire", "attacker", "node", self.lab.mac("node", "eth0"),
                              "198.51.100.0", "192.0.2.0", stdout=subprocess.PIPE)
        if wire.stdout.readline().strip() != b"ready":
            raise Trouble("the lab's router does not work (its words are above)")

    def serve(self):
        """nginx in the node, with a certificate of its own; returns when it answers."""
        room = self.lab.room
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", room / "node.key",
            "-out", room / "node.crt")
        (room / "nginx.conf").write_text(NGINX.format(room=room, name=NAME, workers=len(self.cpus)))
        room.chmod(0o777)  # its workers are nobody's
        self.lab.start("node", "nginx", "-p", room, "-e", room / "nginx.log", "-c", room / "nginx.conf",
                       stderr=subprocess.DEVNULL, nice=NODE_NICE)
        self.lab.run("client", "curl", "--silent", "--show-error", "--retry", "20", "--retry-connrefused", "--retry-delay",
                     "0", "--retry-max-time", "5", "--cacert", room / "node.crt", "--resolve", f"{NAME}:443:{NODE}",
                     f"https://{NAME}/")

    def client(self, rate, timeout):
        """It stands for another machine: what it measures must not be its own waiting for a CPU."""
        load = os.path.join(os.path.dirname(__file__), "load.py")
        return self.lab.start("client", "python3", load, NODE, 443, NAME, self.lab.room / "node.crt", rate, timeout,
                              stdout=subprocess.PIPE, nice=CLIENT_NICE)

    def flood(self, profiles, blocked, rate, seconds):
        """From one process a CPU, as network cards spread a flood over all of them. What the flood costs the node is work
        of interrupts, which comes before every program's; here the sender does that work, so the sender comes first."""
        return self.lab.start("attacker", self.build / "flood", "--iface", "eth0", "--dst-mac",
                              self.lab.mac("router", "attacker"), "--dst", NODE, "--profile", profiles, "--blocked", blocked,
                              "--rate", rate, "--duration", seconds, "--cpu", ",".join(map(str, self.cpus)),
                              stdout=subprocess.PIPE, nice=FLOOD_NICE)

    def received(self):
        """Packets that came to the node's interface, whether or not anything dropped them there."""
        return self.lab.link("node", "eth0")["stats64"]["rx"]["packets"]
