/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules for first bytes on this host: whether the connections they are for end where they can be judged. */
#include <netinet/in.h>
#include <stdlib.h>

#include "apply.h"
#include "host_firewall.h"

static unsigned published_port(const struct host_firewall *firewall, const struct service *service)
{
	unsigned port = 0;

	for (size_t i = 0; !port && i < service->port_count; i++) {
		const struct port_range *range = &service->ports[i];

		if (range->protocol == IPPROTO_TCP && range->has_ports)
			port = host_firewall_published(firewall, range->first, range->last);
	}
	return port;
}

/* A connection that goes on to a container has no socket here: its first bytes are not judged, so the rule would
 * promise what it does not hold. By itself a renewal does not end protection over that. */
static int judge_published(struct apply *apply, const struct host_firewall *firewall, const struct service *service)
{
	const struct apply_request *request = apply->request;
	const char *word = service->tls.given ? "tls" : "http";
	unsigned port = published_port(firewall, service);

	if (!port)
		return EXIT_DONE;
	if (request->force || request->boot || request->renew) {
		apply_note(apply, "'%s' of service %s judges nothing on tcp/%u: '%s' sends it elsewhere", word,
			   service->name, port, firewall->published_rule);
		return EXIT_DONE;
	}
	return fail(
		EXIT_ANSWER_NO,
		"%s: '%s' of service %s would judge nothing on tcp/%u, which '%s' sends elsewhere; refused, the "
		"live policy is untouched: remove '%s' here and put it into a policy of the container's own network "
		"namespace (nsenter --net, see FIRST BYTES BEHIND DNAT in bulwark-policy(5)), or say --force",
		apply->context->verb, word, service->name, port, firewall->published_rule, word);
}

int apply_first(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	struct host_firewall *firewall;
	int status = EXIT_DONE;

	if (!apply->image.config.have_tls && !apply->image.config.have_http)
		return EXIT_DONE;
	firewall = malloc(sizeof(*firewall));
	if (!firewall)
		return EXIT_DONE;
	host_firewall_read(firewall);
	for (size_t i = 0; !status && i < policy->service_count; i++)
		if (policy->services[i].tls.given || policy->services[i].http.given)
			status = judge_published(apply, firewall, &policy->services[i]);
	free(firewall);
	return status;
}
