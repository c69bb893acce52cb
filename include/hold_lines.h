/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table by which the packet path knows at once whether a prefix is held: lines of seven slots in 64 bytes, found by
 * a keyed hash of the prefix. `holds` (state.h) has the truth, the table tells where to ask for it. A slot is
 *
 *   [tag:32][until:31][alone:1]   an IPv4 address that is banned and has no exception: the tag is the address itself,
 * and until is the end of the ban in units of 2^27 ns (134 ms) of CLOCK_BOOTTIME, rounded down [tag:32][       1][ 0]
 * any other hold: the tag is of the hash, `holds` knows the rest
 *
 * and 0 is a free one. What finds no room in its line is counted there. So nothing is held that has neither a slot with
 * its tag nor a count in its line; a slot may outlive its hold, then `holds` or its time says so.
 *
 * Line 0 is the head: its first slot is the number of the other lines, a power of two, less one.
 */
#ifndef BULWARK_HOLD_LINES_H
#define BULWARK_HOLD_LINES_H

#define HOLD_LINE_SLOTS 7
struct hold_line {
	__u64 slot[HOLD_LINE_SLOTS];
	__u64 beside; /* holds of this line that have no slot */
};
_Static_assert(sizeof(struct hold_line) == 64, "one cache line");

#define HOLD_TIME_SHIFT 27
#define HOLD_TIME_MOST 0x7fffffffU /* nine years after the boot, or later */
#define HOLD_SLOT_ALONE 1ULL
#define HOLD_SLOT_TAG(slot) ((__u32)((slot) >> 32))
#define HOLD_SLOT_UNTIL(slot) ((__u32)(slot) >> 1)

static inline __attribute__((always_inline, unused)) __u32 hold_time(__u64 ns)
{
	__u64 time = ns >> HOLD_TIME_SHIFT;

	return time > HOLD_TIME_MOST ? HOLD_TIME_MOST : time;
}

/* Of a masked prefix; halves in host order. Who could pick addresses to fill a line would gain that `holds` is asked.
 */
static inline __attribute__((always_inline, unused)) __u64 hold_hash(__u64 high, __u64 low, __u32 length, __u64 key)
{
	__u64 h = high ^ key;

	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
	h ^= low + length;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 32);
}

static inline __attribute__((always_inline, unused)) int hold_is_v4_address(__u64 high, __u64 low, __u32 length)
{
	return length == 128 && !high && low >> 32 == 0xffff;
}

static inline __attribute__((always_inline, unused)) __u32 hold_tag(__u64 high, __u64 low, __u32 length, __u64 hash)
{
	return hold_is_v4_address(high, low, length) ? (__u32)low : (__u32)(hash >> 32);
}

#endif
