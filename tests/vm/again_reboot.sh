#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# After the reboot that test_reboot.sh prepared: the saved policy comes back before its interface does.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
export BULWARK_STATE_DIR=/disk/state

mount -t bpf bpf /sys/fs/bpf
it "the state outlived the machine" [ -d /disk/state/generations ]
it "what bulwark.service does at boot succeeds and says that the interface is missing" \
	says "not there yet: 'n0'" "$BULWARK" apply --saved
it "status says so, too" says "UNPROTECTED: no interface is attached" "$BULWARK" status
"${BUILD:-build}/bulwarkd" --foreground >/tmp/bulwarkd.log 2>&1 &
daemon=$!
it "the interface comes" lay_network # the client is banned: it does not reach us
it "bulwarkd attaches to it" within 30 says ENFORCING "$BULWARK" status
it "the banned client is still banned" not reaches 2
it "its ban says why" says "before the reboot" "$BULWARK" bans
it "an ended ban is gone" not says 192.0.2.3 "$BULWARK" bans
it "the exception is in force" reaches6 66
it "unban" "$BULWARK" unban 192.0.2.2
it "the client is served" within 30 fetches
unanswered "an undeclared port is not" fetches 8081
unanswered "a blocked source is dropped" reaches 66
said_nothing
it "history knows the policy from before" says native.yaml "$BULWARK" history
kill $daemon
wait $daemon
it "down" "$BULWARK" down
drop_network
umount /sys/fs/bpf
done_testing
