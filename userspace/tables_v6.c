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

static int reserve6(struct prefixes *prefixes, size_t count)
{
	struct prefix6 *grown;

	if (count <= prefixes->v6_capacity)
		return 0;
	grown = realloc(prefixes->v6, count * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	prefixes->v6 = grown;
	prefixes->v6_capacity = count;
	return 0;
}

/* A prefix of odd length becomes its two halves: at most 64 lengths are left. */
static int expand_odd_lengths(struct prefixes *prefixes)
{
	size_t odd = 0, count = prefixes->v6_count;
	int err;

	for (size_t i = 0; i < count; i++)
		odd += prefixes->v6[i].length % 2;
	err = reserve6(prefixes, count + odd);
	if (err)
		return err;
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

#define STEMS_SPARE 65536 /* so many prefixes more than there are is always all right */

/* Which lengths below 32 are few enough to be written out as /32; more: the prefixes that this adds. */
static void plan_short(const struct prefixes *prefixes, bool expand[V6_STEM], size_t *more)
{
	size_t counts[V6_STEM] = {0}, spare = prefixes->v6_count + STEMS_SPARE;

	for (size_t i = 0; i < prefixes->v6_count; i++) {
		if (prefixes->v6[i].length < V6_STEM)
			counts[prefixes->v6[i].length]++;
	}
	*more = 0;
	expand[0] = false;
	for (unsigned length = V6_STEM - 1; length; length--) {
		size_t stems = counts[length] << (V6_STEM - length);

		expand[length] = stems <= spare;
		spare -= expand[length] ? stems : 0;
		*more += expand[length] ? stems - counts[length] : 0;
	}
}

/* Prefixes shorter than a stem become the stems they hold, the wider ones only while that does not make the tables
 * much larger: what is left would have to be looked for by length, by nearly every packet. */
static int expand_short_lengths(struct prefixes *prefixes)
{
	bool expand[V6_STEM];
	size_t count = prefixes->v6_count, more;
	int err;

	plan_short(prefixes, expand, &more);
	err = more ? reserve6(prefixes, count + more) : 0;
	for (size_t i = 0; !err && i < count; i++) {
		struct prefix6 *prefix = &prefixes->v6[i];
		unsigned length = prefix->length;

		if (length >= V6_STEM || !expand[length])
			continue;
		prefix->length = V6_STEM;
		for (__u64 stem = 1; stem < 1ULL << (V6_STEM - length); stem++) {
			prefixes->v6[prefixes->v6_count] = *prefix;
			prefixes->v6[prefixes->v6_count++].high += stem << 32;
		}
	}
	return err;
}

/* ---- keys: what is left of the prefixes, each with its class ---- */

struct key {
	__u64 high, low;
	__u8 length, number; /* number of the length */
	bool by_length;	     /* hashed by its own length, not by its stem */
	__u16 class;
	__u32 home; /* line where it would like to be */
};

struct keys {
	struct key *items;
	size_t count;
	__u64 seed;
	bool deep_apart; /* those of 48 to 64 bits that are placed by their stem have lines of their own */
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

/* Of the keys of some lengths, those whose stem has too many of them are hashed by their own length. Keys are in order:
 * those of one stem stand together. */
static void choose_places(struct keys *keys, unsigned stem_bits, unsigned above, unsigned up_to, size_t limit)
{
	size_t first = 0;

	while (first < keys->count) {
		size_t end = first, sharing = 0;
		__u64 mask = prefix_mask64(stem_bits), stem = keys->items[first].high & mask;

		for (; end < keys->count && (keys->items[end].high & mask) == stem; end++)
			sharing += keys->items[end].length > above && keys->items[end].length <= up_to;
		for (; first < end; first++) {
			unsigned length = keys->items[first].length;

			if (length > above && length <= up_to)
				keys->items[first].by_length = sharing > limit;
		}
	}
}

static void choose_all_places(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		keys->items[i].by_length = keys->items[i].length < V6_STEM;
	choose_places(keys, V6_STEM, V6_STEM, V6_DEEP_STEM - 1, V6_STEM_PREFIXES);
	choose_places(keys, V6_DEEP_STEM, V6_DEEP_STEM, 64, V6_STEM_PREFIXES);
	choose_places(keys, V6_WIDE_STEM, 64, 128, V6_WIDE_STEM_PREFIXES);
}

static void number_lengths(struct keys *keys, struct tables *tables)
{
	__u8 numbers[129] = {0};
	bool used[129] = {false};

	for (size_t i = 0; i < keys->count; i++)
		used[keys->items[i].length] |= keys->items[i].by_length;
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

/* What the masks are made from. */
struct mask_plan {
	const struct keys *keys;
	size_t stems, deep_stems,
		wide_stems; /* different first 32 bits of all keys, 48 of those of 48 to 64 bits, 64 of longer ones */
	size_t stems32, stems48; /* of the keys that are hashed by length */
	bool any_short;
	struct classes interned; /* masks -> their indices; the same thing as sets of lists -> classes */
};

/* How much of a prefix is its stem. */
static unsigned stem_bits(unsigned length)
{
	return length > 64 ? V6_WIDE_STEM : length >= V6_DEEP_STEM ? V6_DEEP_STEM : V6_STEM;
}

static __u32 stem_hash(__u64 high, unsigned bits, __u64 seed)
{
	return v6_hash(high & prefix_mask64(bits), 0, bits, seed);
}

/* The hash by which the lines of a stem and its bit are found. */
static __u32 lines_hash(const struct keys *keys, __u64 high, unsigned bits)
{
	if (keys->deep_apart && bits == V6_DEEP_STEM)
		return (__u32)(v6_deep_hash(high, keys->seed) >> 16);
	return stem_hash(high, bits, keys->seed);
}

/* Whether v6_mask32 and v6_mask48 tell of a key. */
static bool is_masked(const struct key *key, unsigned bits)
{
	return key->by_length && key->length > bits;
}

/* Counts the different first bits of keys that come in order. */
struct stem_counter {
	size_t count;
	__u64 last;
};

static void stem_count(struct stem_counter *counter, __u64 high, unsigned bits)
{
	__u64 stem = high & prefix_mask64(bits);

	counter->count += !counter->count || stem != counter->last;
	counter->last = stem;
}

static void plan_masks(struct mask_plan *plan)
{
	struct stem_counter narrow = {0}, deep = {0}, wide = {0}, masked32 = {0}, masked48 = {0};

	for (size_t i = 0; i < plan->keys->count; i++) {
		const struct key *key = &plan->keys->items[i];

		plan->any_short |= key->length < V6_STEM;
		if (key->length >= V6_STEM)
			stem_count(&narrow, key->high, V6_STEM);
		if (key->length >= V6_DEEP_STEM && key->length <= 64)
			stem_count(&deep, key->high, V6_DEEP_STEM);
		if (key->length > 64)
			stem_count(&wide, key->high, V6_WIDE_STEM);
		if (is_masked(key, 32))
			stem_count(&masked32, key->high, 32);
		if (is_masked(key, 48))
			stem_count(&masked48, key->high, 48);
	}
	plan->stems = narrow.count;
	plan->deep_stems = deep.count;
	plan->wide_stems = wide.count;
	plan->stems32 = masked32.count;
	plan->stems48 = masked48.count;
}

/* Items of a table of masks: one in four is wrong about a stem that it was not made for. */
static __u32 mask_size(size_t stems)
{
	size_t size = 3 * stems;

	return size < 1024 ? 1024 : size > 1u << 30 ? 1u << 30 : (__u32)size;
}

/* Bits of a bitmap of stems: sixteen a stem, one in sixteen is taken for a stem that it is not; eight, where more would
 * leave no room for others in a second-level cache. A multiple of 64. */
#define BITS_ROOMY (1u << 22)

static __u32 bits_size(size_t stems)
{
	size_t size = (16 * stems < BITS_ROOMY ? 16 : 8) * stems + 1024;

	return size > 1u << 31 ? 1u << 31 : (__u32)size & ~63u;
}

static int heads_build(const struct keys *keys, struct tables *tables)
{
	tables->v6_heads = calloc(1, sizeof(*tables->v6_heads));
	if (!tables->v6_heads)
		return -ENOMEM;
	for (size_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->items[i];

		if (key->length >= V6_STEM)
			tables->v6_heads->word[key->high >> 54] |= 1ULL << (key->high >> 48 & 63);
	}
	return 0;
}

/* The two bits of the first 32 of every key. */
static int bits_build(const struct mask_plan *plan, struct tables *tables)
{
	tables->v6_bits_size = bits_size(2 * plan->stems);
	tables->v6_bits = calloc(tables->v6_bits_size / 64, sizeof(*tables->v6_bits));
	if (!tables->v6_bits)
		return -ENOMEM;
	for (size_t i = 0; i < plan->keys->count; i++) {
		const struct key *key = &plan->keys->items[i];
		__u64 known = V6_STEM_KNOWN | (key->length < V6_DEEP_STEM ? V6_STEM_SHORT : 0);
		__u32 bit = v6_bit_of(stem_hash(key->high, V6_STEM, tables->v6_seed), tables->v6_bits_size) & ~1u;

		if (key->length >= V6_STEM)
			tables->v6_bits[bit / 64] |= known << (bit % 64);
	}
	return 0;
}

/* v6_deep_bits or v6_wide_bits: a bit for each stem of that many bits. */
static int stem_bits_build(const struct mask_plan *plan, unsigned bits, size_t stems, __u64 **words, __u32 *size)
{
	if (!stems)
		return 0;
	*size = bits_size(stems);
	*words = calloc(*size / 64, sizeof(**words));
	if (!*words)
		return -ENOMEM;
	for (size_t i = 0; i < plan->keys->count; i++) {
		const struct key *key = &plan->keys->items[i];
		__u32 bit = v6_bit_of(lines_hash(plan->keys, key->high, bits), *size);

		if (key->length >= V6_STEM && stem_bits(key->length) == bits)
			(*words)[bit / 64] |= 1ULL << (bit % 64);
	}
	return 0;
}

/* Masks -> indices, into a table of its own. With more than CLASS_LIMIT different ones, "any length" stands in. */
static int intern_masks(struct mask_plan *plan, const __u64 *masks, __u32 size, __u16 **items)
{
	*items = malloc((size_t)size * sizeof(**items));
	if (!*items)
		return -ENOMEM;
	for (__u32 i = 0; i < size; i++) {
		int index = class_of_lists(&plan->interned, masks[i]);

		if (index == -E2BIG)
			index = class_of_lists(&plan->interned, ~0ULL);
		if (index < 0)
			return index;
		(*items)[i] = (__u16)index;
	}
	return 0;
}

/* v6_mask32 or v6_mask48. */
static int mask_build(struct mask_plan *plan, size_t stems, unsigned bits, __u64 seed, __u16 **items, __u32 *size)
{
	__u64 *masks;
	int err;

	if (!stems)
		return 0;
	*size = mask_size(stems);
	masks = calloc(*size, sizeof(*masks));
	if (!masks)
		return -ENOMEM;
	for (size_t i = 0; i < plan->keys->count; i++) {
		const struct key *key = &plan->keys->items[i];

		if (is_masked(key, bits))
			masks[hash_slot(stem_hash(key->high, bits, seed), *size)] |= 1ULL << key->number;
	}
	err = intern_masks(plan, masks, *size, items);
	free(masks);
	return err;
}

static void short_mask_add(__u64 *masks, const struct key *key)
{
	__u32 first = (__u32)(key->high >> 48);
	__u32 count = key->length < 16 ? 1u << (16 - key->length) : 1;

	for (__u32 i = first; i < first + count; i++)
		masks[i] |= 1ULL << key->number;
}

static int short_build(const struct mask_plan *plan, struct tables *tables)
{
	if (!plan->any_short)
		return 0;
	tables->v6_short = calloc(V6_SHORT_MASKS, sizeof(*tables->v6_short));
	if (!tables->v6_short)
		return -ENOMEM;
	for (size_t i = 0; i < plan->keys->count; i++) {
		if (plan->keys->items[i].length < V6_STEM)
			short_mask_add(tables->v6_short, &plan->keys->items[i]);
	}
	return 0;
}

static int masks_build(const struct keys *keys, struct tables *tables)
{
	struct mask_plan plan = {.keys = keys};
	int err = classes_begin(&plan.interned);

	plan_masks(&plan);
	if (!err && class_of_lists(&plan.interned, ~0ULL) < 0)
		err = -ENOMEM;
	if (!err)
		err = short_build(&plan, tables);
	if (!err)
		err = heads_build(keys, tables);
	if (!err)
		err = bits_build(&plan, tables);
	if (!err)
		err = stem_bits_build(&plan, V6_DEEP_STEM, plan.deep_stems, &tables->v6_deep_bits,
				      &tables->v6_deep_bits_size);
	if (!err)
		err = stem_bits_build(&plan, V6_WIDE_STEM, plan.wide_stems, &tables->v6_wide_bits,
				      &tables->v6_wide_bits_size);
	if (!err)
		err = mask_build(&plan, plan.stems32, V6_STEM, tables->v6_seed, &tables->v6_mask32,
				 &tables->v6_mask32_size);
	if (!err)
		err = mask_build(&plan, plan.stems48, 48, tables->v6_seed, &tables->v6_mask48, &tables->v6_mask48_size);
	free(plan.interned.slots);
	tables->v6_masks = plan.interned.lists;
	tables->v6_mask_count = plan.interned.count;
	return err;
}

/* ---- lines ---- */

#define LINE64_KEYS 5
#define LINE128_KEYS 3

/* A kind of line, as the builder fills it: so many keys fit, and this is how one is put in. */
struct line_kind {
	unsigned keys;
	size_t least, most; /* lines */
	void (*put)(void *lines, size_t line, unsigned at, const struct key *key, __u64 seed);
	void (*set_more)(void *lines, size_t line);
};

static void *make_lines(size_t lines)
{
	void *made = aligned_alloc(64, lines * 64);

	if (made)
		memset(made, 0, lines * 64);
	return made;
}

static void put64(void *lines, size_t line, unsigned at, const struct key *key, __u64 seed)
{
	struct v6_line64 *to = (struct v6_line64 *)lines + line;

	(void)seed;
	to->key[at] = key->high;
	to->class[at] = key->class;
	to->length[at] = key->length;
}

static void set_more64(void *lines, size_t line)
{
	((struct v6_line64 *)lines)[line].more = 1;
}

static void put128(void *lines, size_t line, unsigned at, const struct key *key, __u64 seed)
{
	struct v6_line128 *to = (struct v6_line128 *)lines + line;

	(void)seed;
	to->high[at] = key->high;
	to->low[at] = key->low;
	to->class[at] = key->class;
	to->length[at] = key->length;
}

static void set_more128(void *lines, size_t line)
{
	((struct v6_line128 *)lines)[line].more = 1;
}

/* The key is masked to its length: behind it is room for the node's mark. */
static void put_deep(void *lines, size_t line, unsigned at, const struct key *key, __u64 seed)
{
	__u64 entry = v6_deep_entry(v6_deep_hash(key->high, seed), key->high) ^ 1;

	((struct v6_deep_line *)lines)[line].entry[at] |=
		(__u64)key->class << V6_DEEP_CLASS_SHIFT | entry | 1ULL << (64 - key->length);
}

static void set_more_deep(void *lines, size_t line)
{
	((struct v6_deep_line *)lines)[line].entry[V6_DEEP_MORE] |= V6_DEEP_MARK;
}

#define LINES_LEAST 16
#define LINES_MOST (1u << 31)
#define DEEP_LINES_MOST (65535u * V6_DEEP_LINES) /* that generation_config can say */

static const struct line_kind kind64 = {LINE64_KEYS, LINES_LEAST, LINES_MOST, put64, set_more64};
static const struct line_kind kind128 = {LINE128_KEYS, LINES_LEAST, LINES_MOST, put128, set_more128};
static const struct line_kind kind_deep = {V6_DEEP_KEYS, V6_DEEP_LINES_LEAST, DEEP_LINES_MOST, put_deep, set_more_deep};

static const struct line_kind *kind_of(const struct keys *keys, const struct key *key)
{
	if (key->length > 64)
		return &kind128;
	return keys->deep_apart && key->length >= V6_DEEP_STEM && !key->by_length ? &kind_deep : &kind64;
}

static size_t count_of_kind(const struct keys *keys, const struct line_kind *kind)
{
	size_t count = 0;

	for (size_t i = 0; i < keys->count; i++)
		count += kind_of(keys, &keys->items[i]) == kind;
	return count;
}

/* What decides where a key is: its stem, or all of it. */
static __u32 place_hash(const struct keys *keys, const struct key *key)
{
	if (key->by_length)
		return v6_hash(key->high, key->low, key->length, keys->seed);
	return lines_hash(keys, key->high, stem_bits(key->length));
}

/* The keys of one kind in the order of their home lines; starts has an item more than there are lines. */
static void order_by_home(struct keys *keys, const struct line_kind *kind, __u32 size, __u32 *starts, __u32 *order)
{
	memset(starts, 0, ((size_t)size + 1) * sizeof(*starts));
	for (size_t i = 0; i < keys->count; i++) {
		struct key *key = &keys->items[i];

		if (kind_of(keys, key) != kind)
			continue;
		key->home = hash_slot(place_hash(keys, key), size);
		starts[key->home + 1]++;
	}
	for (__u32 line = 0; line < size; line++)
		starts[line + 1] += starts[line];
	for (size_t i = 0; i < keys->count; i++) {
		if (kind_of(keys, &keys->items[i]) == kind)
			order[starts[keys->items[i].home]++] = (__u32)i;
	}
}

/* The longest first, so that the first match of a stem is the longest one. */
static void order_by_length(const struct keys *keys, __u32 *order, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		__u32 moved = order[i];
		const struct key *key = &keys->items[moved];
		size_t at = i;

		for (; at && keys->items[order[at - 1]].home == key->home &&
		       keys->items[order[at - 1]].length < key->length;
		     at--)
			order[at] = order[at - 1];
		order[at] = moved;
	}
}

/* From now on the keys of this one's stem that are longer than it are hashed by length. They stand together. */
static void leave_stem(struct keys *keys, size_t at)
{
	unsigned bits = stem_bits(keys->items[at].length);
	__u64 mask = prefix_mask64(bits), stem = keys->items[at].high & mask;
	size_t first = at;

	while (first && (keys->items[first - 1].high & mask) == stem)
		first--;
	for (; first < keys->count && (keys->items[first].high & mask) == stem; first++) {
		if (keys->items[first].length > bits && stem_bits(keys->items[first].length) == bits)
			keys->items[first].by_length = true;
	}
}

enum filled { FILLED, CROWDED, TOO_FEW };

/* Fills the lines in order, first come first served, so that no key is further from its home than it must be. Where one
 * would be too far, its stem gives way (CROWDED: try again), or else there are too few lines. */
static enum filled fill_lines(struct keys *keys, const struct line_kind *kind, const __u32 *order, size_t count,
			      void *lines)
{
	enum filled filled = FILLED;
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
		if (line - key->home >= V6_PROBES) {
			if (key->by_length || key->length == stem_bits(key->length))
				return TOO_FEW;
			leave_stem(keys, order[i]);
			filled = CROWDED;
			continue;
		}
		for (size_t passed = key->home; passed < line; passed++)
			kind->set_more(lines, passed);
		kind->put(lines, line, used++, key, keys->seed);
	}
	return filled;
}

/* One try with so many lines: an enum filled, or -ENOMEM. */
static int lines_try(struct keys *keys, const struct line_kind *kind, void **lines, __u32 size)
{
	size_t count = count_of_kind(keys, kind);
	__u32 *starts = malloc(((size_t)size + 1) * sizeof(*starts));
	__u32 *order = malloc((count + 1) * sizeof(*order));
	int filled = -ENOMEM;

	free(*lines);
	*lines = make_lines((size_t)size + V6_PROBES);
	if (starts && order && *lines) {
		order_by_home(keys, kind, size, starts, order);
		order_by_length(keys, order, count);
		filled = (int)fill_lines(keys, kind, order, count, *lines);
	}
	free(starts);
	free(order);
	return filled;
}

#define CROWDED_TRIES 8

/* Lines for the keys of one kind: nearly as few as keep every key within V6_PROBES lines of its home. */
static int lines_build(struct keys *keys, const struct line_kind *kind, void **lines, __u32 *size)
{
	size_t full = count_of_kind(keys, kind) / kind->keys, start = LINES_LEAST + full + full / 3;

	for (size_t tried = start < kind->least ? kind->least : start; tried < kind->most; tried += tried / 8) {
		int filled = CROWDED;

		*size = (__u32)tried & ~(kind == &kind_deep ? V6_DEEP_LINES - 1 : 0);
		for (unsigned i = 0; i < CROWDED_TRIES && filled == CROWDED; i++)
			filled = lines_try(keys, kind, lines, *size);
		if (filled <= FILLED)
			return filled;
	}
	return -E2BIG;
}

/* The first lines of stems with prefixes that are hashed by length say so. */
static void mark_by_length(const struct keys *keys, struct tables *tables)
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->items[i];
		__u32 hash = lines_hash(keys, key->high, stem_bits(key->length));

		if (!is_masked(key, V6_STEM))
			continue;
		if (key->length > 64)
			tables->v6_lines128[hash_slot(hash, tables->v6_lines128_size)].by_length = 1;
		else if (keys->deep_apart && key->length >= V6_DEEP_STEM)
			tables->v6_deep_lines[hash_slot(hash, tables->v6_deep_lines_size)].entry[V6_DEEP_BY_LENGTH] |=
				V6_DEEP_MARK;
		else
			tables->v6_lines64[hash_slot(hash, tables->v6_lines64_size)].by_length = 1;
	}
}

#define DEEP_LEAST (4 * V6_DEEP_LINES_LEAST) /* prefixes: as many as take no more memory there than in v6_lines64 */
#define DEEP_MOST (DEEP_LINES_MOST * 4)	     /* with room for twice as many lines as need be */

/* Those of 48 to 64 bits come first: of stems with too many in a line, they join those hashed by length. */
static int all_lines_build(struct keys *keys, struct tables *tables, size_t class_count)
{
	void *lines = NULL;
	size_t deep;
	int err = 0;

	keys->deep_apart = true;
	deep = count_of_kind(keys, &kind_deep);
	keys->deep_apart = deep >= DEEP_LEAST && deep <= DEEP_MOST && class_count <= V6_DEEP_CLASSES;
	if (keys->deep_apart)
		err = lines_build(keys, &kind_deep, &lines, &tables->v6_deep_lines_size);
	tables->v6_deep_lines = lines;
	lines = NULL;
	if (!err)
		err = lines_build(keys, &kind64, &lines, &tables->v6_lines64_size);
	tables->v6_lines64 = lines;
	lines = NULL;
	if (!err && count_of_kind(keys, &kind128))
		err = lines_build(keys, &kind128, &lines, &tables->v6_lines128_size);
	tables->v6_lines128 = lines;
	return err;
}

int v6_build(struct prefixes *prefixes, struct classes *classes, __u64 seed, struct tables *tables)
{
	struct keys keys = {.seed = seed};
	bool used[129];
	int err = 0;

	if (!prefixes->v6_count)
		return 0;
	tables->v6_seed = seed;
	err = expand_short_lengths(prefixes);
	if (!err && lengths_used(prefixes, used) > V6_LENGTHS)
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
		choose_all_places(&keys);
		err = all_lines_build(&keys, tables, classes->count);
	}
	if (!err) {
		mark_by_length(&keys, tables);
		number_lengths(&keys, tables);
		err = masks_build(&keys, tables);
	}
	free(keys.items);
	return err;
}

/* ---- looking up ---- */

struct v6_match {
	__u8 length;	/* 0: none */
	bool by_length; /* those hashed by length are to be looked for as well, first */
	__u16 class;
};

static bool find64(const struct tables *tables, __u64 high, __u32 length, __u16 *class)
{
	__u32 at = hash_slot(v6_hash(high, 0, length, tables->v6_seed), tables->v6_lines64_size);

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
	__u32 at = hash_slot(v6_hash(high, low, length, tables->v6_seed), tables->v6_lines128_size);

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

/* Whether some prefix of this kind may have the stem. */
static bool stem_known(const struct tables *tables, __u64 high, unsigned bits, __u32 hash)
{
	const __u64 *words = bits == V6_WIDE_STEM ? tables->v6_wide_bits : tables->v6_deep_bits;
	__u32 bit;

	if (bits != V6_STEM) {
		bit = v6_bit_of(hash, bits == V6_WIDE_STEM ? tables->v6_wide_bits_size : tables->v6_deep_bits_size);
		if (!words || !(words[bit / 64] >> (bit % 64) & 1))
			return false;
		hash = stem_hash(high, V6_STEM, tables->v6_seed);
	}
	bit = v6_bit_of(hash, tables->v6_bits_size) & ~1u;
	return tables->v6_bits[bit / 64] >> (bit % 64) & (bits == V6_STEM ? V6_STEM_SHORT : V6_STEM_KNOWN);
}

/* The longest match in the lines of a stem of so many bits; length 0: none. */
static struct v6_match find_in_stem(const struct tables *tables, __u64 high, unsigned bits, __u32 hash)
{
	const struct v6_line64 *line = &tables->v6_lines64[hash_slot(hash, tables->v6_lines64_size)];
	struct v6_match match = {.by_length = line->by_length};

	for (unsigned probe = 0; probe < V6_PROBES && !match.length; probe++, line++) {
		for (unsigned i = 0; i < LINE64_KEYS; i++) {
			if (line->length[i] >= bits && line->length[i] > match.length &&
			    !((line->key[i] ^ high) & prefix_mask64(line->length[i]))) {
				match.length = line->length[i];
				match.class = line->class[i];
			}
		}
		if (!line->more)
			break;
	}
	return match;
}

/* The same where those of 48 to 64 bits have lines of their own. */
static struct v6_match find_in_deep(const struct tables *tables, __u64 high)
{
	__u64 hash = v6_deep_hash(high, tables->v6_seed), wanted = v6_deep_entry(hash, high);
	const struct v6_deep_line *line =
		&tables->v6_deep_lines[hash_slot((__u32)(hash >> 16), tables->v6_deep_lines_size)];
	struct v6_match match = {.by_length = line->entry[V6_DEEP_BY_LENGTH] & V6_DEEP_MARK};

	for (unsigned probe = 0; probe < V6_PROBES && !match.length; probe++, line++) {
		for (unsigned i = 0; i < V6_DEEP_KEYS && !match.length; i++) {
			if (v6_deep_covers(line->entry[i], wanted)) {
				match.class = (__u16)(line->entry[i] >> V6_DEEP_CLASS_SHIFT);
				match.length = match.class ? V6_DEEP_STEM : 0; /* or longer */
			}
		}
		if (!(line->entry[V6_DEEP_MORE] & V6_DEEP_MARK))
			break;
	}
	return match;
}

static struct v6_match find_in_wide_stem(const struct tables *tables, __u64 high, __u64 low, __u32 hash)
{
	const struct v6_line128 *line = &tables->v6_lines128[hash_slot(hash, tables->v6_lines128_size)];
	struct v6_match match = {.by_length = line->by_length};

	for (unsigned probe = 0; probe < V6_PROBES && !match.length; probe++, line++) {
		for (unsigned i = 0; i < LINE128_KEYS; i++) {
			if (line->length[i] > match.length && line->high[i] == high &&
			    !((line->low[i] ^ low) & prefix_mask64(line->length[i] - 64))) {
				match.length = line->length[i];
				match.class = line->class[i];
			}
		}
		if (!line->more)
			break;
	}
	return match;
}

static bool find_by_length(const struct tables *tables, __u64 high, __u64 low, __u64 mask, __u16 *class)
{
	for (; mask; mask &= mask - 1) {
		__u32 length = tables->v6_lengths[__builtin_ctzll(mask)];

		if (!length) /* "any length" of fewer than 64 */
			break;
		if (length > 64 ? find128(tables, high, low & prefix_mask64(length - 64), length, class)
				: find64(tables, high & prefix_mask64(length), length, class))
			return true;
	}
	return false;
}

/* Of those hashed by length. */
static __u64 lengths_of_stem(const struct tables *tables, __u64 high)
{
	__u32 hash = stem_hash(high, 32, tables->v6_seed);
	__u64 mask = tables->v6_masks[tables->v6_mask32[hash_slot(hash, tables->v6_mask32_size)]];

	if (mask & tables->v6_deep_lengths) {
		hash = stem_hash(high, 48, tables->v6_seed);
		mask &= ~tables->v6_deep_lengths |
			tables->v6_masks[tables->v6_mask48[hash_slot(hash, tables->v6_mask48_size)]];
	}
	return mask;
}

static struct v6_match find_in_lines(const struct tables *tables, __u64 high, __u64 low, unsigned bits, __u32 hash)
{
	if (bits == V6_WIDE_STEM)
		return find_in_wide_stem(tables, high, low, hash);
	if (bits == V6_DEEP_STEM && tables->v6_deep_lines)
		return find_in_deep(tables, high);
	return find_in_stem(tables, high, bits, hash);
}

/* The class by a prefix of one kind of stem, of one of these lengths where it is hashed by length. */
static bool find_by_stem(const struct tables *tables, __u64 high, __u64 low, unsigned bits, __u64 lengths, __u16 *class)
{
	const struct keys like = {.seed = tables->v6_seed, .deep_apart = tables->v6_deep_lines};
	__u32 hash = lines_hash(&like, high, bits);
	struct v6_match match = {0};

	if (stem_known(tables, high, bits, hash))
		match = find_in_lines(tables, high, low, bits, hash);
	*class = match.class;
	return (match.by_length && find_by_length(tables, high, low, lengths_of_stem(tables, high) & lengths, class)) ||
	       match.length;
}

static bool head_known(const struct tables *tables, __u64 high)
{
	return !tables->v6_heads || tables->v6_heads->word[high >> 54] >> (high >> 48 & 63) & 1;
}

__u16 v6_class(const struct tables *tables, __u64 high, __u64 low)
{
	__u64 wide = tables->v6_wide_lengths, deep = tables->v6_deep_lengths & ~wide;
	__u16 class;

	if (!tables->v6_bits)
		return tables->v6_default;
	if (head_known(tables, high) && (find_by_stem(tables, high, low, V6_WIDE_STEM, wide, &class) ||
					 find_by_stem(tables, high, low, V6_DEEP_STEM, deep, &class) ||
					 find_by_stem(tables, high, low, V6_STEM, ~tables->v6_deep_lengths, &class)))
		return class;
	if (tables->v6_short && find_by_length(tables, high, low, tables->v6_short[high >> 48], &class))
		return class;
	return tables->v6_default;
}
