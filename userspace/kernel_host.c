/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs must know of this host: its interfaces' rows, and its own addresses. */
#include "kernel_private.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_clsact.h"

#define KEPT_FLAGS (INTERFACE_GENERIC | INTERFACE_CLSACT | INTERFACE_QDISC)

struct interface_entry *entries_read(const struct instance *instance)
{
	return array_read(instance->maps[MAP_interfaces], INTERFACES, sizeof(struct interface_entry));
}

static int entry_write(const struct instance *instance, __u32 index, const struct interface_entry *entry)
{
	return bpf_map_update_elem(instance->maps[MAP_interfaces], &index, entry, BPF_ANY) ? -errno : 0;
}

static void row_clear(const struct instance *instance, __u32 row)
{
	int cpus = libbpf_num_possible_cpus();
	struct counter *none = cpus > 0 ? calloc(cpus, sizeof(*none)) : NULL;

	for (__u32 i = COUNTER_INDEX(row, 0, 0); none && i < COUNTER_INDEX(row + 1, 0, 0); i++)
		bpf_map_update_elem(instance->maps[MAP_counters], &i, none, BPF_ANY);
	free(none);
}

/* A row no entry has; else, cleared, the row of an interface that is gone; else the common one. */
static __u32 row_choose(const struct instance *instance, struct interface_entry *entries)
{
	bool taken[INTERFACE_ROWS] = {true};

	for (__u32 i = 0; i < INTERFACES; i++)
		taken[entries[i].row % INTERFACE_ROWS] = true;
	for (__u32 row = 1; row < INTERFACE_ROWS; row++)
		if (!taken[row])
			return row;
	for (__u32 i = 0; i < INTERFACES; i++) {
		static const struct interface_entry none;
		__u32 row = entries[i].row;

		if (!row || if_nametoindex(entries[i].name))
			continue;
		entry_write(instance, i, &none);
		row_clear(instance, row);
		return row;
	}
	return 0;
}

static bool forwards(const struct host_link *link)
{
	return link->bridge_port;
}

/* The entry of an interface by name: one that left and returned has another index, and keeps its row. */
static __u32 entry_find(const struct interface_entry *entries, const char *name)
{
	__u32 i = 0;

	while (i < INTERFACES && strcmp(entries[i].name, name))
		i++;
	return i;
}

int interface_enter(struct instance *instance, const struct host_link *link, __u32 flags)
{
	struct interface_entry *entries = entries_read(instance), entry = {.ifindex = link->ifindex, .mtu = link->mtu};
	__u32 index = link->ifindex % INTERFACES, old;
	int error = 0;

	if (!entries) {
		kernel_say("cannot read the map of interfaces: %s", strerror(errno));
		return -errno;
	}
	entry.mtu = link->mtu > 65535 ? 65535 : link->mtu;
	snprintf(entry.name, sizeof(entry.name), "%s", link->name);
	old = entry_find(entries, link->name);
	if (old < INTERFACES) {
		entry.row = entries[old].row;
		if (entries[old].ifindex == link->ifindex)
			flags |= entries[old].flags & KEPT_FLAGS;
	} else {
		entry.row = row_choose(instance, entries);
	}
	entry.flags = flags | (forwards(link) ? INTERFACE_FORWARDS : 0);
	if (old < INTERFACES && old != index) {
		static const struct interface_entry none;

		error = entry_write(instance, old, &none);
	}
	/* the place may belong to another interface that is still there: then this one is counted in row 0 */
	if (!error && (!entries[index].ifindex || !if_nametoindex(entries[index].name) ||
		       !strcmp(entries[index].name, link->name)))
		error = entry_write(instance, index, &entry);
	if (error)
		kernel_say("%s: cannot enter it in the map of interfaces: %s", link->name, strerror(-error));
	free(entries);
	return error;
}

static void filter_remove(struct instance *instance, __u32 index, struct interface_entry *entry)
{
	if (!(entry->flags & INTERFACE_CLSACT))
		return;
	clsact_filter_remove(entry->ifindex, HOOK_INGRESS, instance->root_ids[HOOK_INGRESS], false);
	clsact_filter_remove(entry->ifindex, HOOK_EGRESS, instance->root_ids[HOOK_EGRESS],
			     entry->flags & INTERFACE_QDISC);
	entry->flags &= ~(INTERFACE_CLSACT | INTERFACE_QDISC);
	entry_write(instance, index, entry);
}

void clsact_filters_forget(struct instance *instance, unsigned ifindex)
{
	__u32 index = ifindex % INTERFACES;
	struct interface_entry entry;

	if (ifindex && !bpf_map_lookup_elem(instance->maps[MAP_interfaces], &index, &entry) && entry.ifindex == ifindex)
		filter_remove(instance, index, &entry);
}

void clsact_filters_forget_all(struct instance *instance)
{
	struct interface_entry *entries = instance->foreign ? NULL : entries_read(instance);

	for (__u32 i = 0; entries && i < INTERFACES; i++)
		filter_remove(instance, i, &entries[i]);
	free(entries);
}

/* ---- own addresses ---- */

static bool is_own(const struct host *host, const __u8 *address)
{
	for (size_t i = 0; i < host->address_count; i++)
		if (!memcmp(host->addresses[i].address.address, address, ADDRESS_BYTES))
			return true;
	return false;
}

/* New ones come before old ones go, so no address that stays is ever missing. */
static int own_addresses_write(struct instance *instance, const struct host *host)
{
	int fd = instance->maps[MAP_own_addresses], gone_count = 0;
	__u8 key[ADDRESS_BYTES], *gone = malloc((size_t)OWN_ADDRESSES_MAX * ADDRESS_BYTES);
	const void *previous = NULL;
	__u32 one = 1;

	if (!gone)
		return -ENOMEM;
	for (size_t i = 0; i < host->address_count; i++)
		if (bpf_map_update_elem(fd, host->addresses[i].address.address, &one, BPF_ANY) && errno != E2BIG) {
			kernel_say("cannot note an own address: %s", strerror(errno));
			free(gone);
			return -errno;
		}
	while (gone_count < OWN_ADDRESSES_MAX && !bpf_map_get_next_key(fd, previous, key)) {
		if (!is_own(host, key))
			memcpy(gone + (size_t)gone_count++ * ADDRESS_BYTES, key, ADDRESS_BYTES);
		previous = key;
	}
	for (int i = 0; i < gone_count; i++)
		bpf_map_delete_elem(fd, gone + (size_t)i * ADDRESS_BYTES);
	free(gone);
	return 0;
}

static int host_facts_write(const struct instance *instance, const struct host *host)
{
	struct host_facts facts = {.forwards = host->forwards};
	__u32 zero = 0;

	if (!bpf_map_update_elem(instance->maps[MAP_host_facts], &zero, &facts, BPF_ANY))
		return 0;
	kernel_say("cannot note whether this host forwards: %s", strerror(errno));
	return -errno;
}

int instance_forwards(const struct instance *instance, bool *forwards)
{
	struct host_facts facts;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(instance->maps[MAP_host_facts], &zero, &facts))
		return -errno;
	*forwards = facts.forwards;
	return 0;
}

int refuse_foreign(const struct instance *instance)
{
	if (!instance->foreign)
		return 0;
	kernel_say("the pins in %s protect another network namespace: give this one its own --pin-dir or, where that "
		   "one is gone (a container that was started again), say `bulwark down` first",
		   instance->places.pin_dir);
	return -EXDEV;
}

int instance_know_host(struct instance *instance, const struct host *host)
{
	struct interface_entry *entries;
	int error = refuse_foreign(instance);

	if (error)
		return error;
	entries = entries_read(instance);
	if (!entries)
		return -errno;
	error = own_addresses_write(instance, host);
	if (!error)
		error = host_facts_write(instance, host);
	for (__u32 i = 0; !error && i < INTERFACES; i++) {
		const struct host_link *link = entries[i].ifindex ? host_link_by_index(host, entries[i].ifindex) : NULL;

		if (link && !strcmp(link->name, entries[i].name))
			error = interface_enter(instance, link, 0);
	}
	free(entries);
	return error;
}
