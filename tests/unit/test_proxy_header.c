/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers of the PROXY protocol, version 2: what is one, how long it is, and whom it names. */
#include <arpa/inet.h>
#include <linux/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../include/proxy_header.h"

static struct first_bytes bytes;

/* A header with so many bytes behind its fixed part. */
static void header(__u8 command, __u8 family, unsigned behind)
{
	memset(&bytes, 0x5a, sizeof(bytes));
	memcpy(bytes.byte, "\r\n\r\n\0\r\nQUIT\n", 12);
	bytes.byte[12] = command;
	bytes.byte[13] = family;
	bytes.byte[14] = behind >> 8;
	bytes.byte[15] = behind & 0xff;
}

static void state_is(int expected, __u8 command, __u8 family, unsigned behind)
{
	__u32 size = 0;

	header(command, family, behind);
	assert_int_equal(expected, proxy_header_read(&bytes, FIRST_BYTES, &size));
	if (expected < PROXY_SPLIT)
		assert_int_equal(PROXY_FIXED + behind, size);
}

static void client_is(const char *expected, __u8 family, int kind, unsigned behind)
{
	char text[INET6_ADDRSTRLEN];
	__u8 client[16];
	__u32 size;

	header(0x21, family, behind);
	assert_int_equal(1, inet_pton(kind, expected, bytes.byte + PROXY_FIXED));
	assert_int_equal(PROXY_SHOWN, proxy_header_read(&bytes, PROXY_FIXED + behind, &size));
	proxy_client(&bytes, client);
	if (kind == AF_INET)
		assert_memory_equal("\0\0\0\0\0\0\0\0\0\0\xff\xff", client, 12);
	assert_non_null(inet_ntop(kind, kind == AF_INET ? client + 12 : client, text, sizeof(text)));
	assert_string_equal(expected, text);
}

static void clients(void **state)
{
	(void)state;
	client_is("45.50.0.1", PROXY_TCP4, AF_INET, PROXY_TCP4_BYTES);
	client_is("45.50.0.1", PROXY_TCP4, AF_INET, PROXY_TCP4_BYTES + 300);
	client_is("2a01:50::1", PROXY_TCP6, AF_INET6, PROXY_TCP6_BYTES);
	client_is("2a01:50::1", PROXY_TCP6, AF_INET6, PROXY_TCP6_BYTES + 1);
}

static void commands_families_lengths(void **state)
{
	(void)state;
	for (unsigned command = 0; command < 256; command++)
		state_is(command == 0x20   ? PROXY_LOCAL
			 : command == 0x21 ? PROXY_SHOWN
					   : PROXY_WRONG,
			 command, PROXY_TCP4, 12);
	for (unsigned family = 0; family < 256; family++) {
		int ip = family == PROXY_TCP4 || family == PROXY_TCP6;
		int hidden = family == PROXY_UNIX || family == PROXY_UNSPEC;

		state_is(ip ? PROXY_SHOWN : hidden ? PROXY_HIDDEN : PROXY_WRONG, 0x21, family, 216);
		state_is(PROXY_LOCAL, 0x20, family, 0);
	}
	state_is(PROXY_WRONG, 0x21, PROXY_TCP4, 11);
	state_is(PROXY_WRONG, 0x21, PROXY_TCP6, 35);
	state_is(PROXY_WRONG, 0x21, PROXY_UNIX, 215);
	state_is(PROXY_HIDDEN, 0x21, PROXY_UNSPEC, 0);
	state_is(PROXY_SHOWN, 0x21, PROXY_TCP4, FIRST_BYTES - PROXY_FIXED);
	state_is(PROXY_SPLIT, 0x21, PROXY_TCP4, FIRST_BYTES - PROXY_FIXED + 1);
	state_is(PROXY_SPLIT, 0x21, PROXY_TCP4, 65535);
}

static void signatures_and_pieces(void **state)
{
	__u32 size;
	(void)state;

	for (unsigned length = 0; length < PROXY_FIXED + PROXY_TCP6_BYTES; length++) {
		header(0x21, PROXY_TCP6, PROXY_TCP6_BYTES);
		assert_int_equal(PROXY_SPLIT, proxy_header_read(&bytes, length, &size));
	}
	for (unsigned at = 0; at < 12; at++) {
		header(0x21, PROXY_TCP4, PROXY_TCP4_BYTES);
		bytes.byte[at] ^= 0x20;
		assert_int_equal(PROXY_WRONG, proxy_header_read(&bytes, PROXY_FIXED + PROXY_TCP4_BYTES, &size));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients),
		cmocka_unit_test(commands_families_lengths),
		cmocka_unit_test(signatures_and_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
