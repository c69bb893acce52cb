/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The head of an HTTP/1 request (RFC 9112): method, path and host, as a server will read them. Compiled by both sides;
 * what the walk knows is kept in *request, whose content the verifier does not follow.
 */
#ifndef BULWARK_REQUEST_H
#define BULWARK_REQUEST_H

#include "first_bytes.h"

enum request_state {
	REQUEST_WHOLE = 0,    /* as far as it was asked for */
	REQUEST_MORE = 1,     /* it goes on in bytes that have not come yet */
	REQUEST_SPLIT = 2,    /* it is longer than is looked at */
	REQUEST_NOT_HTTP = 3, /* no request line of HTTP/1 */
	REQUEST_HTTP2 = 4,    /* the connection preface of HTTP/2 (RFC 9113 3.4) */
};

struct http_request {
	__u16 length;		  /* of the bytes that are there */
	__u16 at;		  /* of what is left to walk */
	__u16 method_length;	  /* it begins at 0 */
	__u16 target, target_end; /* as written */
	__u16 path;		  /* in the target; target_end: it has none */
	__u16 authority;	  /* in the target, of http://host/path; 0: it has none */
	__u16 host, host_length;  /* without a port; 0: none */
	__u16 clean;		  /* bytes of the path, decoded, at REQUEST_PATH */
	__u8 unclear;		  /* the path climbs (..), or holds what servers read differently */
	__u8 held;		  /* of an escape: its first digit, while it is read */
	__u8 escape;		  /* its digits that are still to come */
	__u8 last;		  /* byte of the path that was kept */
	__u8 dots;		  /* the segment so far, when it is nothing else; else REQUEST_TEXT */
	__u8 state;		  /* enum request_state, of the walk that is under way */
	/* of the comparison with a policy's paths */
	__u16 compared;
	__u8 segments, denied;
	/* of X-Forwarded-For (forwarded.h) */
	__u16 entries; /* so far; the last eight of them begin at entry[number % 8] */
	__u16 entry[8];
	__u8 in_value;	 /* the line is one of that name */
	__u8 folded;	 /* some line goes on with the one before */
	__u8 by_proxy;	 /* its client is looked for */
	__u8 client;	 /* enum request_state, of the head */
	__u8 parameters; /* of a segment of the path, while they are read */
	__u8 unused;
};
_Static_assert(sizeof(struct http_request) == 54, "no holes");
#define REQUEST_TEXT 3

/* What a walk's step is handed. */
struct request_walk {
	struct first_bytes *bytes;
	struct http_request *request;
};

#define REQUEST_METHOD 32	 /* no method is as long */
#define REQUEST_TARGET 2048	 /* the longest target that is looked at */
#define REQUEST_LINES 1024	 /* steps over header lines at most, of up to eight bytes each */
#define REQUEST_BLANKS 8	 /* before a header's value at most */
#define REQUEST_PATH FIRST_BYTES /* where the decoded path is put, behind what is looked at */

/* The eight bytes of a word, first one lowest. */
#define REQUEST_WORD(a, b, c, d, e, f, g, h)                                                                           \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |    \
	 (__u64)(g) << 48 | (__u64)(h) << 56)

SHARED_INLINE enum request_state request_method(const struct first_bytes *bytes, struct http_request *request)
{
	__u32 at;

	if (request->length >= 8 && word_at(bytes, 0) == REQUEST_WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T'))
		return REQUEST_HTTP2;
	for (at = 0; at < REQUEST_METHOD; at++) {
		__u32 byte = byte_at(bytes, at);

		if (at >= request->length)
			return REQUEST_MORE;
		if (byte == ' ')
			break;
		if ((byte < 'A' || byte > 'Z') && byte != '-' && byte != '_')
			return REQUEST_NOT_HTTP;
	}
	if (!at || at == REQUEST_METHOD)
		return REQUEST_NOT_HTTP;
	request->method_length = at;
	request->target = at + 1;
	return REQUEST_WHOLE;
}

SHARED_STEP(request_target_step)
{
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 byte = byte_at(walk->bytes, request->at);

	if (request->at >= request->length)
		request->state = REQUEST_MORE;
	else if (byte == ' ')
		request->state = REQUEST_WHOLE;
	else if (byte < ' ' || byte == 0x7f)
		request->state = REQUEST_NOT_HTTP;
	else
		request->at++;
	return request->state != REQUEST_SPLIT;
}

/* The target ends at a space, behind which the version stands. */
SHARED_INLINE enum request_state request_target(struct first_bytes *bytes, struct http_request *request)
{
	struct request_walk walk = {bytes, request};

	request->at = request->target;
	request->state = REQUEST_SPLIT;
	walk_steps(REQUEST_TARGET + 1, request_target_step, &walk);
	if (request->state)
		return request->state;
	request->target_end = request->at;
	if (request->target == request->target_end)
		return REQUEST_NOT_HTTP;
	if (request->at + 9 > request->length)
		return REQUEST_MORE;
	if ((word_at(bytes, request->at + 1) & ~0ULL >> 8) != REQUEST_WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return REQUEST_NOT_HTTP;
	request->at += 9;
	return REQUEST_WHOLE;
}

SHARED_STEP(request_host_step)
{
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 at = request->host + request->host_length, byte = byte_at(walk->bytes, at);

	if (at >= request->length || byte == ':' || byte == '/' || byte == '?' || byte <= ' ')
		return 1;
	request->host_length++;
	return 0;
}

/* A host's bytes from at on, which end before a port, a path, or white space. */
SHARED_INLINE void request_host_at(struct first_bytes *bytes, struct http_request *request, __u32 at)
{
	struct request_walk walk = {bytes, request};

	request->host = at;
	request->host_length = 0;
	walk_steps(NAME_BYTES - 1, request_host_step, &walk);
}

/* user:password@host:port ends before a path or a query; what stands before the last @ is no host. */
SHARED_STEP(request_authority_step)
{
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 byte = byte_at(walk->bytes, request->path);

	if (request->path >= request->target_end || byte == '/' || byte == '?')
		return 1;
	request->path++;
	if (byte == '@')
		request->authority = request->path;
	return 0;
}

/* http://host/path: the host of the target counts, not that of the header (RFC 9112 3.2.2). */
SHARED_INLINE void request_form(struct first_bytes *bytes, struct http_request *request)
{
	struct request_walk walk = {bytes, request};
	__u64 word = lower_word(word_at(bytes, request->target));
	__u32 at = request->target;

	request->path = at;
	if (byte_at(bytes, at) == '/')
		return;
	if ((word & ~0ULL >> 8) == REQUEST_WORD('h', 't', 't', 'p', ':', '/', '/', 0))
		request->authority = at + 7;
	else if (word == REQUEST_WORD('h', 't', 't', 'p', 's', ':', '/', '/'))
		request->authority = at + 8;
	if (request->authority && request->authority < request->target_end) {
		request->path = request->authority;
		walk_steps(REQUEST_TARGET, request_authority_step, &walk);
		request_host_at(bytes, request, request->authority);
		return;
	}
	/* * of OPTIONS is for no path; the authority of CONNECT, and whatever else, may be for any */
	request->path = request->target_end;
	request->unclear = byte_at(bytes, at) != '*' || request->target_end != at + 1;
}

SHARED_INLINE __u32 digit_of(__u32 byte)
{
	__u32 letter = (byte | 0x20) - 'a';

	return byte - '0' < 10 ? byte - '0' : letter < 6 ? letter + 10 : 16;
}

/* byte: the next one of the path; the segment before a slash, a parameter or the end must not be . or .. */
SHARED_INLINE void request_segment(struct http_request *request, __u32 byte)
{
	if (byte == '/' || byte == ';') {
		if (request->dots && request->dots < REQUEST_TEXT)
			request->unclear = 1;
		request->dots = byte == '/' ? 0 : REQUEST_TEXT;
	} else if (byte != '.' || request->dots >= 2) {
		request->dots = REQUEST_TEXT;
	} else {
		request->dots++;
	}
}

/* What servers make of these is not known here: \, control characters, a fragment, % that is decoded once more, and
 * bytes that UTF-8 does not have, with which others are written in disguise. */
SHARED_INLINE int is_unclear(__u32 byte)
{
	return byte == '\\' || byte < ' ' || byte == '#' || byte == '%' || byte == 0x7f || byte == 0xc0 ||
	       byte == 0xc1 || byte > 0xf4;
}

/* A decoded byte of the path: empty segments are left out, as most servers do, and the parameters of each (/v1;a=b/x),
 * as some do; so is what stands behind 255 bytes. */
SHARED_INLINE void request_path_byte(struct first_bytes *bytes, struct http_request *request, __u32 byte)
{
	if (is_unclear(byte))
		request->unclear = 1;
	request_segment(request, byte);
	if (byte == '/' || byte == ';')
		request->parameters = byte == ';';
	if (request->parameters || (byte == '/' && request->last == '/'))
		return;
	request->last = byte;
	if (request->clean < NAME_BYTES - 1)
		bytes->byte[(REQUEST_PATH + request->clean++) & FIRST_BYTES_MASK] = byte;
}

SHARED_STEP(request_path_step)
{
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 byte = byte_at(walk->bytes, request->at), digit = digit_of(byte);

	if (request->at >= request->target_end || (!request->escape && byte == '?'))
		return 1;
	request->at++;
	if (!request->escape) {
		if (byte == '%')
			request->escape = 2;
		else
			request_path_byte(walk->bytes, request, byte);
		return 0;
	}
	if (digit > 15)
		request->unclear = 1;
	if (--request->escape)
		request->held = digit;
	else
		request_path_byte(walk->bytes, request, (request->held << 4 | digit) & 0xff);
	return 0;
}

/* The path up to its query, %XX decoded once. */
SHARED_INLINE void request_path(struct first_bytes *bytes, struct http_request *request)
{
	struct request_walk walk = {bytes, request};
	__u32 at = request->at;

	request->clean = request->escape = request->last = request->dots = request->parameters = 0;
	request->at = request->path;
	walk_steps(REQUEST_TARGET, request_path_step, &walk);
	request_segment(request, '/');
	if (request->escape)
		request->unclear = 1;
	request->at = at;
}

/* Where in a word the first line feed stands: 8 when it has none. */
SHARED_INLINE __u32 line_feed(__u64 word)
{
	const __u64 ones = 0x0101010101010101ULL;
	__u64 rest = word ^ ones * '\n';

	rest = (rest - ones) & ~rest & ones * 0x80; /* its lowest bit is right */
	for (__u32 i = 0; i < 8; i++)
		if (rest >> i * 8 & 0x80)
			return i;
	return 8;
}

/* Eight bytes of header lines, or what is left of a line; and whether Host stands behind its end. */
SHARED_STEP(request_line_step)
{
	const __u64 host = REQUEST_WORD('h', 'o', 's', 't', ':', 0, 0, 0), mask = ~0ULL >> 24;
	const struct request_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 feed = line_feed(word_at(walk->bytes, request->at)), byte;

	if (request->at + feed >= request->length) {
		request->state = REQUEST_MORE;
		return 1;
	}
	request->at += feed == 8 ? 8 : feed + 1;
	if (feed == 8)
		return 0;
	byte = byte_at(walk->bytes, request->at);
	if (request->at >= request->length)
		request->state = REQUEST_MORE;
	else if (byte == '\r' || byte == '\n')
		request->state = REQUEST_WHOLE; /* the head ends */
	else if ((lower_word(word_at(walk->bytes, request->at)) & mask) == host)
		request->host = request->at + 5;
	return request->state != REQUEST_SPLIT || request->host;
}

/* The first Host header, from the end of the request line on. */
SHARED_INLINE enum request_state request_host(struct first_bytes *bytes, struct http_request *request)
{
	struct request_walk walk = {bytes, request};
	__u32 at;

	request->state = REQUEST_SPLIT;
	walk_steps(REQUEST_LINES, request_line_step, &walk);
	if (!request->host)
		return request->state;
	at = request->host;
	for (__u32 blank = 0; blank < REQUEST_BLANKS; blank++) {
		__u32 byte = byte_at(bytes, at);

		if (byte != ' ' && byte != '\t')
			break;
		at++;
	}
	request_host_at(bytes, request, at);
	return request->host + request->host_length >= request->length ? REQUEST_MORE : REQUEST_WHOLE;
}

/* The request line; then, as asked, the decoded path and the host. */
SHARED_INLINE enum request_state request_read(struct first_bytes *bytes, __u32 length, int paths, int hosts,
					      struct http_request *request)
{
	enum request_state state;

	request->length = length > FIRST_BYTES ? FIRST_BYTES : length;
	state = request_method(bytes, request);
	if (!state)
		state = request_target(bytes, request);
	if (!state) {
		request_form(bytes, request);
		if (paths)
			request_path(bytes, request);
		if (hosts && !request->authority)
			state = request_host(bytes, request);
	}
	return state == REQUEST_MORE && request->length == FIRST_BYTES ? REQUEST_SPLIT : state;
}

#endif
