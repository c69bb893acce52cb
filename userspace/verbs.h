/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Commands are a table (verbs.def): it makes dispatch, usage, completion and the man page's list. One file a verb. */
#ifndef BULWARK_VERBS_H
#define BULWARK_VERBS_H

#include "kernel.h"

enum exit_status {
	EXIT_DONE = 0,
	EXIT_ANSWER_NO = 1, /* a test failed, a difference, drift */
	EXIT_USAGE = 2,	    /* usage or policy error; live policy untouched */
	EXIT_SYSTEM = 3,    /* the kernel or the system refused; live policy untouched */
};

struct context { /* what every verb gets */
	struct places places;
	bool json;
	const char *verb;
};

struct option_line { /* for usage and completion */
	const char *name;     /* "--confirm" */
	const char *argument; /* "60s", or NULL: a flag; "[60s]": optional */
	const char *help;
};

struct verb {
	const char *name;
	const char *arguments; /* "FILE [--confirm[=60s]] ..." */
	const char *help;      /* one line */
	int (*run)(struct context *context, int argc, char **argv); /* argv[0] is the verb; returns enum exit_status */
};
extern const struct verb verbs[]; /* ends with a NULL name */

/* Errors go to standard error, one line first: what failed, on what, why, and what to do. Both return status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fail_kernel(int error, const char *what); /* with kernel_words() */

/* "10m" -> ns. 0 or -EINVAL. Units ns us ms s m h d; a bare number is seconds. */
int duration_parse(const char *text, __u64 *ns);
const char *duration_text(__u64 ns, char *buffer, size_t size); /* "3m 20s" */

#endif
