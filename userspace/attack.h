/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a service is under attack: fed with what came in each second, at any clock. Pure: no kernel, no file.
 *
 * Two things raise suspicion, each measured against what is usual for the service, and never below a floor:
 *   SYNs that no packets of open connections follow (lawful connections bring several packets each);
 *   packets that were refused or challenged, unless they look like a surge: most of them SYNs, connections still being
 *   completed, and no network that sends a large part of them.
 * Twice the threshold in one second is an attack at once, the threshold alone in the next second. What is usual is an
 * average over minutes that stands still during an attack, and after a day also the average of that hour of the day.
 */
#ifndef BULWARK_ATTACK_H
#define BULWARK_ATTACK_H

#include <linux/types.h>
#include <stdbool.h>

#include "../include/state.h"

#define ATTACK_HOURS 24
#define ATTACK_QUIET_NS (10ULL * 1000000000) /* an attack is over when it did not go on for so long */

struct attack_sample {		    /* packets of one tick, usually of a second */
	__u64 now_ns, length_ns;    /* of the tick: its end, and how long it was */
	unsigned hour;		    /* of the day, 0 to 23 */
	__u64 arrived[PROOF_COUNT]; /* by what they proved */
	__u64 refused[PROOF_COUNT]; /* of them dropped, answered with a cookie, or would be dropped */
	unsigned reason;	    /* what most were dropped for, enum reason; 0: unknown */
	double concentration;	    /* share of the refused that came from one network; 0: unknown */
};

struct attack_rates {				       /* packets a second */
	double arrived, syns, admitted, open, refused; /* admitted: SYNs that were neither refused nor challenged */
};

struct attack_baseline {
	double seconds; /* learned from */
	struct attack_rates usual;
	struct attack_rates hours[ATTACK_HOURS];
};

struct attack {
	bool host; /* what belongs to no service: refused all of it, so that only volume counts */
	struct attack_baseline baseline;
	enum attack_state state;
	enum attack_cause cause;
	__u64 since_ns, seen_ns; /* of the attack: its first second, the last one that it went on */
	__u64 suspected_ns;	 /* first second of a suspicion; 0: none */
	double suspicion;
	__u32 attacks, detected_ms, mitigated_ms;
	double rate, peak;			  /* packets a second */
	__u64 arrived, arrived_open, arrived_syn; /* packets in this attack */
	__u64 refused;
};

enum attack_change { ATTACK_UNCHANGED, ATTACK_STARTED, ATTACK_ENDED };
/* Whether it is worth to look who sends: so little is nobody's attack. */
bool attack_is_loud(const struct attack *attack, const struct attack_sample *sample);
enum attack_change attack_step(struct attack *attack, const struct attack_sample *sample);

/* Shares of what came in this attack, in thousandths. */
unsigned attack_open_share(const struct attack *attack);
unsigned attack_syn_share(const struct attack *attack);

#endif
