/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* STATE/bans.jsonl: what is held for a time, with times of day, since the kernel's clock begins anew with every boot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "saved_bans.h"

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

static int put_hold(FILE *file, const struct hold_row *row, __u64 now, __s64 offset)
{
	const struct hold_note *note = &row->note;
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
	struct automatic_row *automatic = NULL;
	struct hold_row *rows = NULL;
	size_t count = 0, automatic_count = 0;
	__s64 offset = day_minus_boot();
	__u64 now = boottime_ns();
	int error = holds_read(instance, &rows, &count);

	error = error ?: automatic_read(instance, &automatic, &automatic_count);
	for (size_t i = 0; !error && i < count; i++)
		if (!rows[i].automatic)
			error = put_hold(file, &rows[i], now, offset);
	for (size_t i = 0; !error && i < automatic_count; i++)
		if (automatic[i].ban.forget_ns > now)
			error = put_automatic(file, instance, &automatic[i], offset);
	free(rows);
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

static __u64 boot_time(const json_t *line, const char *key, __s64 offset)
{
	double ns = json_number_value(json_object_get(line, key)) * 1e9 - (double)offset;

	return ns > 1 ? (__u64)ns : 1; /* begun before this boot */
}

static const char *text_of(const json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key)) ?: "";
}

static int restore_automatic(struct instance *instance, const json_t *line, const struct prefix *prefix, __s64 offset)
{
	int reason = reason_by_name(text_of(line, "reason"));
	struct automatic_row row = {
		.prefix = *prefix,
		.ban.until_ns = boot_time(line, "until", offset),
		.ban.since_ns = boot_time(line, "since", offset),
		.ban.forget_ns = boot_time(line, "forget", offset),
		.ban.times = (__u32)json_integer_value(json_object_get(line, "times")),
		.ban.service = service_row(instance, text_of(line, "service")),
		.ban.reason = reason > 0 ? (__u8)reason : 0,
	};

	if (row.ban.forget_ns <= boottime_ns())
		return -ETIME;
	return automatic_restore(instance, &row);
}

/* 0: it is held again. -ETIME: its time is over. */
static int restore(struct instance *instance, const json_t *line, __s64 offset)
{
	const char *kind = text_of(line, "kind");
	__u64 until = boot_time(line, "until", offset), now = boottime_ns();
	struct prefix prefix;

	if (prefix_parse(text_of(line, "address"), &prefix))
		return -EINVAL;
	if (!strcmp(kind, "automatic"))
		return restore_automatic(instance, line, &prefix, offset);
	if (until <= now)
		return -ETIME;
	if (!strcmp(kind, "ban"))
		return hold_ban(instance, &prefix, until - now, text_of(line, "origin"), text_of(line, "reason"));
	if (!strcmp(kind, "allow"))
		return hold_allow(instance, &prefix, until - now, text_of(line, "by"), text_of(line, "reason"));
	return -EINVAL;
}

int bans_restore(const struct places *places, struct instance *instance, struct bans_restored *restored)
{
	char path[SAVED_PATH_MAX];
	FILE *file = fopen(saved_path(places, 0, NAME, path), "re");
	__s64 offset = day_minus_boot();
	size_t size = 0;
	char *text = NULL;
	ssize_t length;

	memset(restored, 0, sizeof(*restored));
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while ((length = getline(&text, &size, file)) > 0) {
		json_t *line = json_loadb(text, (size_t)length, 0, NULL);
		int error = json_is_object(line) ? restore(instance, line, offset) : -EINVAL;

		restored->held += !error;
		restored->over += error == -ETIME;
		restored->lost += error && error != -ETIME;
		json_decref(line);
	}
	free(text);
	fclose(file);
	return 0;
}
