/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom a ban must never hit: asked before the kernel is told. */
#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

#include "feed.h"
#include "spare.h"
#include "verb_common.h"

struct question {
	const struct prefix *bans; /* sorted */
	size_t count;
	char *why;
	size_t size;
};

int prefix_order(const void *a, const void *b)
{
	const struct prefix *one = a, *other = b;
	int order = memcmp(one->address, other->address, sizeof(one->address));

	return order ? order : (int)one->length - (int)other->length;
}

/* The first ban that does not sort before a prefix. */
static size_t first_from(const struct question *question, const struct prefix *prefix)
{
	size_t from = 0, to = question->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (prefix_order(&question->bans[middle], prefix) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Whether any ban shares an address with a prefix: one within it comes first from its place on, one around it is found
 * by its own length. */
static bool any_meets(const struct question *question, const struct prefix *spared)
{
	struct prefix around = *spared;
	size_t at = first_from(question, spared);

	if (at < question->count && prefixes_meet(&question->bans[at], spared))
		return true;
	while (around.length) {
		around.length--;
		around.address[around.length / 8] &= ~(0x80 >> around.length % 8);
		at = first_from(question, &around);
		if (at < question->count && !prefix_order(&question->bans[at], &around))
			return true;
	}
	return false;
}

static bool hits(const struct question *question, const struct prefix *spared, const char *what, const char *name)
{
	char text[PREFIX_TEXT];

	if (!any_meets(question, spared))
		return false;
	snprintf(question->why, question->size, "%s%s%s %s", what, name ? " " : "", name ? name : "",
		 prefix_text(spared, text));
	return true;
}

static bool hits_host(const struct question *question, const struct host *host)
{
	struct prefix peer = {.length = 128};

	for (size_t i = 0; i < host->address_count; i++)
		if (hits(question, &host->addresses[i].address, "this host's own address", NULL))
			return true;
	for (size_t i = 0; i < host->gateway_count; i++)
		if (hits(question, &host->gateways[i], "the gateway", NULL))
			return true;
	for (size_t i = 0; i < host->resolver_count; i++)
		if (hits(question, &host->resolvers[i], "the resolver", NULL))
			return true;
	memcpy(peer.address, host->operator.remote, sizeof(peer.address));
	return host->has_operator && hits(question, &peer, "the SSH connection that you work over, from", NULL);
}

static bool hits_feed(const struct question *question, const struct list *list, const char *what)
{
	struct prefixes prefixes = {};
	struct report report = {};
	struct prefix prefix;
	bool hit = false;

	feed_read(list, 0, &prefixes, &report);
	for (size_t i = 0; i < prefixes.v4_count && !hit; i++) {
		__be32 address = htonl(prefixes.v4[i].address);

		memset(&prefix, 0, sizeof(prefix));
		prefix.address[10] = prefix.address[11] = 0xff;
		memcpy(prefix.address + 12, &address, 4);
		prefix.length = prefixes.v4[i].length + 96;
		hit = hits(question, &prefix, what, list->name);
	}
	for (size_t i = 0; i < prefixes.v6_count && !hit; i++) {
		__be64 halves[2] = {htobe64(prefixes.v6[i].high), htobe64(prefixes.v6[i].low)};

		memcpy(prefix.address, halves, sizeof(prefix.address));
		prefix.length = prefixes.v6[i].length;
		hit = hits(question, &prefix, what, list->name);
	}
	prefixes_free(&prefixes);
	report_free(&report);
	return hit;
}

static bool hits_lists(const struct question *question, const struct policy *policy, const struct list_uses *uses,
		       const char *what)
{
	for (size_t i = 0; i < uses->count; i++) {
		const struct list *list = &policy->lists[uses->items[i].list];

		for (size_t n = 0; n < list->prefix_count; n++)
			if (hits(question, &list->prefixes[n], what, list->name))
				return true;
		if (list->feed && hits_feed(question, list, what))
			return true;
	}
	return false;
}

bool ban_hits(const struct host *host, const struct policy *policy, const struct prefix *bans, size_t count, char *why,
	      size_t size)
{
	const struct question question = {.bans = bans, .count = count, .why = why, .size = size};

	if (hits_host(&question, host))
		return true;
	if (!policy)
		return false;
	return hits_lists(&question, policy, &policy->trusted, "the trusted list") ||
	       hits_lists(&question, policy, &policy->never_ban, "the never-ban list") ||
	       hits_lists(&question, policy, &policy->health_checks, "the health-check list") ||
	       hits_lists(&question, policy, &policy->proxies, "the proxy list");
}

static bool is_proxy(const struct policy *policy, unsigned list)
{
	for (size_t i = 0; i < policy->proxies.count; i++)
		if (policy->proxies.items[i].list == list)
			return true;
	return false;
}

/* Whether a service is for addresses of the question without a proxy before them. */
static bool admits_directly(const struct question *question, const struct policy *policy, const struct service *service)
{
	struct list_uses direct = {};

	if (!service->has_allow)
		return true;
	for (size_t i = 0; i < service->allow.count; i++) {
		direct = (struct list_uses){&service->allow.items[i], 1};
		if (!is_proxy(policy, direct.items->list) && hits_lists(question, policy, &direct, "allowed"))
			return true;
	}
	return false;
}

enum ban_reach ban_reach(const struct policy *policy, const struct prefix *bans, size_t count)
{
	char why[256];
	const struct question question = {.bans = bans, .count = count, .why = why, .size = sizeof(why)};

	if (!policy || !policy->proxies.count)
		return BAN_REACHES;
	if (policy->default_pass || hits_lists(&question, policy, &policy->proxies, "the proxy list"))
		return BAN_REACHES_DIRECT;
	for (size_t i = 0; i < policy->service_count; i++)
		if (admits_directly(&question, policy, &policy->services[i]))
			return BAN_REACHES_DIRECT;
	return BAN_REACHES_NOBODY;
}
