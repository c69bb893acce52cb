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

/* Takes the document, which has the number after state.sequence: numbers in the log have no holes, so that one is a
 * loss on the way from here. A disk that fails is said once, and again when it works. */
static int write_document(struct daemon *daemon, json_t *document)
{
	char *line = document ? json_dumps(document, JSON_COMPACT) : NULL;
	int before = daemon->log.error;
	int error = line ? event_log_write(&daemon->log, line, monotonic_ns()) : -ENOMEM;

	/* What is the daemon's own is tried again when the file fails. */
	if (line && (!error || json_object_get(json_object_get(document, "bulwark"), "event")))
		sinks_offer(daemon, document, line);
	free(line);
	json_decref(document);
	if (!error)
		daemon->state.ledger.written = ++daemon->state.sequence;
	if (error && !before)
		fprintf(stderr, "%s: %s: %s; events are counted until it can be written again\n",
			program_invocation_short_name, daemon->log.path, strerror(-error));
	return error;
}

static __u64 next_number(const struct daemon *daemon)
{
	return daemon->state.sequence + 1;
}

static json_t *verdict_document(struct daemon *daemon, const struct event *event, __u64 number)
{
	json_t *document = event_verdict(daemon->names, event, next_number(daemon));

	json_object_set_new(json_object_get(document, "bulwark"), "event", json_integer((json_int_t)number));
	return document;
}

void tell_event(void *arg, const struct event *event, __u64 number)
{
	struct daemon *daemon = arg;
	struct ledger *ledger = &daemon->state.ledger;

	if (number == daemon->written_ahead) {
		daemon->written_ahead = 0;
	} else if (!event_log_affords(&daemon->log, LINE_USUAL, monotonic_ns())) {
		ledger->sampled_out++;
		leave_out(&daemon->over_budget, event);
	} else if (write_document(daemon, verdict_document(daemon, event, number))) {
		ledger->unwritten++;
		leave_out(&daemon->unwritten, event);
	}
	ledger->taken = number;
}

/* An event of the daemon's own. */
static int write_own(struct daemon *daemon, json_t *document)
{
	int error = write_document(daemon, document);

	if (!error)
		daemon->state.ledger.own++;
	return error;
}

static int write_notice(struct daemon *daemon, const char *action, const char *message, json_t *more)
{
	return write_own(daemon, event_notice(daemon->names, action, message, more, next_number(daemon)));
}

static void say(const char *message)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
}

void tell_notice(struct daemon *daemon, const char *action, json_t *more, const char *format, ...)
{
	va_list arguments;
	char message[512];

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	say(message);
	if (write_notice(daemon, action, message, more)) {
		daemon->state.ledger.own++;
		daemon->state.ledger.unwritten++;
	}
}

void tell_line(struct daemon *daemon, json_t *line)
{
	const struct event one = {.packets = 0};
	struct ledger *ledger = &daemon->state.ledger;

	if (!event_log_affords(&daemon->log, LINE_USUAL, monotonic_ns())) {
		ledger->own++;
		ledger->sampled_out++;
		leave_out(&daemon->over_budget, &one);
	} else if (write_own(daemon, event_action(daemon->names, line, next_number(daemon)))) {
		ledger->own++;
		ledger->unwritten++;
		leave_out(&daemon->unwritten, &one);
	}
	json_decref(line);
}

void tell_alert(struct daemon *daemon, json_t *line)
{
	if (write_own(daemon, event_action(daemon->names, line, next_number(daemon)))) {
		daemon->state.ledger.own++;
		daemon->state.ledger.unwritten++;
	}
	json_decref(line);
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

/* Begins a new count when the old one is told. On a disk that still fails this is the attempt, and silent. */
static void tell_left_out(struct daemon *daemon, struct left_out *left_out, const char *action, const char *why)
{
	char message[256];

	if (!left_out->events)
		return;
	snprintf(message, sizeof(message), "%llu events for %llu packets were left out of the log: %s",
		 (unsigned long long)left_out->events, (unsigned long long)left_out->packets, why);
	if (write_notice(daemon, action, message,
			 json_pack("{s:I, s:I, s:o}", "events", (json_int_t)left_out->events, "packets",
				   (json_int_t)left_out->packets, "reasons", reasons_of(left_out))))
		return;
	say(message);
	memset(left_out, 0, sizeof(*left_out));
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

	if (!daemon->log.error || flush || now >= daemon->log.retry_ns)
		tell_left_out(daemon, &daemon->unwritten, "events-unwritten", "it could not be written");
	if (!flush && now - daemon->minute_told_ns < MINUTE_NS)
		return;
	daemon->minute_told_ns = now;
	tell_left_out(daemon, &daemon->over_budget, "events-left-out", "over the budget of bytes a minute");
	tell_ring_losses(daemon);
	sinks_tell_losses(daemon);
}

/* ---- histories ---- */

/* Tells the whole lines from *offset on, and moves it behind those that the log holds. */
static void tell_lines(struct daemon *daemon, const char *path, __u64 *offset)
{
	FILE *file = fopen(path, "re");
	size_t size = 0;
	char *line = NULL;
	ssize_t length;
	int error = 0;

	if (!file)
		return;
	if (fseeko(file, (off_t)*offset, SEEK_SET))
		error = -errno;
	while (!error && (length = getline(&line, &size, file)) > 0 && line[length - 1] == '\n') {
		json_t *entry = json_loads(line, 0, NULL);

		if (json_is_object(entry))
			error = write_own(daemon, event_action(daemon->names, entry, next_number(daemon)));
		if (!error)
			*offset += (__u64)length;
		json_decref(entry);
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
