/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who sent it: trusted, allowed for a time, banned, blocked. One look-up tells all lists. */
#ifndef BULWARK_SOURCES_H
#define BULWARK_SOURCES_H

/* A packet that proves its source: inside an open connection, or an answer to what this host asked. */
static __always_inline int is_proven(struct xdp_md *ctx, struct packet *pkt, const struct open_flow *noted)
{
	enum open open;

	if (pkt->fragment == FRAGMENT_LATER)
		return 0;
	if (pkt->flow.protocol == IPPROTO_UDP || is_icmp(&pkt->flow))
		return is_answer(&pkt->flow);
	if (pkt->flow.protocol != IPPROTO_TCP || (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return 0;
	open = packet_open(ctx, pkt, noted);
	pkt->open_before = open == OPEN_BEFORE;
	return open;
}

/* Trust is for packets that prove whose they are; those that do not share one budget, and over it are judged like
 * anybody's, so that forging a trusted name gains nothing and the real one is not locked out. */
static __always_inline enum reason judge_trusted(struct xdp_md *ctx, struct packet *pkt,
						 const struct class_entry *class, const struct open_flow *noted)
{
	if (!(class->flags & CLASS_TRUSTED))
		return REASON_NONE;
	if (!is_proven(ctx, pkt, noted) && !within_budget(BUDGET_TRUSTED))
		return REASON_NONE;
	pkt->rule = class->trusted_rule;
	return REASON_TRUSTED;
}

static __always_inline void would_drop(struct packet *pkt, enum reason why, __u16 rule)
{
	if (pkt->would)
		return;
	pkt->would = why;
	pkt->would_rule = rule;
}

static __always_inline enum reason judge_blocked(struct packet *pkt, const struct class_entry *class)
{
	if (class->flags & CLASS_BLOCK_IN_MONITOR)
		would_drop(pkt, REASON_BLOCKED, class->monitor_rule);
	if (!(class->flags & CLASS_BLOCK_IN))
		return REASON_NONE;
	pkt->rule = class->block_rule;
	return REASON_BLOCKED;
}

/* What the short way (at_once.h) found out of a packet that it left to the long one. */
struct early {
	const struct ethhdr *eth; /* of a usual frame; NULL: of another one, and nothing is known */
	__u32 class;
	int hold; /* HELD_* */
};

static __always_inline __u32 source_class_number(const struct packet *pkt, const struct early *early,
						 const struct open_flow *noted)
{
	if (early->eth)
		return early->class;
	return noted ? noted->class : class_of(&pkt->flow.source, pkt->flow.ipv6);
}

static __always_inline enum reason judge_source(struct xdp_md *ctx, struct packet *pkt, const struct early *early,
						const struct open_flow *noted, __u64 *lists)
{
	__u32 number = source_class_number(pkt, early, noted);
	const struct class_entry *class = class_at(number, pkt->flow.zone);
	enum reason why;
	int hold;

	pkt->class = number;
	if (class) {
		*lists = class->lists;
		pkt->checks = constants.have_health_checks && class->flags & CLASS_HEALTH_CHECK;
		why = judge_trusted(ctx, pkt, class, noted);
		if (why)
			return why;
	}
	hold = early->hold == HELD_UNKNOWN ? held(&pkt->flow.source) : early->hold;
	if (hold == HELD_ALLOWED)
		return REASON_ALLOWED;
	/* a list may spare it since: then what the shield did by itself no longer holds */
	if (hold == HELD_BANNED || (hold == HELD_AUTOMATIC && !(class && class->flags & CLASS_SPARED)))
		return class && pkt->checks && judge_blocked(pkt, class) ? REASON_BLOCKED : REASON_BANNED;
	return class ? judge_blocked(pkt, class) : REASON_NONE;
}

/* Whether judgement ends with what is known of the source: an exception goes on to exposure, and so does a health
 * check that is banned, for a ban does not close declared ports to it. */
static __always_inline int source_decides(const struct packet *pkt, enum reason source)
{
	return source && source != REASON_ALLOWED && !(source == REASON_BANNED && pkt->checks);
}

/* Health checks of declared ports are not refused by bans, limits, SYN cookies and what is asked of first bytes; beyond
 * the cap that all of them share, they are judged like anybody. */
static __always_inline enum reason judge_health_check(struct packet *pkt, enum reason source, enum reason why)
{
	if ((why == REASON_SERVICE || why == REASON_ESTABLISHED) && within_budget(BUDGET_HEALTH_CHECK))
		return REASON_HEALTH_CHECK;
	if (source != REASON_BANNED)
		return REASON_NONE;
	pkt->service = pkt->row = pkt->rule = pkt->pass_anyway = 0;
	return REASON_BANNED;
}

#endif
