/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The account of events when their ring is gone: what the kernel made is written, lost in the ring, or lost in a crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../userspace/daemon.h"

static void what_a_ring_lost_stays_lost_when_it_is_gone(void **state)
{
	static struct daemon daemon = {
		.state.ledger = {.ring = 1, .ring_kernel = 100, .ring_lost = 7, .taken = 93, .kernel = 40, .lost = 2},
	};
	const struct ledger *ledger = &daemon.state.ledger;

	(void)state;
	ledger_leave(&daemon);
	assert_int_equal(ledger->kernel, 140);
	assert_int_equal(ledger->lost, 9);
	assert_int_equal(ledger->crashed, 0);
	assert_int_equal(ledger->ring, 0);
	ledger_leave(&daemon); /* there is none any more */
	assert_int_equal(ledger->kernel, 140);
	assert_int_equal(ledger->lost, 9);
}

static void what_was_left_in_a_ring_that_is_gone_was_lost_in_a_crash(void **state)
{
	static struct daemon daemon = {
		.state.ledger = {.ring = 1, .ring_kernel = 100, .ring_lost = 7, .taken = 80},
		.gap_told = 3,
	};
	const struct ledger *ledger = &daemon.state.ledger;

	(void)state;
	ledger_leave(&daemon);
	assert_int_equal(ledger->kernel, 100);
	assert_int_equal(ledger->lost, 7);
	assert_int_equal(ledger->crashed, 10); /* not the three that the log has */
	assert_int_equal(daemon.gap_told, 0);
}

/* Killed between two looks at the kernel's counts: more was taken than these had said. */
static void a_ring_made_at_least_what_was_taken_from_it(void **state)
{
	static struct daemon daemon = {
		.state.ledger = {.ring = 1, .ring_kernel = 50, .ring_lost = 7, .taken = 80},
	};
	const struct ledger *ledger = &daemon.state.ledger;

	(void)state;
	ledger_leave(&daemon);
	assert_int_equal(ledger->kernel, 87);
	assert_int_equal(ledger->lost, 7);
	assert_int_equal(ledger->crashed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_ring_lost_stays_lost_when_it_is_gone),
		cmocka_unit_test(what_was_left_in_a_ring_that_is_gone_was_lost_in_a_crash),
		cmocka_unit_test(a_ring_made_at_least_what_was_taken_from_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
