/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reasons of reasons.def as an enum, and the verdicts. Both sides include this. */
#ifndef BULWARK_REASONS_H
#define BULWARK_REASONS_H

/* How a packet ended. WOULD_DROP counts a rule that only monitors: the packet itself is counted once more,
 * under the verdict and reason it ended with. The order is the index in pinned counters. */
enum verdict {
	VERDICT_PASS = 0,
	VERDICT_DROP = 1,
	VERDICT_REPLY = 2,
	VERDICT_WOULD_DROP = 3,
	VERDICT_COUNT = 4,
};

enum reason {
	REASON_NONE = 0, /* not decided yet; never counted */
#define REASON(symbol, name, verdict, sentence) REASON_##symbol,
#include "reasons.def"
#undef REASON
	REASON_COUNT,
};

#define REASON_SLOTS 96 /* room in pinned counters; grows only with a new layout version */

_Static_assert(REASON_COUNT <= REASON_SLOTS, "more reasons than the counters have room for");

#endif
