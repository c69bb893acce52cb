/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What XDP programs usually do about rates: a token bucket a source in an LRU hash. The baseline of the benchmark for
 * our limits, of IPv4 only, with nothing around it; parsed() is the same program without the bucket.
 */
#ifndef BULWARK_BENCH_BUCKET_H
#define BULWARK_BENCH_BUCKET_H

#include <bpf/bpf_endian.h>

enum {
	BUCKETS = 1 << 20,
	BUCKET_RATE = 20000, /* packets a second, and as many at once */
};

#define BUCKET_NS 1000000000ULL
#define BUCKET_TOKEN_NS (BUCKET_NS / BUCKET_RATE)

struct lru_bucket {
	__u64 last_ns;
	__u64 tokens_ns;
};

/* Written and read by the program alone; full: the oldest goes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, struct lru_bucket);
} buckets SEC(".maps");

/* The source, or 0. */
static __always_inline __u32 parse_source(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return 0;
	if (eth->h_proto != bpf_htons(0x0800) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP || !tcp->syn)
		return 0;
	return ip->saddr;
}

/* Whether the source may send one more. */
static __always_inline int bucket_take(__u32 source)
{
	struct lru_bucket *bucket = bpf_map_lookup_elem(&buckets, &source), fresh;
	__u64 now = bpf_ktime_get_ns(), tokens;

	if (!bucket) {
		fresh = (struct lru_bucket){.last_ns = now, .tokens_ns = BUCKET_NS - BUCKET_TOKEN_NS};
		bpf_map_update_elem(&buckets, &source, &fresh, BPF_ANY);
		return 1;
	}
	tokens = bucket->tokens_ns + (now - bucket->last_ns);
	bucket->last_ns = now;
	if (tokens > BUCKET_NS)
		tokens = BUCKET_NS;
	if (tokens < BUCKET_TOKEN_NS) {
		bucket->tokens_ns = tokens;
		return 0;
	}
	bucket->tokens_ns = tokens - BUCKET_TOKEN_NS;
	return 1;
}

#endif
