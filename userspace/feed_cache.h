/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds that were read before: STATE/feeds/HASH-OF-PATH holds the prefixes of a feed file in compact form, so that an
 * apply with an unchanged feed need not parse millions of lines again. The text remains the truth: a cached feed is
 * taken only when the file has the very content that it was made from. Nothing here ever fails a feed: whatever is
 * missing, damaged, from another version or from somebody else is passed over, and the text is parsed.
 */
#ifndef BULWARK_FEED_CACHE_H
#define BULWARK_FEED_CACHE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "feed.h"

#define FEED_CACHE_PATH 512
#define FEED_CACHE_LEAST (256u << 10)	    /* bytes of text; smaller ones are parsed as quickly */
#define FEED_CACHE_KEPT_S (30u * 24 * 3600) /* one that was not used for so long goes */

/* What was found out besides the prefixes, for the words about a feed. */
struct feed_facts {
	__u64 host_bits;      /* prefixes with host bits set */
	__u64 host_bits_line; /* of the first */
	__u64 records;	      /* what the feed itself says it holds; 0: it does not say */
};

/* The file. Integers as this machine has them: nobody else reads it. */
struct feed_cache_header {
	__u64 magic;
	__u64 seed;	     /* random: who writes a feed cannot make one that passes for another */
	__u64 text_bytes;    /* of the feed */
	__u64 text_hash[2];  /* XXH3 128 of it */
	__u64 items_hash[2]; /* likewise of what follows this header */
	__u64 format;	     /* enum feed_format, as asked for */
	__u64 v4_count, v6_count;
	struct feed_facts facts;
	__u64 header_hash; /* XXH3 64 of all above */
};
_Static_assert(sizeof(struct feed_cache_header) == 14 * 8, "no padding, it is hashed");

struct feed_cache {
	char path[FEED_CACHE_PATH]; /* empty: this feed is not cached */
	struct feed_cache_header header;
};

/* From now on feeds are cached below this state directory; NULL: not at all (as at the start). Borrowed. */
void feed_cache_use(const char *state_dir);
/* Writes what was kept since, or forgets it: only feeds of a policy that went live are cached. */
void feed_cache_settle(bool write);
/* Whether this feed, open at its start, is there; then its prefixes are appended with the list number. The file's
 * position is at its start again. */
bool feed_cache_find(struct feed_cache *cache, const struct list *list, int fd, const struct stat *status,
		     unsigned number, struct prefixes *prefixes, struct feed_facts *facts);
/* Keeps a copy of the prefixes from these on, which were read from the feed that was asked for. */
void feed_cache_keep(const struct feed_cache *cache, const struct prefixes *prefixes, size_t v4_first, size_t v6_first,
		     const struct feed_facts *facts);

#endif
