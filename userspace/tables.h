/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Builds the lookup tables of include/tables.h from the prefixes of all lists. Pure. */
#ifndef BULWARK_USERSPACE_TABLES_H
#define BULWARK_USERSPACE_TABLES_H

#include <linux/types.h>

#include "../include/tables.h"
#include "feed.h"

struct tables {
	/* class -> set of lists, [0] is 0; class_count at most CLASS_LIMIT */
	__u64 *class_lists;
	size_t class_count;

	struct v4_block *v4_blocks;	     /* V4_BLOCKS, or NULL when there is no IPv4 prefix */
	struct v4_compact_chunk *v4_compact; /* one of these two, or NULL */
	size_t v4_compact_chunks;
	struct v4_direct_chunk *v4_direct;
	struct v4_mask *v4_masks;
	size_t v4_mask_count;
	__u16 *v4_run_classes;
	size_t v4_run_count;
	struct class_pair v4_pairs[V4_PAIRS];
	__u16 v4_default, v6_default; /* class of /0 */

	__u8 v6_lengths[V6_LENGTHS];
	unsigned v6_length_count;
	__u64 *v6_short;	       /* V6_SHORT_MASKS, or NULL when it would be empty */
	struct v6_head_bits *v6_heads; /* or NULL: of an instance without them */
	__u64 *v6_bits; /* v6_bits_size bits, two for the first 32 of every prefix at v6_bit_of() of their hash */
	__u32 v6_bits_size;
	__u64 *v6_deep_bits; /* a bit for the first 48 of each that has 48 to 64; or NULL */
	__u32 v6_deep_bits_size;
	__u64 *v6_wide_bits; /* a bit for the first 64 of each that is longer; or NULL */
	__u32 v6_wide_bits_size;
	__u16 *v6_mask32; /* v6_mask32_size items, at hash_slot() of v6_hash(high masked to /32, 0, 32, seed), or NULL
			   */
	__u32 v6_mask32_size;
	__u16 *v6_mask48; /* likewise with 48 */
	__u32 v6_mask48_size;
	__u64 *v6_masks; /* what the items of both point at */
	size_t v6_mask_count;
	struct v6_deep_line *v6_deep_lines; /* v6_deep_lines_size + V6_PROBES lines, or NULL */
	__u32 v6_deep_lines_size;
	struct v6_line64
		*v6_lines64; /* v6_lines64_size + V6_PROBES lines: hash_slot() of v6_hash(), then the next ones */
	__u32 v6_lines64_size;
	struct v6_line128 *v6_lines128;
	__u32 v6_lines128_size;
	__u64 v6_seed;
	__u64 v6_wide_lengths, v6_deep_lengths;
};

/* Sorts prefixes in place. seed: random. 0, -ENOMEM, or -E2BIG: more than CLASS_LIMIT distinct sets of lists. */
int tables_build(struct prefixes *prefixes, __u64 seed, struct tables *tables);
void tables_free(struct tables *tables);
/* Memory of all tables in bytes, by family. */
size_t tables_bytes(const struct tables *tables, int family);
/* The class of an address: the same steps as bpf/lookup.h. For lookup, tests and the guard. */
__u16 tables_class(const struct tables *tables, const __u8 address[16]);

#endif
