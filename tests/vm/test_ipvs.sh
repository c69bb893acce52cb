#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The node balances connections to a shared address by IPVS (NAT) to a server behind it: they have no socket here, and
# conntrack does not know them. The policy drops strays, so that a segment that is not recognized is lost.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on newest
command -v ipvsadm >/dev/null || { echo "1..0 # SKIP ipvsadm is not installed outside" && exit 0; }

balances() {
	ip addr add 192.0.2.80/32 dev n0
	for port in 80 7070; do
		ipvsadm -A -t 192.0.2.80:$port -s rr && ipvsadm -a -t 192.0.2.80:$port -r 198.51.100.2:$port -m || return 1
	done
	dd if=/dev/urandom of=/tmp/www/large bs=64k count=16 2>/dev/null
}

downloads() {
	peer timeout 60 busybox wget -q -O /tmp/received http://192.0.2.80/large && cmp /tmp/received /tmp/www/large
}

mount -t bpf bpf /sys/fs/bpf
load ipvs
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
build_server 80 && balances && within 30 fetches 80 192.0.2.80 || { echo "Bail out! IPVS does not work without the shield"; exit 1; }
keeps_talking 192.0.2.80 server || { echo "Bail out! no connection without the shield"; exit 1; }

sed 's/^stray: drop/stray: { reset: 1k\/s }/' tests/vm/policies/ipvs.yaml >/tmp/first.yaml
it "apply" "$BULWARK" apply /tmp/first.yaml
it "a connection that was open before goes on" still_talks
it "and is known, when strays drop" "$BULWARK" apply tests/vm/policies/ipvs.yaml
it "it goes on" still_talks
it "a client is served through IPVS" fetches 80 192.0.2.80
it "a megabyte passes whole" downloads
floods 20 80
it "in a flood, too" downloads
it "no segment of theirs was a stray" [ -z "$(drops stray)" ]
sed 's|tcp/80, ||' tests/vm/policies/ipvs.yaml >/tmp/without.yaml
it "without the service for port 80" "$BULWARK" apply /tmp/without.yaml
it "it is not reached" not fetches 80 192.0.2.80
it "down" "$BULWARK" down
it "the connection lives on" still_talks
ipvsadm -C
drop_server
drop_network
umount /sys/fs/bpf
done_testing
