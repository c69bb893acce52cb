/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The least an XDP program can do: what every end-to-end number is compared with. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp")
int bare(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
