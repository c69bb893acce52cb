#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The shield in native mode on a real driver, virtio_net, with as many queues as this machine could give the card.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac

mount -t bpf bpf /sys/fs/bpf
build_network join_by_cards || { echo "Bail out! the two network cards do not reach each other"; exit 1; }
queues=$(find /sys/class/net/n0/queues -name 'rx-*' | wc -l)
echo "# n0: $(basename "$(readlink /sys/class/net/n0/device/driver)"), $queues receive queues"

# judged_on QUEUE: packets that this receive queue handed to the XDP program
judged_on() {
	ethtool -S n0 | sed -n "s/^ *rx\(_queue_\|\)$1_xdp_packets: //p"
}

# Connections from many ports are spread over the queues by the card's hash.
every_queue_judged() {
	for round in 1 2 3 4 5 6 7 8; do
		fetches || return 1
	done
	for queue in $(seq 0 $((queues - 1))); do
		echo "queue $queue: $(judged_on "$queue")"
		[ "$(judged_on "$queue")" -gt 0 ] || return 1
	done
}


it "native: apply" "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "native: attached as such" says ' xdp ' ip -d link show n0
it "status is enforcing" says ENFORCING "$BULWARK" status
it "a ping passes" reaches 2
it "an IPv6 ping passes" reaches6 2
it "a declared port is served" fetches
it "a declared port is served over IPv6" fetches6
unanswered "an undeclared port is not" fetches 8081
unanswered "a blocked source is dropped" reaches 66
unanswered "a blocked IPv6 source is dropped" reaches6 66
said_nothing
if [ "$queues" -gt 1 ]; then
	it "packets of every queue are judged" within 60 every_queue_judged
else
	echo "ok $((count = count + 1)) - packets of every queue are judged # SKIP this card has one queue: the machine outside has no taps"
fi
dd if=/dev/urandom of=/tmp/www/large bs=64k count=16 2>/dev/null
it "a megabyte passes whole" peer timeout 60 busybox wget -q -O /tmp/received http://192.0.2.1:8080/large
it "the megabyte is the one that was sent" cmp /tmp/received /tmp/www/large
it "doctor names the driver" says virtio_net "$BULWARK" doctor n0
it "the card goes down and up: still attached" ip link set n0 down
it "up again" ip link set n0 up
it "and judges" within 30 reaches 2
it "a blocked source is dropped still" not reaches 66
it "down" "$BULWARK" down
it "down leaves no program on the card" not says xdp ip -d link show n0
it "everything passes again" within 30 fetches 8081
drop_network
umount /sys/fs/bpf
done_testing
