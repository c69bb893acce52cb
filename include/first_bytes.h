/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first bytes of a stream, and the names in them. The parsers (hello.h, request.h) are compiled by both sides: into
 * the program at TC ingress, and into fuzzers. They read through byte_at() and word_at() alone, which cannot leave the
 * buffer whatever a length in it says.
 */
#ifndef BULWARK_FIRST_BYTES_H
#define BULWARK_FIRST_BYTES_H

#include "sip.h"

#define FIRST_BYTES 4096 /* of a stream are looked at; a power of two */

/* What was received, then whatever was there: a segment of up to FIRST_BYTES fits behind up to FIRST_BYTES. */
struct first_bytes {
	__u8 byte[2 * FIRST_BYTES];
	__u8 room[8]; /* word_at() of the last byte ends here */
};
_Static_assert(sizeof(struct first_bytes) == 8200, "first_bytes is one value of a map");

#define FIRST_BYTES_MASK (2 * FIRST_BYTES - 1)

SHARED_INLINE __u32 byte_at(const struct first_bytes *bytes, __u32 at)
{
	return bytes->byte[at & FIRST_BYTES_MASK];
}

SHARED_INLINE __u32 number_at(const struct first_bytes *bytes, __u32 at)
{
	return byte_at(bytes, at) << 8 | byte_at(bytes, at + 1);
}

/* Eight bytes, the first one lowest. */
SHARED_INLINE __u64 word_at(const struct first_bytes *bytes, __u32 at)
{
	__u64 word;

#ifdef __bpf__
	word = *(const __u64 *)&bytes->byte[at & FIRST_BYTES_MASK];
#else
	__builtin_memcpy(&word, &bytes->byte[at & FIRST_BYTES_MASK], sizeof(word));
#endif
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/*
 * Calls step(round, context) until it returns 1, but so many times at most. Loops over what a client wrote are made of
 * this: the verifier looks at one step (bpf_loop, from 5.17), not at every way through all of them.
 */
#define SHARED_STEP(step)                                                                                              \
	static __attribute__((noinline, unused)) long step(__u32 round __attribute__((unused)), void *context)
#ifdef __bpf__
#define walk_steps(most, step, context) bpf_loop(most, step, context, 0)
#else
SHARED_INLINE void walk_steps(__u32 most, long (*step)(__u32 round, void *context), void *context)
{
	for (__u32 round = 0; round < most; round++)
		if (step(round, context))
			break;
}
#endif

/*
 * Names of a policy: server names, protocols, hosts, methods, paths, in one table of 64-byte lines. An item is the
 * keyed hash of a name, its kind and its rule; 64 bits tell two of them apart, so a name that is in no policy is taken
 * for one that is once in 2^62. A line that overflows makes the table larger. Written by userspace/compile_first.c.
 */
enum name_kind {
	NAME_SNI = 1,
	NAME_SNI_WILDCARD = 2, /* *.example.com: example.com */
	NAME_ALPN = 3,
	NAME_HOST = 4,
	NAME_HOST_WILDCARD = 5,
	NAME_METHOD = 6,
	NAME_PATH = 7, /* without a slash at its end; as every name but methods, protocols and JA4, in any letters */
	NAME_JA4 = 8,
};

struct name_item {
	__u64 hash;  /* 0: free */
	__u64 lists; /* NAME_PATH: sources in these may ask for it; 0: nobody */
};

#define NAMES_A_LINE 4
struct name_line {
	struct name_item item[NAMES_A_LINE];
};
_Static_assert(sizeof(struct name_line) == 64, "one cache line");

#define NAME_BYTES 256	     /* the longest name that is looked for is one shorter */
#define NAMES_MAX (1u << 17) /* of one policy */

/* ASCII letters to lower case, eight at a time. */
SHARED_INLINE __u64 lower_word(__u64 word)
{
	const __u64 ones = 0x0101010101010101ULL;
	__u64 low = word & ones * 0x7f;
	__u64 from_a = low + ones * (0x80 - 'A'), beyond_z = low + ones * (0x7f - 'Z');

	return word | ((from_a & ~beyond_z & ~word & ones * 0x80) >> 2);
}

/* length: below NAME_BYTES. Never 0. */
SHARED_INLINE __u64 name_hash(const struct first_bytes *bytes, __u32 at, __u32 length, __u64 seed, __u32 kind,
			      __u32 rule)
{
	struct sip s;

	sip_key(&s, seed, kind << 16 | rule);
	for (__u32 done = 0; done < NAME_BYTES; done += 8) {
		__u64 word;

		if (done >= length)
			break;
		word = word_at(bytes, at + done);
		if (length - done < 8)
			word &= (1ULL << (length - done) * 8) - 1;
		sip_word(&s, kind == NAME_METHOD || kind == NAME_ALPN || kind == NAME_JA4 ? word : lower_word(word));
	}
	return sip_end(&s, length) | 1;
}

#endif
