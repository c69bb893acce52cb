/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table that spares the packet path the look-up in `holds` (include/hold_lines.h). It is made with the first hold,
 * and made anew, larger, from `holds` when these outgrow it; programs see the old one or the new one. Where it cannot
 * be kept it is taken away, and the programs ask `holds` for every packet, as they do until the first hold comes.
 * Writers hold the lock.
 */
#include "kernel_private.h"

#include <endian.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

#include "hold_lines.h"

#define LINES_LEAST 1024 /* 64 KiB */
#define HOLDS_A_LINE 3	 /* on average at most: then 1 in 80 lines has more holds than slots */

static __u64 half_of(const __u8 *bytes)
{
	__u64 half;

	memcpy(&half, bytes, sizeof(half));
	return be64toh(half);
}

static __u64 slot_of(const struct hold_key *key, const struct hold *hold, __u64 hash)
{
	__u64 high = half_of(key->address), low = half_of(key->address + 8);
	__u64 slot = (__u64)hold_tag(high, low, key->length, hash) << 32;

	if (!hold_is_v4_address(high, low, key->length) || hold->allow_until_ns)
		return slot | 1 << 1;
	return slot | (__u64)hold_time(hold->ban_until_ns) << 1 | HOLD_SLOT_ALONE;
}

static void slot_put(__u64 *place, __u64 slot)
{
	__atomic_store_n(place, slot, __ATOMIC_RELEASE);
}

static __u64 *slot_find(struct hold_line *line, __u64 slot)
{
	for (int i = 0; i < HOLD_LINE_SLOTS; i++)
		if (line->slot[i] == slot)
			return &line->slot[i];
	return NULL;
}

/* What is held makes the same slot whenever it is looked at, so the one of before is found by what it was. */
void hold_table_change(struct hold_table *table, const struct hold_key *key, const struct hold *before,
		       const struct hold *after)
{
	struct hold_line *line;
	__u64 hash, *place;

	if (!table->lines)
		return;
	hash = hold_hash(half_of(key->address), half_of(key->address + 8), key->length, table->key);
	line = &table->lines[1 + (hash & table->lines[0].slot[0])];
	place = before ? slot_find(line, slot_of(key, before, hash)) : slot_find(line, 0);
	if (place) {
		slot_put(place, after ? slot_of(key, after, hash) : 0);
		return;
	}
	/* one that is held beside the line stays so, whatever becomes of it */
	if (!before)
		slot_put(&line->beside, line->beside + 1);
	else if (!after && line->beside)
		slot_put(&line->beside, line->beside - 1);
}

static int table_map(struct instance *instance, int fd)
{
	struct hold_table *table = &instance->table;
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);
	void *memory;

	hold_table_close(instance);
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	table->bytes = (size_t)info.max_entries * sizeof(struct hold_line);
	memory = mmap(NULL, table->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	table->lines = memory;
	table->id = info.id;
	table->key = instance->origin.state_key[0];
	return 0;
}

/* Mapping is not free (the kernel enters every page), so it is kept as long as it is the one in force. */
int hold_table_open(struct instance *instance)
{
	__u32 zero = 0, id;
	cleanup_fd int fd = -1;
	int error = bpf_map_lookup_elem(instance->maps[MAP_hold_tables], &zero, &id) ? -errno : 0;

	if (!error && instance->table.lines && instance->table.id == id)
		return 0;
	hold_table_close(instance);
	if (error)
		return error;
	fd = bpf_map_get_fd_by_id(id); /* needs CAP_SYS_ADMIN */
	return fd < 0 ? -errno : table_map(instance, fd);
}

void hold_table_close(struct instance *instance)
{
	if (instance->table.lines)
		munmap(instance->table.lines, instance->table.bytes);
	instance->table = (struct hold_table){};
}

static int fill_one(void *arg, const struct hold_key *key, const struct hold *hold)
{
	hold_table_change(arg, key, NULL, hold);
	return 0;
}

static int table_make(struct instance *instance, __u32 holds)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__u32 zero = 0, lines = LINES_LEAST;
	cleanup_fd int fd = -1;
	int error;

	while (lines * HOLDS_A_LINE < holds)
		lines *= 2;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hold_lines", sizeof(__u32), sizeof(struct hold_line), lines + 1,
			    &options);
	if (fd < 0)
		return -errno;
	error = table_map(instance, fd);
	if (error)
		return error;
	instance->table.lines[0].slot[0] = lines - 1;
	error = holds_walk(instance, fill_one, &instance->table);
	if (!error && bpf_map_update_elem(instance->maps[MAP_hold_tables], &zero, &fd, BPF_ANY))
		error = -errno;
	return error;
}

void hold_table_for(struct instance *instance, __u32 holds)
{
	int error = hold_table_open(instance);
	__u32 zero = 0;

	if (!error && (instance->table.lines[0].slot[0] + 1) * HOLDS_A_LINE >= holds)
		return;
	if (!table_make(instance, holds))
		return;
	hold_table_close(instance);
	bpf_map_delete_elem(instance->maps[MAP_hold_tables], &zero);
}
