#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The shield on a veth pair, native and generic: who passes, who does not, and what the controller's verbs do to that.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac

policies=tests/vm/policies
apply() {
	"$BULWARK" apply "$@" --iface n0
}

xdp_mode() {
	ip -d link show n0 | grep -q " $1"
}

judges_in() { # judges_in MODE NAME-OF-THE-MODE-IN-IP
	it "$1: apply" apply "$policies/$1.yaml"
	it "$1: attached as such" xdp_mode "$2"
	it "$1: status is enforcing" says ENFORCING "$BULWARK" status
	it "$1: a ping passes" reaches 2
	it "$1: an IPv6 ping passes" reaches6 2
	it "$1: a declared port is served" fetches
	it "$1: a declared port is served over IPv6" fetches6
	unanswered "$1: an undeclared port is not" fetches 8081
	unanswered "$1: an undeclared port is not, over IPv6" fetches6 8081
	unanswered "$1: a blocked source is dropped" reaches 66
	unanswered "$1: a blocked IPv6 source is dropped" reaches6 66
	said_nothing
	it "$1: an answer to what this host asked for passes" timeout 3 busybox wget -q -O - http://192.0.2.2:9090/
	it "$1: the reasons are counted" says unexposed "$BULWARK" status
	it "$1: the same policy again changes nothing" says unchanged apply "$policies/$1.yaml"
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }

judges_in native xdp
it "ban" "$BULWARK" ban 192.0.2.2 --for 4s --force
it "a banned source is dropped" not reaches 2
it "bans names it" says 192.0.2.2 "$BULWARK" bans
it "the ban ends by itself" within 30 reaches 2
it "ban 2" "$BULWARK" ban 2001:db8:2::2 --for 1h --force
it "a banned IPv6 source is dropped" not reaches6 2
it "unban" "$BULWARK" unban 2001:db8:2::2
it "an unbanned source passes" reaches6 2

it "allow" "$BULWARK" allow 192.0.2.66 --for 4s --reason test
it "an allowed source passes the block" reaches 66
it "the exception ends by itself" within 30 not reaches 66

it "pause" "$BULWARK" pause --for 4s
it "paused: a blocked source passes" reaches 66
it "paused: status says so" says PAUSED "$BULWARK" status
it "the pause ends by itself" within 30 not reaches 66
it "pause 2" "$BULWARK" pause --for 1h
it "resume" "$BULWARK" resume
it "resumed: a blocked source is dropped" not reaches 66

it "apply --confirm of a policy that closes the service" apply "$policies/closed.yaml" --confirm=5s
it "the candidate is in force" not fetches
it "pending: status says so" says PENDING "$BULWARK" status
it "the deadline brings the old policy back, with nobody's help" within 30 fetches
it "status makes the revert good" says ENFORCING "$BULWARK" status
it "apply --confirm again" apply "$policies/closed.yaml" --confirm=60s
it "confirm" "$BULWARK" confirm
it "a confirmed policy stays" not fetches
it "rollback" "$BULWARK" rollback
it "rolled back: the service is open" fetches
it "a policy that only monitors" apply "$policies/monitor.yaml"
it "monitor: the blocked source passes" reaches 66
it "monitor: status says so" says MONITOR "$BULWARK" status

it "down" "$BULWARK" down
it "down leaves no program on the interface" not says xdp ip -d link show n0
it "down leaves no filter" not says bpf tc filter show dev n0 egress
it "down leaves no pins" not [ -e /sys/fs/bpf/bulwark ]
it "down: everything passes again" fetches 8081

judges_in generic xdpgeneric
it "down again" "$BULWARK" down
drop_network
umount /sys/fs/bpf
done_testing
