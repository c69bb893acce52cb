/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The metrics of this host, as text: one builder, for the daemon and for `bulwark metrics`. Read from the kernel and
 * the state directory at each call. Cardinality is bounded by interfaces, reasons, services and lists: never a label
 * per source.
 */
#ifndef BULWARK_EXPOSITION_H
#define BULWARK_EXPOSITION_H

#include "daemon_state.h"
#include "exposition_text.h"
#include "fetch.h"
#include "past.h"
#include "sink.h"

#define SINKS_MAX 4
struct exposed_sink {
	const char *target;
	struct sink_counts counts;
};

/* What goes on from one text to the next; all zero to begin with. */
struct exposition_memory {
	struct exposed_sink sinks[SINKS_MAX]; /* of the daemon */
	unsigned sink_count;
	__u64 feeds_refreshed, feeds_refused; /* by the daemon, since it began */
	__u64 fetches[FETCH_REFUSED + 1];     /* likewise, by enum fetch_outcome */
	struct past_counts past;
	struct holds_census census, automatic;
};

/* The whole text, the caller's; NULL without memory or when the counters cannot be read. instance: NULL when nothing is
 * applied. ledger: the daemon's, or as it last saved it. */
char *exposition(const struct places *places, struct instance *instance, const struct daemon_state *ledger,
		 struct exposition_memory *memory, enum exposition_format format, size_t *length);

/* Families of connections, by service (exposition_connections.c). */
void write_connections(struct exposition_text *text, struct connections_row *rows, size_t count);
void write_senders(struct exposition_text *text, const struct slow_looks *looks);

#endif
