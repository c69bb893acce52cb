/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Slow senders (`idle-request`): looks at open connections four times in the shortest time that a limit gives, asks the
 * policy in force of those that are slow, and ends what it does not want.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "host_senders.h"

#define LOOKS 4	      /* in the time of a limit */
#define LOOK_SHARE 20 /* a look takes at most one part in so many of a CPU */
#define SECOND_NS 1000000000ULL
#define ENDS_A_LOOK 4096 /* the log and the metrics do not wait for more; the rest is ended a second later */

struct slow_watch {
	struct slow_table *table;
	__u64 again_ns;
	unsigned generation; /* whose limits the last look was for */
	int failed;	     /* -errno of the last look, which was told */
};

struct look {
	struct slow_table *table;
	struct slow_judge *judge;
	struct slow_looks said;
	__u64 now_ms;
	__u32 shortest_ms;
	struct slow_found found; /* to be asked, and by what they are ended: */
	struct {
		struct inet_diag_sockid id;
		__u64 cookie;
		__u8 family;
	} who[SLOW_FOUND_PORTION];
	unsigned ended;
};

static int end_portion(struct look *look)
{
	bool only_counts = look->said.error == -EOPNOTSUPP;
	int error = look->found.count ? slow_ask(look->judge, &look->found, only_counts) : 0;

	for (__u32 i = 0; !error && i < look->found.count; i++) {
		if (look->found.items[i].answer == SLOW_WOULD_END)
			slow_tell(look->table, look->who[i].cookie);
		if (look->found.items[i].answer != SLOW_ENDS)
			continue;
		error = host_end(&look->who[i].id, look->who[i].family);
		look->ended++;
	}
	look->found.count = 0;
	return error;
}

static int note_slow(struct look *look, const struct host_sender *sender, const struct slow_verdict *verdict)
{
	struct slow_connection *connection = &look->found.items[look->found.count];

	*connection = (struct slow_connection){
		.source_port = sender->peer.remote_port,
		.port = sender->peer.local_port,
		.slow_ms = verdict->slow_ms,
		.unanswered_ms = verdict->unanswered_ms,
	};
	memcpy(connection->source, sender->peer.remote, sizeof(connection->source));
	memcpy(connection->destination, sender->peer.local, sizeof(connection->destination));
	look->who[look->found.count].id = sender->id;
	look->who[look->found.count].cookie = sender->sight.cookie;
	look->who[look->found.count].family = sender->family;
	return ++look->found.count < SLOW_FOUND_PORTION ? 0 : end_portion(look);
}

static int see(void *arg, const struct host_sender *sender)
{
	struct slow_verdict verdict;
	struct look *look = arg;

	if (slow_see(look->table, &sender->sight, look->now_ms, &verdict)) {
		look->said.beyond++;
		return 0;
	}
	if (verdict.slow_ms < look->shortest_ms && verdict.unanswered_ms < look->shortest_ms)
		return 0;
	look->said.slow++;
	return verdict.told || look->ended >= ENDS_A_LOOK ? 0 : note_slow(look, sender, &verdict);
}

/* 0, or -errno of what kept it from looking or ending. */
static int look_at_all(struct look *look)
{
	int error = slow_begin(look->table);

	if (error)
		return error;
	error = host_can_end();
	look->said.error = error;
	if (!error || error == -EOPNOTSUPP)
		error = host_senders(see, look);
	error = error ?: end_portion(look);
	slow_end(look->table);
	look->said.followed = slow_followed(look->table);
	if (error)
		look->said.error = error;
	return look->said.error;
}

static void tell_failure(struct daemon *daemon, int error)
{
	const char *why = error == -EOPNOTSUPP ? "this kernel cannot end connections (CONFIG_INET_DIAG_DESTROY)"
					       : strerror(-error);

	tell_notice(daemon, "slow-senders-stay", json_pack("{s:s}", "why", why),
		    "slow senders cannot be ended: %s; the limits of 'idle-request' only count", why);
}

/* Of a CPU, so far: on a busy host that is less than what a look took by the clock. */
static __u64 spent_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return spent.tv_sec * SECOND_NS + spent.tv_nsec;
}

/* What a look took, and when the next one is. */
static void plan(struct slow_watch *watch, struct look *look, __u64 began, __u64 took)
{
	__u64 pause = (__u64)look->shortest_ms * 1000000 / LOOKS;

	if (pause < took * LOOK_SHARE)
		pause = took * LOOK_SHARE;
	if (look->ended >= ENDS_A_LOOK)
		pause = took;
	look->said.at_ns = began;
	look->said.took_ns = took;
	look->said.every_ns = pause;
	watch->again_ns =
		began + (pause > SECOND_NS ? pause : SECOND_NS) - SECOND_NS / 2; /* it is asked every second */
}

static void note_failure(struct daemon *daemon, struct slow_watch *watch, int error)
{
	if (error && error != watch->failed)
		tell_failure(daemon, error);
	watch->failed = error;
}

/* error: 0 where nobody is to be ended. */
static void stop_looking(struct daemon *daemon, struct slow_watch *watch, int error, __u64 now_ns)
{
	slow_free(watch->table);
	watch->table = NULL;
	watch->again_ns = now_ns + SECOND_NS * 3 / 2;
	note_failure(daemon, watch, error);
}

static void look_again(struct daemon *daemon, struct slow_watch *watch, struct slow_judge *judge, __u64 now_ns)
{
	struct look *look = calloc(1, sizeof(*look));
	__u64 spent = spent_ns();
	int error = 0;

	if (!watch->table)
		watch->table = slow_new();
	if (look && watch->table) {
		look->table = watch->table;
		look->judge = judge;
		look->now_ms = now_ns / 1000000;
		look->shortest_ms = slow_shortest_ms(judge);
		error = look_at_all(look);
		plan(watch, look, now_ns, spent_ns() - spent);
		slow_looked(judge, &look->said);
	} else {
		error = -ENOMEM;
	}
	note_failure(daemon, watch, error);
	free(look);
}

void watch_slow(struct daemon *daemon)
{
	struct slow_judge *judge = NULL;
	__u64 now = monotonic_ns();
	int error;

	if (!daemon->slow)
		daemon->slow = calloc(1, sizeof(*daemon->slow));
	if (!daemon->slow || (now < daemon->slow->again_ns && daemon->slow->generation == daemon->generation))
		return;
	error = daemon->instance ? slow_open(daemon->instance, &judge) : -ENOENT;
	if (!error)
		look_again(daemon, daemon->slow, judge, now);
	else
		stop_looking(daemon, daemon->slow, error == -ENOENT ? 0 : error, now);
	daemon->slow->generation = daemon->generation;
	slow_close(judge);
}

void watch_slow_close(struct daemon *daemon)
{
	if (daemon->slow)
		slow_free(daemon->slow->table);
	free(daemon->slow);
	daemon->slow = NULL;
}
