/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that the kernel's look-up found established a moment ago, and what this generation's tables say of their
 * ends: their data asks neither again for every segment. What begins or ends a connection (SYN, FIN, RST) is never
 * answered from here.
 *
 * The tables of a generation do not change, so what they said stays true. What can be wrong is an end: data of a
 * connection that has just ended passes for OPEN_LATELY_TICKS at most, and the kernel resets it, as it resets strays.
 * Where something is asked of how connections begin, one that begins must not be taken for an older one with the same
 * ends: sockops tells each end in `closings` before the kernel lets the ends be used again, and what was noted of the
 * connection is believed no more.
 * Only what was proven is noted, and an entry stays until its time is over, so nobody who forges addresses can push
 * others out, and more connections than entries do not push each other out by turns. Who opens connections so that they
 * meet one entry gains that the kernel is asked, so the place in the table need not be secret.
 */
#ifndef BULWARK_OPEN_LATELY_H
#define BULWARK_OPEN_LATELY_H

#define OPEN_LATELY_TICKS 64 /* of jiffies: 64 to 640 ms */
#define OPEN_LATELY_BITS 12
#define OPEN_LATELY_A_BLOCK 512
#define CLOSING_TICKS 4 /* until a socket that has told its end is found no more */

struct open_flow {
	union address source, destination;
	__u64 ends;	   /* [interface:32][source port:16][destination port:16] */
	__u64 until : 63;  /* jiffies; 0: free */
	__u64 settled : 1; /* as packet.h has it, and its socket tells its end */
	__u64 source_hash; /* hash_whole_source(), where limits want it */
	__u16 class;	   /* of the source */
	__u16 service;	   /* index, 0: none */
	__u32 zone;
};
struct open_block {
	struct open_flow flow[OPEN_LATELY_A_BLOCK];
};
_Static_assert(sizeof(struct open_block) <= 32768, "what per-CPU memory gives in one piece");

/* Written and read here only, by each CPU its own, which sees all packets of a flow: no locks. Of a generation, so what
 * another policy found is forgotten. In blocks of 32 KiB, 256 KiB a CPU, one block offline, where nobody asks. Full: a
 * connection whose place is taken asks the kernel. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, (1 << OPEN_LATELY_BITS) / OPEN_LATELY_A_BLOCK);
	__type(key, __u32);
	__type(value, struct open_block);
} open_lately SEC(".maps");

static __always_inline __u64 open_ends(const struct xdp_md *ctx, const struct flow *flow)
{
	return (__u64)ctx->ingress_ifindex << 32 | (__u32)flow->source_port << 16 | flow->destination_port;
}

/* Where a flow is noted, if it is; NULL: nowhere. */
static __always_inline struct open_flow *open_place(const struct flow *flow, __u64 ends)
{
	__u64 mix = flow->source.half[0] ^ flow->source.half[1] ^ flow->destination.half[1];
	__u32 index = ((mix ^ mix >> 32) + ends) * 0x9e3779b97f4a7c15ULL >> (64 - OPEN_LATELY_BITS);
	__u32 block_number = index / OPEN_LATELY_A_BLOCK;
	struct open_block *block = bpf_map_lookup_elem(&open_lately, &block_number);

	return block ? &block->flow[index % OPEN_LATELY_A_BLOCK] : NULL;
}

static __always_inline int is_noted(const struct open_flow *place, const struct flow *flow, __u64 ends)
{
	return !((place->source.half[0] ^ flow->source.half[0]) | (place->source.half[1] ^ flow->source.half[1]) |
		 (place->destination.half[0] ^ flow->destination.half[0]) |
		 (place->destination.half[1] ^ flow->destination.half[1]) | (place->ends ^ ends));
}

/* Whether something depends on which segments begin a connection. */
static __always_inline int asks_beginnings(void)
{
	return constants.have_tls || constants.cookies.format || constants.have_open;
}

/* Whether sockets are asked to tell their ends (sockops.h). */
static __always_inline int hears_closings(void)
{
	return constants.have_open || constants.have_accounts;
}

/* Of all connections between these; that some others share it costs them a look-up. word, port: of the peer; what IPv6
 * has in front of it says nothing more. */
static __always_inline __u64 *closing_place(__u32 word, __u16 port, __u16 local_port)
{
	__u64 peer = (__u64)word << 32 | (__u32)port << 16 | local_port;
	__u32 index = peer * 0x9e3779b97f4a7c15ULL >> (64 - CLOSING_BITS);

	return bpf_map_lookup_elem(&closings, &index);
}

/* Whether such a connection has ended since this was noted. */
static __always_inline int closed_since(const struct flow *flow, const struct open_flow *noted)
{
	const __u64 *until = closing_place(flow->source.word[3], flow->source_port, flow->destination_port);

	return !until || noted->until - OPEN_LATELY_TICKS <= *until;
}

/* Whether its data asks the kernel no more. Where ClientHellos are judged that is one that has settled. */
static __always_inline int vouches(const struct flow *flow, const struct open_flow *noted)
{
	if (constants.have_tls && !noted->settled)
		return 0;
	return !asks_beginnings() || !hears_closings() || !closed_since(flow, noted);
}

/* Data in the middle of a connection, or what acknowledges it. */
static __always_inline int may_be_noted(const struct packet *pkt)
{
	return !constants.offline && (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_ACK;
}

/* What is noted of the packet's connection, or NULL. */
static __always_inline const struct open_flow *noted_flow(const struct xdp_md *ctx, const struct packet *pkt)
{
	const struct open_flow *place;
	__u64 ends;

	if (!may_be_noted(pkt))
		return NULL;
	ends = open_ends(ctx, &pkt->flow);
	place = open_place(&pkt->flow, ends);
	if (!place || !is_noted(place, &pkt->flow, ends) || place->until <= bpf_jiffies64())
		return NULL;
	return constants.have_zones && place->zone != pkt->flow.zone ? NULL : place;
}

/* The kernel has found it established. A function of its own: few packets come here. now: in jiffies, before it was
 * asked, so that an end that is told meanwhile comes later. */
__noinline int note_open(const struct xdp_md *ctx, const struct packet *pkt, __u64 now)
{
	__u64 ends;
	const struct flow *flow;
	struct open_flow *place;
	__u16 service = 0;

	if (!pkt)
		return 0;
	flow = &pkt->flow;
	ends = open_ends(ctx, flow);
	place = open_place(flow, ends);
	if (!place || (place->until > now && !is_noted(place, flow, ends)))
		return 0; /* another one's */
	place->source = flow->source;
	place->destination = flow->destination;
	place->ends = ends;
	if (constants.have_limits)
		place->source_hash = hash_whole_source(flow);
	place->class = pkt->class;
	place->service = service_of(flow, &service) ? service : 0;
	place->zone = flow->zone;
	place->settled = pkt->settled && pkt->tells_end;
	place->until = now + OPEN_LATELY_TICKS;
	return 0;
}

/* A SYN was let in or answered with a cookie: where something depends on the ACK that completes its handshake, that one
 * must not be taken for data of an older connection with the same ends. */
static __always_inline void forget_open(const struct xdp_md *ctx, const struct flow *flow)
{
	struct open_flow *place;
	__u64 ends;

	if (!asks_beginnings())
		return;
	ends = open_ends(ctx, flow);
	place = open_place(flow, ends);
	if (place && is_noted(place, flow, ends))
		place->until = 0;
}

#endif
