/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address -> class: one lookup for all lists of the policy. The layout and its reasons are in include/tables.h. */
#ifndef BULWARK_LOOKUP_H
#define BULWARK_LOOKUP_H

/* An item of a table that packs them into lines; what is not there is 0. */
static __always_inline __u32 item_of_u32(void *table, __u32 index)
{
	__u32 at = index / U32_ITEMS;
	const struct u32_line *line = bpf_map_lookup_elem(table, &at);

	return line ? line->item[index % U32_ITEMS] : 0;
}

static __always_inline __u16 item_of_u16(void *table, __u32 index)
{
	__u32 at = index / U16_ITEMS;
	const struct u16_line *line = bpf_map_lookup_elem(table, &at);

	return line ? line->item[index % U16_ITEMS] : 0;
}

/* The kinds of entry that are rare. */
static __always_inline __u16 class_elsewhere(__u32 entry, __u32 octet)
{
	__u32 index = V4_ENTRY_INDEX(entry);
	const struct v4_mask *mask;

	if (V4_ENTRY_KIND(entry) == V4_CLASS)
		return index;
	mask = bpf_map_lookup_elem(&v4_masks, &index);
	if (!mask)
		return CLASS_NONE;
	if (V4_ENTRY_KIND(entry) == V4_RUNS)
		return item_of_u16(&v4_run_classes, v4_run_of(mask, octet));
	return mask->bits[(octet >> 6) & 3] >> (octet & 63) & 1 ? mask->pair.on : mask->pair.off;
}

/* address in host order. One cache line for a miss, three for a hit, two of which can be on their way at once. Nothing
 * on the way to a HOSTS entry depends on a branch that the CPU could mispredict while the entry is still on its way: a
 * wrong guess there costs the whole latency again. */
static __always_inline __u16 class_of_v4(__u32 address)
{
	__u32 number = address >> 14, octet = address & 0xff, entry;
	const __u64 *word = bpf_map_lookup_elem(&v4_bits, &number);
	const volatile struct class_pair *pair;
	__u64 bit = 1ULL << (address >> 8 & 63);

	if (!word || !(*word & bit))
		return constants.v4_default;
	entry = item_of_u32(&v4_entries, item_of_u32(&v4_ranks, number) + bits_set(*word & (bit - 1)));
	if (V4_ENTRY_KIND(entry) != V4_HOSTS)
		return class_elsewhere(entry, octet);
	pair = &constants.v4_pairs[(entry >> 24) & (V4_PAIRS - 1)];
	return *(const volatile __u32 *)pair >> (v4_hosts_hit(entry, octet) * 16);
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

/* Whether some prefix may share the first 32 bits; most misses end here. */
static __always_inline int v6_stem_known(__u32 hash)
{
	__u32 bit = v6_bit_of(hash, constants.v6_bits_size), number = bit / 64;
	const __u64 *word = bpf_map_lookup_elem(&v6_bits, &number);

	return word && *word >> (bit % 64) & 1;
}

/* The lengths that can match, as a mask of length numbers; bit 0 is the longest. */
static __always_inline __u64 v6_possible(__u64 high)
{
	__u32 hash = v6_hash(high & prefix_mask64(32), 0, 32, constants.v6_seed), first = high >> 48;
	__u64 possible = 0;
	const __u64 *mask;

	if (constants.have_v6_short) {
		mask = bpf_map_lookup_elem(&v6_short, &first);
		if (mask)
			possible |= *mask;
	}
	if (v6_stem_known(hash))
		possible |= v6_mask_of(&v6_mask32, hash, constants.v6_mask32_size);
	if (constants.have_v6_mask48 && possible & constants.v6_deep_lengths) {
		hash = v6_hash(high & prefix_mask64(48), 0, 48, constants.v6_seed);
		possible &= ~constants.v6_deep_lengths | v6_mask_of(&v6_mask48, hash, constants.v6_mask48_size);
	}
	return possible;
}

/* A global function: verified once, not once for every path that leads here. Halves in host order. */
__noinline int class_of_v6(__u64 high, __u64 low)
{
	__u64 possible = v6_possible(high);

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
	return constants.v6_default;
}

static __always_inline __u16 class_of(const union address *address, int ipv6)
{
	if (ipv6)
		return constants.have_v6
			       ? class_of_v6(bpf_be64_to_cpu(address->half[0]), bpf_be64_to_cpu(address->half[1]))
			       : constants.v6_default;
	return constants.have_v4 ? class_of_v4(bpf_ntohl(address->word[3])) : constants.v4_default;
}

#endif
