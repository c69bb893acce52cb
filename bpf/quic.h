/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * QUIC: what the first packet of a datagram shows of itself, stateless, at XDP. Of a long header that is its version
 * and the lengths of its connection ids (RFC 8999), and in versions 1 and 2 (RFC 9000, RFC 9369) the kind of packet;
 * the rest is encrypted. A short header shows nothing: it goes on, and is one of an open connection or the server's to
 * refuse.
 */
#ifndef BULWARK_QUIC_H
#define BULWARK_QUIC_H

#define QUIC_LONG 0x80
#define QUIC_LONG_LEAST 7	/* bytes: first, version, two lengths; the connection ids come on top */
#define QUIC_ID_MOST 20		/* bytes of a connection id in versions 1 and 2 */
#define QUIC_INITIAL_LEAST 1200 /* bytes of a datagram that holds an Initial: a server must discard smaller ones */

enum { QUIC_INITIAL = 0, QUIC_RETRY = 3 }; /* kinds of packets, as version 1 counts them */

/* Versions of the form ?a?a?a?a stand for nothing: clients offer them so that servers learn to negotiate. */
static __always_inline int quic_is_reserved(__u32 version)
{
	return !version || (version & QUIC_RESERVED_MASK) == QUIC_RESERVED;
}

static __always_inline int quic_takes(const struct quic_entry *rule, __u32 version)
{
	int taken = 0;

	for (int i = 0; i < QUIC_VERSIONS; i++)
		taken |= rule->versions[i] == version;
	return taken;
}

/* Of versions 1 and 2. first: the first byte; length: of the datagram. */
static __always_inline enum reason quic_known(__u32 version, __u32 first, __u32 length)
{
	__u32 kind = first >> 4 & 3;

	if (version == QUIC_VERSION_2)
		kind = (kind - 1) & 3;
	if (kind == QUIC_RETRY || (kind == QUIC_INITIAL && length < QUIC_INITIAL_LEAST))
		return REASON_QUIC_MALFORMED;
	return REASON_NONE;
}

static __always_inline enum reason quic_version(const struct quic_entry *rule, __u32 version)
{
	if (quic_is_reserved(version))
		return REASON_QUIC_UNKNOWN;
	if (quic_takes(rule, version))
		return REASON_NONE;
	return version == QUIC_VERSION_1 || version == QUIC_VERSION_2 ? REASON_QUIC_VERSION : REASON_QUIC_UNKNOWN;
}

/* length: of the datagram, by its own header; held: as much of it as is here, less in a first fragment. */
static __always_inline enum reason quic_read(const __u8 *at, const void *end, __u32 length, __u32 held,
					     const struct quic_entry *rule)
{
	__u32 version, destination_id, source_id;
	const __u8 *second; /* length: where it is the verifier knows of this register alone */
	enum reason why;

	if (!length || !held || (const void *)(at + 1) > end)
		return REASON_QUIC_MALFORMED;
	if (!(at[0] & QUIC_LONG))
		return REASON_NONE;
	if (length < QUIC_LONG_LEAST || held < QUIC_LONG_LEAST || (const void *)(at + QUIC_LONG_LEAST) > end)
		return REASON_QUIC_MALFORMED;
	version = (__u32)at[1] << 24 | at[2] << 16 | at[3] << 8 | at[4];
	destination_id = at[5];
	second = at + QUIC_LONG_LEAST - 1 + destination_id;
	asm volatile("" : "+r"(second));
	if (length < QUIC_LONG_LEAST + destination_id || held < QUIC_LONG_LEAST + destination_id ||
	    (const void *)(second + 1) > end)
		return REASON_QUIC_MALFORMED;
	source_id = *second;
	if (length < QUIC_LONG_LEAST + destination_id + source_id)
		return REASON_QUIC_MALFORMED;
	why = quic_version(rule, version);
	if (why || (version != QUIC_VERSION_1 && version != QUIC_VERSION_2))
		return why;
	if (destination_id > QUIC_ID_MOST || source_id > QUIC_ID_MOST)
		return REASON_QUIC_MALFORMED;
	return quic_known(version, at[0], length);
}

/* What is let in as the service's. Answers to this host's own questions are none of it, whatever port they asked from.
 * A function of its own: the verifier judges it once. */
__noinline int judge_quic(struct xdp_md *ctx, struct packet *pkt)
{
	const __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct service_entry *service;
	const struct quic_entry *rule;
	const struct udphdr *udp;
	enum reason why;
	__u32 index, l4;

	if (!pkt || pkt->flow.protocol != IPPROTO_UDP)
		return REASON_SERVICE;
	service = service_at(pkt->service);
	index = service ? service->quic : 0;
	rule = index ? bpf_map_lookup_elem(&quic_rules, &index) : NULL;
	l4 = pkt->l4;
	udp = (const void *)(data + l4);
	if (!rule || l4 > HEADERS_END || (const void *)(udp + 1) > (const void *)end)
		return REASON_SERVICE;
	why = quic_read((const __u8 *)(udp + 1), end, bpf_ntohs(udp->len) - sizeof(*udp), pkt->l4_length - sizeof(*udp),
			rule);
	if (!why)
		return REASON_SERVICE;
	if (is_answer(&pkt->flow))
		return REASON_ANSWER;
	if (rule->flags & QUIC_MONITOR || (why == REASON_QUIC_UNKNOWN && !(rule->flags & QUIC_UNKNOWN_DROP))) {
		would_drop(pkt, why, rule->rule);
		return REASON_SERVICE;
	}
	pkt->rule = rule->rule;
	return why;
}

#endif
