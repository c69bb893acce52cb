/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When more SYNs come than cookies are sent (`syn-cookies: { replies: 100k/s }`). A reply costs this host several times
 * what a drop does, and one to a spoofed source is noise for whoever has that address, so strangers share a budget of
 * them. Over it two kinds go on, on budgets of their own: sources that have completed a handshake lately, and SYNs that
 * are sent again, as every TCP does after a second or three and as no flood does whose sources are all new. One that
 * repeats itself, or that forges known names, spends these budgets and nothing else.
 *
 * Asked before limits, because it is cheaper than they are and most of a flood ends here; it only looks. Who is
 * answered in the end takes from the budget (challenge.h), so what a limit drops has spent nothing.
 */
#ifndef BULWARK_OVERLOAD_H
#define BULWARK_OVERLOAD_H

#define UNANSWERED_TIME_MASK ((1u << UNANSWERED_TIME_BITS) - 1)
#define UNANSWERED_PRINTS ((1u << (16 - UNANSWERED_TIME_BITS)) - 1)
#define SYN_SPREAD 0x9e3779b97f4a7c15ULL /* 2^64 over the golden ratio: an odd number without a pattern */

/* The SYN's ports and sequence number, which stay as they are when it is sent again; 0: not in the linear part. */
static __always_inline __u64 syn_name(const struct xdp_md *ctx, const struct packet *pkt)
{
	const void *end = (void *)(long)ctx->data_end;
	const struct tcphdr *tcp;
	__u32 l4 = pkt->l4;

	if (l4 > HEADERS_END)
		return 0;
	tcp = (void *)(long)ctx->data + l4;
	if ((void *)(tcp + 1) > end)
		return 0;
	return (__u64)pkt->flow.source_port << 48 | (__u64)pkt->flow.destination_port << 32 | tcp->seq;
}

/* Whether a SYN came before and was not answered; from now on it has. source: keyed hash, so that nobody can choose
 * the place of another one's SYN; where a source puts its own is its own affair. */
static __always_inline int asks_again(__u64 source, __u64 name, __u64 now)
{
	__u64 hash = (source ^ name) * SYN_SPREAD;
	__u32 index = hash >> 48 & (UNANSWERED_LINES - 1), at = hash >> 43 & 31;
	__u32 print = ((hash >> 26 & 0xffff) * UNANSWERED_PRINTS >> 16) + 1, age; /* never 0 */
	__u32 unit = now >> UNANSWERED_TIME_SHIFT & UNANSWERED_TIME_MASK;
	struct unanswered_line *line = bpf_map_lookup_elem(&unanswered, &index);
	__u16 old, new = print << UNANSWERED_TIME_BITS | unit;

	if (!line)
		return 0;
	old = line->syn[at];
	if (old == new)
		return 0;
	line->syn[at] = new;
	age = (unit - old) & UNANSWERED_TIME_MASK;
	return old >> UNANSWERED_TIME_BITS == print && age && age <= UNANSWERED_UNITS_MOST;
}

/* A SYN to a service whose cookies are armed: whether there may be one for it. Says by whose budget. */
__noinline int may_be_answered(struct xdp_md *ctx, struct packet *pkt)
{
	const struct service_entry *service;
	struct cookie_cell *cell;
	__u64 now, hash;

	if (!pkt || !pkt->service || pkt->forwarded || (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return 1;
	now = now_ns();
	if (budget_has_room(BUDGET_COOKIES, now))
		return 1;
	service = service_in_force(pkt);
	if (!service || !(service->flags & SERVICE_COOKIES))
		return 1;
	cell = cookie_cell_of(service);
	if (!cell || !(service->flags & SERVICE_COOKIES_ALWAYS || cell_armed(cell, now)))
		return 1;
	arm(cell, now);
	hash = hash_known(&pkt->flow);
	if (is_known_by(hash, now) && budget_has_room(BUDGET_COOKIES_KNOWN, now))
		pkt->standing = STANDING_KNOWN;
	else if (asks_again(hash, syn_name(ctx, pkt), now) && budget_has_room(BUDGET_COOKIES_AGAIN, now))
		pkt->standing = STANDING_AGAIN;
	else
		pkt->rule = RULE_COOKIES;
	return pkt->standing != STANDING_STRANGER;
}

#endif
