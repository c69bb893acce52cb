/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What only metrics ask for: how full tables are, how many bans there are. Bounded work, whatever an attacker sends. */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PART_LINES 1024u /* lines of a table that are looked at: 8192 slots, a standard error below 0.6 % of it */

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

/* ---- tables of lines ---- */

/* Lines are chosen by a keyed hash, so any run of them is a fair sample. The caller's, or NULL. */
static struct slot_line *part_read(int map, __u32 lines, unsigned turn)
{
	__u32 parts = lines / PART_LINES, from = parts ? turn % parts * PART_LINES : 0, before = from - 1, next;
	__u32 count = PART_LINES, *keys = calloc(PART_LINES, sizeof(*keys));
	struct slot_line *part = calloc(PART_LINES, sizeof(*part));
	bool read = keys && part &&
		    (!bpf_map_lookup_batch(map, from ? &before : NULL, &next, keys, part, &count, NULL) ||
		     (errno == ENOENT && count == PART_LINES));

	for (__u32 i = 0; keys && part && !read && i < PART_LINES; i++) {
		__u32 key = from + i;

		if (bpf_map_lookup_elem(map, &key, &part[i])) {
			free(part);
			part = NULL;
		}
	}
	free(keys);
	return part;
}

static bool slot_lives(__u64 slot, __u64 now_ns)
{
	return ((__u32)slot >> 2) > ((now_ns >> SLOT_EXPIRY_SHIFT) & 0x3fffffff);
}

/* Ahead of now by no more than half of the clock: longer horizons are no limit's. */
static bool limiter_lives(__u64 slot, __u64 now_ns)
{
	const __u64 mask = (1ULL << LIMITER_TIME_BITS) - 1;
	__u64 ahead = (slot - (now_ns >> LIMITER_TIME_SHIFT)) & mask;

	return slot && ahead && ahead <= mask / 2;
}

/* Free as soon as the connection has ended. */
static bool account_lives(__u64 slot, __attribute__((unused)) __u64 now_ns)
{
	return slot;
}

static int part_count(int map, __u32 lines, unsigned turn, bool (*lives)(__u64 slot, __u64 now_ns), __u64 *entries)
{
	struct slot_line *part = part_read(map, lines, turn);
	__u64 now = clock_ns(CLOCK_MONOTONIC), live = 0;

	if (!part)
		return -EIO;
	for (__u32 i = 0; i < PART_LINES; i++)
		for (int slot = 0; slot < 8; slot++)
			live += lives(part[i].slot[slot], now);
	free(part);
	*entries = live * lines / PART_LINES;
	return 0;
}

static int holds_total(struct instance *instance, __u64 *entries)
{
	struct hold_lengths lengths;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(instance->maps[MAP_hold_lengths], &zero, &lengths))
		return -errno;
	*entries = lengths.total;
	return 0;
}

int tables_look(struct instance *instance, struct table_row rows[TABLE_ROWS], unsigned turn)
{
	static const struct {
		const char *name;
		enum pinned_map map;
		__u32 lines;
		bool (*lives)(__u64 slot, __u64 now_ns);
	} tables[] = {
		{"flows", MAP_flows, FLOW_LINES, slot_lives},
		{"half-open", MAP_half_open, HALF_OPEN_LINES, slot_lives},
		{"fragments", MAP_fragments, FRAGMENT_LINES, slot_lives},
		{"limiters", MAP_limiters, LIMITER_LINES, limiter_lives},
		{"samples", MAP_samples, SAMPLE_LINES, slot_lives},
		{"connections", MAP_accounts, ACCOUNT_LINES, account_lives},
	};
	const size_t count = sizeof(tables) / sizeof(*tables);
	int error = 0;

	_Static_assert(sizeof(tables) / sizeof(*tables) + 1 == TABLE_ROWS, "and holds");
	for (size_t i = 0; i < count && !error; i++) {
		rows[i] = (struct table_row){tables[i].name, 0, tables[i].lines * 8ULL};
		error = part_count(instance->maps[tables[i].map], tables[i].lines, turn, tables[i].lives,
				   &rows[i].entries);
	}
	rows[count] = (struct table_row){"holds", 0, HOLDS_MAX};
	return error ?: holds_total(instance, &rows[count].entries);
}

int proven_drops_read(struct instance *instance, __u64 *clients)
{
	struct slot_line *lines = array_read(instance->maps[MAP_proven_drops], PROVEN_LINES, sizeof(*lines));
	__u64 now = clock_ns(CLOCK_MONOTONIC);

	*clients = 0;
	for (__u32 i = 0; lines && i < PROVEN_LINES; i++)
		for (int slot = 0; slot < 8; slot++)
			*clients += slot_lives(lines[i].slot[slot], now);
	free(lines);
	return lines ? 0 : -errno;
}

/* ---- bans ---- */

static void end_round(struct holds_census *census)
{
	census->bans = census->running_bans;
	census->allows = census->running_allows;
	census->running_bans = census->running_allows = 0;
	census->under_way = false;
}

/* The next part of a round over map, which has values of size bytes: how many of them there are, and 0, or -ENOENT when
 * the round ends with them, or -errno. */
static int next_part(int map, struct holds_census *census, struct hold_key *keys, void *values, __u32 *count)
{
	if (!keys || !values)
		return -ENOMEM;
	if (!bpf_map_lookup_batch(map, census->under_way ? &census->place : NULL, &census->place, keys, values, count,
				  NULL))
		return 0;
	if (errno != ENOENT)
		*count = 0;
	return -errno;
}

/* What part of the round was counted, and whether it was the last. */
static int end_part(struct holds_census *census, int error)
{
	census->under_way = !error;
	if (error == -ENOENT) /* that was the rest */
		end_round(census);
	return error == -ENOENT ? 0 : error;
}

int holds_count(struct instance *instance, struct holds_census *census, __u32 most)
{
	struct hold_key *keys;
	struct hold *holds;
	__u64 now = clock_ns(CLOCK_BOOTTIME), total;
	__u32 count = most;
	int error = holds_total(instance, &total);

	if (error || !total) { /* a walk over a million empty buckets is not free */
		*census = (struct holds_census){};
		return error;
	}
	keys = calloc(most, sizeof(*keys));
	holds = calloc(most, sizeof(*holds));
	error = next_part(instance->maps[MAP_holds], census, keys, holds, &count);
	for (__u32 i = 0; (!error || error == -ENOENT) && i < count; i++) {
		census->running_bans += holds[i].ban_until_ns > now;
		census->running_allows += holds[i].allow_until_ns > now;
	}
	free(keys);
	free(holds);
	return end_part(census, error);
}

int automatic_count(struct instance *instance, struct holds_census *census, __u32 most)
{
	struct hold_lengths lengths;
	struct automatic_ban *bans;
	struct hold_key *keys;
	__u32 zero = 0, count = most;
	__u64 now = clock_ns(CLOCK_BOOTTIME);
	int error;

	if (bpf_map_lookup_elem(instance->maps[MAP_hold_lengths], &zero, &lengths))
		return -errno;
	if (!lengths.automatic) { /* as above */
		*census = (struct holds_census){};
		return 0;
	}
	keys = calloc(most, sizeof(*keys));
	bans = calloc(most, sizeof(*bans));
	error = next_part(instance->maps[MAP_automatic_bans], census, keys, bans, &count);
	for (__u32 i = 0; (!error || error == -ENOENT) && i < count; i++)
		census->running_bans += bans[i].until_ns > now;
	free(keys);
	free(bans);
	return end_part(census, error);
}
