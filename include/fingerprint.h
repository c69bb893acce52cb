/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who sends a ClientHello: what JA4 (FoxIO's TLS client fingerprint) is made of, and a number for it that costs no
 * sorting. JA4 itself, with its SHA-256, is made in user space (userspace/ja4.c), once for every such number. Two
 * hellos of one JA4 have one number here, unless they differ in what JA4 cuts off: counts above 99, versions that it
 * does not know, all but a digit of protocols in other letters.
 */
#ifndef BULWARK_FINGERPRINT_H
#define BULWARK_FINGERPRINT_H

#include "hello.h"

#define SIGHT_CIPHERS 128
#define SIGHT_EXTENSIONS HELLO_EXTENSIONS
#define SIGHT_ALGORITHMS 64

/* What was seen of a client; host order, as sent: GREASE is among it, and is left out when it is read. */
struct sighting {
	__u16 version; /* the highest one offered, also of those nobody knows */
	__u8 named;    /* it names a server */
	__u8 offers;   /* it offers a protocol: alpn is the first and the last byte of the first one */
	__u8 alpn[2];
	__u16 cipher_count, extension_count, algorithm_count;
	__u16 cipher[SIGHT_CIPHERS];
	__u16 extension[SIGHT_EXTENSIONS];
	__u16 algorithm[SIGHT_ALGORITHMS]; /* of signatures, in the order of preference */
};
_Static_assert(sizeof(struct sighting) == 12 + 2 * (128 + 64 + 64), "struct sighting is one value of a map");

SHARED_INLINE int sight_ciphers(const struct first_bytes *bytes, const struct hello *hello, struct sighting *sighting)
{
	if (hello->ciphers_length > 2 * SIGHT_CIPHERS)
		return 0;
	for (__u32 i = 0; i < SIGHT_CIPHERS; i++) {
		if (2 * i >= hello->ciphers_length)
			break;
		sighting->cipher[i] = number_at(bytes, hello->ciphers + 2 * i);
	}
	sighting->cipher_count = hello->ciphers_length / 2;
	return 1;
}

SHARED_INLINE int sight_algorithms(const struct first_bytes *bytes, const struct hello *hello,
				   struct sighting *sighting)
{
	if (hello->algorithms_length > 2 * SIGHT_ALGORITHMS)
		return 0;
	for (__u32 i = 0; i < SIGHT_ALGORITHMS; i++) {
		if (2 * i >= hello->algorithms_length)
			break;
		sighting->algorithm[i] = number_at(bytes, hello->algorithms + 2 * i);
	}
	sighting->algorithm_count = hello->algorithms_length / 2;
	return 1;
}

/* As many as hello_read() has walked. */
SHARED_INLINE void sight_extensions(const struct first_bytes *bytes, const struct hello *hello,
				    struct sighting *sighting)
{
	__u32 at = hello->extensions, i;

	for (i = 0; i < SIGHT_EXTENSIONS; i++) {
		if (at >= hello->end)
			break;
		sighting->extension[i] = number_at(bytes, at);
		at += 4 + number_at(bytes, at + 2);
	}
	sighting->extension_count = i;
}

/* Of a whole hello. false: it holds more than is looked at. */
SHARED_INLINE int hello_sight(const struct first_bytes *bytes, const struct hello *hello, struct sighting *sighting)
{
	__u32 length = byte_at(bytes, hello->alpn);

	sighting->version = hello->highest;
	sighting->named = !!(hello->seen & HELLO_SEEN_SNI);
	sighting->offers = hello->alpn_length && length && length < hello->alpn_length;
	sighting->alpn[0] = sighting->offers ? byte_at(bytes, hello->alpn + 1) : 0;
	sighting->alpn[1] = sighting->offers ? byte_at(bytes, hello->alpn + length) : 0;
	sight_extensions(bytes, hello, sighting);
	return sight_ciphers(bytes, hello, sighting) && sight_algorithms(bytes, hello, sighting);
}

/* Every bit of the result depends on every one of the value (the finalizer of MurmurHash3). */
SHARED_INLINE __u64 mix(__u64 value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdULL;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ULL;
	return value ^ value >> 33;
}

enum { MIX_CIPHER = 1, MIX_EXTENSION = 2 };

/*
 * A sum of mixed values, for which their order does not matter; the order of signature algorithms does. No secret is in
 * it, so it means the same on every host and after a reboot: who makes a hello of another's number still has to make
 * it of a denied JA4, whose two hashes name all that the number is made of.
 */
SHARED_INLINE __u64 sighting_number(const struct sighting *sighting)
{
	__u64 sum = mix((__u64)sighting->version << 32 | sighting->named << 24 | sighting->offers << 16 |
			sighting->alpn[0] << 8 | sighting->alpn[1]);
	__u64 order = 0;

	for (__u32 i = 0; i < SIGHT_CIPHERS; i++) {
		if (i >= sighting->cipher_count)
			break;
		if (!is_grease(sighting->cipher[i]))
			sum += mix(MIX_CIPHER << 16 | sighting->cipher[i]);
	}
	for (__u32 i = 0; i < SIGHT_EXTENSIONS; i++) {
		if (i >= sighting->extension_count)
			break;
		if (!is_grease(sighting->extension[i]))
			sum += mix(MIX_EXTENSION << 16 | sighting->extension[i]);
	}
	for (__u32 i = 0; i < SIGHT_ALGORITHMS; i++) {
		if (i >= sighting->algorithm_count)
			break;
		if (!is_grease(sighting->algorithm[i]))
			order = mix(order + sighting->algorithm[i] + 1);
	}
	return mix(sum + 3 * order);
}

/* ---- what is known of such numbers ---- */

#define JA4_LENGTH 36 /* t13d1516h2_8daaf6152771_e5627efa2ab1 */

struct fingerprint {
	char ja4[40];  /* NUL-terminated, and zero to its end */
	__u64 seen_ns; /* coarse monotonic clock: when a hello was last judged by it; 0: not since it is there */
	__u32 denied;  /* 1: some policy has denied it: the last to be forgotten */
	__u32 unused;
};
_Static_assert(sizeof(struct fingerprint) == 56, "fingerprint is pinned");

/* As name_hash() of its JA4 as a name of this rule. */
SHARED_INLINE __u64 fingerprint_hash(const struct fingerprint *fingerprint, __u64 seed, __u32 rule)
{
	struct sip s;

	sip_key(&s, seed, NAME_JA4 << 16 | rule);
	for (__u32 at = 0; at < sizeof(fingerprint->ja4); at += 8) {
		__u64 word;

		__builtin_memcpy(&word, &fingerprint->ja4[at], sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		word = __builtin_bswap64(word);
#endif
		sip_word(&s, word);
	}
	return sip_end(&s, JA4_LENGTH) | 1;
}

#endif
