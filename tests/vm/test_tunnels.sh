#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A WireGuard peer, an IPsec peer (ESP, a tunnel over IPv4) and a Geneve one: declared by their outer headers, they go on
# through attach, a flood on their port, another policy, and down. What is inside is judged by none: it has been.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on middle
command -v wg >/dev/null || { echo "1..0 # SKIP wg is not installed outside" && exit 0; }

# wireguard RUN-IN OWN-KEY OTHER-PUBLIC-KEY INSIDE [OTHER-END]
wireguard() {
	$1 ip link add wg0 type wireguard
	$1 wg set wg0 listen-port 51820 private-key "$2" peer "$3" allowed-ips 10.9.0.0/24 ${5:+endpoint "$5"}
	$1 ip addr add "$4/24" dev wg0
	$1 ip link set wg0 up
}

build_wireguard() {
	for side in here there; do wg genkey >/tmp/$side.key; done
	wireguard "" /tmp/here.key "$(wg pubkey </tmp/there.key)" 10.9.0.1
	wireguard peer /tmp/there.key "$(wg pubkey </tmp/here.key)" 10.9.0.2 192.0.2.1:51820
}

# esp RUN-IN OWN OTHER INSIDE OTHER-INSIDE SPI-OUT SPI-IN
esp() {
	key="auth hmac(sha256) 0x$(printf '%064d' 7) enc cbc(aes) 0x$(printf '%032d' 9)"
	$1 ip addr add "$4/32" dev lo
	$1 ip xfrm state add src "$2" dst "$3" proto esp spi "$6" reqid 1 mode tunnel $key || return 1
	$1 ip xfrm state add src "$3" dst "$2" proto esp spi "$7" reqid 1 mode tunnel $key || return 1
	$1 ip xfrm policy add src "$4" dst "$5" dir out tmpl src "$2" dst "$3" proto esp reqid 1 mode tunnel
	$1 ip xfrm policy add src "$5" dst "$4" dir in tmpl src "$3" dst "$2" proto esp reqid 1 mode tunnel
	$1 ip route add "$5/32" via "$3" src "$4"
}

geneve() { # geneve RUN-IN OTHER INSIDE
	$1 ip link add gen0 type geneve id 7 remote "$2" && $1 ip addr add "$3/24" dev gen0 && $1 ip link set gen0 up
}

# through ADDRESS: a page from inside a tunnel, from a port that no service names
through() {
	fetches 8081 "$1"
}

flood_dropped() {
	[ "$(drops not-allowed)" -gt 100 ]
}

dropped() { # dropped REASON
	[ "$(drops "$1")" ]
}

decrypted() {
	"$BULWARK" --json status | tr -d ' \n' | grep -q '"verdict":"pass","reason":"decrypted"'
}

tunnels_work() { # tunnels_work NAME
	it "$1: WireGuard" within 10 through 10.9.0.1
	it "$1: ESP" within 10 through 10.8.0.1
	it "$1: Geneve" within 10 through 10.7.0.1
	it "$1: a connection inside WireGuard that was open before goes on" still_talks
}

mount -t bpf bpf /sys/fs/bpf
load tunnels
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
ip link set lo up
if ! esp "" 192.0.2.1 192.0.2.2 10.8.0.1 10.8.0.2 0x101 0x102 || ! esp peer 192.0.2.2 192.0.2.1 10.8.0.2 10.8.0.1 0x102 0x101; then
	echo "1..0 # SKIP this kernel cannot initialize the cipher of ESP"
	drop_network
	umount /sys/fs/bpf
	exit 0
fi
build_wireguard
geneve "" 192.0.2.2 10.7.0.1 && geneve peer 192.0.2.1 10.7.0.2
for inside in 10.9.0.1 10.8.0.1 10.7.0.1; do
	within 10 through $inside || { echo "Bail out! $inside is not reached without the shield"; exit 1; }
done
keeps_talking 10.9.0.1 || { echo "Bail out! no connection without the shield"; exit 1; }

sed '/peers-only:/d' tests/vm/policies/tunnels.yaml >/tmp/without.yaml
it "without a service for the tunnels apply names what will be cut" says "gen0 (geneve)" "$BULWARK" apply /tmp/without.yaml
it "ESP does not come in" not through 10.8.0.1
it "nor Geneve" not through 10.7.0.1
peer wg set wg0 listen-port 51821 # what this host sent to the old port makes an answer of what comes from there
it "nor a WireGuard peer that moved" not through 10.9.0.1
it "with it apply says nothing of them" not says "gen0" "$BULWARK" apply tests/vm/policies/tunnels.yaml
tunnels_work "applied"
it "a stranger's page on the wire is not served" not fetches 8081
it "what ESP held is counted as decrypted" within 10 decrypted
it "status names the tunnels" says "wg0 *wireguard: judged by its outer header" "$BULWARK" status
sed 's/^interfaces:.*/interfaces: [n0, wg0]/' tests/vm/policies/tunnels.yaml >/tmp/named.yaml
it "WireGuard's device is refused in words" says "'wg0': packets of wg0 (wireguard) have no Ethernet header" \
	"$BULWARK" apply /tmp/named.yaml
floods 20 51820
tunnels_work "in a flood on WireGuard's port"
it "the flood was dropped" within 20 flood_dropped
sed 's/^stray: drop/stray: pass/' tests/vm/policies/tunnels.yaml >/tmp/other.yaml
it "another policy in the flood" "$BULWARK" apply /tmp/other.yaml
tunnels_work "another policy"
sed 's|^services:|&\n  inside: { ports: tcp/8081, tls: {} }|' tests/vm/policies/tunnels.yaml >/tmp/tls.yaml
it "a policy that wants TLS on the port inside" "$BULWARK" apply /tmp/tls.yaml
it "on the wire plain HTTP is refused there" not fetches 8081
it "its first bytes were no TLS" within 10 dropped tls-not-tls
tunnels_work "first bytes are judged on the wire alone"
sed 's/^stray:/mode: generic\n&/' tests/vm/policies/tunnels.yaml >/tmp/generic.yaml
"$BULWARK" down
it "generic mode" says "live on n0 (generic" "$BULWARK" apply /tmp/generic.yaml
it "a declared port through ESP" within 10 fetches 8080 10.8.0.1
it "any through WireGuard" within 10 through 10.9.0.1
it "status is enforcing" says ENFORCING "$BULWARK" status
it "down" "$BULWARK" down
tunnels_work "down"
ip xfrm state flush
ip xfrm policy flush
for device in wg0 gen0; do ip link del $device; done
ip addr del 10.8.0.1/32 dev lo
drop_network
umount /sys/fs/bpf
done_testing
