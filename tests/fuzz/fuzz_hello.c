/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the beginning of a TLS stream, in the parser that the program at TC ingress is made of. What it finds
 * lies within what was received; whatever part has come, it says that there is more, or what it says of the whole.
 */
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "hello.h"

#define HEADERS 12 /* every part of so many bytes is tried, and some longer ones */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void within(__u32 at, __u32 length, const struct hello *hello)
{
	if (length && (at < RECORD_HEADER + HANDSHAKE_HEADER || at + length > hello->end))
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
	}
	for (size_t part = 0; part < size; part += part < HEADERS ? 1 : size / 8 + 1) {
		enum hello_state then = read_all(data, part, 0xff, &again);

		if (then != HELLO_MORE && then != state)
			abort();
	}
	return 0;
}
