/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An XDP program that lets everything in: what having one costs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
