#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A VLAN, and one inside it, on the protected device: frames are judged with their tags in them, and also where the
# offload takes the tags off before (rx-vlan) or puts them on late (tx-vlan).
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on middle

# vlan RUN-IN DEVICE NAME ID: a VLAN device, up
vlan() {
	$1 ip link add link "$2" name "$3" type vlan id "$4" && $1 ip link set "$3" up
}

build_vlans() {
	vlan "" n0 v40 40 && vlan "" v40 v40.7 7 && vlan peer p0 v40 40 && vlan peer v40 v40.7 7 || return 1
	for host in 1 2 66; do
		run=peer lifetime=forever
		[ $host = 1 ] && run=
		[ $host = 66 ] && lifetime=0 # no program picks the bad one by itself
		$run ip addr add 192.0.40.$host/24 dev v40
		$run ip addr add 192.0.47.$host/24 dev v40.7
		$run ip addr add 2001:db8:40::$host/64 dev v40 nodad preferred_lft $lifetime
	done
}

# from SOURCE ADDRESS: does a ping to the address get an answer?
from() {
	case $1 in
	*:*) peer busybox ping6 -q -c 1 -W 1 -I "$1" "$2" ;;
	*) peer busybox ping -q -c 1 -W 1 -I "$1" "$2" ;;
	esac
}

# pours SOURCE ADDRESS: 150 pings that nobody waits for (pktgen would be faster, but the kernel dies of it in generic mode)
pours() {
	for sender in 1 2 3; do
		peer busybox ping -q -c 50 -i 0.01 -W 1 -I "$1" "$2" >/dev/null &
	done
}

offloads() { # offloads on|off
	ethtool -K n0 rxvlan "$1" txvlan "$1" && peer ethtool -K p0 rxvlan "$1" txvlan "$1"
}

judges() { # judges NAME
	it "$1: a client in the VLAN is served" fetches 8080 192.0.40.1
	it "$1: over IPv6" fetches 8080 "[2001:db8:40::1]"
	it "$1: a client behind two tags is served" fetches 8080 192.0.47.1
	unanswered "$1: an undeclared port is not" fetches 8081 192.0.40.1
	unanswered "$1: a blocked source in the VLAN is dropped" from 192.0.40.66 192.0.40.1
	unanswered "$1: over IPv6" from 2001:db8:40::66 2001:db8:40::1
	unanswered "$1: an undeclared port behind two tags is not" fetches 8081 192.0.47.1
	unanswered "$1: a blocked source behind two tags is dropped" from 192.0.47.66 192.0.47.1
	said_nothing
	before=$(drops blocked)
	pours 192.0.40.66 192.0.40.1
	it "$1: a client is served while a blocked source in its VLAN does not stop" fetches 8080 192.0.40.1
	wait
	it "$1: and all of that is dropped" [ "$(drops blocked)" -ge $((before + 150)) ]
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
build_vlans || { echo "Bail out! no VLANs"; exit 1; }
within 30 fetches 8081 192.0.47.1 || { echo "Bail out! the VLANs do not reach each other"; exit 1; }
for mode in native generic; do
	sed "s/^mode: native/mode: $mode/" tests/vm/policies/vlan.yaml >/tmp/vlan.yaml
	it "$mode: apply names the VLANs and protects the device below them" says "live on n0 ($mode" \
		"$BULWARK" apply /tmp/vlan.yaml
	for value in off on; do
		if offloads $value >/tmp/offloads.log 2>&1; then
			judges "$mode, VLAN offloads $value"
			[ $value = off ] || it "$mode: doctor says that zones do not go with them" \
				says "apply refuses a zone" "$BULWARK" doctor n0
		else
			count=$((count + 1))
			echo "ok $count - $mode, VLAN offloads $value # SKIP this driver does not switch them: $(tail -n 1 /tmp/offloads.log)"
		fi
	done
	it "$mode: no packet fell through unjudged" not says "fall through" "$BULWARK" status
	it "$mode: down" "$BULWARK" down
done
drop_network
umount /sys/fs/bpf
done_testing
