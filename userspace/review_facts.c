/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "review_facts.h"

#include <stdio.h>
#include <string.h>

#include "verbs.h"

#define HITS_MOST 20000
#define ROWS_MOST 10
#define STALE_S (3 * 86400) /* as the shipped alert has it */

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

time_t review_time(const char *text)
{
	struct tm broken = {};

	return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &broken) ? timegm(&broken) : 0;
}

void review_facts_begin(struct review_facts *facts)
{
	*facts = (struct review_facts){
		.hits = json_array(), .rules = json_object(), .services = json_object(), .newest = NULL};
}

void review_facts_free(struct review_facts *facts)
{
	json_decref(facts->hits);
	json_decref(facts->rules);
	json_decref(facts->services);
	json_decref(facts->newest);
}

/* ---- reading ---- */

void review_facts_verdict(struct review_facts *facts, const json_t *document, time_t when)
{
	const json_t *bulwark = json_object_get(document, "bulwark"), *rule = json_object_get(bulwark, "rule");

	if (json_is_string(rule))
		json_object_set_new(facts->rules, json_string_value(rule), json_true());
	if (!json_is_true(json_object_get(bulwark, "proven")))
		return;
	if (json_array_size(facts->hits) >= HITS_MOST) {
		facts->missed++;
		return;
	}
	json_array_append_new(facts->hits,
			      json_pack("{s:I, s:s, s:s, s:s, s:s, s:I}", "when", (json_int_t)when, "source",
					text_of(json_object_get(document, "source"), "address"), "service",
					text_of(json_object_get(document, "service"), "name"), "reason",
					text_of(json_object_get(document, "event"), "reason"), "rule",
					json_string_value(rule) ?: "", "packets", number_of(bulwark, "packets")));
}

static void add(json_t *row, const json_t *from, const char *key)
{
	json_object_set_new(row, key, json_integer(number_of(row, key) + number_of(from, key)));
}

void review_facts_summary(struct review_facts *facts, const json_t *document)
{
	const json_t *bulwark = json_object_get(document, "bulwark"), *service;
	size_t i;

	if (!facts->newest)
		facts->newest = json_deep_copy(bulwark);
	facts->summed_s += json_number_value(json_object_get(json_object_get(document, "event"), "duration")) / 1e9;
	json_array_foreach(json_object_get(bulwark, "services"), i, service)
	{
		const char *name = text_of(service, "name");

		if (!json_object_get(facts->services, name))
			json_object_set_new(facts->services, name, json_object());
		add(json_object_get(facts->services, name), service, "passed");
		add(json_object_get(facts->services, name), service, "refused");
	}
}

/* ---- clients that had proved themselves ---- */

static bool in_attack(const json_t *attacks, const json_t *hit)
{
	json_int_t when = number_of(hit, "when");
	const json_t *attack;
	size_t i;

	json_array_foreach(attacks, i, attack)
	{
		json_int_t start = review_time(json_string_value(json_object_get(attack, "start")));
		json_int_t end = review_time(json_string_value(json_object_get(attack, "end")));

		if (!strcmp(text_of(attack, "service"), text_of(hit, "service")) && when >= start &&
		    (!end || when <= end))
			return true;
	}
	return false;
}

/* The row of a key, made when it is not there. */
static json_t *row_of(json_t *rows, const char *key)
{
	json_t *row = json_object_get(rows, key);

	if (row)
		return row;
	row = json_object();
	json_object_set_new(rows, key, row);
	return row;
}

static void take_hit(json_t *rows, json_t *tight, const json_t *hit, bool attacked)
{
	char key[512];
	json_t *row;

	snprintf(key, sizeof(key), "%s %s %s", text_of(hit, "source"), text_of(hit, "service"), text_of(hit, "reason"));
	row = row_of(rows, key);
	json_object_set(row, "source", json_object_get(hit, "source"));
	json_object_set(row, "service", json_object_get(hit, "service"));
	json_object_set(row, "reason", json_object_get(hit, "reason"));
	json_object_set_new(row, "events", json_integer(number_of(row, "events") + 1));
	add(row, hit, "packets");
	if (attacked)
		return;
	json_object_set_new(row, "outside_attacks", json_true());
	snprintf(key, sizeof(key), "%s on %s (%s)", text_of(hit, "reason"), text_of(hit, "service"),
		 *text_of(hit, "rule") ? text_of(hit, "rule") : "no line of the policy");
	json_object_set_new(row_of(tight, key), text_of(hit, "source"), json_true());
}

/* The keys of an object are sources: how many, at each of the others. */
static json_t *counted(json_t *tight)
{
	json_t *counts = json_object(), *sources;
	const char *key;

	json_object_foreach(tight, key, sources)
		json_object_set_new(counts, key, json_integer((json_int_t)json_object_size(sources)));
	return counts;
}

json_t *review_facts_clients(const struct review_facts *facts, const json_t *attacks)
{
	json_t *rows = json_object(), *tight = json_object(), *shown = json_array(), *sources = json_object(), *hit,
	       *row;
	json_t *outside = json_object(), *answer;
	const char *key;
	size_t i;

	json_array_foreach(facts->hits, i, hit)
	{
		bool attacked = in_attack(attacks, hit);

		take_hit(rows, tight, hit, attacked);
		json_object_set_new(sources, text_of(hit, "source"), json_true());
		if (!attacked)
			json_object_set_new(outside, text_of(hit, "source"), json_true());
	}
	json_object_foreach(rows, key, row)
	{
		if (json_array_size(shown) < ROWS_MOST)
			json_array_append(shown, row);
	}
	answer = json_pack("{s:I, s:I, s:I, s:o, s:o}", "sources", (json_int_t)json_object_size(sources),
			   "outside_attacks", (json_int_t)json_object_size(outside), "events_not_counted",
			   facts->missed, "rows", shown, "outside_attacks_by", counted(tight));
	json_decref(rows);
	json_decref(tight);
	json_decref(sources);
	json_decref(outside);
	return answer;
}

/* ---- attacks ---- */

static void longest(json_t *times, const char *key, const json_t *attack)
{
	double s = json_number_value(json_object_get(attack, key));

	if (json_is_number(json_object_get(attack, key)) && s >= json_number_value(json_object_get(times, key)))
		json_object_set_new(times, key, json_real(s));
}

json_t *review_facts_times(const json_t *attacks)
{
	json_t *times = json_pack("{s:i, s:n, s:n, s:i}", "attacks", (int)json_array_size(attacks), "detected_s",
				  "mitigated_s", "not_mitigated", 0);
	const json_t *attack;
	size_t i;

	json_array_foreach(attacks, i, attack)
	{
		longest(times, "detected_s", attack);
		longest(times, "mitigated_s", attack);
		if (!json_is_number(json_object_get(attack, "mitigated_s")))
			json_object_set_new(times, "not_mitigated",
					    json_integer(number_of(times, "not_mitigated") + 1));
	}
	return times;
}

/* ---- what follows ---- */

static void say(json_t *words, const char *text)
{
	json_array_append_new(words, json_string(text));
}

static void advise_on_limits(const struct review_facts *facts, const json_t *clients, const char *span, json_t *words)
{
	json_t *tight = json_object_get(clients, "outside_attacks_by"), *value, *limit;
	char text[512];
	const char *key;
	size_t i;

	json_object_foreach(tight, key, value)
	{
		snprintf(text, sizeof(text),
			 "%s met %lld clients inside open connections while there was no attack: is it too tight?", key,
			 (long long)json_integer_value(value));
		say(words, text);
	}
	json_array_foreach(json_object_get(facts->newest, "limits"), i, limit)
	{
		const char *place = text_of(limit, "rule");

		if (json_object_get(facts->rules, place))
			continue;
		snprintf(text, sizeof(text), "the limit of %s at %s met nobody in %s: is it too wide, or idle?",
			 text_of(limit, "service"), place, span);
		say(words, text);
	}
}

/* Those that there are now. */
static void advise_on_services(const struct review_facts *facts, const char *span, json_t *words)
{
	const json_t *service, *sums;
	char text[512];
	size_t i;

	json_array_foreach(json_object_get(facts->newest, "services"), i, service)
	{
		const char *name = text_of(service, "name");

		sums = json_object_get(facts->services, name);
		if (number_of(sums, "passed"))
			continue;
		snprintf(text, sizeof(text),
			 number_of(sums, "refused") ? "of what came to %s in %s everything was refused: who is it for?"
						    : "nobody used %s in %s: does it have to be exposed?",
			 name, span);
		say(words, text);
	}
}

static void advise_on_feeds(const struct review_facts *facts, json_t *words)
{
	char text[512], age[64];
	const json_t *feed;
	size_t i;

	json_array_foreach(json_object_get(facts->newest, "feeds"), i, feed)
	{
		json_int_t age_s = number_of(feed, "age_s");

		if (age_s <= STALE_S)
			continue;
		duration_text((__u64)(age_s / 3600 * 3600) * 1000000000ULL, age, sizeof(age));
		snprintf(text, sizeof(text), "the feed of %s is %s old: does what fetches it still work?",
			 text_of(feed, "list"), age);
		say(words, text);
	}
}

void review_facts_advise(const struct review_facts *facts, const json_t *clients, json_t *words)
{
	char span[64];

	duration_text((__u64)facts->summed_s * 1000000000ULL, span, sizeof(span));
	advise_on_limits(facts, clients, span, words);
	advise_on_services(facts, span, words);
	advise_on_feeds(facts, words);
}
