/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lines of bans.jsonl: what is plain is read as the JSON library reads it, and the rest by that library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "saved_line.h"

#define BAN                                                                                                            \
	"{\"kind\":\"ban\",\"address\":\"198.51.100.7\",\"until\":1763786000.25,\"since\":1763782400,"                 \
	"\"origin\":\"fail2ban:sshd\",\"reason\":\"" WORDS "\"}"

/* How it was read does not matter to what is read. */
static void read_as(const char *text, bool plain, const char *reason)
{
	struct saved_line line;

	assert_int_equal(saved_line_read(text, strlen(text), &line), 0);
	assert_int_equal(!line.json, plain);
	assert_string_equal(line.kind, "ban");
	assert_string_equal(line.address, "198.51.100.7");
	assert_string_equal(line.origin, "fail2ban:sshd");
	assert_string_equal(line.reason, reason);
	assert_string_equal(line.by, "");
	assert_true(line.until_s == 1763786000.25);
	assert_true(line.since_s == 1763782400);
	assert_true(line.forget_s == 0);
	saved_line_free(&line);
}

static void plain_lines(void **state)
{
	(void)state;
#define WORDS "too many logins"
	read_as(BAN, true, "too many logins");
	read_as(BAN "\n", true, "too many logins");
	read_as(" " BAN, false, "too many logins");
#undef WORDS
#define WORDS ""
	read_as(BAN, true, "");
#undef WORDS
}

static void other_lines(void **state)
{
	(void)state;
#define WORDS "says \\\"no\\\""
	read_as(BAN, false, "says \"no\"");
#undef WORDS
#define WORDS "zu häufig"
	read_as(BAN, false, "zu häufig");
#undef WORDS
#define WORDS "a} \\u00e4"
	read_as(BAN, false, "a} ä");
#undef WORDS
}

static void long_lines(void **state)
{
	char text[2 * SAVED_LINE_PLAIN], reason[SAVED_LINE_PLAIN + 1];

	(void)state;
	memset(reason, 'x', SAVED_LINE_PLAIN);
	reason[SAVED_LINE_PLAIN] = '\0';
#define WORDS "%s"
	snprintf(text, sizeof(text), BAN, reason);
#undef WORDS
	read_as(text, false, reason);
}

/* The same whether or not the short way understands it. */
static void numbers(void **state)
{
	static const struct {
		const char *text;
		double value;
	} rows[] = {{"0", 0},	   {"0.5", 0.5},   {"12", 12},	 {"1763786000.123456", 1763786000.123456},
		    {"1e3", 1000}, {"-7.5", -7.5}, {"\"3\"", 0}, {"null", 0},
		    {"[1]", 0}};
	struct saved_line line;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "{\"until\":%s}", rows[i].text);
		assert_int_equal(saved_line_read(text, strlen(text), &line), 0);
		assert_true(line.until_s == rows[i].value);
		saved_line_free(&line);
	}
}

static void no_lines(void **state)
{
	static const char *const rows[] = {"",
					   "{",
					   "{\"kind\"}",
					   "{\"kind\":\"ban\"",
					   "{\"kind\":\"ban\",}",
					   "{\"kind\":\"ban\"} x",
					   "{\"kind\":\"ban}",
					   "{\"until\":01}",
					   "{\"until\":1.}",
					   "{\"until\":.5}",
					   "{\"until\":0x10}",
					   "{\"until\":}",
					   "{\"until\":inf}",
					   "[\"kind\",\"ban\"]",
					   "\"kind\""};
	struct saved_line line;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_not_equal(saved_line_read(rows[i], strlen(rows[i]), &line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lines), cmocka_unit_test(other_lines), cmocka_unit_test(long_lines),
		cmocka_unit_test(numbers),     cmocka_unit_test(no_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
