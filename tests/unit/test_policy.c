/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Policies too large or too odd for a golden file: caps, files that are none, what is kept in memory. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/policy.h"

struct draft { /* a policy text that grows */
	char *text;
	size_t length;
	FILE *out;
};

static void begin(struct draft *draft, const char *head)
{
	draft->out = open_memstream(&draft->text, &draft->length);
	assert_non_null(draft->out);
	fputs(head, draft->out);
}

/* Parses and checks; ends the draft. How many errors there are, and the first one's text in `words`. */
static size_t errors_of(struct draft *draft, char words[256])
{
	struct report report = {};
	struct policy *policy;
	size_t errors;

	fclose(draft->out);
	policy = policy_parse(draft->text, draft->length, "p.yaml", "/tmp", &report);
	assert_non_null(policy);
	policy_check(policy, &report);
	words[0] = '\0';
	for (size_t i = 0; i < report.count && !words[0]; i++)
		if (report.findings[i].severity == SEVERITY_ERROR)
			snprintf(words, 256, "%s", report.findings[i].text);
	errors = report.errors;
	report_free(&report);
	policy_free(policy);
	free(draft->text);
	return errors;
}

static void write_lists(struct draft *draft, int count)
{
	fputs("lists:\n", draft->out);
	for (int i = 0; i < count; i++)
		fprintf(draft->out, "  list%d: { addresses: [10.0.%d.0/24] }\n", i, i % 256);
}

static void test_lists(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	begin(&draft, "version: 1\nservices: { web: { ports: tcp/443 } }\n");
	write_lists(&draft, 64);
	assert_int_equal(errors_of(&draft, words), 0);
	begin(&draft, "version: 1\nservices: { web: { ports: tcp/443 } }\n");
	write_lists(&draft, 65);
	assert_int_equal(errors_of(&draft, words), 1);
	assert_string_equal(words,
			    "65 lists (the addresses in a service's 'to' are one each): a policy has at most 64");
	begin(&draft, "version: 1\nservices: { web: { ports: tcp/443, to: [192.0.2.1] } }\n");
	write_lists(&draft, 64);
	assert_int_equal(errors_of(&draft, words), 1);
	begin(&draft, "version: 1\n");
	write_lists(&draft, 60000);
	assert_true(errors_of(&draft, words) > 0);
	assert_string_equal(words, "more lists than anybody can read: a policy has at most 64");
}

static void write_services(struct draft *draft, int count)
{
	fputs("services:\n", draft->out);
	for (int i = 0; i < count; i++)
		fprintf(draft->out, "  service%d: { ports: [tcp/%d] }\n", i, i % 65000 + 30);
}

static void test_services(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	begin(&draft, "version: 1\n");
	write_services(&draft, 1023);
	assert_int_equal(errors_of(&draft, words), 0);
	begin(&draft, "version: 1\n");
	write_services(&draft, 1024);
	assert_int_equal(errors_of(&draft, words), 1);
	assert_string_equal(words, "1024 services: a policy has at most 1023");
	begin(&draft, "version: 1\n");
	write_services(&draft, 60000);
	assert_true(errors_of(&draft, words) > 0);
	assert_string_equal(words, "more services than anybody can read: a policy has at most 1023");
}

/* Every service on the same port: told a bounded number of times, and soon. */
static void test_all_in_conflict(void **state)
{
	struct draft draft;
	char words[256];
	size_t errors;

	(void)state;
	begin(&draft, "version: 1\nservices:\n");
	for (int i = 0; i < 1023; i++)
		fprintf(draft.out, "  service%d: { ports: [\"tcp/*\", \"udp/*\"] }\n", i);
	errors = errors_of(&draft, words);
	assert_in_range(errors, 1, 64);
	assert_string_equal(
		words, "tcp/* is in service 'service0' too (p.yaml:3): give the two different addresses with 'to'");
}

static void test_ports(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	begin(&draft, "version: 1\nservices: { web: { ports: [tcp/1");
	for (int i = 0; i < 300; i++)
		fprintf(draft.out, ", tcp/%d", i + 2);
	fputs("] } }\n", draft.out);
	assert_int_equal(errors_of(&draft, words), 1);
	assert_string_equal(words, "'ports' has 301 entries, at most 256: use ranges");
}

static void test_many_values(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	begin(&draft, "version: 1\nservices: { web: { ports: tcp/443 } }\nblock: [a]\nlists:\n  a:\n    addresses:\n");
	for (int i = 0; i < 400000; i++)
		fprintf(draft.out, "    - %d.%d.%d.%d\n", 11 + i % 7, i / 256 % 256, i / 65536, i % 256);
	assert_int_equal(errors_of(&draft, words), 0);
	begin(&draft, "version: 1\nblock: [");
	for (int i = 0; i < 70000; i++)
		fputs("x, ", draft.out);
	fputs("x]\n", draft.out);
	assert_int_equal(errors_of(&draft, words), 1);
	assert_string_equal(words, "'block' has 70001 entries, at most 65536 are read");
	begin(&draft, "version: 1\nblock: [");
	for (int i = 0; i < 600000; i++)
		fputs("x, ", draft.out);
	fputs("x]\n", draft.out);
	assert_int_equal(errors_of(&draft, words), 1);
	assert_string_equal(words, "the policy holds more than 524288 values: keep long lists in feed files");
}

static void test_empty_lines(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	for (int lines = 1000; lines <= 1001; lines++) {
		begin(&draft, "version: 1\nmode: auto\n");
		for (int i = 0; i < lines; i++)
			fputs(i & 1 ? "\n" : " \t\r\n", draft.out);
		fputs("services: { web: { ports: tcp/443 } }\n", draft.out);
		assert_int_equal(errors_of(&draft, words), lines > 1000);
	}
	assert_string_equal(words, "more than a thousand empty lines in a row");
}

static void test_depth(void **state)
{
	struct draft draft;
	char words[256];

	(void)state;
	begin(&draft, "version: 1\nservices: ");
	for (int i = 0; i < 200000; i++)
		fputc('[', draft.out);
	assert_true(errors_of(&draft, words) > 0);
	assert_string_equal(words, "nested deeper than 12 levels");
	begin(&draft, "version: 1\n");
	for (int i = 0; i < 20000; i++)
		fputs("- ", draft.out);
	assert_true(errors_of(&draft, words) > 0);
}

static void read_fails(const char *path, const char *expected)
{
	struct report report = {};
	struct policy *policy = policy_read(path, &report);

	assert_non_null(policy);
	assert_int_equal(report.errors, 1);
	assert_string_equal(report.findings[0].text, expected);
	assert_string_equal(report.findings[0].at.file, path);
	report_free(&report);
	policy_free(policy);
}

static void test_files(void **state)
{
	char directory[] = "/tmp/test_policy.XXXXXX", path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	read_fails(directory, "cannot be read: not a regular file");
	snprintf(path, sizeof(path), "%s/p", directory);
	read_fails(path, "cannot be read: No such file or directory");
	assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
	read_fails(path, "cannot be read: not a regular file");
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
	close(fd);
	read_fails(path, "a policy is at most 16 MiB: keep long lists in feed files");
	unlink(path);
	rmdir(directory);
	read_fails("/dev/zero", "cannot be read: not a regular file");
}

/* A file of any bytes is refused with words, never more than that. */
static void test_noise(void **state)
{
	static const char letters[] = "ab:-[]{},\n \"'#&*!|>%@?\t\\x0:  ::--";
	char words[256];

	(void)state;
	srandom(7);
	for (int i = 0; i < 3000; i++) {
		struct draft draft;

		begin(&draft, i & 1 ? "version: 1\n" : "");

		for (int j = random() % 200; j > 0; j--)
			fputc(i % 3 ? letters[random() % (sizeof(letters) - 1)] : random() % 256, draft.out);
		errors_of(&draft, words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),		cmocka_unit_test(test_services),
		cmocka_unit_test(test_all_in_conflict), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_many_values),	cmocka_unit_test(test_empty_lines),
		cmocka_unit_test(test_depth),		cmocka_unit_test(test_files),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
