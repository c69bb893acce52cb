/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a feed file; the first one chooses the format. Refused with words and nothing appended, or prefixes that
 * are well-formed; then cut around special-purpose space, of which nothing may be left. What a plain list says is read
 * once more, slowly, by inet_pton(): both must cover the same addresses.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../userspace/feed.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

typedef unsigned __int128 number;

struct range {
	number first, last; /* IPv4 in 32 bits */
};

struct ranges { /* of one family */
	struct range *items;
	size_t count;
};

static void add(struct ranges *ranges, number first, number last)
{
	ranges->items = realloc(ranges->items, (ranges->count + 1) * sizeof(*ranges->items));
	if (!ranges->items)
		abort();
	ranges->items[ranges->count++] = (struct range){first, last};
}

static number hosts(unsigned bits)
{
	return bits >= 128 ? ~(number)0 : ((number)1 << bits) - 1;
}

/* ---- a plain list, slowly */

/* 4, 6 or 0: no address */
static int address(const char *text, number *value)
{
	unsigned char bytes[16];
	int family = inet_pton(AF_INET, text, bytes) == 1 ? 4 : inet_pton(AF_INET6, text, bytes) == 1 ? 6 : 0;

	*value = 0;
	for (int i = 0; family && i < (family == 4 ? 4 : 16); i++)
		*value = *value << 8 | bytes[i];
	return family;
}

/* ::ffff:a.b.c.d is IPv4, and so is all of what begins and ends in there: the family that is meant. */
static int unmapped(int family, struct range *range)
{
	if (family != 6 || range->first >> 32 != 0xffff || range->last >> 32 != 0xffff)
		return family;
	range->first &= 0xffffffff;
	range->last &= 0xffffffff;
	return 4;
}

/* A word as a range of addresses; 0: it is none. */
static int word_range(char *word, struct range *range)
{
	char *slash = strchr(word, '/'), *dash = strchr(word, '-'), *end = NULL;
	unsigned long length;
	int family, other;

	if (slash)
		*slash = '\0';
	else if (dash)
		*dash = '\0';
	family = address(word, &range->first);
	range->last = range->first;
	if (!family || (!slash && !dash))
		return unmapped(family, range);
	if (!slash) {
		other = address(dash + 1, &range->last);
		return other == family && range->first <= range->last ? unmapped(family, range) : 0;
	}
	length = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || length > (family == 4 ? 32 : 128))
		return 0;
	range->last |= hosts((family == 4 ? 32 : 128) - length);
	range->first = range->last & ~hosts((family == 4 ? 32 : 128) - length);
	return unmapped(family, range);
}

static size_t blanks(const char *text, const char *stop)
{
	size_t count = 0;

	while (text + count < stop && (text[count] == ' ' || text[count] == '\t'))
		count++;
	return count;
}

/* Characters up to a blank, a comment or one of these, too. */
static size_t until(const char *text, const char *stop, const char *these)
{
	size_t count = 0;

	while (text + count < stop && !strchr(" \t#;", text[count]) && !strchr(these, text[count]))
		count++;
	return count;
}

/* The first word of a line; a range's blanks around its dash are left out. False: too long for an address. */
static bool take_word(const char *text, const char *stop, char word[256])
{
	const char *second;
	size_t length;

	text += blanks(text, stop);
	length = until(text, stop, "-/");
	second = text + length + blanks(text + length, stop);
	if (second == stop || *second != '-') {
		length = until(text, stop, "");
		snprintf(word, 256, "%.*s", (int)length, text);
		return length < 256;
	}
	second++;
	second += blanks(second, stop);
	return snprintf(word, 256, "%.*s-%.*s", (int)length, text, (int)until(second, stop, ""), second) < 256;
}

/* False: some line is no address. */
static bool read_plain(const char *text, size_t size, struct ranges *v4, struct ranges *v6)
{
	const char *end = text + size;
	char word[256];

	while (text < end) {
		const char *next = memchr(text, '\n', end - text);
		const char *stop = next ? next : end;
		struct range range;
		int family;

		if (stop > text && stop[-1] == '\r')
			stop--;
		if (!take_word(text, stop, word))
			return false;
		text = next ? next + 1 : end;
		if (!*word)
			continue;
		family = word_range(word, &range);
		if (!family)
			return false;
		add(family == 4 ? v4 : v6, range.first, range.last);
	}
	return true;
}

/* ---- comparing */

static int by_first(const void *a, const void *b)
{
	const struct range *one = a, *other = b;

	return one->first < other->first ? -1 : one->first > other->first;
}

/* Sorted, without overlaps, neighbours joined. */
static void join(struct ranges *ranges)
{
	size_t kept = 0;

	if (ranges->count)
		qsort(ranges->items, ranges->count, sizeof(*ranges->items), by_first);
	for (size_t i = 0; i < ranges->count; i++) {
		struct range *last = kept ? &ranges->items[kept - 1] : NULL;

		if (last && (ranges->items[i].first <= last->last || ranges->items[i].first == last->last + 1)) {
			if (ranges->items[i].last > last->last)
				last->last = ranges->items[i].last;
		} else {
			ranges->items[kept++] = ranges->items[i];
		}
	}
	ranges->count = kept;
}

static bool same(struct ranges *one, struct ranges *other)
{
	join(one);
	join(other);
	return one->count == other->count &&
	       (!one->count || !memcmp(one->items, other->items, one->count * sizeof(*one->items)));
}

static void ranges_of(const struct prefixes *prefixes, struct ranges *v4, struct ranges *v6)
{
	for (size_t i = 0; i < prefixes->v4_count; i++) {
		const struct prefix4 *prefix = &prefixes->v4[i];

		if (prefix->list != 7 || prefix->length > 32 || prefix->address & hosts(32 - prefix->length))
			abort();
		add(v4, prefix->address, prefix->address | hosts(32 - prefix->length));
	}
	for (size_t i = 0; i < prefixes->v6_count; i++) {
		const struct prefix6 *prefix = &prefixes->v6[i];
		number first = (number)prefix->high << 64 | prefix->low;

		if (prefix->list != 7 || prefix->length > 128 || first & hosts(128 - prefix->length))
			abort();
		add(v6, first, first | hosts(128 - prefix->length));
	}
}

static void check_cut(struct prefixes *prefixes)
{
	size_t count;
	const struct protected_prefix *special = special_purpose(&count);
	struct ranges v4 = {0}, v6 = {0};
	struct cuts cuts = {0};

	if (feed_cut(prefixes, 7, special, count, &cuts))
		abort();
	ranges_of(prefixes, &v4, &v6);
	for (size_t i = 0; i < count; i++) {
		const struct prefix *hole = &special[i].prefix;
		struct ranges *ranges = prefix_is_v4(hole) ? &v4 : &v6;
		number first = 0, last;

		for (int byte = prefix_is_v4(hole) ? 12 : 0; byte < 16; byte++)
			first = first << 8 | hole->address[byte];
		last = first | hosts(128 - hole->length);
		for (size_t j = 0; j < ranges->count; j++) {
			if (ranges->items[j].first <= last && ranges->items[j].last >= first)
				abort();
		}
	}
	cuts_free(&cuts);
	free(v4.items);
	free(v6.items);
}

static void check_plain(const unsigned char *data, size_t size, const struct prefixes *prefixes)
{
	struct ranges v4 = {0}, v6 = {0}, expected4 = {0}, expected6 = {0};

	ranges_of(prefixes, &v4, &v6);
	if (size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) {
		data += 3;
		size -= 3;
	}
	if (!read_plain((const char *)data, size, &expected4, &expected6) || !same(&v4, &expected4) ||
	    !same(&v6, &expected6))
		abort();
	free(v4.items);
	free(v6.items);
	free(expected4.items);
	free(expected6.items);
}

/* A file of these bytes: its path is good until the next call. */
static const char *file_of(const unsigned char *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("feed", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	return path;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const enum feed_format formats[] = {FEED_AUTO, FEED_PLAIN, FEED_NDJSON, FEED_IPSET, FEED_NFT_JSON};
	struct list list = {.name = (char *)"fuzzed"};
	struct prefixes prefixes = {0};
	struct report report = {0};
	int err;

	if (!size)
		return 0;
	list.format = formats[*data % (sizeof(formats) / sizeof(*formats))];
	data++;
	size--;
	list.feed = (char *)file_of(data, size);
	err = feed_read(&list, 7, &prefixes, &report);
	if (err ? !report.errors || prefixes.v4_count || prefixes.v6_count
		: report.errors || !(prefixes.v4_count + prefixes.v6_count)) {
		report_print(&report, stderr);
		abort();
	}
	if (!err) {
		if (list.format == FEED_PLAIN)
			check_plain(data, size, &prefixes);
		check_cut(&prefixes);
	}
	prefixes_free(&prefixes);
	report_free(&report);
	return 0;
}
