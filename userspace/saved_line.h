/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A line of bans.jsonl: a flat JSON object. */
#ifndef BULWARK_SAVED_LINE_H
#define BULWARK_SAVED_LINE_H

#include <jansson.h>

#define SAVED_LINE_PLAIN 512 /* bytes: longer ones take the long way */

/* What is not in the line is "" or 0. The texts are the line's own, until it is freed. */
struct saved_line {
	const char *kind, *address, *origin, *by, *reason, *service;
	double until_s, since_s, forget_s; /* time of day */
	double times;
	json_t *json; /* NULL: the line was plain, its texts are in here */
	char plain[SAVED_LINE_PLAIN];
};

/* 0, or -EINVAL: no JSON object. */
int saved_line_read(const char *text, size_t length, struct saved_line *line);
void saved_line_free(struct saved_line *line);

#endif
