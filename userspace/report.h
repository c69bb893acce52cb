/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What went wrong or is worth saying, collected so that all of it is told in one run.
 *
 *   policy.yaml:12:9: error: 'tcp/70000': a port is 1 to 65535
 *       ports: tcp/70000
 *              ^~~~~~~~~
 */
#ifndef BULWARK_REPORT_H
#define BULWARK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Where something stands. file is borrowed (a policy's file table lives as long as the policy). 0: unknown. */
struct place {
	const char *file;
	unsigned line, column; /* from 1 */
	unsigned width;	       /* characters to underline, 0: only the caret */
};

enum severity { SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR };

struct finding {
	enum severity severity;
	struct place at;
	char *text;   /* owned */
	char *source; /* owned: the line it stands in, or NULL */
};

struct report {
	struct finding *findings;
	size_t count, capacity;
	size_t errors;
};

void report_add(struct report *report, enum severity severity, const struct place *at, const char *source_line,
		const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Further findings of this kind are only counted. */
bool report_is_full(const struct report *report, enum severity severity);
void report_free(struct report *report);
/* Findings in order of file and line, as above; "file:line:column: error: text". */
void report_print(const struct report *report, FILE *out);

/* The candidate nearest to name (Damerau-Levenshtein, at most a third of its length), or NULL. */
const char *did_you_mean(const char *name, const char *const *candidates, size_t count);

#endif
