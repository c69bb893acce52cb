/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bans and allows. A hold is found by the programs with one look-up for each prefix length in use; hold_lengths says
 * which these are, and the table of kernel_hold_lines.c answers most of them. A hold is written before its length is
 * listed and before it is in the table, and a length goes only when its last hold has gone, so a hold is never there
 * unfound for longer than the write takes. Writers hold the lock.
 */
#include "kernel_private.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BATCH 4096

__u64 boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

struct hold_key hold_key_of(const struct prefix *prefix)
{
	struct hold_key key = {.length = prefix->length};

	memcpy(key.address, prefix->address, sizeof(key.address));
	return key;
}

/* ---- the lengths in use ---- */

struct hold_lengths *lengths_map(const struct instance *instance)
{
	struct hold_lengths *lengths = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
					    instance->maps[MAP_hold_lengths], 0);

	if (lengths != MAP_FAILED)
		return lengths;
	kernel_say("cannot map hold_lengths: %s", strerror(errno));
	return NULL;
}

void lengths_unmap(struct hold_lengths *lengths)
{
	munmap(lengths, sysconf(_SC_PAGESIZE));
}

static void put(__u32 *place, __u32 value)
{
	__atomic_store_n(place, value, __ATOMIC_RELEASE);
}

/* Whoever saves bans looks whether anything has changed. */
void holds_changed(struct hold_lengths *lengths)
{
	__atomic_fetch_add(&lengths->changes, 1, __ATOMIC_RELAXED);
}

__u32 holds_changes(struct instance *instance)
{
	struct hold_lengths *lengths = lengths_map(instance);
	__u32 changes = lengths ? __atomic_load_n(&lengths->changes, __ATOMIC_RELAXED) : 0;

	if (lengths)
		lengths_unmap(lengths);
	return changes;
}

/* Programs read while we write: entries are moved so that for a moment one stands twice, never that one is missing. */
int length_add(struct hold_lengths *lengths, __u32 length)
{
	__u32 at = 0;

	if (!lengths->count[length]) {
		if (lengths->kinds >= HOLD_KINDS) {
			kernel_say("bans and allows of %d prefix lengths are in use, and no more are looked up: use "
				   "one of those "
				   "lengths",
				   HOLD_KINDS);
			return -E2BIG;
		}
		while (at < lengths->kinds && lengths->length[at] > length)
			at++;
		for (__u32 i = lengths->kinds; i > at; i--)
			put(&lengths->length[i], lengths->length[i - 1]);
		put(&lengths->length[at], length);
		put(&lengths->kinds, lengths->kinds + 1);
	}
	lengths->count[length]++;
	put(&lengths->total, lengths->total + 1);
	return 0;
}

void length_drop(struct hold_lengths *lengths, __u32 length)
{
	__u32 at = 0;

	if (!lengths->count[length])
		return;
	put(&lengths->total, lengths->total - 1);
	if (--lengths->count[length])
		return;
	while (at < lengths->kinds && lengths->length[at] != length)
		at++;
	for (__u32 i = at; i + 1 < lengths->kinds; i++)
		put(&lengths->length[i], lengths->length[i + 1]);
	if (at < lengths->kinds) {
		put(&lengths->length[lengths->kinds - 1], 0);
		put(&lengths->kinds, lengths->kinds - 1);
	}
}

/* ---- one hold ---- */

static bool expired(const struct hold *hold, __u64 now)
{
	return hold->ban_until_ns <= now && hold->allow_until_ns <= now;
}

static int hold_remove(struct instance *instance, struct hold_lengths *lengths, const struct hold_key *key,
		       const struct hold *hold)
{
	if (bpf_map_delete_elem(instance->maps[MAP_holds], key))
		return -errno;
	hold_table_change(&instance->table, key, hold, NULL);
	length_drop(lengths, key->length);
	bpf_map_delete_elem(instance->maps[MAP_hold_notes], key);
	return 0;
}

static int refuse_full(const char *what)
{
	int error = -errno;

	if (error == -E2BIG || error == -ENOMEM)
		kernel_say("the table of bans and allows is full (%u): lift some first (`bulwark unban --origin NAME`)",
			   HOLDS_MAX);
	else
		kernel_say("cannot write %s: %s", what, strerror(-error));
	return error;
}

/* The note first: whoever sees the hold can say why. before: what was held, NULL: nothing. */
static int hold_write(struct instance *instance, const struct hold_key *key, const struct hold *before,
		      const struct hold *hold, const struct hold_note *note)
{
	struct hold_lengths *lengths = lengths_map(instance);
	int error = lengths ? 0 : -errno, known = before != NULL;

	if (!error)
		hold_table_for(instance, lengths->total + !known);

	if (!error && bpf_map_update_elem(instance->maps[MAP_hold_notes], key, note, BPF_ANY))
		error = refuse_full("hold_notes");
	if (!error && !known)
		error = length_add(lengths, key->length);
	if (!error && bpf_map_update_elem(instance->maps[MAP_holds], key, hold, BPF_ANY)) {
		error = refuse_full("holds");
		if (!known)
			length_drop(lengths, key->length);
	}
	if (error && !known)
		bpf_map_delete_elem(instance->maps[MAP_hold_notes], key);
	if (!error) {
		hold_table_change(&instance->table, key, before, hold);
		holds_changed(lengths);
	}
	if (lengths)
		lengths_unmap(lengths);
	return error;
}

static int hold_find(struct instance *instance, const struct prefix *prefix, struct hold_key *key, struct hold *hold,
		     struct hold_note *note)
{
	*key = hold_key_of(prefix);
	memset(hold, 0, sizeof(*hold));
	memset(note, 0, sizeof(*note));
	if (!prefix->length) {
		kernel_say("::/0 is everybody: that is not a ban or an exception, use `default:` or `bulwark pause`");
		return -EINVAL;
	}
	if (bpf_map_lookup_elem(instance->maps[MAP_holds], key, hold))
		return -errno;
	bpf_map_lookup_elem(instance->maps[MAP_hold_notes], key, note);
	return 0;
}

static __u64 until(__u64 for_ns)
{
	__u64 now = boottime_ns();

	return for_ns > UINT64_MAX - now ? UINT64_MAX : now + for_ns;
}

int hold_ban(struct instance *instance, const struct prefix *prefix, __u64 for_ns, const char *origin,
	     const char *reason)
{
	struct hold_key key;
	struct hold before, hold;
	struct hold_note note;
	int found = hold_find(instance, prefix, &key, &before, &note);

	if (found && found != -ENOENT)
		return found;
	hold = before;
	hold.ban_until_ns = until(for_ns);
	hold.batch = 0;
	note.ban_since_ns = boottime_ns();
	snprintf(note.ban_origin, sizeof(note.ban_origin), "%s", origin ?: "");
	snprintf(note.ban_reason, sizeof(note.ban_reason), "%s", reason ?: "");
	return hold_write(instance, &key, found ? NULL : &before, &hold, &note);
}

int hold_allow(struct instance *instance, const struct prefix *prefix, __u64 for_ns, const char *by, const char *reason)
{
	struct hold_key key;
	struct hold before, hold;
	struct hold_note note;
	int found = hold_find(instance, prefix, &key, &before, &note);

	if (found && found != -ENOENT)
		return found;
	hold = before;
	hold.allow_until_ns = until(for_ns);
	note.allow_since_ns = boottime_ns();
	snprintf(note.allow_by, sizeof(note.allow_by), "%s", by ?: "");
	snprintf(note.allow_reason, sizeof(note.allow_reason), "%s", reason ?: "");
	return hold_write(instance, &key, found ? NULL : &before, &hold, &note);
}

/* Takes the ban or the exception out of a hold; the hold goes when nothing is left of it. */
static int hold_lift(struct instance *instance, const struct prefix *prefix, bool ban)
{
	struct hold_key key;
	struct hold before, hold;
	struct hold_note note;
	struct hold_lengths *lengths;
	__u64 now = boottime_ns();
	int error = hold_find(instance, prefix, &key, &before, &note);

	hold = before;
	if (!error && (ban ? hold.ban_until_ns : hold.allow_until_ns) <= now)
		error = -ENOENT;
	if (error) {
		if (error == -ENOENT)
			kernel_say(ban ? "it is not banned" : "it has no exception");
		return error;
	}
	*(ban ? &hold.ban_until_ns : &hold.allow_until_ns) = 0;
	lengths = lengths_map(instance);
	if (!lengths)
		return -errno;
	hold_table_for(instance, lengths->total);
	if (expired(&hold, now))
		error = hold_remove(instance, lengths, &key, &before);
	else if (bpf_map_update_elem(instance->maps[MAP_holds], &key, &hold, BPF_EXIST))
		error = -errno;
	else
		hold_table_change(&instance->table, &key, &before, &hold);
	holds_changed(lengths);
	lengths_unmap(lengths);
	return error;
}

/* The operator's ban, the shield's own, or both. */
int hold_unban(struct instance *instance, const struct prefix *prefix)
{
	int automatic = automatic_unban(instance, prefix);
	int error = hold_lift(instance, prefix, true);

	return error == -ENOENT && !automatic ? 0 : error;
}

int hold_disallow(struct instance *instance, const struct prefix *prefix)
{
	return hold_lift(instance, prefix, false);
}

/* ---- all holds ---- */

struct hold_list {
	struct hold_row *rows;
	size_t count, capacity;
};

static void row_fill(struct hold_row *row, const struct hold_key *key, const struct hold *hold)
{
	memset(row, 0, sizeof(*row));
	row->prefix.length = key->length;
	memcpy(row->prefix.address, key->address, sizeof(row->prefix.address));
	row->hold = *hold;
}

static int list_add(void *arg, const struct hold_key *key, const struct hold *hold)
{
	struct hold_list *list = arg;
	struct hold_row *row;

	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;

		row = realloc(list->rows, capacity * sizeof(*row));
		if (!row)
			return -ENOMEM;
		list->rows = row;
		list->capacity = capacity;
	}
	row_fill(&list->rows[list->count++], key, hold);
	return 0;
}

/* A batch walks whole buckets, so nothing comes twice. */
int holds_walk(struct instance *instance, int (*walk)(void *arg, const struct hold_key *key, const struct hold *hold),
	       void *arg)
{
	struct hold_key *keys = calloc(BATCH, sizeof(*keys));
	struct hold *values = calloc(BATCH, sizeof(*values));
	__u32 position = 0, count;
	void *from = NULL;
	int error = keys && values ? 0 : -ENOMEM, done = 0;

	while (!error && !done) {
		count = BATCH;
		if (bpf_map_lookup_batch(instance->maps[MAP_holds], from, &position, keys, values, &count, NULL)) {
			if (errno != ENOENT)
				error = -errno;
			done = 1;
		}
		for (__u32 i = 0; !error && i < count; i++)
			error = walk(arg, &keys[i], &values[i]);
		from = &position;
	}
	if (error)
		kernel_say("cannot read the bans and allows: %s", strerror(-error));
	free(keys);
	free(values);
	return error;
}

static int row_order(const void *a, const void *b)
{
	const struct hold_row *one = a, *two = b;
	int order = memcmp(one->prefix.address, two->prefix.address, sizeof(one->prefix.address));

	return order ?: (int)one->prefix.length - (int)two->prefix.length;
}

static void read_note(struct instance *instance, const struct hold_key *key, struct hold_row *row,
		      const struct hold_batch *batches)
{
	const struct hold_batch *batch = batches ? &batches[row->hold.batch % HOLD_BATCHES] : NULL;

	if (!row->hold.batch || row->hold.allow_until_ns)
		bpf_map_lookup_elem(instance->maps[MAP_hold_notes], key, &row->note);
	if (!row->hold.batch || !batch)
		return;
	row->note.ban_since_ns = row->hold.ban_since_s * 1000000000ULL;
	memcpy(row->note.ban_origin, batch->origin, sizeof(batch->origin));
	memcpy(row->note.ban_reason, batch->reason, sizeof(batch->reason));
}

struct visiting {
	struct instance *instance;
	const struct hold_batch *batches; /* NULL: they cannot be read, and say nothing */
	__u64 now_ns;
	int (*visit)(void *arg, const struct hold_row *row);
	void *arg;
};

static int visit_hold(void *arg, const struct hold_key *key, const struct hold *hold)
{
	const struct visiting *visiting = arg;
	struct hold_row row;

	if (expired(hold, visiting->now_ns))
		return 0;
	row_fill(&row, key, hold);
	read_note(visiting->instance, key, &row, visiting->batches);
	return visiting->visit(visiting->arg, &row);
}

int holds_each(struct instance *instance, int (*visit)(void *arg, const struct hold_row *row), void *arg)
{
	struct hold_batch *batches =
		array_read(instance->maps[MAP_hold_batches], HOLD_BATCHES, sizeof(struct hold_batch));
	struct visiting visiting = {instance, batches, boottime_ns(), visit, arg};
	int error = holds_walk(instance, visit_hold, &visiting);

	free(batches);
	return error;
}

/* The shield's own bans, as if an operator of that name had written them. */
static int list_automatic(struct instance *instance, struct hold_list *list, __u64 now)
{
	struct automatic_row *rows;
	size_t count;
	int error = automatic_read(instance, &rows, &count);

	for (size_t i = 0; !error && i < count; i++) {
		struct hold hold = {.ban_until_ns = rows[i].ban.until_ns};
		struct hold_key key = hold_key_of(&rows[i].prefix);
		struct hold_row *row;

		if (hold.ban_until_ns <= now)
			continue;
		error = list_add(list, &key, &hold);
		if (error)
			break;
		row = &list->rows[list->count - 1];
		row->automatic = true;
		row->note.ban_since_ns = rows[i].ban.since_ns;
		snprintf(row->note.ban_origin, sizeof(row->note.ban_origin), ORIGIN_AUTOMATIC);
		automatic_words(instance, &rows[i].ban, row->note.ban_reason, sizeof(row->note.ban_reason));
	}
	free(rows);
	return error;
}

int holds_read(struct instance *instance, struct hold_row **rows, size_t *count)
{
	struct hold_batch *batches =
		array_read(instance->maps[MAP_hold_batches], HOLD_BATCHES, sizeof(struct hold_batch));
	struct hold_lengths *lengths = instance->lock >= 0 ? lengths_map(instance) : NULL;
	struct hold_list list = {};
	__u64 now = boottime_ns();
	size_t kept = 0;
	int error = holds_walk(instance, list_add, &list);

	if (lengths)
		hold_table_open(instance); /* without it the tags of what has expired stay, and say so */

	for (size_t i = 0; !error && i < list.count; i++) {
		struct hold_row *row = &list.rows[i];
		struct hold_key key = hold_key_of(&row->prefix);

		if (!expired(&row->hold, now)) {
			read_note(instance, &key, row, batches);
			list.rows[kept++] = *row;
		} else if (lengths) {
			hold_remove(instance, lengths, &key, &row->hold);
		}
	}
	free(batches);
	list.count = kept;
	if (lengths)
		lengths_unmap(lengths);
	if (lengths && !error)
		error = automatic_sweep(instance);
	if (!error)
		error = list_automatic(instance, &list, now);
	if (error) {
		free(list.rows);
		return error;
	}
	kept = list.count;
	if (kept)
		qsort(list.rows, kept, sizeof(*list.rows), row_order);
	*rows = list.rows;
	*count = kept;
	return 0;
}

int hold_unban_origin(struct instance *instance, const char *origin, size_t *lifted)
{
	struct hold_row *rows;
	size_t count;
	int error = holds_read(instance, &rows, &count);

	*lifted = 0;
	if (error)
		return error;
	for (size_t i = 0; !error && i < count; i++) {
		if (rows[i].hold.ban_until_ns <= boottime_ns() ||
		    strncmp(rows[i].note.ban_origin, origin, sizeof(rows[i].note.ban_origin) - 1))
			continue;
		error = hold_unban(instance, &rows[i].prefix);
		*lifted += !error;
		if (error == -ENOENT) /* it has just expired */
			error = 0;
	}
	free(rows);
	return error;
}
