#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# bulwarkd: events into the log, a kill, a full disk, a budget, rotation, an interface that returns, a revert by the kernel.
. tests/netns/lib.sh

DAEMON=${BUILD:-build}/bulwarkd LOG=$DIR/state/events.jsonl
trap 'umount "$DIR/full" 2>/dev/null; clean' EXIT
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
policy a 8080
policy b 8080 "stray: drop"

start() { # start [OPTION...]
	nsenter --net=/run/netns/"$NODE" "$DAEMON" --foreground "$@" 2>"$DIR/daemon.err" &
	daemon=$!
	children+=("$daemon")
}

stop() { # stop [SIGNAL]: its exit status
	kill "-${1:-TERM}" "$daemon"
	wait "$daemon" 2>/dev/null
}

knock() { # knock PORT: a SYN that no service wants; one event a second is told of a source and reason
	sleep 1.1
	peer curl -s -m 0.3 --local-port 20000-40000 "http://192.0.2.1:$1/" >/dev/null
	true
}

# told EXPRESSION: an event of the log makes it true (it: the document)
told() {
	python3 - "$LOG" "$1" <<-'PYTHON'
		import glob, json, sys
		for name in glob.glob(sys.argv[1] + "*"):
		    for line in open(name):
		        it = json.loads(line)
		        try:
		            if eval(sys.argv[2]):
		                print(line)
		                sys.exit(0)
		        except KeyError:
		            pass  # another kind of event
		sys.exit(1)
	PYTHON
}

numbered() { # every number once, in order, without holes, over all files
	python3 - "$LOG" <<-'PYTHON'
		import glob, json, sys
		numbers = [json.loads(line)["bulwark"]["sequence"] for name in glob.glob(sys.argv[1] + "*") for line in open(name)]
		print(sorted(numbers))
		sys.exit(sorted(numbers) != list(range(1, len(numbers) + 1)))
	PYTHON
}

protected() {
	[ "$(bulwark status | head -1)" = ENFORCING ]
}

flood() { # flood PACKETS: SYNs of as many sources
	peer python3 - "$1" <<-'PYTHON'
		import os, socket, struct, sys
		raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
		for i in range(int(sys.argv[1])):
		    source = struct.pack("!I", 0x2D000000 + int.from_bytes(os.urandom(3), "big"))
		    tcp = struct.pack("!HHIIBBHHH", 1024 + i % 60000, 2000 + i % 1000, 1, 0, 5 << 4, 2, 1024, 0, 0)
		    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, i & 0xFFFF, 0, 64, 6, 0, source, socket.inet_aton("192.0.2.1"))
		    raw.sendto(head + tcp, ("192.0.2.1", 0))
	PYTHON
}

start
it "it starts" within 30 [ -s "$BULWARK_STATE_DIR/bulwarkd.lock" ]
it "it waits while nothing is applied" kill -0 "$daemon"
it "a second one is refused" says "already runs" not nsenter --net=/run/netns/"$NODE" "$DAEMON" --foreground
it "a policy is applied" bulwark apply "$DIR/a.yaml"
it "it tells that" within 30 told "it['event']['action'] == 'policy-applied' and it['bulwark']['generation'] == 1"
knock 9200
it "a drop becomes an event" within 30 told "it['event']['reason'] == 'unexposed' and it['destination']['port'] == 9200"
it "with the interface, the rule and the words of ECS" told \
	"'denied' in it['event']['type'] and it['observer']['ingress']['interface']['name'] == 'n0' and it['rule']['name'] == 'default'"
it "a blocked ping names its list" eval 'pings 66; within 30 told "it[\"bulwark\"][\"list\"] == \"bad\""'
bulwark ban 203.0.113.9 --for 1m --reason "a test" >/dev/null
it "a ban becomes an event" within 30 told "it['event']['action'] == 'ban' and it['source']['ip'] == '203.0.113.9'"
it "log prints them for people" says "drop       unexposed      tcp 192.0.2.2" bulwark log
it "log filters by source" not says "tcp 192.0.2.2" bulwark log --source 192.0.2.66
it "report tells what was dropped and why" says "| unexposed |" bulwark report
it "report tells who was banned" says "ban, 203.0.113.9, a test" bulwark report --since 1h
it "report as JSON" eval 'bulwark --json report | python3 -c "
import json, sys
it = json.load(sys.stdin)
assert {row[\"name\"] for row in it[\"reasons\"]} == {\"unexposed\", \"blocked\"}, it
assert it[\"packets_refused\"] == sum(row[\"packets\"] for row in it[\"hours\"]) > 0, it
assert it[\"changes\"][-1][\"action\"] == \"policy-applied\", it"'
it "report of a time without events says so" says "does bulwarkd run" eval "touch $DIR/none; bulwark report --file $DIR/none"
it "report of a log that is not there" ends_with 3 bulwark report --file "$DIR/nowhere"
it "report since never" ends_with 2 bulwark report --since yesterday
it "log filters by reason" says blocked bulwark log --reason blocked
it "log knows which reasons there are" ends_with 2 bulwark log --reason nonsense

it "a candidate that nobody confirms" bulwark apply "$DIR/b.yaml" --confirm=1s
it "is told as reverted" within 30 told "it['event']['action'] == 'policy-reverted'"
it "and stands in the history" says reverted bulwark history

stop KILL
knock 9201
start
it "after kill -9 it goes on where it was" within 30 told "it['destination']['port'] == 9201"
it "numbers go on without a hole" numbered

node ip link del n0
join
it "an interface that returns is attached again" within 30 protected
it "and that is told" within 30 told "it['event']['action'] == 'interface-attached'"
it "its own service is served" within 30 fetches

cat >"$DIR/other.c" <<'EOC'
__attribute__((section("xdp"), used)) int somebody(void *ctx) { return 2; }
char _license[] __attribute__((section("license"), used)) = "GPL";
EOC
kill -STOP "$daemon"
node ip link del n0
join
if clang -O2 -g -target bpf -c "$DIR/other.c" -o "$DIR/other.o" && node ip link set n0 xdpdrv obj "$DIR/other.o" sec xdp; then
	kill -CONT "$daemon"
	it "an interface that somebody else holds is told" within 30 told "it['event']['action'] == 'interface-unprotected'"
	it "never displaced" says "prog/xdp" node ip link show n0
	node ip link set n0 xdpdrv off
else
	kill -CONT "$daemon"
	skip "an interface that somebody else holds" "no program could be loaded here"
fi
it "and taken when it is free again" within 30 protected

it "down and apply" eval 'bulwark down && bulwark apply "$DIR/a.yaml"'
sleep 1.2
knock 9202
it "it follows to the new pins" within 30 told "it['destination']['port'] == 9202"

mv "$LOG" "$LOG.moved"
kill -HUP "$daemon"
within 30 [ -e "$LOG" ]
knock 9203
it "SIGHUP opens the log anew" within 30 grep -q 9203 "$LOG"
rm -f "$LOG".*
it "SIGTERM ends it well" stop

mkdir "$DIR/full"
if mount -t tmpfs -o size=32k none "$DIR/full"; then
	LOG=$DIR/full/events.jsonl
	start --log "$LOG"
	sleep 0.5
	flood 20000
	it "a full disk is said" within 30 grep -q "No space left" "$DIR/daemon.err"
	it "the shield judges on" protected
	mount -o remount,size=4m "$DIR/full"
	it "when there is room again it says what is missing" within 30 told \
		"it['event']['action'] == 'events-unwritten' and it['bulwark']['events'] > 0 and it['bulwark']['reasons']['unexposed'] > 0"
	it "it ended well" stop
	umount "$DIR/full"
else
	skip "a full disk" "no tmpfs here"
fi

LOG=$DIR/budget.jsonl
start --log "$LOG" --budget 32KiB --log-size 10000 --log-keep 2
sleep 0.5
flood 20000
sleep 0.3
it "SIGTERM after a flood" stop
it "the budget held" eval '[ "$(cat "$LOG"* | wc -c)" -le 40000 ]'
it "what was left out is counted" told "it['event']['action'] == 'events-left-out' and it['bulwark']['packets'] > 0"
it "files were rotated, and no more kept than asked" eval '[ -e "$LOG.2" ] && [ ! -e "$LOG.3" ]'
it "log finds the daemon's log, rotated files first" says "events-left-out" bulwark log
done_testing
