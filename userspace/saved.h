/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state directory, as its readers see it (apply writes the generations):
 *
 *   generations/N/policy.yaml        canonical text, includes resolved
 *   generations/N/description.json   rules, lists, services and interfaces by number
 *   history.jsonl                    one line an action on the policy: applied, confirmed, reverted, ...
 *   feeds/HASH                       feeds as they were parsed (feed_cache.h); may go at any time
 *   actions.jsonl                    one line an action on addresses: ban, unban, allow, ...; bounded
 *
 * The truth about what is live is in the kernel (struct slot_info), never here.
 */
#ifndef BULWARK_SAVED_H
#define BULWARK_SAVED_H

#include <jansson.h>

#include "kernel.h"

#define SAVED_PATH_MAX 512

/* "STATE/generations/N/NAME", or "STATE/NAME" for generation 0. */
const char *saved_path(const struct places *places, unsigned generation, const char *name, char path[SAVED_PATH_MAX]);
/* Opens or makes a file there that both root and the daemon's user (daemon_user.h) write. No link is followed, for
 * either may have put it there, and O_CREAT is not asked for a file that is there: in such a directory kernels refuse
 * it for somebody else's. */
int saved_open(const char *path, int flags);
/* description.json of a generation, or NULL when it is not there or no JSON object. */
json_t *saved_description(const struct places *places, unsigned generation);
/* The policy of a generation, as policy_read() gives it: only to be used when the report has no errors, and to be kept
 * while the report is printed. The caller's. */
struct policy *saved_policy(const struct places *places, unsigned generation, struct report *report);

/*
 * Appends {"time", "action", "uid", "login_uid", "user", ...more} as one line, synced. more: its members are added, the
 * reference is taken (may be NULL). 0 or -errno. Actions of the history: "applied" ("pending": true and "confirm_s"
 * while a confirm is awaited), "confirmed", "reverted" (the kernel or a person went back: "why"), "rolled-back",
 * "paused" ("for_s"), "resumed", "down", "refused" ("why"),
 * "closed" (on-failure); members "generation", "policy_path", "hash", "monitor", "changed" (words)
 * where they apply.
 */
int history_note(const struct places *places, const char *action, json_t *more);
/* The same into actions.jsonl; a full file starts anew (one old one is kept). */
int action_note(const struct places *places, const char *action, json_t *more);
/* Every whole line of a .jsonl file that is a JSON object, oldest first; an empty array when there is none. The
 * caller's. */
json_t *lines_read(const char *path);

/* Who runs this: login uid (-1: none), and the name of login or real user. */
long login_uid(void);
const char *login_name(char *buffer, size_t size);

#endif
