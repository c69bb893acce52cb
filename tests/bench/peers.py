# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What people would use instead, set up as its manual would have it for speed: rules as early as they go, sets instead of rows
of rules. Each function protects one interface of a host: anything with run(*command), device, name and room. A peer that does
not work here is a Trouble in its own words."""

import pathlib
import shutil
import subprocess
import time

from enclosure import Trouble, run
from results import say

PROGRAMS = {"xdp-filter": ["xdp-filter", "load", "--version"], "nft": ["nft", "--version"], "iptables": ["iptables", "--version"],
            "ipset": ["ipset", "--version"]}
XDP_FILTER_MOST = 10_000  # its map has that many entries
XDP_FILTER_TAKES = f"it takes single addresses, {XDP_FILTER_MOST:,} at most, and has one list of them"
NO_RATES = "it knows no rates"
SOURCES_MOST = 1 << 20    # what the tables of nft and hashlimit are given, as our baseline has
SERVICE_RATE, SOURCE_RATE = 1000, 20000


def versions():
    found = {}
    for name, command in PROGRAMS.items():
        if not shutil.which(command[0]):
            found[name] = "not installed"
            continue
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        words = [word.strip("v,:") for word in done.stdout.split()]
        found[name] = next((word for word in words if word[:1].isdigit()), "of an unknown version")
    return found


def need(*names):
    for name in names:
        if not shutil.which(name):
            raise Trouble(f"{name} is not installed")


def prefixes_of(feed):
    prefixes = feed.read_text().split()
    return prefixes, ":" in prefixes[0]


class Timed:
    """Seconds that a load took, said."""

    def __init__(self, what, count):
        self.what, self.count = what, count

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, kind, *_):
        self.seconds = time.monotonic() - self.began
        if not kind and self.count >= 100_000:
            say(f"{self.what} took {self.seconds:.1f} s to load {self.count:,}")


# ---- block lists: seconds that the load took

def nft_set(host, feed):
    """An interval set at netdev ingress, where nft is quickest."""
    need("nft")
    prefixes, v6 = prefixes_of(feed)
    rules = host.room / f"{host.name}.nft"
    with rules.open("w") as file:
        file.write(f"table netdev bench {{\n set blocked {{ type ipv{6 if v6 else 4}_addr; flags interval; elements = {{\n")
        file.write(",\n".join(prefixes))
        file.write(f"}}\n}}\n chain ingress {{ type filter hook ingress device {host.device} priority 0; "
                   f"ip{6 if v6 else ''} saddr @blocked drop\n}}\n}}\n")
    with Timed("nft", len(prefixes)) as load:
        host.run("nft", "-f", rules)
    rules.unlink()
    return load.seconds


def ipset(host, feed):
    """In the raw table, before connection tracking."""
    need("ipset", "iptables")
    prefixes, v6 = prefixes_of(feed)
    lines = [f"create blocked hash:net family inet{6 if v6 else ''} hashsize {max(1024, len(prefixes))} maxelem {len(prefixes) + 1}"]
    lines += [f"add blocked {prefix}" for prefix in prefixes]
    with Timed("ipset", len(prefixes)) as load:
        host.run("ipset", "restore", input="\n".join(lines) + "\n")
    host.run("ip6tables" if v6 else "iptables", "-t", "raw", "-A", "PREROUTING", "-i", host.device, "-m", "set", "--match-set",
             "blocked", "src", "-j", "DROP")
    return load.seconds


XDP_FILTER_PINS = pathlib.Path("/sys/fs/bpf")  # here of the lab's mount namespace: one after the other has it


def load_xdp_filter(host, *options):
    need("xdp-filter")
    run("mount", "-t", "bpf", "xdp-filter", XDP_FILTER_PINS)
    host.run("xdp-filter", "load", *options, host.device)


def xdp_filter(host, feed):
    """Its program by its own tool, the addresses into its own map: its tool takes one a start."""
    need("xdp-filter")
    prefixes, v6 = prefixes_of(feed)
    if v6 or len(prefixes) > XDP_FILTER_MOST or any("/" in prefix and not prefix.endswith("/32") for prefix in prefixes):
        raise Trouble(XDP_FILTER_TAKES)
    addresses = [prefix.split("/")[0] for prefix in prefixes]
    load_xdp_filter(host, "--features", "ipv4", "--policy", "allow")
    host.run("xdp-filter", "ip", "--mode", "src", addresses[0])
    source = "1 0 0 0 0 0 0 0"  # the flag that the line above has set: refuse as source
    batch = "".join(f"map update pinned {XDP_FILTER_PINS}/xdp-filter/filter_ipv4 key {address.replace('.', ' ')} value {source}\n"
                    for address in addresses)
    with Timed("xdp-filter", len(addresses)) as load:
        run(host.bpftool, "batch", "file", "-", input=batch)
    return load.seconds


# ---- rates: one of a source, and one for all of them, as the policy beside it has

def nft_meter(host, of_all=SERVICE_RATE):
    need("nft")
    host.run("nft", "-f", "-", input=f"""table netdev bench {{
 set sources {{ type ipv4_addr; size {SOURCES_MOST}; flags dynamic; timeout 10s; }}
 chain ingress {{ type filter hook ingress device {host.device} priority 0;
  tcp dport 443 tcp flags & (syn|ack) == syn update @sources {{ ip saddr limit rate over {SOURCE_RATE}/second burst {SOURCE_RATE} packets }} drop
  tcp dport 443 tcp flags & (syn|ack) == syn limit rate over {of_all}/second burst {of_all} packets drop
 }}
}}
""")


def hashlimit(host, of_all=SERVICE_RATE):
    need("iptables")
    chain = ("iptables", "-t", "raw", "-A", "PREROUTING", "-i", host.device, "-p", "tcp", "--dport", "443", "--syn")
    host.run(*chain, "-m", "hashlimit", "--hashlimit-name", host.device[:12], "--hashlimit-mode", "srcip", "--hashlimit-above",
             f"{SOURCE_RATE}/sec", "--hashlimit-burst", SOURCE_RATE, "--hashlimit-htable-size", SOURCES_MOST,
             "--hashlimit-htable-max", SOURCES_MOST, "--hashlimit-htable-expire", "10000", "-j", "DROP")
    host.run(*chain, "-m", "limit", "--limit", f"{of_all}/sec", "--limit-burst", min(of_all, 10000), "-j", "ACCEPT")
    host.run(*chain, "-j", "DROP")


# ---- proof of a source

def sysctl(host, name, value):
    host.run("sh", "-c", f"echo {value} > /proc/sys/{name}")


def kernel_cookies(host):
    """The kernel's own, for every SYN: what it does by itself once a listener's queue has overflowed."""
    sysctl(host, "net/ipv4/tcp_syncookies", 2)


def synproxy(host):
    need("iptables")
    match = ("-i", host.device, "-p", "tcp", "--dport", "443")
    host.run("iptables", "-t", "raw", "-A", "PREROUTING", *match, "--syn", "-j", "CT", "--notrack")
    host.run("iptables", "-A", "INPUT", *match, "-m", "conntrack", "--ctstate", "INVALID,UNTRACKED", "-j", "SYNPROXY",
             "--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1460")
    host.run("iptables", "-A", "INPUT", *match, "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
    sysctl(host, "net/netfilter/nf_conntrack_tcp_loose", 0)


# ---- services: these ports and nothing else

def xdp_filter_ports(host, ports):
    load_xdp_filter(host, "--features", "tcp", "--policy", "deny")
    for port in ports:
        host.run("xdp-filter", "port", "--mode", "dst", "--proto", "tcp", port)


def ipset_ports(host, ports):
    need("ipset", "iptables")
    lines = ["create exposed bitmap:port range 0-65535"] + [f"add exposed {port}" for port in ports]
    host.run("ipset", "restore", input="\n".join(lines) + "\n")
    chain = ("iptables", "-t", "raw", "-A", "PREROUTING", "-i", host.device, "-p", "tcp")
    host.run(*chain, "-m", "set", "--match-set", "exposed", "dst", "-j", "ACCEPT")
    host.run(*chain, "-j", "DROP")


def nft_ports(host, ports):
    need("nft")
    host.run("nft", "-f", "-", input=f"""table netdev bench {{
 set exposed {{ type inet_service; elements = {{ {', '.join(map(str, ports))} }} }}
 chain ingress {{ type filter hook ingress device {host.device} priority 0; tcp dport @exposed accept
  meta l4proto tcp drop
 }}
}}
""")


def iptables_rules(host, ports):
    """A rule a port, as many a firewall has them."""
    need("iptables-restore")
    rules = "".join(f"-A PREROUTING -i {host.device} -p tcp --dport {port} -j ACCEPT\n" for port in ports)
    host.run("iptables-restore", input=f"*raw\n:PREROUTING ACCEPT\n{rules}-A PREROUTING -i {host.device} -p tcp -j DROP\nCOMMIT\n")


# ---- many lists

def nft_sets(host, lists):
    """A set and a rule a list."""
    need("nft")
    sets = "".join(f" set list{number} {{ type ipv4_addr; flags interval; elements = {{ {', '.join(prefixes)} }} }}\n"
                   for number, prefixes in enumerate(lists))
    rules = "".join(f"  ip saddr @list{number} drop\n" for number in range(len(lists)))
    host.run("nft", "-f", "-", input=f"table netdev bench {{\n{sets} chain ingress {{ type filter hook ingress device {host.device} "
                                     f"priority 0;\n{rules} }}\n}}\n")


def ipsets(host, lists):
    need("ipset", "iptables-restore")
    lines = []
    for number, prefixes in enumerate(lists):
        lines.append(f"create list{number} hash:net hashsize {max(1024, len(prefixes))} maxelem {len(prefixes) + 1}")
        lines += [f"add list{number} {prefix}" for prefix in prefixes]
    host.run("ipset", "restore", input="\n".join(lines) + "\n")
    rules = "".join(f"-A PREROUTING -i {host.device} -m set --match-set list{number} src -j DROP\n" for number in range(len(lists)))
    host.run("iptables-restore", input=f"*raw\n:PREROUTING ACCEPT\n{rules}COMMIT\n")
