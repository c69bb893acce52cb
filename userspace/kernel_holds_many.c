/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Many bans at once, all of them or none: what a file holds, in one note and few system calls. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4096

struct many {
	struct instance *instance;
	struct hold_lengths *lengths;
	const struct hold_wanted *wanted; /* sorted, no two alike */
	size_t count, listed, written;	  /* listed: of how many the lengths know */
	struct hold_key *keys;		  /* of one round */
	struct hold *before, *holds;
	bool *known; /* those that were held before */
	__u16 batch;
};

static bool batch_equals(const struct hold_batch *one, const struct hold_batch *other)
{
	return !memcmp(one, other, sizeof(*one));
}

/* The row that says this already, or the first free one, or the last, which then speaks for more than one file. */
static int batch_take(struct instance *instance, const char *origin, const char *reason, __u16 *number)
{
	struct hold_batch *batches =
		array_read(instance->maps[MAP_hold_batches], HOLD_BATCHES, sizeof(struct hold_batch));
	struct hold_batch wanted = {}, none = {};
	__u32 row = 1;

	if (!batches)
		return -ENOMEM;
	snprintf(wanted.origin, sizeof(wanted.origin), "%s", origin);
	snprintf(wanted.reason, sizeof(wanted.reason), "%s", reason);
	while (row < HOLD_BATCHES - 1 && !batch_equals(&batches[row], &wanted) && !batch_equals(&batches[row], &none))
		row++;
	free(batches);
	*number = (__u16)row;
	return bpf_map_update_elem(instance->maps[MAP_hold_batches], &row, &wanted, BPF_ANY) ? -errno : 0;
}

/* Lengths first: a hold that is written is found. Those held before are counted already. */
static int list_lengths(struct many *many)
{
	bool look = many->lengths->total;
	int error = 0;

	for (; !error && many->listed < many->count; many->listed += !error) {
		struct hold_key key = hold_key_of(&many->wanted[many->listed].prefix);
		struct hold hold;

		many->known[many->listed] = look && !bpf_map_lookup_elem(many->instance->maps[MAP_holds], &key, &hold);
		if (!many->known[many->listed])
			error = length_add(many->lengths, key.length);
	}
	return error;
}

static struct hold held_before(const struct many *many, size_t at, const struct hold_key *key)
{
	struct hold hold = {};

	if (many->known[at])
		bpf_map_lookup_elem(many->instance->maps[MAP_holds], key, &hold);
	return hold;
}

/* An exception that was held stays. */
static struct hold hold_of(const struct many *many, size_t at, struct hold hold)
{
	hold.ban_until_ns = many->wanted[at].until_ns;
	hold.ban_since_s = (__u32)(many->wanted[at].since_ns / 1000000000);
	hold.batch = many->batch;
	return hold;
}

static int write_round(struct many *many)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
	int map = many->instance->maps[MAP_holds];
	__u32 count = 0;
	int error = 0;

	for (; count < BATCH && many->written + count < many->count; count++) {
		size_t at = many->written + count;

		many->keys[count] = hold_key_of(&many->wanted[at].prefix);
		many->before[count] = held_before(many, at, &many->keys[count]);
		many->holds[count] = hold_of(many, at, many->before[count]);
	}
	if (bpf_map_update_batch(map, many->keys, many->holds, &count, &options))
		error = -errno;
	for (__u32 i = 0; i < count; i++) /* those that were written, then */
		hold_table_change(&many->instance->table, &many->keys[i],
				  many->known[many->written + i] ? &many->before[i] : NULL, &many->holds[i]);
	many->written += count;
	return error;
}

/* Takes back what was not held before. */
static void take_back(struct many *many)
{
	for (size_t i = 0; i < many->listed; i++) {
		struct hold_key key = hold_key_of(&many->wanted[i].prefix);
		struct hold hold = hold_of(many, i, (struct hold){});

		if (many->known[i])
			continue;
		if (i < many->written && !bpf_map_delete_elem(many->instance->maps[MAP_holds], &key))
			hold_table_change(&many->instance->table, &key, &hold, NULL);
		length_drop(many->lengths, key.length);
	}
}

static int write_all(struct many *many)
{
	int error = list_lengths(many);

	if (!error && many->lengths->total > HOLDS_MAX) {
		kernel_say("they do not fit: the table of bans and allows holds %u, and would have %u", HOLDS_MAX,
			   many->lengths->total);
		error = -E2BIG;
	}
	if (!error)
		hold_table_for(many->instance, many->lengths->total);
	while (!error && many->written < many->count) {
		error = write_round(many);
		if (error)
			kernel_say("cannot write the bans: %s", strerror(-error));
	}
	if (error)
		take_back(many);
	else
		holds_changed(many->lengths);
	return error;
}

int holds_restore(struct instance *instance, const struct hold_wanted *wanted, size_t count, const char *origin,
		  const char *reason)
{
	struct many many = {
		.instance = instance,
		.wanted = wanted,
		.count = count,
		.keys = calloc(BATCH, sizeof(*many.keys)),
		.before = calloc(BATCH, sizeof(*many.before)),
		.holds = calloc(BATCH, sizeof(*many.holds)),
		.known = calloc(count + 1, sizeof(*many.known)),
		.lengths = lengths_map(instance),
	};
	int error = !many.lengths ? -EIO : many.keys && many.before && many.holds && many.known ? 0 : -ENOMEM;

	if (!error)
		error = batch_take(instance, origin, reason, &many.batch);
	if (!error)
		error = write_all(&many);
	if (many.lengths)
		lengths_unmap(many.lengths);
	free(many.keys);
	free(many.before);
	free(many.holds);
	free(many.known);
	return error;
}

int holds_ban(struct instance *instance, const struct prefix *prefixes, size_t count, __u64 for_ns, const char *origin,
	      const char *reason)
{
	struct hold_wanted *wanted = calloc(count + 1, sizeof(*wanted));
	__u64 now = boottime_ns(), until = for_ns > UINT64_MAX - now ? UINT64_MAX : now + for_ns;
	int error;

	if (!wanted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		wanted[i] = (struct hold_wanted){.prefix = prefixes[i], .until_ns = until, .since_ns = now};
	error = holds_restore(instance, wanted, count, origin, reason);
	free(wanted);
	return error;
}
