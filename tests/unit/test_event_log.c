/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The log: whole lines, rotation, the budget, a full disk; and its reader over rotation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/event_log.h"
#include "../../userspace/log_reader.h"

#define SECOND 1000000000ULL

static char directory[64], path[96];

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/bulwark-log-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/events.jsonl", directory);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static long size_of(const char *suffix)
{
	char name[128];
	struct stat stat_now;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return stat(name, &stat_now) ? -1 : (long)stat_now.st_size;
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_rotation(void **state)
{
	const struct event_log_limits limits = {.file_bytes = 25, .keep = 2};
	struct event_log log;

	(void)state;
	assert_int_equal(event_log_open(&log, path, &limits), 0);
	for (int i = 0; i < 7; i++)
		assert_int_equal(event_log_write(&log, "123456789", 0), 0); /* 10 with the newline: two fit */
	event_log_close(&log);
	assert_int_equal(size_of(""), 10);
	assert_int_equal(size_of(".1"), 20);
	assert_int_equal(size_of(".2"), 20);
	assert_int_equal(size_of(".3"), -1);
	assert_int_equal(log_rotated(path), 2);
}

static void test_budget(void **state)
{
	const struct event_log_limits limits = {.minute_bytes = 25};
	struct event_log log;

	(void)state;
	assert_int_equal(event_log_open(&log, path, &limits), 0);
	assert_true(event_log_affords(&log, 10, 100 * SECOND));
	assert_int_equal(event_log_write(&log, "123456789", 100 * SECOND), 0);
	assert_int_equal(event_log_write(&log, "123456789", 101 * SECOND), 0);
	assert_false(event_log_affords(&log, 10, 102 * SECOND));
	assert_true(event_log_affords(&log, 5, 102 * SECOND));
	assert_int_equal(event_log_write(&log, "a notice is never refused", 103 * SECOND), 0);
	assert_false(event_log_affords(&log, 1, 159 * SECOND));
	assert_true(event_log_affords(&log, 10, 160 * SECOND));
	event_log_close(&log);
}

static void test_torn_line_is_cut(void **state)
{
	const struct event_log_limits limits = {};
	struct event_log log;

	(void)state;
	write_file("{\"bulwark\":{\"sequence\":41}}\n{\"bulwark\":{\"seq");
	assert_int_equal(event_log_last_sequence(path, 2), 41);
	assert_int_equal(event_log_open(&log, path, &limits), 0);
	assert_int_equal(event_log_write(&log, "{\"bulwark\":{\"sequence\":42}}", 0), 0);
	event_log_close(&log);
	assert_int_equal(event_log_last_sequence(path, 2), 42);
	assert_int_equal(size_of(""), 2 * 28);
}

static void test_sequence_of_rotated(void **state)
{
	char rotated[128];

	(void)state;
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	write_file("{\"bulwark\":{\"sequence\":7}}\n");
	assert_int_equal(rename(path, rotated), 0);
	assert_int_equal(event_log_last_sequence(path, 0), 0);
	assert_int_equal(event_log_last_sequence(path, 1), 7);
	write_file(""); /* just begun */
	assert_int_equal(event_log_last_sequence(path, 1), 7);
}

/* What a crash of the machine can leave behind. */
static void test_sequence_with_zeros(void **state)
{
	static const char zeros[] = "{\"bulwark\":{\"sequence\":7}}\n\0\0\0\n{\"bulwark\":{\"sequence\":8}}\n";
	FILE *file = fopen(path, "we");

	(void)state;
	assert_non_null(file);
	assert_int_equal(fwrite(zeros, 1, sizeof(zeros) - 1, file), sizeof(zeros) - 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(event_log_last_sequence(path, 0), 8);
}

static void test_full_disk(void **state)
{
	const struct event_log_limits limits = {.file_bytes = 100, .keep = 1};
	struct event_log log;

	(void)state;
	assert_int_equal(event_log_open(&log, "/dev/full", &limits), 0);
	assert_int_equal(event_log_write(&log, "line", 10 * SECOND), -ENOSPC);
	assert_int_equal(log.retry_ns, 11 * SECOND);
	assert_int_equal(event_log_write(&log, "line", 10 * SECOND + 1), -ENOSPC); /* not even tried */
	assert_int_equal(log.retry_ns, 11 * SECOND);
	assert_int_equal(event_log_write(&log, "line", 11 * SECOND), -ENOSPC);
	assert_int_equal(log.retry_ns, 12 * SECOND);
	event_log_close(&log);
}

static void test_reopen(void **state)
{
	const struct event_log_limits limits = {};
	struct event_log log;
	char moved[128];

	(void)state;
	snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(event_log_open(&log, path, &limits), 0);
	assert_int_equal(event_log_write(&log, "old", 0), 0);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(event_log_reopen(&log), 0);
	assert_int_equal(event_log_write(&log, "new", 0), 0);
	event_log_close(&log);
	assert_int_equal(size_of(""), 4);
	assert_int_equal(size_of(".moved"), 4);
}

/* A directory that vanishes: every line is written or refused, and a new directory is taken by itself. */
static void test_removed(void **state)
{
	struct event_log_limits limits = {.keep = 1};
	struct event_log log;
	char command[128];

	(void)state;
	assert_int_equal(event_log_open(&log, path, &limits), 0);
	assert_int_equal(event_log_write(&log, "1", 0), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(event_log_write(&log, "2", SECOND), 0);
	assert_int_equal(size_of(""), 2);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(event_log_write(&log, "3", 2 * SECOND), -ENOENT);
	assert_int_equal(mkdir(directory, 0700), 0);
	assert_int_equal(event_log_write(&log, "4", 2 * SECOND + 1), -ENOENT); /* not tried again so soon */
	assert_int_equal(event_log_write(&log, "5", 4 * SECOND), 0);
	assert_int_equal(size_of(""), 2);
	event_log_close(&log);
}

static void append(const char *text)
{
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_last_lines(void **state)
{
	struct log_reader reader;

	(void)state;
	write_file("one\ntwo\nthree\n");
	log_reader_open(&reader, path);
	log_reader_last(&reader, 2);
	assert_string_equal(log_reader_next(&reader), "two");
	log_reader_last(&reader, 9);
	assert_string_equal(log_reader_next(&reader), "one");
	log_reader_last(&reader, 0);
	assert_null(log_reader_next(&reader));
	log_reader_close(&reader);
}

static void test_reader(void **state)
{
	struct log_reader reader;
	char rotated[128];

	(void)state;
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	log_reader_open(&reader, path); /* not there yet */
	assert_null(log_reader_next(&reader));
	append("one\ntw");
	assert_string_equal(log_reader_next(&reader), "one");
	assert_null(log_reader_next(&reader)); /* half a line is no line */
	append("o\n");
	assert_string_equal(log_reader_next(&reader), "two");
	append("three\n");
	assert_int_equal(rename(path, rotated), 0);
	append("four\n");
	assert_string_equal(log_reader_next(&reader), "three");
	assert_string_equal(log_reader_next(&reader), "four");
	assert_null(log_reader_next(&reader));
	log_reader_close(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_budget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_line_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sequence_of_rotated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sequence_with_zeros, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
