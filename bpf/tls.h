/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS: what a ClientHello asks for, judged before the server sees the whole of it. A hello that comes in several
 * segments is gathered; its first ones go on to the server, which can do nothing with them.
 */
#ifndef BULWARK_TLS_H
#define BULWARK_TLS_H

#include "hello.h"

#define ALPN_PROTOCOLS 8 /* looked at; clients offer two or three */

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

/* What one hello shows of its client; nobody reads what a former one left there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sighting);
} sight SEC(".maps");

__noinline int see_client(const struct first_bytes *bytes, const struct hello *hello, struct sighting *sighting)
{
	return bytes && hello && sighting ? hello_sight(bytes, hello, sighting) : 0;
}

__noinline __u64 client_number(const struct sighting *sighting)
{
	return sighting ? sighting_number(sighting) : 0;
}

/* Whether the rule denies such clients. One that was never seen is put down for the daemon, once; where there is no
 * room, its next hello is. */
__noinline int judge_client(const struct first_bytes *bytes, const struct hello *hello, const struct tls_entry *tls)
{
	struct fingerprint *known;
	struct sighting *sighting;
	__u32 zero = 0;
	__u64 number;

	sighting = bpf_map_lookup_elem(&sight, &zero);
	if (!bytes || !hello || !tls || !sighting)
		return REASON_NONE;
	if (!see_client(bytes, hello, sighting))
		return REASON_TLS_JA4_UNKNOWN;
	number = client_number(sighting);
	known = bpf_map_lookup_elem(&fingerprints, &number);
	if (!known) {
		bpf_map_update_elem(&sightings, &number, sighting, BPF_NOEXIST);
		return REASON_TLS_JA4_UNKNOWN;
	}
	known->seen_ns = now_ns();
	if (!name_find(fingerprint_hash(known, constants.name_seed, tls->number)))
		return REASON_NONE;
	if (!known->denied)
		known->denied = 1;
	return REASON_TLS_JA4;
}

static __always_inline enum reason judge_hello(const struct first_bytes *bytes, const struct hello *hello,
					       const struct tls_entry *tls)
{
	if (hello->version < tls->min_version)
		return REASON_TLS_VERSION;
	if (!hello->sni_length && tls->flags & TLS_NO_SNI_DROP)
		return REASON_TLS_NO_SNI;
	if (hello->sni_length && tls->flags & TLS_NAMES &&
	    !host_known(bytes, hello->sni, hello->sni_length, NAME_SNI, tls->number))
		return REASON_TLS_SNI;
	if (tls->flags & TLS_ALPN && hello->alpn_length && !alpn_known(bytes, hello, tls->number))
		return REASON_TLS_ALPN;
	if (constants.have_ja4 && tls->flags & TLS_DENY_JA4)
		return judge_client(bytes, hello, tls);
	return REASON_NONE;
}

/* Reasons for which `unknown` has the verdict. */
static __always_inline int tls_unknown(enum reason why)
{
	return why == REASON_TLS_SPLIT || why == REASON_TLS_JA4_UNKNOWN || why == REASON_PROXY_SPLIT;
}

/* Whether the rule lets pass what it finds. */
static __always_inline int tls_passes(const struct tls_entry *tls, enum reason why)
{
	return !why || tls->flags & TLS_MONITOR || (tls_unknown(why) && !(tls->flags & TLS_UNKNOWN_DROP));
}

/* A function of its own: the verifier does not follow what is behind its pointers, so every round looks alike to it. */
__noinline int read_hello(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	return bytes && hello ? hello_read(bytes, length, hello) : HELLO_SPLIT;
}

/* The verdict of what is there; HELLO_MORE in *more. hello: room for what is read, not on the stack, which is full. */
__noinline int judge_bytes(const struct first_bytes *bytes, __u32 length, const struct tls_entry *tls, __u32 *more,
			   struct hello *hello)
{
	enum hello_state state;

	if (!bytes || !tls || !more || !hello)
		return REASON_NONE;
	*more = 0;
	*hello = (struct hello){};
	state = read_hello(bytes, length, hello);
	switch (state) {
	case HELLO_WHOLE:
		return judge_hello(bytes, hello, tls);
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

__noinline int judge_tls(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment,
			 const struct tls_entry *tls)
{
	struct partial *here = scratch_here();
	__u32 more = 0;
	int how, why;

	if (!pkt || !segment || !tls || !here)
		return REASON_NONE;
	how = gather(skb, pkt, segment);
	if (how != GATHERED_BYTES)
		return gather_reason(how, REASON_TLS_SPLIT);
	why = judge_bytes(&here->bytes, here->have, tls, &more, &here->hello);
	if (!tls_passes(tls, why)) /* none of it gets to the server: it is judged again when it comes again */
		return why;
	return gathered(pkt, segment, here, more) ? why : REASON_FIRST_CHANGED;
}

#endif
