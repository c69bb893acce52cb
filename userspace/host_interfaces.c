/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the names in a policy to the devices that packets come in on. Pure: asks only struct host. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define BELOW_MAX 8 /* devices stacked on each other: VLAN in VLAN on a bond */

struct resolving {
	const struct host *host;
	const struct host_link **links; /* room for every link of the host */
	size_t count;
	/* of one name: */
	bool found;
	const struct host_link *bare; /* one that was left out for it, or NULL */
};

const struct host_link *host_link_by_name(const struct host *host, const char *name)
{
	for (size_t i = 0; i < host->link_count; i++)
		if (!strcmp(host->links[i].name, name))
			return &host->links[i];
	return NULL;
}

const struct host_link *host_link_by_index(const struct host *host, unsigned ifindex)
{
	for (size_t i = 0; i < host->link_count; i++)
		if (host->links[i].ifindex == ifindex)
			return &host->links[i];
	return NULL;
}

/* Devices of several below them. A VRF's packets never come in on the VRF itself, as XDP sees them. */
bool host_link_gathers(const struct host_link *link)
{
	return !strcmp(link->kind, "bond") || !strcmp(link->kind, "team") || !strcmp(link->kind, "vrf");
}

static void take(struct resolving *resolving, const struct host_link *link)
{
	if (link->bare) {
		resolving->bare = link;
		return;
	}
	resolving->found = true;
	for (size_t i = 0; i < resolving->count; i++)
		if (resolving->links[i] == link)
			return;
	resolving->links[resolving->count++] = link;
}

/* A lower device in another network namespace is not ours to attach to: the upper one is taken then. */
static void descend(struct resolving *resolving, const struct host_link *link, unsigned depth)
{
	const struct host_link *lower = link->lower ? host_link_by_index(resolving->host, link->lower) : NULL;
	bool any = false;

	if (lower && depth < BELOW_MAX) {
		descend(resolving, lower, depth + 1);
		return;
	}
	for (size_t i = 0; host_link_gathers(link) && i < resolving->host->link_count && depth < BELOW_MAX; i++) {
		if (resolving->host->links[i].master != link->ifindex)
			continue;
		descend(resolving, &resolving->host->links[i], depth + 1);
		any = true;
	}
	if (!any)
		take(resolving, link);
}

static bool descend_auto(struct resolving *resolving)
{
	bool any = false;

	for (size_t i = 0; i < resolving->host->link_count; i++) {
		if (!resolving->host->links[i].default_route)
			continue;
		descend(resolving, &resolving->host->links[i], 0);
		any = true;
	}
	return any;
}

static void say_unknown(const struct host *host, const char *name, const struct place *at, struct report *report)
{
	const char **names = calloc(host->link_count + 1, sizeof(*names));
	const char *near = NULL;

	for (size_t i = 0; names && i < host->link_count; i++)
		names[i] = host->links[i].name;
	if (names)
		near = did_you_mean(name, names, host->link_count);
	report_add(report, SEVERITY_ERROR, at, NULL, "'%s': this host has no such interface%s%s%s", name,
		   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	free(names);
}

static void say_bare(const struct host_link *link, const char *name, const struct place *at, struct report *report)
{
	report_add(report, SEVERITY_ERROR, at, NULL,
		   "'%s': packets of %s%s%s%s have no Ethernet header, and programs cannot read them there; what it "
		   "carries "
		   "is judged by its outer header as it comes in: name the interface on which it does",
		   name, link->name, *link->kind ? " (" : "", link->kind, *link->kind ? ")" : "");
}

static void resolve(struct resolving *resolving, const char *name, const struct place *at, struct report *report)
{
	const struct host_link *link = host_link_by_name(resolving->host, name);

	resolving->found = false;
	resolving->bare = NULL;
	if (!strcmp(name, "auto")) {
		if (!descend_auto(resolving))
			report_add(report, SEVERITY_ERROR, at, NULL,
				   "'auto': no interface of this host carries a default route; name the interfaces");
	} else if (!link) {
		say_unknown(resolving->host, name, at, report);
	} else if (link->loopback) {
		report_add(report, SEVERITY_ERROR, at, NULL,
			   "'%s': loopback carries no traffic from outside; name another interface", name);
	} else {
		descend(resolving, link, 0);
	}
	if (resolving->bare && !resolving->found)
		say_bare(resolving->bare, name, at, report);
}

int host_interfaces(const struct host *host, char *const *names, const struct place *at, size_t name_count,
		    const struct host_link ***links, size_t *link_count, struct report *report)
{
	struct resolving resolving = {.host = host, .links = calloc(host->link_count + 1, sizeof(*resolving.links))};

	if (!resolving.links)
		return -ENOMEM;
	for (size_t i = 0; i < name_count; i++)
		resolve(&resolving, names[i], at ? &at[i] : NULL, report);
	*links = resolving.links;
	*link_count = resolving.count;
	return 0;
}
