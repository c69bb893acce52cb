/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cuts a feed around what an outsider's list must not touch. The holes become sorted, disjoint stretches of
 * addresses, so that a prefix that meets none of them costs one search; the few that hold one are split.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

typedef unsigned __int128 u128;

/* ---- special-purpose space ---- */

#define V4(a, b, c, d, len, why)                                                                                       \
	{                                                                                                              \
		{{[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d}, 96 + (len)},                      \
			"special-purpose: " why                                                                        \
	}
#define V6(a, b, c, len, why)                                                                                          \
	{                                                                                                              \
		{{(a) >> 8, (a)&0xff, (b) >> 8, (b)&0xff, (c) >> 8, (c)&0xff}, len}, "special-purpose: " why           \
	}

/* The registries of RFC 6890 and what changed them since, without the blocks that are reachable from everywhere. */
static const struct protected_prefix special[] = {
	V4(0, 0, 0, 0, 8, "this network (RFC 791)"),
	V4(10, 0, 0, 0, 8, "private (RFC 1918)"),
	V4(100, 64, 0, 0, 10, "shared (RFC 6598)"),
	V4(127, 0, 0, 0, 8, "loopback (RFC 1122)"),
	V4(169, 254, 0, 0, 16, "link-local (RFC 3927)"),
	V4(172, 16, 0, 0, 12, "private (RFC 1918)"),
	V4(192, 0, 0, 0, 24, "protocol assignments (RFC 6890)"),
	V4(192, 0, 2, 0, 24, "documentation (RFC 5737)"),
	V4(192, 168, 0, 0, 16, "private (RFC 1918)"),
	V4(198, 18, 0, 0, 15, "benchmarking (RFC 2544)"),
	V4(198, 51, 100, 0, 24, "documentation (RFC 5737)"),
	V4(203, 0, 113, 0, 24, "documentation (RFC 5737)"),
	V4(224, 0, 0, 0, 4, "multicast (RFC 5771)"),
	V4(240, 0, 0, 0, 4, "reserved and broadcast (RFC 1112, 919)"),
	{{{0}, 128}, "special-purpose: unspecified (RFC 4291)"},
	{{{[15] = 1}, 128}, "special-purpose: loopback (RFC 4291)"},
	V6(0x64, 0xff9b, 0, 96, "IPv4 translation (RFC 6052)"),
	V6(0x64, 0xff9b, 1, 48, "IPv4 translation (RFC 8215)"),
	V6(0x100, 0, 0, 64, "discard (RFC 6666)"),
	V6(0x2001, 2, 0, 48, "benchmarking (RFC 5180)"),
	V6(0x2001, 0x10, 0, 28, "ORCHID (RFC 4843)"),
	V6(0x2001, 0x20, 0, 28, "ORCHIDv2 (RFC 7343)"),
	V6(0x2001, 0xdb8, 0, 32, "documentation (RFC 3849)"),
	V6(0x3fff, 0, 0, 20, "documentation (RFC 9637)"),
	V6(0x5f00, 0, 0, 16, "segment routing (RFC 9602)"),
	V6(0xfc00, 0, 0, 7, "private (RFC 4193)"),
	V6(0xfe80, 0, 0, 10, "link-local (RFC 4291)"),
	V6(0xfec0, 0, 0, 10, "site-local (RFC 3879)"),
	V6(0xff00, 0, 0, 8, "multicast (RFC 4291)"),
};

const struct protected_prefix *special_purpose(size_t *count)
{
	*count = sizeof(special) / sizeof(*special);
	return special;
}

/* ---- holes ---- */

/* Both families as 128-bit numbers; an IPv4 address is a number below 2^32. */
struct hole {
	u128 first, last;
	const struct protected_prefix *from;
};

struct holes {
	struct hole *items; /* disjoint, in order */
	size_t count;
};

static u128 last_of(u128 first, unsigned host_bits)
{
	return host_bits == 128 ? ~(u128)0 : first | (((u128)1 << host_bits) - 1);
}

static struct hole hole_of(const struct protected_prefix *from, bool v4)
{
	__u64 high, low;
	u128 first;

	memcpy(&high, from->prefix.address, sizeof(high));
	memcpy(&low, from->prefix.address + 8, sizeof(low));
	first = v4 ? (__u32)be64toh(low) : (u128)be64toh(high) << 64 | be64toh(low);
	return (struct hole){.first = first, .last = last_of(first, 128u - from->prefix.length), .from = from};
}

/* By start, the widest first. */
static int by_start(const void *a, const void *b)
{
	const struct hole *one = a, *other = b;

	if (one->first != other->first)
		return one->first < other->first ? -1 : 1;
	return (one->last < other->last) - (one->last > other->last);
}

/* The holes of one family; those inside others are left out. */
static int holes_sort(const struct protected_prefix *from, size_t count, bool v4, struct holes *holes)
{
	size_t kept = 0;

	holes->count = 0;
	holes->items = malloc((count + 1) * sizeof(*holes->items));
	if (!holes->items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (prefix_is_v4(&from[i].prefix) == v4)
			holes->items[holes->count++] = hole_of(&from[i], v4);
	}
	qsort(holes->items, holes->count, sizeof(*holes->items), by_start);
	for (size_t i = 0; i < holes->count; i++) {
		if (!kept || holes->items[i].first > holes->items[kept - 1].last)
			holes->items[kept++] = holes->items[i];
	}
	holes->count = kept;
	return 0;
}

/* The first hole that ends at or behind an address; holes->count when none does. */
static size_t hole_search(const struct holes *holes, u128 address)
{
	size_t low = 0, high = holes->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (holes->items[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- what is told ---- */

static struct prefix prefix_of(u128 first, unsigned length, bool v4)
{
	struct prefix prefix = {.length = (__u8)(v4 ? 96 + length : length)};
	u128 address = v4 ? first | (u128)0xffff << 32 : first;
	__u64 halves[2] = {htobe64((__u64)(address >> 64)), htobe64((__u64)address)};

	memcpy(prefix.address, halves, sizeof(prefix.address));
	return prefix;
}

static int tell(struct cuts *cuts, const struct prefix *feed_prefix, const struct prefix *hole, const char *why)
{
	if (!cuts->items)
		cuts->items = malloc(CUTS_TOLD * sizeof(*cuts->items));
	if (!cuts->items)
		return -ENOMEM;
	if (cuts->count < CUTS_TOLD)
		cuts->items[cuts->count] = (struct cut){.feed_prefix = *feed_prefix, .hole = *hole, .why = why};
	cuts->count++;
	return 0;
}

void cuts_free(struct cuts *cuts)
{
	free(cuts->items);
	memset(cuts, 0, sizeof(*cuts));
}

/* ---- cutting ---- */

/* A prefix of the feed of either family. */
struct piece {
	u128 first;
	unsigned length;
};

struct cutter {
	struct prefixes *prefixes;
	unsigned list;
	bool v4;
	unsigned bits;
	struct holes holes;
	struct cuts *cuts;
	struct piece *split; /* the prefixes that hold holes */
	size_t split_count, split_capacity;
};

static int split_later(struct cutter *cutter, struct piece piece)
{
	if (cutter->split_count == cutter->split_capacity) {
		size_t capacity = cutter->split_capacity ? 2 * cutter->split_capacity : 64;
		struct piece *grown = realloc(cutter->split, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		cutter->split = grown;
		cutter->split_capacity = capacity;
	}
	cutter->split[cutter->split_count++] = piece;
	return 0;
}

/* Whether a prefix stays as it is: 1, or it goes (perhaps to be split later): 0. Or -ENOMEM. */
static int look(struct cutter *cutter, struct piece piece)
{
	u128 last = last_of(piece.first, cutter->bits - piece.length);
	size_t at = hole_search(&cutter->holes, piece.first);
	const struct hole *hole = &cutter->holes.items[at];
	struct prefix whole;
	int err = 0;

	if (at == cutter->holes.count || hole->first > last)
		return 1;
	whole = prefix_of(piece.first, piece.length, cutter->v4);
	if (hole->first <= piece.first && hole->last >= last)
		return tell(cutter->cuts, &whole, &whole, hole->from->why);
	for (; !err && at < cutter->holes.count && cutter->holes.items[at].first <= last; at++)
		err = tell(cutter->cuts, &whole, &cutter->holes.items[at].from->prefix,
			   cutter->holes.items[at].from->why);
	return err ? err : split_later(cutter, piece);
}

static int add_piece(struct cutter *cutter, struct piece piece)
{
	if (cutter->v4)
		return prefixes_add4(cutter->prefixes, (__u32)piece.first, piece.length, cutter->list);
	return prefixes_add6(cutter->prefixes, (__u64)(piece.first >> 64), (__u64)piece.first, piece.length,
			     cutter->list);
}

/* The prefixes around the holes in a piece: halved for as long as a half is neither free of holes nor in one. */
static int split(struct cutter *cutter, struct piece piece)
{
	struct piece stack[130];
	unsigned depth = 0;
	int err = 0;

	stack[depth++] = piece;
	while (depth && !err) {
		struct piece whole = stack[--depth];
		unsigned host_bits = cutter->bits - whole.length;
		u128 last = last_of(whole.first, host_bits);
		size_t at = hole_search(&cutter->holes, whole.first);
		const struct hole *hole = &cutter->holes.items[at];

		if (at == cutter->holes.count || hole->first > last) {
			err = add_piece(cutter, whole);
		} else if (hole->first > whole.first || hole->last < last) {
			whole.length++;
			stack[depth++] = (struct piece){whole.first | (u128)1 << (host_bits - 1), whole.length};
			stack[depth++] = whole;
		}
	}
	return err;
}

static int widest_first(const void *a, const void *b)
{
	const struct piece *one = a, *other = b;

	if (one->first != other->first)
		return one->first < other->first ? -1 : 1;
	return (int)one->length - (int)other->length;
}

/* Each once, and none that another one covers: so a feed that says 0.0.0.0/1 a million times gives no more pieces
 * than one that says it once. */
static int split_all(struct cutter *cutter)
{
	u128 behind = 0;
	int err = 0;

	if (!cutter->split_count)
		return 0;
	qsort(cutter->split, cutter->split_count, sizeof(*cutter->split), widest_first);
	for (size_t i = 0; !err && i < cutter->split_count; i++) {
		struct piece *piece = &cutter->split[i];
		u128 last = last_of(piece->first, cutter->bits - piece->length);

		if (i && last <= behind)
			continue;
		behind = last;
		err = split(cutter, *piece);
	}
	return err;
}

static int cut4(struct cutter *cutter)
{
	struct prefixes *prefixes = cutter->prefixes;
	size_t kept = 0;

	for (size_t i = 0; i < prefixes->v4_count; i++) {
		struct prefix4 *prefix = &prefixes->v4[i];
		int keep = 1;

		if (prefix->list == cutter->list)
			keep = look(cutter, (struct piece){prefix->address, prefix->length});
		if (keep < 0)
			return keep;
		if (keep)
			prefixes->v4[kept++] = *prefix;
	}
	prefixes->v4_count = kept;
	return split_all(cutter);
}

static int cut6(struct cutter *cutter)
{
	struct prefixes *prefixes = cutter->prefixes;
	size_t kept = 0;

	for (size_t i = 0; i < prefixes->v6_count; i++) {
		struct prefix6 *prefix = &prefixes->v6[i];
		int keep = 1;

		if (prefix->list == cutter->list)
			keep = look(cutter, (struct piece){(u128)prefix->high << 64 | prefix->low, prefix->length});
		if (keep < 0)
			return keep;
		if (keep)
			prefixes->v6[kept++] = *prefix;
	}
	prefixes->v6_count = kept;
	return split_all(cutter);
}

static int cut_family(struct cutter *cutter, const struct protected_prefix *holes, size_t hole_count)
{
	int err = holes_sort(holes, hole_count, cutter->v4, &cutter->holes);

	if (!err)
		err = cutter->v4 ? cut4(cutter) : cut6(cutter);
	free(cutter->holes.items);
	free(cutter->split);
	return err;
}

int feed_cut(struct prefixes *prefixes, unsigned list, const struct protected_prefix *holes, size_t hole_count,
	     struct cuts *cuts)
{
	struct cutter v4 = {.prefixes = prefixes, .list = list, .v4 = true, .bits = 32, .cuts = cuts};
	struct cutter v6 = {.prefixes = prefixes, .list = list, .bits = 128, .cuts = cuts};
	int err = cut_family(&v4, holes, hole_count);

	return err ? err : cut_family(&v6, holes, hole_count);
}
