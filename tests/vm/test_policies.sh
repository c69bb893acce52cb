#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every policy that we ship is compiled, loaded into this kernel's verifier, and passes its own tests there. Runs here
# and in the virtual machines.
. tests/vm/lib.sh
case $(uname -r) in 5.*) echo "1..0 # SKIP this kernel is older than what is supported" && exit 0 ;; esac
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP loading programs needs root" && exit 0; }

# In a machine the other tests apply those of tests/vm.
[ "${IN_VM:-}" ] && set -- policies/*.yaml || set -- policies/*.yaml tests/vm/policies/*.yaml
for policy; do
	it "check $policy" "$BULWARK" check "$policy"
done
done_testing
