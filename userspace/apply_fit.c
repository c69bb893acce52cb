/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a policy was written for another kind of host: what this one needs and would lose, told before it is missed. */
#include "apply.h"

#include <netinet/in.h>
#include <string.h>

#include "values.h"
#include "verb_common.h"

static bool is_declared(const struct image *image, __u8 protocol, __u16 port)
{
	size_t at = protocol == IPPROTO_UDP ? PORTS_UDP + port : PORTS_IP + protocol;

	return image->port_services[at];
}

static const char *declaration(__u8 protocol, __u16 port, char buffer[VALUE_TEXT])
{
	const struct port_range range = {.protocol = protocol, .has_ports = port, .first = port, .last = port};

	return port_text(&range, buffer);
}

/* Tunnels are judged by their outer header. */
static void fit_tunnels(struct apply *apply)
{
	char text[VALUE_TEXT];

	for (size_t i = 0; i < apply->host.link_count; i++) {
		const struct host_link *link = &apply->host.links[i];

		if (!link->up || !link->tunnel || is_declared(&apply->image, link->tunnel, link->tunnel_port))
			continue;
		apply_note(apply,
			   "%s (%s) gets its packets as %s, which no service declares: they are dropped unless a "
			   "trusted source sends them",
			   link->name, link->kind, declaration(link->tunnel, link->tunnel_port, text));
	}
}

static const struct {
	const char *group, *who;
	__u8 protocol;
	__u16 port;
} spoken_to[] = {
	{"224.0.0.18", "VRRP", 112, 0}, {"ff02::12", "VRRP", 112, 0},		{"224.0.0.5", "OSPF", 89, 0},
	{"ff02::5", "OSPF", 89, 0},	{"224.0.0.13", "PIM", 103, 0},		{"ff02::d", "PIM", 103, 0},
	{"224.0.0.10", "EIGRP", 88, 0}, {"224.0.0.9", "RIP", IPPROTO_UDP, 520}, {"ff02::9", "RIPng", IPPROTO_UDP, 521},
};

/* A routing daemon that runs here has joined its group; without a service for it, it hears nobody. */
static void fit_groups(struct apply *apply)
{
	char group[PREFIX_TEXT], text[VALUE_TEXT];

	for (size_t i = 0; i < apply->host.group_count; i++) {
		prefix_text(&apply->host.groups[i], group);
		for (size_t j = 0; j < sizeof(spoken_to) / sizeof(*spoken_to); j++) {
			__u8 protocol = spoken_to[j].protocol;
			__u16 port = spoken_to[j].port;

			if (strcmp(group, spoken_to[j].group) || is_declared(&apply->image, protocol, port))
				continue;
			apply_note(apply,
				   "this host listens to the group %s (%s), but no service declares %s: its "
				   "neighbours are not heard",
				   group, spoken_to[j].who, declaration(protocol, port, text));
		}
	}
}

static bool is_own(const struct host *host, const struct prefix *prefix)
{
	for (size_t i = 0; i < host->address_count; i++)
		if (prefixes_meet(&host->addresses[i].address, prefix))
			return true;
	return false;
}

/* The first address of `to`, where this host has none of them; NULL: it has one, or a feed says which. */
static const struct prefix *elsewhere(const struct apply *apply, const struct service *service)
{
	const struct prefix *first = NULL;

	for (size_t i = 0; i < service->to.count; i++) {
		const struct list *list = &apply->request->policy->lists[service->to.items[i].list];

		if (list->feed)
			return NULL;
		for (size_t j = 0; j < list->prefix_count; j++) {
			if (is_own(&apply->host, &list->prefixes[j]))
				return NULL;
			first = first ? first : &list->prefixes[j];
		}
	}
	return first;
}

static void fit_services(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < policy->service_count && !apply->host.forwards; i++) {
		const struct prefix *prefix = elsewhere(apply, &policy->services[i]);

		if (prefix)
			apply_note(apply,
				   "service %s is only for %s and the like, which this host does not have now: right "
				   "for an address that it shares with another node, else nobody reaches it",
				   policy->services[i].name, prefix_text(prefix, text));
	}
}

static void fit_forward(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;

	if (policy->forward == FORWARD_AS_DROP && apply->host.forwards)
		apply_note(apply, "this host forwards for others (containers, pods, a bridge, a network behind it): "
				  "'forward: drop' cuts them off");
	if (policy->forward != FORWARD_AS_DROP && policy->forward_at.line && !apply->host.forwards)
		apply_note(apply,
			   "'forward: %s' is for hosts with containers, pods or a network behind them; this one "
			   "forwards for nobody now",
			   policy->forward == FORWARD_AS_SERVICES ? "services" : "pass");
}

void apply_fit(struct apply *apply)
{
	fit_forward(apply);
	fit_services(apply);
	if (apply->image.config.default_pass)
		return;
	fit_tunnels(apply);
	fit_groups(apply);
}
