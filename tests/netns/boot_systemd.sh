#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# usage: boot_systemd.sh ROOM CGROUP
# Boots this machine's own systemd as PID 1, in namespaces of its own but for the network (the caller's): its root is this
# machine's / with ROOM/upper over it, so that nothing is written outside of ROOM. Kernel settings are read-only, and of
# the units of this machine only those come along that systemd itself brings.
set -eu

if [ "${INSIDE:-}" != 1 ]; then
	mkdir -p "$2" "$1/upper" "$1/work" "$1/root"
	echo $$ > "$2/cgroup.procs"
	export INSIDE=1
	exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child "$0" "$@"
fi

root=$1/root
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
mount -t proc proc "$root/proc"
for part in kernel vm fs; do
	mount --bind "$root/proc/sys/$part" "$root/proc/sys/$part"
	mount -o remount,ro,bind "$root/proc/sys/$part"
done
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf" # as systemd does outside of containers
for directory in run tmp dev; do mount -t tmpfs tmpfs "$root/$directory"; done
for device in null zero full random urandom tty; do
	: > "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
if [ -x "$1/prepare" ]; then "$1/prepare" "$root"; fi
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
	/lib/systemd/systemd --log-target=console --show-status=no
