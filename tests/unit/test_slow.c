// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slow senders, looked at every second: who is slow, since when, and who is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "slow.h"

#define LOOK_MS 1000
#define BEGAN_MS 5000000

/* One connection, and the host's clock. */
struct client {
	struct slow_table *table;
	struct slow_sight sight;
	__u64 now_ms, received_ms, sent_ms;
	struct slow_verdict verdict;
};

static struct client opened(void)
{
	return (struct client){
		.table = slow_new(),
		.sight.cookie = 7,
		.now_ms = BEGAN_MS,
		.received_ms = BEGAN_MS,
		.sent_ms = BEGAN_MS,
	};
}

static void sends(struct client *client, unsigned bytes)
{
	client->sight.received += bytes;
	client->received_ms = client->now_ms;
}

static void is_answered(struct client *client, unsigned bytes)
{
	client->sight.sent += bytes;
	client->sent_ms = client->now_ms;
}

static void look(struct client *client)
{
	client->sight.since_received_ms = (__u32)(client->now_ms - client->received_ms);
	client->sight.since_sent_ms = (__u32)(client->now_ms - client->sent_ms);
	assert_int_equal(slow_begin(client->table), 0);
	assert_int_equal(slow_see(client->table, &client->sight, client->now_ms, &client->verdict), 0);
	slow_end(client->table);
	assert_int_equal(slow_followed(client->table), 1);
}

/* So long nothing happens but looks. */
static void wait(struct client *client, unsigned ms)
{
	for (__u64 end = client->now_ms + ms; client->now_ms < end;) {
		client->now_ms += LOOK_MS;
		look(client);
	}
}

/* bytes at once, every `ms`. */
static void dribbles(struct client *client, unsigned times, unsigned bytes, unsigned ms)
{
	while (times--) {
		sends(client, bytes);
		wait(client, ms);
	}
}

static void test_nothing(void **state)
{
	struct client client = opened();

	(void)state;
	wait(&client, 30000);
	assert_int_equal(client.verdict.slow_ms, 30000);
	assert_int_equal(client.verdict.unanswered_ms, 0);
	sends(&client, 100);
	look(&client);
	assert_int_equal(client.verdict.slow_ms, 0);
	slow_free(client.table);
}

/* A service that speaks first waits for whom it likes. */
static void test_greeted(void **state)
{
	struct client client = opened();

	(void)state;
	is_answered(&client, 40);
	wait(&client, 600000);
	assert_int_equal(client.verdict.slow_ms, 0);
	slow_free(client.table);
}

static void test_slowloris(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 200);
	wait(&client, 10000);
	dribbles(&client, 2, 15, 10000);
	/* the last byte came 20 s after the first, and 30 bytes pay for 60 ms */
	assert_int_equal(client.verdict.slow_ms, 20000 - 60);
	sends(&client, 15);
	look(&client);
	assert_int_equal(client.verdict.slow_ms, 30000 - 90);
	slow_free(client.table);
}

/* As slowly as it can without being seen three times in thirty seconds. */
static void test_slower_still(void **state)
{
	struct client client = opened();

	(void)state;
	dribbles(&client, 2, 1, 40000);
	assert_int_equal(client.verdict.slow_ms, 0);
	sends(&client, 1);
	look(&client);
	assert_int_equal(client.verdict.slow_ms, 80000 - 4);
	slow_free(client.table);
}

/* Also inside a connection that has been answered before. */
static void test_later_request(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 500);
	is_answered(&client, 3000);
	wait(&client, 60000);
	assert_int_equal(client.verdict.slow_ms, 0);
	dribbles(&client, 8, 1, 5000);
	assert_in_range(client.verdict.slow_ms, 30000, 35000);
	slow_free(client.table);
}

static void test_honest(void **state)
{
	struct client client = opened();

	(void)state;
	/* a mobile network of 1 KiB/s, for ten minutes */
	for (int second = 0; second < 600; second++) {
		dribbles(&client, 1, 1024, LOOK_MS);
		assert_in_range(client.verdict.slow_ms, 0, 1000);
	}
	/* the service works on it for a quarter of an hour */
	wait(&client, 900000);
	assert_in_range(client.verdict.slow_ms, 0, 1000);
	slow_free(client.table);
}

/* What was sent quickly pays for nothing that comes later. */
static void test_nothing_ahead(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 10);
	wait(&client, LOOK_MS);
	sends(&client, 10000000);
	wait(&client, LOOK_MS);
	dribbles(&client, 8, 1, 5000);
	assert_in_range(client.verdict.slow_ms, 30000, 40000);
	slow_free(client.table);
}

static void test_keep_alive(void **state)
{
	struct client client = opened();

	(void)state;
	for (int request = 0; request < 50; request++) {
		sends(&client, 300);
		client.now_ms += 20;
		is_answered(&client, 800);
		wait(&client, 45000);
		assert_int_equal(client.verdict.slow_ms, 0);
	}
	slow_free(client.table);
}

/* A frame that needs no answer, silence, the next request: HTTP/2 between two requests. */
static void test_late_frame(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 300);
	is_answered(&client, 800);
	client.now_ms += 50;
	sends(&client, 9);
	wait(&client, 100000);
	sends(&client, 60);
	wait(&client, 2000);
	assert_int_equal(client.verdict.slow_ms, 0);
	is_answered(&client, 100);
	wait(&client, 60000);
	assert_int_equal(client.verdict.slow_ms, 0);
	slow_free(client.table);
}

/* A service that does not read is not the client's fault. */
static void test_unread(void **state)
{
	struct client client = opened();

	(void)state;
	client.sight.unread = true;
	dribbles(&client, 20, 15, 5000);
	assert_int_equal(client.verdict.slow_ms, 0);
	assert_int_equal(client.verdict.unanswered_ms, 0);
	client.sight.unread = false;
	dribbles(&client, 20, 15, 5000);
	assert_in_range(client.verdict.slow_ms, 90000, 100000);
	slow_free(client.table);
}

static void test_unanswered(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 5);
	wait(&client, 30000);
	assert_int_equal(client.verdict.slow_ms, 0);
	assert_int_equal(client.verdict.unanswered_ms, 30000);
	is_answered(&client, 1);
	look(&client);
	assert_int_equal(client.verdict.unanswered_ms, 0);
	slow_free(client.table);
}

/* Who comes after a restart of the daemon begins anew with everybody. */
static void test_found_open(void **state)
{
	struct client client = opened();

	(void)state;
	sends(&client, 100);
	client.now_ms += 50000;
	look(&client);
	assert_int_equal(client.verdict.slow_ms, 0);
	dribbles(&client, 4, 1, 10000);
	assert_in_range(client.verdict.slow_ms, 29000, 80000);
	slow_free(client.table);
}

static void test_told(void **state)
{
	struct client client = opened();

	(void)state;
	wait(&client, 6000);
	assert_false(client.verdict.told);
	assert_int_equal(slow_begin(client.table), 0);
	assert_int_equal(slow_see(client.table, &client.sight, client.now_ms, &client.verdict), 0);
	slow_tell(client.table, client.sight.cookie);
	slow_end(client.table);
	wait(&client, 6000);
	assert_true(client.verdict.told);
	slow_free(client.table);
}

/* So many, and no more memory than for so many; who has ended makes room. */
static void test_many(void **state)
{
	struct slow_table *table = slow_new();
	struct slow_verdict verdict;
	unsigned refused = 0;

	(void)state;
	for (unsigned pass = 1; pass <= 3; pass++) {
		assert_int_equal(slow_begin(table), 0);
		for (__u64 cookie = 1; cookie <= SLOW_FOLLOWED_MOST + 1000; cookie++) {
			struct slow_sight sight = {
				.cookie = cookie << (pass == 3 ? 20 : 0),
				.received = pass,
				.since_sent_ms = pass * 10000,
			};
			int error = slow_see(table, &sight, pass * 10000 + 50000, &verdict);

			refused += error != 0;
			if (!error && pass == 2)
				assert_int_equal(verdict.unanswered_ms, 20000);
		}
		slow_end(table);
		assert_int_equal(slow_followed(table), SLOW_FOLLOWED_MOST);
	}
	assert_int_equal(refused, 3 * 1000);
	assert_int_equal(slow_begin(table), 0);
	slow_end(table);
	assert_int_equal(slow_followed(table), 0);
	slow_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	      cmocka_unit_test(test_greeted),
		cmocka_unit_test(test_slowloris),     cmocka_unit_test(test_slower_still),
		cmocka_unit_test(test_later_request), cmocka_unit_test(test_honest),
		cmocka_unit_test(test_nothing_ahead), cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_late_frame),    cmocka_unit_test(test_unread),
		cmocka_unit_test(test_unanswered),    cmocka_unit_test(test_found_open),
		cmocka_unit_test(test_told),	      cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
