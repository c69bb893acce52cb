/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TLS ClientHello (RFC 8446 4.1.2; RFC 5246 7.4.1.2; extensions of RFC 6066, 7301): where in the first bytes of a
 * stream what a policy asks for stands. What the walk knows is kept in *hello, whose content the verifier does not
 * follow: its rounds look alike to it.
 */
#ifndef BULWARK_HELLO_H
#define BULWARK_HELLO_H

#include "first_bytes.h"

enum hello_state {
	HELLO_WHOLE = 0,
	HELLO_MORE = 1,	     /* it goes on in bytes that have not come yet */
	HELLO_SPLIT = 2,     /* over several records, or longer than is looked at */
	HELLO_NOT_TLS = 3,   /* no TLS record, or one that holds no ClientHello */
	HELLO_MALFORMED = 4, /* its lengths lie */
	HELLO_NONE = 5,	     /* behind the first one: no second one comes any more */
};

struct hello {
	__u16 at, end;	       /* of what is left to walk */
	__u16 version;	       /* the highest one offered: 0x0303 is TLS 1.2 */
	__u16 sni, sni_length; /* 0: none */
	__u16 alpn, alpn_length;
	__u16 versions, versions_length;
	__u16 seen;    /* extensions of the above, HELLO_SEEN_* */
	__u16 highest; /* of what stands in the list of versions, whatever it is; without one the hello's own */
	__u16 ciphers, ciphers_length;
	__u16 extensions;		     /* where the first one begins */
	__u16 algorithms, algorithms_length; /* of signatures */
};
_Static_assert(sizeof(struct hello) == 32, "no holes");
enum { HELLO_SEEN_SNI = 1, HELLO_SEEN_ALPN = 2, HELLO_SEEN_VERSIONS = 4, HELLO_SEEN_ALGORITHMS = 8 };

#define HELLO_EXTENSIONS 64 /* walked at most; clients send about twenty */
#define HELLO_VERSIONS 16   /* likewise of the versions that one offers */
#define HELLO_LEAST 41	    /* version, random, no session, one cipher suite, one compression method */
#define RECORD_HEADER 5
#define TLS_1_3 0x0304
#define HANDSHAKE_HEADER 4

enum { RECORD_CHANGE_CIPHER = 20, RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23, CLIENT_HELLO = 1 };
enum { EXTENSION_SNI = 0, EXTENSION_ALGORITHMS = 13, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43 };

/* Record and handshake header: whether it is a ClientHello, and whole. length: bytes that are there from `at` on.
 * Nothing else stands in its record: what a second hello could be would be read with it. */
SHARED_INLINE enum hello_state hello_open(const struct first_bytes *bytes, __u32 at, __u32 length, struct hello *hello)
{
	__u32 record = number_at(bytes, at + 3), body = byte_at(bytes, at + 6) << 16 | number_at(bytes, at + 7);

	if (!length)
		return HELLO_MORE;
	if (byte_at(bytes, at) != RECORD_HANDSHAKE || (length > 1 && byte_at(bytes, at + 1) != 3) ||
	    (length > RECORD_HEADER && byte_at(bytes, at + RECORD_HEADER) != CLIENT_HELLO))
		return HELLO_NOT_TLS;
	if (length < RECORD_HEADER)
		return HELLO_MORE;
	if (!record || record > 16384)
		return HELLO_NOT_TLS;
	if (length < RECORD_HEADER + HANDSHAKE_HEADER)
		return HELLO_MORE;
	if (record < HANDSHAKE_HEADER)
		return HELLO_SPLIT;
	if (body < HELLO_LEAST || body + HANDSHAKE_HEADER < record)
		return HELLO_MALFORMED;
	if (body + HANDSHAKE_HEADER > record || body + RECORD_HEADER + HANDSHAKE_HEADER > FIRST_BYTES)
		return HELLO_SPLIT;
	if (length < RECORD_HEADER + HANDSHAKE_HEADER + body)
		return HELLO_MORE;
	hello->at = at + RECORD_HEADER + HANDSHAKE_HEADER;
	hello->end = hello->at + body;
	return HELLO_WHOLE;
}

/* Steps over a field of that many bytes: false when it would end behind the hello. */
SHARED_INLINE int hello_step(struct hello *hello, __u32 size)
{
	__u32 at = hello->at + size;

	if (at > hello->end)
		return 0;
	hello->at = at;
	return 1;
}

/* Up to the extensions. */
SHARED_INLINE enum hello_state hello_fixed(const struct first_bytes *bytes, struct hello *hello)
{
	__u32 size;

	hello->version = number_at(bytes, hello->at);
	if (!hello_step(hello, 2 + 32))
		return HELLO_MALFORMED;
	size = byte_at(bytes, hello->at);
	if (size > 32 || !hello_step(hello, 1 + size))
		return HELLO_MALFORMED;
	size = number_at(bytes, hello->at);
	hello->ciphers = hello->at + 2;
	hello->ciphers_length = size;
	if (size < 2 || size & 1 || !hello_step(hello, 2 + size))
		return HELLO_MALFORMED;
	size = byte_at(bytes, hello->at);
	if (!size || !hello_step(hello, 1 + size))
		return HELLO_MALFORMED;
	hello->extensions = hello->end;
	if (hello->at == hello->end)
		return HELLO_WHOLE; /* SSL 3.0 and TLS 1.0 know none */
	size = number_at(bytes, hello->at);
	if (!hello_step(hello, 2) || hello->at + size != hello->end)
		return HELLO_MALFORMED;
	hello->extensions = hello->at;
	return HELLO_WHOLE;
}

/* at, size: of the extension's content. */
SHARED_INLINE int hello_sni(const struct first_bytes *bytes, struct hello *hello, __u32 at, __u32 size)
{
	__u32 name = number_at(bytes, at + 3);

	/* one list of one host_name: RFC 6066 knows no other type, and no name twice */
	if (size < 5 || number_at(bytes, at) != size - 2 || byte_at(bytes, at + 2) || !name || name + 5 > size ||
	    name >= NAME_BYTES)
		return 0;
	hello->sni = at + 5;
	hello->sni_length = name;
	return 1;
}

SHARED_INLINE int hello_alpn(const struct first_bytes *bytes, struct hello *hello, __u32 at, __u32 size)
{
	if (size < 4 || number_at(bytes, at) != size - 2)
		return 0;
	hello->alpn = at + 2;
	hello->alpn_length = size - 2;
	return 1;
}

SHARED_INLINE int hello_versions(const struct first_bytes *bytes, struct hello *hello, __u32 at, __u32 size)
{
	if (size < 3 || byte_at(bytes, at) != size - 1 || !(size & 1))
		return 0;
	hello->versions = at + 1;
	hello->versions_length = size - 1;
	return 1;
}

SHARED_INLINE int hello_algorithms(const struct first_bytes *bytes, struct hello *hello, __u32 at, __u32 size)
{
	if (size < 4 || number_at(bytes, at) != size - 2 || size & 1)
		return 0;
	hello->algorithms = at + 2;
	hello->algorithms_length = size - 2;
	return 1;
}

/* The extension at hello->at. None that is looked at may stand there twice (RFC 8446 4.2). */
SHARED_INLINE int hello_extension(const struct first_bytes *bytes, struct hello *hello)
{
	__u32 at = hello->at, type = number_at(bytes, at), size = number_at(bytes, at + 2), seen = 0;
	int right = 1;

	if (at + 4 > hello->end || !hello_step(hello, 4 + size))
		return 0;
	if (type == EXTENSION_SNI)
		seen = HELLO_SEEN_SNI;
	else if (type == EXTENSION_ALPN)
		seen = HELLO_SEEN_ALPN;
	else if (type == EXTENSION_VERSIONS)
		seen = HELLO_SEEN_VERSIONS;
	else if (type == EXTENSION_ALGORITHMS)
		seen = HELLO_SEEN_ALGORITHMS;
	if (!seen)
		return 1;
	if (hello->seen & seen)
		return 0;
	hello->seen |= seen;
	if (type == EXTENSION_SNI)
		right = hello_sni(bytes, hello, at + 4, size);
	else if (type == EXTENSION_ALPN)
		right = hello_alpn(bytes, hello, at + 4, size);
	else if (type == EXTENSION_ALGORITHMS)
		right = hello_algorithms(bytes, hello, at + 4, size);
	else
		right = hello_versions(bytes, hello, at + 4, size);
	return right;
}

/* Values that stand for nothing, which clients mix in so that servers learn to ignore what they do not know
 * (RFC 8701): 0a0a, 1a1a, ... fafa. */
SHARED_INLINE int is_grease(__u32 value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* The highest version of the list, which counts instead of the hello's own (RFC 8446 4.2.1). Values that are no
 * version (GREASE, drafts) do not count. */
SHARED_INLINE void hello_version(const struct first_bytes *bytes, struct hello *hello)
{
	__u32 highest = 0;

	hello->highest = hello->version;
	if (!(hello->seen & HELLO_SEEN_VERSIONS))
		return;
	hello->highest = 0;
	for (__u32 i = 0; i < HELLO_VERSIONS; i++) {
		__u32 version;

		if (2 * i >= hello->versions_length)
			break;
		version = number_at(bytes, hello->versions + 2 * i);
		if (version >> 8 == 3 && version > highest)
			highest = version;
		if (!is_grease(version) && version > hello->highest)
			hello->highest = version;
	}
	hello->version = highest;
}

/* What hello_open() has found. */
SHARED_INLINE enum hello_state hello_walk(const struct first_bytes *bytes, struct hello *hello)
{
	enum hello_state state = hello_fixed(bytes, hello);

	if (state)
		return state;
	for (int i = 0; i < HELLO_EXTENSIONS; i++) {
		if (hello->at >= hello->end)
			break;
		if (!hello_extension(bytes, hello))
			return HELLO_MALFORMED;
	}
	if (hello->at != hello->end)
		return HELLO_SPLIT;
	hello_version(bytes, hello);
	return HELLO_WHOLE;
}

SHARED_INLINE enum hello_state hello_read(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	enum hello_state state = hello_open(bytes, 0, length, hello);

	return state ? state : hello_walk(bytes, hello);
}

/* ---- a second hello ---- */

struct record_walk {
	const struct first_bytes *bytes;
	struct hello *hello; /* at: of the record that is looked at */
	__u32 length;
	__u32 unused;
};

/* Over a record that a server may throw away before it reads a second hello: a change of ciphers, which means nothing
 * in TLS 1.3, data sent early, an alert that only warns. */
SHARED_STEP(record_step)
{
	const struct record_walk *walk = context;
	__u32 at = walk->hello->at, kind = byte_at(walk->bytes, at), next;

	if (at + RECORD_HEADER > walk->length ||
	    (kind != RECORD_CHANGE_CIPHER && kind != RECORD_ALERT && kind != RECORD_DATA))
		return 1;
	next = at + RECORD_HEADER + number_at(walk->bytes, at + 3);
	walk->hello->at = next < FIRST_BYTES ? next : FIRST_BYTES;
	return next >= FIRST_BYTES;
}

/*
 * What stands behind a ClientHello that offers TLS 1.3: a second one, where the server asks for it (HelloRetryRequest,
 * RFC 8446 4.1.4), which may name another server. Another record of a handshake means that it did not. Of TLS 1.2 that
 * record may be encrypted already, and then begins like a hello once in 256 times: one whose length does not fit, which
 * is HELLO_SPLIT.
 */
SHARED_INLINE enum hello_state hello_second(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	struct record_walk walk = {bytes, hello, length, 0};
	enum hello_state state;
	__u32 at, kind;

	hello->at = 0;
	walk_steps(FIRST_BYTES / RECORD_HEADER + 1, record_step, &walk);
	at = hello->at;
	if (at >= FIRST_BYTES)
		return HELLO_SPLIT;
	kind = byte_at(bytes, at);
	if (at < length && (kind < RECORD_CHANGE_CIPHER || kind > RECORD_DATA))
		return HELLO_NONE;
	if (at + RECORD_HEADER >= length)
		return HELLO_MORE;
	if (number_at(bytes, at + 3) && byte_at(bytes, at + RECORD_HEADER) != CLIENT_HELLO)
		return HELLO_NONE;
	state = hello_open(bytes, at, length - at, hello);
	return state ? state : hello_walk(bytes, hello);
}

#endif
