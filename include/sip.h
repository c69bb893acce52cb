/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SipHash-1-3 (Aumasson and Bernstein, 2012) over 64-bit words, for both sides. */
#ifndef BULWARK_SIP_H
#define BULWARK_SIP_H

#define SHARED_INLINE static inline __attribute__((always_inline, unused))

struct sip {
	__u64 a, b, c, d;
};

SHARED_INLINE __u64 rotate(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

/* A round in two halves: no word reaches the first one, so that the state always has that of its next round behind it,
 * and a key's is done once. */
SHARED_INLINE void sip_first_half(struct sip *s)
{
	s->a += s->b;
	s->b = rotate(s->b, 13) ^ s->a;
	s->a = rotate(s->a, 32);
}

SHARED_INLINE void sip_second_half(struct sip *s)
{
	s->c += s->d;
	s->d = rotate(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = rotate(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = rotate(s->b, 17) ^ s->c;
	s->c = rotate(s->c, 32);
}

SHARED_INLINE void sip_round(struct sip *s)
{
	sip_second_half(s);
	sip_first_half(s);
}

SHARED_INLINE void sip_word(struct sip *s, __u64 word)
{
	s->d ^= word;
	sip_second_half(s);
	s->a ^= word;
	sip_first_half(s);
}

SHARED_INLINE void sip_key(struct sip *s, __u64 first, __u64 second)
{
	s->a = first ^ 0x736f6d6570736575ULL;
	s->b = second ^ 0x646f72616e646f6dULL;
	s->c = first ^ 0x6c7967656e657261ULL;
	s->d = second ^ 0x7465646279746573ULL;
	sip_first_half(s);
}

/* length: of the whole message in bytes; tail: up to seven of them that fill no word, in the low bits. */
SHARED_INLINE __u64 sip_tail(struct sip *s, __u64 tail, __u64 length)
{
	sip_word(s, length << 56 | tail);
	s->c ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_second_half(s);
	return s->a ^ s->b ^ s->c ^ s->d;
}

SHARED_INLINE __u64 sip_end(struct sip *s, __u64 length)
{
	return sip_tail(s, 0, length);
}

/* What a key is for is part of it, so that tables and kinds never mistake each other's entries. */
enum key_kind {
	KEY_FLOW = 1,
	KEY_HALF_OPEN = 2,
	KEY_FRAGMENT = 3,
	KEY_SAMPLE = 4,
	KEY_SOURCE = 5,
	KEY_OFFENCE = 6,
	KEY_COOKIE = 7,
	KEY_STREAM = 8,
	KEY_KNOWN = 9,
	KEY_FLOOR = 10,
};

/*
 * A part of a source that is counted as one, masked to length; halves in host order. Few words, since most packets of a
 * service with a limit are hashed: of IPv4 what counts fits into the tail, of IPv6 it mostly is one word and the tail.
 */
SHARED_INLINE __u64 sip_source(struct sip *s, enum key_kind kind, __u64 high, __u64 low, __u32 length, int ipv4)
{
	__u64 tail = length << 8 | kind;

	if (ipv4)
		return sip_tail(s, (low & 0xffffffff) << 16 | tail, 6);
	sip_word(s, high);
	if (length <= 64)
		return sip_tail(s, tail, 10);
	sip_word(s, low);
	return sip_tail(s, tail, 18);
}

#endif
