/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark status in three parts: how things stand, compared with what was asked for (verb_status.c), all of it as a
 * JSON document (status_json.c), and that document for people (status_say.c).
 */
#ifndef BULWARK_STATUS_H
#define BULWARK_STATUS_H

#include "verb_common.h"

#define SAMPLE_US 200000

struct sample { /* packets so far */
	__u64 verdicts[VERDICT_COUNT];
	struct counter reasons[VERDICT_COUNT][REASON_COUNT];
	__u64 fallthrough[HOOK_COUNT];
};

struct status {
	struct context *context;
	struct instance *instance;
	struct control_state control;
	const struct slot_info *live; /* generation in force, or the one under a pause; NULL: none */
	__u32 slot;
	struct attachment *attachments;
	size_t attachment_count;
	struct host host;
	struct sample before, now;
	__u64 proven_drops;  /* clients */
	json_t *problems;    /* {"what", "do"}, the gravest first */
	json_t *unprotected; /* names of interfaces that are up */
	json_t *tunnels;     /* those of them that get their packets out of others, which were judged: {name, kind} */
	bool unguarded;	     /* nothing is judged at all */
};

/* A second, of two counts of which the second was read SAMPLE_US later. */
static inline double status_rate(__u64 before, __u64 now)
{
	return now > before ? (now - before) * (1000000.0 / SAMPLE_US) : 0;
}

/* Everything that is said. The caller frees it; NULL: no memory. */
json_t *status_document(const struct status *status);
/* document: what status_document() gave. */
void status_say(const struct status *status, const json_t *document);

#endif
