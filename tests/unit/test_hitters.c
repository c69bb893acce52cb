/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sampling and what is made of it, the programs' half (include/sampling.h) and the user's (userspace/hitters.c), on
 * floods of millions of packets: what is named sends what is said, within the error that is said; nobody is named who
 * sends no more than the others.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/hitters.h"

#define SECOND 1000000000ULL
#define TICK_NS 4000000ULL /* HZ=250 */
#define CPUS 2

/* What bpf/tell.h does on each CPU, for each reason. */
struct shield {
	struct sampling reasons[CPUS][REASON_SLOTS];
	__u32 turns[CPUS];
	struct packet_sample rings[SAMPLES_A_CPU][CPUS];
	__u64 now_ns, samples;
};

static __u64 draw(void)
{
	static __u64 state = 0x9e3779b97f4a7c15ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

struct packet { /* that came */
	__u8 source[ADDRESS_BYTES];
	__u8 reason, verdict, flags;
	__u16 service;
};

static struct packet packet_from(const char *source, __u8 reason, __u8 verdict)
{
	struct packet packet = {.reason = reason, .verdict = verdict, .service = 1};
	struct prefix prefix;

	assert_int_equal(prefix_parse(source, &prefix), 0);
	memcpy(packet.source, prefix.address, ADDRESS_BYTES);
	return packet;
}

/* Anybody of IPv4, as a spoofed flood has them. */
static struct packet spoofed(void)
{
	struct packet packet = packet_from("1.0.0.0", REASON_RATE_PACKETS, VERDICT_DROP);
	__u32 address = (__u32)draw();

	memcpy(packet.source + 12, &address, 4);
	return packet;
}

static void comes(struct shield *shield, int cpu, const struct packet *packet)
{
	struct sampling *sampling = &shield->reasons[cpu][packet->reason];
	__u32 period = (__u32)(shield->now_ns / TICK_NS >> SAMPLING_PERIOD_SHIFT), shift;
	struct packet_sample *sample;

	if (sampling->period != period)
		sampling_begin(sampling, period, (__u32)draw());
	if (sampling->skip) {
		sampling->skip--;
		return;
	}
	shift = sampling_take(sampling, (__u32)draw());
	sample = &shield->rings[shield->turns[cpu]++ % SAMPLES_A_CPU][cpu];
	*sample = (struct packet_sample){.time = (__u32)(shield->now_ns >> SAMPLE_TIME_SHIFT),
					 .packets = 1u << shift,
					 .service = packet->service,
					 .reason = packet->reason,
					 .verdict = packet->verdict,
					 .shift = (__u8)shift,
					 .flags = packet->flags};
	memcpy(sample->source, packet->source, ADDRESS_BYTES);
	shield->samples++;
}

static struct hitters find(const struct shield *shield, const struct hitter_query *query, __u64 window_ns)
{
	struct weighed_sample *samples;
	struct hitters hitters;
	size_t count;

	assert_int_equal(samples_weigh(&shield->rings[0][0], CPUS, shield->now_ns, window_ns, &samples, &count), 0);
	assert_int_equal(hitters_find(samples, count, query, &hitters), 0);
	free(samples);
	return hitters;
}

static const struct hitter_query sources = {HITTERS_BY_REFUSED, -1, 32, SOURCE_V6_LENGTH, 1, 0.001, 10};
static const struct hitter_query networks = {HITTERS_BY_REFUSED, -1, HITTER_V4_LENGTH, HITTER_V6_LENGTH, 2, 0.001, 10};

static const struct hitter *named(const struct hitters *hitters, const char *prefix)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < hitters->count; i++)
		if (!strcmp(prefix_text(&hitters->items[i].prefix, text), prefix))
			return &hitters->items[i];
	return NULL;
}

static struct shield *new_shield(void)
{
	struct shield *shield = calloc(1, sizeof(*shield));

	assert_non_null(shield);
	shield->now_ns = 1000 * SECOND;
	return shield;
}

/* A second of rate packets, of each hundred `of_hundred` like `who`, the others spoofed. */
static void flood(struct shield *shield, unsigned rate, const struct packet *who, unsigned of_hundred)
{
	for (unsigned i = 0; i < rate; i++) {
		struct packet packet = draw() % 100 < of_hundred ? *who : spoofed();

		shield->now_ns += SECOND / rate;
		comes(shield, (int)(draw() % CPUS), &packet);
	}
}

/* ---- floods ---- */

static void one_among_millions_is_named_and_nobody_else(void **state)
{
	struct packet who = packet_from("46.30.9.9", REASON_RATE_PACKETS, VERDICT_DROP);
	struct shield *shield = new_shield();
	const struct hitter *hitter;
	struct hitters hitters;

	(void)state;
	for (int second = 0; second < 8; second++)
		flood(shield, 500000, &who, 2);
	hitters = find(shield, &sources, 10 * SECOND);
	assert_int_equal(hitters.count, 1);
	hitter = named(&hitters, "46.30.9.9");
	assert_non_null(hitter);
	assert_true(fabs(hitter->refused.rate - 10000) < 1.5 * estimate_error(&hitter->refused));
	assert_true(estimate_error(&hitter->refused) < 3000);
	assert_true(fabs(hitters.refused.rate - 500000) < 0.02 * 500000);
	assert_int_equal(hitter->reason, REASON_RATE_PACKETS);
	hitters_free(&hitters);
	hitters = find(shield, &networks, 10 * SECOND);
	assert_int_equal(hitters.count, 0); /* one address is no network */
	hitters_free(&hitters);
	free(shield);
}

static void a_spoofed_flood_alone_names_nobody(void **state)
{
	struct packet nobody = spoofed();
	struct shield *shield = new_shield();
	struct hitters hitters;

	(void)state;
	for (int second = 0; second < 10; second++) {
		flood(shield, 300000, &nobody, 0);
		hitters = find(shield, &sources, 10 * SECOND);
		assert_int_equal(hitters.count, 0);
		hitters_free(&hitters);
	}
	free(shield);
}

/* What a hundred runs say lies within the error in about 95 of them; here at least 88. */
static void the_error_is_true(void **state)
{
	struct packet who = packet_from("2a01:77:1:2::9", REASON_BLOCKED, VERDICT_DROP);
	struct packet other = packet_from("46.30.9.9", REASON_BLOCKED, VERDICT_DROP);
	unsigned within = 0;
	double sum = 0;

	(void)state;
	for (int run = 0; run < 100; run++) {
		struct shield *shield = new_shield();
		struct hitters hitters;
		const struct hitter *hitter;
		double truth = 0, share, error;

		for (unsigned i = 0; i < 40000; i++) {
			bool mine = draw() % 10 == 0;

			truth += mine;
			shield->now_ns += SECOND / 40000;
			comes(shield, (int)(draw() % CPUS), mine ? &who : &other);
		}
		hitters = find(shield, &sources, SECOND);
		hitter = named(&hitters, "2a01:77:1:2::/64");
		assert_non_null(hitter);
		share = estimate_share(&hitter->refused, &hitters.refused, &error);
		within += fabs(share - truth / 40000) <= error;
		sum += hitter->refused.rate / truth;
		hitters_free(&hitters);
		free(shield);
	}
	assert_in_range(within, 88, 100);
	assert_true(fabs(sum / 100 - 1) < 0.02); /* and no bias */
}

static void what_is_calm_is_exact(void **state)
{
	struct packet who = packet_from("46.30.9.9", REASON_UNEXPOSED, VERDICT_DROP);
	struct shield *shield = new_shield();
	struct hitter_query query = sources;
	struct packet flooder;
	struct hitters hitters;
	const struct hitter *hitter;

	(void)state;
	query.service = who.service = 0;
	for (unsigned i = 0; i < 1000000; i++) { /* a flood for another reason hides nothing */
		flooder = spoofed();
		shield->now_ns += SECOND / 1000000;
		comes(shield, 0, &flooder);
		if (i % 50000 == 0)
			comes(shield, 0, &who);
	}
	hitters = find(shield, &query, SECOND);
	hitter = named(&hitters, "46.30.9.9");
	assert_non_null(hitter);
	assert_true(fabs(hitter->refused.rate - 20) < 0.5);
	assert_true(estimate_error(&hitter->refused) == 0);
	hitters_free(&hitters);
	free(shield);
}

static void networks_add_up(void **state)
{
	struct shield *shield = new_shield();
	const struct hitter *hitter;
	struct hitters hitters;
	double share, error;

	(void)state;
	for (unsigned i = 0; i < 400000; i++) { /* a fifth from one /24, so much from one /48 */
		struct packet packet = spoofed();
		unsigned kind = draw() % 5;

		if (kind == 0) {
			packet = packet_from("46.30.9.0", REASON_RATE_PACKETS, VERDICT_DROP);
			packet.source[15] = (__u8)draw();
		} else if (kind == 1) {
			packet = packet_from("2a01:77:5::", REASON_RATE_PACKETS, VERDICT_REPLY);
			for (int byte = 6; byte < 16; byte++)
				packet.source[byte] = (__u8)draw();
		}
		shield->now_ns += SECOND / 100000;
		comes(shield, (int)(draw() % CPUS), &packet);
	}
	hitters = find(shield, &networks, 4 * SECOND);
	assert_int_equal(hitters.count, 2);
	for (int i = 0; i < 2; i++) {
		hitter = named(&hitters, i ? "46.30.9.0/24" : "2a01:77:5::/48");
		assert_non_null(hitter);
		share = estimate_share(&hitter->refused, &hitters.refused, &error);
		assert_true(error < 0.05 && fabs(share - 0.2) < 1.5 * error);
		assert_true(hitter->sources > 50);
	}
	hitters_free(&hitters);
	free(shield);
}

/* Of connections that are let in most packets pass: who sends what is refused is found all the same. */
static void networks_of_what_is_refused_among_more_that_passes(void **state)
{
	struct shield *shield = new_shield();
	struct weighed_sample *samples;
	struct hitters hitters;
	size_t count;

	(void)state;
	for (unsigned i = 0; i < 400000; i++) {
		struct packet packet = packet_from("46.30.1.1", REASON_ESTABLISHED, VERDICT_PASS);

		if (i % 5 < 2) { /* refused, and four of five from one /24 */
			packet = spoofed();
			if (draw() % 5)
				packet = packet_from("46.30.9.0", REASON_RATE_CONNECTIONS, VERDICT_DROP);
		}
		packet.service = 1;
		packet.source[15] = (__u8)draw();
		shield->now_ns += SECOND / 100000;
		comes(shield, 0, &packet);
	}
	assert_int_equal(samples_weigh(&shield->rings[0][0], CPUS, shield->now_ns, 4 * SECOND, &samples, &count), 0);
	assert_int_equal(hitters_networks(samples, count, 1, &hitters), 0);
	assert_int_equal(hitters.order, HITTERS_BY_PASSED);
	assert_true(fabs(stance_share(hitters_concentration(&hitters)) - 0.8) < 0.1);
	hitters_free(&hitters);
	free(samples);
	free(shield);
}

/* Whoever knows the algorithm cannot send only when nobody looks: the place in a block is drawn by lot. */
static void a_rhythm_hides_nobody(void **state)
{
	struct packet who = packet_from("46.30.9.9", REASON_RATE_PACKETS, VERDICT_DROP);
	struct shield *shield = new_shield();
	const struct hitter *hitter;
	struct hitters hitters;

	(void)state;
	for (unsigned i = 0; i < 600000; i++) {
		struct packet packet = i % 64 < 8 ? who : spoofed(); /* an eighth, always at the same place */

		shield->now_ns += SECOND / 200000;
		comes(shield, 0, &packet);
	}
	hitters = find(shield, &sources, 3 * SECOND);
	hitter = named(&hitters, "46.30.9.9");
	assert_non_null(hitter);
	assert_true(fabs(hitter->refused.rate - 25000) < 0.2 * 25000);
	hitters_free(&hitters);
	free(shield);
}

/* However the packets come, a period takes few: what it costs is bounded. */
static void samples_are_few(void **state)
{
	struct packet who = packet_from("46.30.9.9", REASON_RATE_PACKETS, VERDICT_DROP);
	struct shield *shield = new_shield();
	__u64 before;

	(void)state;
	for (int burst = 0; burst < 20; burst++) { /* each after a silence that forgets the rate */
		shield->now_ns += 10 * SECOND;
		before = shield->samples;
		for (unsigned i = 0; i < 300000; i++)
			comes(shield, 0, &who);
		assert_in_range(shield->samples - before, SAMPLING_TAKEN, SAMPLING_TAKEN * (1 + 15));
	}
	before = shield->samples;
	for (unsigned i = 0; i < 3000000; i++) { /* a steady million a second */
		shield->now_ns += 1000;
		comes(shield, 0, &who);
	}
	assert_in_range(shield->samples - before, 1000, 3000);
	free(shield);
}

/* ---- what is asked ---- */

static void services_passes_and_strangers_are_told_apart(void **state)
{
	struct packet client = packet_from("46.30.1.1", REASON_ESTABLISHED, VERDICT_PASS);
	struct packet stranger = packet_from("46.30.2.2", REASON_SYN_COOKIE, VERDICT_REPLY);
	struct packet other = packet_from("46.30.3.3", REASON_RATE_PACKETS, VERDICT_DROP);
	struct packet again = packet_from("46.30.1.1", REASON_TLS_SNI, VERDICT_DROP);
	struct hitter_query query = sources;
	struct shield *shield = new_shield();
	struct hitters hitters;

	(void)state;
	client.flags = SAMPLE_HISTORY | SAMPLE_KNOWN | SAMPLE_OPEN;
	stranger.flags = SAMPLE_HISTORY;
	again.flags = SAMPLE_AGAIN;
	other.service = 2;
	for (int i = 0; i < 12; i++) {
		shield->now_ns += SECOND / 12;
		comes(shield, 0, &client);
		comes(shield, 1, &stranger);
		comes(shield, 1, &other);
	}
	comes(shield, 0, &again);
	query.service = 1;
	hitters = find(shield, &query, SECOND);
	assert_int_equal(hitters.count, 2);
	assert_true(fabs(hitters.arrived.rate - 24) < 0.5 && fabs(hitters.refused.rate - 13) < 0.5);
	assert_true(fabs(hitters.strangers.rate / hitters.judged.rate - 0.5) < 0.01);
	assert_int_equal(named(&hitters, "46.30.1.1")->reason, REASON_TLS_SNI);
	assert_string_equal("", named(&hitters, "46.30.3.3") ? "of another service" : "");
	hitters_free(&hitters);
	query = sources;
	query.order = HITTERS_BY_PASSED;
	query.most = 1;
	hitters = find(shield, &query, SECOND);
	assert_non_null(named(&hitters, "46.30.1.1"));
	hitters_free(&hitters);
	free(shield);
}

static void what_is_old_is_left_out(void **state)
{
	struct packet who = packet_from("46.30.9.9", REASON_UNEXPOSED, VERDICT_DROP);
	struct shield *shield = new_shield();
	struct hitters hitters;

	(void)state;
	shield->now_ns = (1ULL << (32 + SAMPLE_TIME_SHIFT)) - SECOND; /* the time of samples wraps in between */
	comes(shield, 0, &who);
	shield->now_ns += 2 * SECOND;
	hitters = find(shield, &sources, 5 * SECOND);
	assert_int_equal(hitters.count, 1);
	hitters_free(&hitters);
	hitters = find(shield, &sources, SECOND);
	assert_int_equal(hitters.count, 0);
	hitters_free(&hitters);
	free(shield);
}

static void rubbish_in_the_rings_does_no_harm(void **state)
{
	struct shield *shield = new_shield();
	struct hitters hitters;

	(void)state;
	for (size_t i = 0; i < sizeof(shield->rings); i++)
		((__u8 *)shield->rings)[i] = (__u8)draw();
	hitters = find(shield, &sources, 1000000 * SECOND);
	assert_true(hitters.count <= sources.most);
	hitters_free(&hitters);
	free(shield);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_among_millions_is_named_and_nobody_else),
		cmocka_unit_test(a_spoofed_flood_alone_names_nobody),
		cmocka_unit_test(the_error_is_true),
		cmocka_unit_test(what_is_calm_is_exact),
		cmocka_unit_test(networks_add_up),
		cmocka_unit_test(networks_of_what_is_refused_among_more_that_passes),
		cmocka_unit_test(a_rhythm_hides_nobody),
		cmocka_unit_test(samples_are_few),
		cmocka_unit_test(services_passes_and_strangers_are_told_apart),
		cmocka_unit_test(what_is_old_is_left_out),
		cmocka_unit_test(rubbish_in_the_rings_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
