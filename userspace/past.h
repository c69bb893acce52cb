/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the history says of policies that were live. Pure but for reading the file. */
#ifndef BULWARK_PAST_H
#define BULWARK_PAST_H

#include "saved.h"

/* The generation that was in force before this one; 0: none is known. */
unsigned past_before(const struct places *places, unsigned generation);
/* The newest generation that was meant to stay: confirmed or never in need of it, and not taken down; 0: none. */
unsigned past_confirmed(const struct places *places);

/* How often each thing happened to the policy, read on from where the last call ended; all zero to begin with. */
#define PAST_ACTIONS(ACTION)                                                                                           \
	ACTION(APPLIED, "applied")                                                                                     \
	ACTION(CONFIRMED, "confirmed")                                                                                 \
	ACTION(REVERTED, "reverted")                                                                                   \
	ACTION(ROLLED_BACK, "rolled-back")                                                                             \
	ACTION(PAUSED, "paused")                                                                                       \
	ACTION(RESUMED, "resumed")                                                                                     \
	ACTION(DOWN, "down")                                                                                           \
	ACTION(REFUSED, "refused")
enum past_action {
#define PAST_ACTION(symbol, name) PAST_##symbol,
	PAST_ACTIONS(PAST_ACTION)
#undef PAST_ACTION
		PAST_ACTION_COUNT,
};
struct past_counts {
	__u64 offset, inode; /* of history.jsonl: what is counted */
	__u64 counts[PAST_ACTION_COUNT];
	__u64 tests_failed; /* of the last policy that was applied, or refused */
	double took_s;	    /* the last apply, from its start to the switch; 0: not known */
};
void past_count(const struct places *places, struct past_counts *counts);
const char *past_action_name(enum past_action action);

#endif
