/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds that are fetched: STATE/feeds/remote/HASH-OF-URL.list is the last good text of one, .json what its server said
 * with it (struct remote_facts); the time of the .json is when the server last confirmed that text. Everything that
 * reads a feed reads this copy, so nothing but fetching needs a network.
 */
#ifndef BULWARK_REMOTE_H
#define BULWARK_REMOTE_H

#include <stdbool.h>
#include <time.h>

#include "policy.h"

#define REMOTE_PATH 640
#define REMOTE_WORDS 256

struct remote_facts {
	char etag[REMOTE_WORDS], last_modified[64]; /* as the server wrote them; "": it did not */
	__u64 prefixes;				    /* of the copy, for the shrink guard; 0: not known */
};

/* From now on copies are below this state directory; NULL: there are none (as at the start). Borrowed. */
void remote_use(const char *state_dir);
/* Where the text of a feed is: the file itself, or the copy, whose path is put into buffer; "" when there is no state
 * directory. */
const char *remote_file(const char *feed, char buffer[REMOTE_PATH]);
/* "STATE/feeds/remote/HASH.ENDING". */
bool remote_path(const char *url, const char *ending, char path[REMOTE_PATH]);
/* Whether there is something to read: always so for a file. */
bool remote_is_here(const char *feed);
/* When the text of a feed was known to be its newest: for a file written, its mtime. */
time_t remote_confirmed(const char *feed, time_t mtime);
/* Whether a list is used by anything in the policy. */
bool list_is_used(const struct policy *policy, unsigned list);

void remote_facts_read(const char *url, struct remote_facts *facts);
/* "STATE/feeds/remote" and what is above it. 0 or -errno, and errno. */
int remote_make_directories(void);
/* Both 0 or -errno. */
int remote_facts_write(const char *url, const struct remote_facts *facts);
int remote_confirm(const char *url); /* the server said so just now */

#endif
