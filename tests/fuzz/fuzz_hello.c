/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the beginning of a TLS stream, in the parser that the program at TC ingress is made of. What it finds
 * lies within what was received; whatever part has come, it says that there is more, or what it says of the whole.
 */
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "ja4.h"

#define HEADERS 12 /* every part of so many bytes is tried, and some longer ones */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void within(__u32 at, __u32 length, const struct hello *hello)
{
	if (length && (at < RECORD_HEADER + HANDSHAKE_HEADER || at + length > hello->end))
		abort();
}

/* What is seen of a client is of the hello alone, and makes a JA4 that a policy could name. */
static void see_client(const struct hello *hello, const unsigned char *data, size_t size)
{
	static struct sighting one, other;
	static struct first_bytes bytes;
	char text[JA4_TEXT];

	memset(&one, 0, sizeof(one));
	memset(&other, 0xff, sizeof(other));
	memset(&bytes, 0, sizeof(bytes));
	memcpy(bytes.byte, data, size);
	if (!hello_sight(&bytes, hello, &one))
		return;
	memset(bytes.byte + size, 0xff, sizeof(bytes.byte) - size);
	if (!hello_sight(&bytes, hello, &other) || sighting_number(&one) != sighting_number(&other))
		abort();
	if (one.cipher_count > SIGHT_CIPHERS || one.extension_count > SIGHT_EXTENSIONS ||
	    one.algorithm_count > SIGHT_ALGORITHMS || ja4_trouble(ja4_text(&one, text)))
		abort();
}

/* What stands behind the bytes that were received is not looked at. */
static enum hello_state read_all(const unsigned char *data, size_t size, int behind, struct hello *hello)
{
	static struct first_bytes bytes;

	memset(&bytes, behind, sizeof(bytes));
	memcpy(bytes.byte, data, size);
	memset(hello, 0, sizeof(*hello));
	return hello_read(&bytes, size, hello);
}

/* The highest version that is no GREASE, of those that stand first in the list: read once more, and not as hello.h
 * does. */
static void look_at_versions(const struct hello *hello, const unsigned char *data)
{
	__u32 highest = 0, end = hello->versions + hello->versions_length;

	for (__u32 at = hello->versions; at + 2 <= end && at < hello->versions + 2 * HELLO_VERSIONS; at += 2) {
		int grease = data[at] == data[at + 1] && data[at] % 16 == 10;

		if (!grease && data[at] * 256u + data[at + 1] > highest)
			highest = data[at] * 256u + data[at + 1];
	}
	if (hello->versions_length && hello->highest != highest)
		abort();
}

static enum hello_state read_behind(const unsigned char *data, size_t size, int behind, struct hello *hello)
{
	static struct first_bytes bytes;

	memset(&bytes, behind, sizeof(bytes));
	memcpy(bytes.byte, data, size);
	memset(hello, 0, sizeof(*hello));
	return hello_second(&bytes, size, hello);
}

/* Where the first record is that is read as a handshake's: read once more, and not as hello.h does. size: nowhere. */
static size_t handshake_at(const unsigned char *data, size_t size)
{
	size_t at = 0;

	while (at < size && (data[at] == 20 || data[at] == 21 || data[at] == 23))
		at = size - at < RECORD_HEADER ? size : at + RECORD_HEADER + data[at + 3] * 256u + data[at + 4];
	return at < size && data[at] == 22 ? at : size;
}

/* The same bytes as what stands behind a hello. A second one is what it were alone, and nothing in front hides it. */
static void look_behind(const unsigned char *data, size_t size)
{
	struct hello hello, again, alone;
	enum hello_state state = read_behind(data, size, 0, &hello);
	size_t at = handshake_at(data, size);

	if (read_behind(data, size, 0xff, &again) != state)
		abort();
	if (at < size && (state == HELLO_WHOLE || state == HELLO_MALFORMED) &&
	    read_all(data + at, size - at, 0, &alone) != state)
		abort();
	if (at < size && read_all(data + at, size - at, 0, &alone) == HELLO_WHOLE && state != HELLO_WHOLE)
		abort();
	if (state == HELLO_WHOLE && (at == size || hello.end != at + alone.end || hello.sni_length != alone.sni_length))
		abort();
	for (size_t part = 0; part < size; part += part < HEADERS ? 1 : size / 8 + 1) {
		enum hello_state then = read_behind(data, part, 0xff, &again);

		if (then != HELLO_MORE && then != state)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct hello hello, again;
	enum hello_state state;

	if (size > FIRST_BYTES)
		size = FIRST_BYTES;
	state = read_all(data, size, 0, &hello);
	if (read_all(data, size, 0xff, &again) != state)
		abort();
	if (state == HELLO_WHOLE && memcmp(&hello, &again, sizeof(hello)))
		abort();
	if (state == HELLO_WHOLE) {
		if (hello.end > size || hello.sni_length >= NAME_BYTES)
			abort();
		within(hello.sni, hello.sni_length, &hello);
		within(hello.alpn, hello.alpn_length, &hello);
		within(hello.versions, hello.versions_length, &hello);
		look_at_versions(&hello, data);
		within(hello.ciphers, hello.ciphers_length, &hello);
		within(hello.algorithms, hello.algorithms_length, &hello);
		see_client(&hello, data, size);
	}
	for (size_t part = 0; part < size; part += part < HEADERS ? 1 : size / 8 + 1) {
		enum hello_state then = read_all(data, part, 0xff, &again);

		if (then != HELLO_MORE && then != state)
			abort();
	}
	look_behind(data, size);
	return 0;
}
