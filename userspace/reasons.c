/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The words of reasons.def and of the verdicts. */
#include <errno.h>
#include <string.h>

#include "judge.h"

static const struct {
	const char *name, *sentence;
} reasons[REASON_COUNT] = {
	[REASON_NONE] = {"none", "not decided"},
#define REASON(symbol, name, verdict, sentence) [REASON_##symbol] = {name, sentence},
#include "../include/reasons.def"
#undef REASON
};

static const char *const verdicts[VERDICT_COUNT] = {
	[VERDICT_PASS] = "pass",
	[VERDICT_DROP] = "drop",
	[VERDICT_REPLY] = "reply",
	[VERDICT_WOULD_DROP] = "would-drop",
};

/* A newer program may have left reasons in the pinned counters that this one does not know. */
const char *reason_name(unsigned reason)
{
	return reason < REASON_COUNT ? reasons[reason].name : "unknown";
}

const char *reason_sentence(unsigned reason)
{
	return reason < REASON_COUNT ? reasons[reason].sentence : "a reason that this version does not know";
}

int reason_by_name(const char *name)
{
	for (unsigned reason = REASON_NONE + 1; reason < REASON_COUNT; reason++) {
		if (!strcmp(reasons[reason].name, name))
			return reason;
	}
	return -ENOENT;
}

const char *verdict_name(unsigned verdict)
{
	return verdict < VERDICT_COUNT ? verdicts[verdict] : "unknown";
}
