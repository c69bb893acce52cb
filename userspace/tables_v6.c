/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The IPv6 tables: sort the prefixes, sweep over them with the stack of those that cover the current one (so
 * that each knows the lists of all that cover it), then hash what is left into lines and masks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "tables_build.h"

/* ---- sorting ---- */

#define SMALL 24 /* so many are sorted by insertion */

static bool before(const struct prefix6 *a, const struct prefix6 *b)
{
	if (a->high != b->high)
		return a->high < b->high;
	if (a->low != b->low)
		return a->low < b->low;
	return a->length < b->length;
}

static void sort_small(struct prefix6 *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct prefix6 item = items[i];
		size_t at = i;

		for (; at && before(&item, &items[at - 1]); at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

/* The sort key is 17 bytes: the address and the length. */
static unsigned key_byte(const struct prefix6 *item, unsigned byte)
{
	if (byte < 8)
		return item->high >> (56 - 8 * byte) & 255;
	if (byte < 16)
		return item->low >> (56 - 8 * (byte - 8)) & 255;
	return item->length;
}

/* Most significant byte first; bytes in which all agree cost one look. */
static void sort_from(struct prefix6 *items, struct prefix6 *scratch, size_t count, unsigned byte)
{
	size_t ends[256], sum;

	for (; byte < 17; byte++) {
		memset(ends, 0, sizeof(ends));
		for (size_t i = 0; i < count; i++)
			ends[key_byte(&items[i], byte)]++;
		if (ends[key_byte(&items[0], byte)] < count)
			break;
	}
	if (byte == 17)
		return;
	sum = 0;
	for (unsigned i = 0; i < 256; i++) {
		size_t bucket = ends[i];

		ends[i] = sum;
		sum += bucket;
	}
	for (size_t i = 0; i < count; i++)
		scratch[ends[key_byte(&items[i], byte)]++] = items[i];
	memcpy(items, scratch, count * sizeof(*items));
	for (unsigned i = 0; i < 256; i++) {
		size_t start = i ? ends[i - 1] : 0;

		if (ends[i] - start <= SMALL)
			sort_small(items + start, ends[i] - start);
		else
			sort_from(items + start, scratch, ends[i] - start, byte + 1);
	}
}

static int sort_prefixes(struct prefix6 *items, size_t count)
{
	struct prefix6 *scratch;

	if (count <= SMALL) {
		sort_small(items, count);
		return 0;
	}
	scratch = malloc(count * sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	sort_from(items, scratch, count, 0);
	free(scratch);
	return 0;
}

/* ---- lengths ---- */

static unsigned lengths_used(const struct prefixes *prefixes, bool used[129])
{
	unsigned count = 0;

	memset(used, 0, 129 * sizeof(*used));
	for (size_t i = 0; i < prefixes->v6_count; i++)
		used[prefixes->v6[i].length] = true;
	for (unsigned length = 1; length <= 128; length++)
		count += used[length];
	return count;
}

/* A prefix of odd length becomes its two halves: at most 64 lengths are left. */
static int expand_odd_lengths(struct prefixes *prefixes)
{
	size_t odd = 0, count = prefixes->v6_count;
	struct prefix6 *grown;

	for (size_t i = 0; i < count; i++)
		odd += prefixes->v6[i].length % 2;
	if (count + odd > prefixes->v6_capacity) {
		grown = realloc(prefixes->v6, (count + odd) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		prefixes->v6 = grown;
		prefixes->v6_capacity = count + odd;
	}
	for (size_t i = 0; i < count; i++) {
		struct prefix6 *half = &prefixes->v6[i], *other;

		if (half->length % 2 == 0)
			continue;
		other = &prefixes->v6[prefixes->v6_count++];
		half->length++;
		*other = *half;
		if (half->length <= 64)
			other->high |= 1ULL << (64 - half->length);
		else
			other->low |= 1ULL << (128 - half->length);
	}
	return 0;
}

/* ---- keys: what is left of the prefixes, each with its class ---- */

struct key {
	__u64 high, low;
	__u8 length, number; /* number of the length */
	__u16 class;
	__u32 home; /* line where it would like to be */
};

struct keys {
	struct key *items;
	size_t count;
};

struct open_prefix {
	__u64 high, low;
	__u64 lists;
	unsigned length;
};

static bool covers(const struct open_prefix *open, const struct prefix6 *prefix)
{
	__u64 low_mask = open->length > 64 ? prefix_mask64(open->length - 64) : 0;

	return open->length <= prefix->length && !((open->high ^ prefix->high) & prefix_mask64(open->length)) &&
	       !((open->low ^ prefix->low) & low_mask);
}

/* A prefix and all its copies (in other lists) from at on; what they add to the lists around them becomes a key. */
static int key_add(const struct prefixes *prefixes, size_t *at, struct classes *classes, struct open_prefix *outer,
		   struct keys *keys)
{
	const struct prefix6 *prefix = &prefixes->v6[*at];
	__u64 lists = outer->lists;
	int class;

	for (; *at < prefixes->v6_count; (*at)++) {
		const struct prefix6 *copy = &prefixes->v6[*at];

		if (copy->high != prefix->high || copy->low != prefix->low || copy->length != prefix->length)
			break;
		lists |= 1ULL << copy->list;
	}
	if (lists == outer->lists)
		return 0;
	class = class_of_lists(classes, lists);
	if (class < 0)
		return class;
	outer[1] = (struct open_prefix){
		.high = prefix->high, .low = prefix->low, .lists = lists, .length = prefix->length};
	keys->items[keys->count++] = (struct key){
		.high = prefix->high, .low = prefix->low, .length = prefix->length, .class = (__u16) class};
	return 1;
}

static int sweep(const struct prefixes *prefixes, struct classes *classes, struct tables *tables, struct keys *keys)
{
	struct open_prefix stack[130] = {0}; /* the whole space, and 129 lengths */
	unsigned depth = 0;
	size_t at = 0;
	int class;

	while (at < prefixes->v6_count && !prefixes->v6[at].length)
		stack[0].lists |= 1ULL << prefixes->v6[at++].list;
	class = class_of_lists(classes, stack[0].lists);
	if (class < 0)
		return class;
	tables->v6_default = (__u16) class;
	while (at < prefixes->v6_count) {
		int added;

		while (!covers(&stack[depth], &prefixes->v6[at]))
			depth--;
		added = key_add(prefixes, &at, classes, &stack[depth], keys);
		if (added < 0)
			return added;
		depth += (unsigned)added;
	}
	return 0;
}

static void number_lengths(struct keys *keys, struct tables *tables)
{
	__u8 numbers[129] = {0};
	bool used[129] = {false};

	for (size_t i = 0; i < keys->count; i++)
		used[keys->items[i].length] = true;
	for (unsigned length = 128; length; length--) {
		unsigned number = tables->v6_length_count;

		if (!used[length])
			continue;
		numbers[length] = (__u8)number;
		tables->v6_lengths[number] = (__u8)length;
		if (length > 64)
			tables->v6_wide_lengths |= 1ULL << number;
		if (length > 48)
			tables->v6_deep_lengths |= 1ULL << number;
		tables->v6_length_count++;
	}
	for (size_t i = 0; i < keys->count; i++)
		keys->items[i].number = numbers[keys->items[i].length];
}

/* ---- masks ---- */

static void short_mask_add(__u64 *masks, const struct key *key)
{
	__u32 first = (__u32)(key->high >> 48);
	__u32 count = key->length < 16 ? 1u << (16 - key->length) : 1;

	for (__u32 i = first; i < first + count; i++)
		masks[i] |= 1ULL << key->number;
}

static __u32 mask_slot(const struct tables *tables, __u64 high, unsigned bits, __u32 size)
{
	return v6_hash(high & prefix_mask64(bits), 0, bits, tables->v6_seed) & (size - 1);
}

/* How many different first 32 or 48 bits the keys of at least this length have; keys are in order. */
static size_t count_stems(const struct keys *keys, unsigned bits, unsigned at_least)
{
	__u64 last = 0;
	size_t stems = 0;

	for (size_t i = 0; i < keys->count; i++) {
		__u64 stem = keys->items[i].high & prefix_mask64(bits);

		if (keys->items[i].length < at_least || (stems && stem == last))
			continue;
		last = stem;
		stems++;
	}
	return stems;
}

/* A slot is wrong about an address it was not made for as often as it is in use: one in four at most. */
static __u32 mask_size(size_t stems)
{
	__u32 size = 64;

	while (size < 2 * stems && size < 1u << 30)
		size *= 2;
	return size;
}

static int masks_build(const struct keys *keys, struct tables *tables)
{
	size_t deep_stems = count_stems(keys, 48, 49);
	bool any_short = tables->v6_length_count && tables->v6_lengths[tables->v6_length_count - 1] < 32;

	tables->v6_mask32_size = mask_size(count_stems(keys, 32, 32));
	tables->v6_mask32 = calloc(tables->v6_mask32_size, sizeof(*tables->v6_mask32));
	if (any_short)
		tables->v6_short = calloc(V6_SHORT_MASKS, sizeof(*tables->v6_short));
	if (deep_stems) {
		tables->v6_mask48_size = mask_size(deep_stems);
		tables->v6_mask48 = calloc(tables->v6_mask48_size, sizeof(*tables->v6_mask48));
	}
	if (!tables->v6_mask32 || (any_short && !tables->v6_short) || (deep_stems && !tables->v6_mask48))
		return -ENOMEM;
	for (size_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->items[i];
		__u64 bit = 1ULL << key->number;

		if (key->length < 32)
			short_mask_add(tables->v6_short, key);
		else
			tables->v6_mask32[mask_slot(tables, key->high, 32, tables->v6_mask32_size)] |= bit;
		if (key->length > 48)
			tables->v6_mask48[mask_slot(tables, key->high, 48, tables->v6_mask48_size)] |= bit;
	}
	return 0;
}

/* ---- lines ---- */

#define LINE64_KEYS 5
#define LINE128_KEYS 3

/* Either kind of line, as the builder fills it: so many keys fit, and this is how one is put in. */
struct line_kind {
	unsigned keys;
	unsigned over; /* for prefixes longer than this */
	void *(*make)(size_t lines);
	void (*put)(void *lines, size_t line, unsigned at, const struct key *key);
	void (*set_more)(void *lines, size_t line);
};

static void *make_lines(size_t lines)
{
	void *made = aligned_alloc(64, lines * 64);

	if (made)
		memset(made, 0, lines * 64);
	return made;
}

static void put64(void *lines, size_t line, unsigned at, const struct key *key)
{
	struct v6_line64 *to = (struct v6_line64 *)lines + line;

	to->key[at] = key->high;
	to->class[at] = key->class;
	to->length[at] = key->length;
}

static void set_more64(void *lines, size_t line)
{
	((struct v6_line64 *)lines)[line].more = 1;
}

static void put128(void *lines, size_t line, unsigned at, const struct key *key)
{
	struct v6_line128 *to = (struct v6_line128 *)lines + line;

	to->high[at] = key->high;
	to->low[at] = key->low;
	to->class[at] = key->class;
	to->length[at] = key->length;
}

static void set_more128(void *lines, size_t line)
{
	((struct v6_line128 *)lines)[line].more = 1;
}

static const struct line_kind kind64 = {LINE64_KEYS, 0, make_lines, put64, set_more64};
static const struct line_kind kind128 = {LINE128_KEYS, 64, make_lines, put128, set_more128};

static bool is_of_kind(const struct key *key, const struct line_kind *kind)
{
	return kind->over ? key->length > kind->over : key->length <= 64;
}

/* The keys of one kind in the order of their home lines; starts has an item more than there are lines. */
static void order_by_home(struct keys *keys, const struct line_kind *kind, __u32 size, __u64 seed, __u32 *starts,
			  __u32 *order)
{
	memset(starts, 0, ((size_t)size + 1) * sizeof(*starts));
	for (size_t i = 0; i < keys->count; i++) {
		struct key *key = &keys->items[i];

		if (!is_of_kind(key, kind))
			continue;
		key->home = v6_hash(key->high, key->low, key->length, seed) & (size - 1);
		starts[key->home + 1]++;
	}
	for (__u32 line = 0; line < size; line++)
		starts[line + 1] += starts[line];
	for (size_t i = 0; i < keys->count; i++) {
		if (is_of_kind(&keys->items[i], kind))
			order[starts[keys->items[i].home]++] = (__u32)i;
	}
}

/* Fills the lines in order, first come first served, so that no key is further from its home than it must be.
 * False when one would be too far. */
static bool fill_lines(const struct keys *keys, const struct line_kind *kind, const __u32 *order, size_t count,
		       void *lines)
{
	size_t line = 0;
	unsigned used = 0;

	for (size_t i = 0; i < count; i++) {
		const struct key *key = &keys->items[order[i]];

		if (used == kind->keys) {
			line++;
			used = 0;
		}
		if (key->home > line) {
			line = key->home;
			used = 0;
		}
		if (line - key->home >= V6_PROBES)
			return false;
		for (size_t passed = key->home; passed < line; passed++)
			kind->set_more(lines, passed);
		kind->put(lines, line, used++, key);
	}
	return true;
}

/* Lines for the keys of one kind: as few as keep every key within V6_PROBES lines of its home. */
static int lines_build(struct keys *keys, const struct line_kind *kind, size_t count, __u64 seed, void **lines,
		       __u32 *size)
{
	__u32 *order = malloc((count + 1) * sizeof(*order));
	int err = order ? 0 : -ENOMEM;
	bool fits = false;

	for (*size = 16; (size_t)*size * kind->keys < count + count / 4; *size *= 2)
		;
	for (; !err && !fits; *size *= fits ? 1 : 2) {
		__u32 *starts = malloc(((size_t)*size + 2) * sizeof(*starts));

		if (*size > 1u << 30)
			err = -E2BIG;
		free(*lines);
		*lines = kind->make((size_t)*size + V6_PROBES);
		if (!starts || !*lines)
			err = -ENOMEM;
		if (!err) {
			order_by_home(keys, kind, *size, seed, starts, order);
			fits = fill_lines(keys, kind, order, count, *lines);
		}
		free(starts);
	}
	free(order);
	return err;
}

static int all_lines_build(struct keys *keys, struct tables *tables)
{
	size_t wide = 0;
	void *lines = NULL;
	int err;

	for (size_t i = 0; i < keys->count; i++)
		wide += keys->items[i].length > 64;
	err = lines_build(keys, &kind64, keys->count - wide, tables->v6_seed, &lines, &tables->v6_lines64_size);
	tables->v6_lines64 = lines;
	if (err || !wide)
		return err;
	lines = NULL;
	err = lines_build(keys, &kind128, wide, tables->v6_seed, &lines, &tables->v6_lines128_size);
	tables->v6_lines128 = lines;
	return err;
}

int v6_build(struct prefixes *prefixes, struct classes *classes, __u64 seed, struct tables *tables)
{
	struct keys keys = {0};
	bool used[129];
	int err = 0;

	if (!prefixes->v6_count)
		return 0;
	tables->v6_seed = seed;
	if (lengths_used(prefixes, used) > V6_LENGTHS)
		err = expand_odd_lengths(prefixes);
	if (!err)
		err = sort_prefixes(prefixes->v6, prefixes->v6_count);
	if (err)
		return err;
	keys.items = malloc(prefixes->v6_count * sizeof(*keys.items));
	if (!keys.items)
		return -ENOMEM;
	err = sweep(prefixes, classes, tables, &keys);
	if (!err) {
		number_lengths(&keys, tables);
		err = masks_build(&keys, tables);
	}
	if (!err)
		err = all_lines_build(&keys, tables);
	free(keys.items);
	return err;
}

/* ---- looking up ---- */

static bool find64(const struct tables *tables, __u64 high, __u32 length, __u16 *class)
{
	__u32 at = v6_hash(high, 0, length, tables->v6_seed) & (tables->v6_lines64_size - 1);

	for (unsigned probe = 0; probe < V6_PROBES; probe++) {
		const struct v6_line64 *line = &tables->v6_lines64[at + probe];

		for (unsigned i = 0; i < LINE64_KEYS; i++) {
			if (line->length[i] == length && line->key[i] == high) {
				*class = line->class[i];
				return true;
			}
		}
		if (!line->more)
			break;
	}
	return false;
}

static bool find128(const struct tables *tables, __u64 high, __u64 low, __u32 length, __u16 *class)
{
	__u32 at = v6_hash(high, low, length, tables->v6_seed) & (tables->v6_lines128_size - 1);

	for (unsigned probe = 0; probe < V6_PROBES; probe++) {
		const struct v6_line128 *line = &tables->v6_lines128[at + probe];

		for (unsigned i = 0; i < LINE128_KEYS; i++) {
			if (line->length[i] == length && line->high[i] == high && line->low[i] == low) {
				*class = line->class[i];
				return true;
			}
		}
		if (!line->more)
			break;
	}
	return false;
}

static __u64 lengths_possible(const struct tables *tables, __u64 high)
{
	__u64 mask = tables->v6_short ? tables->v6_short[high >> 48] : 0;

	mask |= tables->v6_mask32[mask_slot(tables, high, 32, tables->v6_mask32_size)];
	if (mask & tables->v6_deep_lengths)
		mask &= ~tables->v6_deep_lengths |
			tables->v6_mask48[mask_slot(tables, high, 48, tables->v6_mask48_size)];
	return mask;
}

__u16 v6_class(const struct tables *tables, __u64 high, __u64 low)
{
	__u64 mask = tables->v6_mask32 ? lengths_possible(tables, high) : 0;
	__u16 class = 0;

	for (; mask; mask &= mask - 1) {
		__u32 length = tables->v6_lengths[__builtin_ctzll(mask)];

		if (length > 64 ? find128(tables, high, low & prefix_mask64(length - 64), length, &class)
				: find64(tables, high & prefix_mask64(length), length, &class))
			return class;
	}
	return tables->v6_default;
}
