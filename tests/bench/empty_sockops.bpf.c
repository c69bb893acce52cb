/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A sockops program that leaves every connection alone: what having one costs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("sockops")
int empty(struct bpf_sock_ops *ops __attribute__((unused)))
{
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
