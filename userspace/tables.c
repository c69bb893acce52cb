/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy.h"
#include "tables.h"
#include "tables_build.h"

#define CLASS_SLOTS (2u * CLASS_LIMIT)

static __u32 hash_lists(__u64 lists)
{
	lists = (lists ^ (lists >> 32)) * 0x9e3779b97f4a7c15ULL;
	return lists >> 40;
}

static int class_add(struct classes *classes, __u64 lists)
{
	if (classes->count == CLASS_LIMIT)
		return -E2BIG;
	if (classes->count == classes->capacity) {
		size_t capacity = classes->capacity ? 2 * classes->capacity : 64;
		__u64 *grown = realloc(classes->lists, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		classes->lists = grown;
		classes->capacity = capacity;
	}
	classes->lists[classes->count] = lists;
	return (int)classes->count++;
}

int class_of_lists(struct classes *classes, __u64 lists)
{
	__u32 slot = hash_lists(lists) & (CLASS_SLOTS - 1);
	int class;

	for (; classes->slots[slot]; slot = (slot + 1) & (CLASS_SLOTS - 1)) {
		if (classes->lists[classes->slots[slot] - 1] == lists)
			return (int)classes->slots[slot] - 1;
	}
	class = class_add(classes, lists);
	if (class >= 0)
		classes->slots[slot] = (__u32) class + 1;
	return class;
}

int classes_begin(struct classes *classes)
{
	memset(classes, 0, sizeof(*classes));
	classes->slots = calloc(CLASS_SLOTS, sizeof(*classes->slots));
	return classes->slots ? class_of_lists(classes, 0) : -ENOMEM;
}

int tables_build(struct prefixes *prefixes, __u64 seed, struct tables *tables)
{
	struct classes classes;
	int err = classes_begin(&classes);

	memset(tables, 0, sizeof(*tables));
	if (!err)
		err = v4_build(prefixes, &classes, tables);
	if (!err)
		err = v6_build(prefixes, &classes, seed, tables);
	free(classes.slots);
	tables->class_lists = classes.lists;
	tables->class_count = classes.count;
	if (err)
		tables_free(tables);
	return err;
}

void tables_free(struct tables *tables)
{
	free(tables->class_lists);
	free(tables->v4_blocks);
	free(tables->v4_compact);
	free(tables->v4_direct);
	free(tables->v4_masks);
	free(tables->v4_run_classes);
	free(tables->v6_short);
	free(tables->v6_heads);
	free(tables->v6_bits);
	free(tables->v6_deep_bits);
	free(tables->v6_wide_bits);
	free(tables->v6_masks);
	free(tables->v6_mask32);
	free(tables->v6_mask48);
	free(tables->v6_deep_lines);
	free(tables->v6_lines64);
	free(tables->v6_lines128);
	memset(tables, 0, sizeof(*tables));
}

static size_t v4_bytes(const struct tables *tables)
{
	size_t bytes = tables->v4_blocks ? V4_BLOCKS * sizeof(*tables->v4_blocks) : 0;

	bytes += tables->v4_compact_chunks * sizeof(*tables->v4_compact);
	bytes += tables->v4_direct ? V4_NETS / V4_CHUNK * sizeof(*tables->v4_direct) : 0;
	bytes += tables->v4_mask_count * sizeof(*tables->v4_masks);
	return bytes + tables->v4_run_count * sizeof(*tables->v4_run_classes);
}

static size_t v6_bytes(const struct tables *tables)
{
	size_t bytes = tables->v6_short ? V6_SHORT_MASKS * sizeof(*tables->v6_short) : 0;

	bytes += tables->v6_heads ? sizeof(*tables->v6_heads) : 0;
	bytes += (size_t)tables->v6_bits_size / 8 + (size_t)tables->v6_deep_bits_size / 8 +
		 (size_t)tables->v6_wide_bits_size / 8;
	bytes += tables->v6_mask_count * sizeof(*tables->v6_masks);
	bytes += (size_t)tables->v6_mask32_size * sizeof(*tables->v6_mask32);
	bytes += (size_t)tables->v6_mask48_size * sizeof(*tables->v6_mask48);
	if (tables->v6_deep_lines)
		bytes += ((size_t)tables->v6_deep_lines_size + V6_PROBES) * sizeof(*tables->v6_deep_lines);
	if (tables->v6_lines64)
		bytes += ((size_t)tables->v6_lines64_size + V6_PROBES) * sizeof(*tables->v6_lines64);
	if (tables->v6_lines128)
		bytes += ((size_t)tables->v6_lines128_size + V6_PROBES) * sizeof(*tables->v6_lines128);
	return bytes;
}

size_t tables_bytes(const struct tables *tables, int family)
{
	return family == AF_INET ? v4_bytes(tables) : v6_bytes(tables);
}

__u16 tables_class(const struct tables *tables, const __u8 address[16])
{
	struct prefix host = {.length = 128};
	__u64 high, low;

	memcpy(host.address, address, sizeof(host.address));
	memcpy(&high, address, sizeof(high));
	memcpy(&low, address + 8, sizeof(low));
	if (prefix_is_v4(&host))
		return v4_class(tables, (__u32)be64toh(low));
	return v6_class(tables, be64toh(high), be64toh(low));
}
