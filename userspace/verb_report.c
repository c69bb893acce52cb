/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark report: what the log says of the last hours: what was dropped and why, when, from where, who was banned, what
 * happened to the policy, what the log does not hold, and what to do. Markdown, or the same as JSON.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon_state.h"
#include "event_log.h"
#include "output.h"
#include "review_facts.h"
#include "verb_common.h"

#define KEEP_READ 1000	   /* rotated files */
#define SOURCES_MOST 20000 /* told apart; further ones are counted together */
#define ROWS_SHOWN 10
#define LINES_SHOWN 50
#define HOUR 3600
#define OTHERS "others"

struct review {
	time_t from, to, first; /* first: of the events found */
	json_int_t events, packets;
	json_t *reasons, *services, *sources, *hours; /* name -> {"events", "packets"} */
	json_t *bans, *changes, *troubles;	      /* events, the newest first */
	json_t *attacks;			      /* the newest first */
	json_t *actions;			      /* action -> how often */
	struct review_facts facts;
};

/* ---- reading ---- */

static const char *text_at(const json_t *document, const char *object, const char *member)
{
	return json_string_value(json_object_get(json_object_get(document, object), member));
}

static time_t time_of(const json_t *document)
{
	return review_time(json_string_value(json_object_get(document, "@timestamp")));
}

static void count(json_t *counts, const char *name, json_int_t packets)
{
	json_t *row = json_object_get(counts, name);

	if (!row && json_object_size(counts) >= SOURCES_MOST)
		row = json_object_get(counts, name = OTHERS);
	if (!row) {
		json_object_set_new(counts, name, json_pack("{s:i, s:i}", "events", 0, "packets", 0));
		row = json_object_get(counts, name);
	}
	json_integer_set(json_object_get(row, "events"), json_integer_value(json_object_get(row, "events")) + 1);
	json_integer_set(json_object_get(row, "packets"),
			 json_integer_value(json_object_get(row, "packets")) + packets);
}

static void take_verdict(struct review *review, const json_t *document, time_t when)
{
	json_int_t packets = json_integer_value(json_object_get(json_object_get(document, "bulwark"), "packets"));
	const char *reason = text_at(document, "event", "reason"), *service = text_at(document, "service", "name");
	const char *source = text_at(document, "source", "address");
	char hour[32];
	struct tm broken;

	review->packets += packets;
	when -= when % HOUR;
	gmtime_r(&when, &broken);
	strftime(hour, sizeof(hour), "%Y-%m-%dT%H:00Z", &broken);
	count(review->hours, hour, packets);
	count(review->reasons, reason ?: "unknown", packets);
	if (service)
		count(review->services, service, packets);
	if (source)
		count(review->sources, source, packets);
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static json_t *short_line(const json_t *document, const char *action)
{
	const json_t *bulwark = json_object_get(document, "bulwark");

	return json_pack("{s:O?, s:s, s:s?, s:s?, s:O?, s:O?, s:s?}", "time", json_object_get(document, "@timestamp"),
			 "action", action, "address", text_at(document, "source", "address"), "reason",
			 text_at(document, "event", "reason"), "changed", json_object_get(bulwark, "changed"),
			 "message", json_object_get(document, "message"), "by", text_at(document, "user", "name"));
}

/* Events come newest first: an attack that ended is known by its end, when its beginning comes. */
static void take_attack(struct review *review, const json_t *document)
{
	const json_t *bulwark = json_object_get(document, "bulwark"), *event = json_object_get(document, "event");
	const char *start = text_at(document, "event", "start"), *service = text_at(document, "service", "name");
	json_t *known;
	size_t i;

	json_array_foreach(review->attacks, i, known)
	{
		if (start && !strcmp(start, json_string_value(json_object_get(known, "start")) ?: "") &&
		    json_equal(json_object_get(known, "service"), json_object_get(bulwark, "service")))
			return;
	}
	if (json_array_size(review->attacks) < LINES_SHOWN)
		json_array_append_new(
			review->attacks,
			json_pack(
				"{s:s?, s:s?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}",
				"service", service, "cause", text_at(document, "event", "reason"), "start",
				json_object_get(event, "start"), "end", json_object_get(event, "end"), "duration",
				json_object_get(event, "duration"), "peak", json_object_get(bulwark, "peak"), "packets",
				json_object_get(bulwark, "packets"), "refused", json_object_get(bulwark, "refused"),
				"proven_share", json_object_get(bulwark, "proven_share"), "detected_s",
				json_object_get(bulwark, "detected_s"), "mitigated_s",
				json_object_get(bulwark, "mitigated_s"), "concentration",
				json_object_get(bulwark, "concentration"), "new_sources_share",
				json_object_get(bulwark, "new_sources_share"), "networks",
				json_object_get(bulwark, "networks")));
}

static bool take(void *arg, const json_t *document)
{
	const char *action = text_at(document, "event", "action");
	time_t when = time_of(document);
	struct review *review = arg;
	json_t *list = NULL;

	if (when > review->to || !action || !when)
		return true;
	if (when < review->from)
		return when > review->from - HOUR; /* lines stand nearly in order of time */
	review->events++;
	if (!review->first || when < review->first)
		review->first = when;
	if (begins(action, "packet-")) {
		take_verdict(review, document, when);
		review_facts_verdict(&review->facts, document, when);
		return true;
	}
	count(review->actions, action, 0);
	if (!strcmp(action, "summary"))
		review_facts_summary(&review->facts, document);
	if (begins(action, "attack-"))
		take_attack(review, document);
	if (!strcmp(action, "ban"))
		list = review->bans;
	else if (begins(action, "policy-") || begins(action, "shield-") || begins(action, "under-attack-"))
		list = review->changes;
	else if (begins(action, "events-") || strstr(action, "refused") || strstr(action, "unprotected") ||
		 strstr(action, "unavailable"))
		list = review->troubles;
	if (list && json_array_size(list) < LINES_SHOWN)
		json_array_append_new(list, short_line(document, action));
	return true;
}

/* ---- what follows from it ---- */

static json_int_t times(const struct review *review, const char *action)
{
	return json_integer_value(json_object_get(json_object_get(review->actions, action), "events"));
}

/* An attack of which as much got in as came was met by no limit, or by ones that are too wide. */
static void advise_on_attacks(const json_t *attacks, json_t *words)
{
	const json_t *attack;
	char text[256];
	size_t i;

	json_array_foreach(attacks, i, attack)
	{
		const char *service = json_string_value(json_object_get(attack, "service"));

		if (!service || json_is_number(json_object_get(attack, "mitigated_s")))
			continue;
		snprintf(text, sizeof(text),
			 "the attack on %s that began at %s was not mitigated: give it limits, tighter ones, or an "
			 "`under-attack`",
			 service, json_string_value(json_object_get(attack, "start")) ?: "an unknown time");
		json_array_append_new(words, json_string(text));
	}
}

static json_t *advice(const struct review *review, const json_t *clients)
{
	static const struct {
		const char *action, *words;
	} rows[] = {
		{"interface-unprotected", "an interface came back without protection: bulwark status says why"},
		{"policy-reverted", "a policy went back because nobody confirmed it: bulwark history"},
		{"policy-renewal-refused", "the policy could not be applied anew: bulwark apply --renew says why"},
		{"feed-refused", "a feed was refused and the older one is in force: look at what fetches it"},
		{"events-left-out", "the log's budget was too small for what happened: bulwarkd --budget"},
		{"events-unwritten", "the log could not be written for a time: look at the disk"},
		{"events-lost", "the ring of events was full: bulwarkd was slow or not there"},
		{"events-undelivered", "a receiver of events lost some: see which in the log"},
		{"metrics-unavailable", "metrics could not be served: the address is taken or not there"},
		{"shield-paused", "the shield was paused: everything passed in that time"},
	};
	json_t *words = json_array();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (times(review, rows[i].action))
			json_array_append_new(words, json_string(rows[i].words));
	advise_on_attacks(review->attacks, words);
	review_facts_advise(&review->facts, clients, words);
	if (!review->events)
		json_array_append_new(words, json_string("the log holds nothing of this time: does bulwarkd run?"));
	else if (review->first > review->from + HOUR)
		json_array_append_new(words,
				      json_string("the log does not reach back to the beginning of this time, or "
						  "nothing happened then"));
	return words;
}

/* ---- saying it ---- */

struct row {
	const char *name;
	json_int_t events, packets;
};

static int by_packets(const void *a, const void *b)
{
	const struct row *one = a, *two = b;

	if (one->packets != two->packets)
		return one->packets < two->packets ? 1 : -1;
	if (one->events != two->events)
		return one->events < two->events ? 1 : -1;
	return strcmp(one->name, two->name);
}

static int by_events(const void *a, const void *b)
{
	const struct row *one = a, *two = b;

	return one->events != two->events ? (one->events < two->events ? 1 : -1) : by_packets(a, b);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* The rows of a count, sorted, the first `most` of them. */
static json_t *sorted(json_t *counts, int (*order)(const void *, const void *), size_t most)
{
	struct row *rows = calloc(json_object_size(counts) + 1, sizeof(*rows));
	json_t *result = json_array(), *value;
	const char *key;
	size_t n = 0;

	json_object_foreach(counts, key, value)
	{
		if (rows)
			rows[n++] = (struct row){key, json_integer_value(json_object_get(value, "events")),
						 json_integer_value(json_object_get(value, "packets"))};
	}
	if (n)
		qsort(rows, n, sizeof(*rows), order);
	for (size_t i = 0; i < n && i < most; i++)
		json_array_append_new(result, json_pack("{s:s, s:I, s:I}", "name", rows[i].name, "events",
							rows[i].events, "packets", rows[i].packets));
	free(rows);
	return result;
}

static const char *iso(time_t when, char text[32])
{
	struct tm broken;

	gmtime_r(&when, &broken);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &broken);
	return text;
}

static json_t *document_of(struct review *review)
{
	json_t *clients = review_facts_clients(&review->facts, review->attacks);
	char host[256] = "", from[32], to[32];

	gethostname(host, sizeof(host) - 1);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:O, s:o, s:o, s:o}",
			 "host", host, "from", iso(review->from, from), "to", iso(review->to, to), "events",
			 review->events, "packets_refused", review->packets, "sources",
			 (int)json_object_size(review->sources), "reasons", sorted(review->reasons, by_packets, 1000),
			 "services", sorted(review->services, by_packets, 1000), "top_sources",
			 sorted(review->sources, by_events, ROWS_SHOWN), "hours", sorted(review->hours, by_name, 10000),
			 "attacks", review->attacks, "bans", review->bans, "changes", review->changes, "troubles",
			 review->troubles, "times", review_facts_times(review->attacks), "advice",
			 advice(review, clients), "lawful_clients", clients);
}

static void print_counts(const json_t *rows, const char *title, const char *what, bool with_packets)
{
	const json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	printf("\n## %s\n\n| %s |%s events |\n|---|%s---:|\n", title, what, with_packets ? " packets |" : "",
	       with_packets ? "---:|" : "");
	json_array_foreach(rows, i, row)
	{
		printf("| %s |", json_string_value(json_object_get(row, "name")));
		if (with_packets)
			printf(" %lld |", (long long)json_integer_value(json_object_get(row, "packets")));
		printf(" %lld |\n", (long long)json_integer_value(json_object_get(row, "events")));
	}
}

static void print_lines(const json_t *lines, const char *title)
{
	static const char *const members[] = {"address", "reason", "changed", "message", "by"};
	const json_t *line;
	size_t i;

	if (!json_array_size(lines))
		return;
	printf("\n## %s\n\n", title);
	json_array_foreach(lines, i, line)
	{
		printf("- %s %s", json_string_value(json_object_get(line, "time")) ?: "-",
		       json_string_value(json_object_get(line, "action")));
		for (size_t j = 0; j < sizeof(members) / sizeof(*members); j++) {
			const char *text = json_string_value(json_object_get(line, members[j]));

			if (text)
				printf(", %s%s", j == 4 ? "by " : "", text);
		}
		putchar('\n');
	}
	if (i == LINES_SHOWN)
		printf("- and what came before: bulwark log\n");
}

/* "46.30.9.0/24 (62 %), 2a01:77:5::/48 (20 %)" */
static const char *networks_text(const json_t *networks, char *text, size_t size)
{
	const json_t *one;
	size_t i, used = 0;

	snprintf(text, size, "%s", json_is_array(networks) ? "all over" : "-");
	json_array_foreach(networks, i, one)
	{
		if (used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s (%.0f %%)", used ? ", " : "",
						 json_string_value(json_object_get(one, "prefix")) ?: "?",
						 100 * json_number_value(json_object_get(one, "share")));
	}
	return text;
}

static void print_attacks(const json_t *attacks)
{
	const json_t *attack;
	char mitigated[32], lasted[64], from[256];
	size_t i;

	if (!json_array_size(attacks))
		return;
	printf("\n## Attacks\n\n| began | service | cause | lasted | packets/s at worst | refused | inside open "
	       "connections "
	       "| detected after | mitigated after | mostly from |\n|---|---|---|---:|---:|---:|---:|---:|---:|---|\n");
	json_array_foreach(attacks, i, attack)
	{
		const json_t *duration = json_object_get(attack, "duration"),
			     *after = json_object_get(attack, "mitigated_s");
		double packets = json_number_value(json_object_get(attack, "packets"));

		duration_text((__u64)json_integer_value(duration) / 1000000000 * 1000000000, lasted, sizeof(lasted));
		snprintf(mitigated, sizeof(mitigated), json_is_number(after) ? "%.1f s" : "never",
			 json_number_value(after));
		printf("| %s | %s | %s | %s | %lld | %.0f %% | %.1f %% | %.1f s | %s | %s |\n",
		       json_string_value(json_object_get(attack, "start")) ?: "-",
		       json_string_value(json_object_get(attack, "service")) ?: "(none)",
		       json_string_value(json_object_get(attack, "cause")) ?: "-",
		       json_is_integer(duration) ? lasted : "goes on",
		       (long long)json_integer_value(json_object_get(attack, "peak")),
		       packets > 0 ? 100 * json_number_value(json_object_get(attack, "refused")) / packets : 0,
		       100 * json_number_value(json_object_get(attack, "proven_share")),
		       json_number_value(json_object_get(attack, "detected_s")), mitigated,
		       networks_text(json_object_get(attack, "networks"), from, sizeof(from)));
	}
}

static void print_times(const json_t *times)
{
	long long attacks = json_integer_value(json_object_get(times, "attacks"));
	long long not_mitigated = json_integer_value(json_object_get(times, "not_mitigated"));

	if (!attacks)
		return;
	printf("\n%lld attacks: detected after at most %.1f s", attacks,
	       json_number_value(json_object_get(times, "detected_s")));
	if (attacks > not_mitigated)
		printf(", mitigated after at most %.1f s", json_number_value(json_object_get(times, "mitigated_s")));
	if (not_mitigated)
		printf("; %lld not mitigated", not_mitigated);
	printf(".\n");
}

/* Who had completed a handshake cannot be forged. */
static void print_clients(const json_t *clients)
{
	const json_t *row;
	size_t i;

	printf("\n## Lawful clients hit\n\n%lld sources with completed connections met a drop, %lld of them while "
	       "there "
	       "was no attack.\n",
	       (long long)json_integer_value(json_object_get(clients, "sources")),
	       (long long)json_integer_value(json_object_get(clients, "outside_attacks")));
	json_array_foreach(json_object_get(clients, "rows"), i, row)
	{
		if (!i)
			printf("\n| source | service | reason | packets | events | without an attack "
			       "|\n|---|---|---|---:|---:|---|\n");
		printf("| %s | %s | %s | %lld | %lld | %s |\n", json_string_value(json_object_get(row, "source")),
		       json_string_value(json_object_get(row, "service")),
		       json_string_value(json_object_get(row, "reason")),
		       (long long)json_integer_value(json_object_get(row, "packets")),
		       (long long)json_integer_value(json_object_get(row, "events")),
		       json_is_true(json_object_get(row, "outside_attacks")) ? "yes" : "no");
	}
}

static int print_markdown(json_t *document)
{
	const json_t *advices = json_object_get(document, "advice"), *one;
	size_t i;

	printf("# Bulwark on %s\n\n", json_string_value(json_object_get(document, "host")));
	printf("From %s to %s: %lld packets refused (or would have been), from %lld sources that were told; %lld "
	       "events.\n",
	       json_string_value(json_object_get(document, "from")), json_string_value(json_object_get(document, "to")),
	       (long long)json_integer_value(json_object_get(document, "packets_refused")),
	       (long long)json_integer_value(json_object_get(document, "sources")),
	       (long long)json_integer_value(json_object_get(document, "events")));
	print_times(json_object_get(document, "times"));
	print_attacks(json_object_get(document, "attacks"));
	print_clients(json_object_get(document, "lawful_clients"));
	print_counts(json_object_get(document, "reasons"), "Why", "reason", true);
	print_counts(json_object_get(document, "services"), "At which services", "service", true);
	print_counts(json_object_get(document, "hours"), "When", "hour (UTC)", true);
	print_counts(json_object_get(document, "top_sources"), "From where (sampled: ranks, not rates)", "source",
		     false);
	print_lines(json_object_get(document, "bans"), "Bans");
	print_lines(json_object_get(document, "changes"), "What happened to the policy");
	print_lines(json_object_get(document, "troubles"), "What went wrong");
	if (json_array_size(advices))
		printf("\n## What to do\n\n");
	json_array_foreach(advices, i, one) printf("- %s\n", json_string_value(one));
	json_decref(document);
	return ferror(stdout) || fflush(stdout) ? EXIT_SYSTEM : EXIT_DONE;
}

int verb_report(struct context *context, int argc, char **argv)
{
	struct review review = {.to = time(NULL)};
	const char *value, *file = NULL;
	__u64 since_ns = 86400ULL * 1000000000;
	int option, status = EXIT_DONE;
	char path[SAVED_PATH_MAX];
	json_t *document;

	while (!status && (option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == 's')
			status = read_duration(context, "--since", value, &since_ns);
		else if (option == 'F')
			file = value;
		else
			return EXIT_USAGE;
	}
	status = status ?: no_operands(context, argc, argv);
	if (status)
		return status;
	file = file ?: daemon_log_path(&context->places, path, sizeof(path));
	if (access(file, R_OK))
		return fail(EXIT_SYSTEM, "%s: %s: %m; bulwarkd writes it, --file names another", context->verb, file);
	review.from = review.to - (time_t)(since_ns / 1000000000);
	review.reasons = json_object(), review.services = json_object(), review.sources = json_object();
	review.hours = json_object(), review.actions = json_object(), review.attacks = json_array();
	review.bans = json_array(), review.changes = json_array(), review.troubles = json_array();
	review_facts_begin(&review.facts);
	event_log_walk_back(file, KEEP_READ, take, &review);
	document = document_of(&review);
	review_facts_free(&review.facts);
	json_decref(review.reasons), json_decref(review.services), json_decref(review.sources);
	json_decref(review.hours), json_decref(review.actions), json_decref(review.attacks);
	json_decref(review.bans), json_decref(review.changes), json_decref(review.troubles);
	if (!document)
		return fail(EXIT_SYSTEM, "%s: %m", context->verb);
	return context->json ? print_json(document) : print_markdown(document);
}
