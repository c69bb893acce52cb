/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exposure: only declared services, answers to what this host asked for, and open connections. Nothing here can be
 * passed by `allow`: an exception is one from bans, blocks and limits.
 */
#ifndef BULWARK_EXPOSURE_H
#define BULWARK_EXPOSURE_H

static __always_inline int is_group(const union address *address, int ipv6)
{
	return ipv6 ? address->byte[0] == 0xff
		    : (address->byte[12] & 0xf0) == 224 || address->word[3] == bpf_htonl(0xffffffff);
}

/* The route decides where the set of own addresses is silent (an address younger than what the controller knows). A
 * function of its own: its stack must not add to that of judge_icmp() (512 bytes for all callers). */
__noinline int routed_elsewhere(struct xdp_md *ctx, const struct packet *pkt)
{
	const struct flow *flow = &pkt->flow;
	struct bpf_fib_lookup fib = {};
	long answer;

	if (!pkt)
		return 0;
	fib.family = flow->ipv6 ? 10 : 2; /* AF_INET6, AF_INET */
	fib.l4_protocol = flow->protocol;
	fib.tot_len = 0;
	fib.ifindex = ctx->ingress_ifindex;
	if (flow->ipv6) {
		__builtin_memcpy(fib.ipv6_src, &flow->source, 16);
		__builtin_memcpy(fib.ipv6_dst, &flow->destination, 16);
	} else {
		fib.ipv4_src = flow->source.word[3];
		fib.ipv4_dst = flow->destination.word[3];
	}
	answer = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return answer >= 0 && answer != BPF_FIB_LKUP_RET_NOT_FWDED && answer != BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* Whether the packet is for somebody behind this host. */
static __always_inline int is_forwarded(struct xdp_md *ctx, const struct packet *pkt)
{
	const struct interface_entry *interface;
	union address destination;

	if (!host_forwards() || is_group(&pkt->flow.destination, pkt->flow.ipv6))
		return 0;
	/* On the stack: to the verifier of 6.1 memory behind a function's argument is no key. */
	destination = pkt->flow.destination;
	if (bpf_map_lookup_elem(&own_addresses, &destination))
		return 0;
	if (constants.offline)
		return own_known;
	interface = interface_find(ctx->ingress_ifindex);
	if (interface && interface->ifindex == ctx->ingress_ifindex && interface->flags & INTERFACE_FORWARDS)
		return 1;
	return routed_elsewhere(ctx, pkt);
}

static __always_inline enum reason judge_forwarded(struct packet *pkt)
{
	pkt->rule = RULE_FORWARD;
	if (constants.forward == FORWARD_PASS)
		return REASON_FORWARDED;
	return constants.forward == FORWARD_DROP ? REASON_FORWARD_REFUSED : REASON_NONE;
}

static __always_inline int admits(const struct packet *pkt, const struct service_entry *service, __u64 lists)
{
	return service && (!service->allow || service->allow & lists) && (!service->ttl || pkt->ttl == service->ttl);
}

/* New traffic to a port: is it declared, and for this source? */
static __always_inline enum reason judge_service(struct packet *pkt, const struct service_entry *service, __u64 lists)
{
	if (!service) {
		pkt->rule = RULE_DEFAULT;
		pkt->pass_anyway = constants.default_pass;
		return REASON_UNEXPOSED;
	}
	pkt->rule = service->rule;
	if (!admits(pkt, service, lists)) {
		if (!(service->flags & SERVICE_MONITOR))
			return REASON_NOT_ALLOWED;
		would_drop(pkt, REASON_NOT_ALLOWED, service->rule);
	}
	return REASON_SERVICE;
}

static __always_inline enum reason judge_tcp(struct xdp_md *ctx, struct packet *pkt,
					     const struct service_entry *service, __u64 lists, int forwarded,
					     const struct open_flow *noted)
{
	enum reason why;
	enum open open;

	if ((pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		why = judge_service(pkt, service, lists);
		/* what comes to an address of ours and goes on by DNAT is tracked, where there is conntrack */
		if (why == REASON_SERVICE && follows_tcp() && (forwarded || !constants.conntrack || hides_tcp()) &&
		    !constants.offline)
			half_open_note(&pkt->flow);
		return why;
	}
	open = packet_open(ctx, pkt, noted);
	if (open) {
		pkt->open_before = open == OPEN_BEFORE;
		if (service) {
			pkt->rule = service->rule;
			pkt->proven = 1;
		}
		return service ? REASON_ESTABLISHED : REASON_ANSWER;
	}
	pkt->rule = RULE_STRAY;
	/* the kernel resets it: what a peer of a connection that died here needs to know, up to a rate */
	pkt->pass_anyway = constants.stray_pass || within_budget(BUDGET_STRAY);
	return REASON_STRAY;
}

__noinline int judge_udp(struct packet *pkt, const struct service_entry *service, __u64 lists)
{
	int reflected, admitted;

	if (!pkt)
		return REASON_UNEXPOSED;
	reflected = is_reflected(&pkt->flow, service);
	admitted = admits(pkt, service, lists);
	/* an answer needs no service; where one admits the packet anyway the look-up is saved */
	if ((!admitted || reflected) && is_answer(&pkt->flow))
		return REASON_ANSWER;
	if (!reflected || (service && !admitted))
		return judge_service(pkt, service, lists);
	pkt->rule = service ? service->rule : RULE_DEFAULT;
	if (service && service->flags & SERVICE_MONITOR) {
		would_drop(pkt, REASON_AMPLIFICATION, service->rule);
		return REASON_SERVICE;
	}
	pkt->pass_anyway = !service && constants.default_pass;
	return REASON_AMPLIFICATION;
}

static __always_inline struct service_entry *noted_service(struct packet *pkt, const struct open_flow *noted)
{
	if (!noted)
		return service_of(&pkt->flow, &pkt->service);
	pkt->service = noted->service;
	return pkt->service ? service_at(pkt->service) : NULL;
}

/* REASON_NONE for ICMP, which judge_icmp() is asked about. Inlined for TCP's sake; what hashes is a function of its
 * own. */
static __always_inline int judge_exposure(struct xdp_md *ctx, struct packet *pkt, __u64 lists,
					  const struct open_flow *noted)
{
	const struct flow *flow;
	const struct service_entry *service;
	enum reason why;
	int forwarded;

	if (!pkt)
		return REASON_UNEXPOSED;
	flow = &pkt->flow;
	forwarded = !noted && is_forwarded(ctx, pkt);
	pkt->forwarded = !!forwarded;
	if (forwarded) {
		why = judge_forwarded(pkt);
		if (why)
			return why;
	}
	if (pkt->fragment == FRAGMENT_LATER)
		return judge_fragment(pkt);
	if (is_icmp(flow))
		return REASON_NONE;
	service = noted_service(pkt, noted);
	if (service)
		pkt->row = service->row;
	else
		pkt->service = 0;
	if (flow->protocol == IPPROTO_TCP)
		return judge_tcp(ctx, pkt, service, lists, forwarded, noted);
	if (flow->protocol == IPPROTO_UDP)
		return judge_udp(pkt, service, lists);
	return judge_service(pkt, service, lists);
}

#endif
