# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=sh
# What the tests in the virtual machines share: TAP, and a node (this network namespace) with a peer behind a veth pair.

# shellcheck disable=SC2034 # for those who read this file in
BULWARK=${BUILD:-build}/bulwark
count=0 waiting=0 asking=

# only_on PLACE...: ends a test that is tried on these kernels of make check-vm alone (oldest, middle, newest): software
# emulation is slow. With kernels of somebody's own (EVERYWHERE) it goes on.
only_on() {
	case $(uname -r) in 6.1.*) place=oldest ;; 6.12.*) place=middle ;; *) place=newest ;; esac
	case " $* ${EVERYWHERE:+$place} " in *" $place "*) return ;; esac
	echo "1..0 # SKIP tried on these of the supported kernels only: $*"
	exit 0
}

# load TEST: the kernel modules that it alone needs; those that are there already, or built in, are no trouble
load() {
	[ -e "/modules/$1" ] || return 0
	while read -r module; do
		insmod "/modules/$module" 2>/dev/null || :
	done <"/modules/$1"
}

# it NAME COMMAND...: one test; what the command said is shown when it fails, how long it took when that was long
it() {
	name=$1
	shift
	count=$((count + 1))
	read -r began _ </proc/uptime
	"$@" >/tmp/it.log 2>&1
	status=$?
	read -r ended _ </proc/uptime
	took=$((${ended%.*} - ${began%.*}))
	[ $took -lt 3 ] || echo "# $took s:"
	if [ $status = 0 ]; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		echo "# $* ended with $status"
		sed 's/^/#   /' /tmp/it.log
	fi
}

# unanswered NAME COMMAND...: the test that COMMAND gets no answer, which is known only after some seconds: several of them
# wait at once, in the background, and said_nothing says how each ended
unanswered() {
	waiting=$((waiting + 1))
	echo "$1" >/tmp/unanswered.$waiting.name
	shift
	{ "$@" >/tmp/unanswered.$waiting.log 2>&1 && echo answered >>/tmp/unanswered.$waiting.log; } &
	asking="$asking $!"
}

said_nothing() {
	# shellcheck disable=SC2086 # process ids, split on purpose
	wait $asking
	for each in $(seq $waiting); do
		it "$(cat /tmp/unanswered.$each.name)" not says answered cat /tmp/unanswered.$each.log
	done
	waiting=0 asking=
}

done_testing() {
	echo "1..$count"
}

not() {
	! "$@"
}

# says WORDS COMMAND...: the command's output holds the words
says() {
	words=$1
	shift
	"$@" >/tmp/says.log 2>&1
	cat /tmp/says.log
	grep -q -- "$words" /tmp/says.log
}

# ends_with STATUS COMMAND...
ends_with() {
	wanted=$1
	shift
	"$@"
	set -- $?
	echo "status $1"
	[ "$1" = "$wanted" ]
}

# within SECONDS COMMAND...: tries until it works
within() {
	read -r now _ </proc/uptime
	deadline=$((${now%.*} + $1))
	shift
	until "$@"; do
		read -r now _ </proc/uptime
		[ "${now%.*}" -lt $deadline ] || return 1
		sleep 0.2
	done
}

join_by_veth() {
	ip link add n0 numtxqueues 2 numrxqueues 2 type veth peer name p0 netns peer numtxqueues 2 numrxqueues 2
}

# The machine's own two network cards, in their order, on one wire.
join_by_cards() {
	[ -e /sys/class/net/eth1 ] || return 1
	ip link set eth0 name n0
	ip link set eth1 name p0
	ip link set p0 netns peer
}

# lay_network [JOIN]: the node is 192.0.2.1 and 2001:db8:2::1 on n0; the peer has the addresses .2 (a client) and .66
# (a bad one) on p0.
lay_network() {
	sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv4.ping_group_range="0 1000" || :
	ip netns add peer
	"${1:-join_by_veth}" || return 1
	ip addr add 192.0.2.1/24 dev n0
	ip addr add 2001:db8:2::1/64 dev n0 nodad
	ip link set n0 up
	for host in 2 66; do
		[ $host = 2 ] && lifetime=forever || lifetime=0 # no program picks the bad one by itself
		peer ip addr add 192.0.2.$host/24 dev p0
		peer ip addr add 2001:db8:2::$host/64 dev p0 nodad preferred_lft "$lifetime"
	done
	peer ip link set lo up
	peer ip link set p0 up
	mkdir -p /tmp/www && echo served >/tmp/www/index.html
	busybox httpd -h /tmp/www -p 8080
	busybox httpd -h /tmp/www -p 8081
	peer busybox httpd -h /tmp/www -p 9090
}

# build_network [JOIN]: lays it and waits until the peer is served; one that fails is taken down for the next test
build_network() {
	lay_network "$@" && within 60 reaches 2 && within 60 reaches6 2 && within 60 fetches || { drop_network && return 1; }
}

drop_network() {
	killall httpd nc tail sleep 2>/dev/null
	ip link del n0 2>/dev/null || { ip addr flush dev n0 && ip link set n0 down && ip link set n0 name eth0; } # a card stays
	ip netns del peer
}

# build_server PORT...: a web server behind the node, 198.51.100.2 on c0 in a namespace of its own
build_server() {
	ip netns add server
	ip link add b0 type veth peer name c0 netns server
	ip addr add 198.51.100.1/24 dev b0
	ip link set b0 up
	server ip addr add 198.51.100.2/24 dev c0
	server ip link set c0 up
	server ip route add default via 198.51.100.1
	sysctl -qw net.ipv4.ip_forward=1
	for port; do server busybox httpd -h /tmp/www -p "$port" || return 1; done
}

drop_server() {
	ip link del b0
	ip netns del server
	sysctl -qw net.ipv4.ip_forward=0
}

server() {
	nsenter --net=/run/netns/server "$@"
}

peer() {
	nsenter --net=/run/netns/peer "$@"
}

# reaches HOST: does a ping from the peer's address get an answer?
reaches() {
	peer busybox ping -q -c 1 -W 1 -I "192.0.2.$1" 192.0.2.1
}

reaches6() {
	peer busybox ping6 -q -c 1 -W 1 -I "2001:db8:2::$1" 2001:db8:2::1
}

# keeps_talking ADDRESS [RUN-IN]: the peer opens a connection to port 7070 of the address, where a listener is started
# (RUN-IN: elsewhere than here), and says something every 0.2 s
keeps_talking() {
	tail -f /dev/null | $2 busybox nc -l -p 7070 >/tmp/heard & # nc ends with its input
	sleep 0.5
	peer sh -c "while sleep 0.2; do echo word; done | busybox nc $1 7070" 2>/dev/null &
	within 30 [ -s /tmp/heard ]
}

# still_talks: what it says comes through
still_talks() {
	before=$(wc -c </tmp/heard)
	within 30 sh -c "[ \$(wc -c </tmp/heard) -gt $((before + 10)) ]"
}

# floods SECONDS PORT: UDP from forged addresses to a port of the node, 500 packets a second, from the peer. Into native
# XDP only: the kernel dies of generic XDP with packets that pktgen still holds.
floods() {
	mac=$(cat /sys/class/net/n0/address)
	for words in rem_device_all "add_device p0"; do
		peer sh -c "echo $words >/proc/net/pktgen/kpktgend_0" || return 1
	done
	for words in "count $(($1 * 500))" "ratep 500" "pkt_size 100" "dst 192.0.2.1" "dst_mac $mac" "src_min 45.90.0.1" \
		"src_max 45.90.255.254" "flag IPSRC_RND" "udp_dst_min $2" "udp_dst_max $2"; do
		peer sh -c "echo $words >/proc/net/pktgen/p0" || return 1
	done
	peer sh -c "echo start >/proc/net/pktgen/pgctrl" &
}

# drops REASON: packets dropped for it since the policy came
drops() {
	"$BULWARK" --json status | tr -d ' \n' | sed -n 's/.*"verdict":"drop","reason":"'"$1"'","packets":\([0-9]*\).*/\1/p'
}

# fetches [PORT [ADDRESS]]: a web page from the node, as the peer
fetches() {
	[ "$(peer timeout 3 busybox wget -q -O - "http://${2:-192.0.2.1}:${1:-8080}/")" = served ]
}

fetches6() {
	fetches "${1:-8080}" "[2001:db8:2::1]"
}
