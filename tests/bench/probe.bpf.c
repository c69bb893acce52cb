/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frame of one long BPF_PROG_RUN, with another source each time, handed on to the program that is measured. The
 * same with a bare program behind it is the baseline, so what writes the source costs nothing in the difference.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "probe.h"

const volatile __u32 ipv6 = 0;

/* Written by user space before the run (one of them); walked in order, so that reading it costs the same in every
 * program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROBE_SOURCES);
	__type(key, __u32);
	__type(value, struct probe_source4);
} sources4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROBE_SOURCES);
	__type(key, __u32);
	__type(value, struct probe_source6);
} sources6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} target SEC(".maps");

__u32 turn = 0;

enum { ETHERNET = 14, IPV4_SOURCE = 12, IPV6_SOURCE = 8, IPV4_BYTES = 20, IPV6_BYTES = 40, PORT_BYTES = 2 };

static __always_inline int put_source4(__u8 *ip, __u32 at)
{
	const struct probe_source4 *source = bpf_map_lookup_elem(&sources4, &at);

	if (!source)
		return -1;
	*(__u32 *)(ip + IPV4_SOURCE) = source->address;
	if (source->port)
		*(__u16 *)(ip + IPV4_BYTES) = source->port;
	return 0;
}

static __always_inline int put_source6(__u8 *ip, __u32 at)
{
	const struct probe_source6 *source = bpf_map_lookup_elem(&sources6, &at);

	if (!source)
		return -1;
	*(__u64 *)(ip + IPV6_SOURCE) = source->high;
	*(__u64 *)(ip + IPV6_SOURCE + 8) = source->low;
	if (source->port)
		*(__u16 *)(ip + IPV6_BYTES) = source->port;
	return 0;
}

SEC("xdp.frags")
int probe(struct xdp_md *ctx)
{
	__u8 *ip = (__u8 *)(long)ctx->data + ETHERNET;
	__u32 at = turn++ & (PROBE_SOURCES - 1);

	if (ip + IPV6_BYTES + PORT_BYTES > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (!(ipv6 ? put_source6(ip, at) : put_source4(ip, at)))
		bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int bare_drop(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

SEC("xdp.frags")
int bare_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
