/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client behind proxies: what X-Forwarded-For says in the head of a request. Every proxy adds at the end the
 * address that its connection came from, in the last header of that name or in a new one behind it; what stands before
 * was written by somebody whom nobody knows. So entries are counted from the end of the last one: with one proxy of
 * ours it is the last, with two the last but one. Compiled by both sides, like request.h, which finds the head.
 */
#ifndef BULWARK_FORWARDED_H
#define BULWARK_FORWARDED_H

#include "request.h"

#define FORWARDED_HOPS 8   /* entries from the end that are remembered; a power of two */
#define FORWARDED_TEXT 56  /* an address in brackets and a port take no more */
#define FORWARDED_GROUPS 8 /* of an IPv6 address */

/* Lines of a head, byte by byte where they are of interest. REQUEST_WHOLE: its end was seen. */
SHARED_INLINE int forwarded_line(const struct first_bytes *bytes, struct http_request *request)
{
	const __u64 first = REQUEST_WORD('x', '-', 'f', 'o', 'r', 'w', 'a', 'r');
	const __u64 second = REQUEST_WORD('d', 'e', 'd', '-', 'f', 'o', 'r', ':');
	__u32 at = request->at, byte = byte_at(bytes, at);

	request->in_value = 0;
	if (at >= request->length) {
		request->state = REQUEST_MORE;
		return 1;
	}
	if (byte == '\r' || byte == '\n') {
		request->state = REQUEST_WHOLE;
		return 1;
	}
	/* a folded line (RFC 9112 5.2): whose value it goes on with is read differently by different servers */
	request->folded |= byte == ' ' || byte == '\t';
	if (lower_word(word_at(bytes, at)) != first || lower_word(word_at(bytes, at + 8)) != second)
		return 0;
	request->at = at + 16;
	request->in_value = 1;
	request->entry[request->entries++ & (FORWARDED_HOPS - 1)] = at + 16;
	return 0;
}

SHARED_STEP(forwarded_step)
{
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 byte, feed;

	if (request->in_value) {
		byte = byte_at(walk->bytes, request->at);
		request->at++;
		if (request->at > request->length)
			request->state = REQUEST_MORE;
		else if (byte == '\n')
			return forwarded_line(walk->bytes, request);
		else if (byte == ',')
			request->entry[request->entries++ & (FORWARDED_HOPS - 1)] = request->at;
		return request->state != REQUEST_SPLIT;
	}
	feed = line_feed(word_at(walk->bytes, request->at));
	if (request->at + feed >= request->length) {
		request->state = REQUEST_MORE;
		return 1;
	}
	request->at += feed == 8 ? 8 : feed + 1;
	return feed == 8 ? 0 : forwarded_line(walk->bytes, request);
}

/* All entries of a head whose request line request_read() has found. */
SHARED_INLINE enum request_state forwarded_find(struct first_bytes *bytes, struct http_request *request)
{
	struct request_walk walk = {bytes, request};

	request->at = request->target_end;
	request->entries = request->in_value = request->folded = 0;
	request->state = REQUEST_SPLIT;
	walk_steps(FIRST_BYTES, forwarded_step, &walk);
	return request->state;
}

/* An address while it is read; what the verifier is not to follow stands in memory that it does not. */
struct forwarded_address {
	__u16 at, end;
	__u16 value;	/* of the digits so far */
	__u8 digits;	/* how many */
	__u8 hex;	/* one of them is none of a decimal number */
	__u8 groups;	/* of 16 bits that are complete */
	__u8 gap;	/* groups before ::, plus 1; 0: there was none */
	__u8 dots;	/* of an IPv4 address, until they are groups of an IPv6 address */
	__u8 bracketed; /* [address] */
	__u8 done;	/* the address is complete: a port, or nothing, may follow */
	__u8 wrong;
	__u8 last; /* byte */
	__u8 unused;
	__u16 group[FORWARDED_GROUPS];
	__u8 v4[4];
};

SHARED_INLINE void forwarded_octet(struct forwarded_address *it)
{
	__u32 octet = (it->value >> 8 & 15) * 100 + (it->value >> 4 & 15) * 10 + (it->value & 15);

	/* 010 is 8 to some and 10 to others */
	it->wrong |= it->hex || !it->digits || it->digits > 3 || (it->digits > 1 && it->value < 0x10) ||
		     (it->digits == 3 && it->value < 0x100) || octet > 255;
	it->v4[it->dots & 3] = octet;
	it->value = it->digits = it->hex = 0;
}

SHARED_INLINE void forwarded_group(struct forwarded_address *it)
{
	it->wrong |= !it->digits || it->digits > 4 || it->groups >= FORWARDED_GROUPS || it->dots;
	it->group[it->groups & (FORWARDED_GROUPS - 1)] = it->value;
	it->groups++;
	it->value = it->digits = it->hex = 0;
}

/* The end of an IPv4 address, which may be that of an IPv6 address: ::ffff:192.0.2.1. */
SHARED_INLINE void forwarded_dotted(struct forwarded_address *it)
{
	forwarded_octet(it);
	it->wrong |= it->dots != 3;
	if (!it->groups && !it->gap) {
		it->wrong |= it->bracketed;
		return;
	}
	it->wrong |= it->groups > FORWARDED_GROUPS - 2;
	for (__u32 i = 0; i < 4; i += 2)
		it->group[it->groups++ & (FORWARDED_GROUPS - 1)] = it->v4[i] << 8 | it->v4[i + 1];
	it->dots = 0;
}

/* The address ends here. */
SHARED_INLINE void forwarded_close(struct forwarded_address *it)
{
	it->done = 1;
	if (it->dots)
		forwarded_dotted(it);
	else if (it->digits)
		forwarded_group(it);
	else /* nothing behind a colon but the one of :: */
		it->wrong |= it->last == ':' && (!it->gap || it->gap != it->groups + 1);
	if (!it->dots)
		it->wrong |= it->gap ? it->groups >= FORWARDED_GROUPS : it->groups != FORWARDED_GROUPS;
}

SHARED_INLINE void forwarded_colon(struct forwarded_address *it)
{
	if (it->dots) { /* 192.0.2.1:4000 */
		it->wrong |= it->groups || it->gap;
		forwarded_close(it);
		it->last = ':';
	} else if (it->last == ':') {
		it->wrong |= it->gap != 0 || it->groups >= FORWARDED_GROUPS;
		it->gap = it->groups + 1;
	} else if (it->digits) {
		forwarded_group(it);
	}
	/* a colon at the very beginning is the first of :: or wrong, as the next byte tells */
}

struct forwarded_walk {
	const struct first_bytes *bytes;
	struct forwarded_address *address;
};

SHARED_STEP(forwarded_address_step)
{
	const struct forwarded_walk *walk = context;
	struct forwarded_address *it = walk->address;
	__u32 byte = byte_at(walk->bytes, it->at), digit = digit_of(byte);

	if (it->at >= it->end || byte == ',' || byte == '\r' || byte == '\n' || byte == ' ' || byte == '\t')
		return 1;
	it->at++;
	if (it->done) { /* a port: digits behind one colon */
		it->wrong |= byte == ':' ? it->last != ']' : byte - '0' > 9 || it->last == ']';
	} else if (digit < 16) {
		it->wrong |= !it->digits && !it->groups && it->last == ':' && !it->gap;
		it->value = it->value << 4 | digit;
		it->digits++;
		it->hex |= digit > 9;
		it->wrong |= it->digits > 4;
	} else if (byte == ':') {
		forwarded_colon(it);
	} else if (byte == '.') {
		it->wrong |= it->dots == 3;
		forwarded_octet(it);
		it->dots++;
	} else if (byte == ']' && it->bracketed) {
		forwarded_close(it);
	} else {
		it->wrong = 1;
	}
	it->last = byte;
	return it->wrong != 0;
}

/* 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. What is behind a gap goes to the end: where to is masked last, for
 * the verifier of 6.1 follows a mask, but not what a comparison says of a copy. */
SHARED_INLINE void forwarded_put(const struct forwarded_address *it, __u8 address[16])
{
	__u32 before = it->gap ? it->gap - 1u : FORWARDED_GROUPS, shift = FORWARDED_GROUPS - it->groups;

	for (__u32 i = 0; i < 16; i++)
		address[i] = 0;
	for (__u32 i = 0; i < FORWARDED_GROUPS; i++) {
		__u32 to = 2 * ((i < before ? i : i + shift) & (FORWARDED_GROUPS - 1));

		if (i >= it->groups)
			break;
		address[to] = it->group[i] >> 8;
		address[to + 1] = it->group[i] & 0xff;
	}
	if (!it->dots)
		return;
	for (__u32 i = 0; i < 12; i++)
		address[i] = i < 10 ? 0 : 0xff;
	for (__u32 i = 0; i < 4; i++)
		address[12 + i] = it->v4[i];
}

/*
 * The client that `hops` proxies speak for. 0: it is shown, in address. Else it is not: fewer entries than proxies, an
 * entry that is no address, a folded line. scratch: room for what is read, not on a stack that is full.
 */
SHARED_INLINE int forwarded_client(const struct first_bytes *bytes, const struct http_request *request, __u32 hops,
				   struct forwarded_address *scratch, __u8 address[16])
{
	struct forwarded_walk walk = {bytes, scratch};
	__u32 at, blanks;

	if (request->folded || !hops || hops > FORWARDED_HOPS || request->entries < hops)
		return -1;
	__builtin_memset(scratch, 0, sizeof(*scratch));
	at = request->entry[(request->entries - hops) & (FORWARDED_HOPS - 1)];
	for (blanks = 0; blanks < REQUEST_BLANKS; blanks++) {
		__u32 byte = byte_at(bytes, at);

		if (byte != ' ' && byte != '\t')
			break;
		at++;
	}
	scratch->bracketed = byte_at(bytes, at) == '[';
	scratch->at = at + scratch->bracketed;
	scratch->end = request->length;
	walk_steps(FORWARDED_TEXT, forwarded_address_step, &walk);
	scratch->wrong |= scratch->done && scratch->last == ':'; /* a port that is none */
	if (!scratch->done && !scratch->bracketed)
		forwarded_close(scratch);
	/* behind it only white space, up to the next entry or the end of the line */
	at = scratch->at;
	for (blanks = 0; blanks < REQUEST_BLANKS; blanks++) {
		__u32 byte = byte_at(bytes, at);

		if (byte != ' ' && byte != '\t' && byte != '\r')
			break;
		at++;
	}
	if (scratch->wrong || !scratch->done || at >= request->length ||
	    (byte_at(bytes, at) != ',' && byte_at(bytes, at) != '\n'))
		return -1;
	forwarded_put(scratch, address);
	return 0;
}

#endif
