/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS: what a ClientHello asks for, judged before the server sees the whole of it. A hello that comes in several
 * segments is gathered; its first ones go on to the server, which can do nothing with them.
 */
#ifndef BULWARK_TLS_H
#define BULWARK_TLS_H

#include "hello.h"

#define SNI_LABEL 64	 /* a label is at most 63 bytes (RFC 1035) */
#define ALPN_PROTOCOLS 8 /* looked at; clients offer two or three */

/* Hellos under way. Written and read by TC ingress. 256 of them; when full the least recently used goes, and the rest
 * of that hello is judged as unknown. Private to a generation: a reload in the middle of one makes it unknown. */
struct partial {
	__u32 have; /* bytes of the stream's beginning */
	__u32 unused;
	struct first_bytes bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* PARTIALS where the policy judges TLS */
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
	for (dot = 0; dot < SNI_LABEL; dot++)
		if (dot >= length || byte_at(bytes, at + dot) == '.')
			break;
	if (!dot || dot + 1 >= length || dot == SNI_LABEL)
		return 0;
	return name_find(hash_name(bytes, at + dot + 1, length - dot - 1, kind + 1, rule)) != NULL;
}

static __always_inline int alpn_known(const struct first_bytes *bytes, const struct hello *hello, __u32 rule)
{
	__u32 at = hello->alpn, end = at + hello->alpn_length;

	for (int i = 0; i < ALPN_PROTOCOLS && at < end; i++) {
		__u32 length = byte_at(bytes, at);

		if (at + 1 + length > end)
			return 0;
		if (name_find(hash_name(bytes, at + 1, length, NAME_ALPN, rule)))
			return 1;
		at += 1 + length;
	}
	return 0;
}

static __always_inline enum reason judge_hello(const struct first_bytes *bytes, const struct hello *hello,
					       const struct tls_entry *tls)
{
	if (hello->version < tls->min_version)
		return REASON_TLS_VERSION;
	if (!hello->sni_length)
		return tls->flags & TLS_NO_SNI_DROP ? REASON_TLS_NO_SNI : REASON_NONE;
	if (tls->flags & TLS_NAMES && !host_known(bytes, hello->sni, hello->sni_length, NAME_SNI, tls->number))
		return REASON_TLS_SNI;
	if (tls->flags & TLS_ALPN && hello->alpn_length && !alpn_known(bytes, hello, tls->number))
		return REASON_TLS_ALPN;
	return REASON_NONE;
}

/* A function of its own: the verifier does not follow what is behind its pointers, so every round looks alike to it. */
__noinline int read_hello(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	return bytes && hello ? hello_read(bytes, length, hello) : HELLO_SPLIT;
}

/* The verdict of what is there; HELLO_MORE in *more. */
__noinline int judge_bytes(const struct first_bytes *bytes, __u32 length, const struct tls_entry *tls, __u32 *more)
{
	struct hello hello = {};
	enum hello_state state;

	if (!bytes || !tls || !more)
		return REASON_NONE;
	*more = 0;
	state = read_hello(bytes, length, &hello);
	switch (state) {
	case HELLO_WHOLE:
		return judge_hello(bytes, &hello, tls);
	case HELLO_MORE:
		*more = 1;
		return REASON_NONE;
	case HELLO_SPLIT:
		return REASON_TLS_SPLIT;
	case HELLO_NOT_TLS:
		return REASON_TLS_NOT_TLS;
	default:
		return REASON_TLS_MALFORMED;
	}
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

/* The first segment of a stream. */
static __always_inline enum reason tls_begin(struct __sk_buff *skb, const struct segment *segment, __u64 key,
					     const struct tls_entry *tls)
{
	__u32 zero = 0, more;
	struct partial *partial = bpf_map_lookup_elem(&scratch, &zero);
	enum reason why;

	if (!partial)
		return REASON_NONE;
	partial->have = take_bytes(skb, segment, partial->bytes.byte);
	if (!partial->have)
		return REASON_TLS_SPLIT;
	why = judge_bytes(&partial->bytes, partial->have, tls, &more);
	if (more)
		bpf_map_update_elem(&partials, &key, partial, BPF_ANY);
	return why;
}

/* A later one, near the beginning: of a hello that is gathered, or nothing that is judged here. */
static __always_inline enum reason tls_continue(struct __sk_buff *skb, const struct segment *segment, __u64 key,
						const struct tls_entry *tls)
{
	struct partial *partial = bpf_map_lookup_elem(&partials, &key);
	enum reason why = REASON_TLS_SPLIT;
	__u32 have, more = 0;

	if (!partial)
		return REASON_NONE;
	have = partial->have;
	if (segment->offset + segment->length <= have)
		return REASON_NONE; /* sent twice */
	/* out of order, or overlapping: what the server will make of it is not known here */
	if (segment->offset == have && have < FIRST_BYTES) {
		have = take_bytes(skb, segment, &partial->bytes.byte[have & (FIRST_BYTES - 1)]);
		partial->have += have;
		if (have)
			why = judge_bytes(&partial->bytes, partial->have, tls, &more);
	}
	if (!more)
		bpf_map_delete_elem(&partials, &key);
	return why;
}

__noinline int judge_tls(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment,
			 const struct tls_entry *tls)
{
	__u64 key;

	if (!pkt || !segment || !tls)
		return REASON_NONE;
	key = hash_inbound(KEY_STREAM, &pkt->flow);
	return segment->offset ? tls_continue(skb, segment, key, tls) : tls_begin(skb, segment, key, tls);
}

#endif
