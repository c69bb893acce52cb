/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* X-Forwarded-For: which entry is the client's, and what is read as an address: what inet_pton() takes, and no more. */
#include <arpa/inet.h>
#include <linux/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../include/forwarded.h"

#define HIDDEN "-"

static struct first_bytes bytes;
static struct http_request head;

/* Where the lines of a request's head end in what is there: REQUEST_WHOLE, or why they do not. */
static int find(const char *lines)
{
	int length = snprintf((char *)bytes.byte, FIRST_BYTES + 1, "GET / HTTP/1.1\r\n%s", lines);

	memset(&head, 0, sizeof(head));
	assert_int_equal(REQUEST_WHOLE, request_read(&bytes, length, 0, 0, &head));
	return forwarded_find(&bytes, &head);
}

/* The client as text, "-" when it is not shown. */
static const char *client(const char *lines, unsigned hops)
{
	static struct forwarded_address room;
	static char text[INET6_ADDRSTRLEN];
	__u8 address[16];

	assert_int_equal(REQUEST_WHOLE, find(lines));
	if (forwarded_client(&bytes, &head, hops, &room, address))
		return HIDDEN;
	if (!memcmp(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))
		return inet_ntop(AF_INET, address + 12, text, sizeof(text));
	return inet_ntop(AF_INET6, address, text, sizeof(text));
}

/* What one header with this value shows. */
static const char *shown(const char *value)
{
	char lines[256];

	snprintf(lines, sizeof(lines), "Host: a\r\nX-Forwarded-For: %s\r\n\r\n", value);
	return client(lines, 1);
}

/* Addresses and what only looks like them. */
static const char *const address_texts[] = {
	"45.1.2.3",
	"0.0.0.0",
	"255.255.255.255",
	"256.1.1.1",
	"1.2.3",
	"1.2.3.4.5",
	"1..2.3",
	".1.2.3",
	"1.2.3.",
	"01.2.3.4",
	"1.2.3.004",
	"a.2.3.4",
	"1.2.3.4a",
	"1234.1.1.1",
	"::",
	"::1",
	"1::",
	"2a01:db8::7",
	"2A01:DB8::00fF",
	"1:2:3:4:5:6:7:8",
	"1:2:3:4:5:6:7::",
	"::2:3:4:5:6:7:8",
	"1:2:3:4::5:6:7:8",
	"1::2::3",
	"1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:8:9",
	":1",
	"1:",
	":",
	":::",
	"12345::",
	"::g",
	"::ffff:1.2.3.4",
	"::1.2.3.4",
	"1:2:3:4:5:6:1.2.3.4",
	"1:2:3:4:5:6:7:1.2.3.4",
	"64:ff9b::1.2.3.4",
	"1:2:1.2.3.4",
	"::1.2.3",
	"::1.2.3.256",
	"::1.2.3.4:5",
	"1.2.3.4::",
	"::a.2.3.4",
	"0000:0000:0000:0000:0000:ffff:255.255.255.255",
	"unknown",
	"",
	"fe80::1%eth0",
	"1.2.3.4/8",
	"host",
	"_hidden",
};

static void addresses_as_the_library_reads_them(void **state)
{
	__u8 address[16];
	char text[INET6_ADDRSTRLEN], bracketed[64];
	(void)state;

	for (size_t i = 0; i < sizeof(address_texts) / sizeof(*address_texts); i++) {
		const char *expected = HIDDEN, *in_brackets = HIDDEN;

		if (inet_pton(AF_INET, address_texts[i], address) == 1)
			expected = address_texts[i];
		else if (inet_pton(AF_INET6, address_texts[i], address) == 1 &&
			 !memcmp(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))
			in_brackets = expected = inet_ntop(AF_INET, address + 12, text, sizeof(text));
		else if (inet_pton(AF_INET6, address_texts[i], address) == 1)
			in_brackets = expected = inet_ntop(AF_INET6, address, text, sizeof(text));
		assert_string_equal(expected, shown(address_texts[i]));
		snprintf(bracketed, sizeof(bracketed), "[%s]", address_texts[i]);
		assert_string_equal(in_brackets, shown(bracketed));
		snprintf(bracketed, sizeof(bracketed), "[%s]:65535", address_texts[i]);
		assert_string_equal(in_brackets, shown(bracketed));
	}
}

static void ports_and_white_space(void **state)
{
	(void)state;
	assert_string_equal("45.1.2.3", shown("45.1.2.3:4000"));
	assert_string_equal("45.1.2.3", shown(" \t45.1.2.3 \t"));
	assert_string_equal("2a01::7", shown("[2a01::7]:443"));
	assert_string_equal(HIDDEN, shown("45.1.2.3:"));
	assert_string_equal(HIDDEN, shown("45.1.2.3:4:5"));
	assert_string_equal(HIDDEN, shown("45.1.2.3:x"));
	assert_string_equal(HIDDEN, shown("45.1.2.3 x"));
	assert_string_equal(HIDDEN, shown("45.1.2.3;x"));
	assert_string_equal(HIDDEN, shown("[2a01::7"));
	assert_string_equal(HIDDEN, shown("2a01::7]"));
	assert_string_equal(HIDDEN, shown("[2a01::7]443"));
	assert_string_equal(HIDDEN, shown("[2a01::7]:"));
	assert_string_equal(HIDDEN, shown("[]"));
	assert_string_equal(HIDDEN, shown("\"45.1.2.3\""));
}

static void entries_from_the_end(void **state)
{
	static const char lines[] =
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nHost: a\r\n"
		"x-forwarded-FOR:3.3.3.3,4.4.4.4\r\nX-Forwarded-Fo: 9.9.9.9\r\n"
		"X-Forwarded-For-: 9.9.9.9\r\nX-Forwarded-For: 5.5.5.5\r\nX: X-Forwarded-For: 9.9.9.9\r\n\r\n"
		"X-Forwarded-For: 9.9.9.9\r\n\r\n";
	(void)state;
	assert_string_equal("5.5.5.5", client(lines, 1));
	assert_string_equal("4.4.4.4", client(lines, 2));
	assert_string_equal("3.3.3.3", client(lines, 3));
	assert_string_equal("2.2.2.2", client(lines, 4));
	assert_string_equal("1.1.1.1", client(lines, 5));
	assert_string_equal(HIDDEN, client(lines, 6));
	assert_string_equal(HIDDEN, client(lines, FORWARDED_HOPS + 1));
	/* what a client writes in front of it does not move the end */
	assert_string_equal("2.2.2.2", shown(",,,,,,,,,,,,,,,,, 1.1.1.1,2.2.2.2"));
	assert_string_equal(HIDDEN, shown("1.1.1.1,"));
	assert_string_equal("7.7.7.7", client("X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 7.7.7.7\n\n", 1));
}

static void what_is_not_shown(void **state)
{
	char lines[FIRST_BYTES];
	(void)state;

	assert_string_equal(HIDDEN, client("Host: a\r\n\r\n", 1));
	assert_string_equal(HIDDEN, client("\r\n", 1));
	assert_string_equal(HIDDEN, client("X-Forwarded-For : 1.1.1.1\r\n\r\n", 1));
	/* folded lines, wherever they stand */
	assert_string_equal(HIDDEN, client("X-Forwarded-For: 1.1.1.1,\r\n 2.2.2.2\r\n\r\n", 1));
	assert_string_equal(HIDDEN,
			    client("X: y\r\n\tX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n", 1));
	/* heads that go on, within what is looked at and beyond */
	assert_int_equal(REQUEST_MORE, find("X-Forwarded-For: 1.1.1.1"));
	assert_int_equal(REQUEST_MORE, find("X-Forwarded-For: 1.1.1.1\r\n"));
	assert_int_equal(REQUEST_MORE, find("X-Forwarded-For: 1.1.1.1\r\nHost: a"));
	memset(lines, 'x', sizeof(lines));
	memcpy(lines, "X-Forwarded-For: 1.1.1.1\r\nX: ", 29);
	lines[sizeof(lines) - 1] = '\0';
	assert_int_equal(REQUEST_MORE, find(lines));
	memset(lines, ',', sizeof(lines) - 1);
	memcpy(lines, "X-Forwarded-For:", 16);
	assert_int_equal(REQUEST_MORE, find(lines));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_as_the_library_reads_them),
		cmocka_unit_test(ports_and_white_space),
		cmocka_unit_test(entries_from_the_end),
		cmocka_unit_test(what_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
