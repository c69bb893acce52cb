# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A node behind Bulwark, a client and an attacker, each in a network namespace of its own, and TAP.

    lab.main("name of the test", tests)       runs tests(lab) in a fresh lab and ends the process

The namespaces have no names: they are held by descriptors of this process, so they vanish with it, however it ends.
Pins are below /sys/fs/bpf, the state in a temporary directory; both carry this process in their names, so any number
of labs can run at once.

OFF=1 pauses the shield after every apply: every test of protection must fail then.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BUILD = os.environ.get("BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build")
BULWARK, BULWARKD = (os.path.join(os.path.abspath(BUILD), name) for name in ("bulwark", "bulwarkd"))
BPFFS = "/sys/fs/bpf"
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
PACKET_IGNORE_OUTGOING, SOL_PACKET = 23, 263

libc = ctypes.CDLL(None, use_errno=True)


def must(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# ---- TAP

count = 0
failures = 0


@contextlib.contextmanager
def it(behaviour):
    """One test: whatever is raised inside is its failure, and the next one goes on."""
    global count, failures
    count += 1
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told, not swallowed
        failures += 1
        print(f"not ok {count} - {behaviour}")
        words = str(error) if isinstance(error, AssertionError) and str(error) else traceback.format_exc()
        print("\n".join("#   " + line for line in words.strip().splitlines()), flush=True)
    else:
        print(f"ok {count} - {behaviour}", flush=True)


def skip(behaviour, reason):
    global count
    count += 1
    print(f"ok {count} - {behaviour} # SKIP {reason}", flush=True)


def same(found, wanted, what=""):
    assert found == wanted, f"{what + ': ' if what else ''}found {found!r}, wanted {wanted!r}"


def holds(text, *words):
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"


def wait(condition, what, seconds=30):
    """Until condition() is true; its value. The bound tells what never comes from what comes late, on a busy machine too."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


# ---- namespaces

class Namespace:
    """A network namespace. `with namespace:` puts the calling thread, and what it starts, into it."""

    def __init__(self, name):
        self.name = name
        self.homes = threading.local()
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        must(libc.unshare(CLONE_NEWNET))
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        must(libc.setns(home, CLONE_NEWNET))
        os.close(home)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv4.ping_group_range", "0 2147483647")
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self):
        stack = self.homes.__dict__.setdefault("stack", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        must(libc.setns(self.fd, CLONE_NEWNET))
        return self

    def __exit__(self, *_):
        home = self.homes.stack.pop()
        must(libc.setns(home, CLONE_NEWNET))
        os.close(home)

    def run(self, *command, status=0, timeout=120, **more):
        """Output of a command that must end with status (None: any)."""
        with self:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, **more)
        text = done.stdout.decode(errors="replace")
        assert status is None or done.returncode == status, f"{' '.join(command)}: status {done.returncode}: {text}"
        return text

    def works(self, *command, timeout=120):
        """Whether a command ends with status 0."""
        with self:
            return not subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, timeout=timeout).returncode

    def sysctl(self, name, value):
        with self, open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
            file.write(str(value))

    def socket(self, *arguments):
        with self:
            return socket.socket(*arguments)

    def overflowed(self, device):
        """Frames that device could not hand to its peer, because a queue was full: the shield has not seen them."""
        with self, open("/proc/thread-self/net/dev", encoding="ascii") as file:
            columns = next(line.split(":")[1].split() for line in file if line.split(":")[0].strip() == device)
        return int(columns[11])

    def raw(self, device):
        """A packet socket that sends frames through device as they are."""
        with self:
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            sender.bind((device, 0))
            return sender

    def close(self):
        os.close(self.fd)


def veth(one, one_device, other, other_device, mtu=1500):
    one.run("ip", "link", "add", one_device, "mtu", str(mtu), "numtxqueues", "2", "numrxqueues", "2", "type", "veth",
            "peer", "name", other_device, "mtu", str(mtu), "netns", other.path, "numtxqueues", "2", "numrxqueues", "2")
    one.run("ip", "link", "set", one_device, "up")
    other.run("ip", "link", "set", other_device, "up")


class End:
    """A device with its addresses."""

    def __init__(self, namespace, device, v4, v6):
        self.namespace, self.device = namespace, device
        for address, bits in ((v4, 24), (v6, 64)):
            namespace.run("ip", "addr", "add", f"{address}/{bits}", "dev", device, *(["nodad"] if bits == 64 else []))
        self.v4, self.v6 = v4, v6
        with namespace:
            self.mac = mac_of(device)

    def __getitem__(self, family):
        return self.v4 if family == 4 else self.v6


def mac_of(device):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as probe:
        probe.bind((device, 0))
        return probe.getsockname()[4]


BPF_PROG_LOAD, BPF_OBJ_PIN, PROG_TYPE_XDP, XDP_HAS_FRAGS = 5, 6, 6, 1 << 5
NR_BPF = 321  # x86-64


def bpf(command, attributes):
    return must(libc.syscall(NR_BPF, command, attributes, len(attributes)))


def let_pass(lab, namespace, device):
    """An XDP program on device that passes everything: a veth takes what XDP sends back (XDP_TX) only with one there."""
    code = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
    code, name = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    fd = bpf(BPF_PROG_LOAD, struct.pack("=IIQQ20xI", PROG_TYPE_XDP, 2, ctypes.addressof(code), ctypes.addressof(name),
                                        XDP_HAS_FRAGS) + bytes(72))
    path = f"{lab.pins}-pass-{device}"
    pin = ctypes.create_string_buffer(path.encode())
    try:
        bpf(BPF_OBJ_PIN, struct.pack("=QI", ctypes.addressof(pin), fd) + bytes(12))
        namespace.run("ip", "link", "set", "dev", device, "xdpdrv", "pinned", path)
    finally:
        os.close(fd)
        if os.path.exists(path):
            os.unlink(path)


class Capture:
    """Frames that come in through a device: those that got past XDP."""

    def __init__(self, namespace, device):
        with namespace:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind((device, ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.drain()

    def drain(self, seconds=0.0):
        """All frames so far; those of the next seconds too."""
        frames, end = [], time.monotonic() + seconds
        while select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
            frames.append(self.socket.recv(65536))
        return frames

    def close(self):
        self.socket.close()


# ---- the lab

class Lab:
    """client == c0 ------ eth0 == node == eth1 ------ a0 == attacker"""

    def __init__(self, name, mtu=1500):
        self.undo = contextlib.ExitStack()
        self.directory = tempfile.mkdtemp(prefix=f"bulwark-{name}-")
        self.undo.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.pins = f"{BPFFS}/netns-{name}-{os.getpid()}"
        self.state = self.directory + "/state"
        self.environment = dict(os.environ, BULWARK_PIN_DIR=self.pins, BULWARK_STATE_DIR=self.state, LC_ALL="C.UTF-8")
        self.environment.pop("SSH_CONNECTION", None)
        if not os.path.ismount(BPFFS):
            subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)
        self.undo.callback(remove_pins, self.pins)
        self.client, self.attacker, self.node = (self.namespace(n) for n in ("client", "attacker", "node"))
        self.eth0, self.c0 = self.join("eth0", self.client, "c0", "45.33.1.", "2a01:7e00:1::", mtu)
        self.join_attacker(mtu)

    def join(self, device, peer, peer_device, v4, v6, mtu):
        """The node's device joined with the peer's; the node is .1 and the peer's gateway, the peer is .2."""
        veth(self.node, device, peer, peer_device, mtu)
        ends = End(self.node, device, v4 + "1", v6 + "1"), End(peer, peer_device, v4 + "2", v6 + "2")
        peer.run("ip", "route", "add", "default", "via", ends[0].v4)
        peer.run("ip", "-6", "route", "add", "default", "via", ends[0].v6)
        return ends

    def join_attacker(self, mtu=1500):
        self.eth1, self.a0 = self.join("eth1", self.attacker, "a0", "46.30.2.", "2a01:7e00:2::", mtu)

    def namespace(self, name):
        namespace = Namespace(name)
        self.undo.callback(namespace.close)
        return namespace

    def container(self, device="port0", bridge=None):
        """A namespace at INSIDE, behind the node's device (or the bridge that has it), which reaches everything through the node."""
        box = self.namespace("container")
        veth(self.node, device, box, "b0")
        if bridge:
            self.node.run("ip", "link", "set", device, "master", bridge)
        End(self.node, bridge or device, "10.77.0.1", "fd77::1")
        End(box, "b0", INSIDE[4], INSIDE[6])
        box.run("ip", "route", "add", "default", "via", "10.77.0.1")
        box.run("ip", "-6", "route", "add", "default", "via", "fd77::1")
        return box

    def forward(self, on=1):
        """Whether the node sends on what is for others."""
        self.node.sysctl("net.ipv4.ip_forward", on)
        self.node.sysctl("net.ipv6.conf.all.forwarding", on)

    def second_source(self, source):
        """The client comes by these addresses (by family), too: another IPv4 address, another /64."""
        self.client.run("ip", "addr", "add", source[4] + "/24", "dev", "c0")
        self.client.run("ip", "addr", "add", source[6] + "/64", "dev", "c0", "nodad")
        self.node.run("ip", "-6", "route", "add", source[6].rpartition("::")[0] + "::/64", "dev", "eth0")

    def close(self):
        with contextlib.suppress(Exception):
            self.bulwark("down", status=None)
        self.undo.close()

    # -- programs

    def start(self, namespace, *command, **more):
        """A program that runs until the lab ends. Its output: self.directory/NAME.log"""
        log = open(f"{self.directory}/{os.path.basename(command[0])}.log", "ab")
        with namespace:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        log.close()
        self.undo.callback(stop, process)
        return process

    def file(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def bulwark(self, *arguments, status=0, namespace=None, environment=None, before=()):
        """Output (both streams) of a verb that must end with status (None: any)."""
        return (namespace or self.node).run(*before, BULWARK, *arguments, status=status,
                                            env=dict(self.environment, **(environment or {})))

    def json(self, *arguments, status=0):
        with self.node:
            done = subprocess.run([BULWARK, "--json", *arguments], stdin=subprocess.DEVNULL, env=self.environment,
                                  capture_output=True, timeout=120, check=False)
        assert status is None or done.returncode == status, f"{arguments}: status {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def apply(self, text, *options, status=0, name="policy.yaml", **more):
        if "interfaces:" not in text:
            text += "\ninterfaces: [eth0, eth1]\n"
        output = self.bulwark("apply", self.file(name, "version: 1\n" + text), *options, status=status, **more)
        if os.environ.get("OFF") and status == 0:
            self.bulwark("pause", "--for", "1h", status=None)
        return output

    def status(self):
        return self.json("status", status=None)

    def headline(self):
        return self.status()["status"]

    def counts(self):
        """{(verdict, reason): packets}"""
        return {(row["verdict"], row["reason"]): row["packets"] for row in self.status()["packets"]}

    def fallthrough(self):
        return sum(self.status()["fallthrough"].values())

    # -- servers on a namespace, in threads of this process

    def serve(self, namespace, family, kind, address, port, answer, backlog=4096):
        """A socket of its own thread: answer(socket) is called until the lab ends. Returns the socket."""
        server = namespace.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen(backlog)

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    answer(server)

        threading.Thread(target=loop, daemon=True).start()
        self.undo.callback(server.close)
        return server

    def udp_echo(self, namespace, family, address, port):
        def answer(server):
            data, peer = server.recvfrom(65536)
            server.sendto(data, peer)
        return self.serve(namespace, family, socket.SOCK_DGRAM, address, port, answer)

    def tcp_sink(self, namespace, family, address, port, greeting=b"welcome\n", backlog=4096):
        """Accepts, greets, and keeps every connection. The list of connections grows as they come."""
        connections = []

        def answer(server):
            connection, _ = server.accept()
            connections.append(connection)
            connection.sendall(greeting)

        self.serve(namespace, family, socket.SOCK_STREAM, address, port, answer, backlog)
        self.undo.callback(lambda: [c.close() for c in connections])
        return connections

    def https(self, namespace, port=443, size=0, plain=0):
        """A real nginx with TLS that says `served`; /big holds size random bytes. plain: a port without TLS."""
        root = self.web_root()
        with open(root + "/index.html", "w", encoding="ascii") as file:
            file.write("served\n")
        with open(root + "/big", "wb") as file:
            file.write(os.urandom(1 << 20) * (size >> 20))
        self.nginx(namespace, root, HTTPS.format(root=root, port=port, plain=f"listen {plain}; listen [::]:{plain};" if plain else ""))
        wait(lambda: namespace.works("curl", "-skf", "-m", "2", "-o", "/dev/null", f"https://127.0.0.1:{port}/"), "nginx")
        return root

    def web_root(self):
        """A directory with a certificate, cert.pem and key.pem."""
        root = tempfile.mkdtemp(prefix="web-", dir=self.directory)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", f"{root}/key.pem", "-out", f"{root}/cert.pem", "-days", "2", "-subj", "/CN=node"],
                       check=True, capture_output=True)
        return root

    def nginx(self, namespace, root, servers):
        """A real nginx with these servers, which keeps its files in root; it may not listen yet."""
        path = root + "/nginx.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(NGINX.format(root=root, servers=servers))
        self.start(namespace, "nginx", "-p", root, "-c", path, "-g", "daemon off;")


NGINX = """
user root; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 4096; }}
http {{
	access_log off; client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root}; uwsgi_temp_path {root};
	scgi_temp_path {root}; default_type text/plain; keepalive_timeout 300;
{servers}
}}
"""
HTTPS = """
	client_max_body_size 0; error_page 405 =200 /index.html;
	server {{
		listen {port} ssl backlog=4096; listen [::]:{port} ssl backlog=4096; {plain} root {root};
		ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;
	}}
"""
INSIDE = {4: "10.77.0.2", 6: "fd77::2"}  # of a container


def events(lab, action):
    """Those of bulwarkd's log with this action; a line that is being written is left for the next look."""
    with contextlib.suppress(FileNotFoundError), open(lab.state + "/events.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if line["event"]["action"] == action]
    return []


def url(address, port=443, path=""):
    return f"https://[{address}]:{port}/{path}" if ":" in address else f"https://{address}:{port}/{path}"


def fetch(namespace, address, port=443, path="", seconds=5):
    """What curl gets, "" when it does not."""
    return namespace.run("curl", "-skf", "-m", str(seconds), url(address, port, path), status=None)


def pings(namespace, address, *options, seconds=1):
    return namespace.works("ping", "-q", "-c", "1", "-W", str(seconds), *options, address)


def connects(namespace, address, port, seconds=1.0):
    """Whether a TCP connection comes about."""
    with namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        try:
            client.connect((address, port))
        except OSError:
            return False
    return True


def connect(namespace, address, port, seconds=5.0):
    client = namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(seconds)
    client.connect((address, port))
    return client


def asks(namespace, address, port, seconds=1.0):
    """Whether a UDP question gets its answer."""
    with namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        try:
            client.sendto(b"who?", (address, port))
            return client.recv(100) == b"who?"
        except OSError:
            return False


class Questions:
    """Numbered UDP questions without a pause, each when the one before was answered, for as long as the block lasts."""

    def __init__(self, namespace, address, port):
        self.client = namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.client.settimeout(5)
        self.client.connect((address, port))
        self.sent = self.lost = 0
        self.thread, self.over = threading.Thread(target=self.ask, daemon=True), False

    def ask(self):
        while not self.over:
            number = b"%d" % self.sent
            self.sent += 1
            self.client.send(number)
            try:
                self.lost += self.client.recv(100) != number
            except OSError:
                self.lost += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        self.client.close()


def none_lost(lab, address, port, change):
    """While change() goes on, a lawful client asks: each question is answered, and the shield drops no packet at all."""
    def dropped():
        return sum(packets for (verdict, _), packets in lab.counts().items() if verdict == "drop")

    before = dropped()
    with Questions(lab.client, address, port) as questions:
        wait(lambda: questions.sent > 10, "the first answers")
        change()
        far = questions.sent
        wait(lambda: questions.sent > far + 100, "more answers")
    print(f"# {questions.sent} questions, {questions.lost} lost")
    same((questions.lost, dropped() - before, lab.fallthrough()), (0, 0, 0), "lost, dropped, unjudged")


def digest_of_all(server):
    """Reads a connection to its end and answers with the digest of what came."""
    connection, _ = server.accept()
    with connection:
        total = hashlib.sha256()
        while data := connection.recv(1 << 16):
            total.update(data)
        connection.sendall(total.digest())


def pins_below(path):
    return sorted(os.path.relpath(os.path.join(top, name), path)
                  for top, _, names in os.walk(path) for name in names)


def remove_pins(path):
    for top, directories, names in os.walk(path, topdown=False):
        for name in names:
            os.unlink(os.path.join(top, name))
        for name in directories:
            os.rmdir(os.path.join(top, name))
    if os.path.isdir(path):
        os.rmdir(path)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def child(function, *arguments):
    """function(*arguments) in a child process, which is ended by stop_child()."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        function(*arguments)
        status = 0
    finally:
        os._exit(status)


def stop_child(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main(name, tests, **more):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    if os.geteuid():
        print("1..0 # SKIP needs root")
        sys.exit(0)
    lab = Lab(name, **more)
    try:
        tests(lab)
        print(f"1..{count}")
    except Exception:  # noqa: BLE001
        print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
        print("Bail out! " + name)
        sys.exit(1)
    finally:
        lab.close()
    sys.exit(1 if failures else 0)
