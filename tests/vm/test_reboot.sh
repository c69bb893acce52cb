#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Before the reboot: a policy and bans that have to outlive this machine, on its disk. again_reboot.sh looks afterwards.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
export BULWARK_STATE_DIR=/disk/state

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
it "apply" "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "a ban that outlives the reboot" "$BULWARK" ban 192.0.2.2 --for 1h --reason "before the reboot" --force
it "a ban that does not" "$BULWARK" ban 192.0.2.3 --for 2s --force
it "an exception that does" "$BULWARK" allow 2001:db8:2::66 --for 1h --reason "before the reboot"
"${BUILD:-build}/bulwarkd" --foreground >/tmp/bulwarkd.log 2>&1 &
daemon=$!
bans_are_saved() {
	[ -s "$BULWARK_STATE_DIR/bans.jsonl" ]
}
it "bulwarkd ends when it is told to" sh -c "sleep 2; kill $daemon"
wait $daemon
it "and has saved the bans" within 30 bans_are_saved
drop_network
umount /sys/fs/bpf
done_testing
