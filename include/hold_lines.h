/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table by which the packet path knows at once whether a prefix is held: lines of fourteen tags in 64 bytes, found
 * by a keyed hash of the prefix. `holds` (state.h) has the truth, the table tells where to ask for it. A tag is of
 *
 *   an IPv4 address that is banned and has no exception: the address itself, and a bit of the line says that it stands
 *                                                        alone, so that it is refused at once until its ban ends
 *   any other hold:                                      the hash, `holds` knows the rest
 *
 * and 0 is a free one. What finds no room in its line, or has 0 for its tag, is counted there. So nothing is held that
 * has neither its tag nor a count in its line; a tag may outlive its hold, then its time or `holds` says so.
 *
 * When the bans of a line end stands in a line of its own, far behind, that is rarely read: the line has the earliest
 * of them. It is the memory that packets of banned sources go through that counts: 7 MiB for a million bans.
 */
#ifndef BULWARK_HOLD_LINES_H
#define BULWARK_HOLD_LINES_H

#define HOLD_LINE_TAGS 14
struct hold_line {
	union {
		struct {
			__u32 tag[HOLD_LINE_TAGS];
			__u64 about; /* [earliest end:32][changes:8][beside:10][stands alone:14] */
		};
		/* behind all lines, in the same order */
		__u32 end[HOLD_LINE_TAGS];
	};
};
_Static_assert(sizeof(struct hold_line) == 64, "one cache line");

/* The first two are for programs of an older version, which find 0 in the first one, so that they always look at the
 * second, which counts one beside: they ask `holds`. Its own tables have an odd number of entries. */
#define HOLD_LINES_FROM 2
#define HOLD_TABLE_ENTRIES(lines) (HOLD_LINES_FROM + 2 * (lines))
#define HOLD_LINES(entries) ((entries)&1 ? 0 : ((entries)-HOLD_LINES_FROM) / 2)
#define HOLD_BESIDE_BEFORE 1ULL /* one, as older versions counted it */

/* Ends are in units of 2^27 ns (134 ms) of CLOCK_BOOTTIME, rounded down. */
#define HOLD_TIME_SHIFT 27
#define HOLD_TIME_MOST 0xffffffffU /* eighteen years after the boot, or later */
#define HOLD_ALONE ((1u << HOLD_LINE_TAGS) - 1)
#define HOLD_BESIDE_ONE (1ULL << HOLD_LINE_TAGS)
#define HOLD_BESIDE (0x3ffULL << HOLD_LINE_TAGS) /* holds of this line that have no tag in it; so many: or more */
#define HOLD_CHANGE_ONE (1ULL << 24) /* what was read between two looks at the same `about` belongs together */
#define HOLD_CHANGES (0xffULL << 24)
#define HOLD_EARLIEST(about) ((__u32)((about) >> 32))

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

/* The number of its line, of so many. Tags are made of the other half of the hash. */
static inline __attribute__((always_inline, unused)) __u32 hold_line_at(__u64 hash, __u32 lines)
{
	return HOLD_LINES_FROM + ((hash & 0xffffffff) * lines >> 32);
}

#endif
