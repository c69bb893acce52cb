/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* STATE/bans.jsonl: what is held for a time, with times of day, since the kernel's clock begins anew with every boot.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "saved_bans.h"
#include "saved_line.h"
#include "spare.h"

#define NAME "bans.jsonl"

/* What to add to CLOCK_BOOTTIME to have the time of day, in ns. */
static __s64 day_minus_boot(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec - (__s64)boottime_ns();
}

/* ---- writing ---- */

static json_t *seconds(__u64 boot, __s64 offset)
{
	return json_real((double)((__s64)boot + offset) / 1e9);
}

static int put(FILE *file, json_t *line)
{
	int error = line ? json_dumpf(line, file, JSON_COMPACT | JSON_REAL_PRECISION(14)) : -ENOMEM;

	json_decref(line);
	if (error)
		return -EIO;
	return fputc('\n', file) == EOF ? -errno : 0;
}

struct saving {
	FILE *file;
	__u64 now_ns;
	__s64 offset; /* as day_minus_boot() */
};

static int put_hold(void *arg, const struct hold_row *row)
{
	const struct saving *saving = arg;
	const struct hold_note *note = &row->note;
	__u64 now = saving->now_ns;
	__s64 offset = saving->offset;
	FILE *file = saving->file;
	char text[PREFIX_TEXT];
	int error = 0;

	prefix_text(&row->prefix, text);
	if (row->hold.ban_until_ns > now)
		error = put(file, json_pack("{s:s, s:s, s:o, s:o, s:s, s:s}", "kind", "ban", "address", text, "until",
					    seconds(row->hold.ban_until_ns, offset), "since",
					    seconds(note->ban_since_ns, offset), "origin", note->ban_origin, "reason",
					    note->ban_reason));
	if (!error && row->hold.allow_until_ns > now)
		error = put(file, json_pack("{s:s, s:s, s:o, s:o, s:s, s:s}", "kind", "allow", "address", text, "until",
					    seconds(row->hold.allow_until_ns, offset), "since",
					    seconds(note->allow_since_ns, offset), "by", note->allow_by, "reason",
					    note->allow_reason));
	return error;
}

static int put_automatic(FILE *file, struct instance *instance, const struct automatic_row *row, __s64 offset)
{
	char text[PREFIX_TEXT], service[64];

	return put(file,
		   json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:s, s:s}", "kind", "automatic", "address",
			     prefix_text(&row->prefix, text), "until", seconds(row->ban.until_ns, offset), "since",
			     seconds(row->ban.since_ns, offset), "forget", seconds(row->ban.forget_ns, offset), "times",
			     (json_int_t)row->ban.times, "service", service_name(instance, row->ban.service, service),
			     "reason", reason_name(row->ban.reason)));
}

static int write_all(FILE *file, struct instance *instance)
{
	struct saving saving = {file, boottime_ns(), day_minus_boot()};
	struct automatic_row *automatic = NULL;
	size_t count = 0;
	int error = holds_each(instance, put_hold, &saving);

	error = error ?: automatic_read(instance, &automatic, &count);
	for (size_t i = 0; !error && i < count; i++)
		if (automatic[i].ban.forget_ns > saving.now_ns)
			error = put_automatic(file, instance, &automatic[i], saving.offset);
	free(automatic);
	return error;
}

int bans_save(const struct places *places, struct instance *instance)
{
	char path[SAVED_PATH_MAX], temporary[SAVED_PATH_MAX];
	FILE *file;
	int error;

	saved_path(places, 0, NAME, path);
	file = fopen(saved_path(places, 0, NAME ".new", temporary), "we");
	if (!file)
		return -errno;
	error = write_all(file, instance);
	if (!error && (fflush(file) || fdatasync(fileno(file))))
		error = -errno;
	if (fclose(file) && !error)
		error = -errno;
	if (!error && rename(temporary, path))
		error = -errno;
	if (error)
		unlink(temporary);
	return error;
}

void bans_forget(const struct places *places)
{
	char path[SAVED_PATH_MAX];

	unlink(saved_path(places, 0, NAME, path));
}

/* ---- reading ---- */

#define TOGETHER_LEAST 64 /* fewer bans of one origin and reason are held one by one, each with a note of its own */
#define GROUPS_MAX 64

/* Bans that say the same, to be held in few system calls. */
struct group {
	char *origin, *reason;
	struct hold_wanted *bans;
	size_t count, room;
};

struct restoring {
	struct instance *instance;
	struct bans_restored *restored;
	__s64 offset; /* of the time of day to CLOCK_BOOTTIME, ns */
	__u64 now_ns;
	struct group groups[GROUPS_MAX];
	size_t group_count, last; /* last: the group of the line before, most likely this one's */
	char service[64];	  /* of the last automatic ban, and its row: mostly it is that of the next, too */
	__u16 row;
};

static __u64 boot_time(const struct restoring *restoring, double day_s)
{
	double ns = day_s * 1e9 - (double)restoring->offset;

	if (ns >= 0x1p63)
		return INT64_MAX;
	return ns > 1 ? (__u64)ns : 1; /* begun before this boot */
}

static void count_line(struct bans_restored *restored, int error)
{
	restored->held += !error;
	restored->over += error == -ETIME;
	restored->lost += error && error != -ETIME;
}

static bool group_is(const struct group *group, const struct saved_line *line)
{
	return !strcmp(group->reason, line->reason) && !strcmp(group->origin, line->origin);
}

/* The group of these words; NULL when there are too many kinds, or no memory. */
static struct group *group_of(struct restoring *restoring, const struct saved_line *line)
{
	struct group *group = &restoring->groups[restoring->last];

	if (restoring->group_count && group_is(group, line))
		return group;
	for (restoring->last = 0; restoring->last < restoring->group_count; restoring->last++)
		if (group_is(&restoring->groups[restoring->last], line))
			return &restoring->groups[restoring->last];
	restoring->last = 0;
	if (restoring->group_count == GROUPS_MAX)
		return NULL;
	group = &restoring->groups[restoring->group_count];
	group->origin = strdup(line->origin);
	group->reason = strdup(line->reason);
	if (!group->origin || !group->reason) {
		free(group->origin);
		free(group->reason);
		return NULL;
	}
	restoring->last = restoring->group_count++;
	return group;
}

static int group_add(struct group *group, const struct hold_wanted *ban)
{
	if (group->count == group->room) {
		size_t room = group->room ? group->room * 2 : TOGETHER_LEAST;
		struct hold_wanted *larger = reallocarray(group->bans, room, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		group->bans = larger;
		group->room = room;
	}
	group->bans[group->count++] = *ban;
	return 0;
}

/* As they were saved they are sorted. Of two for one prefix the longer one stays. */
static void group_sort(struct group *group)
{
	size_t kept = 0, i = 1;

	while (i < group->count && prefix_order(&group->bans[i - 1].prefix, &group->bans[i].prefix) < 0)
		i++;
	if (i >= group->count)
		return;
	qsort(group->bans, group->count, sizeof(*group->bans), prefix_order); /* the prefix stands first */
	for (i = 0; i < group->count; i++)
		if (!kept || prefix_order(&group->bans[kept - 1].prefix, &group->bans[i].prefix))
			group->bans[kept++] = group->bans[i];
		else if (group->bans[kept - 1].until_ns < group->bans[i].until_ns)
			group->bans[kept - 1] = group->bans[i];
	group->count = kept;
}

/* Together where that is worth it and there is room for all; else as many as there is room for. */
static void group_hold(struct restoring *restoring, struct group *group)
{
	group_sort(group);
	if (group->count >= TOGETHER_LEAST &&
	    !holds_restore(restoring->instance, group->bans, group->count, group->origin, group->reason)) {
		restoring->restored->held += group->count;
		return;
	}
	for (size_t i = 0; i < group->count; i++) {
		const struct hold_wanted *ban = &group->bans[i];

		count_line(restoring->restored,
			   hold_ban(restoring->instance, &ban->prefix, ban->until_ns - restoring->now_ns, group->origin,
				    group->reason));
	}
}

/* Looking for a name reads all of them. */
static __u16 row_of(struct restoring *restoring, const char *service)
{
	if (strncmp(restoring->service, service, sizeof(restoring->service) - 1)) {
		snprintf(restoring->service, sizeof(restoring->service), "%s", service);
		restoring->row = service_row(restoring->instance, service);
	}
	return restoring->row;
}

static int restore_automatic(struct restoring *restoring, const struct saved_line *line, const struct prefix *prefix)
{
	int reason = reason_by_name(line->reason);
	struct automatic_row row = {
		.prefix = *prefix,
		.ban.until_ns = boot_time(restoring, line->until_s),
		.ban.since_ns = boot_time(restoring, line->since_s),
		.ban.forget_ns = boot_time(restoring, line->forget_s),
		.ban.times = line->times < UINT32_MAX ? (__u32)line->times : UINT32_MAX,
		.ban.service = row_of(restoring, line->service),
		.ban.reason = reason > 0 ? (__u8)reason : 0,
	};

	if (row.ban.forget_ns <= restoring->now_ns)
		return -ETIME;
	return automatic_restore(restoring->instance, &row);
}

/* 0: it is held again, or will be with its group (*later). -ETIME: its time is over. */
static int restore(struct restoring *restoring, const struct saved_line *line, bool *later)
{
	struct hold_wanted ban = {.until_ns = boot_time(restoring, line->until_s),
				  .since_ns = boot_time(restoring, line->since_s)};
	__u64 left = ban.until_ns - restoring->now_ns;
	struct group *group;

	if (prefix_parse(line->address, &ban.prefix))
		return -EINVAL;
	if (!strcmp(line->kind, "automatic"))
		return restore_automatic(restoring, line, &ban.prefix);
	if (ban.until_ns <= restoring->now_ns)
		return -ETIME;
	if (!strcmp(line->kind, "allow"))
		return hold_allow(restoring->instance, &ban.prefix, left, line->by, line->reason);
	if (strcmp(line->kind, "ban") || !ban.prefix.length)
		return -EINVAL;
	group = group_of(restoring, line);
	if (!group)
		return hold_ban(restoring->instance, &ban.prefix, left, line->origin, line->reason);
	*later = true;
	return group_add(group, &ban);
}

static void restore_line(struct restoring *restoring, const char *text, size_t length)
{
	struct saved_line line;
	int error = saved_line_read(text, length, &line);
	bool later = false;

	if (!error)
		error = restore(restoring, &line, &later);
	if (error || !later)
		count_line(restoring->restored, error);
	saved_line_free(&line);
}

static void groups_hold(struct restoring *restoring)
{
	for (size_t i = 0; i < restoring->group_count; i++) {
		group_hold(restoring, &restoring->groups[i]);
		free(restoring->groups[i].bans);
		free(restoring->groups[i].origin);
		free(restoring->groups[i].reason);
	}
}

int bans_restore(const struct places *places, struct instance *instance, struct bans_restored *restored)
{
	struct restoring restoring = {
		.instance = instance,
		.restored = restored,
		.offset = day_minus_boot(),
		.now_ns = boottime_ns(),
	};
	char path[SAVED_PATH_MAX], *text = NULL;
	FILE *file = fopen(saved_path(places, 0, NAME, path), "re");
	size_t size = 0;
	ssize_t length;

	memset(restored, 0, sizeof(*restored));
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while ((length = getline(&text, &size, file)) > 0)
		restore_line(&restoring, text, (size_t)length);
	groups_hold(&restoring);
	free(text);
	fclose(file);
	return 0;
}
