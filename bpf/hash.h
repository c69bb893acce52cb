/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hashes of addresses and flows, keyed with a secret of this boot: who picks addresses and ports cannot pick the line
 * they fall into.
 */
#ifndef BULWARK_HASH_H
#define BULWARK_HASH_H

#include "sip.h"

static __always_inline void sip_begin(struct sip *s)
{
	s->a = constants.hash_start.a;
	s->b = constants.hash_start.b;
	s->c = constants.hash_start.c;
	s->d = constants.hash_start.d;
}

static __always_inline void sip_address(struct sip *s, const union address *address)
{
	sip_word(s, address->half[0]);
	sip_word(s, address->half[1]);
}

/* local and remote: the ends as this host sees them, so both directions of a flow have one key. */
static __always_inline __u64 hash_flow(enum key_kind kind, const union address *local, __u16 local_port,
				       const union address *remote, __u16 remote_port, __u8 protocol, int ipv6)
{
	struct sip s;

	sip_begin(&s);
	if (ipv6) {
		sip_address(&s, local);
		sip_address(&s, remote);
	} else {
		sip_word(&s, (__u64)local->word[3] << 32 | remote->word[3]);
	}
	sip_word(&s, (__u64)local_port << 48 | (__u64)remote_port << 32 | protocol << 8 | kind);
	return sip_end(&s, ipv6 ? 40 : 16);
}

static __always_inline __u64 hash_fragment(const struct packet *pkt)
{
	const struct flow *flow = &pkt->flow;
	struct sip s;

	sip_begin(&s);
	sip_address(&s, &flow->source);
	sip_address(&s, &flow->destination);
	sip_word(&s, (__u64)pkt->fragment_id << 32 | flow->ipv6 << 8 | KEY_FRAGMENT);
	return sip_end(&s, 40);
}

static __always_inline __u64 hash_sample(const union address *address, __u32 kind)
{
	struct sip s;

	sip_begin(&s);
	sip_address(&s, address);
	sip_word(&s, kind << 8 | KEY_SAMPLE);
	return sip_end(&s, 24);
}

/* A part of a source that is counted as one. length: how much of the 128 bits; mapped IPv4 has its own in low. */
static __always_inline __u64 hash_source(enum key_kind kind, const struct flow *flow, __u32 length)
{
	__u64 high, low = length > 64 ? prefix_mask64(length - 64) : 0;
	struct sip s;

	sip_begin(&s);
	if (!flow->ipv6) /* only the last word counts */
		return sip_source(&s, kind, 0, low & bpf_ntohl(flow->source.word[3]), length, 1);
	high = bpf_be64_to_cpu(flow->source.half[0]) & prefix_mask64(length);
	return sip_source(&s, kind, high, low & bpf_be64_to_cpu(flow->source.half[1]), length, 0);
}

/* The same of the whole address. */
static __always_inline __u64 hash_whole_source(const struct flow *flow)
{
	return hash_source(KEY_SOURCE, flow, ADDRESS_BITS);
}

#endif
