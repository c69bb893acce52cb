#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# First bytes at TC ingress, by tcx or a clsact filter: what is refused ends at both ends, and the server sees nothing of
# it; a rule of tc finds the tag that answers carry.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
case $(uname -r) in 6.1.*) by=clsact ;; *) by=tcx ;; esac

attached_by() {
	"$BULWARK" --json status | tr -d ' \n' | grep "\"ingress\":true,\"egress_by\":\"$1\""
}

serves_private() {
	[ "$(peer timeout 3 busybox wget -q -O - http://192.0.2.1:8080/private/)" = served ]
}

# connects WORDS: the peer says them to port 443 and keeps its side open, as the server does
connects() {
	: >/tmp/heard
	tail -f /dev/null | busybox nc -l -p 443 >/tmp/heard &
	server=$!
	within 10 grep -q ':01BB .* 0A ' /proc/net/tcp6 /proc/net/tcp
	{ printf '%b' "$1" && sleep 1000; } | peer busybox nc 192.0.2.1 443 &
	client=$!
}

ended() {
	! kill -0 "$1" 2>/dev/null
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
mkdir -p /tmp/www/private && echo served >/tmp/www/private/index.html
it "without the shield a path is served" serves_private
it "apply" "$BULWARK" apply tests/vm/policies/first.yaml --iface n0
it "attached by $by" attached_by $by
it "others are served" fetches
it "the denied one is not" not serves_private
it "for that reason" [ "$(drops http-path)" ]

connects 'GET / HTTP/1.1\r\n\r\n'
it "plain text on a TLS port: the client's end is reset" within 30 ended $client
it "so is the server's" within 30 ended $server
it "which has seen nothing of it" not [ -s /tmp/heard ]
it "for that reason" [ "$(drops tls-not-tls)" ]

tc qdisc add dev n0 clsact 2>/dev/null # there already where the shield needs it
it "a rule of tc for a service and a class" tc filter add dev n0 egress protocol ip pref 100 handle 0x4a00/0xff00 fw action ok
it "another request is served" fetches
it "the rule has found its answer" says 'Sent [1-9]' tc -s filter show dev n0 egress pref 100
it "another queueing discipline" tc qdisc add dev n0 root handle 1: prio # as the man page has it
it "a filter of its own for a service and a class" tc filter add dev n0 parent 1: protocol all handle 0x4a00/0xff00 fw classid 1:1
it "one more request is served" fetches
it "its answer went first" says 'Sent [1-9]' tc -s class show dev n0 classid 1:1
it "down" "$BULWARK" down
drop_network
done_testing
