/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tags: which service a packet is for and what is known of its source, carried from XDP to TC in the packet's metadata,
 * and from there to skb->mark under the policy's mask. Nothing here differs between the data segments of a connection:
 * GRO merges only what is alike.
 */
#ifndef BULWARK_TAGS_H
#define BULWARK_TAGS_H

/* In front of the packet, from XDP to TC; host order. The magic is a secret of this boot: TC believes nobody else. */
struct packet_tag {
	__u32 magic;
	__u16 service; /* index in this generation; 0: none */
	__u16 row;     /* of the service in the pinned counters: the same in every generation */
	__u8 class;    /* enum tag_class */
	__u8 settled;  /* TLS has nothing to judge in it any more */
	__u8 unused[2];
};

/* Whether TC asks which service a packet is for. */
static __always_inline int carries_services(void)
{
	return constants.have_tags || constants.have_tls || constants.have_http;
}

/* class: of the source address. A connection that is open proves its source; of other protocols nothing does. */
static __always_inline enum tag_class tag_class_of(const struct class_entry *class, const struct service_entry *service,
						   int proven)
{
	__u32 flags = class ? class->flags : 0;
	__u64 lists = class ? class->lists : 0;

	if (flags & CLASS_TRUSTED && proven)
		return TAG_TRUSTED;
	if (flags & CLASS_BLOCK_IN_MONITOR || (service->allow && !(service->allow & lists)))
		return TAG_SUSPECT;
	return proven ? TAG_PROVEN : TAG_NEW;
}

static __always_inline int tag_proven(const struct packet *pkt)
{
	return pkt->flow.protocol == IPPROTO_TCP && (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

/* The bits that are ours, as this service and class want them. */
static __always_inline __u32 tag_bits(const struct service_entry *service, enum tag_class class)
{
	return service->tag << constants.tag_shift | (__u32) class << constants.tag_class_shift;
}

static __always_inline __u32 tag_merge(__u32 mark, __u32 bits)
{
	return (mark & ~constants.tag_mask) | (bits & constants.tag_mask);
}

/* XDP, the last thing done to a packet that passes: a driver without room for metadata makes TC look again. */
static __always_inline void tag_packet(struct xdp_md *ctx, struct packet *pkt)
{
	const struct flow *flow = &pkt->flow;
	struct packet_tag tag = {.magic = constants.tag_magic}, *place;
	const struct service_entry *service = NULL;

	if (pkt->fragment != FRAGMENT_LATER)
		service = pkt->service ? service_at(pkt->service) : service_of(flow, &tag.service);
	if (service) {
		if (pkt->service)
			tag.service = pkt->service;
		tag.row = service->row;
		tag.class = tag_class_of(class_at(pkt->class, flow->zone), service, tag_proven(pkt));
		tag.settled = pkt->settled && !(pkt->tcp_flags & TCP_URG);
	} else {
		tag.service = 0;
	}
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(tag)))
		return;
	place = (void *)(long)ctx->data_meta;
	if ((void *)(place + 1) <= (void *)(long)ctx->data)
		*place = tag;
}

#endif
