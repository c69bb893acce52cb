/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TC ingress: what XDP knows of a packet, put where the stack, other software and the application can read it. */
#ifndef BULWARK_INGRESS_H
#define BULWARK_INGRESS_H

#define PRIORITY_BULK 2	       /* TC_PRIO_BULK */
#define PRIORITY_INTERACTIVE 6 /* TC_PRIO_INTERACTIVE */

/* What XDP wrote in front of the packet; 0 where it is not ours, or of a generation that numbered otherwise. */
static __always_inline int tag_read(struct __sk_buff *skb, struct packet_tag *tag)
{
	const struct packet_tag *place = (void *)(long)skb->data_meta;
	const struct service_entry *service;

	if ((void *)(place + 1) > (void *)(long)skb->data || place->magic != constants.tag_magic)
		return 0;
	*tag = *place;
	if (!tag->service)
		return 1;
	service = service_at(tag->service);
	return service && service->row == tag->row;
}

/* Drivers without metadata, and what another program on the way overwrote: asked again, by the same tables. */
static __always_inline void tag_again(struct __sk_buff *skb, struct packet_tag *tag)
{
	const struct service_entry *service;
	struct packet pkt = {};
	const struct flow *flow = &pkt.flow;

	tag->service = 0;
	if (read_skb(skb, &pkt) || pkt.fragment == FRAGMENT_LATER)
		return;
	service = service_of(flow->protocol, flow->destination_port, &flow->destination, flow->ipv6, &tag->service);
	if (service)
		tag->class = tag_class_of(class_at(class_of(&flow->source, flow->ipv6)), service, tag_proven(&pkt));
	else
		tag->service = 0;
}

static __always_inline void tag_skb(struct __sk_buff *skb)
{
	const struct service_entry *service;
	struct packet_tag tag = {};

	if (!tag_read(skb, &tag))
		tag_again(skb, &tag);
	if (!tag.service)
		return;
	service = service_at(tag.service);
	if (!service || !service->tag)
		return;
	skb->mark = tag_merge(skb->mark, tag_bits(service, tag.class));
	if (tag.class == TAG_TRUSTED)
		skb->priority = PRIORITY_INTERACTIVE;
	else if (tag.class == TAG_SUSPECT)
		skb->priority = PRIORITY_BULK;
}

static __always_inline int judge_ingress(struct __sk_buff *skb)
{
	if (constants.have_tags)
		tag_skb(skb);
	return TCX_NEXT;
}

#endif
