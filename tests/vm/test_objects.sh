#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every object loads with its default constants on this kernel (test_policies.sh loads it with those of policies).
mount -t bpf bpf /sys/fs/bpf
# 5.10 is refused before anything is loaded
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
set -- build/*.bpf.o
echo "1..$#"
n=0
for object; do
	n=$((n + 1))
	name=$(basename "$object")
	if bpftool prog loadall "$object" "/sys/fs/bpf/$n" >/tmp/load.log 2>&1; then
		echo "ok $n - $name"
	else
		tail -n 400 /tmp/load.log | sed 's/^/# /'
		echo "not ok $n - $name"
	fi
	rm -rf "/sys/fs/bpf/$n"
done
umount /sys/fs/bpf
