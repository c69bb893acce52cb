/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Clients behind proxies that say at the beginning of a connection for whom it is (`client: proxy-v2`). What is judged
 * of such a connection begins behind that header, and its requests are the client's. Only proxies are believed: from
 * others the header is refused, so that nobody tells the server that he is somebody else.
 *
 * A header comes in one segment, as its protocol has senders write it; of one in several, and of a connection whose
 * header nobody here has seen, what follows is not judged as first bytes.
 */
#ifndef BULWARK_PROXIED_H
#define BULWARK_PROXIED_H

#include "proxy_header.h"

/* Connections of proxies, by their streams. Written and read by TC ingress. When full the least recently used goes: its
 * requests are not counted any more. Private to a generation: nor are those of connections that are older. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* PROXIED where the policy has `client: proxy-v2` */
	__type(key, __u64);
	__type(value, struct proxied);
} proxied SEC(".maps");

static __always_inline struct proxied *proxied_find(const struct packet *pkt)
{
	__u64 key = hash_inbound(KEY_STREAM, &pkt->flow);

	return bpf_map_lookup_elem(&proxied, &key);
}

/* A function of its own: the verifier does not follow what is behind its pointers. */
__noinline int read_header(const struct first_bytes *bytes, __u32 length, struct proxied *found)
{
	enum proxy_state state;
	__u32 size = 0;

	if (!bytes || !found)
		return PROXY_SPLIT;
	state = proxy_header_read(bytes, length, &size);
	if (state == PROXY_SHOWN)
		proxy_client(bytes, found->client.byte);
	found->size = size;
	found->state = state;
	return state;
}

/* The first segment of a proxy's connection: all of the header is in it. */
static __always_inline enum reason take_header(struct __sk_buff *skb, const struct packet *pkt,
					       const struct segment *segment, struct partial *here)
{
	__u64 key = hash_inbound(KEY_STREAM, &pkt->flow);
	int state;

	here->have = take_bytes(skb, segment, here->bytes.byte);
	state = read_header(&here->bytes, here->have, &here->proxied);
	if (state < PROXY_SPLIT) {
		bpf_map_update_elem(&proxied, &key, &here->proxied, BPF_ANY);
		return REASON_NONE;
	}
	bpf_map_delete_elem(&proxied, &key); /* of a former connection with these ports */
	return state == PROXY_SPLIT ? REASON_PROXY_SPLIT : REASON_PROXY_HEADER;
}

/* The header's own reason, or REASON_NONE: the segment is one of the stream behind it, or of none that is known. */
__noinline int skip_header(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment)
{
	struct partial *here = scratch_here();
	const struct class_entry *class;
	const struct proxied *known;
	enum reason why;

	if (!pkt || !segment || !here)
		return REASON_NONE;
	class = source_class(&pkt->flow);
	if (!class || !(class->flags & CLASS_PROXY)) {
		if (segment->offset || !take_bytes(skb, segment, here->bytes.byte))
			return REASON_NONE;
		return segment->length >= 8 && word_at(&here->bytes, 0) == PROXY_SIGNATURE ? REASON_PROXY_FORGED
											   : REASON_NONE;
	}
	if (!segment->offset) {
		why = take_header(skb, pkt, segment, here);
		if (why)
			return why;
	}
	known = proxied_find(pkt);
	if (known)
		step_over(segment, known->size);
	else if (!segment->answered && !constants.offline)
		return segment->received ? REASON_PROXY_SPLIT : REASON_FIRST_EARLY;
	return REASON_NONE;
}

#endif
