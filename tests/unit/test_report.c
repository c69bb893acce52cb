/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Findings as people read them: order, caret, harmless text; and what was meant by a misspelt name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/report.h"

static void expect_print(const struct report *report, const char *expected)
{
	size_t length;
	char *text;
	FILE *out = open_memstream(&text, &length);

	report_print(report, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void add(struct report *report, enum severity severity, struct place at, const char *line, const char *text)
{
	report_add(report, severity, &at, line, "%s", text);
}

static void test_order(void **state)
{
	struct report report = {};

	(void)state;
	add(&report, SEVERITY_ERROR, (struct place){"b.yaml", 9, 1, 0}, NULL, "third");
	add(&report, SEVERITY_WARNING, (struct place){"b.yaml", 2, 7, 0}, NULL, "second");
	add(&report, SEVERITY_NOTE, (struct place){"a.yaml", 1, 1, 0}, NULL, "fifth");
	add(&report, SEVERITY_ERROR, (struct place){"b.yaml", 2, 3, 0}, NULL, "first");
	add(&report, SEVERITY_ERROR, (struct place){"b.yaml", 9, 1, 0}, NULL, "fourth");
	report_add(&report, SEVERITY_ERROR, NULL, NULL, "nowhere %d", 7);
	assert_int_equal(report.errors, 4);
	expect_print(&report, "b.yaml:2:3: error: first\nb.yaml:2:7: warning: second\nb.yaml:9:1: error: third\n"
			      "b.yaml:9:1: error: fourth\na.yaml:1:1: note: fifth\nerror: nowhere 7\n");
	report_free(&report);
	assert_int_equal(report.count, 0);
}

static void expect_caret(struct place at, const char *line, const char *expected)
{
	struct report report = {};

	add(&report, SEVERITY_ERROR, at, line, "no");
	expect_print(&report, expected);
	report_free(&report);
}

static void test_caret(void **state)
{
	(void)state;
	expect_caret((struct place){"f", 1, 1, 3}, "abcdef", "f:1:1: error: no\n    abcdef\n    ^~~\n");
	expect_caret((struct place){"f", 1, 4, 0}, "abcdef", "f:1:4: error: no\n    abcdef\n       ^\n");
	expect_caret((struct place){"f", 1, 4, 99}, "abcdef", "f:1:4: error: no\n    abcdef\n       ^~~\n");
	expect_caret((struct place){"f", 1, 3, 2}, "\tabc", "f:1:3: error: no\n    \tabc\n    \t ^~\n");
	expect_caret((struct place){"f", 1, 3, 1}, "é§x", "f:1:3: error: no\n    é§x\n      ^\n");
	/* beyond the line, as at its end */
	expect_caret((struct place){"f", 1, 40, 1}, "ab", "f:1:40: error: no\n    ab\n      ^\n");
	expect_caret((struct place){"f", 1, 1, 1}, "", "f:1:1: error: no\n");
	expect_caret((struct place){"f", 0, 0, 0}, NULL, "f: error: no\n");
}

static void test_long_line(void **state)
{
	char line[4001];
	struct report report = {};
	struct place at = {"f", 1, 2000, 5};
	char *text, *caret, *shown;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + 1999, "HERE!", 5);
	line[4000] = '\0';
	add(&report, SEVERITY_ERROR, at, line, "no");
	report_print(&report, out);
	fclose(out);
	assert_true(length < 300);
	shown = strchr(text, '\n') + 1;
	caret = strchr(shown, '\n') + 1;
	/* the caret stands under what it means */
	assert_int_equal(strchr(caret, '^') - caret, strstr(shown, "HERE!") - shown);
	assert_non_null(strstr(caret, "^~~~~\n"));
	free(text);
	report_free(&report);
}

static void test_harmless(void **state)
{
	(void)state;
	struct report report = {};

	add(&report, SEVERITY_ERROR, (struct place){"f", 1, 1, 1}, "a\033[2J\r\177", "\033]0;title\007\xc2\x9bm");
	expect_print(&report, "f:1:1: error: ?]0;title??m\n    a?[2J??\n    ^\n");
	report_free(&report);
	/* a reversed line, half a character, a surrogate: one mark each, and the caret still fits */
	expect_caret((struct place){"f", 1, 5, 1},
		     "\xe2\x80\xae"
		     "a\xc3"
		     "b"
		     "x",
		     "f:1:5: error: no\n    ?a?bx\n        ^\n");
	expect_caret((struct place){"f", 1, 4, 1}, "\xed\xa0\x80x", "f:1:4: error: no\n    ???x\n       ^\n");
}

static void test_flood(void **state)
{
	struct report report = {};
	size_t length;
	char *text;
	FILE *out = open_memstream(&text, &length);

	(void)state;
	for (int i = 0; i < 5000; i++)
		add(&report, SEVERITY_ERROR, (struct place){"f", 5000 - i, 1, 0}, "x", "no");
	assert_int_equal(report.errors, 5000);
	report_print(&report, out);
	fclose(out);
	assert_non_null(strstr(text, "and 4000 more errors\n"));
	free(text);
	report_free(&report);
}

static void test_did_you_mean(void **state)
{
	static const char *const names[] = {"trusted", "block", "never-ban", "services", "to", "tag", "ttl"};
	static const struct {
		const char *written, *meant;
	} rows[] = {
		{"trused", "trusted"},
		{"tursted", "trusted"},
		{"Trusted", "trusted"},
		{"blokc", "block"},
		{"bock", "block"},
		{"blocks", "block"},
		{"never_ban", "never-ban"},
		{"service", "services"},
		{"servcies", "services"},
		{"tga", "tag"},
		{"frobnicate", NULL},
		{"", NULL},
		{"x", NULL},
		{"zz", NULL},
		{"lists", NULL},
		{"trusted-sources", NULL},
	};
	char monster[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *got = did_you_mean(rows[i].written, names, sizeof(names) / sizeof(*names));

		if ((got && rows[i].meant) ? strcmp(got, rows[i].meant) : got != rows[i].meant)
			fail_msg("'%s': %s instead of %s", rows[i].written, got ? got : "none",
				 rows[i].meant ? rows[i].meant : "none");
	}
	memset(monster, 'a', sizeof(monster));
	monster[299] = '\0';
	assert_null(did_you_mean(monster, names, 7));
	assert_null(did_you_mean("trused", names, 0));
	assert_null(did_you_mean("trused", (const char *const[]){monster}, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	 cmocka_unit_test(test_caret), cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_harmless), cmocka_unit_test(test_flood), cmocka_unit_test(test_did_you_mean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
