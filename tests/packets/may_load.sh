# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=sh disable=SC2154
# Sourced where programs are about to be loaded. Skips (and ends the script) only where this user may not; a program that
# the kernel refuses is a failure with its words. Wants $build and $here.
said=$("$build/bulwark" check "$here/policies/base.yaml" --json) || { echo "Bail out! the kernel refuses the programs: $said" && exit 1; }
if ! echo "$said" | grep -q '"loaded": true'; then
	echo "1..0 # SKIP loading programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root)"
	exit 0
fi
