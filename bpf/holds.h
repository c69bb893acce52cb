/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Timed bans and exceptions: one hash look-up for each prefix length that is in use, none when nothing is held. What
 * the shield banned by itself is in a table of its own, looked at behind the operator's words.
 */
#ifndef BULWARK_HOLDS_H
#define BULWARK_HOLDS_H

enum { HELD_NOT = 0, HELD_BANNED = 1, HELD_ALLOWED = 2, HELD_AUTOMATIC = 3 };

/* The clock of bans: it goes on while the host sleeps. Offline the capture's. */
static __always_inline __u64 boot_ns(void)
{
	return constants.offline ? virtual_now_ns : bpf_ktime_get_boot_ns();
}

static __always_inline void hold_key_make(struct hold_key *key, __u64 high, __u64 low, __u32 length)
{
	__u64 half[2] = {bpf_cpu_to_be64(high & prefix_mask64(length)),
			 bpf_cpu_to_be64(length > 64 ? low & prefix_mask64(length - 64) : 0)};

	key->length = length;
	__builtin_memcpy(key->address, half, sizeof(half));
}

/* Halves in host order; IPv4 as ::ffff:a.b.c.d. An exception beats a ban, whatever their lengths. A global function:
 * verified once. */
__noinline int hold_find(__u64 high, __u64 low)
{
	__u32 zero = 0, wide = !high && low >> 32 == 0xffff;
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	struct hold_key key = {};
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
		hold_key_make(&key, high, low, length);
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

static __always_inline int automatic_until(__u64 high, __u64 low, __u32 length, __u64 now)
{
	struct automatic_ban *ban;
	struct hold_key key = {};

	hold_key_make(&key, high, low, length);
	ban = bpf_map_lookup_elem(&automatic_bans, &key);
	return ban && ban->until_ns > now;
}

/* kinds: AUTOMATIC_*, the lengths that are in use. */
__noinline int automatic_find(__u64 high, __u64 low, __u32 kinds)
{
	__u64 now = boot_ns();

	if (!high && low >> 32 == 0xffff)
		return kinds & AUTOMATIC_V4 && automatic_until(high, low, 128, now);
	return (kinds & AUTOMATIC_64 && automatic_until(high, low, 64, now)) ||
	       (kinds & AUTOMATIC_56 && automatic_until(high, low, 56, now)) ||
	       (kinds & AUTOMATIC_48 && automatic_until(high, low, 48, now));
}

static __always_inline int held(const union address *source)
{
	__u32 zero = 0;
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	__u64 high, low;
	int hold = HELD_NOT;

	if (!lengths || !(lengths->total | lengths->automatic))
		return HELD_NOT;
	high = bpf_be64_to_cpu(source->half[0]);
	low = bpf_be64_to_cpu(source->half[1]);
	if (lengths->total)
		hold = hold_find(high, low);
	if (hold == HELD_NOT && lengths->automatic && automatic_find(high, low, lengths->automatic))
		return HELD_AUTOMATIC;
	return hold;
}

#endif
