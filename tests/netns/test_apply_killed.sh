#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# kill -9 of an apply right before each of its system calls that change something in the kernel (strace finds and kills
# it there): the old policy or the new one is in force, whole; a killed first apply leaves nothing that stays.
. tests/netns/lib.sh

command -v strace >/dev/null || skip_all "strace is not installed"
POINTS=${POINTS:-8} # of each kind of apply; 0: all
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
strace -o /dev/null true 2>/dev/null || skip_all "strace may not trace here"
policy a 8080
policy b 8080 "stray: drop"

traced() { # traced STRACE-OPTIONS... -- FILE
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	nsenter --net=/run/netns/"$NODE" strace -e trace=bpf "${options[@]}" "$BULWARK" apply "$DIR/$2.yaml"
}

# The numbers of the calls that change something, thinned out to POINTS of them.
points() {
	grep 'bpf(' "$DIR/trace" |
		awk '/OBJ_PIN|LINK_CREATE|PROG_RUN|PROG_TEST_RUN|MAP_UPDATE|MAP_DELETE|MAP_FREEZE/ {print NR}' |
		awk -v wanted="$POINTS" '{all[NR] = $1} END {
			step = wanted && NR > wanted ? NR / wanted : 1
			for (i = 1; int(i) <= NR; i += step) print all[int(i)]}'
}

killed_before() { # killed_before CALL FILE
	traced -o /dev/null -e "inject=bpf:signal=SIGKILL:when=$1" -- "$2" >/dev/null 2>&1
	[ $? = 137 ] || echo "call $1 did not come"
}

reload_killed_at() {
	bulwark apply "$DIR/a.yaml" && killed_before "$1" b
	[ "$(bulwark status | head -1)" = ENFORCING ] && [ "$(ls "$BULWARK_PIN_DIR")" = v1 ] &&
		[ "$(ls "$BULWARK_PIN_DIR/v1/links" | tr '\n' ' ')" = "egress-n0 xdp-n0 " ] &&
		as_declared
}

first_killed_at() {
	bulwark down
	killed_before "$1" b
	bulwark status
	[ ! -e "$BULWARK_PIN_DIR" ] || [ "$(ls "$BULWARK_PIN_DIR")" = v1 ] || return 1
	bulwark apply "$DIR/b.yaml" && [ "$(bulwark status | head -1)" = ENFORCING ] && as_declared
}

traced -o "$DIR/trace" -- a >/dev/null 2>&1
for point in $(points); do
	it "a first apply, killed before its call $point" first_killed_at "$point"
done
bulwark apply "$DIR/a.yaml" >/dev/null
traced -o "$DIR/trace" -- b >/dev/null 2>&1
for point in $(points); do
	it "a reload, killed before its call $point" reload_killed_at "$point"
done
done_testing
