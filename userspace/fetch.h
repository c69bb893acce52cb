/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fetching a feed. The transfer is done by a program of its own, bulwark-fetch, beside this one: it takes a request on
 * its standard input, gives an answer on its standard output, both JSON, and gets descriptors for all else. It has no
 * privileges, no path that it may write to, and no memory of ours; what it brings is judged here.
 *
 *   request  {"url", "etag", "last_modified", "ca": whether FETCH_CA_FD is open}
 *   answer   {"status", "etag", "last_modified"} or {"error": words}
 */
#ifndef BULWARK_FETCH_H
#define BULWARK_FETCH_H

#include "policy.h"

#define FETCH_PROGRAM "bulwark-fetch"
#define FETCH_BODY_FD 3 /* an empty file, open for writing */
#define FETCH_CA_FD 4

#define FETCH_BYTES_MAX (256ULL << 20) /* of the text, unpacked: 15 million addresses */
#define FETCH_CA_BYTES_MAX (1ULL << 20)
#define FETCH_SECONDS 300     /* for all of it */
#define FETCH_SLOW_SECONDS 10 /* with less than FETCH_SLOW_BYTES a second: given up */
#define FETCH_SLOW_BYTES 1000
#define FETCH_CONNECT_SECONDS 10
#define FETCH_REDIRECTS 3
#define FETCH_HEADER_BYTES (64u << 10) /* of all answers together */

enum fetch_outcome { FETCH_NEW, FETCH_SAME, FETCH_REFUSED };

struct fetched {
	enum fetch_outcome outcome;
	char why[512]; /* FETCH_REFUSED: words */
	__u64 bytes, prefixes;
	double took_s;
};

/* Brings the copy of a list's feed (remote.h) up to date. Whatever fails leaves it as it was. force: also when it
 * shrank by more than the list's max-shrink. */
void feed_fetch(const struct list *list, bool force, struct fetched *fetched);

extern const char *const fetch_outcomes[]; /* "new", "same", "refused", NULL */

#endif
