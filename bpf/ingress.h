/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TC ingress: what XDP knows of a packet, put where the stack, other software and the application can read it. */
#ifndef BULWARK_INGRESS_H
#define BULWARK_INGRESS_H

#define PRIORITY_BULK 2	       /* TC_PRIO_BULK */
#define PRIORITY_INTERACTIVE 6 /* TC_PRIO_INTERACTIVE */

/* Whether a packet may hold something that a rule for first bytes judges. Requests come as long as a connection lasts.
 */
static __always_inline int may_begin(const struct packet_tag *tag, const struct service_entry *service)
{
	if (constants.have_http && service->http)
		return 1;
	return constants.have_tls && service->tls && !tag->settled;
}

/* What XDP wrote in front of the packet, and the service that it names; 0 where it is not ours, or of a generation that
 * numbered otherwise. */
static __always_inline int tag_read(struct __sk_buff *skb, struct packet_tag *tag, const struct service_entry **service)
{
	const struct packet_tag *place = (void *)(long)skb->data_meta;

	*service = NULL;
	if ((void *)(place + 1) > (void *)(long)skb->data || place->magic != constants.tag_magic)
		return 0;
	*tag = *place;
	if (!tag->service)
		return 1;
	*service = service_at(tag->service);
	return *service && (*service)->row == tag->row;
}

/* Drivers without metadata, and what another program on the way overwrote: asked again, by the same tables. */
static __always_inline const struct service_entry *tag_again(const struct packet *pkt, struct packet_tag *tag)
{
	const struct service_entry *service = NULL;
	const struct flow *flow = &pkt->flow;

	tag->service = tag->settled = 0;
	if (pkt->fragment != FRAGMENT_LATER)
		service = service_of(flow, &tag->service);
	if (service)
		tag->class = tag_class_of(source_class(flow), service, tag_proven(pkt));
	else
		tag->service = 0;
	return service;
}

static __always_inline void tag_skb(struct __sk_buff *skb, const struct packet_tag *tag,
				    const struct service_entry *service)
{
	if (!constants.have_tags || !service->tag)
		return;
	skb->mark = tag_merge(skb->mark, tag_bits(service, tag->class));
	if (tag->class == TAG_TRUSTED)
		skb->priority = PRIORITY_INTERACTIVE;
	else if (tag->class == TAG_SUSPECT)
		skb->priority = PRIORITY_BULK;
}

/* XDP has decided about this packet already, that it passes. */
static __always_inline void decide_ingress(const struct outcome *outcome)
{
	if (outcome->verdict == VERDICT_DROP) {
		decision.verdict = outcome->verdict;
		decision.reason = outcome->reason;
		decision.rule = outcome->rule;
		decision.hook = HOOK_INGRESS;
	} else if (!decision.would) {
		decision.would = outcome->reason;
		decision.would_rule = outcome->rule;
	}
}

__noinline int told_ingress(struct __sk_buff *skb, struct packet *pkt, __u32 verdict, __u32 why, __u32 rule)
{
	struct outcome outcome = {
		.ifindex = skb->ifindex,
		.row = interface_row(interface_find(skb->ifindex), skb->ifindex),
		.packets = skb->gso_segs ? skb->gso_segs : 1,
		.hook = HOOK_INGRESS,
		.verdict = verdict,
		.reason = why,
		.rule = rule,
	};

	if (!pkt)
		return 0;
	pkt->length = skb->len;
	if (constants.offline) {
		decide_ingress(&outcome);
		return 0;
	}
	count(&outcome, pkt);
	tell(&outcome, pkt);
	return 0;
}

/* Whom no rule for first bytes concerns: load balancers that only look whether the port is open, up to their cap. */
static __always_inline int is_health_check(const struct packet *pkt)
{
	const struct class_entry *class;

	if (!constants.have_health_checks)
		return 0;
	class = source_class(&pkt->flow);
	return class && class->flags & CLASS_HEALTH_CHECK && within_budget(BUDGET_HEALTH_CHECK);
}

/* What a service's rule makes of its segments. */
struct first_verdict {
	enum reason why;
	__u16 rule;
	__u8 monitor; /* it only counts this */
};

static __always_inline void ask_tls(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment,
				    __u32 index, struct first_verdict *verdict)
{
	const struct tls_entry *tls = bpf_map_lookup_elem(&tls_rules, &index);

	if (!tls || is_health_check(pkt))
		return;
	if (segment->unopened)
		verdict->why = REASON_FIRST_EARLY;
	else if (constants.have_proxied && tls->flags & TLS_PROXIED)
		verdict->why = skip_header(skb, pkt, segment);
	if (!verdict->why && segment->length)
		verdict->why = judge_tls(skb, pkt, segment, tls);
	verdict->rule = tls->rule;
	verdict->monitor = tls_passes(tls, verdict->why);
}

static __always_inline void ask_http(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment,
				     __u32 index, struct first_verdict *verdict)
{
	const struct http_entry *http = bpf_map_lookup_elem(&http_rules, &index);

	if (!http || is_health_check(pkt))
		return;
	if (segment->unopened)
		verdict->why = REASON_FIRST_EARLY;
	else if (constants.have_proxied && http->flags & HTTP_PROXIED)
		verdict->why = skip_header(skb, pkt, segment);
	if (!verdict->why && segment->length)
		verdict->why = judge_http(skb, pkt, segment, http);
	verdict->rule = http->rule;
	verdict->monitor = http_passes(http, verdict->why);
}

/* Of what the server reads the kernel takes the urgent byte out, so it would not be what is judged. Neither protocol
 * has any, and the flag says where the byte is to be, also in a segment without payload. */
static __always_inline int judge_urgent(struct __sk_buff *skb, struct packet *pkt, const struct service_entry *service)
{
	__u32 tls_index = service->tls, http_index = service->http;
	const struct tls_entry *tls = bpf_map_lookup_elem(&tls_rules, &tls_index);
	const struct http_entry *http = bpf_map_lookup_elem(&http_rules, &http_index);
	int monitor = (tls && tls->flags & TLS_MONITOR) || (http && http->flags & HTTP_MONITOR);
	__u32 rule = tls && tls_index ? tls->rule : http && http_index ? http->rule : 0;

	told_ingress(skb, pkt, monitor ? VERDICT_WOULD_DROP : VERDICT_DROP, REASON_FIRST_URGENT, rule);
	return monitor ? TCX_NEXT : TC_ACT_SHOT;
}

static __always_inline int judge_first(struct __sk_buff *skb, struct packet *pkt, const struct service_entry *service)
{
	struct first_verdict verdict = {};
	struct segment segment = {};

	if (pkt->tcp_flags & TCP_URG)
		return judge_urgent(skb, pkt, service);
	if (!segment_read(skb, pkt, &segment)) {
		if (constants.offline && (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			stream_note(skb, pkt);
		return TCX_NEXT;
	}
	if (constants.offline)
		segment.l3 = network_offset(skb);
	segment.asks_hello = constants.have_tls && service->tls;
	if (!stream_offset(skb, pkt, &segment) && !segment.unopened)
		return TCX_NEXT;
	/* nearly every segment: what is left costs nothing */
	if ((segment.settled || segment.offset >= stream_beginning()) && !(constants.have_http && service->http))
		return TCX_NEXT;
	if (!constants.offline)
		segment.l3 = network_offset(skb);
	if (constants.have_tls && service->tls)
		ask_tls(skb, pkt, &segment, service->tls, &verdict);
	else if (constants.have_http && service->http)
		ask_http(skb, pkt, &segment, service->http, &verdict);
	if (!verdict.why)
		return TCX_NEXT;
	told_ingress(skb, pkt, verdict.monitor ? VERDICT_WOULD_DROP : VERDICT_DROP, verdict.why, verdict.rule);
	if (verdict.monitor)
		return TCX_NEXT;
	if (constants.offline || (verdict.why == REASON_FIRST_EARLY && !segment.unopened) || pkt->fragment)
		return TC_ACT_SHOT;
	return stream_end(skb, pkt, &segment);
}

/* Nearly every packet of a host that is talked to: what XDP has found settled brings no cookie back and begins nothing,
 * so it is tagged and goes on. */
static __always_inline int goes_on(struct __sk_buff *skb)
{
	const struct service_entry *service;
	struct packet_tag tag;

	if (!constants.have_tls || !tag_read(skb, &tag, &service) || !service || !tag.settled ||
	    may_begin(&tag, service))
		return 0;
	tag_skb(skb, &tag, service);
	return 1;
}

/* Whether the packet, which has no tag of XDP, came out of a tunnel. */
static __always_inline int passes_decrypted(struct __sk_buff *skb, struct packet *pkt)
{
	if (!is_decrypted(skb) || read_skb(skb, pkt))
		return 0;
	told_ingress(skb, pkt, VERDICT_PASS, REASON_DECRYPTED, 0);
	return 1;
}

__noinline int judge_ingress(struct __sk_buff *skb)
{
	const struct service_entry *service;
	struct packet_tag tag = {};
	struct packet pkt = {};
	int have = 0;

	if (!tag_read(skb, &tag, &service)) {
		if (passes_decrypted(skb, &pkt) || !carries_services() || read_skb(skb, &pkt))
			return TCX_NEXT;
		service = tag_again(&pkt, &tag);
		have = 1;
	}
	if (!service)
		return TCX_NEXT;
	tag_skb(skb, &tag, service);
	if (!may_begin(&tag, service) || tag.class == TAG_TRUSTED || skb->cb[0] == TC_CB_PAUSED)
		return TCX_NEXT;
	if ((!have && read_skb(skb, &pkt)) || pkt.flow.protocol != IPPROTO_TCP)
		return TCX_NEXT;
	pkt.service = tag.service;
	pkt.row = service->row;
	return judge_first(skb, &pkt, service);
}

#endif
