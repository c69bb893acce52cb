/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bucket.bpf.h for a whole interface: spends, and drops whatever came of it, as a limit of the whole service would. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "bucket.bpf.h"

SEC("xdp")
int bucket(struct xdp_md *ctx)
{
	__u32 source = parse_source(ctx);

	if (source)
		bucket_take(source);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
