/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which declared service a destination port, or a protocol without ports, belongs to. */
#ifndef BULWARK_SERVICES_H
#define BULWARK_SERVICES_H

#define SERVICES_A_PORT 16 /* services with different `to` that one port can have */

static __always_inline __u32 port_index(__u8 protocol, __u16 port)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return PORTS_TCP + port;
	case IPPROTO_UDP:
		return PORTS_UDP + port;
	case IPPROTO_SCTP:
		return PORTS_SCTP + port;
	default:
		return PORTS_IP + protocol;
	}
}

static __always_inline struct service_entry *service_at(__u32 index)
{
	return bpf_map_lookup_elem(&services, &index);
}

/* Whether a limit is for sources in these lists. */
static __always_inline int counts_source(const struct limit_entry *limit, __u64 lists)
{
	if (!constants.have_limit_lists)
		return 1;
	return !(limit->except & lists) && (!limit->only || limit->only & lists);
}

/* Whether a service is there for what comes in by this zone. */
static __always_inline int serves_zone(const struct service_entry *service, __u32 zone)
{
	return !constants.have_service_zones || !service->zone || service->zone == zone || zone == ZONE_ANY;
}

/* The service of a port on a local address and its index, or NULL. ports of protocols without any are ignored. */
static __always_inline struct service_entry *service_on(__u32 at, const union address *local, int ipv6, __u32 zone,
							__u16 *index)
{
	__u32 line_number = at / U16_ITEMS, number;
	const struct u16_line *line = bpf_map_lookup_elem(&port_services, &line_number);
	struct service_entry *service;
	const struct class_entry *class = NULL;

	number = line ? line->item[at % U16_ITEMS] : 0;
	if (!number)
		return NULL;
	service = service_at(number);
	*index = number;
	if (!constants.have_to && !constants.have_service_zones)
		return service;
	if (constants.have_to)
		class = class_at(class_of(local, ipv6), zone);
	for (int i = 0; i < SERVICES_A_PORT && service; i++) {
		if ((!service->to || (class && service->to & class->lists)) && serves_zone(service, zone)) {
			*index = number;
			return service;
		}
		number = service->next;
		if (!number)
			break;
		service = service_at(number);
	}
	return NULL;
}

/* Of what comes in; both ends as the peer's packets name them. */
static __always_inline struct service_entry *service_of(const struct flow *flow, __u16 *index)
{
	return service_on(port_index(flow->protocol, flow->destination_port), &flow->destination, flow->ipv6,
			  flow->zone, index);
}

#endif
