#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A node that forwards to a backend behind it, with conntrack at hand, and a policy that uses everything.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac

forwarded() { # forwarded PORT: a page of the backend, for the peer
	[ "$(peer timeout 3 busybox wget -q -O - "http://198.51.100.2:$1/")" = served ]
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
build_server 8080 8082
peer ip route add 198.51.100.0/24 via 192.0.2.1
# One rule, so that connections are tracked.
nft add table ip nat
nft add chain ip nat post '{ type nat hook postrouting priority 100; }'
nft add rule ip nat post oifname b0 masquerade
within 30 forwarded 8080 || { echo "Bail out! forwarding without the shield does not work"; exit 1; }

it "apply" "$BULWARK" apply tests/vm/policies/forward.yaml --iface n0
it "a service of this host" fetches
it "a service of the backend" forwarded 8080
it "a port of the backend that no service names" not forwarded 8082
unanswered "a port of this host that no service names" fetches 8082
unanswered "a blocked source" reaches 66
said_nothing
it "an answer to what the backend asked for" server timeout 3 busybox wget -q -O - http://192.0.2.2:9090/
it "an answer to what this host asked for" timeout 3 busybox wget -q -O - http://192.0.2.2:9090/
it "down" "$BULWARK" down
nft delete table ip nat
drop_server
drop_network
umount /sys/fs/bpf
done_testing
