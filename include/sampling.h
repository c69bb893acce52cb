/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which packets are looked at closely, so that a flood pays next to nothing for it and sums of what was seen stay true:
 * stratified random sampling with weights. Packets are cut into blocks of 2 to the power of `shift`, one of each block,
 * at a place drawn by lot, is taken, and it stands for its whole block: the estimator of Horvitz and Thompson ("A
 * Generalization of Sampling Without Replacement from a Finite Universe", 1952), applied to packets as in RFC 5475.
 * Whoever sends cannot know which packet is taken, and nobody's share is over- or underestimated on average.
 *
 * Blocks grow with the rate: they double when SAMPLING_TAKEN packets of one size were taken in a period, and begin the
 * next period with a quarter of the size. So n packets in a period cost at most SAMPLING_TAKEN * (1 + log2(n /
 * SAMPLING_TAKEN)) samples, whatever came before; fewer than SAMPLING_TAKEN are all taken, once it has been calm for a
 * while, and what is said of them is exact.
 *
 * For both sides: the programs sample, userspace/hitters.c makes rates of it, the unit test runs both.
 */
#ifndef BULWARK_SAMPLING_H
#define BULWARK_SAMPLING_H

#include "sip.h" /* SHARED_INLINE */

#define SAMPLING_TAKEN 16
#define SAMPLING_SHIFT_MOST 24
#define SAMPLING_PERIOD_SHIFT 4 /* a period has 16 ticks of jiffies: 16 to 160 ms */

struct sampling {
	__u32 period; /* the number of the one that runs */
	__u32 skip;   /* packets until the one that is taken */
	__u32 behind; /* packets of its block that come after it */
	__u16 taken;  /* of blocks of this size in this period */
	__u8 shift;   /* of the block that runs */
	__u8 unused;
};

SHARED_INLINE void sampling_draw(struct sampling *sampling, __u32 random)
{
	__u32 last = (1u << (sampling->shift & 31)) - 1, place = random & last;

	sampling->skip += place;
	sampling->behind = last - place;
}

/* A block that the end of a period cuts off was no loss: each of its packets had the same chance until then. */
SHARED_INLINE void sampling_begin(struct sampling *sampling, __u32 period, __u32 random)
{
	__u32 passed = period - sampling->period,
	      finer = passed > SAMPLING_SHIFT_MOST ? SAMPLING_SHIFT_MOST : 2 * passed;

	sampling->shift = sampling->shift > finer ? sampling->shift - finer : 0;
	sampling->period = period;
	sampling->taken = 0;
	sampling->skip = 0;
	sampling_draw(sampling, random);
}

/* This packet is taken: for how many it stands, as a power of two. */
SHARED_INLINE __u32 sampling_take(struct sampling *sampling, __u32 random)
{
	__u32 shift = sampling->shift;

	if (++sampling->taken >= SAMPLING_TAKEN && shift < SAMPLING_SHIFT_MOST) {
		sampling->taken = 0;
		sampling->shift++;
	}
	sampling->skip = sampling->behind;
	sampling_draw(sampling, random);
	return shift;
}

#endif
