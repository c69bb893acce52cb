/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the shield banned by itself. Programs write it whenever they like, without our lock: whoever removes an entry
 * looks at what was removed, and puts back a ban that was written meanwhile.
 */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"

#define BATCH 4096

static const struct {
	__u32 kind, length;
} kinds[] = {{AUTOMATIC_V4, 128}, {AUTOMATIC_64, 64}, {AUTOMATIC_56, 56}, {AUTOMATIC_48, 48}};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static __u32 kind_of(__u32 length)
{
	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].length == length)
			return kinds[i].kind;
	return 0;
}

static void row_fill(struct automatic_row *row, const struct hold_key *key, const struct automatic_ban *ban)
{
	*row = (struct automatic_row){.prefix.length = (__u8)key->length, .ban = *ban};
	memcpy(row->prefix.address, key->address, sizeof(row->prefix.address));
}

/* Everything that is remembered. A batch walks whole buckets, so nothing is listed twice. */
static int list_all(struct instance *instance, struct automatic_row **rows, size_t *count)
{
	struct hold_key *keys = calloc(BATCH, sizeof(*keys));
	struct automatic_ban *bans = calloc(BATCH, sizeof(*bans));
	struct automatic_row *list = NULL, *larger;
	__u32 position = 0, found;
	size_t total = 0;
	int error = keys && bans ? 0 : -ENOMEM, done = 0;
	void *from = NULL;

	while (!error && !done) {
		found = BATCH;
		if (bpf_map_lookup_batch(instance->maps[MAP_automatic_bans], from, &position, keys, bans, &found,
					 NULL)) {
			done = 1;
			if (errno != ENOENT)
				error = -errno;
		}
		larger = error || !found ? list : reallocarray(list, total + found, sizeof(*list));
		if (!larger && found)
			error = -ENOMEM;
		else
			list = larger;
		for (__u32 i = 0; !error && i < found; i++)
			row_fill(&list[total++], &keys[i], &bans[i]);
		from = &position;
	}
	free(keys);
	free(bans);
	if (error) {
		kernel_say("cannot read the automatic bans: %s", strerror(-error));
		free(list);
		return error;
	}
	*rows = list;
	*count = total;
	return 0;
}

/* Forgets an entry, unless its ban began after a time: programs wrote it since it was read. */
static int forget(struct instance *instance, const struct prefix *prefix, __u64 unless_after_ns)
{
	struct hold_key key = {.length = prefix->length};
	struct automatic_ban ban;
	int map = instance->maps[MAP_automatic_bans];

	memcpy(key.address, prefix->address, sizeof(key.address));
	if (bpf_map_lookup_and_delete_elem(map, &key, &ban))
		return -errno;
	if (ban.since_ns > unless_after_ns)
		bpf_map_update_elem(map, &key, &ban, BPF_NOEXIST);
	return 0;
}

/* No kind is left in use that nothing has. Programs set theirs before they write: a kind that we took away while one
 * was writing is found again here. */
static void settle_kinds(struct instance *instance, struct hold_lengths *lengths)
{
	struct automatic_row *rows = NULL;
	size_t count = 0;
	__u32 found = 0;

	__atomic_store_n(&lengths->automatic, 0, __ATOMIC_SEQ_CST);
	if (list_all(instance, &rows, &count))
		found = AUTOMATIC_V4 | AUTOMATIC_64 | AUTOMATIC_56 | AUTOMATIC_48;
	for (size_t i = 0; i < count; i++)
		found |= kind_of(rows[i].prefix.length);
	free(rows);
	__atomic_fetch_or(&lengths->automatic, found, __ATOMIC_SEQ_CST);
}

int automatic_read(struct instance *instance, struct automatic_row **rows, size_t *count)
{
	struct hold_lengths *lengths = lengths_map(instance);
	int error = lengths ? 0 : -errno;

	*rows = NULL;
	*count = 0;
	if (!error && lengths->automatic)
		error = list_all(instance, rows, count);
	if (lengths)
		lengths_unmap(lengths);
	return error;
}

int automatic_sweep(struct instance *instance)
{
	struct hold_lengths *lengths = lengths_map(instance);
	struct automatic_row *rows = NULL;
	__u64 now = boottime_ns();
	size_t count = 0, kept = 0;
	int error = lengths ? 0 : -errno;

	if (!error && lengths->automatic)
		error = list_all(instance, &rows, &count);
	for (size_t i = 0; i < count; i++) {
		kept += rows[i].ban.forget_ns > now;
		if (rows[i].ban.forget_ns <= now)
			forget(instance, &rows[i].prefix, now);
	}
	if (!error && count && !kept)
		settle_kinds(instance, lengths);
	free(rows);
	if (lengths)
		lengths_unmap(lengths);
	return error;
}

static struct prefix widened(const struct prefix *prefix, __u32 length)
{
	struct prefix wide = *prefix;

	wide.length = (__u8)length;
	for (__u32 bit = length; bit < 128; bit++)
		wide.address[bit / 8] &= ~(0x80 >> bit % 8);
	return wide;
}

int automatic_unban(struct instance *instance, const struct prefix *prefix)
{
	struct hold_lengths *lengths = lengths_map(instance);
	bool v4 = prefix_is_v4(prefix);
	int result = -ENOENT;

	if (!lengths)
		return -errno;
	for (size_t i = 0; lengths->automatic && i < KINDS; i++) {
		struct prefix banned = widened(prefix, kinds[i].length);

		if (kinds[i].length > prefix->length || v4 != (kinds[i].kind == AUTOMATIC_V4))
			continue;
		if (!forget(instance, &banned, UINT64_MAX))
			result = 0;
	}
	if (!result)
		holds_changed(lengths);
	lengths_unmap(lengths);
	return result;
}

int automatic_restore(struct instance *instance, const struct automatic_row *row)
{
	struct hold_lengths *lengths = lengths_map(instance);
	struct hold_key key = {.length = row->prefix.length};
	int error = lengths ? 0 : -errno;

	memcpy(key.address, row->prefix.address, sizeof(key.address));
	if (!error)
		__atomic_fetch_or(&lengths->automatic, kind_of(key.length), __ATOMIC_SEQ_CST);
	if (!error && bpf_map_update_elem(instance->maps[MAP_automatic_bans], &key, &row->ban, BPF_NOEXIST))
		error = errno == EEXIST ? 0 : -errno;
	if (lengths)
		lengths_unmap(lengths);
	return error;
}

const char *automatic_words(struct instance *instance, const struct automatic_ban *ban, char *words, size_t size)
{
	char times[32] = "", service[64];

	service_name(instance, ban->service, service);
	if (ban->times > 1)
		snprintf(times, sizeof(times), ", ban number %u", ban->times);
	snprintf(words, size, "%s%s%s%s", reason_name(ban->reason), *service ? " on " : "", service, times);
	return words;
}
