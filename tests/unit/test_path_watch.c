/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whatever changes what a path leads to is heard of; what happens beside it is not. */
#include <errno.h>
#include <fcntl.h>
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

#include "../../userspace/path_watch.h"

#define FEED 7 /* its number */

static char room[32];
static struct path_watch *watch;
static unsigned heard; /* how often */

static int in_room(void **state)
{
	(void)state;
	strcpy(room, "/tmp/bulwark-path-XXXXXX");
	return mkdtemp(room) ? chdir(room) : -1;
}

static int clear_room(void **state)
{
	char command[64];

	(void)state;
	path_watch_close(watch);
	watch = NULL;
	snprintf(command, sizeof(command), "rm -rf %s", room);
	return chdir("/") || system(command);
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void on_change(void *arg, unsigned number)
{
	assert_null(arg);
	assert_int_equal(number, FEED);
	heard++;
}

/* Watches room/PATH from now on, as the daemon does when the way is another. */
static void begin(const char *path)
{
	char whole[256];

	path_watch_close(watch);
	watch = path_watch_open();
	assert_non_null(watch);
	snprintf(whole, sizeof(whole), "%s/%s", room, path);
	assert_int_equal(path_watch_add(watch, whole, FEED), 0);
	heard = 0;
}

/* After a command: whether it was heard of, and whether the way is another. */
static void expect(const char *command, bool changed, bool another_way)
{
	run(command);
	heard = 0;
	if (path_watch_read(watch, on_change, NULL) != another_way || !heard == changed)
		fail_msg("%s: heard of %u times, wanted %s", command, heard, changed ? "some" : "none");
}

static void test_what_happens_to_a_file(void **state)
{
	(void)state;
	run("mkdir d; echo 1 > d/feed");
	begin("d/feed");
	expect("echo 2 >> d/feed", true, false);
	expect("touch d/feed", true, false);
	expect("chmod 600 d/feed", true, false);
	expect("cat d/feed > /dev/null", false, false);
	expect("echo 3 > d/other", false, false);
	expect("echo 4 > d/feed.new", false, false);
	expect("mv d/feed.new d/feed", true, true);
	expect("rm d/feed", true, true);
	expect("echo 5 > d/feed", true, true);
	expect("mv d/feed d/gone", true, true);
}

static void test_no_event_is_no_event(void **state)
{
	(void)state;
	run("mkdir d");
	begin("d/feed");
	expect(":", false, false);
}

static void test_directories_that_come_and_go(void **state)
{
	(void)state;
	begin("a/b/feed");
	expect("mkdir a", true, true);
	begin("a/b/feed");
	expect("mkdir a/c", false, false);
	expect("mkdir a/b", true, true);
	begin("a/b/feed");
	expect("echo 1 > a/b/feed", true, true);
	expect("mv a/b a/away", true, true);
	begin("a/b/feed");
	expect("echo 2 > a/away/feed", false, false);
	expect("mkdir a/b; echo 3 > a/b/feed", true, true);
	begin("a/b/feed");
	expect("rm -r a", true, true);
}

static void test_links(void **state)
{
	(void)state;
	run("mkdir one two; echo 1 > one/feed; echo 2 > two/feed; ln -s one current; ln -s current/feed feed");
	begin("feed");
	expect("echo 3 > one/feed", true, false);
	expect("echo 4 > two/feed", false, false);
	expect("ln -s two next; mv -T next current", true, true);
	begin("feed");
	expect("echo 5 > two/feed", true, false);
	expect("echo 6 > one/feed", false, false);
	run("mkdir three; echo 7 > three/feed");
	expect("ln -sf $PWD/three/../three/./feed feed", true, true);
	begin("feed");
	expect("echo 8 > three/feed", true, false);
	expect("echo 9 > two/feed", false, false);
}

static void test_links_that_lead_nowhere(void **state)
{
	char path[64];

	(void)state;
	run("ln -s nowhere/feed feed; ln -s loop loop");
	begin("feed");
	expect("mkdir nowhere", true, true);
	begin("feed");
	expect("echo 1 > nowhere/feed", true, true);
	snprintf(path, sizeof(path), "%s/loop", room);
	assert_int_equal(path_watch_add(watch, path, FEED), -ELOOP);
	assert_int_equal(path_watch_add(watch, "feed", FEED), -EINVAL);
}

/* Opening a FIFO that nobody writes would hold the daemon up. */
static void test_what_is_no_file_is_not_opened(void **state)
{
	(void)state;
	run("mkdir d; mkfifo d/fifo; echo 1 > d/file; ln -s /dev/zero d/zero");
	begin("d/fifo");
	expect("rm d/fifo; echo 1 > d/fifo", true, true);
	begin("d/zero");
	expect("rm d/zero", true, true);
	begin("d/file/feed");
	expect("rm d/file; mkdir d/file", true, true);
	begin("d/file/feed");
	expect("echo 1 > d/file/feed", true, true);
}

/* More events than the kernel keeps: all is to be looked at. */
static void test_overflow_is_told(void **state)
{
	bool another_way = false;
	int limit = 0;
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	(void)state;
	if (!file || fscanf(file, "%d", &limit) != 1 || limit > 100000)
		skip();
	fclose(file);
	run("mkdir d; echo 1 > d/feed");
	begin("d/feed");
	for (int i = 0; i <= limit; i++) { /* two that are not alike, so that they are not joined */
		assert_int_equal(chmod("d/feed", i % 2 ? 0600 : 0644), 0);
		assert_int_equal(truncate("d/feed", i % 2), 0);
	}
	for (int i = 0; i <= limit && !another_way; i++)
		another_way = path_watch_read(watch, on_change, NULL);
	assert_true(another_way);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_happens_to_a_file, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_no_event_is_no_event, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_directories_that_come_and_go, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_links, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_links_that_lead_nowhere, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_what_is_no_file_is_not_opened, in_room, clear_room),
		cmocka_unit_test_setup_teardown(test_overflow_is_told, in_room, clear_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
