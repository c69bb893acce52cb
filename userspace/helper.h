/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bulwarkd itself has too few privileges for, and gains none: a helper, forked before they are dropped, runs one
 * verb of `bulwark` for every question, and answers with its exit status and what it printed. It ends with the daemon.
 */
#ifndef BULWARK_HELPER_H
#define BULWARK_HELPER_H

#include "kernel.h"

#define HELPER_TEXT 4096 /* of what the verb prints; more is cut off */
#define HELPER_OPERAND 64

struct helper {
	int fd; /* -1: none */
	bool running;
};

struct helper_answer {
	int status; /* of the verb; 126: ended by a signal, 127: could not be run, or the helper is gone */
	char text[HELPER_TEXT];
};

/* Before privileges are dropped and anything is open. verb: the words of the command, ends with NULL; borrowed, for
 * good. places NULL: they are a command of its own, found in PATH. enum exit_status. */
int helper_open(struct helper *helper, const struct places *places, const char *const *verb, const char *does);
void helper_close(struct helper *helper);
/* One question at a time; operand: one word more for the command, "": none. Never waits. */
void helper_ask(struct helper *helper, const char *operand);
/* Whether the answer is there. A helper that is gone answers once more, and is closed then. */
bool helper_answered(struct helper *helper, struct helper_answer *answer);

#endif
