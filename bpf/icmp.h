/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6: echo within its rate, answers to our own echoes, errors that quote a flow of ours. An error that
 * quotes only a declared port passes at a small rate: behind ECMP the router that says "packet too big" may quote a
 * flow that another node has.
 */
#ifndef BULWARK_ICMP_H
#define BULWARK_ICMP_H

enum icmp_kind { ICMP_IS_OTHER, ICMP_IS_REQUEST, ICMP_IS_REPLY, ICMP_IS_ERROR };

static __always_inline enum icmp_kind icmp_kind(const struct packet *pkt)
{
	if (pkt->flow.ipv6)
		return pkt->icmp_type == 128			    ? ICMP_IS_REQUEST
		       : pkt->icmp_type == 129			    ? ICMP_IS_REPLY
		       : pkt->icmp_type >= 1 && pkt->icmp_type <= 4 ? ICMP_IS_ERROR
								    : ICMP_IS_OTHER;
	switch (pkt->icmp_type) {
	case 8:
		return ICMP_IS_REQUEST;
	case 0:
		return ICMP_IS_REPLY;
	case 3:	 /* unreachable, fragmentation needed */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
		return ICMP_IS_ERROR;
	default: /* redirects, source quench and their like: no host needs them from outside */
		return ICMP_IS_OTHER;
	}
}

struct quoted_v4 {
	struct iphdr ip;
	__be16 source, destination;
	__be16 rest[2];
};
struct quoted_v6 {
	struct ipv6hdr ip;
	__be16 source, destination;
	__be16 rest[2];
};
struct quoted_v6_fragment {
	struct ipv6hdr ip;
	__u8 next, unused;
	__be16 offset; /* and flags */
	__be32 id;
	__be16 source, destination;
	__be16 rest[2];
};

/* ports: the first eight bytes of the quoted transport header. The quoted packet is one that we sent: its source is
 * the local end, so the flow as it would come in has the ends the other way round. */
static __always_inline void quoted_ports(struct flow *flow, const __be16 *ports)
{
	flow->destination_port = bpf_ntohs(ports[0]);
	flow->source_port = bpf_ntohs(ports[1]);
	if (is_icmp(flow)) /* type, code, checksum, identifier */
		flow->destination_port = flow->source_port = bpf_ntohs(ports[2]);
}

/* left: bytes of the datagram from here on; padding behind it quotes nothing. */
static __always_inline int parse_quote_v4(void *at, void *end, __u32 left, struct flow *flow)
{
	struct iphdr *ip = at;
	struct quoted_v4 *quoted;
	__u32 header;

	if ((void *)(ip + 1) > end)
		return 0;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || bpf_ntohs(ip->frag_off) & 0x1fff)
		return 0;
	if (left < header + sizeof(*quoted) - sizeof(*ip))
		return 0;
	/* so that ports stand behind the header whatever options it has */
	quoted = at + header - sizeof(*ip);
	if ((void *)(quoted + 1) > end)
		return 0;
	address_from_v4(&flow->source, ip->daddr);
	address_from_v4(&flow->destination, ip->saddr);
	flow->protocol = ip->protocol;
	quoted_ports(flow, &quoted->source);
	return 1;
}

static __always_inline int parse_quote_v6(void *at, void *end, __u32 left, struct flow *flow)
{
	struct quoted_v6 *quoted = at;
	struct quoted_v6_fragment *fragment = at;

	if (left < sizeof(*quoted) || (void *)(quoted + 1) > end || quoted->ip.version != 6)
		return 0;
	__builtin_memcpy(&flow->source, &quoted->ip.daddr, sizeof(flow->source));
	__builtin_memcpy(&flow->destination, &quoted->ip.saddr, sizeof(flow->destination));
	flow->protocol = quoted->ip.nexthdr;
	flow->ipv6 = 1;
	if (flow->protocol != IPPROTO_FRAGMENT) {
		quoted_ports(flow, &quoted->source);
		return 1;
	}
	/* what we sent in fragments and was too big all the same: the first one has the ports */
	if (left < sizeof(*fragment) || (void *)(fragment + 1) > end || fragment->offset & bpf_htons(0xfff8))
		return 0;
	flow->protocol = fragment->next;
	quoted_ports(flow, &fragment->source);
	return 1;
}

static __always_inline int parse_quote(struct xdp_md *ctx, const struct packet *pkt, struct flow *flow)
{
	void *end = (void *)(long)ctx->data_end, *at;
	__u32 offset = pkt->l4 + sizeof(struct icmphdr), left = pkt->l4_length - sizeof(struct icmphdr);

	if (offset > 4096)
		return 0;
	at = (void *)(long)ctx->data + offset;
	return pkt->flow.ipv6 ? parse_quote_v6(at, end, left, flow) : parse_quote_v4(at, end, left, flow);
}

static __always_inline enum reason judge_icmp_error(struct xdp_md *ctx, const struct packet *pkt)
{
	struct flow quoted = {};
	__u16 service;

	if (!parse_quote(ctx, pkt, &quoted))
		return REASON_ICMP_UNRELATED;
	if (quoted.protocol == IPPROTO_TCP && connection_open(ctx, &quoted, NULL))
		return REASON_ICMP_ERROR;
	if (quoted.protocol != IPPROTO_TCP && is_answer(&quoted))
		return REASON_ICMP_ERROR;
	quoted.zone = pkt->flow.zone;
	if (!same_address(&quoted.destination, &pkt->flow.destination) || !service_of(&quoted, &service))
		return REASON_ICMP_UNRELATED;
	return within_budget(BUDGET_ICMP_ERROR) ? REASON_ICMP_DECLARED : REASON_ICMP_UNRELATED;
}

__noinline int judge_icmp(struct xdp_md *ctx, struct packet *pkt)
{
	if (!pkt)
		return REASON_ICMP_TYPE;
	pkt->rule = RULE_ICMP;
	switch (icmp_kind(pkt)) {
	case ICMP_IS_REQUEST:
		return within_budget(BUDGET_ECHO) ? REASON_ICMP_ECHO : REASON_ICMP_RATE;
	case ICMP_IS_REPLY:
		return is_answer(&pkt->flow) ? REASON_ANSWER : REASON_ICMP_UNRELATED;
	case ICMP_IS_ERROR:
		return judge_icmp_error(ctx, pkt);
	default:
		return REASON_ICMP_TYPE;
	}
}

#endif
