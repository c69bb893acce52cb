/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first bytes of a connection, gathered where they come in several segments, and the look-up of names in them. What
 * is not whole yet goes on to the server, which can do nothing with it.
 */
#ifndef BULWARK_GATHER_H
#define BULWARK_GATHER_H

#include "request.h"

#define HOST_LABEL 64 /* a label is at most 63 bytes (RFC 1035) */

struct partial {
	__u32 have; /* bytes of the stream's beginning */
	__u32 unused;
	struct first_bytes bytes;
	struct http_request request; /* what was found in them, in scratch */
	__u8 unused2[2];
	struct hello hello; /* likewise */
};

/* Beginnings under way. Written and read by TC ingress. 256 of them; when full the least recently used goes, and the
 * rest of it is not judged. Private to a generation, so the same holds after a reload in the middle of one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* PARTIALS where the policy judges first bytes */
	__type(key, __u64);
	__type(value, struct partial);
} partials SEC(".maps");

/* Where the bytes of one segment are looked at; nobody reads what a former one left there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct partial);
} scratch SEC(".maps");

static __always_inline struct partial *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Bytes of the segment's payload to `at`, which has room for FIRST_BYTES more; how many, 0 when they cannot be read. */
static __always_inline __u32 take_bytes(struct __sk_buff *skb, const struct segment *segment, void *at)
{
	__u32 length = segment->length;

	if (length > FIRST_BYTES)
		length = FIRST_BYTES;
	if (!length)
		return 0;
	if (bpf_skb_load_bytes(skb, segment->l3 + segment->at, at, span(length, FIRST_BYTES)))
		return 0;
	return length;
}

/*
 * The bytes from the stream's beginning to the end of this segment, in scratch; none (have is 0) where they cannot be
 * known: out of order, or overlapping, what the server will make of it is not known here. NULL: the segment has no part
 * in a beginning.
 */
static __always_inline struct partial *gather(struct __sk_buff *skb, const struct packet *pkt,
					      const struct segment *segment)
{
	__u64 key = hash_inbound(KEY_STREAM, &pkt->flow);
	struct partial *here = scratch_here(), *partial;
	__u32 zero = 0, have = 0;

	if (!here || segment->offset >= FIRST_BYTES)
		return NULL;
	if (segment->offset) {
		partial = bpf_map_lookup_elem(&partials, &key);
		if (!partial || segment->offset + segment->length <= partial->have)
			return NULL; /* sent twice */
		have = partial->have;
		bpf_map_update_elem(&scratch, &zero, partial, BPF_ANY);
	}
	here->have = 0;
	if (segment->offset == have) {
		__u32 more = take_bytes(skb, segment, &here->bytes.byte[have & (FIRST_BYTES - 1)]);

		here->have = more ? have + more : 0;
	}
	return here;
}

/* The bytes have been judged; more: the rest of them is to come. */
static __always_inline void gathered(const struct packet *pkt, const struct segment *segment,
				     const struct partial *here, int more)
{
	__u64 key = hash_inbound(KEY_STREAM, &pkt->flow);

	if (more)
		bpf_map_update_elem(&partials, &key, here, BPF_ANY);
	else if (segment->offset)
		bpf_map_delete_elem(&partials, &key);
}

/* The lists of a name of this rule, or NULL when it has no such name. */
static __always_inline const __u64 *name_find(__u64 hash)
{
	__u32 index = hash >> 32 & (constants.name_lines - 1);
	const struct name_line *line = bpf_map_lookup_elem(&names, &index);

	if (!line)
		return NULL;
	for (int i = 0; i < NAMES_A_LINE; i++)
		if (line->item[i].hash == hash)
			return &line->item[i].lists;
	return NULL;
}

__noinline __u64 hash_name(const struct first_bytes *bytes, __u32 at, __u32 length, __u32 kind, __u32 rule)
{
	return bytes ? name_hash(bytes, at, length, constants.name_seed, kind, rule) : 0;
}

/* A host's name: itself, or what a wildcard stands for in place of its first label. */
static __always_inline int host_known(const struct first_bytes *bytes, __u32 at, __u32 length, __u32 kind, __u32 rule)
{
	__u32 dot;

	if (name_find(hash_name(bytes, at, length, kind, rule)))
		return 1;
	for (dot = 0; dot < HOST_LABEL; dot++)
		if (dot >= length || byte_at(bytes, at + dot) == '.')
			break;
	if (!dot || dot + 1 >= length || dot == HOST_LABEL)
		return 0;
	return name_find(hash_name(bytes, at + dot + 1, length - dot - 1, kind + 1, rule)) != NULL;
}

#endif
