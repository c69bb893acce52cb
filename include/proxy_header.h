/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The header of the PROXY protocol, version 2 (proxy-protocol.txt of haproxy): binary, at the beginning of a
 * connection, before anything that its client sent. Compiled by both sides, like hello.h and request.h, which read what
 * is behind it. Its TLVs are not looked at.
 */
#ifndef BULWARK_PROXY_HEADER_H
#define BULWARK_PROXY_HEADER_H

#include "first_bytes.h"

enum proxy_state {
	PROXY_SHOWN = 0,  /* the client's address is there */
	PROXY_LOCAL = 1,  /* the proxy speaks for itself: a check whether the server is there */
	PROXY_HIDDEN = 2, /* the client has no address of IP, or none that the proxy knows */
	PROXY_SPLIT = 3,  /* not all of it is there */
	PROXY_WRONG = 4,  /* no such header, or one of another version, command, protocol or length */
};

#define PROXY_FIXED 16 /* bytes before the addresses: signature, version and command, family and protocol, length */
/* TCP is the lower half of a family's byte */
enum { PROXY_UNSPEC = 0x00, PROXY_TCP4 = 0x11, PROXY_TCP6 = 0x21, PROXY_UNIX = 0x31 };
enum { PROXY_TCP4_BYTES = 12, PROXY_TCP6_BYTES = 36, PROXY_UNIX_BYTES = 216 }; /* both addresses, both ports */

/* \r\n\r\n\0\r\nQUIT\n, as words whose first byte is lowest. No request and no TLS record begins so. */
#define PROXY_SIGNATURE 0x510a0d000a0d0a0dULL
#define PROXY_SIGNATURE_END 0x0a544955ULL

/* How many bytes the addresses of a connection over TCP take; the ports are the last four. 0: no such family. */
SHARED_INLINE __u32 proxy_addresses(__u32 family)
{
	switch (family) {
	case PROXY_TCP4:
		return PROXY_TCP4_BYTES;
	case PROXY_TCP6:
		return PROXY_TCP6_BYTES;
	case PROXY_UNIX:
		return PROXY_UNIX_BYTES;
	default:
		return 0;
	}
}

/* Of a command to speak for a client: whether the addresses are there and are of IP. */
SHARED_INLINE enum proxy_state proxy_family(__u32 family, __u32 length)
{
	__u32 least = proxy_addresses(family);

	if (!least && family != PROXY_UNSPEC)
		return PROXY_WRONG;
	if (length < least)
		return PROXY_WRONG;
	return family == PROXY_TCP4 || family == PROXY_TCP6 ? PROXY_SHOWN : PROXY_HIDDEN;
}

/* length: bytes that are there; *size: of the whole header, where it is there. */
SHARED_INLINE enum proxy_state proxy_header_read(const struct first_bytes *bytes, __u32 length, __u32 *size)
{
	__u64 left = length < 8 ? (1ULL << length * 8) - 1 : ~0ULL;
	__u32 command = byte_at(bytes, 12);

	if ((word_at(bytes, 0) ^ PROXY_SIGNATURE) & left)
		return PROXY_WRONG;
	if (length < PROXY_FIXED)
		return PROXY_SPLIT;
	if ((word_at(bytes, 8) & 0xffffffff) != PROXY_SIGNATURE_END || (command != 0x20 && command != 0x21))
		return PROXY_WRONG;
	*size = PROXY_FIXED + number_at(bytes, 14);
	if (*size > length)
		return PROXY_SPLIT;
	return command == 0x20 ? PROXY_LOCAL : proxy_family(byte_at(bytes, 13), *size - PROXY_FIXED);
}

/* Of a header that shows it: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
SHARED_INLINE void proxy_client(const struct first_bytes *bytes, __u8 client[16])
{
	int v4 = byte_at(bytes, 13) == PROXY_TCP4;

	for (__u32 i = 0; i < 16; i++) {
		if (!v4)
			client[i] = byte_at(bytes, PROXY_FIXED + i);
		else if (i < 12)
			client[i] = i < 10 ? 0 : 0xff;
		else
			client[i] = byte_at(bytes, PROXY_FIXED + i - 12);
	}
}

#endif
