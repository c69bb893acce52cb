/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The IPv4 tables: sort the prefixes, sweep over the address space once with the stack of the prefixes that
 * are open, and write each stretch of one class as it ends. Entries come out in the order of their /24, which
 * is what ranks want.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "tables_build.h"

/* ---- sorting ---- */

#define RADIX_BITS 10
#define RADIX_PASSES 4 /* 32 bits of address and 6 of length; even, so that the result is back in place */
#define RADIX_BUCKETS (1u << RADIX_BITS)

static __u64 sort_key(const struct prefix4 *prefix)
{
	return (__u64)prefix->address << 6 | prefix->length;
}

static bool sorted(const struct prefix4 *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (sort_key(&items[i - 1]) > sort_key(&items[i]))
			return false;
	}
	return true;
}

static void radix_pass(const struct prefix4 *from, struct prefix4 *to, size_t count, __u32 *next, unsigned shift)
{
	__u32 sum = 0;

	for (unsigned i = 0; i < RADIX_BUCKETS; i++) {
		__u32 bucket = next[i];

		next[i] = sum;
		sum += bucket;
	}
	for (size_t i = 0; i < count; i++)
		to[next[(sort_key(&from[i]) >> shift) % RADIX_BUCKETS]++] = from[i];
}

/* By address, then the shorter first. */
static int sort_prefixes(struct prefix4 *items, size_t count)
{
	static const unsigned all_ones = RADIX_BUCKETS - 1;
	__u32(*histograms)[RADIX_BUCKETS];
	struct prefix4 *scratch, *from = items, *to;

	if (sorted(items, count))
		return 0;
	histograms = calloc(RADIX_PASSES, sizeof(*histograms));
	scratch = malloc(count * sizeof(*scratch));
	if (!histograms || !scratch) {
		free(histograms);
		free(scratch);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		for (unsigned pass = 0; pass < RADIX_PASSES; pass++)
			histograms[pass][(sort_key(&items[i]) >> (pass * RADIX_BITS)) & all_ones]++;
	}
	to = scratch;
	for (unsigned pass = 0; pass < RADIX_PASSES; pass++) {
		struct prefix4 *swap = from;

		radix_pass(from, to, count, histograms[pass], pass * RADIX_BITS);
		from = to;
		to = swap;
	}
	free(histograms);
	free(scratch);
	return 0;
}

/* ---- pairs of classes for V4_HOSTS ---- */

/* A table of all pairs met, the first V4_PAIRS of which an entry can name. When more are met than that, the sweep
 * is done once more with the most frequent ones. */
#define PAIR_SLOTS 4096u
#define PAIRS_COUNTED (PAIR_SLOTS / 2)

struct pair_slot {
	struct class_pair pair;
	__u32 uses; /* 0: free */
	int number; /* below V4_PAIRS: entries may name it */
};

struct pairs {
	struct pair_slot slots[PAIR_SLOTS];
	unsigned count;
	bool frozen, refused; /* no new numbers; some entry would have liked one */
	struct pair_slot *last;
};

static bool pair_is(const struct pair_slot *slot, __u16 off, __u16 on)
{
	return slot->pair.off == off && slot->pair.on == on;
}

/* The slot of a pair, NULL when too many others were met. */
static struct pair_slot *pair_find(struct pairs *pairs, __u16 off, __u16 on)
{
	__u32 at = (((__u32)off << 16 | on) * 2654435761u) >> 20;

	if (pairs->last && pair_is(pairs->last, off, on))
		return pairs->last;
	for (; pairs->slots[at].uses; at = (at + 1) % PAIR_SLOTS) {
		if (pair_is(&pairs->slots[at], off, on))
			return pairs->last = &pairs->slots[at];
	}
	if (pairs->frozen || pairs->count == PAIRS_COUNTED)
		return NULL;
	pairs->slots[at].pair = (struct class_pair){.off = off, .on = on};
	pairs->slots[at].number = (int)pairs->count++;
	return pairs->last = &pairs->slots[at];
}

/* The number of a pair, or negative: the entry must do without. */
static int pair_number(struct pairs *pairs, __u16 off, __u16 on)
{
	struct pair_slot *slot = pair_find(pairs, off, on);

	if (slot && slot->uses < ~0u)
		slot->uses++;
	if (slot && slot->number < V4_PAIRS)
		return slot->number;
	pairs->refused = true;
	return -1;
}

static int by_uses(const void *a, const void *b)
{
	const struct pair_slot *const *one = a, *const *other = b;

	return ((*one)->uses < (*other)->uses) - ((*one)->uses > (*other)->uses);
}

static void pairs_keep_frequent(struct pairs *pairs)
{
	struct pair_slot *order[PAIRS_COUNTED];
	unsigned count = 0;

	for (unsigned i = 0; i < PAIR_SLOTS && count < PAIRS_COUNTED; i++) {
		if (pairs->slots[i].uses)
			order[count++] = &pairs->slots[i];
	}
	qsort(order, count, sizeof(*order), by_uses);
	for (unsigned i = 0; i < count; i++)
		order[i]->number = (int)i;
	pairs->frozen = true;
}

/* ---- writing stretches of one class ---- */

struct run {
	__u16 start; /* host octet */
	__u16 class;
};

struct builder {
	struct tables *tables;
	size_t entry_capacity, mask_capacity, run_capacity;
	struct pairs *pairs;
	struct run runs[256]; /* of the /24 that is being written */
	unsigned run_count;
};

/* Room for one more item (or several) at the end of a vector. */
static int reserve(void **items, size_t size, size_t needed, size_t *capacity)
{
	size_t grown_capacity = *capacity ? 2 * *capacity : 1024;
	void *grown;

	if (needed <= *capacity)
		return 0;
	if (grown_capacity < needed)
		grown_capacity = needed;
	grown = realloc(*items, grown_capacity * size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = grown_capacity;
	return 0;
}

static int entries_reserve(struct builder *builder, size_t more)
{
	struct tables *tables = builder->tables;

	return reserve((void **)&tables->v4_entries, sizeof(*tables->v4_entries), tables->v4_entry_count + more,
		       &builder->entry_capacity);
}

static void entry_add(struct builder *builder, __u32 net, __u32 entry)
{
	struct tables *tables = builder->tables;

	tables->v4_bits[net / 64] |= 1ULL << (net % 64);
	tables->v4_entries[tables->v4_entry_count++] = entry;
}

static int mask_add(struct builder *builder, unsigned kind, struct v4_mask **mask, __u32 *entry)
{
	struct tables *tables = builder->tables;
	int err =
		reserve((void **)&tables->v4_masks, sizeof(**mask), tables->v4_mask_count + 1, &builder->mask_capacity);

	if (err)
		return err;
	*entry = V4_ENTRY(kind, tables->v4_mask_count);
	*mask = &tables->v4_masks[tables->v4_mask_count++];
	memset(*mask, 0, sizeof(**mask));
	return 0;
}

static int mask_entry(struct builder *builder, __u16 off, __u16 on, __u32 *entry)
{
	struct v4_mask *mask;
	int err = mask_add(builder, V4_MASK, &mask, entry);

	if (err)
		return err;
	mask->pair = (struct class_pair){.off = off, .on = on};
	for (unsigned i = 0; i < builder->run_count; i++) {
		unsigned end = i + 1 < builder->run_count ? builder->runs[i + 1].start : 256;

		if (builder->runs[i].class != on)
			continue;
		for (unsigned octet = builder->runs[i].start; octet < end; octet++)
			mask->bits[octet / 64] |= 1ULL << (octet % 64);
	}
	return 0;
}

static int runs_entry(struct builder *builder, __u32 *entry)
{
	struct tables *tables = builder->tables;
	struct v4_mask *mask;
	int err = reserve((void **)&tables->v4_run_classes, sizeof(*tables->v4_run_classes),
			  tables->v4_run_count + builder->run_count, &builder->run_capacity);

	if (!err)
		err = mask_add(builder, V4_RUNS, &mask, entry);
	if (err)
		return err;
	mask->first = (__u32)tables->v4_run_count;
	for (unsigned i = 0; i < builder->run_count; i++) {
		mask->bits[builder->runs[i].start / 64] |= 1ULL << (builder->runs[i].start % 64);
		tables->v4_run_classes[tables->v4_run_count++] = builder->runs[i].class;
	}
	for (unsigned word = 1; word < 4; word++)
		mask->rank[word] = (__u8)(mask->rank[word - 1] + __builtin_popcountll(mask->bits[word - 1]));
	return 0;
}

/* A /24 of one class: a pair of twice that class, so that the packet path meets one kind of entry and has nothing to
 * predict; where no pair is left, the kind of its own. */
static __u32 class_entry(struct builder *builder, __u16 class)
{
	int pair = pair_number(builder->pairs, class, class);

	return pair < 0 ? V4_ENTRY(V4_CLASS, class) : V4_HOSTS_ENTRY(pair, 0, 0, 0);
}

/* Up to three octets of class on, and a pair that an entry can name; else negative. */
static int hosts_entry(struct builder *builder, __u16 off, __u16 on, __u32 *entry)
{
	__u8 octets[3] = {0};
	unsigned count = 0;
	int pair = pair_number(builder->pairs, off, on);

	if (pair < 0)
		return pair;
	for (unsigned i = 0; i < builder->run_count; i++) {
		unsigned end = i + 1 < builder->run_count ? builder->runs[i + 1].start : 256;

		if (builder->runs[i].class != on)
			continue;
		for (unsigned octet = builder->runs[i].start; octet < end && count < 3; octet++)
			octets[count++] = (__u8)octet;
	}
	for (; count < 3; count++)
		octets[count] = octets[0];
	*entry = V4_HOSTS_ENTRY(pair, octets[0], octets[1], octets[2]);
	return 0;
}

/* Two classes share this /24, or more (then *classes is 3); octets: how many the first and the second have. */
static void runs_weigh(const struct builder *builder, __u16 class[2], unsigned octets[2], unsigned *classes)
{
	*classes = 0;
	octets[0] = octets[1] = 0;
	for (unsigned i = 0; i < builder->run_count; i++) {
		unsigned end = i + 1 < builder->run_count ? builder->runs[i + 1].start : 256;
		unsigned which = 0;

		while (which < *classes && class[which] != builder->runs[i].class)
			which++;
		if (which == 2) {
			*classes = 3;
			return;
		}
		if (which == *classes)
			class[(*classes)++] = builder->runs[i].class;
		octets[which] += end - builder->runs[i].start;
	}
}

/* The /24 is complete: the smallest entry that says what its runs say. */
static int net_close(struct builder *builder, __u32 net)
{
	__u16 class[2] = {0};
	unsigned octets[2], classes, on;
	__u32 entry;
	int err = entries_reserve(builder, 1);

	if (err)
		return err;
	runs_weigh(builder, class, octets, &classes);
	on = octets[1] <= octets[0];
	if (classes == 1)
		entry = class_entry(builder, class[0]);
	else if (classes > 2)
		err = runs_entry(builder, &entry);
	else if (octets[on] > 3 || hosts_entry(builder, class[!on], class[on], &entry))
		err = mask_entry(builder, class[!on], class[on], &entry);
	if (err)
		return err;
	builder->run_count = 0;
	if (classes > 1 || class[0] != builder->tables->v4_default)
		entry_add(builder, net, entry);
	return 0;
}

static void run_add(struct builder *builder, unsigned octet, __u16 class)
{
	if (builder->run_count && builder->runs[builder->run_count - 1].class == class)
		return;
	builder->runs[builder->run_count++] = (struct run){.start = (__u16)octet, .class = class};
}

/* The addresses from start up to before end are of one class. Stretches come in order, without gaps. */
static int stretch(struct builder *builder, __u64 start, __u64 end, __u16 class)
{
	__u32 entry;
	int err;

	if (start % 256) {
		__u64 net_end = (start | 255) + 1;

		run_add(builder, start % 256, class);
		if (end < net_end)
			return 0;
		err = net_close(builder, (__u32)(start >> 8));
		if (err)
			return err;
		start = net_end;
	}
	if (class != builder->tables->v4_default) {
		err = entries_reserve(builder, (end >> 8) - (start >> 8));
		if (err)
			return err;
		entry = class_entry(builder, class);
		for (__u32 net = (__u32)(start >> 8); net < (__u32)(end >> 8); net++)
			entry_add(builder, net, entry);
	}
	if (end % 256 && start < end)
		run_add(builder, 0, class);
	return 0;
}

/* ---- the sweep ---- */

struct open_prefix {
	__u64 start, end; /* end: the first address behind it */
	__u64 lists;
	int class; /* negative: not asked for yet */
};

struct sweep {
	struct builder *builder;
	struct classes *classes;
	struct open_prefix stack[34]; /* the whole space, and the 33 lengths */
	unsigned depth;
	__u64 cursor; /* everything below is written */
};

static int sweep_to(struct sweep *sweep, __u64 address)
{
	struct open_prefix *top = &sweep->stack[sweep->depth - 1];
	int err;

	if (sweep->cursor == address)
		return 0;
	if (top->class < 0)
		top->class = class_of_lists(sweep->classes, top->lists);
	if (top->class < 0)
		return top->class;
	err = stretch(sweep->builder, sweep->cursor, address, (__u16)top->class);
	sweep->cursor = address;
	return err;
}

/* Ends the open prefixes that end at or before address, and goes there. */
static int sweep_close(struct sweep *sweep, __u64 address)
{
	while (sweep->depth > 1 && sweep->stack[sweep->depth - 1].end <= address) {
		int err = sweep_to(sweep, sweep->stack[sweep->depth - 1].end);

		if (err)
			return err;
		sweep->depth--;
	}
	return sweep_to(sweep, address);
}

static int sweep_open(struct sweep *sweep, const struct prefix4 *prefix)
{
	__u64 end = prefix->address + (1ULL << (32 - prefix->length));
	__u64 list = 1ULL << prefix->list;
	struct open_prefix *top;
	int err = sweep_close(sweep, prefix->address);

	if (err)
		return err;
	top = &sweep->stack[sweep->depth - 1];
	/* The list is known here already: a duplicate, or a wider prefix of the same list. */
	if ((top->lists & list))
		return 0;
	if (top->start == prefix->address && top->end == end) { /* the same prefix in another list */
		top->lists |= list;
		top->class = -1;
		return 0;
	}
	sweep->stack[sweep->depth++] =
		(struct open_prefix){.start = prefix->address, .end = end, .lists = top->lists | list, .class = -1};
	return 0;
}

static int sweep_all(const struct prefixes *prefixes, size_t first, struct classes *classes, __u64 background,
		     struct builder *builder)
{
	struct sweep sweep = {.builder = builder, .classes = classes, .depth = 1};
	int err = 0;

	sweep.stack[0] =
		(struct open_prefix){.end = 1ULL << 32, .lists = background, .class = builder->tables->v4_default};
	for (size_t i = first; !err && i < prefixes->v4_count; i++)
		err = sweep_open(&sweep, &prefixes->v4[i]);
	return err ? err : sweep_close(&sweep, 1ULL << 32);
}

static void set_ranks(struct tables *tables)
{
	__u32 rank = 0;

	for (unsigned word = 0; word < V4_WORDS; word++) {
		tables->v4_ranks[word] = rank;
		rank += (__u32)__builtin_popcountll(tables->v4_bits[word]);
	}
}

static void set_pairs(const struct pairs *pairs, struct tables *tables)
{
	for (unsigned i = 0; i < PAIR_SLOTS; i++) {
		const struct pair_slot *slot = &pairs->slots[i];

		if (slot->uses && slot->number < V4_PAIRS)
			tables->v4_pairs[slot->number] = slot->pair;
	}
}

static int build(const struct prefixes *prefixes, struct classes *classes, struct pairs *pairs, struct tables *tables)
{
	struct builder builder = {.tables = tables, .pairs = pairs};
	__u64 background = 0;
	size_t first = 0;
	int class, err;

	while (first < prefixes->v4_count && !prefixes->v4[first].length)
		background |= 1ULL << prefixes->v4[first++].list;
	class = class_of_lists(classes, background);
	if (class < 0)
		return class;
	tables->v4_default = (__u16) class;
	err = sweep_all(prefixes, first, classes, background, &builder);
	if (err || !pairs->refused || pairs->frozen)
		return err;

	pairs_keep_frequent(pairs);
	memset(tables->v4_bits, 0, V4_WORDS * sizeof(*tables->v4_bits));
	tables->v4_entry_count = tables->v4_mask_count = tables->v4_run_count = 0;
	builder.run_count = 0;
	return sweep_all(prefixes, first, classes, background, &builder);
}

int v4_build(struct prefixes *prefixes, struct classes *classes, struct tables *tables)
{
	struct pairs *pairs;
	int err;

	if (!prefixes->v4_count)
		return 0;
	err = sort_prefixes(prefixes->v4, prefixes->v4_count);
	if (err)
		return err;
	tables->v4_bits = calloc(V4_WORDS, sizeof(*tables->v4_bits));
	tables->v4_ranks = calloc(V4_WORDS, sizeof(*tables->v4_ranks));
	pairs = calloc(1, sizeof(*pairs));
	if (!tables->v4_bits || !tables->v4_ranks || !pairs) {
		free(pairs);
		return -ENOMEM;
	}
	err = build(prefixes, classes, pairs, tables);
	if (!err) {
		set_ranks(tables);
		set_pairs(pairs, tables);
	}
	free(pairs);
	return err;
}

/* ---- looking up ---- */

__u16 v4_class(const struct tables *tables, __u32 address)
{
	const struct v4_mask *mask;
	__u32 net = address >> 8, octet = address & 255, entry;
	__u64 word = tables->v4_bits ? tables->v4_bits[net / 64] : 0, bit = 1ULL << (net % 64);

	if (!(word & bit))
		return tables->v4_default;
	entry = tables->v4_entries[tables->v4_ranks[net / 64] + bits_set(word & (bit - 1))];
	mask = &tables->v4_masks[V4_ENTRY_INDEX(entry)];
	switch (V4_ENTRY_KIND(entry)) {
	case V4_CLASS:
		return (__u16)V4_ENTRY_INDEX(entry);
	case V4_HOSTS: {
		struct class_pair pair = tables->v4_pairs[(entry >> 24) % V4_PAIRS];

		return v4_hosts_hit(entry, octet) ? pair.on : pair.off;
	}
	case V4_MASK:
		return mask->bits[octet / 64] >> (octet % 64) & 1 ? mask->pair.on : mask->pair.off;
	default:
		return tables->v4_run_classes[v4_run_of(mask, octet)];
	}
}
