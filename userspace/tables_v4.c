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

/* ---- pairs of classes ---- */

/* A table of all pairs met, the first V4_PAIRS of which an entry can name; number 0 is the default class twice. When
 * more are met than that, the sweep is done once more with the most frequent ones. */
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

static void pairs_begin(struct pairs *pairs, __u16 class)
{
	struct pair_slot *slot = pair_find(pairs, class, class);

	slot->uses = ~0u; /* whatever is frequent, it stays number 0 */
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
	size_t item_count, chunk_capacity, mask_capacity, run_capacity;
	__u32 twos[V4_BLOCK_NETS]; /* of the block that is being written */
	unsigned two_count;
	unsigned blocks_begun;
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

static int chunk_add(struct builder *builder)
{
	struct tables *tables = builder->tables;
	int err = reserve((void **)&tables->v4_compact, sizeof(*tables->v4_compact), tables->v4_compact_chunks + 1,
			  &builder->chunk_capacity);

	if (!err)
		memset(&tables->v4_compact[tables->v4_compact_chunks++], 0, sizeof(*tables->v4_compact));
	return err;
}

static int item_add(struct builder *builder, __u32 item)
{
	int err = builder->item_count % V4_CHUNK ? 0 : chunk_add(builder);

	if (err)
		return err;
	builder->tables->v4_compact[builder->item_count / V4_CHUNK].item[builder->item_count % V4_CHUNK] = (__u16)item;
	builder->item_count++;
	return 0;
}

/* The networks of the last block are all known: what those with two nodes say comes behind its entries. */
static int block_close(struct builder *builder)
{
	int err = builder->two_count && builder->item_count % 2 ? item_add(builder, 0) : 0;

	if (builder->two_count)
		builder->tables->v4_blocks[builder->blocks_begun - 1].first_two = (__u32)builder->item_count;
	for (unsigned i = 0; !err && i < builder->two_count; i++) {
		err = item_add(builder, builder->twos[i] & 0xffff);
		err = err ? err : item_add(builder, builder->twos[i] >> 16);
	}
	builder->two_count = 0;
	return err;
}

/* Blocks up to that of a network know what comes before them. Networks come in order. */
static int blocks_begin(struct builder *builder, __u32 net)
{
	struct tables *tables = builder->tables;
	int err = builder->blocks_begun <= net / V4_BLOCK_NETS ? block_close(builder) : 0;

	for (; builder->blocks_begun <= net / V4_BLOCK_NETS; builder->blocks_begun++) {
		tables->v4_blocks[builder->blocks_begun].first_entry = (__u32)builder->item_count;
		tables->v4_blocks[builder->blocks_begun].first_mask = (__u32)tables->v4_mask_count;
	}
	return err;
}

/* The same in 16 bits. */
static __u32 short_entry(struct builder *builder, __u32 entry)
{
	__u32 one = V4_ENTRY_NODE(entry), other = V4_ENTRY_NODE(entry >> V4_NODE_BITS);

	if (!one)
		return V4_SHORT_MASK(V4_ENTRY_INDEX(entry));
	if (one == other)
		return V4_SHORT(V4_ENTRY_PAIR(entry), one);
	builder->twos[builder->two_count] = entry;
	return V4_SHORT_TWO(builder->two_count++);
}

static int compact_add(struct builder *builder, __u32 net, __u32 entry)
{
	struct v4_block *block = &builder->tables->v4_blocks[net / V4_BLOCK_NETS];
	__u64 *word = &block->word[v4_word_of(net) % V4_BLOCK_WORDS];

	if (!(*word & ((1ULL << V4_WORD_NETS) - 1)))
		*word = (builder->item_count - block->first_entry) << V4_WORD_NETS;
	*word |= 1ULL << (net % V4_WORD_NETS);
	return item_add(builder, short_entry(builder, entry));
}

static int entry_add(struct builder *builder, __u32 net, __u32 entry)
{
	struct tables *tables = builder->tables;
	int err = blocks_begin(builder, net);

	if (err)
		return err;
	if (!tables->v4_direct)
		return compact_add(builder, net, entry);
	tables->v4_direct[net / V4_CHUNK].entry[net % V4_CHUNK] = entry ^ V4_NOTHING;
	return 0;
}

/* A record for the network, whose block has begun, and the entry that names it. */
static int mask_add(struct builder *builder, __u32 net, unsigned kind, struct v4_mask **mask, __u32 *entry)
{
	struct tables *tables = builder->tables;
	int err =
		reserve((void **)&tables->v4_masks, sizeof(**mask), tables->v4_mask_count + 1, &builder->mask_capacity);

	if (err)
		return err;
	*entry = V4_ENTRY_MASK(tables->v4_mask_count - tables->v4_blocks[net / V4_BLOCK_NETS].first_mask);
	*mask = &tables->v4_masks[tables->v4_mask_count++];
	memset(*mask, 0, sizeof(**mask));
	(*mask)->kind = kind;
	return 0;
}

static int mask_entry(struct builder *builder, __u32 net, __u16 off, __u16 on, __u32 *entry)
{
	struct v4_mask *mask;
	int err = mask_add(builder, net, V4_MASK, &mask, entry);

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

static int runs_entry(struct builder *builder, __u32 net, __u32 *entry)
{
	struct tables *tables = builder->tables;
	struct v4_mask *mask;
	int err = reserve((void **)&tables->v4_run_classes, sizeof(*tables->v4_run_classes),
			  tables->v4_run_count + builder->run_count, &builder->run_capacity);

	if (!err)
		err = mask_add(builder, net, V4_RUNS, &mask, entry);
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

/* A /24 of one class. */
static int whole_entry(struct builder *builder, __u32 net, __u16 class, __u32 *entry)
{
	int pair = pair_number(builder->pairs, builder->tables->v4_default, class);

	if (pair < 0) {
		builder->run_count = 0; /* no octet differs */
		return mask_entry(builder, net, class, class, entry);
	}
	*entry = V4_ENTRY(pair, V4_NODE_WHOLE, V4_NODE_WHOLE, 0);
	return 0;
}

#define NODES_MAX 3 /* an entry of the direct layout has room for two, and a host */

static void swap_nodes(__u32 *one, __u32 *other)
{
	__u32 swap = *one;

	*one = *other;
	*other = swap;
}

/* Splits [start, end) into prefixes, behind the count that are there; at most one more than fit are told. */
static unsigned nodes_of_run(unsigned start, unsigned end, __u32 nodes[NODES_MAX + 1], unsigned count)
{
	while (start < end && count <= NODES_MAX) {
		unsigned size = start ? start & -start : 256;

		while (size > end - start)
			size /= 2;
		nodes[count++] = V4_NODE(start, 8 - __builtin_ctz(size));
		start += size;
	}
	return count;
}

static unsigned nodes_of_class(const struct builder *builder, __u16 class, __u32 nodes[NODES_MAX + 1])
{
	unsigned count = 0;

	for (unsigned i = 0; i < builder->run_count; i++) {
		unsigned end = i + 1 < builder->run_count ? builder->runs[i + 1].start : 256;

		if (builder->runs[i].class == class)
			count = nodes_of_run(builder->runs[i].start, end, nodes, count);
	}
	return count;
}

static unsigned node_octet(__u32 node)
{
	return (node & (node - 1)) >> 1;
}

/* The entry that says that these nodes are of class on; false where they have no room in one. */
static bool nodes_entry(struct builder *builder, __u16 off, __u16 on, __u32 nodes[NODES_MAX + 1], unsigned count,
			__u32 *entry)
{
	unsigned host = 2;
	int pair;

	if (count > (builder->tables->v4_direct ? 3 : 2))
		return false;
	for (; count < NODES_MAX; count++)
		nodes[count] = nodes[count - 1];
	for (unsigned i = 0; i < 2; i++)
		if (V4_NODE(node_octet(nodes[i]), 8) == nodes[i])
			host = i;
	/* the third is a host, or the same as the second: its first octet is covered anyway */
	if (nodes[2] != nodes[1] && V4_NODE(node_octet(nodes[2]), 8) != nodes[2]) {
		if (host == 2)
			return false;
		swap_nodes(&nodes[host], &nodes[2]);
	}
	pair = pair_number(builder->pairs, off, on);
	if (pair < 0)
		return false;
	*entry = V4_ENTRY(pair, nodes[0], nodes[1], builder->tables->v4_direct ? node_octet(nodes[2]) : 0);
	return true;
}

/* The two classes of the runs, or 3 when there are more of them. */
static unsigned classes_of_runs(const struct builder *builder, __u16 class[2])
{
	unsigned count = 0;

	for (unsigned i = 0; i < builder->run_count; i++) {
		unsigned which = 0;

		while (which < count && class[which] != builder->runs[i].class)
			which++;
		if (which == 2)
			return 3;
		if (which == count)
			class[count++] = builder->runs[i].class;
	}
	return count;
}

/* Two classes share the network: the prefixes of one are written down, rather not of the default one. */
static int shared_entry(struct builder *builder, __u32 net, const __u16 class[2], __u32 *entry)
{
	unsigned first = class[0] == builder->tables->v4_default;

	for (unsigned i = 0; i < 2; i++) {
		__u32 nodes[NODES_MAX + 1];
		unsigned on = first ^ i, count = nodes_of_class(builder, class[on], nodes);

		if (nodes_entry(builder, class[!on], class[on], nodes, count, entry))
			return 0;
	}
	return mask_entry(builder, net, class[!first], class[first], entry);
}

/* The /24 is complete: the smallest entry that says what its runs say. */
static int net_close(struct builder *builder, __u32 net)
{
	__u16 class[2] = {0};
	unsigned classes = classes_of_runs(builder, class);
	__u32 entry = 0;
	int err = 0;

	if (classes > 1 || class[0] != builder->tables->v4_default) {
		err = blocks_begin(builder, net);
		if (!err && classes == 1)
			err = whole_entry(builder, net, class[0], &entry);
		else if (!err)
			err = classes == 2 ? shared_entry(builder, net, class, &entry)
					   : runs_entry(builder, net, &entry);
		err = err ? err : entry_add(builder, net, entry);
	}
	builder->run_count = 0;
	return err;
}

static void run_add(struct builder *builder, unsigned octet, __u16 class)
{
	if (builder->run_count && builder->runs[builder->run_count - 1].class == class)
		return;
	builder->runs[builder->run_count++] = (struct run){.start = (__u16)octet, .class = class};
}

/* Whole networks of one class; a record that one of them needs serves the others of its block. */
static int whole_nets(struct builder *builder, __u32 first, __u32 end, __u16 class)
{
	__u32 entry = 0;
	int err = 0;

	for (__u32 net = first; !err && net < end; net++) {
		if (net == first || net % V4_BLOCK_NETS == 0) {
			err = blocks_begin(builder, net);
			err = err ? err : whole_entry(builder, net, class, &entry);
		}
		err = err ? err : entry_add(builder, net, entry);
	}
	return err;
}

/* The addresses from start up to before end are of one class. Stretches come in order, without gaps. */
static int stretch(struct builder *builder, __u64 start, __u64 end, __u16 class)
{
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
		err = whole_nets(builder, (__u32)(start >> 8), (__u32)(end >> 8), class);
		if (err)
			return err;
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

static void set_pairs(const struct pairs *pairs, struct tables *tables)
{
	for (unsigned i = 0; i < PAIR_SLOTS; i++) {
		const struct pair_slot *slot = &pairs->slots[i];

		if (slot->uses && slot->number < V4_PAIRS)
			tables->v4_pairs[slot->number] = slot->pair;
	}
}

/* How many /24 networks the prefixes touch, at most: those that lie in several prefixes may count several times. */
static size_t nets_touched(const struct prefix4 *items, size_t count)
{
	size_t nets = 0;

	for (size_t i = 0; i < count; i++) {
		if (items[i].length <= 24)
			nets += 1u << (24 - items[i].length);
		else
			nets += !i || items[i].address >> 8 != items[i - 1].address >> 8;
	}
	return nets;
}

/* All blocks, and the entries in the layout that suits. */
static int layout_begin(const struct prefixes *prefixes, size_t first, struct tables *tables)
{
	bool direct = nets_touched(prefixes->v4 + first, prefixes->v4_count - first) > V4_COMPACT_NETS;

	free(tables->v4_blocks);
	free(tables->v4_direct);
	tables->v4_direct = NULL;
	tables->v4_compact_chunks = tables->v4_mask_count = tables->v4_run_count = 0;
	tables->v4_blocks = calloc(V4_BLOCKS, sizeof(*tables->v4_blocks));
	if (direct)
		tables->v4_direct = calloc(V4_NETS / V4_CHUNK, sizeof(*tables->v4_direct));
	return tables->v4_blocks && (tables->v4_direct || !direct) ? 0 : -ENOMEM;
}

static int sweep_once(const struct prefixes *prefixes, size_t first, struct classes *classes, __u64 background,
		      struct builder *builder)
{
	int err = layout_begin(prefixes, first, builder->tables);

	builder->item_count = builder->two_count = builder->blocks_begun = builder->run_count = 0;
	if (!err)
		err = sweep_all(prefixes, first, classes, background, builder);
	if (!err)
		err = blocks_begin(builder, V4_NETS - 1);
	return err ? err : block_close(builder);
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
	pairs_begin(pairs, tables->v4_default);
	err = sweep_once(prefixes, first, classes, background, &builder);
	if (err || !pairs->refused || pairs->frozen)
		return err;

	pairs_keep_frequent(pairs);
	builder.chunk_capacity = 0;
	free(tables->v4_compact);
	tables->v4_compact = NULL;
	return sweep_once(prefixes, first, classes, background, &builder);
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
	pairs = calloc(1, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	err = build(prefixes, classes, pairs, tables);
	if (!err)
		set_pairs(pairs, tables);
	free(pairs);
	return err;
}

/* ---- looking up ---- */

static __u32 v4_item(const struct tables *tables, __u32 index)
{
	return tables->v4_compact[index / V4_CHUNK].item[index % V4_CHUNK];
}

/* The entry of a network, as bpf/lookup.h reads it; one of 16 bits as if it were of the direct layout. */
static __u32 v4_entry(const struct tables *tables, const struct v4_block *block, __u32 net)
{
	__u64 word = block->word[v4_word_of(net) % V4_BLOCK_WORDS], bit = 1ULL << (net % V4_WORD_NETS);
	__u32 entry, two;

	if (tables->v4_direct)
		return tables->v4_direct[net / V4_CHUNK].entry[net % V4_CHUNK] ^ V4_NOTHING;
	if (!(word & bit))
		return V4_NOTHING;
	entry = v4_item(tables, block->first_entry + (__u32)(word >> V4_WORD_NETS) + bits_set(word & (bit - 1)));
	if (V4_SHORT_IS_PLAIN(entry))
		return V4_ENTRY(V4_SHORT_PAIR(entry), entry & V4_NODE_MASK, entry & V4_NODE_MASK, 0);
	if (!V4_SHORT_IS_TWO(entry))
		return V4_ENTRY_MASK(V4_SHORT_INDEX(entry));
	two = block->first_two + 2 * V4_SHORT_INDEX(entry);
	return v4_item(tables, two) | v4_item(tables, two + 1) << 16;
}

__u16 v4_class(const struct tables *tables, __u32 address)
{
	__u32 net = address >> 8, octet = address & 255, entry;
	const struct v4_block *block;
	const struct v4_mask *mask;
	struct class_pair pair;

	if (!tables->v4_blocks)
		return tables->v4_default;
	block = &tables->v4_blocks[net / V4_BLOCK_NETS];
	entry = v4_entry(tables, block, net);
	if (V4_ENTRY_NODE(entry)) {
		pair = tables->v4_pairs[V4_ENTRY_PAIR(entry)];
		return v4_entry_hit(entry, octet, tables->v4_direct != NULL) ? pair.on : pair.off;
	}
	mask = &tables->v4_masks[block->first_mask + V4_ENTRY_INDEX(entry)];
	if (mask->kind == V4_RUNS)
		return tables->v4_run_classes[v4_run_of(mask, octet)];
	return mask->bits[octet / 64] >> (octet % 64) & 1 ? mask->pair.on : mask->pair.off;
}
