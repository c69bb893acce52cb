/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "hitters.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_ABOVE 3.0 /* standard errors above zero */
#define SAID_ERROR 2.0	/* of them */
#define TIME_LEAST 16	/* units of time; what a ring tells of is no shorter */

/* ---- samples ---- */

/* Units of time since a sample was taken. One from the future was taken while the clock was read. */
static __u32 age_of(const struct packet_sample *sample, __u32 now)
{
	__u32 age = now - sample->time;

	return age > ~0u / 2 ? 0 : age;
}

/* How much time the ring of a CPU tells of, at most `window` units: all of it unless its oldest sample is younger. */
static __u32 covered(const struct packet_sample *ring, int cpus, __u32 now, __u32 window)
{
	__u32 oldest = 0;

	for (size_t i = 0; i < SAMPLES_A_CPU; i++) {
		const struct packet_sample *sample = &ring[i * (size_t)cpus];
		__u32 age = age_of(sample, now);

		if (!sample->packets)
			return window;
		oldest = age > oldest ? age : oldest;
	}
	return oldest > window ? window : oldest < TIME_LEAST ? TIME_LEAST : oldest;
}

int samples_weigh(const struct packet_sample *rings, int cpus, __u64 now_ns, __u64 window_ns,
		  struct weighed_sample **samples, size_t *count)
{
	__u32 now = (__u32)(now_ns >> SAMPLE_TIME_SHIFT), window = (__u32)(window_ns >> SAMPLE_TIME_SHIFT);
	struct weighed_sample *all = calloc((size_t)cpus * SAMPLES_A_CPU, sizeof(*all));

	*samples = all;
	*count = 0;
	if (!all)
		return -ENOMEM;
	for (int cpu = 0; cpu < cpus; cpu++) {
		__u32 time = covered(rings + cpu, cpus, now, window);
		double seconds = (double)time * (double)(1u << SAMPLE_TIME_SHIFT) / 1e9;

		for (size_t i = 0; i < SAMPLES_A_CPU; i++) {
			const struct packet_sample *sample = &rings[i * (size_t)cpus + (size_t)cpu];

			if (sample->packets && age_of(sample, now) <= time)
				all[(*count)++] = (struct weighed_sample){*sample, sample->packets / seconds};
		}
	}
	return 0;
}

/* ---- estimates ---- */

static void estimate_add(struct estimate *estimate, const struct weighed_sample *one)
{
	double thinned = 1.0 - 1.0 / (double)(1u << (one->sample.shift & 31));

	estimate->rate += one->weight;
	estimate->variance += one->weight * one->weight * thinned;
}

double estimate_error(const struct estimate *estimate)
{
	return SAID_ERROR * sqrt(estimate->variance);
}

/* The part is in the whole, too: what is left of it varies by itself. */
double estimate_share(const struct estimate *part, const struct estimate *whole, double *error)
{
	double share = whole->rate > 0 ? part->rate / whole->rate : 0, rest = whole->variance - part->variance;
	double variance = (1 - share) * (1 - share) * part->variance + share * share * (rest > 0 ? rest : 0);

	*error = whole->rate > 0 ? SAID_ERROR * sqrt(variance) / whole->rate : 0;
	return share;
}

/* ---- who ---- */

struct entry { /* a sample that the query is about */
	struct prefix prefix;
	const struct weighed_sample *of;
};

static bool was_refused(const struct packet_sample *sample)
{
	return sample->verdict != VERDICT_PASS;
}

static struct prefix prefix_of(const __u8 source[ADDRESS_BYTES], const struct hitter_query *query)
{
	struct prefix prefix = {.length = 128};

	memcpy(prefix.address, source, ADDRESS_BYTES);
	prefix.length = (__u8)(prefix_is_v4(&prefix) ? query->v4_length + 96 : query->v6_length);
	address_cut(prefix.address, prefix.length);
	return prefix;
}

static int by_address(const void *a, const void *b)
{
	const struct entry *one = a, *two = b;

	return memcmp(one->prefix.address, two->prefix.address, ADDRESS_BYTES)
		       ?: memcmp(one->of->sample.source, two->of->sample.source, ADDRESS_BYTES);
}

/* Frames without addresses have no source to name. */
static bool has_source(const struct packet_sample *sample)
{
	static const __u8 none[ADDRESS_BYTES];

	return memcmp(sample->source, none, ADDRESS_BYTES) != 0;
}

static size_t choose(const struct weighed_sample *samples, size_t count, const struct hitter_query *query,
		     struct hitters *hitters, struct entry *entries)
{
	size_t chosen = 0;

	for (size_t i = 0; i < count; i++) {
		const struct packet_sample *sample = &samples[i].sample;

		if (!has_source(sample) || (query->service >= 0 && sample->service != query->service))
			continue;
		entries[chosen++] = (struct entry){prefix_of(sample->source, query), &samples[i]};
		if (was_refused(sample))
			estimate_add(&hitters->refused, &samples[i]);
		if (sample->flags & SAMPLE_AGAIN)
			continue;
		estimate_add(&hitters->arrived, &samples[i]);
		if (!(sample->flags & SAMPLE_HISTORY))
			continue;
		estimate_add(&hitters->judged, &samples[i]);
		if (!(sample->flags & SAMPLE_KNOWN))
			estimate_add(&hitters->strangers, &samples[i]);
	}
	return chosen;
}

/* Of entries of one prefix. */
static struct hitter hitter_of(const struct entry *entries, size_t count)
{
	struct hitter hitter = {.prefix = entries->prefix};
	double reasons[REASON_SLOTS] = {};

	for (size_t i = 0; i < count; i++) {
		const struct packet_sample *sample = &entries[i].of->sample;
		unsigned reason = sample->reason % REASON_SLOTS;

		hitter.sources += !i || memcmp(sample->source, entries[i - 1].of->sample.source, ADDRESS_BYTES) != 0;
		if (!was_refused(sample)) {
			estimate_add(&hitter.passed, entries[i].of);
			continue;
		}
		estimate_add(&hitter.refused, entries[i].of);
		reasons[reason] += entries[i].of->weight;
		if (reasons[reason] > reasons[hitter.reason])
			hitter.reason = reason;
	}
	return hitter;
}

static bool is_certain(const struct estimate *estimate)
{
	return estimate->rate > 0 && estimate->rate > NAMED_ABOVE * sqrt(estimate->variance);
}

static bool is_named(const struct hitter *hitter, const struct hitters *of, const struct hitter_query *query)
{
	return hitter->sources >= query->sources_least &&
	       ((is_certain(&hitter->refused) && hitter->refused.rate >= query->part_least * of->refused.rate) ||
		(is_certain(&hitter->passed) && hitter->passed.rate >= query->part_least * of->arrived.rate));
}

/* Larger rates first, and at last what nothing is certain of. */
static int by_estimate(const struct estimate *one, const struct estimate *two)
{
	double first = is_certain(one) ? one->rate : 0, second = is_certain(two) ? two->rate : 0;

	return first < second ? 1 : first > second ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
	return memcmp(((const struct hitter *)a)->prefix.address, ((const struct hitter *)b)->prefix.address,
		      ADDRESS_BYTES);
}

static int by_refused(const void *a, const void *b)
{
	const struct hitter *one = a, *two = b;

	return by_estimate(&one->refused, &two->refused) ?: by_estimate(&one->passed, &two->passed) ?: by_name(a, b);
}

static int by_passed(const void *a, const void *b)
{
	const struct hitter *one = a, *two = b;

	return by_estimate(&one->passed, &two->passed) ?: by_estimate(&one->refused, &two->refused) ?: by_name(a, b);
}

static void put_in_order(struct hitters *hitters, const struct hitter_query *query)
{
	if (!hitters->count)
		return;
	qsort(hitters->items, hitters->count, sizeof(*hitters->items),
	      query->order == HITTERS_BY_PASSED ? by_passed : by_refused);
	if (hitters->count > query->most)
		hitters->count = query->most;
	if (query->order == HITTERS_BY_NAME)
		qsort(hitters->items, hitters->count, sizeof(*hitters->items), by_name);
}

int hitters_find(const struct weighed_sample *samples, size_t count, const struct hitter_query *query,
		 struct hitters *hitters)
{
	struct entry *entries = calloc(count + 1, sizeof(*entries));
	size_t chosen, length;

	*hitters = (struct hitters){.order = query->order};
	hitters->items = calloc(count + 1, sizeof(*hitters->items));
	if (!entries || !hitters->items) {
		free(entries);
		return -ENOMEM;
	}
	chosen = choose(samples, count, query, hitters, entries);
	qsort(entries, chosen, sizeof(*entries), by_address);
	for (size_t i = 0; i < chosen; i += length) {
		struct hitter hitter;

		for (length = 1; i + length < chosen; length++)
			if (memcmp(&entries[i].prefix, &entries[i + length].prefix, sizeof(entries[i].prefix)) != 0)
				break;
		hitter = hitter_of(&entries[i], length);
		if (is_certain(&hitter.refused) && hitter.refused.rate > hitters->refused_most)
			hitters->refused_most = hitter.refused.rate;
		if (is_named(&hitter, hitters, query))
			hitters->items[hitters->count++] = hitter;
	}
	free(entries);
	put_in_order(hitters, query);
	return 0;
}

void hitters_free(struct hitters *hitters)
{
	free(hitters->items);
	*hitters = (struct hitters){};
}

/* ---- the networks behind an attack ---- */

int hitters_networks(const struct weighed_sample *samples, size_t count, int service, struct hitters *hitters)
{
	struct hitter_query query = {
		.order = HITTERS_BY_REFUSED,
		.service = service,
		.v4_length = HITTER_V4_LENGTH,
		.v6_length = HITTER_V6_LENGTH,
		.part_least = 0.01,
		.most = NETWORKS_NAMED,
	};
	int error = hitters_find(samples, count, &query, hitters);

	if (error || hitters->refused.rate * 2 >= hitters->arrived.rate)
		return error;
	hitters_free(hitters);
	query.order = HITTERS_BY_PASSED;
	return hitters_find(samples, count, &query, hitters);
}

double hitters_share(const struct hitters *hitters, size_t i, double *error)
{
	const struct hitter *one = &hitters->items[i];

	return hitters->order == HITTERS_BY_PASSED ? estimate_share(&one->passed, &hitters->arrived, error)
						   : estimate_share(&one->refused, &hitters->refused, error);
}

static double rounded(double share)
{
	return round(share * 1000) / 1000;
}

json_t *hitters_json(const struct hitters *hitters)
{
	json_t *rows = json_array();
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < hitters->count; i++) {
		double error, share = hitters_share(hitters, i, &error);

		json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:i}", "prefix",
						      prefix_text(&hitters->items[i].prefix, text), "share",
						      rounded(share), "share_error", rounded(error), "sources",
						      (int)hitters->items[i].sources));
	}
	return rows;
}

static __u16 thousandths(double share)
{
	return (__u16)(1 + (share <= 0 ? 0 : share >= 1 ? 1000 : share * 1000));
}

__u16 hitters_concentration(const struct hitters *hitters)
{
	return hitters->refused.rate > 0 ? thousandths(hitters->refused_most / hitters->refused.rate) : 0;
}

__u16 hitters_strangers(const struct hitters *hitters)
{
	return hitters->judged.rate > 0 ? thousandths(hitters->strangers.rate / hitters->judged.rate) : 0;
}

double stance_share(__u16 thousandths)
{
	return thousandths ? (thousandths - 1) / 1000.0 : 0;
}

json_t *stance_share_json(__u16 thousandths)
{
	return thousandths ? json_real(stance_share(thousandths)) : json_null();
}
