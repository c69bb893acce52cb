/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy in force, put together from the kernel (which generation) and the state directory (its text). */
#ifndef BULWARK_LIVE_H
#define BULWARK_LIVE_H

#include "saved.h"
#include "verbs.h"

struct live {
	struct instance *instance;
	struct control_state control;
	unsigned generation;
	struct slot_info info;
	struct policy *policy; /* as saved, checked */
	json_t *description;   /* as saved; an empty object when it is not there */
};

/* enum exit_status, words are out. Nothing applied: EXIT_ANSWER_NO. */
int live_open(const struct context *context, struct live *live);
void live_close(struct live *live);

/* "trusted", "block", "allow of ssh", ...: what the policy uses the list for, as JSON strings. The caller's. */
json_t *live_roles(const struct policy *policy, const char *list);
/* A rule of the live generation: "api.yaml:31 (service ssh)", or NULL. */
const char *live_rule(const struct live *live, unsigned number, char *buffer, size_t size);

#endif
