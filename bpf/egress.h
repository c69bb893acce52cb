/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress: notes the flows that this host begins, so that their answers are known, and judges what the policy
 * blocks outbound. Answers of declared services are not noted: those an attacker can provoke.
 */
#ifndef BULWARK_EGRESS_H
#define BULWARK_EGRESS_H

#define TC_ACT_SHOT 2
#define TCX_NEXT -1 /* on clsact TC_ACT_UNSPEC: the next program or filter goes on */

struct egress_transport { /* the first bytes of TCP, UDP and ICMP */
	__be16 source, destination;
	__be16 sequence[4];
	__u8 offset, flags;
	__u8 unused[2];
};

static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
}

static __always_inline int read_egress_v4(struct __sk_buff *skb, struct packet *pkt)
{
	struct iphdr ip;

	if (load(skb, 0, &ip, sizeof(ip)))
		return -1;
	if (ip.version != 4)
		return -1;
	address_from_v4(&pkt->flow.source, ip.saddr);
	address_from_v4(&pkt->flow.destination, ip.daddr);
	pkt->flow.protocol = ip.protocol;
	pkt->l4 = ip.ihl * 4;
	if (bpf_ntohs(ip.frag_off) & 0x1fff)
		pkt->fragment = FRAGMENT_LATER;
	return 0;
}

static __always_inline int read_egress_v6(struct __sk_buff *skb, struct packet *pkt)
{
	struct extension_header header;
	struct ipv6hdr ip;
	__u8 next;

	if (load(skb, 0, &ip, sizeof(ip)))
		return -1;
	__builtin_memcpy(&pkt->flow.source, &ip.saddr, sizeof(pkt->flow.source));
	__builtin_memcpy(&pkt->flow.destination, &ip.daddr, sizeof(pkt->flow.destination));
	pkt->flow.ipv6 = 1;
	pkt->l4 = sizeof(ip);
	next = ip.nexthdr;
	for (int i = 0; i < EXTENSION_HEADERS && is_extension(next); i++) {
		if (load(skb, pkt->l4, &header, sizeof(header)))
			return -1;
		if (next == IPPROTO_FRAGMENT && (header.type || header.segments_left & 0xf8))
			pkt->fragment = FRAGMENT_LATER;
		pkt->l4 += extension_length(&header, next);
		next = header.next;
	}
	pkt->flow.protocol = next;
	return 0;
}

/* By the version field: behind a VLAN tag skb->protocol says nothing of the network header. */
static __always_inline int read_egress_network(struct __sk_buff *skb, struct packet *pkt)
{
	__u16 type = bpf_ntohs(skb->protocol);
	__u8 version;

	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6 && type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
		return -1;
	if (load(skb, 0, &version, sizeof(version)))
		return -1;
	if (version >> 4 == 4)
		return read_egress_v4(skb, pkt);
	return version >> 4 == 6 ? read_egress_v6(skb, pkt) : -1;
}

static __always_inline int read_egress(struct __sk_buff *skb, struct packet *pkt)
{
	struct egress_transport transport = {};

	if (read_egress_network(skb, pkt))
		return -1;
	if (pkt->fragment)
		return 0;
	if (load(skb, pkt->l4, &transport, 8))
		return 0;
	if (is_icmp(&pkt->flow)) {
		pkt->icmp_type = transport.source & 0xff; /* type is the first byte on the wire */
		pkt->flow.source_port = pkt->flow.destination_port = bpf_ntohs(transport.sequence[0]);
		return 0;
	}
	pkt->flow.source_port = bpf_ntohs(transport.source);
	pkt->flow.destination_port = bpf_ntohs(transport.destination);
	if (pkt->flow.protocol == IPPROTO_TCP && !load(skb, pkt->l4, &transport, sizeof(transport)))
		pkt->tcp_flags = transport.flags;
	return 0;
}

static __always_inline __u64 lists_of(const struct class_entry *class)
{
	return class ? class->lists : 0;
}

/* Would exposure let the peer in as a client? Then what leaves here may be a service's answer, and needs no note. */
static __always_inline int peer_is_client(const struct flow *flow, const struct class_entry *class)
{
	struct service_entry *service;
	__u16 index;

	service = service_of(flow->protocol, flow->source_port, &flow->source, flow->ipv6, &index);
	return service && !(service->allow && !(service->allow & lists_of(class)));
}

static __always_inline void note_flow(struct __sk_buff *skb, const struct packet *pkt, const struct class_entry *class)
{
	const struct flow *flow = &pkt->flow;

	if (flow->protocol == IPPROTO_UDP) {
		if (!peer_is_client(flow, class))
			flow_left(flow, 1, UDP_ASKED);
	} else if (is_icmp(flow)) {
		if (pkt->icmp_type == (flow->ipv6 ? 128 : 8))
			flow_left(flow, 1, ECHO_ASKED);
	} else if (flow->protocol == IPPROTO_TCP && follows_forwarded() && !skb->sk) {
		/* local connections have sockets */
		flow_left(flow, (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN, TCP_ASKED);
	}
}

static __always_inline void told_egress(struct __sk_buff *skb, struct packet *pkt, enum verdict verdict, __u16 rule,
					__u8 list)
{
	struct outcome outcome = {
		.ifindex = skb->ifindex,
		.row = interface_row(interface_find(skb->ifindex), skb->ifindex),
		.packets = skb->gso_segs ? skb->gso_segs : 1,
		.hook = HOOK_EGRESS,
		.verdict = verdict,
		.reason = REASON_BLOCKED_OUT,
		.rule = rule,
	};

	pkt->length = skb->len;
	pkt->list = list;
	count(&outcome, pkt);
	tell(&outcome, pkt);
}

/* What leaves and came in elsewhere (skb_iif) tells that this host forwards, also where nobody else would say so. */
static __always_inline void notice_forwarding(const struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct host_facts *facts;

	if (constants.offline || skb->sk || !skb->ingress_ifindex)
		return;
	facts = bpf_map_lookup_elem(&host_facts, &zero);
	if (facts && !facts->forwards)
		facts->forwards = 1;
}

static __always_inline int judge_egress(struct __sk_buff *skb)
{
	struct packet pkt = {};
	const struct class_entry *class = NULL;
	__u32 number;

	notice_forwarding(skb);
	if (read_egress(skb, &pkt))
		return TCX_NEXT;
	number = class_of(&pkt.flow.destination, pkt.flow.ipv6);
	pkt.class = number;
	if (number)
		class = bpf_map_lookup_elem(&classes, &number);
	if (constants.have_egress_block && class && !constants.offline && skb->cb[0] != EGRESS_CB_PAUSED) {
		if (class->flags & CLASS_BLOCK_OUT) {
			told_egress(skb, &pkt, VERDICT_DROP, class->out_rule, class->block_list);
			return TC_ACT_SHOT;
		}
		if (class->flags & CLASS_BLOCK_OUT_MONITOR)
			told_egress(skb, &pkt, VERDICT_WOULD_DROP, class->out_monitor_rule, class->block_list);
	}
	if (!pkt.fragment)
		note_flow(skb, &pkt, class);
	return TCX_NEXT;
}

#endif
