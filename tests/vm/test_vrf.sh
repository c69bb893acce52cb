#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The protected device is in a VRF, the policy names the VRF: sockets bound to it are found, also those of connections.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on oldest

join_in_vrf() {
	join_by_veth && ip link add blue type vrf table 10 && ip link set blue up && ip link set n0 master blue &&
		sysctl -qw net.ipv4.tcp_l3mdev_accept=1 net.ipv4.udp_l3mdev_accept=1
}

blue() {
	ip vrf exec blue "$@"
}

mount -t bpf bpf /sys/fs/bpf
load vrf
build_network join_in_vrf || { echo "Bail out! the network without the shield does not work"; exit 1; }
blue busybox httpd -h /tmp/www -p 8082
keeps_talking 192.0.2.1 || { echo "Bail out! no connection without the shield"; exit 1; }
it "a blocked source would be answered: what follows can fail" reaches 66
sed 's/^stray: drop/stray: { reset: 1k\/s }/' tests/vm/policies/vrf.yaml >/tmp/first.yaml
it "named by the VRF, its member is protected" says "live on n0 (native)" "$BULWARK" apply /tmp/first.yaml
it "a connection that was open before goes on" still_talks
it "and is known, when strays drop" "$BULWARK" apply tests/vm/policies/vrf.yaml
it "it goes on" still_talks
it "a client is served by a socket for every VRF" fetches
it "over IPv6" fetches6
it "by one that is bound to this VRF" fetches 8082
unanswered "an undeclared port is not" fetches 8081
unanswered "a blocked source is dropped" reaches 66
unanswered "over IPv6 too" reaches6 66
said_nothing
it "an answer to what this host asked in the VRF" blue timeout 5 busybox wget -q -O /dev/null http://192.0.2.2:9090/
it "a ping's too" blue busybox ping -q -c 1 -W 2 192.0.2.2
it "no segment of theirs was a stray" [ -z "$(drops stray)" ]
it "status is enforcing" says ENFORCING "$BULWARK" status
it "down" "$BULWARK" down
it "the connection lives on" still_talks
ip link set n0 nomaster
ip link del blue
drop_network
umount /sys/fs/bpf
done_testing
