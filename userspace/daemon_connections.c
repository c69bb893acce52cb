/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections that the policy limits are counted again every few seconds: what sockops cannot know, those that go
 * on to containers among it, is right again within ten, and a count that nobody checks refuses nobody after a minute.
 */
#include <errno.h>
#include <string.h>

#include "daemon.h"

#define RECOUNT_NS (4ULL * 1000000000)
#define RECOUNT_SHARE 20 /* it takes at most one part in so many of the time */

static int tell(struct recount *recount, const struct host_peer *peer, __u32 operation)
{
	struct open_connection connection = {.port = peer->local_port, .source_port = peer->remote_port};

	memcpy(connection.source, peer->remote, sizeof(connection.source));
	memcpy(connection.destination, peer->local, sizeof(connection.destination));
	return recount_found(recount, &connection, operation);
}

static int found(void *arg, const struct host_peer *peer)
{
	return tell(arg, peer, RECOUNT_FOUND);
}

static int found_tracked(void *arg, const struct host_peer *peer, bool translated)
{
	return tell(arg, peer, translated ? RECOUNT_TRANSLATED : RECOUNT_ROUTED);
}

/* 0, also when there is nothing to count. */
static int count_again(struct daemon *daemon)
{
	struct recount *recount;
	int error = recount_begin(daemon->instance, &recount), ended;

	if (error)
		return error == -ENOENT ? 0 : error;
	error = host_open_connections(found, recount);
	error = error ?: host_forwarded_connections(found_tracked, recount);
	ended = recount_end(recount, !error);
	return error ?: ended;
}

void watch_connections(struct daemon *daemon)
{
	__u64 began = monotonic_ns(), pause;
	int error;

	if (!daemon->instance ||
	    (began < daemon->recount_again_ns && daemon->recounted_generation == daemon->generation))
		return;
	error = count_again(daemon);
	if (error && !daemon->recount_failed)
		tell_notice(daemon, "connections-uncounted", json_pack("{s:s}", "why", strerror(-error)),
			    "open connections cannot be counted: %s; after a minute their limits refuse nobody",
			    strerror(-error));
	daemon->recount_failed = error != 0;
	daemon->recounted_generation = daemon->generation;
	pause = (monotonic_ns() - began) * RECOUNT_SHARE;
	daemon->recount_again_ns = began + (pause > RECOUNT_NS ? pause : RECOUNT_NS);
}
