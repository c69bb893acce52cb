#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# SYN cookies in the kernel's own format, on kernels that cannot be handed others (before 6.8): megabytes pass both ways, with
# and without timestamps; without the sysctl that they need nothing is armed.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on oldest
policy=tests/vm/policies/cookies.yaml

# A veth drops what XDP sends back through it (XDP_TX) unless its other end has a program, too.
guard_peer() {
	sed 's/^interfaces.*/interfaces: [p0]\nmonitor: true/; s/, syn-cookies: always//' $policy >/tmp/peer.yaml
	BULWARK_PIN_DIR=/sys/fs/bpf/peer BULWARK_STATE_DIR=/tmp/peer peer "$BULWARK" apply /tmp/peer.yaml
}

# replies: SYNs that were answered with a cookie so far; nothing when the counts cannot be read
replies() {
	counts=$("$BULWARK" --json status | tr -d ' \n')
	case $counts in
	*'"reason":"syn-cookie","packets":'*) echo "$counts" | sed 's/.*"reason":"syn-cookie","packets":\([0-9]*\).*/\1/' ;;
	*'"packets":['*) echo 0 ;;
	esac
}

nobody_is_challenged() {
	[ "$(replies)" = 0 ]
}

has_replied() {
	[ "$(replies)" -ge "$1" ]
}

challenged() {
	before=$(replies)
	"$@" && has_replied $((before + 1)) && return
	echo "$before SYNs were answered with a cookie before, $(replies) are now; what became of the rest:"
	"$BULWARK" status
	grep TcpExt /proc/net/netstat # of the node's own cookies, too
	return 1
}

downloads() {
	peer timeout 60 busybox wget -q -O /tmp/received "http://$1:8080/large" && cmp /tmp/received /tmp/www/large
}

# uploads ADDRESS: the server hears what the peer says, to the end
uploads() {
	: >/tmp/heard
	tail -f /dev/null | busybox nc -l -p 7070 >/tmp/heard & # nc ends with its input
	within 10 grep -q ':1B9E .* 0A ' /proc/net/tcp6 /proc/net/tcp
	peer timeout 60 busybox nc "$1" 7070 </tmp/www/large
	within 30 cmp -s /tmp/heard /tmp/www/large
}

both_ways() {
	it "$1: megabytes down" challenged downloads 192.0.2.1
	it "$1: megabytes down, IPv6" challenged downloads "[2001:db8:2::1]"
	it "$1: megabytes up" challenged uploads 192.0.2.1
	it "$1: megabytes up, IPv6" challenged uploads 2001:db8:2::1
}

mount -t bpf bpf /sys/fs/bpf
build_network && guard_peer || { echo "Bail out! the network without the shield does not work"; exit 1; }
dd if=/dev/urandom of=/tmp/www/large bs=64k count=64 2>/dev/null

it "without its sysctl nothing is armed, and why is said" says "tcp_syncookies" "$BULWARK" apply $policy
it "it is not set unasked" grep -qx 1 /proc/sys/net/ipv4/tcp_syncookies
it "a client is served all the same" fetches
it "nobody is challenged" nobody_is_challenged
sed '/^interfaces/a syn-cookies: { sysctls: [tcp_syncookies] }' $policy >/tmp/set.yaml
it "where the policy says so it is set" says "tcp_syncookies was 1, it is 2 now" "$BULWARK" apply /tmp/set.yaml
both_ways "MSS alone"
sed 's/tcp_syncookies]/tcp_syncookies, tcp_timestamps]/' /tmp/set.yaml >/tmp/all.yaml
it "where the policy says so timestamps are set" says "tcp_timestamps was 1, it is 2 now" "$BULWARK" apply /tmp/all.yaml
both_ways "with timestamps"
sed 's/^interfaces/mode: generic\n&/' /tmp/all.yaml >/tmp/generic.yaml
it "generic: apply" "$BULWARK" apply /tmp/generic.yaml
both_ways "generic"
it "down" "$BULWARK" down
it "tcp_syncookies is as before" grep -qx 1 /proc/sys/net/ipv4/tcp_syncookies
it "so is tcp_timestamps" grep -qx 1 /proc/sys/net/ipv4/tcp_timestamps
drop_network
umount /sys/fs/bpf
done_testing
