/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The floor, which no policy can remove, and the addresses that cannot be. */
#ifndef BULWARK_FLOOR_H
#define BULWARK_FLOOR_H

static __always_inline int is_link_local(const union address *address)
{
	return (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline int is_unspecified(const union address *address)
{
	return !address->half[0] && !address->half[1];
}

/* Neighbour and router discovery (RFC 4861): from this link only (hop limit 255, no fragments: RFC 6980); routers
 * speak from link-local addresses. */
static __always_inline enum reason judge_discovery(const struct packet *pkt)
{
	if (pkt->ttl != 255 || pkt->icmp_code || pkt->fragment)
		return REASON_MALFORMED_ND;
	if ((pkt->icmp_type == 134 || pkt->icmp_type == 137) && !is_link_local(&pkt->flow.source))
		return REASON_MALFORMED_ND;
	return REASON_FLOOR;
}

static __always_inline enum reason judge_floor_v6(const struct packet *pkt)
{
	const struct flow *flow = &pkt->flow;

	if (flow->protocol == IPPROTO_ICMPV6) {
		__u8 type = pkt->icmp_type;

		if (type >= 133 && type <= 137)
			return judge_discovery(pkt);
		/* MLD (RFC 3810): hop limit 1, from link-local or nobody */
		if ((type >= 130 && type <= 132) || type == 143)
			return pkt->ttl == 1 && (is_link_local(&flow->source) || is_unspecified(&flow->source))
				       ? REASON_FLOOR
				       : REASON_ICMP_TYPE;
	}
	if (flow->protocol == IPPROTO_UDP && flow->source_port == 547 && flow->destination_port == 546 &&
	    is_link_local(&flow->source))
		return REASON_FLOOR;
	return REASON_NONE;
}

static __always_inline enum reason judge_floor_v4(const struct packet *pkt)
{
	const struct flow *flow = &pkt->flow;

	if (flow->protocol == IPPROTO_TCP)
		return REASON_NONE;
	if (flow->protocol == IPPROTO_IGMP && (flow->destination.byte[12] & 0xf0) == 224 && pkt->ttl == 1)
		return REASON_FLOOR;
	if (flow->protocol == IPPROTO_UDP && flow->source_port == 67 && flow->destination_port == 68)
		return REASON_FLOOR;
	return REASON_NONE;
}

static __always_inline enum reason judge_floor(const struct packet *pkt)
{
	if (pkt->fragment == FRAGMENT_LATER)
		return REASON_NONE;
	return pkt->flow.ipv6 ? judge_floor_v6(pkt) : judge_floor_v4(pkt);
}

/* A DHCP client asks from 0.0.0.0; whether this host serves it is a question of exposure. */
static __always_inline int asks_dhcp(const struct flow *flow)
{
	return flow->protocol == IPPROTO_UDP && flow->source_port == 68 && flow->destination_port == 67;
}

static __always_inline enum reason judge_addresses_v4(const struct flow *flow)
{
	__u32 source = bpf_ntohl(flow->source.word[3]), net = source >> 24;
	__u32 destination_net = flow->destination.byte[12];

	if (net >= 224 && (net < 240 || source == 0xffffffff))
		return REASON_MALFORMED_SOURCE;
	if (net == 127 || (!net && (source || !asks_dhcp(flow))))
		return REASON_MALFORMED_SOURCE;
	if (!destination_net || destination_net == 127)
		return REASON_MALFORMED_DESTINATION;
	return REASON_NONE;
}

/* Unspecified, loopback or IPv4-mapped: never on the wire (RFC 4291; a mapped one would pass for IPv4 here). */
static __always_inline int never_on_the_wire(const union address *address)
{
	if (address->half[0])
		return 0;
	return !address->half[1] || address->half[1] == bpf_cpu_to_be64(1) || is_mapped(address);
}

static __always_inline enum reason judge_addresses_v6(const struct flow *flow)
{
	if (flow->source.byte[0] == 0xff || never_on_the_wire(&flow->source))
		return REASON_MALFORMED_SOURCE;
	return never_on_the_wire(&flow->destination) ? REASON_MALFORMED_DESTINATION : REASON_NONE;
}

static __always_inline enum reason judge_addresses(const struct flow *flow)
{
	enum reason why = flow->ipv6 ? judge_addresses_v6(flow) : judge_addresses_v4(flow);

	if (why)
		return why;
	if (flow->source_port == flow->destination_port && same_address(&flow->source, &flow->destination) &&
	    (flow->protocol == IPPROTO_TCP || flow->protocol == IPPROTO_UDP))
		return REASON_MALFORMED_LAND;
	return REASON_NONE;
}

#endif
