/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The text of a policy file, kept so that every message can show the line it speaks of. (policy.c) */
#ifndef BULWARK_SOURCE_H
#define BULWARK_SOURCE_H

#include "policy.h"

struct policy_source {
	char *text; /* owned, NUL-terminated */
	size_t length;
	size_t *lines; /* where each line begins */
	size_t line_count;
};

/*
 * Adds a file to the policy and takes its text (also on failure). name is copied. Returns its number or -ENOMEM.
 * The file's name, policy->files[number], is what places borrow.
 */
int policy_add_file(struct policy *policy, const char *name, char *text, size_t length);

#endif
