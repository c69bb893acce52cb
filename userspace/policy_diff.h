/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between two policies, in words. Pure. */
#ifndef BULWARK_POLICY_DIFF_H
#define BULWARK_POLICY_DIFF_H

#include <jansson.h>

/*
 * Compares two canonical texts (policy_print). An array of differences, empty when they mean the same:
 *   {"change": "added" | "removed" | "changed", "what": "service ssh", "text": "ports: tcp/22 -> tcp/22, tcp/2222"}
 * NULL when a text cannot be read or there is no memory. The caller's.
 */
json_t *policy_diff(const char *old_text, const char *new_text);

/* Differences as one line for a history: "default: drop -> pass; service web: ports: +udp/443; and 3 more". "" for
 * none. */
const char *diff_line(const json_t *differences, char *text, size_t size);

/* Appends one difference. */
void diff_add(json_t *differences, const char *change, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
