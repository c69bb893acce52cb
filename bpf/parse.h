/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frame -> struct packet. Every bounds check of the packet path lives here (and in quote.h for what an ICMP error
 * quotes). A parser returns REASON_NONE to go on, or the reason that ends the judgement.
 */
#ifndef BULWARK_PARSE_H
#define BULWARK_PARSE_H

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define VLAN_TAGS 2
#define HEADERS_END                                                                                                    \
	2048 /* where the transport header may begin at the latest; the linear part of a frame reaches further */
#define EXTENSION_HEADERS 8 /* walked at most; no stack sends more */

#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60
#define IPPROTO_MH 135
#define IPPROTO_HIP 139
#define IPPROTO_SHIM6 140

struct cursor {
	void *start, *pos, *end;
};

struct vlan_tag {
	__be16 tci, type;
};

struct extension_header {
	__u8 next, length, type, segments_left;
	__be32 rest;
};

/* The type behind the Ethernet header and up to two VLAN tags, in host order. */
static __always_inline enum reason parse_ethernet(struct cursor *at, struct packet *pkt, __u16 *type)
{
	struct ethhdr *eth = at->pos;

	if ((void *)(eth + 1) > at->end)
		return REASON_MALFORMED_ETHERNET;
	at->pos = eth + 1;
	*type = bpf_ntohs(eth->h_proto);
	for (int i = 0; i < VLAN_TAGS; i++) {
		struct vlan_tag *tag = at->pos;

		if (*type != ETHERTYPE_VLAN && *type != ETHERTYPE_QINQ)
			break;
		if ((void *)(tag + 1) > at->end)
			return REASON_MALFORMED_ETHERNET;
		at->pos = tag + 1;
		*type = bpf_ntohs(tag->type);
		if (!i)
			pkt->vlan = bpf_ntohs(tag->tci) & 0xfff;
	}
	return *type == ETHERTYPE_VLAN || *type == ETHERTYPE_QINQ ? REASON_UNPARSED_VLAN : REASON_NONE;
}

static __always_inline enum reason note_fragment(struct packet *pkt, __u32 offset, int more)
{
	if (!offset && !more)
		return REASON_NONE;
	pkt->fragment = offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
	if (offset + pkt->l4_length > 65535 || (more && (pkt->l4_length & 7 || !pkt->l4_length)))
		return REASON_FRAGMENT_BOGUS;
	return REASON_NONE;
}

/* Whether the frame holds what the header promises. data_end ends the linear part only: a jumbo frame goes on in
 * fragments, which is asked only where it matters. */
static __always_inline int frame_holds(struct xdp_md *ctx, struct packet *pkt, __u32 total)
{
	if (total <= pkt->length - pkt->l3)
		return 1;
	pkt->length = bpf_xdp_get_buff_len(ctx);
	return total <= pkt->length - pkt->l3;
}

static __always_inline enum reason parse_ipv4(struct xdp_md *ctx, struct cursor *at, struct packet *pkt)
{
	struct iphdr *ip = at->pos;
	__u32 header, total, offset;

	if ((void *)(ip + 1) > at->end)
		return REASON_MALFORMED_IPV4;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header || !frame_holds(ctx, pkt, total))
		return REASON_MALFORMED_IPV4;
	address_from_v4(&pkt->flow.source, ip->saddr);
	address_from_v4(&pkt->flow.destination, ip->daddr);
	pkt->flow.protocol = ip->protocol;
	pkt->ttl = ip->ttl;
	pkt->l4 = pkt->l3 + header;
	pkt->l4_length = total - header;
	offset = bpf_ntohs(ip->frag_off);
	pkt->fragment_id = bpf_ntohs(ip->id);
	return note_fragment(pkt, (offset & 0x1fff) * 8, offset & 0x2000);
}

/* One extension header: its length in bytes, or 0 when `next` is not one that is walked. */
static __always_inline __u32 extension_length(const struct extension_header *header, __u8 next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case IPPROTO_HIP:
	case IPPROTO_SHIM6:
		return (header->length + 1) * 8;
	case IPPROTO_AH:
		return (header->length + 2) * 4;
	case IPPROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

static __always_inline int is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_MH ||
	       next == IPPROTO_HIP || next == IPPROTO_SHIM6 || next == IPPROTO_AH || next == IPPROTO_FRAGMENT;
}

/* The extension header at pkt->l4, of the kind pkt->flow.protocol: what stands behind it takes its place. */
static __always_inline enum reason step_extension(struct xdp_md *ctx, struct packet *pkt, int first)
{
	void *end = (void *)(long)ctx->data_end;
	__u32 at = pkt->l4, left = pkt->l4_length, size;
	struct extension_header *header;
	__u8 kind = pkt->flow.protocol;

	if (left < sizeof(*header))
		return REASON_MALFORMED_EXTENSION;
	if (at > HEADERS_END)
		return REASON_UNPARSED_EXTENSION;
	header = (void *)(long)ctx->data + at;
	if ((void *)(header + 1) > end)
		return REASON_UNPARSED_EXTENSION;
	/* RFC 8200 4.1: hop-by-hop options only come first; RFC 5095: no routing header of type 0 */
	if ((kind == IPPROTO_HOPOPTS && !first) || (kind == IPPROTO_ROUTING && !header->type))
		return REASON_MALFORMED_EXTENSION;
	size = extension_length(header, kind);
	if (size > left)
		return REASON_MALFORMED_EXTENSION;
	pkt->extensions = 1;
	pkt->l4 = at + size;
	pkt->l4_length = left - size;
	pkt->flow.protocol = header->next;
	if (kind != IPPROTO_FRAGMENT)
		return REASON_NONE;
	/* next:8 reserved:8 offset:13 unused:2 more:1 id:32 */
	size = header->type << 8 | header->segments_left;
	pkt->fragment_id = bpf_ntohl(header->rest);
	return note_fragment(pkt, size & 0xfff8, size & 1);
}

/* All that the walk knows is kept in *pkt, whose content the verifier does not follow: the rounds look alike to it. */
__noinline int walk_extensions(struct xdp_md *ctx, struct packet *pkt)
{
	enum reason why;

	if (!pkt)
		return REASON_UNPARSED_EXTENSION;
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		if (pkt->fragment == FRAGMENT_LATER || !is_extension(pkt->flow.protocol))
			return REASON_NONE;
		why = step_extension(ctx, pkt, !i);
		if (why)
			return why;
	}
	if (pkt->fragment == FRAGMENT_LATER)
		return REASON_NONE;
	return is_extension(pkt->flow.protocol) ? REASON_UNPARSED_EXTENSION : REASON_NONE;
}

static __always_inline enum reason parse_ipv6(struct xdp_md *ctx, struct cursor *at, struct packet *pkt)
{
	struct ipv6hdr *ip = at->pos;
	__u32 left;

	if ((void *)(ip + 1) > at->end)
		return REASON_MALFORMED_IPV6;
	left = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || !frame_holds(ctx, pkt, left + sizeof(*ip)))
		return REASON_MALFORMED_IPV6;
	address_from_v6(&pkt->flow.source, &ip->saddr);
	address_from_v6(&pkt->flow.destination, &ip->daddr);
	pkt->flow.ipv6 = 1;
	pkt->flow.protocol = ip->nexthdr;
	pkt->ttl = ip->hop_limit;
	pkt->l4 = pkt->l3 + sizeof(*ip);
	pkt->l4_length = left;
	return is_extension(ip->nexthdr) ? walk_extensions(ctx, pkt) : REASON_NONE;
}

/* SYN with FIN or RST, FIN with RST, and neither SYN nor ACK nor RST: no stack sends these. */
static __always_inline int impossible_flags(__u8 flags)
{
	if (flags & TCP_SYN)
		return flags & (TCP_FIN | TCP_RST);
	return !(flags & (TCP_ACK | TCP_RST)) || (flags & (TCP_FIN | TCP_RST)) == (TCP_FIN | TCP_RST);
}

static __always_inline enum reason parse_tcp(struct cursor *at, struct packet *pkt)
{
	struct tcphdr *tcp = at->pos;
	enum reason shortened = pkt->fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_TCP;

	if (pkt->l4_length < sizeof(*tcp) || (void *)(tcp + 1) > at->end)
		return shortened;
	if (tcp->doff < 5)
		return REASON_MALFORMED_TCP;
	if (tcp->doff * 4 > pkt->l4_length)
		return shortened;
	pkt->tcp_flags = ((__u8 *)tcp)[13];
	pkt->flow.source_port = bpf_ntohs(tcp->source);
	pkt->flow.destination_port = bpf_ntohs(tcp->dest);
	if (impossible_flags(pkt->tcp_flags))
		return REASON_MALFORMED_TCP_FLAGS;
	return pkt->flow.source_port && pkt->flow.destination_port ? REASON_NONE : REASON_MALFORMED_PORT;
}

static __always_inline enum reason parse_udp(struct cursor *at, struct packet *pkt)
{
	struct udphdr *udp = at->pos;
	__u32 length;

	if (pkt->l4_length < sizeof(*udp) || (void *)(udp + 1) > at->end)
		return pkt->fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_UDP;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || (!pkt->fragment && length > pkt->l4_length))
		return REASON_MALFORMED_UDP;
	pkt->flow.source_port = bpf_ntohs(udp->source);
	pkt->flow.destination_port = bpf_ntohs(udp->dest);
	/* a source port of 0 is lawful (RFC 768: "if not used, a value of zero") */
	return pkt->flow.destination_port ? REASON_NONE : REASON_MALFORMED_PORT;
}

static __always_inline enum reason parse_icmp(struct cursor *at, struct packet *pkt)
{
	struct icmphdr *icmp = at->pos;
	__u8 request = pkt->flow.ipv6 ? 128 : 8, reply = pkt->flow.ipv6 ? 129 : 0;

	if (pkt->l4_length < sizeof(*icmp) || (void *)(icmp + 1) > at->end)
		return pkt->fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_ICMP;
	pkt->icmp_type = icmp->type;
	pkt->icmp_code = icmp->code;
	if (icmp->type == request || icmp->type == reply)
		pkt->flow.source_port = pkt->flow.destination_port = bpf_ntohs(icmp->un.echo.id);
	return REASON_NONE;
}

static __always_inline enum reason parse_sctp(struct cursor *at, struct packet *pkt)
{
	struct udphdr *ports = at->pos; /* the ports stand where those of UDP stand */

	if (pkt->l4_length < 12 || at->pos + 12 > at->end)
		return pkt->fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_SCTP;
	pkt->flow.source_port = bpf_ntohs(ports->source);
	pkt->flow.destination_port = bpf_ntohs(ports->dest);
	return pkt->flow.source_port && pkt->flow.destination_port ? REASON_NONE : REASON_MALFORMED_PORT;
}

static __always_inline int is_icmp(const struct flow *flow)
{
	return flow->protocol == (flow->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static __always_inline enum reason parse_transport(struct cursor *at, struct packet *pkt)
{
	if (pkt->fragment == FRAGMENT_LATER)
		return REASON_NONE;
	if (pkt->l4 > HEADERS_END)
		return REASON_UNPARSED_EXTENSION;
	at->pos = at->start + pkt->l4;
	if (pkt->flow.protocol == IPPROTO_TCP)
		return parse_tcp(at, pkt);
	if (pkt->flow.protocol == IPPROTO_UDP)
		return parse_udp(at, pkt);
	if (is_icmp(&pkt->flow))
		return parse_icmp(at, pkt);
	if (pkt->flow.protocol == IPPROTO_SCTP)
		return parse_sctp(at, pkt);
	return REASON_NONE;
}

/* In host order the first eight bytes of a header: version, header length, type of service, length, identification,
 * flags and offset. A datagram is usual when these bits of it say 4, 20 bytes, whole. */
#define IPV4_USUAL_BITS 0xff00000000003fffULL
#define IPV4_USUAL 0x4500000000000000ULL
#define DHCP_ANSWER_PORTS (67u << 16 | 68) /* the floor's */

/*
 * Whether the frame is what nearly every packet is: whole, IPv4 without options, TCP or UDP, straight behind Ethernet,
 * nothing that the floor takes, between addresses and ports that can be. 0: something is unusual, or wrong: the long
 * way tells what. Reads the headers in words as wide as may be.
 */
static __always_inline int is_usual(const struct cursor *at)
{
	const struct ethhdr *eth = at->pos;
	const struct iphdr *ip = (void *)(eth + 1);
	const struct tcphdr *tcp = (void *)(ip + 1);
	__u32 total, net;
	__u64 first;

	if ((void *)(tcp + 1) > at->end || eth->h_proto != bpf_htons(ETHERTYPE_IPV4))
		return 0;
	first = bpf_be64_to_cpu(*(const volatile __be64 *)ip);
	total = first >> 32 & 0xffff;
	if ((first & IPV4_USUAL_BITS) != IPV4_USUAL || total < sizeof(*ip) + sizeof(*tcp) ||
	    total > (__u32)(at->end - at->start) - sizeof(*eth))
		return 0;
	net = *(const volatile __u8 *)&ip->saddr;
	if (!net || net == 127 || net >= 224)
		return 0;
	net = *(const volatile __u8 *)&ip->daddr;
	if (!net || net == 127 || ip->saddr == ip->daddr)
		return 0;
	if (!*(const volatile __be16 *)&tcp->dest)
		return 0;
	if (ip->protocol == IPPROTO_TCP) {
		__u32 header = ((const volatile __u8 *)tcp)[12] >> 2 & 0x3c;

		return header >= sizeof(*tcp) && sizeof(*ip) + header <= total &&
		       *(const volatile __be16 *)&tcp->source && !impossible_flags(((const volatile __u8 *)tcp)[13]);
	}
	if (ip->protocol == IPPROTO_UDP) {
		__u32 length = bpf_ntohs(((const struct udphdr *)tcp)->len);

		return length >= sizeof(struct udphdr) && sizeof(*ip) + length <= total &&
		       *(const volatile __be32 *)tcp != bpf_htonl(DHCP_ANSWER_PORTS);
	}
	return 0;
}

/* What there is to know of a usual frame: TCP and UDP have their ports at the same place. */
static __always_inline void parse_usual(const struct ethhdr *eth, struct packet *pkt)
{
	const struct iphdr *ip = (void *)(eth + 1);
	const struct tcphdr *tcp = (void *)(ip + 1);
	__u64 first = bpf_be64_to_cpu(*(const volatile __be64 *)ip);
	__u32 ports = bpf_ntohl(*(const volatile __be32 *)tcp);

	address_from_v4(&pkt->flow.source, ip->saddr);
	address_from_v4(&pkt->flow.destination, ip->daddr);
	pkt->flow.source_port = ports >> 16;
	pkt->flow.destination_port = ports;
	pkt->flow.protocol = ip->protocol;
	if (ip->protocol == IPPROTO_TCP)
		pkt->tcp_flags = ((const volatile __u8 *)tcp)[13];
	pkt->fragment_id = first >> 16 & 0xffff;
	pkt->ttl = ip->ttl;
	pkt->l3 = sizeof(*eth);
	pkt->l4 = sizeof(*eth) + sizeof(*ip);
	pkt->l4_length = (first >> 32 & 0xffff) - sizeof(*ip);
}

/* Headers only: lengths that lie and flags that cannot be. What the addresses mean is for floor.h. */
__noinline int parse_unusual(struct xdp_md *ctx, struct packet *pkt)
{
	struct cursor at = {(void *)(long)ctx->data, (void *)(long)ctx->data, (void *)(long)ctx->data_end};
	enum reason why;
	__u16 type = 0;

	if (!pkt)
		return REASON_MALFORMED_ETHERNET;
	why = parse_ethernet(&at, pkt, &type);
	if (why)
		return why;
	pkt->l3 = at.pos - at.start;
	if (type == ETHERTYPE_IPV4)
		why = parse_ipv4(ctx, &at, pkt);
	else if (type == ETHERTYPE_IPV6)
		why = parse_ipv6(ctx, &at, pkt);
	else
		return REASON_FLOOR;
	return why ? why : parse_transport(&at, pkt);
}

#endif
