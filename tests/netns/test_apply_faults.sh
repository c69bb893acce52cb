#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# An apply that meets what it must withstand: kill -9 at any point, another apply, a full disk, an interface that goes,
# somebody else's program. After each the old policy or the new one is in force, whole, and nothing is left over.
. tests/netns/lib.sh

KILLS=${KILLS:-12} # at random; test_apply_killed.sh and test_faults.sh kill at chosen system calls
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
policy a 8080
policy b 8080 "stray: drop"
policy closed 8081
policy broken 70000

pins_whole() { # the pin directory holds one instance, and nothing else
	[ "$(ls "$BULWARK_PIN_DIR")" = v1 ] && [ "$(ls "$BULWARK_PIN_DIR/v1/links" | tr '\n' ' ')" = "egress-n0 xdp-n0 " ]
}

no_pins() {
	[ ! -e "$BULWARK_PIN_DIR" ]
}

in_force() {
	local first
	first=$(bulwark status | head -1)
	echo "$first"
	[ "$first" = ENFORCING ]
}

judges() { # what both policies agree on; an interface that has just come back loses its first packets
	in_force && within 30 pings 2 && within 30 fetches && as_declared
}

kill_at() { # kill_at SECONDS FILE: an apply that is killed then, if it still runs
	# not through bulwark(): the number must be that of the program, which nsenter becomes, not of a shell around it
	nsenter --net=/run/netns/"$NODE" "$BULWARK" apply "$DIR/$2.yaml" &
	sleep "$1"
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	return 0
}

random_time() {
	printf '0.%03d' $((RANDOM % 600))
}

killed_first_applies() { # a first apply, killed: nothing, or a whole instance that the next one takes
	local i
	for ((i = 0; i < KILLS / 3; i++)); do
		kill_at "$(random_time)" a
		if [ -e "$BULWARK_PIN_DIR/v1" ]; then
			bulwark status | head -1 | grep -Eq 'ENFORCING|UNPROTECTED|DEGRADED' || return 1
		fi
		bulwark apply "$DIR/a.yaml" && pins_whole && in_force || return 1
		bulwark down && no_pins || return 1
	done
}

all_judged() { # no hook let a packet through unjudged
	status_field fallthrough | python3 -c 'import ast, sys; sys.exit(any(ast.literal_eval(sys.stdin.read()).values()))'
}

killed_applies() {
	local i
	for ((i = 0; i < KILLS; i++)); do
		kill_at "$(random_time)" "$([ $((i % 2)) = 0 ] && echo b || echo a)"
		in_force && pins_whole || return 1
		all_judged || return 1
	done
}

slots_used() { # how many slots hold a generation
	bpftool map dump pinned "$BULWARK_PIN_DIR/v1/slots" -j |
		python3 -c 'import json, sys
rows = json.load(sys.stdin)
print(sum(1 for row in rows if any(int(b, 16) for b in row["value"][:4])))'
}

it "a first apply, killed at any moment" killed_first_applies
it "apply" bulwark apply "$DIR/a.yaml"
it "it judges" judges
it "kill -9 of an apply at any moment: old or new, whole, and no packet unjudged" killed_applies
it "the next apply works" bulwark apply "$DIR/b.yaml"
it "and only its generation is left in the slots" test "$(slots_used)" = 1
it "it judges after all that" judges

before=$(generation)
it "a bad policy is refused" ends_with 2 bulwark apply "$DIR/broken.yaml"
it "and nothing live changes" test "$(generation)" = "$before"

two_at_once() {
	bulwark apply "$DIR/a.yaml" >"$DIR/one" 2>&1 &
	local first=$!
	bulwark apply "$DIR/closed.yaml" >"$DIR/two" 2>&1 || return 1
	wait $first || return 1
	cat "$DIR/one" "$DIR/two"
	grep -q live "$DIR/one" && grep -q live "$DIR/two" && pins_whole && in_force
}
it "two applies at once: one after the other" two_at_once
it "apply again" bulwark apply "$DIR/a.yaml"

# A reload under traffic: UDP to an undeclared port, which a socket would hear if one packet were not judged.
cat >"$DIR/hear.py" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.1", 9999))
s.recv(100)
open(sys.argv[1], "w").write("heard")
PYTHON
cat >"$DIR/send.py" <<'PYTHON'
import socket
import time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("192.0.2.1", 9999))
end = time.monotonic() + 120
while time.monotonic() < end:
    try:
        s.send(b"x" * 20)
    except OSError:
        pass
PYTHON
flood_dropped() {
	local drops
	drops=$(bulwark status --json | python3 -c 'import json, sys
print(sum(r["packets"] for r in json.load(sys.stdin)["packets"] if r["reason"] == "unexposed"))')
	echo "dropped: $drops"
	[ "$drops" -gt 1000 ]
}
reloads_under_flood() {
	local i
	background node python3 "$DIR/hear.py" "$DIR/heard"
	background peer python3 "$DIR/send.py"
	within 30 flood_dropped || return 1
	for ((i = 0; i < 10; i++)); do
		bulwark apply "$DIR/$([ $((i % 2)) = 0 ] && echo b || echo a).yaml" || return 1
	done
	kill "${children[-1]}" "${children[-2]}"
	[ ! -e "$DIR/heard" ] && flood_dropped && all_judged
}
it "ten reloads under a flood: every packet is judged" reloads_under_flood

full_disk() {
	local before after status
	mkdir -p "$DIR/small" && mount -t tmpfs -o size=64k tmpfs "$DIR/small" || return 1
	cp -a "$BULWARK_STATE_DIR/." "$DIR/small/" 2>/dev/null
	dd if=/dev/zero of="$DIR/small/filler" bs=1k 2>/dev/null
	before=$(generation)
	BULWARK_STATE_DIR=$DIR/small bulwark apply "$DIR/closed.yaml"
	status=$?
	ls "$DIR/small" "$DIR/small/generations"
	after=$(generation)
	[ ! -e "$DIR/small/generations/making" ]
	local left=$?
	umount "$DIR/small"
	[ $status = 3 ] && [ "$before" = "$after" ] && [ $left = 0 ]
}
it "a full disk: refused, the old policy stays" full_disk

it "apply --confirm of a policy that closes the service" bulwark apply "$DIR/closed.yaml" --confirm=20s
it "the candidate is in force" not fetches
it "a second apply meanwhile is refused" ends_with 3 bulwark apply "$DIR/b.yaml"
it "the deadline brings the old policy back, with every process dead" within 60 fetches
it "the history says so" says reverted bulwark history
node ip link add n1 type veth peer name p1 netns "$PEER"
node ip link set n1 up
peer ip link set p1 up
it "a second interface" bulwark apply "$DIR/a.yaml" --iface n0 --iface n1
it "apply --confirm that leaves it out" says "n1 is not in the policy's interfaces: it stays" bulwark apply "$DIR/b.yaml" --confirm=3s
it "the deadline comes" within 60 says "^ENFORCING" bulwark status
it "and the interface that was to be left out is still protected" says "prog/xdp" node ip -d link show n1
it "an apply for good leaves it" says "n1 is not in the policy's interfaces: detached" bulwark apply "$DIR/a.yaml"
node ip link del n1
it "apply --confirm, then confirm" bulwark apply "$DIR/b.yaml" --confirm=60s
it "confirm" bulwark confirm
it "confirm again: nothing to confirm" ends_with 1 bulwark confirm
it "it judges" judges

it "an interface that vanishes" node ip link del n0
it "is said" says "the interface is gone" bulwark status
it "and returns" join
it "is said to have no protection" says "UNPROTECTED" bulwark status
it "the same policy again attaches it" says unchanged bulwark apply "$DIR/b.yaml"
it "it judges" judges
it "a link pin that somebody removes" rm "$BULWARK_PIN_DIR/v1/links/egress-n0"
it "is said" says "DEGRADED: n0: the egress program is not attached" bulwark status
it "and repaired" bulwark apply "$DIR/b.yaml"
it "it judges" judges

other_program() { # other_program on|off: somebody else's XDP program, attached the old way
	if [ "$1" = on ]; then
		bpftool prog load "${BUILD:-build}/root.bpf.o" "/sys/fs/bpf/$RUN-other" type xdp 2>/dev/null ||
			bpftool prog loadall "${BUILD:-build}/root.bpf.o" "/sys/fs/bpf/$RUN-others" || return 1
		local pin=/sys/fs/bpf/$RUN-other
		[ -e "$pin" ] || pin=/sys/fs/bpf/$RUN-others/paused
		node bpftool net attach xdp pinned "$pin" dev n0
	else
		node bpftool net detach xdp dev n0
		rm -rf "/sys/fs/bpf/$RUN-other" "/sys/fs/bpf/$RUN-others"
	fi
}
it "down" bulwark down
it "nothing is left in the pin directory" no_pins
it "no XDP program is left" not says "prog/xdp" node ip -d link show n0
it "everything passes again" fetches 8081
it "another XDP program comes" other_program on
it "apply is refused, naming it" says "already has an XDP program, id" bulwark apply "$DIR/a.yaml"
it "with exit status 3" ends_with 3 bulwark apply "$DIR/a.yaml"
it "and it is still there" says "prog/xdp" node ip -d link show n0
it "it goes" other_program off
it "apply works then" bulwark apply "$DIR/a.yaml"
it "it judges" judges
it "a map that no program in force knows, as after an upgrade" rm "$BULWARK_PIN_DIR/v1/open_found"
it "is no trouble for status" says "^ENFORCING" bulwark status
it "is there for the next policy" eval 'bulwark apply "$DIR/b.yaml" && bulwark apply "$DIR/a.yaml" && [ -e "$BULWARK_PIN_DIR/v1/open_found" ]'
it "which judges" judges
it "a map that the policy uses, removed by somebody" rm "$BULWARK_PIN_DIR/v1/counters"
it "is not made anew" says "counters is missing" bulwark apply "$DIR/b.yaml"
it "status names it" says "counters is missing" bulwark status
it "down and apply make all of it" eval 'bulwark down && bulwark apply "$DIR/a.yaml" && judges'
it "a pinned map that somebody removes" rm "$BULWARK_PIN_DIR/v1/xdp_slots"
it "is the first line of status" says "^UNPROTECTED\|^DEGRADED" bulwark status
it "apply says what to do" says "bulwark down" bulwark apply "$DIR/b.yaml"
it "down works all the same" bulwark down
it "and leaves nothing" no_pins

private_mounts() { # a bpffs that PID 1 does not see
	unshare -m --propagation private sh -c "mkdir -p $DIR/bpf && export BULWARK_PIN_DIR=$DIR/bpf && nsenter --net=/run/netns/$NODE $BULWARK $*"
}
if mountpoint -q /; then
	it "a private mount namespace is refused" says "private mount namespace" private_mounts apply "$DIR/a.yaml"
	it "with exit status 3" ends_with 3 private_mounts apply "$DIR/a.yaml"
	it "--ephemeral accepts it, on a bpffs mounted for it" private_mounts apply "$DIR/a.yaml" --ephemeral
else
	skip "a private mount namespace is refused" "the root is no mount point, so nothing can be mounted for oneself"
fi
it "and protection has ended with it" fetches 8081
done_testing
