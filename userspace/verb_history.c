/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark history: what was live when, by whom. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "verb_common.h"

static const char *text_hash(const json_t *value, char *buffer, size_t size)
{
	const char *hash = json_string_value(value);

	if (!hash)
		return "-";
	snprintf(buffer, size, "%.12s", hash);
	return buffer;
}

static const struct column columns[] = {
	{"time", "WHEN", false, text_time},
	{"action", "WHAT", false, NULL},
	{"generation", "GENERATION", true, NULL},
	{"live", "LIVE", false, NULL},
	{"policy_path", "POLICY", false, NULL},
	{"hash", "HASH", false, text_hash},
	{"user", "BY", false, NULL},
	{"note", "NOTE", false, NULL},
	{},
};

/* What a person wants to know beside the columns, in one phrase. */
static void put_note(json_t *entry)
{
	const char *words = json_string_value(json_object_get(entry, "why"));
	char text[128], time[32];

	if (!words)
		words = json_string_value(json_object_get(entry, "changed"));
	if (!words && json_is_true(json_object_get(entry, "monitor")))
		words = "only monitors";
	if (!words && json_is_true(json_object_get(entry, "pending")))
		words = "to be confirmed";
	if (!words && json_is_number(json_object_get(entry, "for_s"))) {
		duration_text((__u64)(json_number_value(json_object_get(entry, "for_s")) * 1e9), time, sizeof(time));
		snprintf(text, sizeof(text), "for %s", time);
		words = text;
	}
	json_object_set_new(entry, "note", words ? json_string(words) : json_null());
}

/* The generation that is live; 0 when nothing is. Reading also notes a deadline that passed with nobody there. */
static unsigned live_now(const struct context *context)
{
	struct instance *instance;
	unsigned generation = 0;

	if (instance_open(&context->places, OPEN_READ, &instance))
		return 0;
	live_generation(instance, &generation);
	instance_close(instance);
	return generation;
}

/* Marks the newest entry that made it live. */
static void mark_live(json_t *entries, unsigned generation)
{
	for (size_t i = json_array_size(entries); generation && i-- > 0;) {
		json_t *entry = json_array_get(entries, i);
		const char *action = json_string_value(json_object_get(entry, "action"));

		if (json_integer_value(json_object_get(entry, "generation")) != generation || !action ||
		    !strcmp(action, "paused") || !strcmp(action, "resumed") || !strncmp(action, "under-attack-", 13))
			continue;
		json_object_set_new(entry, "live", json_true());
		return;
	}
}

int verb_history(struct context *context, int argc, char **argv)
{
	char path[SAVED_PATH_MAX];
	unsigned live;
	json_t *entries;
	int status = nothing_but_options(context, argc, argv);

	if (status)
		return status;
	live = live_now(context);
	saved_path(&context->places, 0, "history.jsonl", path);
	if (access(path, R_OK) && errno != ENOENT)
		return fail(EXIT_SYSTEM, "history: %s: %s", path, strerror(errno));
	entries = lines_read(path);
	if (!entries)
		return fail(EXIT_SYSTEM, "history: %s", strerror(ENOMEM));
	mark_live(entries, live);
	if (context->json)
		return print_json(entries);
	if (!json_array_size(entries))
		printf("nothing was ever applied (%s)\n", path);
	for (size_t i = 0; i < json_array_size(entries); i++)
		put_note(json_array_get(entries, i));
	status = print_table(entries, columns);
	json_decref(entries);
	return status;
}
