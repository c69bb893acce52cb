/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What goes into the log, and the count of what does not. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon.h"
#include "judge.h"

#define LINE_USUAL 1024 /* bytes of an event, for asking the budget before the work is done */
#define MINUTE_NS (60ULL * 1000000000)

__u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

static void leave_out(struct left_out *left_out, const struct event *event)
{
	left_out->events++;
	left_out->packets += event->packets;
	if (event->reason < REASON_SLOTS)
		left_out->by_reason[event->reason] += event->packets;
}

/* Takes the document. Every event has a number; a number that the log does not hold is one that could not be written.
 */
static int write_document(struct daemon *daemon, json_t *document)
{
	char *line = document ? json_dumps(document, JSON_COMPACT) : NULL;
	int error = line ? event_log_write(&daemon->log, line, monotonic_ns()) : -ENOMEM;

	free(line);
	json_decref(document);
	return error;
}

void tell_event(void *arg, const struct event *event)
{
	struct daemon *daemon = arg;

	if (!event_log_affords(&daemon->log, LINE_USUAL, monotonic_ns())) {
		leave_out(&daemon->over_budget, event);
		return;
	}
	if (write_document(daemon, event_verdict(daemon->names, event, ++daemon->state.sequence)))
		leave_out(&daemon->unwritten, event);
}

void tell_notice(struct daemon *daemon, const char *action, json_t *more, const char *format, ...)
{
	va_list arguments;
	char message[512];

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
	write_document(daemon, event_notice(daemon->names, action, message, more, ++daemon->state.sequence));
}

/* ---- losses ---- */

static json_t *reasons_of(const struct left_out *left_out)
{
	json_t *reasons = json_object();

	for (unsigned reason = 0; reason < REASON_SLOTS; reason++)
		if (left_out->by_reason[reason])
			json_object_set_new(reasons, reason_name(reason), json_integer(left_out->by_reason[reason]));
	return reasons;
}

static void tell_left_out(struct daemon *daemon, struct left_out *left_out, const char *action, const char *why)
{
	struct left_out told = *left_out;

	if (!told.events)
		return;
	/* Counted anew before it is told: when the disk is still full the notice itself fails and the count must stay.
	 */
	memset(left_out, 0, sizeof(*left_out));
	tell_notice(daemon, action,
		    json_pack("{s:I, s:I, s:o}", "events", (json_int_t)told.events, "packets", (json_int_t)told.packets,
			      "reasons", reasons_of(&told)),
		    "%llu events for %llu packets were left out of the log: %s", (unsigned long long)told.events,
		    (unsigned long long)told.packets, why);
	if (daemon->log.error)
		*left_out = told;
}

static void tell_ring_losses(struct daemon *daemon)
{
	struct telling_row *rows = NULL;
	__u64 lost = 0, before = daemon->state.lost;
	size_t count = 0;

	if (!daemon->instance || telling_read(daemon->instance, &rows, &count))
		return;
	for (size_t i = 0; i < count; i++)
		lost += rows[i].telling.lost;
	free(rows);
	daemon->state.lost = lost;
	if (lost > before) /* less: the maps were made anew */
		tell_notice(daemon, "events-lost", json_pack("{s:I}", "events", (json_int_t)(lost - before)),
			    "%llu events found the ring full and were lost; their packets are in the counters",
			    (unsigned long long)(lost - before));
}

void tell_losses(struct daemon *daemon, bool flush)
{
	__u64 now = monotonic_ns();

	/* A disk that has room again is told at once. */
	if (daemon->unwritten.events && (flush || now >= daemon->log.retry_ns))
		tell_left_out(daemon, &daemon->unwritten, "events-unwritten", strerror(-daemon->log.error));
	if (!flush && now - daemon->minute_told_ns < MINUTE_NS)
		return;
	daemon->minute_told_ns = now;
	tell_left_out(daemon, &daemon->over_budget, "events-left-out", "over the budget of bytes a minute");
	tell_ring_losses(daemon);
}

/* ---- histories ---- */

/* Tells the whole lines from *offset on, and moves it. */
static void tell_lines(struct daemon *daemon, const char *path, __u64 *offset)
{
	FILE *file = fopen(path, "re");
	size_t size = 0;
	char *line = NULL;
	ssize_t length;

	if (!file)
		return;
	if (!fseeko(file, (off_t)*offset, SEEK_SET)) {
		while ((length = getline(&line, &size, file)) > 0 && line[length - 1] == '\n') {
			json_t *entry = json_loads(line, 0, NULL);

			*offset += (__u64)length;
			if (json_is_object(entry))
				write_document(daemon, event_action(daemon->names, entry, ++daemon->state.sequence));
			json_decref(entry);
		}
	}
	free(line);
	fclose(file);
}

void tell_histories(struct daemon *daemon)
{
	struct daemon_state *state = &daemon->state;
	char path[SAVED_PATH_MAX], old[SAVED_PATH_MAX];
	struct stat stat_now;

	saved_path(&daemon->places, 0, "history.jsonl", path);
	if (stat(path, &stat_now))
		state->history_offset = 0;
	else if ((__u64)stat_now.st_size < state->history_offset)
		state->history_offset = (__u64)stat_now.st_size; /* somebody cut it: what is left was told */
	tell_lines(daemon, path, &state->history_offset);

	saved_path(&daemon->places, 0, "actions.jsonl", path);
	if (stat(path, &stat_now))
		return;
	if (stat_now.st_ino != state->actions_inode) {
		if (state->actions_inode) /* it started anew: the rest of the old one first */
			tell_lines(daemon, saved_path(&daemon->places, 0, "actions.jsonl.1", old),
				   &state->actions_offset);
		state->actions_inode = stat_now.st_ino;
		state->actions_offset = 0;
	}
	tell_lines(daemon, path, &state->actions_offset);
}
