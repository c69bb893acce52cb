/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Receivers of events beside the file. What they lose is told in the file, once a minute. */
#include <errno.h>
#include <string.h>

#include "daemon.h"

int sinks_add(struct daemon *daemon, const char *target)
{
	struct sink *sink;
	int error;

	if (daemon->sink_count == SINKS_MAX)
		return -ENOSPC;
	error = sink_open(target, &sink);
	if (!error)
		daemon->sinks[daemon->sink_count++] = sink;
	return error;
}

void sinks_offer(struct daemon *daemon, const json_t *document, const char *line)
{
	for (unsigned i = 0; i < daemon->sink_count; i++)
		sink_offer(daemon->sinks[i], document, line);
}

void sinks_run(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->sink_count; i++)
		sink_run(daemon->sinks[i], monotonic_ns());
}

void sinks_look(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->sink_count; i++) {
		struct exposed_sink *exposed = &daemon->exposed.sinks[i];

		exposed->target = sink_target(daemon->sinks[i]);
		exposed->counts = sink_counts(daemon->sinks[i]);
	}
	daemon->exposed.sink_count = daemon->sink_count;
}

void sinks_tell_losses(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->sink_count; i++) {
		__u64 lost = sink_counts(daemon->sinks[i]).lost, before = daemon->sinks_lost_told[i];
		const char *trouble = sink_trouble(daemon->sinks[i]), *target = sink_target(daemon->sinks[i]);

		if (lost == before)
			continue;
		daemon->sinks_lost_told[i] = lost;
		tell_notice(daemon, "events-undelivered",
			    json_pack("{s:I, s:s}", "events", (json_int_t)(lost - before), "receiver", target),
			    "%llu events did not reach %s%s%s", (unsigned long long)(lost - before), target,
			    *trouble ? ": " : "", trouble);
	}
}

void sinks_close(struct daemon *daemon)
{
	sinks_run(daemon);
	for (unsigned i = 0; i < daemon->sink_count; i++)
		sink_close(daemon->sinks[i]);
	daemon->sink_count = 0;
}
