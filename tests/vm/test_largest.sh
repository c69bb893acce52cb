#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A policy as large as they get: 62 lists (as many as a policy may use), one of them a feed of a hundred thousand
# prefixes, 40,000 of IPv6 beside them (which get tables of their own), and a thousand services with limits. It loads,
# judges, and is replaced by another one of its size.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on oldest

PREFIXES=100000

write_feed() {
	awk -v count=$PREFIXES 'BEGIN {
		for (i = 0; i < count; i++) # spread over 11.0.0.0 to 98.255.255.255, none next to another
			printf "%d.%d.%d.%d\n", 11 + i % 88, int(i / 88) % 256, int(i / 22528) * 2 % 256, i % 97 * 2 + 1
		for (i = 0; i < 40000; i++)
			printf "2a10:%x:%x::/%d\n", int(i / 200), i % 200 * 2, 48 + i % 17
	}' >/tmp/feed.txt
}

write_policy() { # write_policy FIRST-PORT
	awk -v first="$1" 'BEGIN {
		print "version: 1\ninterfaces: [n0]\nmode: native\nlists:"
		print "  bad: { addresses: [192.0.2.66, \"2001:db8:2::66\"] }\n  feed: { feed: /tmp/feed.txt }"
		for (i = 0; i < 60; i++)
			printf "  list%d: { addresses: [198.18.%d.0/24, \"2001:db8:%x::/48\"] }\n", i, i, i + 4096
		print "block: [bad, feed]\nservices:\n  web: { ports: tcp/8080 }"
		for (i = 0; i < 999; i++)
			printf "  service%d: { ports: tcp/%d, allow: [list%d], limits: [ { new-connections: 100/s, per: source } ] }\n", i, first + i, i % 60
	}' >/tmp/largest.yaml
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
write_feed
write_policy 20000
it "a feed of $PREFIXES prefixes, 62 lists and 1000 services are applied" says "list feed: $PREFIXES IPv4" \
	"$BULWARK" apply /tmp/largest.yaml
it "a client is served" fetches
it "a client is served over IPv6" fetches6
it "a source of a small list is dropped" not reaches 66
it "a source of the feed is dropped" says "drop.*blocked" "$BULWARK" lookup 50.0.0.79 192.0.2.1:8080
it "a source beside it is not" says "pass.*service" "$BULWARK" lookup 50.0.0.80 192.0.2.1:8080
it "an IPv6 source of the feed is dropped" says "drop.*blocked" "$BULWARK" lookup 2a10:64:10:: "[2001:db8:2::1]:8080"
it "an IPv6 source beside it is not" says "pass.*service" "$BULWARK" lookup 2a10:64:11:: "[2001:db8:2::1]:8080"
it "the last service takes its list" says "service service998" "$BULWARK" lookup 198.18.38.1 192.0.2.1:20998
it "the last service refuses others" says "drop.*not-allowed" "$BULWARK" lookup 192.0.2.2 192.0.2.1:20998
write_policy 30000
it "another one of this size takes its place" "$BULWARK" apply /tmp/largest.yaml
it "and judges" says "drop.*unexposed" "$BULWARK" lookup 198.18.38.1 192.0.2.1:20998
it "a client is served still" fetches
it "down" "$BULWARK" down
drop_network
umount /sys/fs/bpf
done_testing
