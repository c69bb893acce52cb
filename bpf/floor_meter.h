/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How much of the floor one neighbour may send, told by its MAC address: the floor reaches the kernel in spite of every
 * other rule, so a neighbour that floods must not take the whole host with it. The bounds are far above what any
 * protocol of a link needs. Accounts stand in the limiter's lines.
 */
#ifndef BULWARK_FLOOR_METER_H
#define BULWARK_FLOOR_METER_H

#define ETHERTYPE_ARP 0x0806

/* ARP, discovery, groups and DHCP cost the kernel work for each packet; other frames that are not of IP may be all that
 * a line carries (PPPoE, MPLS). */
static __always_inline int floor_is_frame(const void *data, const void *end, const struct packet *pkt)
{
	const __be16 *type = data + ((pkt->l3 - sizeof(*type)) & 31); /* stands in front of the network header */

	return !pkt->l4 && !((const void *)(type + 1) <= end && *type == bpf_htons(ETHERTYPE_ARP));
}

/* A function of its own: its stack must not add to that of the questions. */
__noinline int floor_takes(struct xdp_md *ctx, const struct packet *pkt)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;
	__u64 address = 0, hash, cost_ns;
	struct sip s;
	int frame;

	if (!pkt || (void *)(eth + 1) > end)
		return 1;
	__builtin_memcpy(&address, eth->h_source, sizeof(eth->h_source));
	frame = floor_is_frame(data, end, pkt);
	cost_ns = 1000000000ULL / (frame ? FLOOR_FRAMES : FLOOR_PACKETS);
	sip_begin(&s);
	sip_word(&s, address << 16 | frame << 8 | KEY_FLOOR);
	hash = sip_end(&s, 8);
	return limiter_take(hash, hash >> 40, limiter_units(cost_ns), limiter_units(FLOOR_BURST_NS - cost_ns));
}

#endif
