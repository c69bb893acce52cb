/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is going on: rates from the counters, who sends from the packets that were sampled. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "judge.h"
#include "top.h"
#include "verbs.h"

#define CENSUS_ENTRIES 100000
#define BANS_READ_MOST 20000 /* more are counted, not listed */
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

/* ---- who sends ---- */

static struct sender sender_of(const struct hitter *hitter, const struct hitters *of, enum top_sort sort)
{
	struct sender sender = {
		.reason = hitter->reason ? reason_name(hitter->reason) : "",
		.passed_rate = hitter->passed.rate,
		.passed_error = estimate_error(&hitter->passed),
		.dropped_rate = hitter->refused.rate,
		.dropped_error = estimate_error(&hitter->refused),
		.sources = hitter->sources,
	};
	double whole = sort == SORT_PASSED ? of->arrived.rate : of->refused.rate;

	prefix_text(&hitter->prefix, sender.address);
	if (whole > 0)
		sender.share = (sort == SORT_PASSED ? sender.passed_rate : sender.dropped_rate) / whole;
	return sender;
}

static int rank(const struct weighed_sample *samples, size_t count, const struct hitter_query *query,
		enum top_sort sort, struct senders *senders)
{
	struct hitters hitters;
	int error = hitters_find(samples, count, query, &hitters);

	senders->count = 0;
	for (size_t i = 0; !error && i < hitters.count && i < HITTERS_SHOWN; i++)
		senders->rows[senders->count++] = sender_of(&hitters.items[i], &hitters, sort);
	hitters_free(&hitters);
	return error;
}

/* A network of which one address was seen is that address: it stands among the sources. */
static int sample_senders(struct top *top, enum top_sort sort)
{
	static const enum hitter_order orders[SORT_COUNT] = {
		[SORT_DROPPED] = HITTERS_BY_REFUSED, [SORT_PASSED] = HITTERS_BY_PASSED, [SORT_NAME] = HITTERS_BY_NAME};
	struct hitter_query sources = {
		.order = orders[sort],
		.service = -1,
		.v4_length = 32,
		.v6_length = SOURCE_V6_LENGTH,
		.part_least = 0.001,
		.most = HITTERS_SHOWN,
	};
	struct hitter_query networks = sources;
	struct weighed_sample *samples = NULL;
	size_t count = 0;
	int error = samples_read(top->instance, HITTERS_SECONDS * NS_PER_S, &samples, &count);

	networks.v4_length = HITTER_V4_LENGTH;
	networks.v6_length = HITTER_V6_LENGTH;
	networks.sources_least = 2;
	if (!error)
		error = rank(samples, count, &sources, sort, &top->sources)
				?: rank(samples, count, &networks, sort, &top->networks);
	free(samples);
	return error;
}

/* ---- all of it ---- */

int top_open(struct top *top, const struct places *places)
{
	memset(top, 0, sizeof(*top));
	top->places = *places;
	return top_sample(top, SORT_DROPPED);
}

int top_sample(struct top *top, enum top_sort sort)
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
		error = sample_state(top) ?: sample_packets(top) ?: sample_services(top) ?: sample_bans(top)
				?: sample_senders(top, sort);
	else
		top->ban_lines = top->ban_count = top->sources.count = top->networks.count = 0;
	series_end(&top->interfaces, seconds);
	series_end(&top->services, seconds);
	series_end(&top->reasons, seconds);
	sample_totals(top);
	say_headline(top);
	say_attacks(top);
	top->sampled_ns = now;
	instance_close(top->instance);
	top->instance = NULL;
	return error;
}
