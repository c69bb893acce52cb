#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A bond and a VLAN on it, as the policy names them: its members are protected, one fails, another one joins later.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on middle

join_by_bond() {
	for side in "" peer; do
		[ "$side" = peer ] && letter=p || letter=n
		$side ip link add ${letter}0 type bond mode active-backup miimon 50 || return 1
	done
	for member in 1 2 3; do
		ip link add n$member type veth peer name p$member netns peer || return 1
		[ $member = 3 ] && continue # joins later
		ip link set n$member master n0 && peer ip link set p$member master p0 || return 1
	done
}

build_vlan() {
	for side in "" peer; do
		[ "$side" = peer ] && lower=p0 || lower=n0
		$side ip link add link $lower name v40 type vlan id 40 && $side ip link set v40 up || return 1
	done
	ip addr add 192.0.40.1/24 dev v40
	peer ip addr add 192.0.40.2/24 dev v40
	peer ip addr add 192.0.40.66/24 dev v40
}

from() { # from SOURCE ADDRESS: does a ping get an answer?
	peer busybox ping -q -c 1 -W 1 -I "$1" "$2"
}

judges() { # judges NAME
	it "$1: a client is served" within 30 fetches
	it "$1: in the VLAN on the bond" within 30 fetches 8080 192.0.40.1
	unanswered "$1: an undeclared port is not" fetches 8081
	unanswered "$1: a blocked source is dropped" reaches 66
	unanswered "$1: in the VLAN" from 192.0.40.66 192.0.40.1
	said_nothing
	it "$1: a connection that was open before goes on" still_talks
}

fails_over() {
	active=$(cat /sys/class/net/n0/bonding/active_slave)
	ip link set "$active" down
	within 30 sh -c "[ \$(cat /sys/class/net/n0/bonding/active_slave) != $active ]"
}

mount -t bpf bpf /sys/fs/bpf
load bond
build_network join_by_bond || { echo "Bail out! the network without the shield does not work"; exit 1; }
build_vlan && within 30 fetches 8080 192.0.40.1 || { echo "Bail out! no VLAN on the bond"; exit 1; }
keeps_talking 192.0.2.1 || { echo "Bail out! no connection without the shield"; exit 1; }

sed 's/^interfaces:.*/interfaces: [n1]/' tests/vm/policies/bond.yaml >/tmp/member.yaml
it "a policy that names one member only" "$BULWARK" apply /tmp/member.yaml
it "protects as long as that one is active" not reaches 66
it "status names the other one" says "n2" "$BULWARK" status
it "it fails" fails_over
it "and nothing is protected: what follows can fail" within 30 reaches 66
ip link set n1 up

it "named by the bond and the VLAN: all members are protected" says "live on n1 (native), n2 (native)" \
	"$BULWARK" apply tests/vm/policies/bond.yaml
judges "two members"
it "the active member fails" fails_over
judges "one member"
"${BUILD:-build}/bulwarkd" --foreground >/tmp/bulwarkd.log 2>&1 &
daemon=$!
ip link set n3 master n0 && peer ip link set p3 master p0
it "a third one joins: bulwarkd protects it" within 30 says ' xdp ' ip -d link show n3
for member in 1 2; do ip link set n$member down; done
judges "the third member"
kill $daemon
wait $daemon
it "down" "$BULWARK" down
it "the connection lives on" still_talks
it "down leaves no program on a member" not says xdp ip -d link show n3
drop_network
umount /sys/fs/bpf
done_testing
