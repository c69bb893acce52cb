/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address -> class: one lookup for all lists of the policy. The layout and its reasons are in include/tables.h. */
#ifndef BULWARK_LOOKUP_H
#define BULWARK_LOOKUP_H

/* The kinds of entry that are rare. */
static __always_inline __u16 class_elsewhere(__u32 entry, __u32 octet)
{
	__u32 index = V4_ENTRY_INDEX(entry);
	const struct v4_mask *mask;
	const struct v4_full *full;

	if (V4_ENTRY_KIND(entry) == V4_CLASS)
		return index;
	if (V4_ENTRY_KIND(entry) == V4_FULL) {
		full = bpf_map_lookup_elem(&v4_full, &index);
		return full ? full->class[octet & 0xff] : CLASS_NONE;
	}
	mask = bpf_map_lookup_elem(&v4_masks, &index);
	if (!mask)
		return CLASS_NONE;
	return mask->on[(octet >> 6) & 3] >> (octet & 63) & 1 ? mask->pair.on : mask->pair.off;
}

/* address in host order. Two cache lines for a hit; nothing on the way to a HOSTS entry depends on a branch that the
 * CPU could mispredict while the line is still on its way: a wrong guess there costs the whole latency again. */
static __always_inline __u16 class_of_v4(__u32 address)
{
	__u32 within, index = 0, number = v4_line_of(address >> 8, &within), octet = address & 0xff;
	const volatile struct class_pair *pair;
	const struct v4_line *line;
	const __u32 *entry;

	line = bpf_map_lookup_elem(&v4_lines, &number);
	if (!line || !v4_entry_of(line, within, &index))
		return constants.v4_default;
	entry = bpf_map_lookup_elem(&v4_entries, &index);
	if (!entry)
		return constants.v4_default;
	if (V4_ENTRY_KIND(*entry) != V4_HOSTS)
		return class_elsewhere(*entry, octet);
	pair = &constants.v4_pairs[(*entry >> 24) & (V4_PAIRS - 1)];
	return *(const volatile __u32 *)pair >> (v4_hosts_hit(*entry, octet) * 16);
}

/* 1 for 0, else 0, without a branch. */
static __always_inline __u64 is_zero(__u64 word)
{
	return (~word & (word - 1)) >> 63;
}

/* The class of a prefix of 1 to 64 bits, or -1. high is masked to length. At most one slot matches. */
__noinline int v6_probe64(__u64 high, __u32 length)
{
	__u32 at = v6_hash(high, 0, length, constants.v6_seed) & (constants.v6_lines64_size - 1);

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
	__u32 at = v6_hash(high, low, length, constants.v6_seed) & (constants.v6_lines128_size - 1);

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

/* The lengths that can match, as a mask of length numbers; bit 0 is the longest. */
static __always_inline __u64 v6_possible(__u64 high)
{
	__u64 possible = 0;
	const __u64 *mask;
	__u32 at;

	if (constants.have_v6_short) {
		at = high >> 48;
		mask = bpf_map_lookup_elem(&v6_short, &at);
		if (mask)
			possible |= *mask;
	}
	at = v6_hash(high & prefix_mask64(32), 0, 32, constants.v6_seed) & (constants.v6_mask32_size - 1);
	mask = bpf_map_lookup_elem(&v6_mask32, &at);
	if (mask)
		possible |= *mask;
	if (constants.have_v6_mask48 && possible & constants.v6_deep_lengths) {
		at = v6_hash(high & prefix_mask64(48), 0, 48, constants.v6_seed) & (constants.v6_mask48_size - 1);
		mask = bpf_map_lookup_elem(&v6_mask48, &at);
		possible &= ~constants.v6_deep_lengths | (mask ? *mask : ~0ULL);
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
