/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "zones.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "saved.h"

#define BELOW_MAX 8 /* devices stacked on each other */

struct resolving {
	const struct policy *policy;
	const struct host *host;
	struct report *report; /* or NULL */
	const struct place *at;
	const char *name; /* as the policy writes it */
	unsigned zone;
	struct zone_member *members;
	size_t count;
	bool no_memory;
};

#define tell(resolving, severity, ...)                                                                                 \
	((resolving)->report                                                                                           \
		 ? policy_say((resolving)->policy, (resolving)->report, severity, (resolving)->at, __VA_ARGS__)        \
		 : (void)0)

static bool is_vlan(const struct host_link *link)
{
	return !strcmp(link->kind, "vlan");
}

static bool stands_on(const struct host *host, const struct host_link *upper, unsigned ifindex, unsigned depth)
{
	const struct host_link *lower = upper->lower ? host_link_by_index(host, upper->lower) : NULL;

	if (upper->ifindex == ifindex)
		return true;
	if (depth == BELOW_MAX)
		return false;
	if (lower)
		return stands_on(host, lower, ifindex, depth + 1);
	for (size_t i = 0; host_link_gathers(upper) && i < host->link_count; i++)
		if (host->links[i].master == upper->ifindex && stands_on(host, &host->links[i], ifindex, depth + 1))
			return true;
	return false;
}

const struct host_link *stripped_vlan(const struct host *host, const struct host_link *device)
{
	for (size_t i = 0; device->strips_vlan && i < host->link_count; i++)
		if (is_vlan(&host->links[i]) && host->links[i].ifindex != device->ifindex &&
		    stands_on(host, &host->links[i], device->ifindex, 0))
			return &host->links[i];
	return NULL;
}

static void add_member(struct resolving *resolving, const struct host_link *device, __u16 vlan)
{
	const struct host_link *stripped = stripped_vlan(resolving->host, device);
	struct zone_member *larger;

	if (stripped) {
		tell(resolving, SEVERITY_ERROR,
		     "'%s': %s takes VLAN tags off before packets are judged, so that those of %s could not be told "
		     "from "
		     "others: ethtool -K %s rxvlan off",
		     resolving->name, device->name, stripped->name, device->name);
		return;
	}
	for (size_t i = 0; i < resolving->count; i++) {
		if (resolving->members[i].ifindex != device->ifindex || resolving->members[i].vlan != vlan)
			continue;
		if (resolving->members[i].zone != resolving->zone)
			tell(resolving, SEVERITY_ERROR,
			     "'%s': packets come in on %s, which is in zone '%s' by another name", resolving->name,
			     device->name, resolving->policy->zones[resolving->members[i].zone - 1].name);
		return;
	}
	larger = reallocarray(resolving->members, resolving->count + 1, sizeof(*larger));
	resolving->no_memory |= !larger;
	if (!larger)
		return;
	resolving->members = larger;
	larger[resolving->count++] = (struct zone_member){device->ifindex, vlan, resolving->zone};
}

/* To the devices that packets come in on, and the tag that they have there. A lower device in another network namespace
 * is not ours to attach to: the upper one is. */
static void descend(struct resolving *resolving, const struct host_link *link, __u16 vlan, unsigned depth)
{
	const struct host *host = resolving->host;
	const struct host_link *lower = link->lower ? host_link_by_index(host, link->lower) : NULL;
	bool any = false;

	if (lower && depth < BELOW_MAX && !is_vlan(link)) {
		tell(resolving, SEVERITY_ERROR,
		     "'%s': %s (%s) shares %s with others, and packets do not tell for whom they are before they are "
		     "judged: name %s, or use 'to'",
		     resolving->name, link->name, link->kind, lower->name, lower->name);
	} else if (lower && depth < BELOW_MAX && vlan) {
		tell(resolving, SEVERITY_ERROR,
		     "'%s' stands behind two VLAN tags: zones tell interfaces apart by the outer one, name %s",
		     resolving->name, link->name);
	} else if (lower && depth < BELOW_MAX) {
		descend(resolving, lower, link->vlan, depth + 1);
	} else {
		for (size_t i = 0; host_link_gathers(link) && i < host->link_count && depth < BELOW_MAX; i++) {
			if (host->links[i].master != link->ifindex)
				continue;
			descend(resolving, &host->links[i], vlan, depth + 1);
			any = true;
		}
		if (!any)
			add_member(resolving, link, vlan);
	}
}

static void resolve_zone(struct resolving *resolving, const struct policy_zone *zone)
{
	for (size_t i = 0; i < zone->interfaces.count; i++) {
		const struct host_link *link = host_link_by_name(resolving->host, zone->interfaces.items[i]);

		resolving->name = zone->interfaces.items[i];
		resolving->at = &zone->interface_at[i];
		if (link)
			descend(resolving, link, 0, 0);
		else
			tell(resolving, SEVERITY_WARNING,
			     "'%s': this host has no such interface now: nothing is in zone '%s' by it until it comes",
			     resolving->name, zone->name);
	}
}

int zones_resolve(const struct policy *policy, const struct host *host, struct zone_member **members, size_t *count,
		  struct report *report)
{
	struct resolving resolving = {.policy = policy, .host = host, .report = report};

	*members = NULL;
	*count = 0;
	for (size_t i = 0; policy_has_zones(policy) && i < policy->zone_count; i++) {
		resolving.zone = i + 1;
		resolve_zone(&resolving, &policy->zones[i]);
	}
	if (resolving.no_memory) {
		free(resolving.members);
		return -ENOMEM;
	}
	*members = resolving.members;
	*count = resolving.count;
	return 0;
}

unsigned zone_of_address(const struct host *host, const struct zone_member *members, size_t count,
			 const __u8 address[16])
{
	for (size_t i = 0; i < host->address_count; i++) {
		const struct host_address *own = &host->addresses[i];
		const struct host_link *link = host_link_by_index(host, own->ifindex);

		if (!link || memcmp(own->address.address, address, 16))
			continue;
		for (size_t j = 0; j < count; j++)
			if (stands_on(host, link, members[j].ifindex, 0) &&
			    members[j].vlan == (is_vlan(link) ? link->vlan : 0))
				return members[j].zone;
	}
	return 0;
}

static int renew(struct instance *instance, const struct places *places, const struct host *host, unsigned generation)
{
	struct report report = {};
	struct policy *policy = saved_policy(places, generation, &report);
	struct zone_member *members = NULL;
	size_t count = 0;
	int error = 0;

	if (policy && !report.errors)
		error = zones_resolve(policy, host, &members, &count, NULL)
				?: zones_write(instance, generation, members, count);
	free(members);
	policy_free(policy);
	report_free(&report);
	return error;
}

int zones_renew(struct instance *instance, const struct places *places, const struct host *host)
{
	struct control_state state;
	int error = control_read(instance, &state);

	for (__u32 slot = 0; !error && slot < GENERATION_SLOTS; slot++)
		if (state.slots[slot].generation && state.slots[slot].flags & SLOT_FLAG_ZONES)
			error = renew(instance, places, host, state.slots[slot].generation);
	return error;
}
