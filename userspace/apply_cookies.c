/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYN cookies on this host: whether the kernel and its firewall let them work, and the sysctl they need. */
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

static const char *against(const struct host_firewall *firewall, const struct service *service, char *words,
			   unsigned size)
{
	const char *why = NULL;

	for (size_t i = 0; !why && i < service->port_count; i++) {
		const struct port_range *range = &service->ports[i];

		if (range->protocol == IPPROTO_TCP)
			why = host_firewall_against(firewall, range->has_ports ? range->first : 1,
						    range->has_ports ? range->last : 65535, words, size);
	}
	return why;
}

/* What the host's own firewall would make of a connection whose SYN it has not seen. */
static void ask_firewall(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	struct host_firewall *firewall = malloc(sizeof(*firewall));
	char words[512];

	if (!firewall)
		return;
	host_firewall_read(firewall);
	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		bool asked = service->syn_cookies || service_under_attack(policy, service).syn_cookies;
		const char *why = asked ? against(firewall, service, words, sizeof(words)) : NULL;

		if (!why)
			continue;
		disarm_named(&apply->image, service->name);
		apply_note(apply, "SYN cookies of service %s are not armed: %s", service->name, why);
	}
	free(firewall);
	if (!any_armed(&apply->image))
		disarm_all(&apply->image);
}

void apply_cookies(struct apply *apply)
{
	struct kernel_features features;

	if (!apply->image.config.cookies.format)
		return;
	kernel_features(&features);
	if (features.own_cookies) {
		ask_firewall(apply);
		return;
	}
	disarm_all(&apply->image);
	apply_note(apply, "SYN cookies are not armed: this kernel cannot take over connections that they opened "
			  "(bpf_sk_assign_tcp_reqsk comes with Linux 6.8)");
}

int apply_sysctls(struct apply *apply)
{
	int error;

	if (!apply->image.config.cookies.format || apply->host.tcp.syncookies)
		return EXIT_DONE;
	error = sysctl_set(&apply->context->places, "tcp_syncookies", 1);
	if (error)
		return fail(EXIT_SYSTEM,
			    "%s: SYN cookies need sysctl net.ipv4.tcp_syncookies=1, and setting it failed: %s",
			    apply->context->verb, strerror(-error));
	apply_note(apply, "net.ipv4.tcp_syncookies was 0, it is 1 now, for SYN cookies; `bulwark down` puts it back");
	return EXIT_DONE;
}
