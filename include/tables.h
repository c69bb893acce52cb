/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lookup tables: address -> class (the set of lists that cover it), one lookup however many lists
 * there are. Built by userspace/tables.c, immutable once live, read by bpf/lookup.h and userspace alike.
 *
 * IPv4: what a /24 says stands in one entry. Two layouts, chosen by how many /24 networks the lists touch:
 *
 *   compact   a bitmap of the 2^24 networks with the rank of each word inside it, then the entries of those that have
 *             one, 2 bytes each. A million mixed prefixes take 5.2 MiB, which a last-level cache holds: what counts is
 *             how much memory a flood of all the sources of a list goes through, not how many reads one of them makes.
 *             Bits and entries together, a line for 64 networks, would save a hit a read; but then those who are in no
 *             list, of whom spoofed floods are made, go through all of it, and not through the bitmap alone.
 *
 *             /24 number -> word of 48 networks, with its rank in its block -> rank -> entry
 *
 *   direct    an entry of 4 bytes for every network, 64 MiB: one read, when nearly every network has an entry anyway.
 *
 * An entry names a pair of classes and prefixes of /24 to /32 (a node each) that have class pair.on; the rest of the
 * /24 has pair.off. In the compact layout one node has room in it, and two nodes stand behind the entries of the block;
 * in the direct one there is room for two, and for one more host of class pair.on. What has no room is in a record of
 * v4_masks, which the entry names:
 *
 *   MASK    a 256-bit mask: set octets have class pair.on, the rest pair.off
 *   RUNS    stretches of octets, each with a class of its own
 *
 * Nothing on the way to a class depends on a branch that is hard to predict while the entry is still on its way: a
 * wrong guess there costs the whole latency again. (Reading some entry also where there is none costs more than it
 * saves.)
 *
 * IPv6: hashing by stems, the first 32 bits for prefixes of 32 to 47 bits, the first 48 for those of 48 to 64, the
 * first 64 for longer ones. A bitmap of the first 16 bits answers for most addresses that nobody was given, of which a
 * spoofed flood is made, bitmaps of the stems answer most other misses; then the lines of the stem hold the prefixes
 * that share it, exact, no fingerprints, and one read past the bitmap for nearly every hit. Many of 48 to 64 bits stand
 * in lines of their own, in 8 bytes each: what the place of an entry says of its stem is not written in it. What does
 * not fit there is hashed by its own length: prefixes of stems with very many, and, when there are many of them, those
 * shorter than 32. Masks hashed by the first 32 and 48 bits (16 for the short ones) say which of these lengths can
 * match (false positives possible, false negatives not), and the longest match is looked for. A prefix carries the
 * class of all lists that cover it, so only the longest match matters.
 *
 * Small items stand in lines of 64 bytes, because an array map pads each of its values to 8 bytes.
 *
 * Classes are u16 indices into the classes of the generation; class 0 is "in no list".
 */
#ifndef BULWARK_TABLES_H
#define BULWARK_TABLES_H

#define CLASS_NONE 0
#define CLASS_LIMIT 65536

#define U32_ITEMS 16u
#define U16_ITEMS 32u
struct u32_line {
	__u32 item[U32_ITEMS];
};
struct u16_line {
	__u16 item[U16_ITEMS];
};

/* ---- IPv4 ---- */

#define V4_NETS (1u << 24)
#define V4_WORD_NETS 48u
#define V4_WORDS ((V4_NETS + V4_WORD_NETS - 1) / V4_WORD_NETS)
#define V4_BLOCK_WORDS 256u
#define V4_BLOCK_NETS (V4_BLOCK_WORDS * V4_WORD_NETS)
#define V4_BLOCKS ((V4_NETS + V4_BLOCK_NETS - 1) / V4_BLOCK_NETS)

/* A word: bit n of the lower 48: the n-th /24 of the word has an entry; the upper 16: the entries of the block before.
 */
struct v4_block {
	__u32 first_entry, first_mask; /* entries and masks of all blocks before */
	__u32 first_two;	       /* where those with two nodes go on: an even number of an item of v4_compact */
	__u32 unused;
	__u64 word[V4_BLOCK_WORDS]; /* unused in the direct layout */
};
_Static_assert(sizeof(struct v4_block) == 16 + 8 * V4_BLOCK_WORDS, "v4_block is shared with the kernel side");

/* The word of a /24: its number divided by 48, exact for all 2^24 (the error of the factor, 32 / 2^32, stays below). */
static inline __attribute__((always_inline)) __u32 v4_word_of(__u32 net)
{
	return (__u64)net * 89478486u >> 32;
}

#define V4_CHUNK 4096u /* items to a value of the map */
/* An item: an entry of 16 bits: [0][pair:6][node:9]; or [1][0][mask of the block:14]; or [1][1][two:14]: the two-th of
 * the block that has two nodes. Or half of what one of those says: a direct entry without a host. */
struct v4_compact_chunk {
	__u16 item[V4_CHUNK];
	__u8 unused[8]; /* two items are read at a time */
};
#define V4_SHORT(pair, node) ((__u32)(pair) << V4_NODE_BITS | (__u32)(node))
#define V4_SHORT_MASK(index) (0x8000u | (__u32)(index))
#define V4_SHORT_TWO(index) (0xc000u | (__u32)(index))
#define V4_SHORT_IS_PLAIN(entry) (!((entry)&0x8000))
#define V4_SHORT_IS_TWO(entry) ((entry)&0x4000)
#define V4_SHORT_PAIR(entry) ((entry) >> V4_NODE_BITS & (V4_PAIRS - 1))
#define V4_SHORT_INDEX(entry) ((entry)&0x3fff)
_Static_assert(V4_BLOCK_NETS <= 0x4000, "an entry can name a mask of its block");

/* An entry of the direct layout: [host:8][pair:6][node:9][node:9]; or [mask of the block:15][0:9]. In memory, each is
 * xor-ed with V4_NOTHING, so that memory never written says nothing: all of it is of pair 0, the class of no list or of
 * /0. */
struct v4_direct_chunk {
	__u32 entry[V4_CHUNK];
};
/* More /24 networks touched than this: direct. Compact would save less than half of the memory then, for two reads. */
#define V4_COMPACT_NETS (3u << 20)

#define V4_NODE_BITS 9
#define V4_NODE_MASK 0x1ffu
/* A prefix of 24 + bits from octet on: the octet doubled, and the bit below its last one as the mark of its length. */
#define V4_NODE(octet, bits) ((__u32)(octet) << 1 | 1u << (8 - (bits)))
#define V4_NODE_WHOLE V4_NODE(0, 0)
#define V4_ENTRY(pair, one, other, host)                                                                               \
	((__u32)(host) << 24 | (__u32)(pair) << (2 * V4_NODE_BITS) | (__u32)(one) << V4_NODE_BITS | (__u32)(other))
#define V4_ENTRY_MASK(index) ((__u32)(index) << V4_NODE_BITS)
#define V4_ENTRY_NODE(entry) ((entry)&V4_NODE_MASK)
#define V4_ENTRY_PAIR(entry) ((entry) >> (2 * V4_NODE_BITS) & (V4_PAIRS - 1))
#define V4_ENTRY_INDEX(entry) ((entry) >> V4_NODE_BITS & 0x7fff)
#define V4_NOTHING V4_ENTRY(0, V4_NODE_WHOLE, V4_NODE_WHOLE, 0)
#define V4_PAIRS 64 /* [0]: the default class, twice */

struct class_pair {
	__u16 off, on;
};
_Static_assert(sizeof(struct class_pair) == 4, "off in the low half, on in the high half (bpf/lookup.h)");

enum { V4_MASK = 0, V4_RUNS = 1 };
struct v4_mask {
	__u64 bits[4]; /* MASK: octets of class pair.on; RUNS: octets where a run starts, 0 always */
	union {
		struct class_pair pair; /* MASK */
		__u32 first;		/* RUNS: index in v4_run_classes of the class of the first run */
	};
	__u8 rank[4]; /* RUNS: bits set before each word */
	__u32 kind;
	__u32 unused;
};
_Static_assert(sizeof(struct v4_mask) == 48, "v4_mask is shared with the kernel side");

/* No instruction of BPF counts bits (Knuth 4A, 7.1.3: the sideways addition). */
static inline __attribute__((always_inline)) __u32 bits_set(__u64 word)
{
	word -= (word >> 1) & 0x5555555555555555ULL;
	word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (word * 0x0101010101010101ULL) >> 56;
}

/* The index in v4_run_classes of an octet's class. */
static inline __attribute__((always_inline)) __u32 v4_run_of(const struct v4_mask *mask, __u32 octet)
{
	__u32 word = (octet >> 6) & 3;

	return mask->first + bits_set(mask->bits[word] & ((2ULL << (octet & 63)) - 1)) + mask->rank[word] - 1;
}

/* The bits of octet that a node asks for and that differ; 0: it covers the octet. */
static inline __attribute__((always_inline)) __u64 v4_node_misses(__u64 node, __u64 octet)
{
	return (octet << 1 ^ node) & ~(node ^ (node - 1));
}

/* 1 when the node covers octet, without a branch: x - 1 has its sign bit set only for x = 0. */
static inline __attribute__((always_inline)) __u32 v4_node_hit(__u64 node, __u64 octet)
{
	return (v4_node_misses(node, octet) - 1) >> 63;
}

/* 1 when one of the nodes of an entry of 32 bits covers octet, or host is it. */
static inline __attribute__((always_inline)) __u32 v4_entry_hit(__u32 entry, __u32 octet, int direct)
{
	__u64 one = v4_node_misses(entry & V4_NODE_MASK, octet);
	__u64 other = v4_node_misses(entry >> V4_NODE_BITS & V4_NODE_MASK, octet);
	__u64 host = direct ? entry >> 24 ^ octet : 1;

	return ((one - 1) | (other - 1) | (host - 1)) >> 63;
}

/* ---- IPv6 ---- */

/* The lengths that are hashed by length are numbered from the longest to the shortest, so the lowest set bit of a mask
 * of length numbers is the longest match still possible. At most 64 lengths: with more, the builder expands the odd
 * ones by a bit. A ::/0 is not in the tables, it is the class generation_config.v6_default. */
#define V6_LENGTHS 64

/* The first 16 bits of every prefix of 32 bits or more. Of these few are given out: 8 KiB, of which a flood goes
 * through one. */
struct v6_head_bits {
	__u64 word[1024];
};
_Static_assert(sizeof(struct v6_head_bits) * 8 == 1 << 16, "a bit for each");

#define V6_STEM 32
#define V6_DEEP_STEM 48
#define V6_WIDE_STEM 64
/* v6_bits has two bits for the first 32 of an address: some prefix begins so; one of 32 to 47 bits does. */
#define V6_STEM_KNOWN 1u
#define V6_STEM_SHORT 2u
/* So many longer prefixes one stem has in its lines; with more, they are hashed by length. */
#define V6_STEM_PREFIXES 5 /* of the stems of 32 and 48 bits */
#define V6_WIDE_STEM_PREFIXES 3

#define V6_SHORT_MASKS                                                                                                 \
	65536u /* index: first 16 bits; the lengths below 32, unless they are few and written out as /32 */
/* v6_mask32, v6_mask48: u16 indices into v6_masks, the different masks that occur ([0] is 0). v6_mask32 has the lengths
 * above 32 that are hashed by length; v6_mask48 those of them above 48. */

#define V6_PROBES 8 /* lines looked at for one key at most; the builder enlarges the table otherwise */

struct v6_line64 { /* prefixes of length 1..64 */
	__u64 key[5];
	__u16 class[5];
	__u8 length[5]; /* 0: free */
	__u8 more;	/* not 0: this line overflowed, its keys go on in the next line */
	__u8 by_length; /* not 0: a stem whose first line this is has prefixes that are hashed by length */
	__u8 unused[7];
};
_Static_assert(sizeof(struct v6_line64) == 64, "one cache line");

/*
 * Many prefixes of 48 to 64 bits, by their stem. The stem's hash is a permutation of 48 bits, whose upper ones say
 * which line: the lower ones, with the place, are the stem again, so these are what an entry holds. Which entries are
 * compared have hashes within 2 * V6_PROBES lines of each other, less than 2^40 in all. Where classes are too many for
 * an entry, or prefixes too few for so many lines, all are in v6_lines64.
 *
 * entry: [class:6][mark:1][hash:40][node:17]; node as that of IPv4, of the 16 bits behind the stem; 0: free
 * mark: of the first entry: this line overflowed; of the second: as by_length below
 */
#define V6_DEEP_KEYS 8
struct v6_deep_line {
	__u64 entry[V6_DEEP_KEYS];
};
_Static_assert(sizeof(struct v6_deep_line) == 64, "one cache line");

#define V6_DEEP_NODE_BITS 17
#define V6_DEEP_HASH_MASK ((1ULL << 40) - 1)
#define V6_DEEP_MARK (1ULL << 57)
#define V6_DEEP_CLASS_SHIFT 58
#define V6_DEEP_CLASSES 64
#define V6_DEEP_MORE 0	    /* whose mark says so */
#define V6_DEEP_BY_LENGTH 1 /* likewise */
#define V6_DEEP_LINES 64u   /* lines come in so many */
#define V6_DEEP_LINES_LEAST 8192u
_Static_assert((1ULL << 48) / V6_DEEP_LINES_LEAST * 2 * V6_PROBES < V6_DEEP_HASH_MASK,
	       "hashes that meet differ in an entry");

struct v6_line128 { /* prefixes of length 65..128 */
	__u64 high[3], low[3];
	__u16 class[3];
	__u8 length[3];
	__u8 more;
	__u8 by_length;
	__u8 unused[5];
};
_Static_assert(sizeof(struct v6_line128) == 64, "one cache line");

/* Mixes a masked key with its length under the generation's seed (the finalizer of MurmurHash3, public domain).
 * The tables are immutable and probing is bounded, so a flood gains nothing from collisions; the seed keeps a
 * hostile feed from making the builder fail. high and low in host order, masked to length. */
static inline __attribute__((always_inline)) __u32 v6_hash(__u64 high, __u64 low, __u32 length, __u64 seed)
{
	__u64 h = high ^ seed;

	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
	h ^= low + length;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 32);
}

/* The hash of a stem of 48 bits in v6_deep_lines: each step can be undone. */
static inline __attribute__((always_inline)) __u64 v6_deep_hash(__u64 high, __u64 seed)
{
	__u64 most = (1ULL << 48) - 1, h = (high >> 16 ^ seed) & most;

	h = (h ^ (h >> 25)) * 0xff51afd7ed558ccdULL & most;
	h = (h ^ (h >> 25)) * 0xc4ceb9fe1a85ec53ULL & most;
	return h ^ (h >> 24);
}

/* What an entry has where its prefix is all 64 bits of an address, without mark and class. */
static inline __attribute__((always_inline)) __u64 v6_deep_entry(__u64 hash, __u64 high)
{
	return (hash & V6_DEEP_HASH_MASK) << V6_DEEP_NODE_BITS | (high & 0xffff) << 1 | 1;
}

/* All ones when an entry covers the address whose v6_deep_entry() it is compared with, else 0, without a branch. A free
 * one does, with class 0. */
static inline __attribute__((always_inline)) __u64 v6_deep_covers(__u64 entry, __u64 wanted)
{
	__u64 differs = (entry ^ wanted) & (entry ^ -entry) & (V6_DEEP_MARK - 1);

	return (__u64)((__s64)(differs - 1) >> 63);
}

/* A place in a table of any size for a hash (Lemire 2016): no power of two, so tables grow by little. */
static inline __attribute__((always_inline)) __u32 hash_slot(__u32 hash, __u32 size)
{
	return ((__u64)hash * size) >> 32;
}

/* The place in the bitmaps of stems, by other bits of the hash than the place among the lines. */
static inline __attribute__((always_inline)) __u32 v6_bit_of(__u32 hash, __u32 size)
{
	return hash_slot(hash << 16 | hash >> 16, size);
}

/* The mask of the first length bits of a 64-bit word; length 0 gives 0, 64 and above give all ones. Without a branch:
 * each would double the ways that the verifier follows through a loop over lengths. */
static inline __attribute__((always_inline)) __u64 prefix_mask64(__u32 length)
{
	__s64 most = 63 - (__s64)length;

	return ~0ULL << 1 << (most & 63) | (__u64)(most >> 63);
}

#endif
