/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections that this host merely routes (`forward: services`), where a limit counts them: no socket tells of
 * them, and connection tracking only where somebody asked for it. XDP sees what clients send and TC egress what servers
 * answer.
 *
 * A SYN notes its flow in half_open (flows.h). The server's SYN-ACK adds the number that will acknowledge it; the
 * segment that does completes the handshake, meets the limit, and makes the entry in `routed` that is counted. So
 * nobody is counted whose address somebody else forged. What connection tracking says is established is proven, too.
 *
 * Likewise only what a server sends ends a connection at once: its reset, or its FIN where the client's was seen. A
 * client's reset may never arrive there; the recount believes it after a time of silence.
 */
#ifndef BULWARK_ROUTED_H
#define BULWARK_ROUTED_H

#define ROUTED_CLOSING 120  /* seconds: one end has closed, and the client is silent; as connection tracking has it */
#define ROUTED_RESET_WAIT 8 /* units of a slot's expiry, 2 s: longer than its renewal may wait */

static __always_inline void routed_key_make(struct routed_key *key, const struct flow *flow)
{
	__builtin_memcpy(key->source, &flow->source, ADDRESS_BYTES);
	__builtin_memcpy(key->destination, &flow->destination, ADDRESS_BYTES);
	key->source_port = flow->source_port;
	key->destination_port = flow->destination_port;
}

static __always_inline int limits_open(const struct service_entry *service)
{
	for (__u32 i = 0; service && i < LIMIT_CELLS && i < service->limit_count; i++) {
		__u32 index = service->limits + i;
		const struct limit_entry *limit = bpf_map_lookup_elem(&limits, &index);

		if (limit && limit->kind == LIMIT_CONNECTIONS)
			return 1;
	}
	return 0;
}

/* ---- XDP: what a client sends ---- */

static __always_inline void slot_prove(const struct flow *flow)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, flow), *slot;
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(TCP_SPOKEN);
	struct slot_line *line = half_open_line(hash);

	if (!line)
		return;
	slot = line_find(line, hash, now);
	if (slot)
		slot_renew(slot, expiry, MARK_PROVEN);
	else
		line_put(line, hash, expiry, MARK_PROVEN);
}

/* Its flow may yet say what is under way, and be counted no more. */
static __always_inline void slot_end(const struct flow *flow)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, flow);
	__u32 now = slot_time(now_ns());
	struct slot_line *line = half_open_line(hash);
	__u64 *slot = line ? line_find(line, hash, now) : NULL;

	if (slot && SLOT_MARK(*slot) == MARK_PROVEN)
		slot_renew(slot, now + slot_lifetime(HALF_OPEN), MARK_SPOKEN);
}

/* A segment of an open connection to a service behind this host passes: what that does to the count. */
__noinline int follow_client(const struct packet *pkt)
{
	struct routed fresh = {}, *entry;
	enum open_step step = OPEN_STEP_SEEN;
	struct routed_key key;

	if (!pkt || !limits_open(service_at(pkt->service)))
		return OPEN_STEP_SEEN;
	routed_key_make(&key, &pkt->flow);
	if (pkt->follow) {
		slot_prove(&pkt->flow);
		if (!bpf_map_update_elem(&routed, &key, &fresh, BPF_NOEXIST))
			step = OPEN_STEP_UP;
	}
	entry = pkt->tcp_flags & (TCP_FIN | TCP_RST) ? bpf_map_lookup_elem(&routed, &key) : NULL;
	if (!entry)
		return step;
	if (pkt->tcp_flags & TCP_RST) {
		entry->reset = slot_time(now_ns()) | 1;
		return step;
	}
	if (!(__sync_fetch_and_or(&entry->closed, ROUTED_CLIENT_CLOSED) & ROUTED_SERVER_CLOSED) ||
	    bpf_map_delete_elem(&routed, &key))
		return step;
	slot_end(&pkt->flow);
	return OPEN_STEP_DOWN;
}

/* A function of its own: its stack must not add to that of who knows what to count. */
__noinline int count_routed(const struct packet *pkt, int step)
{
	if (pkt && step != OPEN_STEP_SEEN)
		count_open(&pkt->flow, service_at(pkt->service), step);
	return 0;
}

/* ---- TC egress: what a server answers ---- */

/* A SYN-ACK, which a server sends only where no connection is open. */
static __always_inline void note_answer(struct __sk_buff *skb, const struct packet *pkt, __u64 hash)
{
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(HALF_OPEN);
	struct slot_line *line = half_open_line(hash);
	__u64 *slot, answer;
	__be32 sequence;

	if (!line || load(skb, pkt->l4 + __builtin_offsetof(struct tcphdr, seq), &sequence, sizeof(sequence)))
		return;
	slot = line_find(line, hash, now);
	if (!slot)
		return; /* no SYN that passed */
	slot_renew(slot, expiry, MARK_ASKED);
	answer = hash_answer(hash, bpf_ntohl(sequence) + 1);
	slot = line_find(line, answer, now);
	if (slot)
		slot_renew(slot, expiry, MARK_ANSWERED);
	else
		line_put(line, answer, expiry, MARK_ANSWERED);
}

/* Whether a server's segment ends the connection. */
static __always_inline int server_ends(const struct packet *pkt, const struct routed_key *key)
{
	struct routed *entry = bpf_map_lookup_elem(&routed, key);

	if (!entry)
		return 0;
	return pkt->tcp_flags & (TCP_RST | TCP_SYN) ||
	       __sync_fetch_and_or(&entry->closed, ROUTED_SERVER_CLOSED) & ROUTED_CLIENT_CLOSED;
}

/* pkt: turned round. What it does to the count. */
__noinline int follow_server(struct __sk_buff *skb, struct packet *pkt)
{
	struct routed_key key;
	int step = OPEN_STEP_SEEN;

	if (!pkt || !limits_open(service_of(&pkt->flow, &pkt->service)))
		return OPEN_STEP_SEEN;
	routed_key_make(&key, &pkt->flow);
	if (server_ends(pkt, &key)) {
		slot_end(&pkt->flow);
		if (!bpf_map_delete_elem(&routed, &key))
			step = OPEN_STEP_DOWN;
	}
	if (pkt->tcp_flags & TCP_SYN)
		note_answer(skb, pkt, hash_inbound(KEY_HALF_OPEN, &pkt->flow));
	return step;
}

/* The flow as the client's packets name it. */
static __always_inline void turn_round(struct flow *flow)
{
	union address server = flow->source;
	__u16 port = flow->source_port;

	flow->source = flow->destination;
	flow->destination = server;
	flow->source_port = flow->destination_port;
	flow->destination_port = port;
	flow->zone = ZONE_ANY;
}

static __always_inline int concerns_routed(const struct __sk_buff *skb, const struct packet *pkt)
{
	if (!counts_routed() || skb->sk || pkt->flow.protocol != IPPROTO_TCP)
		return 0;
	return pkt->tcp_flags & (TCP_FIN | TCP_RST) || (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

#endif
