#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A kernel that is too old is refused with plain words, and nothing is touched.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) ;; *) echo "1..0 # SKIP this kernel is supported" && exit 0 ;; esac

mount -t bpf bpf /sys/fs/bpf
ip link add n0 type veth peer name p0
ip link set n0 up
it "apply is refused with status 3" ends_with 3 "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "the refusal names what is missing" says "6.1" "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "nothing is attached" not says xdp ip -d link show n0
it "nothing is pinned" not [ -e /sys/fs/bpf/bulwark/v1 ]
ip link del n0
umount /sys/fs/bpf
done_testing
