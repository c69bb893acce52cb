/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What rollback and the boot read out of the history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../userspace/past.h"

static struct places places;

static void history_is(const char *lines)
{
	char path[SAVED_PATH_MAX];
	FILE *file = fopen(saved_path(&places, 0, "history.jsonl", path), "w");

	assert_non_null(file);
	fputs(lines, file);
	fclose(file);
}

static int make_directory(void **state)
{
	(void)state;
	strcpy(places.state_dir, "/tmp/bulwark-past.XXXXXX");
	return mkdtemp(places.state_dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char path[SAVED_PATH_MAX];

	(void)state;
	unlink(saved_path(&places, 0, "history.jsonl", path));
	return rmdir(places.state_dir);
}

static void nothing_is_known_without_a_history(void **state)
{
	(void)state;
	assert_int_equal(past_before(&places, 1), 0);
	assert_int_equal(past_confirmed(&places), 0);
}

static void before_is_what_was_live(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1}\n"
		   "{\"action\":\"rolled-back\",\"generation\":3,\"from\":2,\"policy_of\":1}\n");
	assert_int_equal(past_before(&places, 1), 0);
	assert_int_equal(past_before(&places, 2), 1);
	assert_int_equal(past_before(&places, 3), 2); /* a second rollback undoes the first */
}

static void a_renewal_is_not_what_one_goes_back_to(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1}\n"
		   "{\"action\":\"applied\",\"generation\":3,\"from\":2,\"renewed\":true,\"policy_of\":2}\n"
		   "{\"action\":\"applied\",\"generation\":4,\"from\":3,\"renewed\":true,\"policy_of\":3}\n");
	assert_int_equal(past_before(&places, 4), 1);
	assert_int_equal(past_confirmed(&places), 4);
}

static void closed_is_never_kept(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"closed\",\"generation\":2,\"from\":0,\"policy_of\":1}\n");
	assert_int_equal(past_confirmed(&places), 1);
}

static void a_reboot_does_not_forget_what_was_before(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1}\n"
		   "{\"action\":\"applied\",\"generation\":3,\"from\":0,\"policy_of\":2}\n"
		   "{\"action\":\"applied\",\"generation\":4,\"from\":0,\"policy_of\":3}\n");
	assert_int_equal(past_before(&places, 4), 1);
}

static void a_copy_of_itself_ends_the_search(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":5,\"from\":0,\"policy_of\":5}\n");
	assert_int_equal(past_before(&places, 5), 0);
}

static void what_waits_for_its_confirmation_is_not_kept(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1,\"pending\":true}\n");
	assert_int_equal(past_confirmed(&places), 1);
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1,\"pending\":true}\n"
		   "{\"action\":\"confirmed\",\"generation\":2}\n");
	assert_int_equal(past_confirmed(&places), 2);
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n"
		   "{\"action\":\"applied\",\"generation\":2,\"from\":1,\"pending\":true}\n"
		   "{\"action\":\"reverted\",\"generation\":1,\"from\":2}\n");
	assert_int_equal(past_confirmed(&places), 1);
}

static void what_was_taken_down_stays_down(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n{\"action\":\"down\"}\n");
	assert_int_equal(past_confirmed(&places), 0);
}

static void a_torn_line_is_passed_over(void **state)
{
	(void)state;
	history_is("{\"action\":\"applied\",\"generation\":1,\"from\":0}\n{\"action\":\"appl\n"
		   "{\"action\":\"applied\",\"generation\":3,\"from\":1}\n{\"action\":\"down\"");
	assert_int_equal(past_confirmed(&places), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_without_a_history),
		cmocka_unit_test(before_is_what_was_live),
		cmocka_unit_test(a_renewal_is_not_what_one_goes_back_to),
		cmocka_unit_test(closed_is_never_kept),
		cmocka_unit_test(a_reboot_does_not_forget_what_was_before),
		cmocka_unit_test(a_copy_of_itself_ends_the_search),
		cmocka_unit_test(what_waits_for_its_confirmation_is_not_kept),
		cmocka_unit_test(what_was_taken_down_stays_down),
		cmocka_unit_test(a_torn_line_is_passed_over),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
