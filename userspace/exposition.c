/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The metrics, family by family. Names are a promise (bulwark-metrics(7) lists them): they are added, never changed. */
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "exposition.h"
#include "judge.h"
#include "remote.h"

#define CENSUS_ENTRIES 20000 /* of bans a text: a few milliseconds */
#define NO_NAME "other"

struct exposure { /* what one text is made from */
	struct exposition_text text;
	const struct places *places;
	struct instance *instance; /* NULL: nothing is applied */
	const struct daemon_state *ledger;
	struct exposition_memory *memory;
	struct control_state control;
	const struct slot_info *live; /* generation in force, or the one under a pause; NULL: none */
	__u32 slot;
	json_t *description;
	struct attachment *attachments;
	size_t attachment_count;
};

/* ---- packets ---- */

struct sheet { /* the counters of one interface */
	char name[16];
	struct counter counters[VERDICT_COUNT][REASON_COUNT];
};

struct sheets {
	struct sheet *items;
	size_t count;
};

/* Two rows may carry one name, when an interface went and came back. */
static struct sheet *sheet_of(struct sheets *sheets, const char *name)
{
	struct sheet *larger;

	name = *name ? name : NO_NAME;
	for (size_t i = 0; i < sheets->count; i++)
		if (!strcmp(sheets->items[i].name, name))
			return &sheets->items[i];
	larger = reallocarray(sheets->items, sheets->count + 1, sizeof(*larger));
	if (!larger)
		return NULL;
	sheets->items = larger;
	larger += sheets->count++;
	memset(larger, 0, sizeof(*larger));
	snprintf(larger->name, sizeof(larger->name), "%s", name);
	return larger;
}

static int read_sheets(const struct exposure *of, struct sheets *sheets)
{
	struct counter_row *rows = NULL;
	size_t count = 0;
	int error = of->instance ? counters_read(of->instance, &rows, &count) : 0;

	for (size_t i = 0; i < of->attachment_count; i++)
		sheet_of(sheets, of->attachments[i].name);
	for (size_t i = 0; i < count; i++) {
		struct sheet *sheet = sheet_of(sheets, rows[i].interface);
		struct counter *sum;

		if (!sheet || rows[i].reason >= REASON_COUNT)
			continue;
		sum = &sheet->counters[rows[i].verdict][rows[i].reason];
		sum->packets += rows[i].counter.packets;
		sum->bytes += rows[i].counter.bytes;
	}
	free(rows);
	return error;
}

/* Series begin at 0 where a reason has its usual verdict: the first packets of an attack are an increase, too. */
static void write_sheets(struct exposition_text *text, const struct sheets *sheets, bool bytes)
{
	static const unsigned char usual[REASON_COUNT] = {
#define REASON(symbol, name, verdict, sentence) [REASON_##symbol] = VERDICT_##verdict,
#include "../include/reasons.def"
#undef REASON
	};

	for (size_t i = 0; i < sheets->count; i++)
		for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
			for (unsigned reason = 1; reason < REASON_COUNT; reason++) {
				const struct counter *counter = &sheets->items[i].counters[verdict][reason];

				if (counter->packets || usual[reason] == verdict)
					metric_count(text, bytes ? counter->bytes : counter->packets, "interface",
						     sheets->items[i].name, "verdict", verdict_name(verdict), "reason",
						     reason_name(reason), NULL);
			}
}

static int write_packets(struct exposure *of)
{
	struct sheets sheets = {};
	int error = read_sheets(of, &sheets);

	metric_family(&of->text, METRIC_COUNTER, "bulwark_packets",
		      "Packets judged, by interface, verdict and reason.");
	write_sheets(&of->text, &sheets, false);
	metric_family(&of->text, METRIC_COUNTER, "bulwark_bytes",
		      "Bytes of the frames judged, by interface, verdict and reason.");
	write_sheets(&of->text, &sheets, true);
	free(sheets.items);
	return error;
}

/* ---- services ---- */

struct service_sum {
	char name[64];
	struct counter counters[VERDICT_COUNT];
};

static int by_service(const void *a, const void *b)
{
	return strcmp(((const struct service_sum *)a)->name, ((const struct service_sum *)b)->name);
}

/* Rows come grouped by service; those of the live policy without packets yet stand there with zeros. Sorted. */
static size_t service_sums(const struct exposure *of, const struct service_row *rows, size_t row_count,
			   struct service_sum **result)
{
	const json_t *services = json_object_get(of->description, "services"), *service;
	struct service_sum *sums = calloc(row_count + json_array_size(services) + 1, sizeof(*sums));
	size_t count = 0, grouped, i;

	*result = sums;
	for (i = 0; sums && i < row_count; i++) {
		if (!count || strcmp(sums[count - 1].name, rows[i].name))
			memcpy(sums[count++].name, rows[i].name, sizeof(sums->name));
		sums[count - 1].counters[rows[i].verdict] = rows[i].counter;
	}
	if (!sums)
		return 0;
	qsort(sums, count, sizeof(*sums), by_service);
	grouped = count;
	json_array_foreach(services, i, service)
	{
		const char *name = json_string_value(json_object_get(service, "name"));
		struct service_sum wanted = {};

		snprintf(wanted.name, sizeof(wanted.name), "%s", name ? name : "");
		if (*wanted.name && !bsearch(&wanted, sums, grouped, sizeof(*sums), by_service))
			sums[count++] = wanted;
	}
	qsort(sums, count, sizeof(*sums), by_service);
	return count;
}

static void write_sums(struct exposition_text *text, const struct service_sum *sums, size_t count, bool bytes)
{
	for (size_t i = 0; i < count; i++)
		for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++) {
			const struct counter *counter = &sums[i].counters[verdict];

			if (counter->packets || verdict <= VERDICT_DROP)
				metric_count(text, bytes ? counter->bytes : counter->packets, "service", sums[i].name,
					     "verdict", verdict_name(verdict), NULL);
		}
}

/* Services that are armed; the others have no row. */
static int write_armed(struct exposure *of)
{
	struct armed_row *rows = NULL;
	size_t count = 0;
	int error = of->instance ? armed_read(of->instance, &rows, &count) : 0;

	metric_family(&of->text, METRIC_GAUGE, "bulwark_syn_cookies_armed",
		      "1 for a service that answers SYNs with SYN cookies now.");
	for (size_t i = 0; i < count; i++)
		metric_count(&of->text, 1, "service", rows[i].name, NULL);
	free(rows);
	return error;
}

/* A family with a series for every service; row 0 is what belongs to none. */
static void write_stances(struct exposure *of, const struct stance_row *rows, size_t count, enum metric_type type,
			  const char *name, const char *help, double (*value)(const struct stance *stance))
{
	metric_family(&of->text, type, name, help);
	for (size_t i = 0; i < count; i++)
		metric_number(&of->text, value(&rows[i].stance), "service", rows[i].row ? rows[i].name : NO_NAME, NULL);
}

static double attack_active(const struct stance *stance)
{
	return stance->state == STANCE_ATTACK;
}

static double attack_count(const struct stance *stance)
{
	return stance->attacks;
}

static double attack_rate(const struct stance *stance)
{
	return stance->state == STANCE_ATTACK ? stance->rate : 0;
}

static double attack_detected(const struct stance *stance)
{
	return stance->detected_ms / 1000.0;
}

/* Grows as long as it is not: that is what an alert wants to see. */
static double attack_mitigated(const struct stance *stance)
{
	__u64 end = stance->state == STANCE_ATTACK ? stance_now_ns() : stance->attack_seen_ns;

	if (stance->mitigated_ms != MITIGATED_NOT)
		return stance->mitigated_ms / 1000.0;
	return end > stance->attack_since_ns ? (double)(end - stance->attack_since_ns) / 1e9 : 0;
}

static double attack_concentration(const struct stance *stance)
{
	return stance_share(stance->concentration);
}

static double attack_strangers(const struct stance *stance)
{
	return stance_share(stance->strangers);
}

/* Its own, or that of all. */
static void write_profiles(struct exposure *of, const struct stance_row *rows, size_t count)
{
	__u64 now = stance_now_ns();

	metric_family(
		&of->text, METRIC_GAUGE, "bulwark_under_attack_profile",
		"1 while a service is held as the policy's under-attack says; service other: all of them, by hand.");
	for (size_t i = 0; i < count; i++)
		metric_count(&of->text, profile_is_on(&rows[i].profile, now) || profile_is_on(&rows[0].profile, now),
			     "service", rows[i].row ? rows[i].name : NO_NAME, NULL);
}

static int write_attacks(struct exposure *of)
{
	struct stance_row *rows = NULL;
	size_t count = 0;
	int error = of->instance ? stances_read(of->instance, &rows, &count) : 0;

	write_stances(of, rows, count, METRIC_GAUGE, "bulwark_attack_active",
		      "1 while a service is under attack; service other: what belongs to none.", attack_active);
	write_stances(of, rows, count, METRIC_COUNTER, "bulwark_attacks", "Attacks on a service that began.",
		      attack_count);
	write_stances(of, rows, count, METRIC_GAUGE, "bulwark_attack_packets_per_second",
		      "Packets a second that come to a service under attack; 0 in peace.", attack_rate);
	write_stances(of, rows, count, METRIC_GAUGE, "bulwark_attack_time_to_detect_seconds",
		      "From the first second of the last attack on a service until it was said; 0 before the first.",
		      attack_detected);
	write_stances(of, rows, count, METRIC_GAUGE, "bulwark_attack_time_to_mitigate_seconds",
		      "From the first second of the last attack on a service until no more was let in than is usual; 0 "
		      "before the first.",
		      attack_mitigated);
	write_stances(
		of, rows, count, METRIC_GAUGE, "bulwark_attack_concentration_ratio",
		"Part of what the last attack on a service had refused at its worst that came from one /24 or /48.",
		attack_concentration);
	write_stances(of, rows, count, METRIC_GAUGE, "bulwark_attack_new_sources_ratio",
		      "Part of what came with it from sources that had completed no handshake in the last day; 0 where "
		      "SYN cookies are off, for then nobody knows.",
		      attack_strangers);
	write_profiles(of, rows, count);
	free(rows);
	return error;
}

static int write_services(struct exposure *of)
{
	struct service_row *rows = NULL;
	struct service_sum *sums;
	size_t count = 0;
	int error = of->instance ? service_counters_read(of->instance, &rows, &count) : 0;

	count = service_sums(of, rows, count, &sums);
	metric_family(&of->text, METRIC_COUNTER, "bulwark_service_packets",
		      "Packets to a declared service, by service and verdict.");
	write_sums(&of->text, sums, count, false);
	metric_family(&of->text, METRIC_COUNTER, "bulwark_service_bytes",
		      "Bytes of the frames to a declared service, by service and verdict.");
	write_sums(&of->text, sums, count, true);
	free(sums);
	free(rows);
	return error ?: write_armed(of) ?: write_attacks(of);
}

static int write_connection_sums(struct exposure *of)
{
	struct connections_row *rows = NULL;
	size_t count = 0;
	int error = of->instance ? connections_read(of->instance, &rows, &count) : 0;
	struct slow_looks looks;

	write_connections(&of->text, rows, count);
	if (of->instance && !slow_looks_read(of->instance, &looks))
		write_senders(&of->text, &looks);
	free(rows);
	return error;
}

/* ---- what is in force ---- */

static bool attached(const struct attachment *attachment)
{
	return attachment->xdp && attachment->egress && !*attachment->trouble;
}

/* Every interface that the policy asks for runs it, both ways. */
static bool is_protected(const struct exposure *of)
{
	const json_t *one;
	size_t i, j;

	if (!of->live || of->live->flags & SLOT_FLAG_CLOSED || of->control.active == SLOT_PAUSED ||
	    !of->control.slot_holds[HOOK_XDP][of->slot] || !of->control.slot_holds[HOOK_EGRESS][of->slot] ||
	    !of->attachment_count)
		return false;
	for (i = 0; i < of->attachment_count; i++)
		if (!attached(&of->attachments[i]))
			return false;
	json_array_foreach(json_object_get(of->description, "interfaces"), i, one)
	{
		const char *name = json_string_value(one);

		for (j = 0; name && j < of->attachment_count; j++)
			if (!strcmp(of->attachments[j].name, name))
				break;
		if (j == of->attachment_count)
			return false;
	}
	return true;
}

static void write_state(struct exposure *of)
{
	struct exposition_text *text = &of->text;
	bool paused = of->control.active == SLOT_PAUSED;

	metric_family(text, METRIC_GAUGE, "bulwark_protected",
		      "1 when a policy is in force on every interface it asks for; 0 also while paused.");
	metric_count(text, is_protected(of), NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_monitor", "1 when the policy in force only monitors.");
	metric_count(text, of->live && of->live->flags & SLOT_FLAG_MONITOR, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_paused", "1 while the shield is paused.");
	metric_count(text, of->live && paused, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_confirm_pending",
		      "1 while the policy in force waits to be confirmed.");
	metric_count(text, of->live && !paused && of->control.remaining_ms, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_deadline_remaining_seconds",
		      "Until the kernel ends the pause, or goes back unless confirmed; 0 without a deadline.");
	metric_number(text, (double)of->control.remaining_ms / 1000, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_generation", "Number of the policy in force, 0 without one.");
	metric_count(text, of->live ? of->live->generation : 0, NULL);
}

static void write_policy(struct exposure *of)
{
	struct exposition_text *text = &of->text;
	char hash[65] = "", path[sizeof(of->live->policy_path) + 1] = "";

	metric_family(text, METRIC_INFO, "bulwark_policy", "The policy in force: hash over its text and feeds, path.");
	if (of->live) {
		for (int i = 0; i < 32; i++)
			sprintf(hash + 2 * i, "%02x", of->live->policy_hash[i]);
		memcpy(path, of->live->policy_path, sizeof(of->live->policy_path));
		metric_count(text, 1, "hash", hash, "path", path, NULL);
	}
	metric_family(text, METRIC_GAUGE, "bulwark_policy_loaded_timestamp_seconds",
		      "When the policy in force was loaded.");
	if (of->live)
		metric_count(text, of->live->loaded_at, NULL);
}

static void write_changes(struct exposure *of)
{
	const struct past_counts *past = &of->memory->past;

	past_count(of->places, &of->memory->past);
	metric_family(&of->text, METRIC_COUNTER, "bulwark_policy_changes",
		      "What happened to policies, by outcome, since the history began.");
	for (enum past_action action = 0; action < PAST_ACTION_COUNT; action++)
		metric_count(&of->text, past->counts[action], "action", past_action_name(action), NULL);
	metric_family(&of->text, METRIC_GAUGE, "bulwark_policy_tests_failed",
		      "The policy's own tests that failed when one was last applied; more than 0: it was refused.");
	metric_count(&of->text, past->tests_failed, NULL);
	metric_family(&of->text, METRIC_GAUGE, "bulwark_policy_apply_duration_seconds",
		      "How long the last apply took, from reading to the switch.");
	if (past->took_s > 0)
		metric_number(&of->text, past->took_s, NULL);
}

static void write_interfaces(struct exposure *of)
{
	metric_family(&of->text, METRIC_GAUGE, "bulwark_interface_attached",
		      "1 when the interface runs the shield, both ways; mode is native, generic or none.");
	for (size_t i = 0; i < of->attachment_count; i++) {
		const struct attachment *one = &of->attachments[i];

		metric_count(&of->text, attached(one), "interface", one->name, "mode",
			     !one->xdp	   ? "none"
			     : one->native ? "native"
					   : "generic",
			     NULL);
	}
}

/* ---- lists ---- */

static __u64 member(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (__u64)value : 0;
}

/* What a feed was, and what its file is now: bytes grow before a policy is applied with them. */
static void write_feeds(struct exposition_text *text, const json_t *lists)
{
	double now = (double)time(NULL);
	const json_t *list;
	size_t i;

	metric_family(text, METRIC_GAUGE, "bulwark_feed_age_seconds",
		      "Since the feed that is in force was written, or its server confirmed it.");
	json_array_foreach(lists, i, list) if (member(list, "feed_mtime"))
		metric_number(text,
			      now - (double)remote_confirmed(json_string_value(json_object_get(list, "feed")) ?: "",
							     (time_t)member(list, "feed_mtime")),
			      "list", json_string_value(json_object_get(list, "name")) ?: "", NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_feed_bytes", "Size of the text of a feed, as it is now.");
	json_array_foreach(lists, i, list)
	{
		const char *feed = json_string_value(json_object_get(list, "feed"));
		char copy[REMOTE_PATH];
		struct stat file;

		if (feed && !stat(remote_file(feed, copy), &file))
			metric_count(text, (__u64)file.st_size, "list",
				     json_string_value(json_object_get(list, "name")) ?: "", NULL);
	}
}

static void write_lists(struct exposure *of)
{
	const json_t *lists = json_object_get(of->description, "lists"), *list;
	struct exposition_text *text = &of->text;
	size_t i;

	metric_family(text, METRIC_GAUGE, "bulwark_list_prefixes", "Prefixes of a list in force, by family.");
	json_array_foreach(lists, i, list)
	{
		const char *name = json_string_value(json_object_get(list, "name"));

		metric_count(text, member(list, "v4"), "list", name ?: "", "family", "ipv4", NULL);
		metric_count(text, member(list, "v6"), "list", name ?: "", "family", "ipv6", NULL);
	}
	metric_family(text, METRIC_GAUGE, "bulwark_list_cut_prefixes",
		      "Prefixes of a feed that were cut around what must not be blocked.");
	json_array_foreach(lists, i, list) if (json_is_string(json_object_get(list, "feed"))) metric_count(
		text, member(list, "cut"), "list", json_string_value(json_object_get(list, "name")) ?: "", NULL);
	write_feeds(text, lists);
}

static void write_refreshes(struct exposure *of)
{
	metric_family(&of->text, METRIC_COUNTER, "bulwark_feed_refreshes",
		      "Feeds that changed and were applied by the daemon, since it began, by outcome.");
	metric_count(&of->text, of->memory->feeds_refreshed, "outcome", "applied", NULL);
	metric_count(&of->text, of->memory->feeds_refused, "outcome", "refused", NULL);
	metric_family(&of->text, METRIC_COUNTER, "bulwark_feed_fetches",
		      "Feeds from the web that the daemon asked for, since it began: new, same as before, refused.");
	for (int i = 0; fetch_outcomes[i]; i++)
		metric_count(&of->text, of->memory->fetches[i], "outcome", fetch_outcomes[i], NULL);
}

/* ---- tables and bans ---- */

static int write_tables(struct exposure *of)
{
	struct exposition_text *text = &of->text;
	struct table_row rows[TABLE_ROWS] = {};
	int shown = of->instance ? TABLE_ROWS : 0, error = 0;

	if (shown)
		error = tables_look(of->instance, rows, (unsigned)time(NULL))
				?: holds_count(of->instance, &of->memory->census, CENSUS_ENTRIES)
				?: automatic_count(of->instance, &of->memory->automatic, CENSUS_ENTRIES);
	else
		of->memory->census = of->memory->automatic = (struct holds_census){};
	metric_family(text, METRIC_GAUGE, "bulwark_table_entries",
		      "Live entries of the tables in the kernel; all but holds estimated from a part.");
	for (int i = 0; i < shown; i++)
		metric_count(text, rows[i].entries, "table", rows[i].name, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_table_capacity", "Entries that the tables have room for.");
	for (int i = 0; i < shown; i++)
		metric_count(text, rows[i].capacity, "table", rows[i].name, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_bans", "Bans in force, those of the shield itself included.");
	metric_count(text, of->memory->census.bans + of->memory->automatic.bans, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_automatic_bans", "Bans in force that the shield made by itself.");
	metric_count(text, of->memory->automatic.bans, NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_allows", "Timed exceptions in force.");
	metric_count(text, of->memory->census.allows, NULL);
	return error;
}

static int write_fallthrough(struct exposure *of)
{
	__u64 packets[HOOK_COUNT] = {};
	int error = of->instance ? fallthrough_read(of->instance, packets) : 0;

	metric_family(&of->text, METRIC_COUNTER, "bulwark_fallthrough_packets",
		      "Packets that no policy judged although one is in force. Anything but 0 is a fault.");
	metric_count(&of->text, packets[HOOK_XDP], "hook", "xdp", NULL);
	metric_count(&of->text, packets[HOOK_EGRESS], "hook", "egress", NULL);
	return error;
}

/* ---- events ---- */

static int read_telling(const struct exposure *of, struct telling *sum)
{
	struct telling_row *rows = NULL;
	size_t count = 0;
	int error = of->instance ? telling_read(of->instance, &rows, &count) : 0;

	for (size_t i = 0; i < count; i++) {
		sum->made += rows[i].telling.made;
		sum->lost += rows[i].telling.lost;
		sum->sampled_out += rows[i].telling.sampled_out;
	}
	free(rows);
	return error;
}

/* The daemon's counts go on over rings that come and go; those of the ring that is there are read from the kernel. */
static int write_events(struct exposure *of)
{
	const struct ledger *ledger = &of->ledger->ledger;
	struct exposition_text *text = &of->text;
	struct telling sum = {};
	int error = read_telling(of, &sum);

	metric_family(text, METRIC_COUNTER, "bulwark_events_made", "Events made, by the kernel's side and the daemon.");
	metric_count(text, ledger->kernel + sum.made + sum.lost, "by", "kernel", NULL);
	metric_count(text, ledger->own, "by", "daemon", NULL);
	metric_family(text, METRIC_COUNTER, "bulwark_events_written", "Events written to the log.");
	metric_count(text, ledger->written, NULL);
	metric_family(text, METRIC_COUNTER, "bulwark_events_sampled_out",
		      "Events left out of the log: over its budget of bytes a minute.");
	metric_count(text, ledger->sampled_out, NULL);
	metric_family(
		text, METRIC_COUNTER, "bulwark_events_lost",
		"Events lost: they found the ring full, could not be written to the log, or a daemon died with them.");
	metric_count(text, ledger->lost + sum.lost, "at", "ring", NULL);
	metric_count(text, ledger->unwritten, "at", "log", NULL);
	metric_count(text, ledger->crashed, "at", "crash", NULL);
	metric_family(text, METRIC_GAUGE, "bulwark_events_waiting", "Events in the ring, not taken out of it yet.");
	metric_count(text, sum.made > ledger->taken ? sum.made - ledger->taken : 0, NULL);
	metric_family(text, METRIC_COUNTER, "bulwark_untold_packets",
		      "Packets that made no event of their own: the next event of their reason stands for them.");
	metric_count(text, sum.sampled_out, NULL);
	return error;
}

static void write_sinks(struct exposure *of)
{
	const struct exposition_memory *memory = of->memory;
	struct exposition_text *text = &of->text;

	metric_family(text, METRIC_COUNTER, "bulwark_receiver_events",
		      "Events for a syslog receiver or the journal, since the daemon began: sent or lost.");
	for (unsigned i = 0; i < memory->sink_count; i++) {
		const struct exposed_sink *sink = &memory->sinks[i];

		metric_count(text, sink->counts.sent, "receiver", sink->target, "fate", "sent", NULL);
		metric_count(text, sink->counts.lost, "receiver", sink->target, "fate", "lost", NULL);
	}
	metric_family(text, METRIC_GAUGE, "bulwark_receiver_events_waiting", "Events that wait for a receiver.");
	for (unsigned i = 0; i < memory->sink_count; i++)
		metric_count(text, memory->sinks[i].counts.waiting, "receiver", memory->sinks[i].target, NULL);
}

/* ---- all of it ---- */

static int gather(struct exposure *of)
{
	int error;

	of->control.active = SLOT_NONE;
	if (!of->instance)
		return 0;
	error = control_read(of->instance, &of->control);
	if (!error)
		error = interfaces_attached(of->instance, &of->attachments, &of->attachment_count);
	of->slot = of->control.active == SLOT_PAUSED ? of->control.fallback : of->control.active;
	if (of->slot < GENERATION_SLOTS && of->control.slots[of->slot].generation)
		of->live = &of->control.slots[of->slot];
	if (of->live)
		of->description = saved_description(of->places, of->live->generation);
	return error;
}

static int write_all(struct exposure *of)
{
	int error = gather(of);

	if (error)
		return error;
	write_state(of);
	write_policy(of);
	write_changes(of);
	write_interfaces(of);
	write_lists(of);
	write_refreshes(of);
	write_sinks(of);
	error = write_packets(of) ?: write_services(of) ?: write_connection_sums(of) ?: write_events(of) ?: write_tables(of) ?: write_fallthrough(of);
	exposition_end(&of->text);
	return error;
}

char *exposition(const struct places *places, struct instance *instance, const struct daemon_state *ledger,
		 struct exposition_memory *memory, enum exposition_format format, size_t *length)
{
	struct exposure of = {
		.text.format = format, .places = places, .instance = instance, .ledger = ledger, .memory = memory};
	char *result = NULL;
	int error;

	of.text.out = open_memstream(&result, length);
	if (!of.text.out)
		return NULL;
	__fsetlocking(of.text.out, FSETLOCKING_BYCALLER); /* nobody else has it, and it is written in small pieces */
	error = write_all(&of);
	if (fclose(of.text.out) || error) {
		free(result);
		result = NULL;
	}
	json_decref(of.description);
	free(of.attachments);
	return result;
}
