/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Zones: by which interface a packet comes in, as the policy groups them, and what a class of addresses means there. */
#ifndef BULWARK_ZONES_H
#define BULWARK_ZONES_H

/* A function of its own: its key must not add to the stack of the questions. */
__noinline int zone_find(__u32 ifindex, __u32 vlan)
{
	struct zone_key key = {.generation = constants.generation, .ifindex = ifindex, .vlan = vlan};
	const __u32 *zone = bpf_map_lookup_elem(&zones, &key);

	return zone ? *zone : 0;
}

/* Where constants.have_zones. */
static __always_inline __u8 zone_of(__u32 ifindex, __u32 vlan)
{
	return constants.offline ? offline_zone : zone_find(ifindex, vlan);
}

/* What the policy makes of a class, in this zone; NULL for addresses in no list. */
static __always_inline const struct class_entry *class_at(__u32 number, __u32 zone)
{
	if (!number)
		return NULL;
	if (constants.have_zones && zone <= ZONES_MAX)
		number += zone * constants.class_count;
	return bpf_map_lookup_elem(&classes, &number);
}

static __always_inline const struct class_entry *source_class(const struct flow *flow)
{
	return class_at(class_of(&flow->source, flow->ipv6), flow->zone);
}

#endif
