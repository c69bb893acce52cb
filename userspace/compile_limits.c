/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits -> struct limit_entry: what a packet costs and what may be spent ahead of time. What the tables and the clock
 * of the packet path cannot keep is changed here, and said.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "compile.h"
#include "values.h"

#include "../include/state.h"

/* The packet path takes the coarse clock: a whole tick's packets carry one time, so a smaller burst would refuse lawful
 * ones. 10 ms is the longest tick a kernel has (HZ=100). */
#define TICK_NS 10000000ULL
#define BURST_LEAST 3	   /* packets or connections: a network reorders and doubles */
#define BURST_BYTES 65536  /* the largest packet there is, so that one can pass */
#define SCALE (1ULL << 10) /* struct limit_entry.cost is in 2^-10 ns */

_Static_assert(4 * LIMIT_REFILL_MOST_NS < 1ULL << (LIMITER_TIME_BITS + LIMITER_TIME_SHIFT),
	       "a debt is told from the past");

static const char *per_text(const struct policy_limit *limit, char *buffer, size_t size)
{
	if (limit->per == LIMITED_PREFIX)
		snprintf(buffer, size, "/%u,/%u", limit->v4_length, limit->v6_length);
	else
		snprintf(buffer, size, "%s", limit->per == LIMITED_SERVICE ? "service" : "source");
	return buffer;
}

/* What a limit counts for whom, by its service's name and not by its rate: a reload with another rate keeps what
 * sources owe. Two alike in one service differ by which of them it is. */
static __u32 limit_id(const struct service *service, size_t position)
{
	const struct policy_limit *limit = &service->limits[position];
	char text[160], per[24];
	size_t same = 0;

	for (size_t i = 0; i < position; i++) {
		const struct policy_limit *other = &service->limits[i];

		same += other->measure == limit->measure && other->per == limit->per &&
			other->v4_length == limit->v4_length && other->v6_length == limit->v6_length;
	}
	snprintf(text, sizeof(text), "%s %d %s %zu", service->name, limit->measure, per_text(limit, per, sizeof(per)),
		 same);
	return XXH32(text, strlen(text), 0);
}

/* Packets, connections or bytes: a limit in bits is one in bytes. */
static __u64 in_units(const struct policy_limit *limit, __u64 amount)
{
	return limit->measure == MEASURE_BITS ? (amount + 7) / 8 : amount;
}

/* The burst, raised to what the clock and a single packet need; 0 given: what the limit allows in a second. */
static __u64 burst_of(const struct compile *compile, const struct policy_limit *limit, __u64 count)
{
	bool bytes = limit->measure == MEASURE_BYTES || limit->measure == MEASURE_BITS;
	__u64 period = limit->rate.period_ns, least = bytes ? BURST_BYTES : BURST_LEAST;
	__u64 tick = (__u64)((__uint128_t)count * TICK_NS / period);
	char given[VALUE_TEXT], raised[VALUE_TEXT];
	__u64 burst = in_units(limit, limit->burst);

	if (least < tick)
		least = tick;
	if (!limit->burst)
		burst = (__u64)((__uint128_t)count * 1000000000 / period);
	if (burst >= least)
		return burst;
	if (limit->burst)
		policy_say(compile->policy, compile->report, SEVERITY_NOTE, &limit->burst_at,
			   "burst %s is raised to %s: %s", amount_text(burst, bytes ? UNIT_BYTE : UNIT_ONE, given),
			   amount_text(least, bytes ? UNIT_BYTE : UNIT_ONE, raised),
			   least == tick ? "what the limit lets through in one tick of the clock"
			   : bytes	 ? "one packet can be that large"
					 : "fewer would refuse what a network reorders");
	return least;
}

/* The rate of an entry: its cost and tolerance. 0, or -ERANGE with words. */
static int set_rate(const struct compile *compile, const struct policy_limit *limit, struct limit_entry *entry)
{
	__u64 count = in_units(limit, limit->rate.count), burst = burst_of(compile, limit, count);
	__uint128_t cost = (__uint128_t)limit->rate.period_ns * SCALE / count;
	__uint128_t tolerance =
		cost *
		(limit->measure == MEASURE_PACKETS || limit->measure == MEASURE_NEW_CONNECTIONS ? burst - 1 : burst) /
		SCALE;

	if (tolerance + cost / SCALE > LIMIT_REFILL_MOST_NS) {
		policy_say(compile->policy, compile->report, SEVERITY_ERROR, &limit->at,
			   "this limit takes longer than 73 minutes to refill: raise its rate or lower its burst");
		return -ERANGE;
	}
	entry->cost = cost ? (__u64)cost : 1;
	entry->tolerance_ns = (__u64)tolerance;
	return 0;
}

/* Without id and position, which say what it is a limit of. */
static int measure_limit(struct compile *compile, const struct policy_limit *limit, struct limit_entry *entry)
{
	static const __u8 kinds[] = {
		[MEASURE_PACKETS] = LIMIT_PACKETS,
		[MEASURE_BYTES] = LIMIT_BYTES,
		[MEASURE_BITS] = LIMIT_BYTES,
		[MEASURE_NEW_CONNECTIONS] = LIMIT_NEW_CONNECTIONS,
		[MEASURE_CONNECTIONS] = LIMIT_CONNECTIONS,
		[MEASURE_IDLE_REQUEST] = LIMIT_IDLE_REQUEST,
	};

	*entry = (struct limit_entry){
		.kind = kinds[limit->measure],
		.per = limit->per == LIMITED_SERVICE ? LIMIT_PER_SERVICE : LIMIT_PER_SOURCE,
		.monitor = limit->monitor || compile->policy->monitor,
		.v4_length = limit->per == LIMITED_PREFIX ? limit->v4_length : 32,
		.v6_length = limit->per == LIMITED_PREFIX ? limit->v6_length : compile->policy->source_v6 ?: 64,
		/* what many share is nobody's offence */
		.bans = compile->policy->ban.given && limit->per == LIMITED_SOURCE,
		.except = lists_as_set(compile, &limit->except),
		.only = limit->has_only ? lists_or_nobody(compile, &limit->only) : 0,
	};
	/* a proxy stands for many clients, and each of its connections, too */
	if (limit->per != LIMITED_SERVICE || limit->measure == MEASURE_IDLE_REQUEST)
		entry->except |= lists_as_set(compile, &compile->policy->proxies);
	if (limit->measure != MEASURE_CONNECTIONS && limit->measure != MEASURE_IDLE_REQUEST)
		return set_rate(compile, limit, entry);
	entry->most = limit->measure == MEASURE_IDLE_REQUEST ? limit->most * 1000 : limit->most;
	return 0;
}

static int limit_entry(struct compile *compile, const struct service *service, size_t position,
		       struct limit_entry *entry)
{
	int err = measure_limit(compile, &service->limits[position], entry);

	entry->id = limit_id(service, position);
	entry->position = (__u8)position;
	return err;
}

/* Slots are free again once a source owes nothing: so many sources a second can be told apart for each limit. */
static void say_capacity(const struct compile *compile, const struct policy_limit *limit,
			 const struct limit_entry *entry)
{
	__u64 owes_ns = entry->kind == LIMIT_CONNECTIONS || entry->kind == LIMIT_IDLE_REQUEST
				? 0
				: (entry->kind == LIMIT_BYTES ? entry->cost * 1500 : entry->cost) / SCALE;
	__u64 sources = owes_ns ? LIMITER_LINES * 8ULL * 1000000000 / owes_ns : ~0ULL;

	if (entry->per == LIMIT_PER_SERVICE || sources >= 100000)
		return;
	policy_say(compile->policy, compile->report, SEVERITY_NOTE, &limit->at,
		   "a flood of more than %llu new sources a second makes the limiter forget some that still owe: add a "
		   "limit per "
		   "service",
		   sources);
}

/* What has to be known of all limits together: how far ahead of now a slot's time can be, whether lists are asked for.
 */
static void widen(struct generation_config *config, const struct limit_entry *entry)
{
	__u64 horizon;

	config->have_limit_lists |= entry->except || entry->only;
	if (entry->kind == LIMIT_IDLE_REQUEST) {
		if (!config->idle_request_ms || config->idle_request_ms > entry->most)
			config->idle_request_ms = entry->most;
		return;
	}
	if (entry->kind == LIMIT_CONNECTIONS) {
		config->have_open = config->needs_sockops = 1;
		return;
	}
	horizon = entry->cost * (entry->kind == LIMIT_BYTES ? 65536 : 64) / SCALE;
	if (horizon > LIMIT_REFILL_MOST_NS)
		horizon = LIMIT_REFILL_MOST_NS;
	horizon += entry->tolerance_ns;
	if (config->limit_horizon_ns < horizon)
		config->limit_horizon_ns = horizon;
}

int requests_entry(struct compile *compile, const struct service *service, struct limit_entry *entry)
{
	char text[96];
	int err = measure_limit(compile, &service->http.requests, entry);

	snprintf(text, sizeof(text), "%s requests", service->name);
	entry->id = XXH32(text, strlen(text), 0);
	widen(&compile->image->config, entry);
	return err;
}

/* A cell of its own for what counts like no limit of the service in peace: what is owed goes over a switch. */
static int place_under_attack(const struct compile *compile, const struct service *service,
			      const struct limit_entry *peace, struct limit_entry *entry, __u8 *free_position)
{
	for (size_t i = 0; i < service->limit_count; i++)
		if (peace[i].id == entry->id) {
			entry->position = peace[i].position;
			return 0;
		}
	entry->position = (*free_position)++;
	if (entry->position < LIMITS_A_SERVICE)
		return 0;
	policy_say(
		compile->policy, compile->report, SEVERITY_ERROR, &service->at,
		"service '%s' counts more than %d different things in peace and under attack: let limits of both count "
		"the same",
		service->name, LIMITS_A_SERVICE);
	return -E2BIG;
}

static int compile_limit(struct compile *compile, const struct service *service, size_t position, size_t at)
{
	struct limit_entry *entry = &compile->image->limits[at];
	int err = limit_entry(compile, service, position, entry);

	if (err)
		return err;
	entry->rule = compile->limit_rules[at];
	compile->image->config.have_limits |= entry->kind != LIMIT_IDLE_REQUEST;
	widen(&compile->image->config, entry);
	say_capacity(compile, &service->limits[position], entry);
	return 0;
}

static int compile_limits_under_attack(struct compile *compile, size_t index)
{
	const struct service *service = &compile->policy->services[index];
	struct service other = service_under_attack(compile->policy, service);
	const struct limit_entry *peace = &compile->image->limits[first_limit(compile->policy, index)];
	size_t at = first_limit_under_attack(compile->policy, index);
	__u8 free_position = (__u8)service->limit_count;
	int err = 0;

	if (other.limits == service->limits)
		return 0;
	for (size_t i = 0; i < other.limit_count; i++, at++) {
		int error = compile_limit(compile, &other, i, at);

		err = error ?: err;
		if (!error)
			err = place_under_attack(compile, service, peace, &compile->image->limits[at], &free_position)
				      ?: err;
	}
	return err;
}

int compile_limits(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	size_t count = first_limit_under_attack(policy, policy->service_count), at = 0;
	struct image *image = compile->image;
	int err = 0;

	if (!count)
		return 0;
	image->limits = calloc(count, sizeof(*image->limits));
	if (!image->limits)
		return -ENOMEM;
	for (size_t i = 0; i < policy->service_count; i++) {
		for (size_t j = 0; j < policy->services[i].limit_count; j++, at++)
			err = compile_limit(compile, &policy->services[i], j, at) ?: err;
		err = compile_limits_under_attack(compile, i) ?: err;
	}
	image->limit_count = count;
	return err;
}

__u16 first_limit(const struct policy *policy, size_t service)
{
	size_t first = 0;

	for (size_t i = 0; i < service; i++)
		first += policy->services[i].limit_count;
	return (__u16)first;
}

__u16 first_limit_under_attack(const struct policy *policy, size_t service)
{
	size_t first = first_limit(policy, policy->service_count);

	for (size_t i = 0; i < service; i++) {
		struct service other = service_under_attack(policy, &policy->services[i]);

		if (other.limits != policy->services[i].limits)
			first += other.limit_count;
	}
	return (__u16)first;
}
