# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# What the tests in network namespaces share: TAP, and a node and a peer of this run's own joined by a veth pair.
# Sourced first; everything it makes is taken away at the end, also after a failure.

BULWARK=${BUILD:-build}/bulwark
RUN=bw$$
NODE=$RUN-node PEER=$RUN-peer
DIR=$(mktemp -d "/tmp/$RUN.XXXXXX")
export BULWARK_PIN_DIR=/sys/fs/bpf/$RUN BULWARK_STATE_DIR=$DIR/state
count=0 failed=0 children=()

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -x "$BULWARK" ] || skip_all "$BULWARK is not built"
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || skip_all "no bpffs"

clean() {
	for child in "${children[@]}"; do
		kill "$child" && wait "$child"
	done 2>/dev/null
	[ -e "/run/netns/$NODE" ] && bulwark down >/dev/null 2>&1
	# whatever still runs inside: killing the shell that started it does not end it
	ip netns pids "$NODE" 2>/dev/null | xargs -r kill -9
	ip netns pids "$PEER" 2>/dev/null | xargs -r kill -9
	ip netns del "$NODE" 2>/dev/null
	ip netns del "$PEER" 2>/dev/null
	rmdir "$BULWARK_PIN_DIR" 2>/dev/null
	rm -rf "$DIR"
}
trap clean EXIT
trap 'exit 1' INT TERM

# it NAME COMMAND...: one test; what the command said is shown when it fails
it() {
	local name=$1 status
	shift
	count=$((count + 1))
	"$@" >"$DIR/it.log" 2>&1
	status=$?
	if [ $status = 0 ]; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		echo "# $* ended with $status"
		sed 's/^/#   /' "$DIR/it.log"
	fi
}

skip() { # skip NAME REASON
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

done_testing() {
	echo "1..$count"
	[ $failed = 0 ]
}

not() {
	! "$@"
}

# says WORDS COMMAND...: what the command prints holds the words
says() {
	local words=$1
	shift
	"$@" >"$DIR/says.log" 2>&1
	cat "$DIR/says.log"
	grep -q -- "$words" "$DIR/says.log"
}

# ends_with STATUS COMMAND...
ends_with() {
	local wanted=$1 status
	shift
	"$@"
	status=$?
	echo "status $status"
	[ $status = "$wanted" ]
}

# within SECONDS COMMAND...: tries until it works
within() {
	local tries=$(($1 * 5))
	shift
	while [ $tries -gt 0 ]; do
		"$@" && return 0
		tries=$((tries - 1))
		sleep 0.2
	done
	return 1
}

# nsenter, not ip netns exec: a private mount namespace would hide the pins.
node() {
	nsenter --net=/run/netns/"$NODE" "$@"
}

peer() {
	nsenter --net=/run/netns/"$PEER" "$@"
}

bulwark() {
	node "$BULWARK" "$@"
}

# background node|peer COMMAND...: ended by its number when the test ends. nsenter becomes the command, so that is it.
background() {
	local where=$NODE
	[ "$1" = peer ] && where=$PEER
	shift
	nsenter --net=/run/netns/"$where" "$@" >/dev/null 2>&1 &
	children+=($!)
}

join() { # join: the pair n0 (node: 192.0.2.1, 2001:db8:2::1) and p0 (peer: .2 a client, .66 a bad one)
	node ip link add n0 numtxqueues 2 numrxqueues 2 type veth peer name p0 netns "$PEER" numtxqueues 2 numrxqueues 2
	node ip addr add 192.0.2.1/24 dev n0
	node ip addr add 2001:db8:2::1/64 dev n0 nodad
	node ip link set n0 up
	for host in 2 66; do
		peer ip addr add 192.0.2.$host/24 dev p0
		peer ip addr add 2001:db8:2::$host/64 dev p0 nodad
	done
	peer ip link set p0 up
}

build_network() {
	ip netns add "$NODE" && ip netns add "$PEER" || skip_all "cannot make network namespaces"
	node ip link set lo up
	peer ip link set lo up
	join
	mkdir -p "$DIR/www" && echo served >"$DIR/www/index.html"
	background node python3 -m http.server -d "$DIR/www" 8080
	background node python3 -m http.server -d "$DIR/www" 8081
	within 10 fetches
}

# pings HOST: does a ping from the peer's address get an answer?
pings() {
	peer ping -q -c 1 -W 1 -I "192.0.2.$1" 192.0.2.1
}

# fetches [PORT]: a web page from the node, as the peer
fetches() {
	[ "$(peer curl -s -m 2 "http://192.0.2.1:${1:-8080}/")" = served ]
}

# as_declared: what policies of policy() with port 8080 let through comes through, nothing else does; that is not waited
# for long
as_declared() {
	fetches && ! peer curl -s -m 0.3 -o /dev/null "http://192.0.2.1:8081/" &&
		! peer ping -q -c 1 -W 0.3 -I 192.0.2.66 192.0.2.1 >/dev/null
}

# policy NAME PORT [LINE...]: writes DIR/NAME.yaml; the port is open, everything from .66 is blocked
policy() {
	local name=$1 port=$2
	shift 2
	{
		echo "version: 1"
		echo "interfaces: [n0]"
		echo "lists:"
		echo "  bad: { addresses: [192.0.2.66, \"2001:db8:2::66\"] }"
		echo "block: [bad]"
		echo "services:"
		echo "  web: { ports: tcp/$port }"
		printf '%s\n' "$@"
	} >"$DIR/$name.yaml"
}

# The generation in force, as status says.
generation() {
	bulwark status --json | python3 -c 'import json, sys; print(json.load(sys.stdin).get("generation"))'
}

status_field() { # status_field FIELD
	bulwark status --json | python3 -c "import json, sys; print(json.load(sys.stdin).get('$1'))"
}
