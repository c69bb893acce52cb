/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address -> class: one lookup for all lists of the policy. The layout and its reasons are in include/tables.h. */
#ifndef BULWARK_LOOKUP_H
#define BULWARK_LOOKUP_H

/* An item of a table that packs them into lines; what is not there is 0. */
static __always_inline __u16 item_of_u16(void *table, __u32 index)
{
	__u32 at = index / U16_ITEMS;
	const struct u16_line *line = bpf_map_lookup_elem(table, &at);

	return line ? line->item[index % U16_ITEMS] : 0;
}

/* What has no room in an entry; rare. index: in the block. */
static __always_inline __u16 class_by_mask(const struct v4_block *block, __u32 index, __u32 octet)
{
	const struct v4_mask *mask;

	index += block->first_mask;
	mask = bpf_map_lookup_elem(&v4_masks, &index);
	if (!mask)
		return CLASS_NONE;
	if (mask->kind == V4_RUNS)
		return item_of_u16(&v4_run_classes, v4_run_of(mask, octet));
	return mask->bits[(octet >> 6) & 3] >> (octet & 63) & 1 ? mask->pair.on : mask->pair.off;
}

static __always_inline __u16 class_by_pair(__u32 pair, __u32 hit)
{
	return *(const volatile __u32 *)&constants.v4_pairs[pair] >> (hit * 16);
}

static __always_inline const volatile __u16 *v4_item(__u32 index)
{
	__u32 chunk_number = index / V4_CHUNK;
	const struct v4_compact_chunk *chunk = bpf_map_lookup_elem(&v4_compact, &chunk_number);

	return chunk ? &chunk->item[index % V4_CHUNK] : NULL;
}

/* Two nodes, or what no nodes say; rare. */
static __always_inline __u16 class_by_more(const struct v4_block *block, __u32 entry, __u32 octet)
{
	const volatile void *two;

	if (!V4_SHORT_IS_TWO(entry))
		return class_by_mask(block, V4_SHORT_INDEX(entry), octet);
	two = v4_item(block->first_two + 2 * V4_SHORT_INDEX(entry));
	if (!two)
		return CLASS_NONE;
	entry = *(const volatile __u32 *)two;
	return class_by_pair(V4_ENTRY_PAIR(entry), v4_entry_hit(entry, octet, 0));
}

static __always_inline __u16 class_compact(const struct v4_block *block, __u32 net, __u32 word_number, __u32 octet)
{
	__u64 word = block->word[word_number % V4_BLOCK_WORDS], bit = 1ULL << ((net - word_number * V4_WORD_NETS) & 63);
	const volatile __u16 *item;
	__u32 entry;

	if (!(word & bit))
		return constants.v4_default;
	item = v4_item(block->first_entry + (word >> V4_WORD_NETS) + bits_set(word & (bit - 1)));
	if (!item)
		return constants.v4_default;
	entry = *item;
	if (!V4_SHORT_IS_PLAIN(entry))
		return class_by_more(block, entry, octet);
	return class_by_pair(V4_SHORT_PAIR(entry), v4_node_hit(entry & V4_NODE_MASK, octet));
}

static __always_inline __u16 class_direct(const struct v4_block *block, __u32 net, __u32 octet)
{
	__u32 chunk_number = net / V4_CHUNK, entry = V4_NOTHING;
	const struct v4_direct_chunk *chunk = bpf_map_lookup_elem(&v4_direct, &chunk_number);

	if (chunk)
		entry ^= chunk->entry[net % V4_CHUNK];
	if (!V4_ENTRY_NODE(entry))
		return class_by_mask(block, V4_ENTRY_INDEX(entry), octet);
	return class_by_pair(V4_ENTRY_PAIR(entry), v4_entry_hit(entry, octet, 1));
}

/* address in host order. */
static __always_inline __u16 class_of_v4(__u32 address)
{
	__u32 net = address >> 8, octet = address & 0xff, word_number = v4_word_of(net);
	__u32 block_number = word_number / V4_BLOCK_WORDS;
	const struct v4_block *block = bpf_map_lookup_elem(&v4_blocks, &block_number);

	if (!block)
		return constants.v4_default;
	return constants.v4_direct ? class_direct(block, net, octet) : class_compact(block, net, word_number, octet);
}

/* 1 for 0, else 0, without a branch. */
static __always_inline __u64 is_zero(__u64 word)
{
	return (~word & (word - 1)) >> 63;
}

/* The class of a prefix of 1 to 64 bits, or -1. high is masked to length. At most one slot matches. */
__noinline int v6_probe64(__u64 high, __u32 length)
{
	__u32 at = hash_slot(v6_hash(high, 0, length, constants.v6_seed), constants.v6_lines64_size);

#pragma unroll
	for (int probe = 0; probe < V6_PROBES; probe++, at++) {
		const struct v6_line64 *line = bpf_map_lookup_elem(&v6_lines64, &at);
		__u64 found = 0;

		if (!line)
			return -1;
		for (int i = 0; i < 5; i++)
			found |= is_zero((line->key[i] ^ high) | (line->length[i] ^ length)) * (line->class[i] + 1);
		if (found || !line->more)
			return found - 1;
	}
	return -1;
}

/* The class of a prefix of 65 to 128 bits, or -1. low is masked to length - 64. */
__noinline int v6_probe128(__u64 high, __u64 low, __u32 length)
{
	__u32 at = hash_slot(v6_hash(high, low, length, constants.v6_seed), constants.v6_lines128_size);

#pragma unroll
	for (int probe = 0; probe < V6_PROBES; probe++, at++) {
		const struct v6_line128 *line = bpf_map_lookup_elem(&v6_lines128, &at);
		__u64 found = 0;

		if (!line)
			return -1;
		for (int i = 0; i < 3; i++)
			found |= is_zero((line->high[i] ^ high) | (line->low[i] ^ low) | (line->length[i] ^ length)) *
				 (line->class[i] + 1);
		if (found || !line->more)
			return found - 1;
	}
	return -1;
}

static __always_inline __u64 v6_mask_of(void *table, __u32 hash, __u32 size)
{
	__u32 index = item_of_u16(table, hash_slot(hash, size));
	const __u64 *mask = bpf_map_lookup_elem(&v6_masks, &index);

	return mask ? *mask : 0;
}

/* The length numbers of the prefixes hashed by length that may match; bit 0 is the longest. */
static __always_inline __u64 v6_lengths_of_stem(__u64 high)
{
	__u32 hash = v6_hash(high & prefix_mask64(32), 0, 32, constants.v6_seed);
	__u64 possible = v6_mask_of(&v6_mask32, hash, constants.v6_mask32_size);

	if (constants.have_v6_mask48 && possible & constants.v6_deep_lengths) {
		hash = v6_hash(high & prefix_mask64(48), 0, 48, constants.v6_seed);
		possible &= ~constants.v6_deep_lengths | v6_mask_of(&v6_mask48, hash, constants.v6_mask48_size);
	}
	return possible;
}

/* The class of the longest of the possible lengths that matches, or -1. */
__noinline int v6_by_length(__u64 high, __u64 low, __u64 possible)
{
	for (int i = 0; i < V6_LENGTHS; i++) {
		__u32 number, length;
		int class;

		if (!possible)
			break;
		number = bits_set((possible & -possible) - 1);
		possible &= possible - 1;
		length = constants.v6_lengths[number & (V6_LENGTHS - 1)];
		if (constants.have_v6_wide && length > 64)
			class = v6_probe128(high, low & prefix_mask64(length - 64), length);
		else
			class = v6_probe64(high & prefix_mask64(length), length);
		if (class >= 0)
			return class;
	}
	return -1;
}

/* Two bits of a bitmap of stems, the one of the hash first. */
static __always_inline __u32 v6_bits_at(void *bits, __u32 bit)
{
	__u32 number = bit / 64;
	const __u64 *word = bpf_map_lookup_elem(bits, &number);

	return word ? *word >> (bit % 64) & 3 : 0;
}

/* Whether some prefix may have the stem that was hashed. */
static __always_inline int v6_stem_known(void *bits, __u32 hash, __u32 size)
{
	return v6_bits_at(bits, v6_bit_of(hash, size)) & 1;
}

/* A match is length << 16 | class; 0: none. A free slot has length and class 0. */
#define V6_LOOK_BY_LENGTH (1ULL << 32) /* the stem may have others elsewhere, look there first */

/* The larger of two, without a branch, which the empty asm keeps the compiler from bringing back. */
static __always_inline __u64 v6_longer(__u64 one, __u64 other)
{
	__s64 less = other - one;

	less >>= 63;
	asm volatile("" : "+r"(less));
	return one + ((other - one) & ~less);
}

/* Of at least so many bits: what else stands in the line says nothing about this stem. */
static __always_inline __u64 v6_match_in64(const struct v6_line64 *line, __u64 high, __u64 least)
{
	__u64 best = 0;

	for (int i = 0; i < 5; i++) {
		__u64 length = line->length[i], differs = (line->key[i] ^ high) >> ((64 - length) & 63);

		best = v6_longer(best, is_zero(differs | (length - least) >> 63) * (length << 16 | line->class[i]));
	}
	return best;
}

static __always_inline __u64 v6_match_in128(const struct v6_line128 *line, __u64 high, __u64 low)
{
	__u64 best = 0;

	for (int i = 0; i < 3; i++) {
		__u64 length = line->length[i];

		best = v6_longer(best, is_zero((line->high[i] ^ high) | (line->low[i] ^ low) >> ((128 - length) & 63)) *
					       (length << 16 | line->class[i]));
	}
	return best;
}

/* The longest match in the lines of a stem. Where one line has a match, the next ones have no longer one. */
static __always_inline __u64 v6_match_stem(__u64 high, __u32 hash, __u64 bits)
{
	__u32 at = hash_slot(hash, constants.v6_lines64_size);
	const struct v6_line64 *line = bpf_map_lookup_elem(&v6_lines64, &at);
	__u64 best, elsewhere;

	if (!line)
		return 0;
	elsewhere = line->by_length ? V6_LOOK_BY_LENGTH : 0;
	best = v6_match_in64(line, high, bits);
	for (int probe = 1; probe < V6_PROBES && line->more && !best; probe++) {
		at++;
		line = bpf_map_lookup_elem(&v6_lines64, &at);
		if (!line)
			break;
		best = v6_match_in64(line, high, bits);
	}
	return best | elsewhere;
}

static __always_inline __u64 v6_match_wide_stem(__u64 high, __u64 low, __u32 hash)
{
	__u32 at = hash_slot(hash, constants.v6_lines128_size);
	const struct v6_line128 *line = bpf_map_lookup_elem(&v6_lines128, &at);
	__u64 best, elsewhere;

	if (!line)
		return 0;
	elsewhere = line->by_length ? V6_LOOK_BY_LENGTH : 0;
	best = v6_match_in128(line, high, low);
	for (int probe = 1; probe < V6_PROBES && line->more && !best; probe++) {
		at++;
		line = bpf_map_lookup_elem(&v6_lines128, &at);
		if (!line)
			break;
		best = v6_match_in128(line, high, low);
	}
	return best | elsewhere;
}

/* The class by a prefix longer than 64 bits, or -1. */
static __always_inline int v6_class_wide(__u64 high, __u64 low)
{
	__u32 hash = v6_hash(high, 0, V6_WIDE_STEM, constants.v6_seed);
	__u64 match = 0;
	int class = -1;

	if (v6_stem_known(&v6_wide_bits, hash, constants.v6_wide_bits_size))
		match = v6_match_wide_stem(high, low, hash);
	if (constants.have_v6_by_length && match & V6_LOOK_BY_LENGTH)
		class = v6_by_length(high, low, v6_lengths_of_stem(high) & constants.v6_wide_lengths);
	if (class < 0 && match & ~V6_LOOK_BY_LENGTH)
		class = match & 0xffff;
	return class;
}

/* The class of a match in the lines of a stem of 32 or 48 bits, or of one of these lengths that are hashed by length.
 */
static __always_inline int v6_class_of_match(__u64 high, __u64 match, __u64 lengths)
{
	int class = -1;

	if (constants.have_v6_by_length && match & V6_LOOK_BY_LENGTH)
		class = v6_by_length(high, 0, v6_lengths_of_stem(high) & lengths);
	if (class < 0 && match & ~V6_LOOK_BY_LENGTH)
		class = match & 0xffff;
	return class;
}

/* The class by a prefix with this stem of 32 or 48 bits, or -1. lengths: of those that are hashed by length. */
static __always_inline int v6_class_by_stem(__u64 high, __u32 hash, __u32 bits, __u64 lengths)
{
	return v6_class_of_match(high, v6_match_stem(high, hash, bits), lengths);
}

/* The class of the longest match in a line: its entries stand the longest first. */
static __always_inline __u64 v6_match_in_deep(const struct v6_deep_line *line, __u64 wanted)
{
	__u64 class = 0;

	for (int i = V6_DEEP_KEYS - 1; i >= 0; i--) {
		__u64 entry = line->entry[i], covers = v6_deep_covers(entry, wanted);

		asm volatile("" : "+r"(covers)); /* no branch */
		class ^= (class ^ entry >> V6_DEEP_CLASS_SHIFT) & covers;
	}
	return class;
}

static __always_inline __u64 v6_match_deep(__u64 high, __u64 hash)
{
	__u32 at = hash_slot(hash >> 16, constants.v6_deep_lines * V6_DEEP_LINES);
	const struct v6_deep_line *line = bpf_map_lookup_elem(&v6_deep_lines, &at);
	__u64 wanted = v6_deep_entry(hash, high), class, elsewhere;

	if (!line)
		return 0;
	elsewhere = line->entry[V6_DEEP_BY_LENGTH] & V6_DEEP_MARK ? V6_LOOK_BY_LENGTH : 0;
	class = v6_match_in_deep(line, wanted);
	for (int probe = 1; probe < V6_PROBES && line->entry[V6_DEEP_MORE] & V6_DEEP_MARK && !class; probe++) {
		at++;
		line = bpf_map_lookup_elem(&v6_deep_lines, &at);
		if (!line)
			break;
		class = v6_match_in_deep(line, wanted);
	}
	return class | elsewhere;
}

/* As v6_class_deep(), where they have lines of their own. */
static __always_inline int v6_class_deep_apart(__u64 high)
{
	__u64 hash = v6_deep_hash(high, constants.v6_seed), match;

	if (!v6_stem_known(&v6_deep_bits, hash >> 16, constants.v6_deep_bits_size))
		return -1;
	match = v6_match_deep(high, hash);
	return v6_class_of_match(high, match, constants.v6_deep_lengths & ~constants.v6_wide_lengths);
}

static __always_inline int v6_class_deep(__u64 high)
{
	__u32 hash;

	if (constants.v6_deep_lines)
		return v6_class_deep_apart(high);
	hash = v6_hash(high & prefix_mask64(V6_DEEP_STEM), 0, V6_DEEP_STEM, constants.v6_seed);

	if (!v6_stem_known(&v6_deep_bits, hash, constants.v6_deep_bits_size))
		return -1;
	return v6_class_by_stem(high, hash, V6_DEEP_STEM, constants.v6_deep_lengths & ~constants.v6_wide_lengths);
}

/* Whether some prefix of 32 bits or more has the same first 16. */
static __always_inline int v6_head_known(__u64 high)
{
	__u32 only = 0;
	const struct v6_head_bits *heads = bpf_map_lookup_elem(&v6_heads, &only);

	return heads ? heads->word[high >> 54 & 1023] >> (high >> 48 & 63) & 1 : 0;
}

/* The class by a prefix of 32 bits or more, or -1. */
static __always_inline int v6_class_by_stems(__u64 high, __u64 low)
{
	__u32 hash = v6_hash(high & prefix_mask64(V6_STEM), 0, V6_STEM, constants.v6_seed);
	__u32 known = v6_bits_at(&v6_bits, v6_bit_of(hash, constants.v6_bits_size) & ~1u);
	int class = -1;

	if (!known)
		return -1;
	if (constants.have_v6_wide)
		class = v6_class_wide(high, low);
	if (class < 0 && constants.have_v6_deep)
		class = v6_class_deep(high);
	if (class < 0 && known & V6_STEM_SHORT)
		class = v6_class_by_stem(high, hash, V6_STEM, ~constants.v6_deep_lengths);
	return class;
}

/* A global function: verified once, not once for every path that leads here. Halves in host order. */
__noinline int class_of_v6(__u64 high, __u64 low)
{
	int class = v6_head_known(high) ? v6_class_by_stems(high, low) : -1;
	__u32 first = high >> 48;
	const __u64 *possible;

	if (class >= 0 || !constants.have_v6_short)
		return class >= 0 ? class : constants.v6_default;
	possible = bpf_map_lookup_elem(&v6_short, &first);
	if (possible)
		class = v6_by_length(high, low, *possible);
	return class >= 0 ? class : constants.v6_default;
}

/* A global function, as that of IPv6: for all but the short way (at_once.h). */
__noinline int class_of_v4_called(__u32 address)
{
	return class_of_v4(address);
}

static __always_inline __u16 class_of(const union address *address, int ipv6)
{
	if (ipv6)
		return constants.have_v6
			       ? class_of_v6(bpf_be64_to_cpu(address->half[0]), bpf_be64_to_cpu(address->half[1]))
			       : constants.v6_default;
	return constants.have_v4 ? class_of_v4_called(bpf_ntohl(address->word[3])) : constants.v4_default;
}

#endif
