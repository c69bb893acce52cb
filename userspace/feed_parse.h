/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the readers of the feed formats share. Private to feed*.c. */
#ifndef BULWARK_FEED_PARSE_H
#define BULWARK_FEED_PARSE_H

#include <stdbool.h>

#include "feed.h"

/* A stretch of text, not terminated. */
struct text {
	const char *at, *end;
};

/* One address, prefix or range of a feed. Addresses in host order; IPv4 in the low 32 bits. */
struct item {
	unsigned __int128 first, last; /* a range goes to last; a prefix is first/length, host bits as written */
	unsigned length;
	bool v4, range;
};

/*
 * Reads an item from the front of text, which then starts behind it. Strict: four decimal octets without leading
 * zeros, RFC 4291 groups, nothing that inet_aton() would guess at. Returns NULL, or what is wrong, in words.
 */
const char *item_parse(struct text *text, struct item *item);

/* A feed while it is read. */
struct feed {
	const struct list *list;
	unsigned number;
	struct prefixes *prefixes;
	struct report *report;
	size_t v4_before, v6_before; /* what prefixes held before */
	unsigned line;		     /* the one that is being read */
	size_t bad;		     /* lines without an address */
	size_t host_bits;	     /* prefixes with host bits set */
	unsigned host_bits_line;     /* of the first */
	size_t records;		     /* what the feed itself says it holds; 0: it does not say */
	struct text whole; /* a file that is not read by lines; then lines are counted when one is asked for */
	int err;	   /* -ENOMEM, -E2BIG: reading ends */
};

/* Says what is wrong with value, a part of line; the first ten times. (With `whole`, line is found from value.) */
void feed_bad(struct feed *feed, struct text line, struct text value, const char *problem);
/* Appends an item. */
void feed_add(struct feed *feed, struct text line, struct text value, const struct item *item);
/* Reads the item that value is, wholly, and appends it. */
void feed_add_text(struct feed *feed, struct text line, struct text value);

/* One line of a format, without its end of line. */
void feed_plain_line(struct feed *feed, struct text line);
void feed_ipset_line(struct feed *feed, struct text line);
void feed_ndjson_line(struct feed *feed, struct text line);
/* A whole file, which is feed->whole. */
void feed_nft_json(struct feed *feed, struct text all);

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline void skip_blanks(struct text *text)
{
	while (text->at < text->end && is_blank(*text->at))
		text->at++;
}

/* The characters up to the next blank. */
static inline struct text next_word(struct text *text)
{
	struct text word;

	skip_blanks(text);
	word.at = text->at;
	while (text->at < text->end && !is_blank(*text->at))
		text->at++;
	word.end = text->at;
	return word;
}

static inline bool text_is(struct text text, const char *word)
{
	size_t length = __builtin_strlen(word);

	return (size_t)(text.end - text.at) == length && !__builtin_memcmp(text.at, word, length);
}

#endif
