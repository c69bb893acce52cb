/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps that this version of Bulwark keeps and the one that made the instance did not: they are added, empty, so that
 * the next apply needs no `down` before it. What a program in force uses is never made anew: it would go on with the
 * old map, and everybody else with the new one.
 */
#include "kernel_private.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "root.skel.h"

#define MAPS_A_PROGRAM 64

/* Whether a map goes by this name, of which the kernel keeps the beginning; so does what nobody can say. */
static bool may_be(__u32 id, const char *name)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);
	cleanup_fd int map = bpf_map_get_fd_by_id(id);

	return map < 0 || bpf_obj_get_info_by_fd(map, &info, &size) || !strncmp(info.name, name, sizeof(info.name) - 1);
}

static bool may_use(int program, const char *name)
{
	__u32 ids[MAPS_A_PROGRAM];
	struct bpf_prog_info info = {.nr_map_ids = MAPS_A_PROGRAM, .map_ids = (__u64)(unsigned long)ids};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &size) || info.nr_map_ids > MAPS_A_PROGRAM)
		return true;
	for (__u32 i = 0; i < info.nr_map_ids; i++)
		if (may_be(ids[i], name))
			return true;
	return false;
}

/* The programs in the slots of a hook: of generations, and of a pause. */
static bool slots_may_use(const struct instance *instance, const char *slots, const char *name)
{
	char path[PATH_MAX];
	cleanup_fd int map = -1;
	__u32 id;

	snprintf(path, sizeof(path), "%s/%s", instance->base, slots);
	map = bpf_obj_get(path);
	if (map < 0)
		return true;
	for (__u32 slot = 0; slot < SLOT_COUNT; slot++) {
		cleanup_fd int program = -1;

		if (bpf_map_lookup_elem(map, &slot, &id))
			continue; /* none in it */
		program = bpf_prog_get_fd_by_id(id);
		if (program < 0 || may_use(program, name))
			return true;
	}
	return false;
}

static bool somebody_may_use(const struct instance *instance, const char *name)
{
	static const char *const slots[] = {"xdp_slots", "egress_slots", "ingress_slots", "sockops_slots"};

	for (int i = 0; i < PINNED_PROGRAM_COUNT; i++)
		if (may_use(instance->programs[i], name))
			return true;
	for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		if (slots_may_use(instance, slots[i], name))
			return true;
	return false;
}

/* Its descriptor, or -errno. */
static int make(const char *name)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	struct root_bpf *root = root_bpf__open();
	const struct bpf_map *map = root ? bpf_object__find_map_by_name(root->obj, name) : NULL;
	int made = -ENOENT;

	if (map) {
		options.map_flags = bpf_map__map_flags(map);
		made = bpf_map_create(bpf_map__type(map), name, bpf_map__key_size(map), bpf_map__value_size(map),
				      bpf_map__max_entries(map), &options);
	}
	root_bpf__destroy(root);
	return made;
}

int map_add(const struct instance *instance, enum pinned_map number)
{
	const char *name = pinned_map_names[number];
	char path[PATH_MAX];
	int map;

	if (somebody_may_use(instance, name))
		return -EUCLEAN;
	map = make(name);
	if (map < 0)
		return map;
	snprintf(path, sizeof(path), "%s/%s", instance->base, name);
	if (!pin_object(map, path))
		return map;
	close_fd(&map);
	/* somebody else was quicker */
	map = bpf_obj_get(path);
	return map < 0 ? -errno : map;
}
