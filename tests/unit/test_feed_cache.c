/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cached feeds: the same prefixes and words as from the text, and never anything else, whatever happened to the file.
 */
#include <dirent.h>
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

#include "../../userspace/feed_cache.h"

#define LINES 30000

static char room[] = "/tmp/bulwark-test-cache-XXXXXX";
static char feed_path[64], kept_path[320];

/* A feed of both families, with host bits and a count that is wrong; `from` makes it another one. */
static void write_feed(unsigned from)
{
	FILE *file = fopen(feed_path, "w");

	assert_non_null(file);
	for (unsigned i = from; i < from + LINES; i++)
		fprintf(file, i % 3 ? "45.%u.%u.%u\n" : "2a01:%x:%x::%x/64\n", i >> 14 & 255, i >> 7 & 127,
			1 + i % 127);
	fprintf(file, "46.0.0.9/24\n");
	assert_int_equal(0, fclose(file));
}

static void read_feed(enum feed_format format, struct prefixes *prefixes, char **words)
{
	struct list list = {
		.name = "test", .feed = feed_path, .format = format, .feed_at = {.file = "p.yaml", .line = 7}};
	struct report report = {0};
	size_t size;
	FILE *out = open_memstream(words, &size);

	memset(prefixes, 0, sizeof(*prefixes));
	assert_int_equal(0, feed_read(&list, 5, prefixes, &report));
	report_print(&report, out);
	fclose(out);
	report_free(&report);
}

/* The only file among the kept ones; empty when there is none. */
static void find_kept(void)
{
	char directory[64];
	struct dirent *entry;
	DIR *open;

	snprintf(directory, sizeof(directory), "%s/feeds", room);
	kept_path[0] = '\0';
	open = opendir(directory);
	while (open && (entry = readdir(open)))
		if (entry->d_name[0] != '.') {
			assert_string_equal("", kept_path);
			snprintf(kept_path, sizeof(kept_path), "%s/%s", directory, entry->d_name);
		}
	if (open)
		closedir(open);
}

static int make_room(void **unused)
{
	(void)unused;
	if (!mkdtemp(room))
		return -1;
	snprintf(feed_path, sizeof(feed_path), "%s/feed", room);
	feed_cache_use(room);
	return 0;
}

static int remove_room(void **unused)
{
	char directory[64];

	(void)unused;
	find_kept();
	unlink(kept_path);
	unlink(feed_path);
	snprintf(directory, sizeof(directory), "%s/feeds", room);
	rmdir(directory);
	return rmdir(room);
}

/* Reads the feed and asserts that it says what the text says; whether it came from the kept file. */
static bool same_as_text(enum feed_format format)
{
	struct prefixes text, cached;
	char *text_words, *cached_words;
	struct timespec used[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	struct stat status = {0};

	feed_cache_use(NULL);
	read_feed(format, &text, &text_words);
	feed_cache_use(room);
	find_kept();
	if (*kept_path)
		assert_int_equal(0, utimensat(AT_FDCWD, kept_path, used, 0));
	read_feed(format, &cached, &cached_words);
	assert_int_equal(text.v4_count, cached.v4_count);
	assert_int_equal(text.v6_count, cached.v6_count);
	assert_memory_equal(text.v4, cached.v4, text.v4_count * sizeof(*text.v4));
	assert_memory_equal(text.v6, cached.v6, text.v6_count * sizeof(*text.v6));
	assert_non_null(strstr(text_words, "bits set behind the length"));
	assert_string_equal(text_words, cached_words);
	prefixes_free(&text);
	prefixes_free(&cached);
	free(text_words);
	free(cached_words);
	return *kept_path && !stat(kept_path, &status) && status.st_mtime != 1000000000;
}

static void kept_only_when_settled(void **unused)
{
	(void)unused;
	write_feed(0);
	assert_false(same_as_text(FEED_AUTO));
	feed_cache_settle(false);
	find_kept();
	assert_string_equal("", kept_path);
	assert_false(same_as_text(FEED_AUTO));
	feed_cache_settle(true);
	find_kept();
	assert_string_not_equal("", kept_path);
	assert_true(same_as_text(FEED_AUTO));
	assert_true(same_as_text(FEED_AUTO));
}

static void another_text(void **unused)
{
	(void)unused;
	write_feed(1);
	assert_false(same_as_text(FEED_AUTO));
	feed_cache_settle(true);
	assert_true(same_as_text(FEED_AUTO));
	assert_false(same_as_text(FEED_PLAIN)); /* asked for in another way */
	feed_cache_settle(false);
	assert_true(same_as_text(FEED_AUTO));
}

static void flip(long at)
{
	int fd = open(kept_path, O_RDWR);
	__u8 byte;

	assert_int_equal(1, pread(fd, &byte, 1, at));
	byte ^= 0x10;
	assert_int_equal(1, pwrite(fd, &byte, 1, at));
	close(fd);
}

/* Any bit wrong, any length: the text is parsed. */
static void damaged(void **unused)
{
	struct stat status;

	(void)unused;
	assert_true(same_as_text(FEED_AUTO));
	assert_int_equal(0, stat(kept_path, &status));
	for (long at = 0; at < status.st_size; at += at < 120 ? 1 : status.st_size / 7) {
		flip(at);
		assert_false(same_as_text(FEED_AUTO));
		feed_cache_settle(false);
		flip(at);
	}
	assert_true(same_as_text(FEED_AUTO));
	for (unsigned i = 0; i < 4; i++) {
		static const long lengths[] = {0, 50, 112, 5000};

		assert_int_equal(0, truncate(kept_path, i ? lengths[i] : status.st_size + 8));
		assert_false(same_as_text(FEED_AUTO));
		feed_cache_settle(i == 3); /* the last time it is put right */
	}
	assert_true(same_as_text(FEED_AUTO));
}

static void of_somebody_else(void **unused)
{
	(void)unused;
	assert_true(same_as_text(FEED_AUTO));
	assert_int_equal(0, chmod(kept_path, 0666));
	assert_false(same_as_text(FEED_AUTO));
	feed_cache_settle(true);
	assert_true(same_as_text(FEED_AUTO));
}

/* Nowhere to write, and a feed that is parsed as quickly: nothing fails, nothing is written. */
static void not_kept(void **unused)
{
	char nowhere[64], *words;
	struct prefixes prefixes;
	FILE *file;

	(void)unused;
	snprintf(nowhere, sizeof(nowhere), "%s/feed/not-a-directory", room);
	feed_cache_use(nowhere);
	read_feed(FEED_AUTO, &prefixes, &words);
	prefixes_free(&prefixes);
	free(words);
	feed_cache_settle(true);
	feed_cache_use(room);
	find_kept();
	unlink(kept_path);
	file = fopen(feed_path, "w");
	fputs("45.1.2.3\n", file);
	fclose(file);
	read_feed(FEED_AUTO, &prefixes, &words);
	prefixes_free(&prefixes);
	free(words);
	feed_cache_settle(true);
	find_kept();
	assert_string_equal("", kept_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_only_when_settled), cmocka_unit_test(another_text), cmocka_unit_test(damaged),
		cmocka_unit_test(of_somebody_else),	  cmocka_unit_test(not_kept),
	};

	return cmocka_run_group_tests_name("feed_cache", tests, make_room, remove_room);
}
