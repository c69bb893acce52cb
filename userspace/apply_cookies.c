/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYN cookies on this host: whether the kernel and its firewall let them work, and the sysctls they need. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "host_firewall.h"
#include "settings_kept.h"

static void disarm(struct image *image, size_t service)
{
	image->services[service].flags &= ~(SERVICE_COOKIES | SERVICE_COOKIES_ALWAYS);
	/* and what it is under attack; without a profile the same one */
	image->services[service + image->config.profile_shift].flags &= ~(SERVICE_COOKIES | SERVICE_COOKIES_ALWAYS);
}

static void disarm_all(struct image *image)
{
	for (size_t i = 1; i < image->service_count; i++)
		disarm(image, i);
	image->config.cookies.format = COOKIES_NONE;
	image->config.needs_ingress = judges_ingress(&image->config);
}

/* Entries of a service stand in the image under its name, once for each way it shares its ports. */
static void disarm_named(struct image *image, const char *name)
{
	for (size_t i = 1; i < image->service_count; i++)
		if (!strcmp(image->service_names[i], name))
			disarm(image, i);
}

static bool any_armed(const struct image *image)
{
	for (size_t i = 1; i < image->service_count; i++)
		if ((image->services[i].flags | image->services[i + image->config.profile_shift].flags) &
		    SERVICE_COOKIES)
			return true;
	return false;
}

static const char *against(const struct host_firewall *firewall, bool handed_over, const struct service *service,
			   char *words, unsigned size)
{
	const char *why = NULL;

	for (size_t i = 0; !why && i < service->port_count; i++) {
		const struct port_range *range = &service->ports[i];

		if (range->protocol == IPPROTO_TCP)
			why = host_firewall_against(firewall, handed_over, range->has_ports ? range->first : 1,
						    range->has_ports ? range->last : 65535, words, size);
	}
	return why;
}

/* What the host's own firewall would make of a connection whose SYN it has not seen. */
static void ask_firewall(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	struct host_firewall *firewall = malloc(sizeof(*firewall));
	bool handed_over = apply->image.config.cookies.format == COOKIES_OWN;
	char words[512];

	if (!firewall)
		return;
	host_firewall_read(firewall);
	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		bool asked = service->syn_cookies || service_under_attack(policy, service).syn_cookies;
		const char *why = asked ? against(firewall, handed_over, service, words, sizeof(words)) : NULL;

		if (!why)
			continue;
		disarm_named(&apply->image, service->name);
		apply_note(apply, "SYN cookies of service %s are not armed: %s", service->name, why);
	}
	free(firewall);
	if (!any_armed(&apply->image))
		disarm_all(&apply->image);
}

/* A sysctl that cookies of the kernel's format need, as it is or as the policy lets it be set. */
static bool is_or_may_be(const struct apply *apply, int value, int wanted, enum cookie_sysctls word)
{
	return value == wanted || apply->request->policy->cookie_sysctls & word;
}

/* Of what was asked for the kernel's format keeps the MSS, and the rest in a timestamp that nothing is added to. There
 * the kernel works its window scale out anew, which has to be the same. */
static void offer_as_kernel(struct apply *apply)
{
	const struct host_tcp *tcp = &apply->host.tcp;
	struct cookie_offer *offer = &apply->image.config.cookies;

	offer->format = COOKIES_KERNEL;
	apply->image.config.needs_ingress = judges_ingress(&apply->image.config);
	if (!is_or_may_be(apply, tcp->timestamps, 2, COOKIE_SYSCTL_TIMESTAMPS)) {
		offer->flags = 0;
		offer->window_scale = COOKIE_NO_SCALE;
		return;
	}
	offer->flags |= OFFER_TIMESTAMPS;
	if (!tcp->space_sure || host_routes_bound_windows())
		offer->window_scale = COOKIE_NO_SCALE;
}

void apply_cookies(struct apply *apply)
{
	const struct host_tcp *tcp = &apply->host.tcp;
	struct kernel_features features;

	if (!apply->image.config.cookies.format)
		return;
	kernel_features(&features);
	if (!features.own_cookies && !is_or_may_be(apply, tcp->syncookies, 2, COOKIE_SYSCTL_SYNCOOKIES)) {
		disarm_all(&apply->image);
		apply_note(apply,
			   "SYN cookies are not armed: this kernel (older than 6.8) takes none but its own, and those "
			   "while sysctl net.ipv4.tcp_syncookies is 2, when every handshake of this host is one: set "
			   "it, or write syn-cookies: { sysctls: [tcp_syncookies] }");
		return;
	}
	if (!features.own_cookies)
		offer_as_kernel(apply);
	ask_firewall(apply);
}

static int set(struct apply *apply, const char *name, int was, int value)
{
	int error = sysctl_set(&apply->context->places, name, value);

	if (error)
		return fail(EXIT_SYSTEM, "%s: SYN cookies need sysctl net.ipv4.%s=%d, and setting it failed: %s",
			    apply->context->verb, name, value, strerror(-error));
	apply_note(apply, "net.ipv4.%s was %d, it is %d now, for SYN cookies; `bulwark down` puts it back", name, was,
		   value);
	return EXIT_DONE;
}

int apply_sysctls(struct apply *apply)
{
	const struct host_tcp *tcp = &apply->host.tcp;
	unsigned may = apply->request->policy->cookie_sysctls;
	int status = EXIT_DONE;

	if (apply->image.config.cookies.format == COOKIES_OWN && !tcp->syncookies)
		return set(apply, "tcp_syncookies", 0, 1);
	if (apply->image.config.cookies.format != COOKIES_KERNEL)
		return EXIT_DONE;
	if (may & COOKIE_SYSCTL_TIMESTAMPS && tcp->timestamps != 2)
		status = set(apply, "tcp_timestamps", tcp->timestamps, 2);
	if (!status && may & COOKIE_SYSCTL_SYNCOOKIES && tcp->syncookies != 2)
		status = set(apply, "tcp_syncookies", tcp->syncookies, 2);
	return status;
}
