#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# System calls that fail or are the last ones of their process, descriptors and memory that run out, eight controllers at
# once, damaged state files and pins, an interface that takes another name, a namespace that goes. After each: the old
# policy or the new one is in force, whole, nothing half-made is left over, and what failed was said.
# POINTS: how many calls of each kind are tried (0: every one, which takes an hour).
. tests/netns/lib.sh

POINTS=${POINTS:-2}
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
policy a 8080
policy b 8080 "stray: drop"
policy other 8081

strace -o /dev/null true 2>/dev/null && can_trace=1 || can_trace=

nothing_half_made() {
	local half
	half=$(find "$BULWARK_STATE_DIR" "$BULWARK_PIN_DIR" \( -name '*making*' -o -name '*.new' -o -name '*.tmp' \) -print)
	[ -z "$half" ] && [ "$(ls "$BULWARK_PIN_DIR")" = v1 ] || { echo "left over: $half"; ls -R "$BULWARK_PIN_DIR"; return 1; }
}

fell_through_none() {
	status_field fallthrough | python3 -c 'import ast, sys; sys.exit(any(ast.literal_eval(sys.stdin.read()).values()))'
}

# whole: enforcing, judged by every packet, nothing left over once the next apply has been
whole() {
	bulwark status >"$DIR/whole" 2>&1
	head -1 "$DIR/whole" | grep -qx ENFORCING && as_declared && fell_through_none || { cat "$DIR/whole"; return 1; }
}

traced() { # traced FILE STRACE-OPTION...
	local file=$1
	shift
	nsenter --net=/run/netns/"$NODE" strace -o "$DIR/trace" "$@" "$BULWARK" apply "$DIR/$file.yaml"
}

next_policy() { # a and b in turn, so that there is always something to change
	[ "$(readlink "$DIR/live")" = a ] && echo b || echo a
}

note_live() {
	ln -sfn "$1" "$DIR/live"
}

# Numbers 1 to N, thinned out to POINTS.
thinned() {
	awk -v all="$1" -v wanted="$POINTS" 'BEGIN {
		step = wanted && all > wanted ? all / wanted : 1
		for (i = 1; int(i) <= all; i += step) print int(i)
	}'
}

# fails CALL NUMBER ERROR: the call fails in an apply; refused with words and the old one stays, or it did not matter
fails() {
	local to before status
	to=$(next_policy)
	before=$(generation)
	traced "$to" -f -e trace="$1" -e inject="$1":error="$3":when="$2" >"$DIR/out" 2>&1
	status=$?
	cat "$DIR/out"
	case $status in
	0) note_live "$to" ;;
	2 | 3)
		grep -q "bulwark: " "$DIR/out" || return 1
		# it was in force already when it could not be told
		if grep -q "bulwark: standard output: " "$DIR/out"; then
			note_live "$to"
		else
			[ "$(generation)" = "$before" ] || return 1
		fi
		;;
	*) echo "status $status" && return 1 ;;
	esac
	whole
}

# strace counts the calls of each thread apart, and fails number N of each: the first one has the most.
only_first_thread() {
	awk 'NR == 1 {first = $1} $1 == first' "$DIR/trace" >"$DIR/first" && mv "$DIR/first" "$DIR/trace"
}

# Calls before the policy file is opened are those of the dynamic loader and of others' libraries: not ours to survive.
calls_fail() { # calls_fail CALL ERROR
	local number counted=0 all before
	traced "$(next_policy)" -f -e trace="$1",openat --quiet=all >/dev/null 2>&1
	note_live "$(next_policy)"
	only_first_thread
	all=$(grep -c "$1(" "$DIR/trace")
	before=$(sed '/[ab][.]yaml"/q' "$DIR/trace" | grep -v '[ab][.]yaml"' | grep -c "$1(")
	for number in $(thinned $((all - before))); do
		number=$((before + number))
		fails "$1" "$number" "$2" || { echo "$1 number $number of $all, $2"; return 1; }
		counted=$((counted + 1))
	done
	echo "$counted of $all tried"
	[ $counted -gt 0 ] && bulwark apply "$DIR/$(next_policy).yaml" && note_live "$(next_policy)" && nothing_half_made
}

# The process ends right before its Nth system call, whatever it is.
killed_anywhere() {
	local number all
	traced "$(next_policy)" --quiet=all >/dev/null 2>&1
	note_live "$(next_policy)"
	all=$(wc -l <"$DIR/trace")
	for number in $(thinned "$all"); do
		traced b -e inject=all:signal=SIGKILL:when="$number" >"$DIR/out" 2>&1
		whole || { echo "killed before call $number of $all: $(tail -2 "$DIR/trace")"; return 1; }
	done
	echo "$all calls"
	[ "$all" -gt 100 ] && bulwark apply "$DIR/a.yaml" && note_live a && nothing_half_made
}

no_threads() { # the programs are loaded one after the other then
	local to
	to=$(next_policy)
	traced "$to" -f -e trace=clone,clone3 -e inject=clone,clone3:error=EAGAIN || return 1
	note_live "$to"
	grep -q INJECTED "$DIR/trace" && whole
}

few_descriptors() {
	local limit status before refused=0
	for limit in 4 32 100 1024; do
		before=$(generation)
		(ulimit -n "$limit" && bulwark apply "$DIR/$(next_policy).yaml") >"$DIR/out" 2>&1
		status=$?
		case $status in
		0) note_live "$(next_policy)" ;;
		3 | 2 | 127) [ -s "$DIR/out" ] && [ "$(generation)" = "$before" ] || { cat "$DIR/out"; return 1; } ;;
		*) echo "limit $limit: status $status" && cat "$DIR/out" && return 1 ;;
		esac
		[ $status = 0 ] || refused=$((refused + 1))
		whole || return 1
	done
	echo "$refused refused"
	[ $refused -gt 0 ] && [ $refused -lt 4 ] && nothing_half_made
}

little_memory() {
	local kilobytes status before refused=0
	for kilobytes in 16000 30000 4000000; do
		before=$(generation)
		(ulimit -v "$kilobytes" && bulwark apply "$DIR/$(next_policy).yaml") >"$DIR/out" 2>&1
		status=$?
		[ $status = 0 ] && note_live "$(next_policy)"
		if [ $status != 0 ]; then
			refused=$((refused + 1))
			[ -s "$DIR/out" ] && [ "$(generation)" = "$before" ] && [ $status -lt 128 ] ||
				{ echo "$kilobytes KiB: status $status" && cat "$DIR/out" && return 1; }
		fi
		whole || return 1
	done
	echo "$refused refused"
	[ $refused -gt 0 ] && [ $refused -lt 3 ] && nothing_half_made
}

# memory_group: the file that bounds the memory of a new control group; nothing where there is none to be had
memory_group() {
	local mount
	for mount in $(awk '$3 == "cgroup2" || $3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2 }' /proc/mounts); do
		mkdir "$mount/bulwark-faults-$$" 2>/dev/null || continue
		ls "$mount/bulwark-faults-$$"/memory.limit_in_bytes 2>/dev/null || ls "$mount/bulwark-faults-$$"/memory.max 2>/dev/null && return
		rmdir "$mount/bulwark-faults-$$"
	done
}

# What maps and programs lock is charged to the control group of whoever makes them (since Linux 5.11; before that
# `ulimit -l` was the bound). One that is too small: refused with words or killed, never half of it in force.
little_to_lock() { # little_to_lock LIMIT-FILE
	local megabytes status before refused=0
	for megabytes in 4 16 1000; do
		before=$(generation)
		echo "${megabytes}M" >"$1" || return 1
		(echo 0 >"${1%/*}/cgroup.procs" && ulimit -l 0 && bulwark apply "$DIR/$(next_policy).yaml") >"$DIR/out" 2>&1
		status=$?
		case $status in
		0) note_live "$(next_policy)" ;;
		2 | 3 | 137) [ "$(generation)" = "$before" ] || { cat "$DIR/out"; return 1; } ;;
		*) echo "$megabytes MiB: status $status" && cat "$DIR/out" && return 1 ;;
		esac
		echo "$megabytes MiB: status $status: $(tail -1 "$DIR/out")"
		[ $status = 0 ] || refused=$((refused + 1))
		whole || return 1
	done
	[ $refused -gt 0 ] && [ $refused -lt 3 ] && nothing_half_made
}

eight_at_once() {
	local i pids=() status
	for i in 1 2 3 4 5 6 7 8; do
		case $i in
		1 | 3 | 5) set -- apply "$DIR/a.yaml" ;;
		2 | 4 | 6) set -- apply "$DIR/b.yaml" ;;
		7) set -- ban 198.51.100.7 --for 10m ;;
		8) set -- status ;;
		esac
		bulwark "$@" >"$DIR/out.$i" 2>&1 &
		pids+=($!)
	done
	for i in 1 2 3 4 5 6 7 8; do
		wait "${pids[i - 1]}"
		status=$?
		[ $status = 0 ] || { echo "number $i: status $status" && cat "$DIR/out.$i" && return 1; }
	done
	bulwark bans | grep -q 198.51.100.7 && whole && nothing_half_made
}

damaged_file() { # damaged_file NAME: every verb that reads it says something or copes; the next apply works
	local path verb status
	path=$(find "$BULWARK_STATE_DIR" -name "$1" | sort -V | tail -1)
	[ -n "$path" ] || { echo "no $1"; return 1; }
	for content in "" "$(head -c 3000 /dev/urandom | tr -d '\0')" '{"rules": 5, "generation": "x"}' "$(printf '[%.0s' $(seq 5000))"; do
		printf '%s' "$content" >"$path"
		for verb in status show history "lookup 192.0.2.66" "diff $DIR/b.yaml" bans "log" "rollback 999"; do
			# shellcheck disable=SC2086 # words
			timeout 20 nsenter --net=/run/netns/"$NODE" "$BULWARK" $verb >"$DIR/out" 2>&1
			status=$?
			[ $status -le 3 ] || { echo "$verb with '${content:0:20}': status $status" && tail -5 "$DIR/out" && return 1; }
			[ $status = 0 ] || [ -s "$DIR/out" ] || { echo "$verb: status $status without a word"; return 1; }
		done
		as_declared || return 1
	done
	bulwark apply "$DIR/$(next_policy).yaml" && note_live "$(next_policy)" && whole
}

state_is_a_file() {
	local status
	mv "$BULWARK_STATE_DIR" "$DIR/aside" && echo no directory >"$BULWARK_STATE_DIR"
	bulwark apply "$DIR/other.yaml"
	status=$?
	rm "$BULWARK_STATE_DIR" && mv "$DIR/aside" "$BULWARK_STATE_DIR"
	[ $status = 3 ] && whole
}

wrong_pin() { # a pin of another kind in the place of one of ours
	mv "$BULWARK_PIN_DIR/v1/budgets" "$BULWARK_PIN_DIR/v1/aside" || return 1
	bpftool map create "$BULWARK_PIN_DIR/v1/budgets" type hash key 4 value 4 entries 1 name wrong || return 1
	bulwark apply "$DIR/other.yaml" >"$DIR/out" 2>&1
	local status=$?
	cat "$DIR/out"
	as_declared || return 1
	rm "$BULWARK_PIN_DIR/v1/budgets" && mv "$BULWARK_PIN_DIR/v1/aside" "$BULWARK_PIN_DIR/v1/budgets"
	[ $status = 3 ] && grep -q budgets "$DIR/out" && whole
}

other_name() {
	node ip link set n0 down && node ip link set n0 name n9 && node ip link set n9 up || return 1
	node ip addr add 2001:db8:2::1/64 dev n9 nodad 2>/dev/null
	within 5 fetches && as_declared || return 1
	bulwark status | tee "$DIR/out"
	grep -q "another name" "$DIR/out" || return 1
	node ip link set n9 down && node ip link set n9 name n0 && node ip link set n0 up
	node ip addr add 2001:db8:2::1/64 dev n0 nodad 2>/dev/null
	within 5 fetches && whole
}

daemon_killed() {
	local number log=$BULWARK_STATE_DIR/events.jsonl
	timeout 3 nsenter --net=/run/netns/"$NODE" strace -f -o "$DIR/trace" --quiet=all "${BUILD:-build}/bulwarkd" --foreground
	[ "$(wc -l <"$DIR/trace")" -gt 200 ] || return 1
	for number in $(thinned "$(wc -l <"$DIR/trace")"); do
		timeout -s KILL 4 nsenter --net=/run/netns/"$NODE" strace -o /dev/null -f -e inject=all:signal=SIGKILL:when="$number" \
			"${BUILD:-build}/bulwarkd" --foreground >"$DIR/out" 2>&1
		peer curl -s -m 0.1 -o /dev/null "http://192.0.2.1:8081/"
		whole || return 1
		[ ! -s "$log" ] || python3 - "$log" <<'PYTHON' || return 1
import json, sys
for line in open(sys.argv[1], encoding="utf-8").read().split("\n")[:-1]:
    json.loads(line)
PYTHON
	done
	background node "${BUILD:-build}/bulwarkd" --foreground
	peer curl -s -m 0.2 -o /dev/null "http://192.0.2.1:8081/"
	within 10 grep -q unexposed "$log" && python3 - "$log" <<'PYTHON'
import json, sys
numbers = [json.loads(line)["bulwark"]["sequence"] for line in open(sys.argv[1], encoding="utf-8")]
assert numbers == sorted(set(numbers)), "sequence numbers come twice"
PYTHON
	local status=$?
	kill "${children[-1]}"
	wait "${children[-1]}"
	return $status
}

it "apply" bulwark apply "$DIR/a.yaml"
note_live a
it "it judges" whole
if [ -n "$can_trace" ]; then
	it "an apply killed before any of its system calls" killed_anywhere
	it "bpf() fails" calls_fail bpf ENOMEM
	it "bpf() is not permitted" calls_fail bpf EPERM
	it "files cannot be opened" calls_fail openat EMFILE
	it "nothing can be written" calls_fail write ENOSPC
	it "nothing reaches the disk" calls_fail fsync EIO
	it "nothing can be renamed" calls_fail rename EIO
	it "no directory can be made" calls_fail mkdir ENOSPC
	it "no memory can be mapped" calls_fail mmap ENOMEM
	it "no socket to be had" calls_fail socket EMFILE
	it "no thread to be had" no_threads
	it "bulwarkd killed before any of its system calls: enforcement goes on, its log has whole lines" daemon_killed
else
	skip "system calls that fail" "strace may not trace here"
fi
it "few descriptors" few_descriptors
it "little memory" little_memory
group=$(memory_group)
if [ -n "$group" ]; then
	it "little memory to lock" little_to_lock "$group"
	rmdir "${group%/*}"
else
	skip "little memory to lock" "no control group here whose memory can be bounded"
fi
it "eight controllers at once" eight_at_once
for name in history.jsonl description.json policy.yaml; do
	it "a damaged $name" damaged_file $name
done
it "a state directory that is a file" state_is_a_file
it "a pin of another kind" wrong_pin
it "an interface that takes another name" other_name
it "down" bulwark down
it "nothing is left of it" test ! -e "$BULWARK_PIN_DIR"
it "and everything passes" fetches 8081

namespace_goes() {
	bulwark apply "$DIR/a.yaml" || return 1
	kill "${children[@]}"
	wait "${children[@]}"
	ip netns del "$NODE" || return 1
	"$BULWARK" status
	[ $? -le 3 ]
}
it "a network namespace that goes, with its interface" namespace_goes
it "down from outside takes what is left" "$BULWARK" down
it "nothing is left of it" test ! -e "$BULWARK_PIN_DIR"
done_testing
