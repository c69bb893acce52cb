/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "past.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static json_t *history(const struct places *places)
{
	char path[SAVED_PATH_MAX];

	return lines_read(saved_path(places, 0, "history.jsonl", path));
}

static unsigned number(const json_t *entry, const char *key)
{
	return json_integer_value(json_object_get(entry, key));
}

static bool is_action(const json_t *entry, const char *action)
{
	const char *there = json_string_value(json_object_get(entry, "action"));

	return there && !strcmp(there, action);
}

static bool made_live(const json_t *entry)
{
	return is_action(entry, "applied") || is_action(entry, "rolled-back");
}

/* What was in force when this generation came; after a reboot nothing was, and a renewal replaces its own policy: both
 * are copies of an older one. */
static unsigned came_after(const json_t *entries, unsigned generation, unsigned *copy_of)
{
	unsigned before = 0;
	json_t *entry;
	size_t i;

	*copy_of = 0;
	json_array_foreach(entries, i, entry)
	{
		if (!made_live(entry) || number(entry, "generation") != generation)
			continue;
		before = json_is_true(json_object_get(entry, "renewed")) ? 0 : number(entry, "from");
		*copy_of = number(entry, "policy_of");
	}
	return before;
}

unsigned past_before(const struct places *places, unsigned generation)
{
	json_t *entries = history(places);
	unsigned before, copy_of;

	do {
		before = came_after(entries, generation, &copy_of);
	} while (!before && copy_of && copy_of < generation && (generation = copy_of));
	json_decref(entries);
	return before;
}

unsigned past_confirmed(const struct places *places)
{
	json_t *entries = history(places), *entry;
	unsigned kept = 0;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		bool for_good = made_live(entry) && !json_is_true(json_object_get(entry, "pending"));

		if (for_good || is_action(entry, "confirmed") || is_action(entry, "reverted"))
			kept = number(entry, "generation");
		else if (is_action(entry, "down"))
			kept = 0;
	}
	json_decref(entries);
	return kept;
}

/* ---- counting ---- */

static const char *const action_names[] = {
#define PAST_ACTION(symbol, name) [PAST_##symbol] = name,
	PAST_ACTIONS(PAST_ACTION)
#undef PAST_ACTION
};

const char *past_action_name(enum past_action action)
{
	return action_names[action];
}

static void count_entry(struct past_counts *counts, const json_t *entry)
{
	for (enum past_action action = 0; action < PAST_ACTION_COUNT; action++)
		counts->counts[action] += is_action(entry, action_names[action]);
	if (made_live(entry) || is_action(entry, "refused"))
		counts->tests_failed = number(entry, "tests_failed");
	if (made_live(entry))
		counts->took_s = json_number_value(json_object_get(entry, "took_s"));
}

void past_count(const struct places *places, struct past_counts *counts)
{
	char path[SAVED_PATH_MAX];
	FILE *file = fopen(saved_path(places, 0, "history.jsonl", path), "re");
	struct stat found;
	size_t size = 0;
	char *line = NULL;
	ssize_t length;

	if (!file)
		return;
	if (!fstat(fileno(file), &found) &&
	    ((__u64)found.st_ino != counts->inode || (__u64)found.st_size < counts->offset))
		*counts = (struct past_counts){.inode = found.st_ino};
	if (!fseeko(file, (off_t)counts->offset, SEEK_SET))
		while ((length = getline(&line, &size, file)) > 0 && line[length - 1] == '\n') {
			json_t *entry = json_loads(line, 0, NULL);

			count_entry(counts, entry);
			counts->offset += (__u64)length;
			json_decref(entry);
		}
	free(line);
	fclose(file);
}
