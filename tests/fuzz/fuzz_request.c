/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the beginning of an HTTP stream, or of a proxy's header, in the parser that the program at TC ingress is
 * made of. What it finds lies within what was received, and part of it says that there is more, or what the whole says.
 */
#include <arpa/inet.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "forwarded.h"
#include "proxy_header.h"

#define PARTS 16

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct first_bytes bytes;

static enum request_state read_all(const unsigned char *data, size_t size, int behind, struct http_request *request)
{
	memset(&bytes, behind, sizeof(bytes));
	memcpy(bytes.byte, data, size);
	memset(request, 0, sizeof(*request));
	return request_read(&bytes, size, 1, 1, request);
}

/* A path that servers may read in one way only: no empty segment, none that climbs, no parameters, nothing still
 * encoded. */
static void must_be_plain(const struct http_request *request)
{
	const char *path = (const char *)bytes.byte + REQUEST_PATH;
	size_t length = request->clean, from = 0;

	if (request->unclear || length >= NAME_BYTES - 1) /* longer ones are cut */
		return;
	if (memchr(path, '%', length) || memchr(path, '\\', length) || memchr(path, '#', length) ||
	    memchr(path, ';', length))
		abort();
	for (size_t at = 0; at <= length; at++) {
		size_t segment = at - from;

		if (at < length && path[at] != '/')
			continue;
		if ((!segment && at && at < length) || (segment == 1 && path[from] == '.') ||
		    (segment == 2 && !memcmp(path + from, "..", 2)))
			abort();
		from = at + 1;
	}
}

/* The client is the same whatever stands behind the bytes, and only one that the library reads as an address, too. */
static void must_be_an_address(const unsigned char *data, size_t size)
{
	static struct forwarded_address room;
	struct http_request request;
	__u8 address[2][16] = {};
	int shown[2] = {-1, -1};
	char text[64] = "";

	for (int i = 0; i < 2; i++) {
		if (read_all(data, size, i ? 0xff : 0, &request) == REQUEST_WHOLE &&
		    forwarded_find(&bytes, &request) == REQUEST_WHOLE)
			shown[i] = forwarded_client(&bytes, &request, 1, &room, address[i]);
	}
	if (shown[0] != shown[1] || memcmp(address[0], address[1], 16))
		abort();
	if (shown[0])
		return;
	for (unsigned at = request.entry[(request.entries - 1u) & (FORWARDED_HOPS - 1)], length = 0; at < size; at++) {
		if (strchr(" \t[", data[at]) && !length)
			continue;
		if (strchr("],\r\n \t", data[at]) || (data[at] == ':' && strchr(text, '.')))
			break;
		if (length + 1 == sizeof(text))
			abort();
		text[length++] = (char)data[at];
	}
	if (inet_pton(AF_INET, text, address[1] + 12) != 1 && inet_pton(AF_INET6, text, address[1]) != 1)
		abort();
	if (memcmp(address[0], address[1], 16))
		abort();
}

/* A header is the same whatever stands behind the bytes, lies within them, and less of it is no other one. */
static void must_be_a_header(const unsigned char *data, size_t size)
{
	enum proxy_state state[2];
	__u32 length[2] = {};
	__u8 client[2][16] = {};

	for (int i = 0; i < 2; i++) {
		memset(bytes.byte, i ? 0xff : 0, sizeof(bytes.byte));
		memcpy(bytes.byte, data, size);
		state[i] = proxy_header_read(&bytes, size, &length[i]);
		if (state[i] == PROXY_SHOWN)
			proxy_client(&bytes, client[i]);
	}
	if (state[0] != state[1] || length[0] != length[1] || memcmp(client[0], client[1], 16))
		abort();
	if (state[0] >= PROXY_SPLIT)
		return;
	if (length[0] < PROXY_FIXED || length[0] > size || memcmp(data, "\r\n\r\n\0\r\nQUIT\n", 12))
		abort();
	for (__u32 part = 0; part < length[0]; part++)
		if (proxy_header_read(&bytes, part, &length[1]) != PROXY_SPLIT)
			abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct http_request request, again;
	enum request_state state;

	if (size > FIRST_BYTES)
		size = FIRST_BYTES;
	must_be_a_header(data, size);
	must_be_an_address(data, size);
	state = read_all(data, size, 0, &request);
	if (read_all(data, size, 0xff, &again) != state)
		abort();
	if (state == REQUEST_WHOLE) {
		if (memcmp(&request, &again, sizeof(request)) || request.target_end > size || request.path > size ||
		    request.host + request.host_length > size || request.clean >= NAME_BYTES)
			abort();
		must_be_plain(&again);
		if (request.host_length >= NAME_BYTES || request.method_length >= REQUEST_METHOD)
			abort();
	}
	for (size_t part = 0; part < size; part += size / PARTS + 1) {
		enum request_state then = read_all(data, part, 0xff, &again);

		if (then != REQUEST_MORE && then != state && then != REQUEST_WHOLE)
			abort();
	}
	return 0;
}
