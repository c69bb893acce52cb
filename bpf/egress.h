/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress: notes the flows that this host begins, so that their answers are known, and judges what the policy
 * blocks outbound. Answers of declared services are not noted: those an attacker can provoke.
 */
#ifndef BULWARK_EGRESS_H
#define BULWARK_EGRESS_H

#define HEADERS_MOST 100 /* of a segment: IPv6, and TCP with its options */

static __always_inline __u64 lists_of(const struct class_entry *class)
{
	return class ? class->lists : 0;
}

/* Would exposure let the peer in as a client? Then what leaves here may be a service's answer, and needs no note. */
static __always_inline int peer_is_client(const struct flow *flow, const struct class_entry *class)
{
	struct service_entry *service;
	__u16 index;

	service =
		service_on(port_index(flow->protocol, flow->source_port), &flow->source, flow->ipv6, ZONE_ANY, &index);
	return service && !(service->allow && !(service->allow & lists_of(class)));
}

/* Of a segment that is followed. Where connections are hidden, what a server says inside one adopts it if it is older
 * than the shield; a SYN-ACK, which anybody can provoke, does not. */
static __always_inline int begins_followed(const struct packet *pkt)
{
	__u8 flags = pkt->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK);

	return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN || (hides_tcp() && flags == TCP_ACK);
}

static __always_inline void note_flow(struct __sk_buff *skb, const struct packet *pkt, const struct class_entry *class)
{
	const struct flow *flow = &pkt->flow;

	if (flow->protocol == IPPROTO_UDP) {
		if (is_question(flow) || !peer_is_client(flow, class))
			flow_left(flow, 1, UDP_ASKED);
	} else if (is_icmp(flow)) {
		if (pkt->icmp_type == (flow->ipv6 ? 128 : 8))
			flow_left(flow, 1, ECHO_ASKED);
	} else if (flow->protocol == IPPROTO_TCP && follows_tcp() && (!skb->sk || constants.has_vrf)) {
		/* local connections have sockets, which are found, but for those of a VRF */
		flow_left(flow, begins_followed(pkt), TCP_ASKED);
	}
}

/* Offline, of a packet that leaves: only a rule that drops or would drop it says something. */
static __always_inline void decide_sent(const struct packet *pkt, const struct outcome *outcome)
{
	if (outcome->verdict == VERDICT_DROP) {
		decision.verdict = outcome->verdict;
		decision.reason = outcome->reason;
		decision.rule = outcome->rule;
		decision.hook = outcome->hook;
	} else {
		decision.would = outcome->reason;
		decision.would_rule = outcome->rule;
	}
	decide_packet(pkt);
}

static __always_inline void told_egress(struct __sk_buff *skb, struct packet *pkt, enum verdict verdict, __u16 rule)
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
	if (constants.offline) {
		decide_sent(pkt, &outcome);
		return;
	}
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

/* A segment of a local connection that nothing stands before or behind: its socket says all that a note would, and what
 * carries another packet is no TCP by its own header. */
static __always_inline int is_local_segment(struct __sk_buff *skb)
{
	__u32 at = skb->protocol == bpf_htons(ETHERTYPE_IPV4) ? __builtin_offsetof(struct iphdr, protocol)
							      : __builtin_offsetof(struct ipv6hdr, nexthdr);
	__u8 protocol;

	if (skb->protocol != bpf_htons(ETHERTYPE_IPV4) && skb->protocol != bpf_htons(ETHERTYPE_IPV6))
		return 0;
	return !constants.offline && skb->sk && !load(skb, at, &protocol, sizeof(protocol)) && protocol == IPPROTO_TCP;
}

static __always_inline int judge_egress(struct __sk_buff *skb)
{
	struct packet pkt = {};
	const struct class_entry *class;

	if (constants.have_tls && !constants.offline && skb->sk &&
	    skb->len <= ETHERNET_HEADER + HEADERS_MOST + RETRY_MOST)
		note_server_hello(skb);
	if (!constants.have_egress_block && !constants.has_vrf && is_local_segment(skb))
		return TCX_NEXT;
	notice_forwarding(skb);
	if (read_skb(skb, &pkt))
		return TCX_NEXT;
	pkt.class = class_of(&pkt.flow.destination, pkt.flow.ipv6);
	class = class_at(pkt.class, pkt.flow.zone);
	if (constants.have_egress_block && class && (constants.offline || skb->cb[0] != TC_CB_PAUSED)) {
		if (class->flags & CLASS_BLOCK_OUT) {
			told_egress(skb, &pkt, VERDICT_DROP, class->out_rule);
			return TC_ACT_SHOT;
		}
		if (class->flags & CLASS_BLOCK_OUT_MONITOR)
			told_egress(skb, &pkt, VERDICT_WOULD_DROP, class->out_monitor_rule);
	}
	if (pkt.fragment != FRAGMENT_LATER)
		note_flow(skb, &pkt, class);
	if (!pkt.fragment && concerns_routed(skb, &pkt)) {
		turn_round(&pkt.flow);
		count_routed(&pkt, follow_server(skb, &pkt));
	}
	return TCX_NEXT;
}

#endif
