/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rows that tell the programs of a generation which zone a packet is in. */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>

#include "zones.h"

static struct zone_key key_of(__u32 generation, const struct zone_member *member)
{
	return (struct zone_key){.generation = generation, .ifindex = member->ifindex, .vlan = member->vlan};
}

static bool is_member(const struct zone_key *key, const struct zone_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (members[i].ifindex == key->ifindex && members[i].vlan == key->vlan)
			return true;
	return false;
}

static bool in_slot(const struct control_state *state, __u32 generation)
{
	for (__u32 slot = 0; slot < GENERATION_SLOTS; slot++)
		if (state->slots[slot].generation == generation)
			return true;
	return false;
}

/* Rows that are over: of this generation, what is none of the members; of older ones, all when they are in no slot. A
 * younger one may be on its way into one. */
static int rows_drop(const struct instance *instance, __u32 generation, const struct control_state *state,
		     const struct zone_member *members, size_t count)
{
	struct zone_key *gone = malloc(ZONE_MEMBERS * sizeof(*gone)), key;
	const struct zone_key *previous = NULL;
	size_t gone_count = 0;

	if (!gone)
		return -ENOMEM;
	while (gone_count < ZONE_MEMBERS && !bpf_map_get_next_key(instance->maps[MAP_zones], previous, &key)) {
		if (key.generation == generation ? !is_member(&key, members, count)
						 : key.generation < generation && !in_slot(state, key.generation))
			gone[gone_count++] = key;
		previous = &key;
	}
	for (size_t i = 0; i < gone_count; i++)
		bpf_map_delete_elem(instance->maps[MAP_zones], &gone[i]);
	free(gone);
	return 0;
}

int zones_write(struct instance *instance, __u32 generation, const struct zone_member *members, size_t count)
{
	struct control_state state;
	int error = control_read(instance, &state) ?: rows_drop(instance, generation, &state, members, count);

	for (size_t i = 0; !error && i < count; i++) {
		struct zone_key key = key_of(generation, &members[i]);
		__u32 zone = members[i].zone;

		if (!bpf_map_update_elem(instance->maps[MAP_zones], &key, &zone, BPF_ANY))
			continue;
		error = -errno;
		kernel_say("cannot note that interface %u is in a zone: %s", key.ifindex,
			   error == -E2BIG ? "the zones of all loaded policies have too many interfaces"
					   : strerror(-error));
	}
	return error;
}

int zones_read(const struct instance *instance, __u32 generation, struct zone_member **members, size_t *count)
{
	const struct zone_key *previous = NULL;
	struct zone_key key;

	*count = 0;
	*members = calloc(ZONE_MEMBERS, sizeof(**members));
	if (!*members)
		return -ENOMEM;
	while (*count < ZONE_MEMBERS && !bpf_map_get_next_key(instance->maps[MAP_zones], previous, &key)) {
		__u32 zone;

		previous = &key;
		if (key.generation == generation && !bpf_map_lookup_elem(instance->maps[MAP_zones], &key, &zone))
			(*members)[(*count)++] = (struct zone_member){key.ifindex, key.vlan, zone};
	}
	return 0;
}
