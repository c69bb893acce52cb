/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses as text: one strict reading, and every prefix is written as it is read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/policy.h"

static void expect(const char *text, int error, const char *canonical)
{
	char buffer[PREFIX_TEXT];
	struct prefix prefix;
	int got = prefix_parse(text, &prefix);

	if (got != error)
		print_error("'%s': %d instead of %d\n", text, got, error);
	assert_int_equal(got, error);
	if (canonical)
		assert_string_equal(prefix_text(&prefix, buffer), canonical);
}

static void test_accepted(void **state)
{
	(void)state;
	expect("192.0.2.1", 0, "192.0.2.1");
	expect("192.0.2.1/32", 0, "192.0.2.1");
	expect("192.0.2.0/24", 0, "192.0.2.0/24");
	expect("0.0.0.0/0", 0, "0.0.0.0/0");
	expect("0.0.0.0", 0, "0.0.0.0");
	expect("255.255.255.255", 0, "255.255.255.255");
	expect("128.0.0.0/1", 0, "128.0.0.0/1");
	expect("::", 0, "::");
	expect("::/0", 0, "::/0");
	expect("::1", 0, "::1");
	expect("2001:DB8::/32", 0, "2001:db8::/32");
	expect("2001:0db8:0000:0000:0000:0000:0000:0001", 0, "2001:db8::1");
	expect("2001:db8:0:1:0:0:0:0/64", 0, "2001:db8:0:1::/64");
	expect("2001:db8::192.0.2.1", 0, "2001:db8::c000:201");
	expect("::1.2.3.4", 0, "::1.2.3.4");
	expect("fe80::/10", 0, "fe80::/10");
	expect("8000::/1", 0, "8000::/1");
	expect("2001:db8::1/128", 0, "2001:db8::1");
	expect("64:ff9b::/96", 0, "64:ff9b::/96");
}

static void test_not_an_address(void **state)
{
	static const char *const texts[] = {
		"",
		"/",
		"/24",
		"1",
		"1.2",
		"1.2.3",
		"1.2.3.",
		".1.2.3",
		"1.2.3.4.5",
		"1..2.3",
		"256.1.1.1",
		"1.2.3.256",
		"010.1.1.1",
		"1.2.3.04",
		"00.0.0.0",
		"0x7f.0.0.1",
		"0x7f000001",
		"2130706433",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.4\n",
		"1.2.3.-4",
		"+1.2.3.4",
		"1.2.3.4a",
		"localhost",
		"any",
		"*",
		"1,2,3,4",
		":",
		":::",
		"1::2::3",
		"12345::",
		"::g",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::",
		"[::1]",
		"fe80::1%eth0",
		"::1.2.3",
		"::1.2.3.256",
		"2001:db8",
		"2001:db8:",
		":2001:db8::",
		"::ffff:010.1.1.1",
		"1.2.3.4:80",
		"11111111111111111111111111111111111111111111111111111111",
		"::11111111111111111111111111111111111111111111111111",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect(texts[i], -EINVAL, NULL);
}

static void test_bad_length(void **state)
{
	static const char *const texts[] = {
		"1.2.3.4/",	 "1.2.3.4/33",
		"1.2.3.4/-1",	 "1.2.3.4/+8",
		"1.2.3.4/08",	 "1.2.3.4/ 8",
		"1.2.3.4/8 ",	 "1.2.3.4/a",
		"1.2.3.4/24/24", "1.2.3.4/255.255.255.0",
		"1.2.3.4/0x8",	 "1.2.3.4/4294967304",
		"1.2.3.4/128",	 "::/129",
		"::/",		 "::/1280",
		"::/-0",	 "::/64 ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect(texts[i], -ERANGE, NULL);
}

static void test_host_bits(void **state)
{
	(void)state;
	expect("192.0.2.1/24", -EDOM, "192.0.2.0/24");
	expect("192.0.2.1/31", -EDOM, "192.0.2.0/31");
	expect("0.0.0.1/0", -EDOM, "0.0.0.0/0");
	expect("255.255.255.255/1", -EDOM, "128.0.0.0/1");
	expect("2001:db8::1/127", -EDOM, "2001:db8::/127");
	expect("2001:db8::1/0", -EDOM, "::/0");
	expect("2001:db8:8000::/32", -EDOM, "2001:db8::/32");
}

static void test_two_families_in_one(void **state)
{
	(void)state;
	expect("::ffff:192.0.2.1", -EAFNOSUPPORT, NULL);
	expect("::ffff:c000:201", -EAFNOSUPPORT, NULL);
	expect("0:0:0:0:0:ffff:0:0/96", -EAFNOSUPPORT, NULL);
	expect("::ffff:192.0.2.0/120", -EAFNOSUPPORT, NULL);
	/* next to the mapped space, not in it */
	expect("::fffe:0:0/96", 0, "::fffe:0:0/96");
	expect("::1:ffff:0:0/96", 0, "::1:ffff:0:0/96");
}

/* Every length of both families, random bits: text and back is the same prefix. */
static void test_round_trip(void **state)
{
	char buffer[PREFIX_TEXT];

	(void)state;
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		struct prefix prefix = {}, again;
		bool v4 = i & 1;

		for (int byte = v4 ? 12 : 0; byte < 16; byte++)
			prefix.address[byte] = random();
		if (v4)
			prefix.address[10] = prefix.address[11] = 0xff;
		prefix.length = v4 ? 96 + random() % 33 : random() % 129;
		for (int bit = prefix.length; bit < 128; bit++)
			prefix.address[bit / 8] &= ~(0x80 >> bit % 8);
		assert_int_equal(prefix_parse(prefix_text(&prefix, buffer), &again), 0);
		assert_memory_equal(again.address, prefix.address, sizeof(prefix.address));
		assert_int_equal(again.length, prefix.length);
		assert_int_equal(prefix_is_v4(&again), v4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_not_an_address),
		cmocka_unit_test(test_bad_length),
		cmocka_unit_test(test_host_bits),
		cmocka_unit_test(test_two_families_in_one),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
