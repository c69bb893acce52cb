/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Timed bans and exceptions: one hash look-up for each prefix length that is in use, none when nothing is held. */
#ifndef BULWARK_HOLDS_H
#define BULWARK_HOLDS_H

enum { HELD_NOT = 0, HELD_BANNED = 1, HELD_ALLOWED = 2 };

/* Halves in host order; IPv4 as ::ffff:a.b.c.d. An exception beats a ban, whatever their lengths. A global function:
 * verified once. */
__noinline int hold_find(__u64 high, __u64 low)
{
	__u32 zero = 0, wide = !high && low >> 32 == 0xffff;
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	struct hold_key key = {};
	__u64 half[2];
	int held = HELD_NOT;

	if (!lengths)
		return HELD_NOT;
	for (int i = 0; i < HOLD_KINDS; i++) {
		__u32 length = lengths->length[i];
		struct hold *hold;

		if (!length || held == HELD_ALLOWED)
			break;
		if (wide && length < 96)
			break; /* longest first: the rest are IPv6 prefixes */
		half[0] = bpf_cpu_to_be64(high & prefix_mask64(length));
		half[1] = bpf_cpu_to_be64(length > 64 ? low & prefix_mask64(length - 64) : 0);
		key.length = length;
		__builtin_memcpy(key.address, half, sizeof(half));
		hold = bpf_map_lookup_elem(&holds, &key);
		if (!hold)
			continue;
		if (hold->allow_until_ns > bpf_ktime_get_boot_ns())
			held = HELD_ALLOWED;
		else if (hold->ban_until_ns > bpf_ktime_get_boot_ns())
			held = HELD_BANNED;
	}
	return held;
}

static __always_inline int held(const union address *source)
{
	__u32 zero = 0;
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);

	if (!lengths || !lengths->total)
		return HELD_NOT;
	return hold_find(bpf_be64_to_cpu(source->half[0]), bpf_be64_to_cpu(source->half[1]));
}

#endif
