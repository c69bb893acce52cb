#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every policy that we ship is compiled, loaded into this kernel's verifier, and passes its own tests there.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac

mount -t bpf bpf /sys/fs/bpf
for policy in policies/*.yaml tests/vm/policies/*.yaml; do
	it "check $policy" "$BULWARK" check "$policy"
	"$BULWARK" check --json "$policy" | sed 's/^/# /'
done
umount /sys/fs/bpf
done_testing
