/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A short way out for what a flood is made of: usual frames (parse.h) of banned and blocked sources, of which there is
 * nothing to tell. It asks the same questions in the same order and gives the same reasons as the long way, but keeps
 * what it knows in registers: no struct packet is filled, and there are fewer instructions between one packet's reads
 * of the tables and the next one's, so that the processor waits for both at once. Where anything is not plain, it
 * leaves the packet to the long way, with what it has found out. Offline both are asked, and who tests compares.
 */
#ifndef BULWARK_AT_ONCE_H
#define BULWARK_AT_ONCE_H

static __always_inline int is_in(__u64 classes, __u32 number)
{
	return number < 64 && classes >> (number & 63) & 1;
}

/* Why the packet is refused, whatever else may be known of it; REASON_NONE: that is for the long way to say. */
static __always_inline enum reason judge_early(struct xdp_md *ctx, struct early *early)
{
	struct cursor at = {(void *)(long)ctx->data, (void *)(long)ctx->data, (void *)(long)ctx->data_end};
	const struct iphdr *ip = at.start + sizeof(struct ethhdr);
	__u32 address;

	if (!is_usual(&at))
		return REASON_NONE;
	early->eth = at.start;
	address = bpf_ntohl(ip->saddr);
	early->class = constants.have_v4 ? class_of_v4(address) : constants.v4_default;
	if (!is_in(constants.plain_classes, early->class))
		return REASON_NONE;
	early->hold = held_alone(address);
	if (early->hold == HELD_BANNED)
		return REASON_BANNED;
	return early->hold == HELD_NOT && is_in(constants.refused_classes, early->class) ? REASON_BLOCKED : REASON_NONE;
}

/* Counts a packet that is dropped for this reason; 0: there is something to tell of it, and nothing was counted. */
static __always_inline int refuse_at_once(struct xdp_md *ctx, enum reason why)
{
	struct outcome outcome = {
		.ifindex = ctx->ingress_ifindex, .hook = HOOK_XDP, .verdict = VERDICT_DROP, .reason = why};
	const struct interface_entry *interface = interface_find(outcome.ifindex);
	__u32 length = ctx->data_end - ctx->data;

	outcome.row = interface_row(interface, outcome.ifindex);
	outcome.packets = segments(interface, length);
	if (!tell_nothing(&outcome))
		return 0;
	count_packets(&outcome, length);
	return 1;
}

#endif
