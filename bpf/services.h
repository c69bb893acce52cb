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

/* The service of a port on a local address and its index, or NULL. ports of protocols without any are ignored. */
static __always_inline struct service_entry *service_of(__u8 protocol, __u16 port, const union address *local, int ipv6,
							__u16 *index)
{
	__u32 at = port_index(protocol, port), line_number = at / U16_ITEMS, number;
	const struct u16_line *line = bpf_map_lookup_elem(&port_services, &line_number);
	struct service_entry *service;
	__u64 *lists = NULL;
	__u32 class;

	number = line ? line->item[at % U16_ITEMS] : 0;
	if (!number)
		return NULL;
	service = service_at(number);
	*index = number;
	if (!constants.have_to)
		return service;
	class = class_of(local, ipv6);
	lists = bpf_map_lookup_elem(&classes, &class); /* the set of lists stands first in struct class_entry */
	for (int i = 0; i < SERVICES_A_PORT && service; i++) {
		if (!service->to || (lists && service->to & *lists)) {
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

#endif
