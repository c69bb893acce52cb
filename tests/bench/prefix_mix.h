/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prefixes as blocklists have them: mostly single hosts, some networks. Reproducible.
 *
 *   IPv4   80 % /32, 10 % /24, 5 % /20../23, 5 % /25../31, all over the unicast space
 * *   IPv6   in 2000::/3: 5 % /29../32, 45 % /48, 15 % /33../47, 20 % /56 and /64, 15 % /128
 */
#ifndef BULWARK_PREFIX_MIX_H
#define BULWARK_PREFIX_MIX_H

#include <linux/types.h>

#include "../../include/tables.h"
#include "../../userspace/feed.h"

static __u64 mix_state = 88172645463325252ULL;

static inline __u64 mix_random(void) /* xorshift64* (Marsaglia, Vigna) */
{
	mix_state ^= mix_state >> 12;
	mix_state ^= mix_state << 25;
	mix_state ^= mix_state >> 27;
	return mix_state * 0x2545f4914f6cdd1dULL;
}

static inline unsigned mix_length4(unsigned percent)
{
	if (percent < 80)
		return 32;
	if (percent < 90)
		return 24;
	return percent < 95 ? 20 + mix_random() % 4 : 25 + mix_random() % 7;
}

static inline unsigned mix_length6(unsigned percent)
{
	if (percent < 5)
		return 29 + mix_random() % 4;
	if (percent < 50)
		return 48;
	if (percent < 65)
		return 33 + mix_random() % 15;
	if (percent < 85)
		return percent < 75 ? 56 : 64;
	return 128;
}

static inline int prefix_mix4(struct prefixes *prefixes, size_t count, unsigned lists)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++) {
		unsigned length = mix_length4(mix_random() % 100);
		__u32 address = 0x01000000 + (mix_random() >> 32) % 0xdf000000u;

		err = prefixes_add4(prefixes, address & ~0u << (32 - length), length, mix_random() % lists);
	}
	return err;
}

static inline int prefix_mix6(struct prefixes *prefixes, size_t count, unsigned lists)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++) {
		unsigned length = mix_length6(mix_random() % 100);
		__u64 high = 1ULL << 61 | mix_random() >> 3;
		__u64 low = length == 128 ? mix_random() : 0;

		err = prefixes_add6(prefixes, high & prefix_mask64(length), low, length, mix_random() % lists);
	}
	return err;
}

#endif
