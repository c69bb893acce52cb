/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Timed bans and exceptions: one line of a table for each prefix length that is in use, and a hash look-up only where
 * that one cannot tell (include/hold_lines.h); none when nothing is held. What the shield banned by itself is in a
 * table of its own, looked at behind the operator's words.
 */
#ifndef BULWARK_HOLDS_H
#define BULWARK_HOLDS_H

enum { HELD_NOT = 0, HELD_BANNED = 1, HELD_ALLOWED = 2, HELD_AUTOMATIC = 3, HELD_UNKNOWN = 4 };

/* The time of the last tick at which a CPU asked for it. Written by all, most often with the same. */
static volatile struct {
	__u64 ns, tick;
} boot_clock;

/* The clock of bans: it goes on while the host sleeps. Asking costs 30 ns, so it is asked once a tick. Offline the
 * capture's. */
static __always_inline __u64 boot_ns(void)
{
	__u64 tick;

	if (constants.offline)
		return virtual_now_ns;
	tick = bpf_jiffies64();
	if (boot_clock.tick != tick) {
		boot_clock.ns = bpf_ktime_get_boot_ns();
		boot_clock.tick = tick; /* last: who sees it finds the time that belongs to it, or a younger one */
	}
	return boot_clock.ns;
}

static __always_inline void hold_key_make(struct hold_key *key, __u64 high, __u64 low, __u32 length)
{
	__u64 half[2] = {bpf_cpu_to_be64(high & prefix_mask64(length)),
			 bpf_cpu_to_be64(length > 64 ? low & prefix_mask64(length - 64) : 0)};

	key->length = length;
	__builtin_memcpy(key->address, half, sizeof(half));
}

/* The end of the one that stands alone under a tag; 0: nobody knows. */
static __always_inline __u32 hold_end(void *table, __u32 at, __u32 matches)
{
	const volatile struct hold_line *ends = bpf_map_lookup_elem(table, &at);
	__u32 i = 0;

	if (!ends)
		return 0;
	while (i < HOLD_LINE_TAGS - 1 && !(matches >> i & 1))
		i++;
	return ends->end[i];
}

/*
 * What the table says of a prefix with that hash: HELD_NOT, HELD_BANNED, which only one that may stand alone is at
 * once, or HELD_UNKNOWN. Which tag is the same cannot be predicted, so none is branched at. asks_ends: where the first
 * ban of the line is over.
 */
static __always_inline int hold_look(__u64 hash, __u32 tag, int may_be_alone, int asks_ends)
{
	__u32 at = 0, matches = 0, lines, now;
	struct bpf_map *table = bpf_map_lookup_elem(&hold_tables, &at);
	const volatile struct hold_line *line;
	__u64 about;

	lines = table ? HOLD_LINES(table->max_entries) : 0;
	if (!lines)
		return HELD_UNKNOWN;
	at = hold_line_at(hash, lines);
	line = bpf_map_lookup_elem(table, &at);
	if (!line)
		return HELD_UNKNOWN;
	about = line->about;
	for (int i = HOLD_LINE_TAGS - 1; i >= 0; i--)
		matches = matches << 1 | ((__u64)(line->tag[i] ^ tag) - 1) >> 63;
	if (!matches)
		return about & HOLD_BESIDE ? HELD_UNKNOWN : HELD_NOT;
	if (!may_be_alone || matches & ~about)
		return HELD_UNKNOWN;
	now = hold_time(boot_ns());
	if (HOLD_EARLIEST(about) <= now && (!asks_ends || hold_end(table, at + lines, matches) <= now))
		return HELD_UNKNOWN; /* it ends within this unit of time, or did */
	return line->about == about ? HELD_BANNED : HELD_UNKNOWN;
}

/* What the table says of an IPv4 address, where no other kind of hold concerns it. */
static __always_inline int hold_look_v4(__u32 address, int asks_ends)
{
	__u64 low = 0xffffULL << 32 | address;

	return hold_look(hold_hash(0, low, 128, constants.state_key[0]), address, 1, asks_ends);
}

/* A global function, for few: what needs more room on the stack is not in the way of all packets. */
__noinline int hold_look_again(__u32 address)
{
	return hold_look_v4(address, 1);
}

/* The same as held() for an IPv4 address, or HELD_UNKNOWN where that one must be asked. */
static __always_inline int held_alone(__u32 address)
{
	__u32 zero = 0;
	const struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	int hold;

	if (!lengths || !(lengths->total | lengths->automatic))
		return HELD_NOT;
	if (lengths->automatic & AUTOMATIC_V4 || lengths->length[0] != 128 || lengths->length[1] >= 96)
		return HELD_UNKNOWN;
	hold = hold_look_v4(address, 0);
	return hold == HELD_UNKNOWN ? hold_look_again(address) : hold;
}

/* What is held of the prefix with that length. A global function: verified once, not for each length. */
__noinline int hold_of(__u64 high, __u64 low, __u32 length)
{
	__u64 first = high & prefix_mask64(length), last = length > 64 ? low & prefix_mask64(length - 64) : 0;
	__u64 hash = hold_hash(first, last, length, constants.state_key[0]);
	struct hold_key key = {};
	struct hold *hold;
	int found = hold_look(hash, hold_tag(first, last, length, hash), hold_is_v4_address(first, last, length), 1);

	if (found != HELD_UNKNOWN)
		return found;
	hold_key_make(&key, high, low, length);
	hold = bpf_map_lookup_elem(&holds, &key);
	if (!hold)
		return HELD_NOT;
	if (hold->allow_until_ns > boot_ns())
		return HELD_ALLOWED;
	return hold->ban_until_ns > boot_ns() ? HELD_BANNED : HELD_NOT;
}

/* Halves in host order; IPv4 as ::ffff:a.b.c.d. An exception beats a ban, whatever their lengths. A global function:
 * verified once. */
__noinline int hold_find(__u64 high, __u64 low)
{
	__u32 zero = 0,
	      shortest = !high && low >> 32 == 0xffff ? 96 : 1; /* longest first: the rest are IPv6 prefixes */
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	int held = HELD_NOT;

	if (!lengths)
		return HELD_NOT;
	for (int i = 0; i < HOLD_KINDS; i++) {
		__u32 length = lengths->length[i];
		int found;

		if (length < shortest || held == HELD_ALLOWED)
			break;
		found = hold_of(high, low, length);
		if (found)
			held = found;
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
