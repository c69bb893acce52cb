#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The shipped udev rule, in a real udev and without bulwarkd: an interface that goes and returns is protected again.
. tests/vm/lib.sh
case $(uname -r) in 5.10.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
only_on middle
command -v udevadm >/dev/null || { echo "1..0 # SKIP udev is not installed outside" && exit 0; }

rules=/etc/udev/rules.d

starts_udev() {
	ln -sf "$(command -v udevadm)" /tmp/systemd-udevd # what it is follows from the name
	/tmp/systemd-udevd --debug --daemon >/tmp/udev.log 2>&1 && udevadm control --ping
}

protected() {
	ip -d link show n0 | grep -q ' xdp '
}

protected_again() {
	within 60 protected && return
	echo "what udevd did:" && grep -v "Reading rules file" /tmp/udev.log | tail -n 60
	echo "what status says:" && "$BULWARK" status
	echo "what the rule's own command says:" && "$BULWARK" apply --attach
	return 1
}

goes_and_returns() {
	ip link del n0 && join_by_veth && ip addr add 192.0.2.1/24 dev n0 && ip link set n0 up &&
		peer ip addr add 192.0.2.2/24 dev p0 && peer ip addr add 192.0.2.66/24 dev p0 && peer ip link set p0 up
}

mount -t bpf bpf /sys/fs/bpf
build_network || { echo "Bail out! the network without the shield does not work"; exit 1; }
mkdir -p $rules /usr/local/sbin
ln -sf "$(readlink -f "$BULWARK")" /usr/local/sbin/bulwark
it "udev starts" starts_udev
it "apply" "$BULWARK" apply tests/vm/policies/native.yaml --iface n0
it "without the rule an interface that went and returned" goes_and_returns
udevadm settle --timeout=30
it "has no protection" not protected
it "status names it" says "n0: the interface went and returned: it has no protection" "$BULWARK" status
sed 's|@PREFIX@|/usr/local|' scripts/systemd/90-bulwark.rules >$rules/90-bulwark.rules
it "the rule is read" udevadm control --reload
it "with it one that goes and returns" goes_and_returns
it "is protected again" protected_again
it "a client is served" within 10 fetches
it "a blocked source is dropped" not reaches 66
it "status is enforcing" says ENFORCING "$BULWARK" status
it "down" "$BULWARK" down
it "without a policy in force the rule does nothing" goes_and_returns
udevadm settle --timeout=30
it "nothing is attached" not protected
udevadm control --exit
drop_network
umount /sys/fs/bpf
done_testing
