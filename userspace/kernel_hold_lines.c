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

#define LINES_LEAST 1024 /* 64 KiB, and as much that is rarely read */
#define HOLDS_A_LINE 9	 /* on average at most: then 1 in 25 lines has more holds than tags */

static __u64 half_of(const __u8 *bytes)
{
	__u64 half;

	memcpy(&half, bytes, sizeof(half));
	return be64toh(half);
}

/* Of one line, and of one hold in it. */
struct hold_place {
	struct hold_line *line, *ends;
	__u32 tag;
	bool may_be_alone;
};

static struct hold_place place_of(const struct hold_table *table, const struct hold_key *key)
{
	__u64 high = half_of(key->address), low = half_of(key->address + 8);
	__u64 hash = hold_hash(high, low, key->length, table->key);
	__u32 at = hold_line_at(hash, table->line_count);

	return (struct hold_place){&table->lines[at], &table->lines[at + table->line_count],
				   hold_tag(high, low, key->length, hash), hold_is_v4_address(high, low, key->length)};
}

static bool stands_alone(const struct hold_place *place, const struct hold *hold)
{
	return place->may_be_alone && !hold->allow_until_ns;
}

/* Where the tag stands, alone or not; a free one has tag 0, and is never alone. HOLD_LINE_TAGS: nowhere. */
static unsigned tag_find(const struct hold_line *line, __u32 tag, bool alone)
{
	unsigned i = 0;

	while (i < HOLD_LINE_TAGS && (line->tag[i] != tag || (line->about >> i & 1) != alone))
		i++;
	return i;
}

static __u32 earliest_end(const struct hold_place *place, __u32 alone)
{
	__u32 earliest = HOLD_TIME_MOST;

	for (unsigned i = 0; i < HOLD_LINE_TAGS; i++)
		if (alone >> i & 1 && place->ends->end[i] < earliest)
			earliest = place->ends->end[i];
	return earliest;
}

/* All that is said about the tags changes at once. */
static void about_put(const struct hold_place *place, __u32 alone, __u64 beside)
{
	__u64 changes = (place->line->about + HOLD_CHANGE_ONE) & HOLD_CHANGES;

	__atomic_store_n(&place->line->about, (__u64)earliest_end(place, alone) << 32 | changes | beside | alone,
			 __ATOMIC_RELEASE);
}

/* after: NULL: nothing is held there any more. While it changes it is not said to stand alone, so programs ask `holds`,
 * and one of them that has read the line before sees that it has changed. */
static void tag_put(const struct hold_place *place, unsigned i, const struct hold *after)
{
	__u32 alone = place->line->about & HOLD_ALONE & ~(1u << i);
	__u64 beside = place->line->about & HOLD_BESIDE;

	about_put(place, alone, beside);
	__atomic_store_n(&place->line->tag[i], after ? place->tag : 0, __ATOMIC_RELEASE);
	__atomic_store_n(&place->ends->end[i], after ? hold_time(after->ban_until_ns) : 0, __ATOMIC_RELEASE);
	if (after && stands_alone(place, after))
		about_put(place, alone | 1u << i, beside);
}

/* More than can be counted are never none again, in this table. */
static void beside_add(const struct hold_place *place, __s64 change)
{
	__u64 about = place->line->about, beside = about & HOLD_BESIDE;

	if (beside != HOLD_BESIDE && (change > 0 || beside))
		about_put(place, about & HOLD_ALONE, beside + change * HOLD_BESIDE_ONE);
}

/* What is held has the same tag whenever it is looked at, so the one of before is found by what it was. */
void hold_table_change(struct hold_table *table, const struct hold_key *key, const struct hold *before,
		       const struct hold *after)
{
	struct hold_place place;
	unsigned i = HOLD_LINE_TAGS;

	if (!table->line_count)
		return;
	place = place_of(table, key);
	if (place.tag)
		i = before ? tag_find(place.line, place.tag, stands_alone(&place, before))
			   : tag_find(place.line, 0, false);
	/* one that is held beside the line stays so, whatever becomes of it */
	if (i < HOLD_LINE_TAGS)
		tag_put(&place, i, after);
	else if (!before)
		beside_add(&place, 1);
	else if (!after)
		beside_add(&place, -1);
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
	table->line_count = HOLD_LINES(info.max_entries);
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

/* Room for an eighth more, but never for more than there can be. */
static __u32 lines_for(__u32 holds)
{
	__u32 room = holds < HOLDS_MAX - holds / 8 ? holds + holds / 8 : HOLDS_MAX;
	__u32 lines = (room + HOLDS_A_LINE - 1) / HOLDS_A_LINE;

	return lines > LINES_LEAST ? lines : LINES_LEAST;
}

static int table_make(struct instance *instance, __u32 holds)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__u32 zero = 0, lines = lines_for(holds);
	cleanup_fd int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hold_lines", sizeof(__u32), sizeof(struct hold_line),
					   HOLD_TABLE_ENTRIES(lines), &options);
	int error;

	if (fd < 0)
		return -errno;
	error = table_map(instance, fd);
	if (error)
		return error;
	instance->table.lines[1].about = HOLD_BESIDE_BEFORE;
	error = holds_walk(instance, fill_one, &instance->table);
	if (!error && bpf_map_update_elem(instance->maps[MAP_hold_tables], &zero, &fd, BPF_ANY))
		error = -errno;
	return error;
}

void hold_table_for(struct instance *instance, __u32 holds)
{
	int error = hold_table_open(instance);
	__u32 zero = 0;

	if (!error && instance->table.line_count && instance->table.line_count * HOLDS_A_LINE >= holds)
		return;
	if (!table_make(instance, holds))
		return;
	hold_table_close(instance);
	bpf_map_delete_elem(instance->maps[MAP_hold_tables], &zero);
}
