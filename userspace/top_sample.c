/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is going on: rates from the counters, sources from the events that were told. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon_state.h"
#include "judge.h"
#include "top.h"
#include "verbs.h"

#define CENSUS_ENTRIES 100000
#define BANS_READ_MOST 20000 /* more are counted, not listed */
#define EVENTS_A_SAMPLE 20000
#define NS_PER_S 1000000000ULL

static __u64 clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * NS_PER_S + (__u64)now.tv_nsec;
}

/* ---- counters ---- */

static struct series *series_of(struct series_list *list, const char *name)
{
	struct series *row;

	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->rows[i].name, name))
			return &list->rows[i];
	if (list->count == SERIES_MAX)
		return NULL;
	row = &list->rows[list->count++];
	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", name);
	return row;
}

static void series_begin(struct series_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct series *row = &list->rows[i];

		row->passed_before = row->passed;
		row->dropped_before = row->dropped;
		row->bytes_before = row->bytes;
		row->known = row->seen;
		row->passed = row->dropped = row->bytes = 0;
		row->seen = false;
	}
}

static double rate(__u64 now, __u64 before, bool known, double seconds)
{
	return known && now > before ? (double)(now - before) / seconds : 0;
}

static void series_end(struct series_list *list, double seconds)
{
	for (size_t i = 0; i < list->count; i++) {
		struct series *row = &list->rows[i];

		row->passed_rate = rate(row->passed, row->passed_before, row->known, seconds);
		row->dropped_rate = rate(row->dropped, row->dropped_before, row->known, seconds);
		row->byte_rate = rate(row->bytes, row->bytes_before, row->known, seconds);
	}
}

static void add(struct series *row, unsigned verdict, const struct counter *counter)
{
	if (!row)
		return;
	row->seen = true;
	row->bytes += counter->bytes;
	if (verdict == VERDICT_PASS || verdict == VERDICT_REPLY)
		row->passed += counter->packets;
	else
		row->dropped += counter->packets;
}

static int sample_packets(struct top *top)
{
	struct counter_row *rows = NULL;
	char name[80];
	size_t count = 0;
	int error = counters_read(top->instance, &rows, &count);

	for (size_t i = 0; i < count; i++) {
		/* a would-drop is counted once more, under what became of the packet */
		if (rows[i].verdict != VERDICT_WOULD_DROP)
			add(series_of(&top->interfaces, *rows[i].interface ? rows[i].interface : "other"),
			    rows[i].verdict, &rows[i].counter);
		if (rows[i].verdict == VERDICT_PASS)
			continue;
		snprintf(name, sizeof(name), "%s%s", reason_name(rows[i].reason),
			 rows[i].verdict == VERDICT_WOULD_DROP ? " (would drop)" : "");
		add(series_of(&top->reasons, name), VERDICT_DROP, &rows[i].counter);
	}
	free(rows);
	return error;
}

static int sample_services(struct top *top)
{
	struct service_row *rows = NULL;
	size_t count = 0;
	int error = service_counters_read(top->instance, &rows, &count);

	for (size_t i = 0; i < count; i++)
		if (rows[i].verdict != VERDICT_WOULD_DROP)
			add(series_of(&top->services, rows[i].name), rows[i].verdict, &rows[i].counter);
	free(rows);
	return error;
}

static void sample_totals(struct top *top)
{
	top->in_rate = top->dropped_rate = 0;
	for (size_t i = 0; i < top->interfaces.count; i++) {
		const struct series *row = &top->interfaces.rows[i];

		top->in_rate += row->passed_rate + row->dropped_rate;
		top->dropped_rate += row->dropped_rate;
	}
	memmove(top->in_history, top->in_history + 1, sizeof(top->in_history) - sizeof(double));
	memmove(top->dropped_history, top->dropped_history + 1, sizeof(top->dropped_history) - sizeof(double));
	top->in_history[HISTORY_SECONDS - 1] = top->in_rate;
	top->dropped_history[HISTORY_SECONDS - 1] = top->dropped_rate;
}

/* ---- what is in force ---- */

static int sample_state(struct top *top)
{
	struct attachment *attachments = NULL;
	const struct slot_info *info = NULL;
	size_t count = 0;
	__u32 slot;
	int error = control_read(top->instance, &top->control);

	if (!error)
		error = interfaces_attached(top->instance, &attachments, &count);
	slot = top->control.active == SLOT_PAUSED ? top->control.fallback : top->control.active;
	if (slot < GENERATION_SLOTS && top->control.slots[slot].generation)
		info = &top->control.slots[slot];
	top->generation = info ? info->generation : 0;
	top->monitor = info && info->flags & SLOT_FLAG_MONITOR;
	top->attached = count;
	for (size_t i = 0; i < count; i++) {
		struct series *row = series_of(&top->interfaces, attachments[i].name);

		top->attached &= attachments[i].xdp && attachments[i].egress;
		if (!row)
			continue;
		row->seen = true;
		snprintf(row->note, sizeof(row->note), "%s",
			 !attachments[i].xdp	 ? "not attached"
			 : attachments[i].native ? "native"
						 : "generic");
	}
	free(attachments);
	return error;
}

static void say_attacks(struct top *top)
{
	struct stance_row *rows = NULL;
	size_t used = 0, count = 0;

	*top->attacks = 0;
	if (!top->instance || stances_read(top->instance, &rows, &count))
		return;
	for (size_t i = 0; i < count && used + 1 < sizeof(top->attacks); i++)
		if (rows[i].stance.state == STANCE_ATTACK)
			used += (size_t)snprintf(top->attacks + used, sizeof(top->attacks) - used, "%s%s (%s)",
						 used ? ", " : "", rows[i].row ? rows[i].name : "no service",
						 cause_name(rows[i].stance.cause));
	free(rows);
}

static void say_headline(struct top *top)
{
	const struct control_state *control = &top->control;
	char left[64];

	duration_text(control->remaining_ms / 1000 * NS_PER_S, left, sizeof(left));
	if (!top->generation)
		snprintf(top->headline, sizeof(top->headline), "UNPROTECTED");
	else if (!top->attached)
		snprintf(top->headline, sizeof(top->headline), "DEGRADED: see bulwark status");
	else if (control->active == SLOT_PAUSED)
		snprintf(top->headline, sizeof(top->headline), "PAUSED %s left", left);
	else if (control->remaining_ms)
		snprintf(top->headline, sizeof(top->headline), "PENDING %s left", left);
	else
		snprintf(top->headline, sizeof(top->headline), top->monitor ? "MONITOR" : "ENFORCING");
}

/* ---- bans ---- */

static int newest_first(const void *a, const void *b)
{
	const struct hold_row *one = a, *two = b;

	return one->note.ban_since_ns < two->note.ban_since_ns	 ? 1
	       : one->note.ban_since_ns > two->note.ban_since_ns ? -1
								 : 0;
}

static int sample_bans(struct top *top)
{
	struct hold_row *rows = NULL;
	__u64 now = boottime_ns();
	size_t count = 0;
	int error = holds_count(top->instance, &top->census, CENSUS_ENTRIES);

	top->ban_lines = 0;
	top->ban_count = top->census.bans;
	if (error || top->census.bans > BANS_READ_MOST)
		return error;
	error = holds_read(top->instance, &rows, &count);
	if (!error && count)
		qsort(rows, count, sizeof(*rows), newest_first);
	top->ban_count = 0;
	for (size_t i = 0; !error && i < count; i++) {
		struct ban_line *line = &top->bans[top->ban_lines];

		if (rows[i].hold.ban_until_ns <= now)
			continue;
		top->ban_count++;
		if (top->ban_lines == BANS_SHOWN)
			continue;
		top->ban_lines++;
		prefix_text(&rows[i].prefix, line->prefix);
		snprintf(line->origin, sizeof(line->origin), "%.31s", rows[i].note.ban_origin);
		snprintf(line->reason, sizeof(line->reason), "%.95s", rows[i].note.ban_reason);
		line->left_s = (rows[i].hold.ban_until_ns - now) / NS_PER_S;
	}
	free(rows);
	return error;
}

/* ---- sources ---- */

static struct source *source_of(struct top *top, const char *address, const char *reason)
{
	struct source *oldest = &top->sources[0];

	for (size_t i = 0; i < top->source_count; i++) {
		struct source *source = &top->sources[i];

		if (!strcmp(source->address, address) && !strcmp(source->reason, reason))
			return source;
		if (source->last < oldest->last)
			oldest = source;
	}
	if (top->source_count < SOURCES_MAX)
		oldest = &top->sources[top->source_count++];
	memset(oldest, 0, sizeof(*oldest));
	snprintf(oldest->address, sizeof(oldest->address), "%s", address);
	snprintf(oldest->reason, sizeof(oldest->reason), "%s", reason);
	return oldest;
}

/* Seconds that fell out of the last minute. */
static void forget_second(struct top *top)
{
	unsigned place = top->second % HISTORY_SECONDS;

	for (size_t i = 0; i < top->source_count; i++) {
		struct source *source = &top->sources[i];

		source->sum -= source->events[place];
		source->events[place] = 0;
	}
}

static const char *text_at(const json_t *document, const char *object, const char *member)
{
	return json_string_value(json_object_get(json_object_get(document, object), member));
}

static void take_line(struct top *top, const char *line)
{
	json_t *document = json_loads(line, 0, NULL);
	const char *action = text_at(document, "event", "action"), *reason = text_at(document, "event", "reason");
	const char *address = text_at(document, "source", "ip");
	struct source *source;

	if (action && !strncmp(action, "packet-", 7) && reason && address) {
		source = source_of(top, address, reason);
		source->events[top->second % HISTORY_SECONDS]++;
		source->sum++;
		source->last = top->second;
	}
	json_decref(document);
}

static void sample_sources(struct top *top)
{
	const char *line;

	top->second++;
	forget_second(top);
	for (int i = 0; i < EVENTS_A_SAMPLE && (line = log_reader_next(&top->log)); i++)
		take_line(top, line);
	top->log_there = top->log.file;
}

/* ---- all of it ---- */

int top_open(struct top *top, const struct places *places)
{
	memset(top, 0, sizeof(*top));
	top->places = *places;
	daemon_log_path(places, top->log_path, sizeof(top->log_path));
	log_reader_open(&top->log, top->log_path);
	log_reader_last(&top->log, 0);
	return top_sample(top);
}

int top_sample(struct top *top)
{
	__u64 now = clock_ns();
	double seconds = top->sampled_ns ? (double)(now - top->sampled_ns) / NS_PER_S : 1;
	int error = 0;

	/* opened each time: `down` and `apply` may have come between */
	error = instance_open(&top->places, OPEN_READ, &top->instance);
	if (error)
		top->instance = NULL;
	if (error && error != -ENOENT)
		return error;
	series_begin(&top->interfaces);
	series_begin(&top->services);
	series_begin(&top->reasons);
	top->generation = 0;
	error = 0;
	if (top->instance)
		error = sample_state(top) ?: sample_packets(top) ?: sample_services(top) ?: sample_bans(top);
	else
		top->ban_lines = top->ban_count = 0;
	series_end(&top->interfaces, seconds);
	series_end(&top->services, seconds);
	series_end(&top->reasons, seconds);
	sample_totals(top);
	sample_sources(top);
	say_headline(top);
	say_attacks(top);
	top->sampled_ns = now;
	instance_close(top->instance);
	top->instance = NULL;
	return error;
}

void top_close(struct top *top)
{
	log_reader_close(&top->log);
}
