/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that left this host first (written at TC egress), half-open forwarded connections, and fragments. All in
 * lines of fingerprints: a false hit (8 / 2^32 a look-up) lets a packet through as an answer, it never drops one.
 */
#ifndef BULWARK_FLOWS_H
#define BULWARK_FLOWS_H

/* seconds */
#define UDP_ASKED 30   /* asked, not answered yet */
#define UDP_SPOKEN 120 /* both have spoken */
#define ECHO_ASKED 30
#define TCP_ASKED 120 /* a forwarded SYN left */
#define TCP_SPOKEN 7200
#define HALF_OPEN 60
#define FRAGMENT_LIFE 30 /* as long as the kernel waits for the rest */

enum {
	MARK_ASKED = 0,
	MARK_SPOKEN = 1,
	MARK_PROVEN = 2,   /* its client has completed the handshake (routed.h) */
	MARK_ANSWERED = 3, /* no flow, but the number that completes one */
};

static __always_inline struct slot_line *flow_line(__u64 hash)
{
	__u32 index = hash & (FLOW_LINES - 1);

	return bpf_map_lookup_elem(&flows, &index);
}

/* The key of a packet that came in: its destination is the local end. */
static __always_inline __u64 hash_inbound(enum key_kind kind, const struct flow *flow)
{
	return hash_flow(kind, &flow->destination, flow->destination_port, &flow->source, flow->source_port,
			 flow->protocol, flow->ipv6);
}

static __always_inline __u32 spoken_seconds(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? TCP_SPOKEN : protocol == IPPROTO_UDP ? UDP_SPOKEN : ECHO_ASKED;
}

/* Whether the line has it; if so, both ends have spoken now. Renewed at most every 1.1 s, so that a busy flow does not
 * write its line for every packet. */
static __always_inline int slot_spoken(struct slot_line *line, __u64 hash, __u32 now, __u32 expiry)
{
	__u64 *slot = line_find(line, hash, now);

	if (!slot)
		return 0;
	if (SLOT_MARK(*slot) == MARK_ASKED || SLOT_EXPIRY(*slot) + 4 < expiry)
		slot_renew(slot, expiry, MARK_SPOKEN);
	return 1;
}

/* Whether this host asked for it. An answer makes the flow one in which both have spoken. */
static __always_inline int is_answer(const struct flow *flow)
{
	__u64 hash = hash_inbound(KEY_FLOW, flow);
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(spoken_seconds(flow->protocol));
	struct slot_line *line = flow_line(hash);

	return line && slot_spoken(line, hash, now, expiry);
}

/* flow as it leaves: its source is the local end. first: it may begin a flow; else it only keeps one alive. */
static __always_inline void flow_left(const struct flow *flow, int first, __u32 asked_seconds)
{
	__u64 hash = hash_flow(KEY_FLOW, &flow->source, flow->source_port, &flow->destination, flow->destination_port,
			       flow->protocol, flow->ipv6);
	__u32 now = slot_time(now_ns()), expiry;
	struct slot_line *line = flow_line(hash);
	__u64 *slot;

	if (!line)
		return;
	slot = line_find(line, hash, now);
	if (!slot) {
		if (first)
			line_put(line, hash, now + slot_lifetime(asked_seconds), MARK_ASKED);
		return;
	}
	expiry = now + slot_lifetime(SLOT_MARK(*slot) == MARK_SPOKEN ? spoken_seconds(flow->protocol) : asked_seconds);
	if (SLOT_EXPIRY(*slot) + 4 < expiry)
		slot_renew(slot, expiry, SLOT_MARK(*slot));
}

/* Whether this host forwards, now: it may have begun after the policy was applied. Offline generation_own() decides. */
static __always_inline int host_forwards(void)
{
	__u32 zero = 0;
	const struct host_facts *facts;

	if (constants.offline)
		return 1;
	facts = bpf_map_lookup_elem(&host_facts, &zero);
	return facts && facts->forwards;
}

/* Connections of this host of which neither sockets nor conntrack tell: those that IPVS sends on, and those of sockets
 * that are bound to a VRF, which no look-up from a member of it finds. */
static __always_inline int hides_tcp(void)
{
	return constants.balances || constants.has_vrf;
}

/* Whether forwarded TCP, or hidden one, is followed here. Conntrack knows it better, but not what is bridged or routed
 * where no rule of the host asks for tracking; that matters only where `forward: services` judges it. */
static __always_inline int follows_tcp(void)
{
	if (constants.has_vrf)
		return 1;
	return (!constants.conntrack || constants.balances || constants.forward == FORWARD_SERVICES) && host_forwards();
}

static __always_inline struct slot_line *half_open_line(__u64 hash)
{
	__u32 index = hash & (HALF_OPEN_LINES - 1);

	return bpf_map_lookup_elem(&half_open, &index);
}

/* A SYN to a service passed on a host that forwards: its connection may have no socket here. */
static __always_inline void half_open_note(const struct flow *flow)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, flow);
	__u32 now = slot_time(now_ns());
	struct slot_line *line = half_open_line(hash);

	if (line && !line_find(line, hash, now))
		line_put(line, hash, now + slot_lifetime(HALF_OPEN), MARK_ASKED);
}

/* Its later segments: the first ACK promotes it. */
static __always_inline int half_open_known(const struct flow *flow)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, flow);
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(TCP_SPOKEN);
	struct slot_line *line = half_open_line(hash);

	return line && slot_spoken(line, hash, now, expiry);
}

/* Whether limits count connections that this host merely routes (routed.h): where it judges them. */
static __always_inline int counts_routed(void)
{
	return constants.have_open && constants.forward == FORWARD_SERVICES && !constants.offline;
}

/* Of the number that acknowledges a server's SYN-ACK, in the line of its flow: who sends it has got the answer, so its
 * source is not forged. Numbers and prints are one to one. */
static __always_inline __u64 hash_answer(__u64 flow_hash, __u32 acknowledged)
{
	return flow_hash ^ (__u64)(acknowledged * 0x9e3779b1u) << 32;
}

static __always_inline void fragment_note(const struct packet *pkt)
{
	__u64 hash = hash_fragment(pkt);
	__u32 index = hash & (FRAGMENT_LINES - 1), now = slot_time(now_ns());
	struct slot_line *line = bpf_map_lookup_elem(&fragments, &index);

	if (line && !line_find(line, hash, now))
		line_put(line, hash, now + slot_lifetime(FRAGMENT_LIFE), MARK_ASKED);
}

__noinline int judge_fragment(const struct packet *pkt)
{
	struct slot_line *line;
	__u64 hash;
	__u32 index;

	if (!pkt)
		return REASON_FRAGMENT_EARLY;
	hash = hash_fragment(pkt);
	index = hash & (FRAGMENT_LINES - 1);
	line = bpf_map_lookup_elem(&fragments, &index);
	if (line && line_find(line, hash, slot_time(now_ns())))
		return REASON_FRAGMENT;
	return within_budget(BUDGET_FRAGMENT) ? REASON_FRAGMENT_BUDGET : REASON_FRAGMENT_EARLY;
}

#endif
