/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What TC sees of a packet -> struct packet. Headers are found from the network header on: in generic mode `data` may
 * begin there, and behind a VLAN tag skb->protocol says nothing. At ingress all of it has passed XDP already.
 */
#ifndef BULWARK_SKB_H
#define BULWARK_SKB_H

#define TC_ACT_SHOT 2
#define TCX_NEXT -1 /* on clsact TC_ACT_UNSPEC: the next program or filter goes on */

struct skb_transport { /* the first bytes of TCP, UDP and ICMP */
	__be16 source, destination;
	__be16 sequence[4];
	__u8 offset, flags;
	__u8 unused[2];
};

/* One place on the stack for all headers, which are looked at one after the other. */
union skb_header {
	struct iphdr ipv4;
	struct ipv6hdr ipv6;
	struct extension_header extension;
	struct skb_transport transport;
};

static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
}

static __always_inline enum fragment fragment_of(__u32 offset, __u32 more)
{
	return offset ? FRAGMENT_LATER : more ? FRAGMENT_FIRST : FRAGMENT_NOT;
}

static __always_inline int read_ipv4(const struct iphdr *ip, struct packet *pkt)
{
	__u32 place = bpf_ntohs(ip->frag_off);

	address_from_v4(&pkt->flow.source, ip->saddr);
	address_from_v4(&pkt->flow.destination, ip->daddr);
	pkt->flow.protocol = ip->protocol;
	pkt->l4 = ip->ihl * 4;
	pkt->fragment = fragment_of(place & 0x1fff, place & 0x2000);
	return 0;
}

static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *pkt, union skb_header *header)
{
	__u32 offset = 0, more = 0;
	__u8 next;

	if (load(skb, 0, &header->ipv6, sizeof(header->ipv6)))
		return -1;
	__builtin_memcpy(&pkt->flow.source, &header->ipv6.saddr, sizeof(pkt->flow.source));
	__builtin_memcpy(&pkt->flow.destination, &header->ipv6.daddr, sizeof(pkt->flow.destination));
	pkt->flow.ipv6 = 1;
	pkt->l4 = sizeof(header->ipv6);
	next = header->ipv6.nexthdr;
	for (int i = 0; i < EXTENSION_HEADERS && is_extension(next); i++) {
		if (load(skb, pkt->l4, &header->extension, sizeof(header->extension)))
			return -1;
		if (next == IPPROTO_FRAGMENT) {
			offset |= header->extension.type | (header->extension.segments_left & 0xf8);
			more |= header->extension.segments_left & 1;
		}
		pkt->l4 += extension_length(&header->extension, next);
		next = header->extension.next;
	}
	pkt->flow.protocol = next;
	pkt->fragment = fragment_of(offset, more);
	return 0;
}

/* By the version field: behind a VLAN tag skb->protocol says nothing of the network header. */
static __always_inline int read_network(struct __sk_buff *skb, struct packet *pkt, union skb_header *header)
{
	__u16 type = bpf_ntohs(skb->protocol);

	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6 && type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
		return -1;
	/* one of IPv6 is longer, and has its version in the same place */
	if (load(skb, 0, &header->ipv4, sizeof(header->ipv4)))
		return -1;
	if (header->ipv4.version == 4)
		return read_ipv4(&header->ipv4, pkt);
	return header->ipv4.version == 6 ? read_ipv6(skb, pkt, header) : -1;
}

/* The outermost tag, which the stack has taken off what came in, and may yet put on what leaves. */
static __always_inline __u32 skb_vlan(struct __sk_buff *skb)
{
	struct vlan_tag tag;

	if (skb->vlan_present)
		return skb->vlan_tci & 0xfff;
	if ((skb->protocol != bpf_htons(ETHERTYPE_VLAN) && skb->protocol != bpf_htons(ETHERTYPE_QINQ)) ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &tag, sizeof(tag)))
		return 0;
	return bpf_ntohs(tag.tci) & 0xfff;
}

static __always_inline int read_skb(struct __sk_buff *skb, struct packet *pkt)
{
	union skb_header header;

	if (read_network(skb, pkt, &header))
		return -1;
	if (constants.have_zones)
		pkt->flow.zone = zone_of(skb->ifindex, skb_vlan(skb));
	if (pkt->fragment == FRAGMENT_LATER)
		return 0;
	if (pkt->flow.protocol == IPPROTO_TCP) {
		if (load(skb, pkt->l4, &header.transport, sizeof(header.transport)))
			return 0;
		pkt->tcp_flags = header.transport.flags;
	} else if (load(skb, pkt->l4, &header.transport, 8)) {
		return 0;
	}
	if (is_icmp(&pkt->flow)) {
		pkt->icmp_type = header.transport.source & 0xff; /* type is the first byte on the wire */
		pkt->flow.source_port = pkt->flow.destination_port = bpf_ntohs(header.transport.sequence[0]);
		return 0;
	}
	pkt->flow.source_port = bpf_ntohs(header.transport.source);
	pkt->flow.destination_port = bpf_ntohs(header.transport.destination);
	return 0;
}

#endif
