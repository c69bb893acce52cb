#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What is said of the live policy and of this host: show, diff, history, lookup of a feed, doctor.
. tests/netns/lib.sh

build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
policy a 8080
policy b 8081 "default: pass"
printf '45.33.0.0/16\n45.40.0.0/24\n2a05:77::/48\n' >"$DIR/feed.txt"
policy fed 8080 "include: [common.yaml]"
printf 'version: 1\nlists: { worse: { feed: %s/feed.txt } }\n' "$DIR" >"$DIR/common.yaml"
sed -i 's/^block: .*/block: [bad, worse]/' "$DIR/fed.yaml"

json() { # json EXPRESSION COMMAND...: python over the command's JSON, as `it`; any exit status
	local expression=$1
	shift
	"$@" --json >"$DIR/json"
	cat "$DIR/json"
	python3 -c "import json, sys; it = json.load(open('$DIR/json')); sys.exit(not ($expression))"
}

it "show without a policy says what to do" says "bulwark apply FILE" not bulwark show
it "so does lookup" says "bulwark apply FILE" not bulwark lookup 192.0.2.2
it "doctor works without one" json "it['ready'] and len(it['cost']) > 0 and all(c['ns'] > 0 for c in it['cost'])" bulwark doctor n0
it "it names the driver" says "driver veth" bulwark doctor n0
it "an interface that is not there" ends_with 2 bulwark doctor nonsense

it "a policy is applied" bulwark apply "$DIR/a.yaml"
it "show names generation, interface and lists" json \
	"it['generation'] == 1 and it['interfaces'][0]['name'] == 'n0' and it['interfaces'][0]['xdp'] and it['lists'][0]['used_for'] == ['block']" \
	bulwark show
bulwark show --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["policy"], end="")' >"$DIR/shown.yaml"
it "the policy that show prints is the live one" says "no difference" bulwark diff "$DIR/shown.yaml"
it "diff with the same file ends with 0" bulwark diff "$DIR/a.yaml"
it "diff with another ends with 1" ends_with 1 bulwark diff "$DIR/b.yaml"
it "and says what" says "service web: ports: -tcp/8080, +tcp/8081" bulwark diff "$DIR/b.yaml"
it "in JSON too" json "it['different'] and {'change': 'changed', 'what': 'default', 'text': 'drop -> pass'} in it['differences']" \
	bulwark diff "$DIR/b.yaml"
it "diff with a broken file ends with 2" ends_with 2 bulwark diff /dev/null
it "it is ours, says doctor" says "xdp program 'xdp_root' .* is ours" bulwark doctor n0

it "a policy with an include and a feed is applied" bulwark apply "$DIR/fed.yaml"
it "show counts the feed's prefixes" json "[(l['v4'], l['v6'], l['used_for']) for l in it['lists'] if l['name'] == 'worse'] == [(2, 1, ['block'])]" \
	bulwark show
it "lookup names the feed" json "it['lists'][0]['name'] == 'worse' and it['lists'][0]['feed'].endswith('feed.txt')" bulwark lookup 45.33.1.5
it "over IPv6" json "it['next_syn']['reason'] == 'blocked'" bulwark lookup 2a05:77::1 "[2001:db8:2::1]:8080"
it "diff is told that nothing changed" bulwark diff "$DIR/fed.yaml"
echo 45.50.0.0/24 >>"$DIR/feed.txt"
it "the feed grew: diff says so" says "list worse: the feed now has 3 IPv4 and 1 IPv6 prefixes, not 2 and 1" not bulwark diff "$DIR/fed.yaml"

it "history knows both, and which is live" json \
	"[e['generation'] for e in it if e['action'] == 'applied'] == [1, 2] and it[-1]['live'] and not it[0].get('live')" bulwark history
it "and what changed" json "'+list worse' in it[-1]['changed']" bulwark history
it "a refused apply stands there too, with its reason" json \
	"it[-1]['action'] == 'refused' and 'is refused: 1 error' in it[-1]['why'] and it[-1]['policy_path'] == '/dev/null' and it[-2]['live']" \
	bash -c "'$BULWARK' apply /dev/null >/dev/null 2>&1; '$BULWARK' history \$1" -
it "who did it" json "it[0]['user'] and it[0]['uid'] == 0" bulwark history

bulwark pause --for 1m >/dev/null
it "lookup knows of a pause" json "it['next_syn']['reason'] == 'paused'" bulwark lookup 192.0.2.66 192.0.2.1:8080
bulwark resume >/dev/null
bulwark apply --monitor "$DIR/fed.yaml" >/dev/null
it "lookup knows of monitor" json "it['next_syn']['verdict'] == 'pass' and it['next_syn']['would_drop'] == 'blocked'" \
	bulwark lookup 192.0.2.66 192.0.2.1:8080

sed -i 's/^block: .*/block: [{ list: bad, direction: out }]/' "$DIR/a.yaml"
bulwark apply "$DIR/a.yaml" >/dev/null
it "explain judges what this host sends" says "drop at tc, blocked-out" bulwark explain --packet 'tcp 192.0.2.1:50000 > 192.0.2.66:443 syn'
it "and names the line" json "it['sent'] and it['source'] == '192.0.2.1' and it['rule'].endswith('a.yaml:$(grep -n '^block' "$DIR/a.yaml" | cut -d: -f1)')" \
	bulwark explain --packet 'tcp 192.0.2.1:50000 > 192.0.2.66:443 syn'
it "what leaves is said to" says "sent by this host" bulwark explain --packet 'tcp 192.0.2.1:50000 > 192.0.2.67:443 syn'

down_has_let_go() {
	local i
	for ((i = 0; i < 10; i++)); do
		bulwark apply "$DIR/a.yaml" >/dev/null && bulwark down >/dev/null || return 1
		! node ip -d link show n0 | grep -q prog/xdp || return 1
	done
}
it "when down returns the kernel has let go" down_has_let_go
bulwark down >/dev/null
cat >"$DIR/other.c" <<'EOC'
__attribute__((section("xdp"), used)) int somebody(void *ctx) { return 2; }
char _license[] __attribute__((section("license"), used)) = "GPL";
EOC
if clang -O2 -g -target bpf -c "$DIR/other.c" -o "$DIR/other.o" 2>/dev/null &&
	node ip link set n0 xdpdrv obj "$DIR/other.o" sec xdp 2>/dev/null; then
	it "doctor names somebody else's program and answers no" says "'somebody' (id [0-9]*) of somebody else" ends_with 1 bulwark doctor n0
	node ip link set n0 xdpdrv off
else
	skip "somebody else's program" "it could not be loaded here"
fi
node ip link add vl0 link n0 type macvlan 2>/dev/null &&
	it "an interface on top says what it rests on" says "the shield goes on n0 below it" bulwark doctor vl0
if mountpoint -q /; then
	it "a private mount namespace is a problem" says "not one that process 1 sees" ip netns exec "$NODE" "$BULWARK" doctor n0
else
	skip "a private mount namespace is a problem" "the root is no mount point, so nobody can have mounts of his own"
fi
done_testing
