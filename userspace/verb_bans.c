/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark bans, bulwark allows: what is held in force for a time, and by whom. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "verb_common.h"

static const struct column ban_columns[] = {
	{"address", "ADDRESS", false, NULL},  {"left_s", "LEFT", true, text_seconds},
	{"since", "SINCE", false, text_time}, {"origin", "ORIGIN", false, NULL},
	{"reason", "REASON", false, NULL},    {},
};

static const struct column allow_columns[] = {
	{"address", "ADDRESS", false, NULL},  {"left_s", "LEFT", true, text_seconds},
	{"since", "SINCE", false, text_time}, {"by", "BY", false, NULL},
	{"reason", "REASON", false, NULL},    {},
};

static json_t *ban_row(const struct hold_row *row, __u64 now)
{
	char text[PREFIX_TEXT];

	if (row->hold.ban_until_ns <= now)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s}", "address", prefix_text(&row->prefix, text), "left_s",
			 (json_int_t)((row->hold.ban_until_ns - now) / 1000000000), "since",
			 (json_int_t)boottime_to_epoch(row->note.ban_since_ns), "until",
			 (json_int_t)boottime_to_epoch(row->hold.ban_until_ns), "origin", row->note.ban_origin,
			 "reason", row->note.ban_reason);
}

static json_t *allow_row(const struct hold_row *row, __u64 now)
{
	char text[PREFIX_TEXT];

	if (row->hold.allow_until_ns <= now)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s}", "address", prefix_text(&row->prefix, text), "left_s",
			 (json_int_t)((row->hold.allow_until_ns - now) / 1000000000), "since",
			 (json_int_t)boottime_to_epoch(row->note.allow_since_ns), "until",
			 (json_int_t)boottime_to_epoch(row->hold.allow_until_ns), "by", row->note.allow_by, "reason",
			 row->note.allow_reason);
}

static json_t *hold_rows(struct instance *instance, json_t *(*make)(const struct hold_row *, __u64), const char *origin)
{
	struct hold_row *rows = NULL;
	__u64 now = boottime_ns();
	size_t count = 0;
	json_t *array;

	if (holds_read(instance, &rows, &count))
		return NULL;
	array = json_array();
	for (size_t i = 0; i < count; i++) {
		if (origin && strcmp(rows[i].note.ban_origin, origin))
			continue;
		json_array_append_new(array, make(&rows[i], now)); /* NULL is not appended */
	}
	free(rows);
	return array;
}

static int print_holds(const struct context *context, const char *origin, const char *none,
		       json_t *(*make)(const struct hold_row *, __u64), const struct column *columns)
{
	struct instance *instance;
	int status = open_instance(context, OPEN_READ, &instance);
	json_t *rows;

	if (status)
		return status;
	rows = hold_rows(instance, make, origin);
	instance_close(instance);
	if (!rows)
		return fail_kernel(-EIO, context->verb);
	if (context->json)
		return print_json(rows);
	if (!json_array_size(rows))
		puts(none);
	status = print_table(rows, columns);
	json_decref(rows);
	return status;
}

int verb_bans(struct context *context, int argc, char **argv)
{
	const char *value, *origin = NULL;
	int option;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option != 'o')
			return EXIT_USAGE;
		origin = value;
	}
	if (no_operands(context, argc, argv))
		return EXIT_USAGE;
	return print_holds(context, origin, "nobody is banned", ban_row, ban_columns);
}

int verb_allows(struct context *context, int argc, char **argv)
{
	const char *value;

	if (next_option(context, argc, argv, &value) != OPTIONS_END)
		return EXIT_USAGE;
	if (no_operands(context, argc, argv))
		return EXIT_USAGE;
	return print_holds(context, NULL, "no exception is in force", allow_row, allow_columns);
}
