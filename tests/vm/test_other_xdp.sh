#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Another XDP program on the interface, loaded by libxdp's dispatcher: whoever came first stays, and is named.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on oldest
command -v xdp-filter >/dev/null || { echo "1..0 # SKIP xdp-filter is not installed outside" && exit 0; }

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }

dispatched() {
	bpftool net show dev n0 | tee /dev/stderr | grep -q 'n0.*driver'
	bpftool prog show | grep -q xdp_dispatcher
}

refused() {
	"$BULWARK" apply tests/vm/policies/native.yaml --iface n0 >/tmp/refused.log 2>&1
}

it "the other program comes by libxdp's dispatcher" xdp-filter load n0 --mode native
it "it sits there" dispatched
it "apply is refused" ends_with 3 refused
it "apply names the other program and the remedy" says "xdp_dispatcher.*never displaces" cat /tmp/refused.log
it "the other program stays" dispatched
it "doctor names it" says xdp_dispatcher "$BULWARK" doctor n0
it "nothing of ours is left behind" not [ -e /sys/fs/bpf/bulwark ]
it "the other program goes" xdp-filter unload n0
it "then apply succeeds" "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "a blocked source is dropped" not reaches 66
it "the other program does not get in now" not xdp-filter load n0 --mode native
it "we still judge: a client is served" fetches
it "we still judge: a blocked source is dropped" not reaches 66
it "status is enforcing" says ENFORCING "$BULWARK" status
it "down" "$BULWARK" down
it "then the other program may come again" xdp-filter load n0 --mode native
drop_network
umount /sys/fs/bpf
done_testing
