/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A TC program that lets everything go on: what having one costs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tc")
int empty(struct __sk_buff *skb __attribute__((unused)))
{
	return -1; /* TCX_NEXT */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
