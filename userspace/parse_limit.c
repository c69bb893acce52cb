/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* limits of a service: { new-connections: 50/s, burst: 100, per: source, except: [cgnat] }. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "../include/generation.h"

#define CONNECTIONS_MOST 1000000000
#define IDLE_REQUEST_LEAST_S 5 /* bulwarkd looks four times in it */
#define IDLE_REQUEST_MOST_S 3600

const char *const limit_measures[] = {"packets",     "bytes",	     "bits", "new-connections",
				      "connections", "idle-request", NULL};

enum unit measure_unit(enum limit_measure measure)
{
	return measure == MEASURE_BYTES ? UNIT_BYTE : measure == MEASURE_BITS ? UNIT_BIT : UNIT_ONE;
}

static const char *how_written(enum unit unit)
{
	return unit == UNIT_BYTE  ? "500kB/s or 1MiB/s"
	       : unit == UNIT_BIT ? "500kbit/s or 100Mbit/s"
				  : "50/s, 3k/m or 10M/s";
}

/* What the limit is to be, as text; NULL when an error was said. */
static const char *begin_measure(struct parser *parser, struct policy_limit *limit, const struct node *value,
				 enum limit_measure measure)
{
	const char *text = take_scalar(parser, value);

	if (limit->measure != MEASURE_NONE) {
		wrong(parser, value->key, "'%s': this limit counts %s already: write a limit of its own",
		      value->key->text, limit_measures[limit->measure]);
		return NULL;
	}
	limit->measure = measure;
	limit->at = value->key->at;
	return text;
}

#define LETS_NOTHING "'%.80s' lets nothing through: leave the service out instead"

static void take_measure(struct parser *parser, struct policy_limit *limit, const struct node *value,
			 enum limit_measure measure)
{
	const char *text = begin_measure(parser, limit, value, measure);
	enum unit unit = measure_unit(measure);
	int error;

	if (!text)
		return;
	error = amount_rate_parse(text, unit, &limit->rate);
	limit->rate.at = value->at;
	if (error == -ERANGE)
		wrong(parser, value, "'%.80s': at most 1000G a period", text);
	else if (error)
		wrong(parser, value, "'%.80s' is not a rate of %s: write %s", text, limit_measures[measure],
		      how_written(unit));
	else if (!limit->rate.count)
		wrong(parser, value, LETS_NOTHING, text);
}

static void limit_packets(struct parser *parser, void *object, const struct node *value)
{
	take_measure(parser, object, value, MEASURE_PACKETS);
}

static void limit_bytes(struct parser *parser, void *object, const struct node *value)
{
	take_measure(parser, object, value, MEASURE_BYTES);
}

static void limit_bits(struct parser *parser, void *object, const struct node *value)
{
	take_measure(parser, object, value, MEASURE_BITS);
}

static void limit_new_connections(struct parser *parser, void *object, const struct node *value)
{
	take_measure(parser, object, value, MEASURE_NEW_CONNECTIONS);
}

/* No rate: so many at the same time. */
static void limit_connections(struct parser *parser, void *object, const struct node *value)
{
	struct policy_limit *limit = object;
	const char *text = begin_measure(parser, limit, value, MEASURE_CONNECTIONS);
	int error = text ? amount_parse(text, UNIT_ONE, &limit->most) : 0;

	if (!text)
		return;
	if (error || limit->most > CONNECTIONS_MOST)
		wrong(parser, value, "'%.80s' is not a number of open connections up to %d: write 200 or 20k", text,
		      CONNECTIONS_MOST);
	else if (!limit->most)
		wrong(parser, value, LETS_NOTHING, text);
}

/* No rate either: so long one sender may be slow. */
static void limit_idle_request(struct parser *parser, void *object, const struct node *value)
{
	struct policy_limit *limit = object;

	if (begin_measure(parser, limit, value, MEASURE_IDLE_REQUEST) && take_period(parser, value, &limit->most) &&
	    (limit->most < IDLE_REQUEST_LEAST_S || limit->most > IDLE_REQUEST_MOST_S))
		wrong(parser, value, "'%.80s': a request may be slow for 5s to 1h", value->text);
}

bool prefix_lengths(const char *text, __u8 *v4_length, __u8 *v6_length)
{
	unsigned v4, v6;
	char rest;

	if (strspn(text, "/,0123456789") != strlen(text) || sscanf(text, "/%3u,/%3u%c", &v4, &v6, &rest) != 2)
		return false;
	if (!v4 || v4 > 32 || !v6 || v6 > 128)
		return false;
	*v4_length = v4;
	*v6_length = v6;
	return true;
}

static void limit_per(struct parser *parser, void *object, const struct node *value)
{
	const char *text = take_scalar(parser, value);
	struct policy_limit *limit = object;

	limit->has_per = true;
	if (!text)
		return;
	if (!strcmp(text, "source"))
		limit->per = LIMITED_SOURCE;
	else if (!strcmp(text, "service"))
		limit->per = LIMITED_SERVICE;
	else if (prefix_lengths(text, &limit->v4_length, &limit->v6_length))
		limit->per = LIMITED_PREFIX;
	else
		wrong(parser, value,
		      "'%.80s' is none of source, service, or a prefix of both families, as in \"/24,/48\"", text);
}

/* Read when the measure is known: its unit is the measure's. */
static void take_burst(struct parser *parser, struct policy_limit *limit, const struct node *value)
{
	const char *text = take_scalar(parser, value);
	enum unit unit = measure_unit(limit->measure);

	limit->burst_at = value->at;
	if (!text)
		return;
	if (limit->measure == MEASURE_CONNECTIONS || limit->measure == MEASURE_IDLE_REQUEST) {
		wrong(parser, value, "'burst': %s have no rate, so nothing comes at once: remove it",
		      limit->measure == MEASURE_CONNECTIONS ? "open connections" : "slow senders");
		return;
	}
	if (amount_parse(text, unit, &limit->burst))
		wrong(parser, value, "'%.80s' is not a burst of %s: write %s", text, limit_measures[limit->measure],
		      unit == UNIT_BYTE	 ? "500kB or 1MiB"
		      : unit == UNIT_BIT ? "500kbit or 100Mbit"
					 : "100 or 20k");
	else if (!limit->burst)
		wrong(parser, value, "'%.80s' lets nothing through: a burst is at least 1", text);
}

static void limit_burst(struct parser *parser, void *object, const struct node *value)
{
	(void)parser;
	((struct policy_limit *)object)->burst_at = value->at; /* see parse_limit */
}

static void limit_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy_limit *)object)->monitor);
}

static void limit_except(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy_limit *)object)->except, &use_scope, value);
}

static void limit_for(struct parser *parser, void *object, const struct node *value)
{
	struct policy_limit *limit = object;

	limit->has_only = true;
	parse_uses(parser, &limit->only, &use_scope, value);
}

static void limit_until(struct parser *parser, void *object, const struct node *value)
{
	take_until(parser, value, &((struct policy_limit *)object)->until);
}

static void limit_owner(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct policy_limit *)object)->owner);
}

static void limit_why(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct policy_limit *)object)->why);
}

static const struct key limit_keys[] = {
	{"packets", limit_packets},
	{"bytes", limit_bytes},
	{"bits", limit_bits},
	{"new-connections", limit_new_connections},
	{"burst", limit_burst},
	{"per", limit_per},
	{"monitor", limit_monitor},
	{"except", limit_except},
	{"for", limit_for},
	{"until", limit_until},
	{"owner", limit_owner},
	{"why", limit_why},
	{"connections", limit_connections},
	{"idle-request", limit_idle_request},
	{"requests", NULL},
};
const struct scope limit_scope = SCOPE("limit", "a limit", limit_keys);

/* Whether it counts what only a later version can: said already. */
static bool counts_later(const struct node *item)
{
	for (const struct node *value = item->first; value; value = value->next)
		if (!strcmp(value->key->text, "requests"))
			return true;
	return false;
}

static void parse_limit(struct parser *parser, struct policy_limit *limit, const struct node *item)
{
	limit->measure = MEASURE_NONE;
	limit->at = item->at;
	limit->rate.count = 1; /* so that a limit with an error is still one */
	limit->rate.period_ns = 1000000000;
	parse_map(parser, &limit_scope, limit, item);
	if (item->kind != NODE_MAP)
		return;
	if (limit->measure == MEASURE_NONE) {
		if (!counts_later(item))
			wrong(parser, item,
			      "a limit needs what it counts: packets, bytes, bits, new-connections, connections or "
			      "idle-request");
		limit->measure = MEASURE_PACKETS;
	}
	for (const struct node *value = item->first; value; value = value->next)
		if (!strcmp(value->key->text, "burst"))
			take_burst(parser, limit, value);
	if (limit->measure == MEASURE_IDLE_REQUEST) {
		if (limit->has_per)
			wrong(parser, item, "'per': each connection has its own 'idle-request': remove it");
		limit->per = LIMITED_SERVICE; /* it tells nobody apart */
	} else if (!limit->has_per) {
		wrong(parser, item, "a limit needs 'per': source, service, or a prefix as in \"/24,/48\"");
	}
}

static void forget_limit(struct parser *parser, struct service *service, struct policy_limit *limit)
{
	policy_say(parser->policy, parser->report, SEVERITY_WARNING, &limit->at,
		   "this limit of service '%s' ended on %s: it is left out", service->name, limit->until);
	limit_free(limit);
	service->limit_count--;
}

void parse_limits(struct parser *parser, void *object, const struct node *sequence)
{
	struct service *service = object;

	if (!is_sequence(parser, sequence, "'limits'"))
		return;
	if (sequence->count > LIMITS_A_SERVICE) {
		wrong(parser, sequence, "'limits' has %zu entries; a service has at most %d", sequence->count,
		      LIMITS_A_SERVICE);
		return;
	}
	for (const struct node *item = sequence->first; item; item = item->next) {
		struct policy_limit *limit = append(parser, &service->limits, &service->limit_count, sizeof(*limit));

		if (!limit)
			return;
		parse_limit(parser, limit, item);
		if (has_ended(parser, limit->until))
			forget_limit(parser, service, limit);
	}
}
