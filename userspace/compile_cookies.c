/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYN cookies: what the SYN-ACKs of a generation offer is what this host's own stack would. */
#include <netinet/in.h>

#include "compile.h"

#define USUAL_SPACE 6291456 /* the default of tcp_rmem's maximum */
#define SCALE_MAX 14	    /* RFC 7323 2.3 */

bool has_cookies(const struct compile *compile, const struct service *service)
{
	return service->syn_cookies && !service->monitor && !compile->policy->monitor;
}

static bool may_have_cookies(const struct compile *compile, const struct service *service)
{
	struct service other = service_under_attack(compile->policy, service);

	return has_cookies(compile, service) || has_cookies(compile, &other);
}

/* As tcp_select_initial_window() chooses it: so that a window of 16 bits reaches all of the largest buffer. */
static __u8 scale_of(__u64 space)
{
	__u8 scale = 0;

	while (scale < SCALE_MAX && space >> (scale + 16))
		scale++;
	return scale;
}

void configure_cookies(struct compile *compile)
{
	const struct host_tcp *tcp = compile->host && compile->host->tcp.known ? &compile->host->tcp : NULL;
	struct cookie_offer *offer = &compile->image->config.cookies;
	const struct policy *policy = compile->policy;

	for (size_t i = 0; i < policy->service_count; i++)
		if (compile->service_rules[i] && may_have_cookies(compile, &policy->services[i]))
			offer->format = COOKIES_OWN;
	compile->image->config.needs_ingress |= offer->format == COOKIES_OWN;
	offer->ttl = tcp ? tcp->ttl : 64;
	offer->window_scale = tcp && !tcp->window_scaling ? COOKIE_NO_SCALE : scale_of(tcp ? tcp->space : USUAL_SPACE);
	if (!tcp || tcp->sack)
		offer->flags |= OFFER_SACK;
	if (!tcp || tcp->timestamps)
		offer->flags |= OFFER_TIMESTAMPS;
	if (!tcp || tcp->ecn)
		offer->flags |= OFFER_ECN;
}
