/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Metrics of connections, for policies that want them (metrics: { connections: true }). */
#include <stddef.h>

#include "exposition.h"
#include "exposition_text.h"

struct connections_text {
	struct exposition_text *text;
	struct connections_row *rows;
	size_t count;
};

static const char *const ends[END_COUNT] = {"fin", "reset", "timeout", "abort"};
static const char *const directions[DIRECTION_COUNT] = {"in", "out"};

static void write_counts(const struct connections_text *of)
{
	metric_family(of->text, METRIC_COUNTER, "bulwark_connections_opened",
		      "TCP connections whose handshake a client completed, by service.");
	for (size_t i = 0; i < of->count; i++)
		metric_count(of->text, of->rows[i].sums.opened, "service", of->rows[i].name, NULL);
	metric_family(of->text, METRIC_COUNTER, "bulwark_connections_closed",
		      "TCP connections that ended: fin (both said so), reset (by the client), timeout, abort (by this "
		      "host), by service.");
	for (size_t i = 0; i < of->count; i++)
		for (int end = 0; end < END_COUNT; end++)
			metric_count(of->text, of->rows[i].sums.closed[end], "service", of->rows[i].name, "end",
				     ends[end], NULL);
	metric_family(of->text, METRIC_GAUGE, "bulwark_connections_open",
		      "TCP connections that began and did not end while connections were counted, by service.");
	for (size_t i = 0; i < of->count; i++)
		metric_count(of->text, connections_now(&of->rows[i].sums), "service", of->rows[i].name, NULL);
}

static void write_directions(const struct connections_text *of)
{
	metric_family(of->text, METRIC_COUNTER, "bulwark_connection_bytes",
		      "Payload that ended TCP connections had moved, by service and direction.");
	for (size_t i = 0; i < of->count; i++)
		for (int way = 0; way < DIRECTION_COUNT; way++)
			metric_count(of->text, of->rows[i].sums.bytes[way], "service", of->rows[i].name, "direction",
				     directions[way], NULL);
	metric_family(of->text, METRIC_COUNTER, "bulwark_connection_segments",
		      "Segments of ended TCP connections, by service and direction.");
	for (size_t i = 0; i < of->count; i++)
		for (int way = 0; way < DIRECTION_COUNT; way++)
			metric_count(of->text, of->rows[i].sums.segments[way], "service", of->rows[i].name, "direction",
				     directions[way], NULL);
	metric_family(of->text, METRIC_COUNTER, "bulwark_connection_retransmits",
		      "Segments that ended TCP connections had to send again, by service.");
	for (size_t i = 0; i < of->count; i++)
		metric_count(of->text, of->rows[i].sums.retransmits, "service", of->rows[i].name, NULL);
}

void write_connections(struct exposition_text *text, struct connections_row *rows, size_t count)
{
	const struct connections_text of = {text, rows, count};
	const struct {
		const char *name, *help;
		size_t place; /* of the histogram in the sums */
		double unit;  /* in seconds */
	} histograms[] = {
		{"bulwark_connection_handshake_seconds",
		 "From the SYN-ACK to the ACK that completed a handshake, by service; without SYN cookies.",
		 offsetof(struct connection_sums, handshake_us), 1e-6},
		{"bulwark_connection_rtt_seconds",
		 "The smoothed round trip of a TCP connection as it ended, by service.",
		 offsetof(struct connection_sums, rtt_us), 1e-6},
		{"bulwark_connection_duration_seconds", "How long TCP connections lasted, by service.",
		 offsetof(struct connection_sums, duration_ms), 1e-3},
	};

	write_counts(&of);
	write_directions(&of);
	for (size_t h = 0; h < sizeof(histograms) / sizeof(*histograms); h++) {
		metric_family(text, METRIC_HISTOGRAM, histograms[h].name, histograms[h].help);
		for (size_t i = 0; i < count; i++) {
			const void *histogram = (const char *)&rows[i].sums + histograms[h].place;

			metric_histogram(text, histogram, histograms[h].unit, "service", rows[i].name);
		}
	}
}

static void write_number(struct exposition_text *text, const char *name, const char *help, __u64 number)
{
	metric_family(text, METRIC_GAUGE, name, help);
	metric_count(text, number, NULL);
}

void write_senders(struct exposition_text *text, const struct slow_looks *looks)
{
	write_number(text, "bulwark_senders_followed", "Open connections that are watched for slow senders.",
		     looks->followed);
	write_number(text, "bulwark_senders_beyond",
		     "Open connections that there was no room to watch for slow senders.", looks->beyond);
	write_number(text, "bulwark_senders_slow", "Connections that the last look found slow.", looks->slow);
}
