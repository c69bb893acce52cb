/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* STATE/fingerprints.json: {"9d2f00c1aa34be51": {"ja4": "t13d...", "denied": true}, ...}. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ja4.h"
#include "saved_fingerprints.h"

#define NAME "fingerprints.json"

static json_t *fingerprints_json(const struct fingerprint_row *rows, size_t count)
{
	json_t *object = json_object();
	char number[20];

	for (size_t i = 0; i < count; i++) {
		json_t *entry = json_pack("{s:s}", "ja4", rows[i].fingerprint.ja4);

		if (rows[i].fingerprint.denied)
			json_object_set_new(entry, "denied", json_true());
		snprintf(number, sizeof(number), "%016llx", rows[i].number);
		json_object_set_new(object, number, entry);
	}
	return object;
}

int fingerprints_save(const struct places *places, struct instance *instance)
{
	char path[SAVED_PATH_MAX], temporary[SAVED_PATH_MAX];
	struct fingerprint_row *rows = NULL;
	size_t count = 0;
	int error = fingerprints_read(instance, &rows, &count);
	json_t *object = error ? NULL : fingerprints_json(rows, count);

	saved_path(places, 0, NAME, path);
	saved_path(places, 0, NAME ".new", temporary);
	errno = 0;
	if (!error && (json_dump_file(object, temporary, JSON_INDENT(1) | JSON_SORT_KEYS) || rename(temporary, path)))
		error = errno ? -errno : -EIO;
	if (error)
		unlink(temporary);
	json_decref(object);
	free(rows);
	return error;
}

/* A number of 16 digits, and a JA4: what else stands there is passed over. */
static bool read_row(const char *number, const json_t *entry, struct fingerprint_row *row)
{
	const char *ja4 = json_string_value(json_object_get(entry, "ja4"));

	memset(row, 0, sizeof(*row));
	if (!ja4 || ja4_trouble(ja4) || strlen(number) != 16 || strspn(number, "0123456789abcdef") != 16)
		return false;
	row->number = strtoull(number, NULL, 16);
	row->fingerprint.denied = json_is_true(json_object_get(entry, "denied"));
	memcpy(row->fingerprint.ja4, ja4, JA4_LENGTH);
	return true;
}

void fingerprints_restore(const struct places *places, struct instance *instance)
{
	char path[SAVED_PATH_MAX];
	json_t *object = json_load_file(saved_path(places, 0, NAME, path), 0, NULL), *entry;
	const char *number;
	size_t count = 0;

	json_object_foreach(object, number, entry)
	{
		struct fingerprint_row row;

		if (read_row(number, entry, &row) && (count++ >= FINGERPRINTS || fingerprint_learn(instance, &row)))
			break;
	}
	json_decref(object);
}
