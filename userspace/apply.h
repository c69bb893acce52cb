/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Making a policy live: compile, test, load, save, attach, switch. `apply` and `rollback` are this with different
 * policies. Every step before the switch can fail or be killed and leaves the old policy as it was.
 */
#ifndef BULWARK_APPLY_H
#define BULWARK_APPLY_H

#include <jansson.h>

#include "judge.h"
#include "verbs.h"
#include "zones.h"

struct apply_request {
	struct policy
		*policy;     /* parsed and checked without errors; borrowed, `monitor` and `interfaces` may change it */
	const char *source;  /* where the policy was read, as it is told to people */
	const char *action;  /* for the history: "applied", "rolled-back" */
	__u64 confirm_ns;    /* 0: for good */
	unsigned from_saved; /* the generation whose saved policy this is, 0: none */
	bool boot;	     /* the saved policy: interfaces that are not there yet are attached when they come */
	bool renew;	     /* the policy in force, because time or the host has overtaken it */
	bool closed;	     /* in the place of a saved policy that cannot be loaded */
	bool cut;	     /* ends open connections that could not be opened anew */
	bool dry_run, ephemeral, force;
};

struct apply {
	struct context *context;
	const struct apply_request *request;
	struct report report; /* of the policy: printed on standard error */
	struct host host;
	struct image image;
	const struct host_link **links; /* to protect */
	size_t link_count;
	struct zone_member *zones; /* what packets of them are in which zone */
	size_t zone_count;
	struct instance *instance;
	struct control_state before;
	unsigned live; /* generation in force before, 0: none */
	json_t *live_description;
	struct generation *offline, *candidate;
	unsigned number;
	size_t tests, tests_failed;
	__u64 began_ns; /* CLOCK_BOOTTIME */
	struct guard_finding *findings;
	size_t finding_count;
	size_t cut;		     /* connections that --cut ended */
	struct attachment *attached; /* parallel to links */
	json_t *notes;		     /* what else is worth saying, strings */
	bool unchanged;
	bool saved; /* on disk, and not live yet */
};

/* Runs it all and says what happened. Returns enum exit_status. */
int apply_policy(struct context *context, const struct apply_request *request);

/* For the history: the policy was refused, in the words that were said last. */
void apply_refused(const struct context *context, const struct apply_request *request, size_t tests_failed);

/* closed.c: what `on-failure: closed` of a saved policy (NULL: unreadable) means, after it could not be loaded. */
void apply_closed(struct context *context, const struct policy *policy, unsigned generation);

/* apply_attach.c: `apply --attach`. Returns enum exit_status. */
int apply_attach(struct context *context);

/* apply_fetch.c: feeds from the web that were never fetched. Exit status, words are out. */
int apply_fetch(struct apply *apply);
/* apply_checks.c: questions before anything is touched. Exit status; the words are out when it is not EXIT_DONE. */
int apply_feeds(struct apply *apply);
int apply_tests(struct apply *apply);
int apply_guard(struct apply *apply);
/* apply_fit.c: what this host needs and the policy does not give it, as notes. */
void apply_fit(struct apply *apply);
/* apply_first.c: whether connections end where their first bytes are judged. Exit status, words are out. */
int apply_first(struct apply *apply);
/* apply_cookies.c: whether SYN cookies work on this host; what cannot is disarmed in the image, with a note. */
void apply_cookies(struct apply *apply);
/* Sets the sysctls that cookies need. */
int apply_sysctls(struct apply *apply);
/* Connections open now that could not be opened anew; how many. */
size_t apply_refused_peers(const struct apply *apply);
/* --cut: ends them, and those whose packets are dropped from now on; the operator's own stays. */
void apply_cut(struct apply *apply);

/* apply_save.c: the state directory. 0 or -errno with kernel_words(). */
unsigned saved_newest(const struct places *places); /* highest generation number, 0: none */
int apply_save(struct apply *apply);
void apply_resave(struct apply *apply);
void apply_unsave(struct apply *apply);
void saved_prune(const struct places *places, const struct control_state *state);

/* apply_say.c */
void apply_note(struct apply *apply, const char *format, ...) __attribute__((format(printf, 2, 3)));
json_t *apply_lists(const struct image *image);
void hash_text(const __u8 hash[32], char text[65]);
int apply_say(struct apply *apply);
const char *mode_text(const struct attachment *attachment, char *buffer, size_t size);

#endif
