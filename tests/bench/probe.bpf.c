/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frame of one long BPF_PROG_RUN, with another source each time, handed on to the program that is measured. The
 * same with a bare program behind it is the baseline, so what writes the source costs nothing in the difference.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "probe.h"
#include "bucket.bpf.h"

const volatile __u32 ipv6 = 0;
const volatile __u32 l3 = 14;	/* where the IP header is */
const volatile __u32 fresh = 0; /* every source new: none is read from the tables */

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
__u64 random = 0x9e3779b97f4a7c15ULL;

enum { IPV4_SOURCE = 12, IPV6_SOURCE = 8, IPV4_BYTES = 20, IPV6_BYTES = 40, PORT_BYTES = 2 };

/* xorshift64* (Marsaglia, Vigna) */
static __always_inline __u64 draw(void)
{
	random ^= random >> 12;
	random ^= random << 25;
	random ^= random >> 27;
	return random * 0x2545f4914f6cdd1dULL;
}

/* 11.0.0.0 to 98.255.255.255 */
static __always_inline int put_fresh4(__u8 *ip)
{
	__u64 drawn = draw();
	__u32 first = 11 + ((__u32)(drawn >> 56) * 88 >> 8);

	*(__u32 *)(ip + IPV4_SOURCE) = bpf_htonl(first << 24 | (drawn >> 32 & 0xffffff));
	*(__u16 *)(ip + IPV4_BYTES) = drawn | 4; /* 1024 or more */
	return 0;
}

/* 2400::/16 */
static __always_inline int put_fresh6(__u8 *ip)
{
	*(__u64 *)(ip + IPV6_SOURCE) = bpf_cpu_to_be64(0x2400ULL << 48 | draw() >> 16);
	*(__u64 *)(ip + IPV6_SOURCE + 8) = draw();
	*(__u16 *)(ip + IPV6_BYTES) = random | 4;
	return 0;
}

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
	__u8 *ip = (__u8 *)(long)ctx->data + l3;
	__u32 at = turn++ & (PROBE_SOURCES - 1);

	if (ip + IPV6_BYTES + PORT_BYTES > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (!(fresh ? ipv6 ? put_fresh6(ip) : put_fresh4(ip) : ipv6 ? put_source6(ip, at) : put_source4(ip, at)))
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

SEC("xdp.frags")
int parsed(struct xdp_md *ctx)
{
	return parse_source(ctx) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp.frags")
int bucket(struct xdp_md *ctx)
{
	__u32 source = parse_source(ctx);

	return source ? bucket_take(source) ? XDP_PASS : XDP_DROP : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
