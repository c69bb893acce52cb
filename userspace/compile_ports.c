/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services and the port planes. A port's plane entry heads a chain of services in file order, each for other
 * destinations. Chains are built from their ends, so walking the services backwards puts each in front of what comes
 * later; a service stands in the kernel's table once for every chain it heads.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

#define ESP_IN_UDP 4500 /* RFC 3948 */

static __u8 cookie_flags(const struct compile *compile, const struct service *service)
{
	if (!has_cookies(compile, service))
		return 0;
	return service->syn_cookies == SYN_COOKIES_ALWAYS ? SERVICE_COOKIES | SERVICE_COOKIES_ALWAYS : SERVICE_COOKIES;
}

static struct service_entry entry_of(const struct compile *compile, size_t index)
{
	const struct service *service = &compile->policy->services[index];
	bool monitor = service->monitor || compile->policy->monitor;

	return (struct service_entry){
		.allow = service->has_allow || service->allow.count ? lists_or_nobody(compile, &service->allow) : 0,
		.to = service->has_to || service->to.count ? lists_or_nobody(compile, &service->to) : 0,
		.tag = service->tag,
		.rule = compile->service_rules[index],
		.flags = (monitor ? SERVICE_MONITOR : 0) | cookie_flags(compile, service),
		.ttl = service->ttl,
		.limits = first_limit(compile->policy, index),
		.limit_count = (__u8)service->limit_count,
		.zone = (__u8)service->zone,
		.tls = compile->tls_numbers[index],
		.http = compile->http_numbers[index],
		.quic = compile->quic_numbers[index],
	};
}

/* The entry of a service before `next`: found, or added. 0: no room. */
static __u16 entry_before(struct image *image, size_t first, const struct service_entry *service, const char *name,
			  __u16 next)
{
	size_t count = image->service_count;

	for (size_t i = first; i < count; i++) {
		if (image->services[i].next == next)
			return i;
	}
	if (count == SERVICES_MAX)
		return 0;
	image->services[count] = *service;
	image->services[count].next = next;
	image->service_names[count] = strdup(name);
	if (!image->service_names[count])
		return 0;
	image->service_count++;
	return count;
}

/* The planes a range of ports fills: [*first, *last] in port_services. */
static void range_of(const struct port_range *range, size_t *first, size_t *last)
{
	size_t plane;

	switch (range->protocol) {
	case IPPROTO_TCP:
		plane = PORTS_TCP;
		break;
	case IPPROTO_UDP:
		plane = PORTS_UDP;
		break;
	case IPPROTO_SCTP:
		plane = PORTS_SCTP;
		break;
	default:
		*first = *last = PORTS_IP + range->protocol;
		return;
	}
	*first = plane + (range->has_ports ? range->first : 1);
	*last = plane + (range->has_ports ? range->last : 65535);
}

static int place_service(struct compile *compile, size_t index)
{
	const struct service *service = &compile->policy->services[index];
	struct service_entry entry = entry_of(compile, index);
	struct image *image = compile->image;
	size_t own = image->service_count, first, last;

	for (size_t i = 0; i < service->port_count; i++) {
		range_of(&service->ports[i], &first, &last);
		for (size_t port = first; port <= last; port++) {
			__u16 head = image->port_services[port];
			__u16 number;

			if (head >= own) /* written twice within this service */
				continue;
			/* one that serves every address in every zone leaves nothing to the later ones */
			number = entry_before(image, own, &entry, service->name, entry.to || entry.zone ? head : 0);
			if (!number)
				return image->service_count == SERVICES_MAX ? -E2BIG : -ENOMEM;
			image->port_services[port] = number;
		}
	}
	return 0;
}

/* Entries were made from the last service to the first: turn them round, so that numbers follow the file. */
static void renumber(struct image *image)
{
	size_t count = image->service_count;

	for (size_t i = 1, j = count - 1; i < j; i++, j--) {
		struct service_entry entry = image->services[i];
		char *name = image->service_names[i];

		image->services[i] = image->services[j];
		image->services[j] = entry;
		image->service_names[i] = image->service_names[j];
		image->service_names[j] = name;
	}
	for (size_t i = 1; i < count; i++)
		image->services[i].next = image->services[i].next ? count - image->services[i].next : 0;
	for (size_t i = 0; i < PORTS_COUNT; i++)
		image->port_services[i] = image->port_services[i] ? count - image->port_services[i] : 0;
}

/* An entry as it is under attack: the one of peace with other limits and cookies. */
static struct service_entry entry_under_attack(const struct compile *compile, struct service_entry entry,
					       const char *name)
{
	const struct policy *policy = compile->policy;

	for (size_t i = 0; i < policy->service_count; i++) {
		struct service other;

		if (strcmp(policy->services[i].name, name))
			continue;
		other = service_under_attack(policy, &policy->services[i]);
		entry.flags &= ~(SERVICE_COOKIES | SERVICE_COOKIES_ALWAYS);
		entry.flags |= cookie_flags(compile, &other);
		if (other.limits != policy->services[i].limits) {
			entry.limits = first_limit_under_attack(policy, i);
			entry.limit_count = (__u8)other.limit_count;
		}
	}
	return entry;
}

static void compile_profiles(struct compile *compile)
{
	struct image *image = compile->image;

	if (!policy_has_profile(compile->policy))
		return;
	image->config.profile_shift = (__u16)image->service_count;
	for (size_t i = 1; i < image->service_count; i++)
		image->services[image->service_count + i] =
			entry_under_attack(compile, image->services[i], image->service_names[i]);
}

int compile_services(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	struct image *image = compile->image;
	int err = 0;

	image->services = calloc(2 * SERVICES_MAX, sizeof(*image->services));
	image->service_names = calloc(SERVICES_MAX, sizeof(*image->service_names));
	image->port_services = calloc(PORTS_COUNT, sizeof(*image->port_services));
	if (!image->services || !image->service_names || !image->port_services)
		return -ENOMEM;
	image->service_count = 1;
	for (size_t i = policy->service_count; i-- > 0 && !err;) {
		if (compile->service_rules[i])
			err = place_service(compile, i);
	}
	if (err == -E2BIG)
		policy_say(compile->policy, compile->report, SEVERITY_ERROR, NULL,
			   "more than %d services, counting one once more for each way it shares its ports with others",
			   SERVICES_MAX - 1);
	if (err)
		return err;
	renumber(image);
	compile_profiles(compile);
	image->config.takes_ipsec = image->port_services[PORTS_IP + IPPROTO_ESP] ||
				    image->port_services[PORTS_IP + IPPROTO_AH] ||
				    image->port_services[PORTS_UDP + ESP_IN_UDP];
	image->config.needs_ingress |= image->config.takes_ipsec;
	for (size_t i = 1; i < image->service_count; i++) {
		image->config.have_to |= image->services[i].to != 0;
		image->config.have_service_zones |= image->services[i].zone != 0;
	}
	return 0;
}
