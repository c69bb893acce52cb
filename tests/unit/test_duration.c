/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times and sizes as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "../../userspace/settings.h"
#include "../../userspace/verbs.h"

#include <cmocka.h> /* has a macro named fail: after ours */

#define SECOND 1000000000ULL

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		__u64 ns;
	} good[] = {
		{"90", 90 * SECOND},
		{"90s", 90 * SECOND},
		{"10m", 600 * SECOND},
		{"1h", 3600 * SECOND},
		{"7d", 604800 * SECOND},
		{"250ms", SECOND / 4},
		{"3us", 3000},
		{"5ns", 5},
		{"1h30m", 5400 * SECOND},
		{"3m 20s", 200 * SECOND},
		{"0", 0},
	};
	static const char *const bad[] = {"",
					  "m",
					  "10 m",
					  "-5s",
					  "1.5h",
					  "10x",
					  "10mm",
					  "1h-30m",
					  "10m ",
					  "0x10s",
					  "300000000000000d",
					  "99999999999999999999s"};
	__u64 ns;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(duration_parse(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(duration_parse(bad[i], &ns), -EINVAL);
}

static void test_text(void **state)
{
	static const struct {
		__u64 ns;
		const char *text;
	} rows[] = {
		{0, "0ns"},
		{250 * SECOND / 1000, "250ms"},
		{41 * SECOND, "41s"},
		{200 * SECOND, "3m 20s"},
		{600 * SECOND, "10m"},
		{93600 * SECOND, "1d 2h"},
		{86400 * SECOND + 59 * SECOND, "1d"},
	};
	char buffer[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_string_equal(duration_text(rows[i].ns, buffer, sizeof(buffer)), rows[i].text);
}

static void test_text_is_parsed_again(void **state)
{
	static const __u64 times[] = {1, 999, 41 * SECOND, 200 * SECOND, 93600 * SECOND};
	char buffer[32];
	__u64 ns;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		assert_int_equal(duration_parse(duration_text(times[i], buffer, sizeof(buffer)), &ns), 0);
		assert_int_equal(ns, times[i]);
	}
}

static void test_bytes(void **state)
{
	static const char *const bad[] = {"", "MiB", "10MB", "10 MiB", "-1", "16777216TiB", "1e6"};
	__u64 bytes;

	(void)state;
	assert_int_equal(bytes_parse("64MiB", &bytes), 0);
	assert_int_equal(bytes, 64 << 20);
	assert_int_equal(bytes_parse("1000", &bytes), 0);
	assert_int_equal(bytes, 1000);
	assert_int_equal(bytes_parse("0", &bytes), 0);
	assert_int_equal(bytes, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(bytes_parse(bad[i], &bytes), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_is_parsed_again),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
