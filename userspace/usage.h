/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the table of verbs says to people and shells. */
#ifndef BULWARK_USAGE_H
#define BULWARK_USAGE_H

#include "verbs.h"

void usage_all(FILE *out);
void usage_verb(const struct verb *verb, FILE *out);
/* Answers a word that is no verb: did you mean, or that this version has no such verb yet. Returns EXIT_USAGE. */
int fail_verb(const char *name);

extern const struct option_line global_options[];

#endif
