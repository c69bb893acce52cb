/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lookup tables: address -> class (the set of lists that cover it), one lookup however many lists
 * there are. Built by userspace/tables.c, immutable once live, read by bpf/lookup.h and userspace alike.
 *
 * IPv4: a bitmap of the 2^24 /24 networks, small enough for a second-level cache, so that a miss is one look at
 * 2 MiB; with ranks (a succinct bitmap) the entries are dense: memory follows the list, not the address space.
 *
 *   /24 number -> bit of v4_bits -> rank -> entry (u32):
 *
 *     kind 1  HOSTS   up to three host octets have class pair.on, the rest pair.off; a /24 of one class is a pair of
 *                     twice that class, so that nearly all entries are of this kind and nothing is mispredicted
 *     kind 0  CLASS   the whole /24 has one class, where no pair was left
 *     kind 2  MASK    a 256-bit mask: set octets have class pair.on, the rest pair.off
 *     kind 3  RUNS    stretches of octets, each with a class of its own
 *
 * IPv6: hashing by stems, the first 32 bits for prefixes of 32 to 64 bits, the first 64 bits for longer ones. A bitmap
 * of the stems of each kind answers most misses; then the lines of the stem hold the prefixes that share it, with their
 * full keys: exact, no fingerprints. What does not fit there is hashed by its own length: prefixes of stems with very
 * many, and, when there are many of them, those shorter than 32. Masks hashed by the first 32 and 48 bits (16 for
 * the short ones) say which of these lengths can match (false positives possible, false negatives not), and the
 * longest match is looked for. A prefix carries the class of all lists that cover it, so only the longest match
 * matters.
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
#define V4_WORDS (V4_NETS / 64) /* of v4_bits; bit n % 64 of word n / 64: the n-th /24 has an entry */
/* v4_ranks has as many items: the bits set before each word, that is the index of its first entry. */

#define V4_ENTRY_KIND(entry) ((entry) >> 30)
#define V4_ENTRY_INDEX(entry) ((entry)&0x3fffffffu)
#define V4_ENTRY(kind, index) (((__u32)(kind) << 30) | (__u32)(index))
enum { V4_CLASS = 0, V4_HOSTS = 1, V4_MASK = 2, V4_RUNS = 3 };
/* V4_HOSTS: [kind:2][pair:6][octet:8][octet:8][octet:8]; an octet may stand twice when there are fewer than three */
#define V4_HOSTS_ENTRY(pair, a, b, c)                                                                                  \
	V4_ENTRY(V4_HOSTS, ((__u32)(pair) << 24) | ((__u32)(a) << 16) | ((__u32)(b) << 8) | (__u32)(c))
#define V4_PAIRS 64

struct class_pair {
	__u16 off, on;
};
_Static_assert(sizeof(struct class_pair) == 4, "off in the low half, on in the high half (bpf/lookup.h)");

/* Of V4_MASK and V4_RUNS alike. */
struct v4_mask {
	__u64 bits[4]; /* MASK: octets of class pair.on; RUNS: octets where a run starts, 0 always */
	union {
		struct class_pair pair; /* MASK */
		__u32 first;		/* RUNS: index in v4_run_classes of the class of the first run */
	};
	__u8 rank[4]; /* RUNS: bits set before each word */
};
_Static_assert(sizeof(struct v4_mask) == 40, "v4_mask is shared with the kernel side");

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

/* 1 when octet is one of the three, without a branch to predict: x - 1 has its sign bit set only for x = 0. */
static inline __attribute__((always_inline)) __u32 v4_hosts_hit(__u32 entry, __u32 octet)
{
	__u64 a = (entry & 0xff) ^ octet, b = ((entry >> 8) & 0xff) ^ octet, c = ((entry >> 16) & 0xff) ^ octet;

	return ((a - 1) | (b - 1) | (c - 1)) >> 63;
}

/* ---- IPv6 ---- */

/* The lengths that are hashed by length are numbered from the longest to the shortest, so the lowest set bit of a mask
 * of length numbers is the longest match still possible. At most 64 lengths: with more, the builder expands the odd
 * ones by a bit. A ::/0 is not in the tables, it is the class generation_config.v6_default. */
#define V6_LENGTHS 64

#define V6_STEM 32
/* Of 33 to 64 bits, that one stem has in its lines; with more, they are hashed by length. */
#define V6_STEM_PREFIXES 5
#define V6_WIDE_STEM 64
#define V6_WIDE_STEM_PREFIXES 3 /* likewise, of 65 to 128 bits */

#define V6_SHORT_MASKS                                                                                                 \
	65536u /* index: first 16 bits; the lengths below 32, unless they are few and written out as /32 */
/* v6_mask32, v6_mask48: u16 indices into v6_masks, the different masks that occur ([0] is 0). v6_mask32 has the lengths
 * above 32 that are hashed by length; v6_mask48 those of them above 48. */

struct v6_line64 { /* prefixes of length 1..64 */
	__u64 key[5];
	__u16 class[5];
	__u8 length[5]; /* 0: free */
	__u8 more;	/* not 0: this line overflowed, its keys go on in the next line */
	__u8 by_length; /* not 0: a stem whose first line this is has prefixes that are hashed by length */
	__u8 unused[7];
};
_Static_assert(sizeof(struct v6_line64) == 64, "one cache line");

struct v6_line128 { /* prefixes of length 65..128 */
	__u64 high[3], low[3];
	__u16 class[3];
	__u8 length[3];
	__u8 more;
	__u8 by_length;
	__u8 unused[5];
};
_Static_assert(sizeof(struct v6_line128) == 64, "one cache line");

#define V6_PROBES 8 /* lines looked at for one key at most; the builder enlarges the table otherwise */

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

/* A place in a table of any size for a hash (Lemire 2016): no power of two, so tables grow by little. */
static inline __attribute__((always_inline)) __u32 hash_slot(__u32 hash, __u32 size)
{
	return ((__u64)hash * size) >> 32;
}

/* The place in v6_bits and v6_wide_bits, by other bits of the hash than the place among the lines. */
static inline __attribute__((always_inline)) __u32 v6_bit_of(__u32 hash, __u32 size)
{
	return hash_slot(hash << 16 | hash >> 16, size);
}

/* The mask of the first length bits of a 64-bit word; length 0 gives 0, 64 and above give all ones. */
static inline __attribute__((always_inline)) __u64 prefix_mask64(__u32 length)
{
	if (!length)
		return 0;
	if (length >= 64)
		return ~0ULL;
	return ~0ULL << (64 - length);
}

#endif
