#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Bans and exceptions: what they do to packets, whom they must never hit, and what lookup, bans and allows say of them.
. tests/netns/lib.sh

build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
policy a 8080 "  office: { ports: tcp/8081, allow: [staff] }" \
	"never-ban: [monitors]"
sed -i 's|^lists:|&\n  staff: { addresses: [192.0.2.2] }\n  monitors: { addresses: [198.51.100.0/28] }|' "$DIR/a.yaml"

json() { # json EXPRESSION COMMAND...: python over the command's JSON, as `it`
	local expression=$1
	shift
	"$@" --json >"$DIR/json" || [ -s "$DIR/json" ] || return 1
	cat "$DIR/json"
	python3 -c "import json, sys; it = json.load(open('$DIR/json')); sys.exit(not ($expression))"
}

ban_input() { # ban_input ADDRESS: through standard input
	bulwark ban --file - --for 2h --origin other <<<"$1"
}

it "a policy is applied" bulwark apply "$DIR/a.yaml"
it "a client is served" fetches

it "a ban is taken" bulwark ban 192.0.2.2 --for 1h --reason "a test" --origin tests
it "the banned client is dropped" not fetches
it "bans lists it with its reason and origin" json \
	"it[0]['address'] == '192.0.2.2' and it[0]['reason'] == 'a test' and it[0]['origin'] == 'tests' and 3590 < it[0]['left_s'] <= 3600" \
	bulwark bans
it "bans --origin of another names nobody" says "nobody is banned" bulwark bans --origin other
it "lookup says that its next SYN is banned" json \
	"it['ban']['address'] == '192.0.2.2' and it['next_syn']['reason'] == 'banned' and it['next_syn']['verdict'] == 'drop'" \
	bulwark lookup 192.0.2.2 192.0.2.1:8080
it "an exception goes before the ban" bulwark allow 192.0.2.2 --for 1h --reason "a customer"
it "the client with the exception is served" fetches
it "lookup says so" json "it['next_syn']['verdict'] == 'pass' and it['allow']['reason'] == 'a customer'" \
	bulwark lookup 192.0.2.2 192.0.2.1:8080
it "the exception does not expose a port" json "it['next_syn']['reason'] == 'unexposed'" \
	bulwark lookup 192.0.2.2 192.0.2.1:9200
it "an exception ends early" bulwark disallow 192.0.2.2
it "the ban holds again" not fetches
it "disallow without an exception is answered no" ends_with 1 bulwark disallow 192.0.2.2
it "unban lifts it" bulwark unban 192.0.2.2
it "the client is served again" fetches
it "unban of nobody is answered no" ends_with 1 bulwark unban 192.0.2.2

it "a short ban is taken" bulwark ban 192.0.2.2 --for 1s
sleep 1.3
it "the kernel has ended it" fetches
it "an ended ban is not listed" says "nobody is banned" bulwark bans

it "a prefix is banned" bulwark ban 2001:db8:66::/48 --origin tests
it "lookup knows the prefix" json "it['ban']['address'] == '2001:db8:66::/48'" bulwark lookup 2001:db8:66::9
bulwark ban 203.0.113.9 --origin tests >/dev/null
it "all bans of an origin are lifted" says "lifted 2 bans" bulwark unban --origin tests
it "again: none, and that is no failure" says "lifted 0 bans" bulwark unban --origin tests

it "an exception lifts a block too" bulwark allow 192.0.2.66 --for 1m --reason "a false hit"
it "the blocked client pings" pings 66
bulwark disallow 192.0.2.66 >/dev/null
it "and no more" not pings 66

it "an own address is not banned" says "own address 192.0.2.1" not bulwark ban 192.0.2.1
node ip route add default via 192.0.2.2
it "the gateway is not banned" says "the gateway" not bulwark ban 192.0.2.2
node ip route del default
it "the operator is not banned" says "SSH connection" not env SSH_CONNECTION="192.0.2.2 5 192.0.2.1 22" \
	nsenter --net=/run/netns/"$NODE" "$BULWARK" ban 192.0.2.2
it "a never-ban list is not banned" says "never-ban list monitors" not bulwark ban 198.51.100.7
it "nor is a prefix around it" says "never-ban list monitors" not bulwark ban 198.51.0.0/16
it "--force bans it" bulwark ban 198.51.100.7 --force
it "everybody is not banned" ends_with 2 bulwark ban 0.0.0.0/0 --force
it "host bits are an error with words" says "did you mean 192.0.2.0/24" not bulwark ban 192.0.2.2/24
it "an exception needs a reason" ends_with 2 bulwark allow 192.0.2.2 --for 1h
it "an exception needs an end" ends_with 2 bulwark allow 192.0.2.2 --reason "for good"

printf '# a feed\n203.0.113.0/28\n2001:db8:77::/48 ; why\r\n\n203.0.113.99 x\n203.0.113.99\n' >"$DIR/many"
it "a file of bans is taken" says "banned 3 addresses and prefixes for 1h" bulwark ban --file "$DIR/many" --for 1h --origin feed --reason "a list"
it "bans lists them with the file's origin and reason" json \
	"sorted(b['address'] for b in it if (b['origin'], b['reason']) == ('feed', 'a list')) == ['2001:db8:77::/48', '203.0.113.0/28', '203.0.113.99']" bulwark bans
it "they hold" json "it['next_syn']['reason'] == 'banned'" bulwark lookup 203.0.113.7 192.0.2.1:8080
it "standard input will do, and a ban of many can become one of its own" says "banned 1 address or prefix for 2h" \
	ban_input 203.0.113.99
it "its new origin is told" json "[b['address'] for b in it] == ['203.0.113.99']" bulwark bans --origin other
printf '203.0.113.200\nnonsense\n203.0.113.1/24\n' >"$DIR/many"
it "a file with an error is refused as a whole, with its lines" says "in line 3 of" not bulwark ban --file "$DIR/many"
it "nothing of it is held" ends_with 1 bulwark unban 203.0.113.200
printf '203.0.113.201\n198.51.100.0/24\n' >"$DIR/many"
it "a file that would hit a never-ban list is refused" says "never-ban list monitors" not bulwark ban --file "$DIR/many"
printf '203.0.113.201\n192.0.2.1\n' >"$DIR/many"
it "nor does one with an own address" says "own address 192.0.2.1" not bulwark ban --file "$DIR/many"
it "an empty file is an error" ends_with 2 bulwark ban --file /dev/null
python3 -c "[print('60.%d.%d.%d' % (n >> 16, n >> 8 & 255, n & 255)) for n in range(100000)]" >"$DIR/many"
echo 192.0.2.2 >>"$DIR/many"
it "a hundred thousand" says "banned 100001 addresses" bulwark ban --file "$DIR/many" --origin large
it "the client among them is dropped" not fetches
bulwark allow 192.0.2.2 --for 1h --reason "a customer" >/dev/null
it "but not with an exception" fetches
bulwark disallow 192.0.2.2 >/dev/null
it "which ends" not fetches
bulwark unban 192.0.2.2 >/dev/null
it "and not when it alone is lifted" fetches
it "and lifted again" says "lifted 100000 bans" bulwark unban --origin large
it "all of the first file too" says "lifted 2 bans" bulwark unban --origin feed

it "lookup names lists and what they are for" json "it['lists'] == [{'name': 'staff', 'feed': None, 'used_for': ['allow of office']}]" \
	bulwark lookup 192.0.2.2
it "lookup of a source that is not allowed" json "it['next_syn']['reason'] == 'not-allowed' and it['next_syn']['service'] == 'office'" \
	bulwark lookup 203.0.113.9 192.0.2.1:8081
done_testing
