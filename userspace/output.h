/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How verbs print: the same JSON is the answer to --json and the rows of the table for people. */
#ifndef BULWARK_OUTPUT_H
#define BULWARK_OUTPUT_H

#include <jansson.h>

#include "verbs.h"

/* Prints a JSON document on standard output and drops the reference. 0, or EXIT_SYSTEM when the output is gone. */
int print_json(json_t *document);

struct column {
	const char *key;     /* member of each row */
	const char *heading; /* NULL ends the columns */
	bool right;	     /* right-aligned: numbers */
	/* Text of a value, in buffer or elsewhere; NULL: as it stands (strings, numbers, yes/no, arrays joined by
	 * commas). */
	const char *(*text)(const json_t *value, char *buffer, size_t size);
};

/* An array of objects as a table; nothing at all when it is empty. */
int print_table(const json_t *rows, const struct column *columns);
/* Seconds as "3m 20s"; for struct column. */
const char *text_seconds(const json_t *value, char *buffer, size_t size);
/* Seconds since the epoch as "2026-11-21 22:30:05" in local time. */
const char *text_time(const json_t *value, char *buffer, size_t size);
/* Bytes or counts with a unit: 12.3k. */
const char *text_count(const json_t *value, char *buffer, size_t size);

/* 1 list, 2 lists. */
const char *plural(unsigned long long count, const char *one, const char *many);

#endif
