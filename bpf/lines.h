/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of eight slots in 64 bytes: one cache line answers "was this seen lately". A slot is
 * [fingerprint:32][expiry:30][mark:2] (include/state.h), written by one cmpxchg, no locks: who loses a race has its
 * entry written again by its next packet. A slot that has expired is free; else the earliest expiry gives way.
 */
#ifndef BULWARK_LINES_H
#define BULWARK_LINES_H

#define SLOTS_A_LINE 8
#define SLOT_FINGERPRINT(slot) ((__u32)((slot) >> 32))
#define SLOT_EXPIRY(slot) ((__u32)(slot) >> 2)
#define SLOT_MARK(slot) ((__u32)(slot)&3)

/* The time of the last tick at which a CPU asked for it. Written by all, most often with the same. */
static volatile struct {
	__u64 ns, tick;
} coarse_clock;

/* Offline the capture's clock, else the coarse monotonic one (a tick of precision is plenty here). */
static __always_inline __u64 now_ns(void)
{
	__u64 tick;

	if (constants.offline)
		return virtual_now_ns;
	tick = bpf_jiffies64();
	if (coarse_clock.tick != tick) {
		coarse_clock.ns = bpf_ktime_get_coarse_ns();
		coarse_clock.tick = tick; /* last: who sees it finds the time that belongs to it, or a younger one */
	}
	return coarse_clock.ns;
}

/* Whether it is less than life_ns since then. Somebody may have been told the next tick's time before this CPU. */
#define TICK_MOST_NS 10000000ULL
static __always_inline int is_within(__u64 then, __u64 life_ns)
{
	return now_ns() + TICK_MOST_NS - then < life_ns + TICK_MOST_NS;
}

static __always_inline __u32 slot_time(__u64 ns)
{
	return (ns >> SLOT_EXPIRY_SHIFT) & 0x3fffffff;
}

static __always_inline __u32 slot_lifetime(__u32 seconds)
{
	return (((__u64)seconds * 1000000000) >> SLOT_EXPIRY_SHIFT) + 1;
}

static __always_inline __u64 slot_make(__u64 hash, __u32 expiry, __u32 mark)
{
	return (hash & 0xffffffff00000000ULL) | (__u64)(expiry & 0x3fffffff) << 2 | mark;
}

/* The live slot with this hash's fingerprint, or NULL. */
static __always_inline __u64 *line_find(struct slot_line *line, __u64 hash, __u32 now)
{
	for (int i = 0; i < SLOTS_A_LINE; i++) {
		__u64 slot = line->slot[i];

		if (SLOT_FINGERPRINT(slot) == (__u32)(hash >> 32) && SLOT_EXPIRY(slot) > now)
			return &line->slot[i];
	}
	return NULL;
}

/* Writes over the slot with the earliest expiry. A slot of the same fingerprint that expired is earliest or free. */
static __always_inline void line_put(struct slot_line *line, __u64 hash, __u32 expiry, __u32 mark)
{
	__u32 victim = 0, earliest = SLOT_EXPIRY(line->slot[0]);
	__u64 old;

	for (__u32 i = 1; i < SLOTS_A_LINE; i++) {
		__u32 expiry_here = SLOT_EXPIRY(line->slot[i]);

		if (expiry_here < earliest) {
			earliest = expiry_here;
			victim = i;
		}
	}
	victim &= SLOTS_A_LINE - 1;
	old = line->slot[victim];
	__sync_val_compare_and_swap(&line->slot[victim], old, slot_make(hash, expiry, mark));
}

/* Sets the expiry and mark of a live slot. */
static __always_inline void slot_renew(__u64 *slot, __u32 expiry, __u32 mark)
{
	__u64 old = *slot;

	__sync_val_compare_and_swap(slot, old, slot_make(old, expiry, mark));
}

#endif
