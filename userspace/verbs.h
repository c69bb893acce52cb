/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Commands are a table (verbs.c): it makes dispatch, usage, completion and the man page's list. One file a verb. */
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

struct option_line {	      /* makes getopt's table, the usage and the completion */
	const char *name;     /* "--confirm" */
	const char *argument; /* "60s", or NULL: a flag; "[60s]": optional */
	const char *help;
	int code; /* what next_option() returns for it */
};

struct verb {
	const char *name;
	const char *arguments;					    /* "FILE...": the operands; the options are below */
	const char *help;					    /* one line */
	int (*run)(struct context *context, int argc, char **argv); /* argv[0] is the verb; returns enum exit_status */
	const struct option_line *options;			    /* ends with a NULL name; NULL: none */
};
extern const struct verb verbs[];		   /* ends with a NULL name */
const struct verb *verb_by_name(const char *name); /* or NULL */

/*
 * The next option on a verb's command line, by its lines in the table: its code, OPTIONS_END, or OPTIONS_WRONG
 * (unknown, or its argument is missing: the words are out, return EXIT_USAGE). value: its argument, or NULL. After
 * OPTIONS_END the operands are argv[optind] to argv[argc - 1]. --json, --pin-dir, --state-dir and --help are main's: it
 * has taken them out.
 */
enum { OPTIONS_END = -1, OPTIONS_WRONG = -2 };
int next_option(const struct context *context, int argc, char **argv, const char **value);
/* "ban: ADDR[/LEN] is missing" and how the verb is used; returns EXIT_USAGE. */
int fail_usage(const struct context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The verbs, one file each: verb_NAME.c. */
int verb_check(struct context *context, int argc, char **argv);
int verb_explain(struct context *context, int argc, char **argv);
int verb_apply(struct context *context, int argc, char **argv);
int verb_confirm(struct context *context, int argc, char **argv);
int verb_rollback(struct context *context, int argc, char **argv);
int verb_history(struct context *context, int argc, char **argv);
int verb_diff(struct context *context, int argc, char **argv);
int verb_show(struct context *context, int argc, char **argv);
int verb_status(struct context *context, int argc, char **argv);
int verb_ban(struct context *context, int argc, char **argv);
int verb_unban(struct context *context, int argc, char **argv);
int verb_bans(struct context *context, int argc, char **argv);
int verb_allow(struct context *context, int argc, char **argv);
int verb_disallow(struct context *context, int argc, char **argv);
int verb_allows(struct context *context, int argc, char **argv);
int verb_pause(struct context *context, int argc, char **argv);
int verb_resume(struct context *context, int argc, char **argv);
int verb_panic(struct context *context, int argc, char **argv);
int verb_lookup(struct context *context, int argc, char **argv);
int verb_log(struct context *context, int argc, char **argv);
int verb_report(struct context *context, int argc, char **argv);
int verb_top(struct context *context, int argc, char **argv);
int verb_metrics(struct context *context, int argc, char **argv);
int verb_doctor(struct context *context, int argc, char **argv);
int verb_fetch(struct context *context, int argc, char **argv);
int verb_down(struct context *context, int argc, char **argv);
int verb_help(struct context *context, int argc, char **argv);
int verb_completion(struct context *context, int argc, char **argv);

/* Errors go to standard error, one line first: what failed, on what, why, and what to do. Both return status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fail_kernel(int error, const char *what); /* with kernel_words() */
const char *fail_words(void);		      /* what was said last */

/* "10m" -> ns. 0 or -EINVAL. Units ns us ms s m h d; a bare number is seconds. */
int duration_parse(const char *text, __u64 *ns);
const char *duration_text(__u64 ns, char *buffer, size_t size); /* "3m 20s" */

#endif
