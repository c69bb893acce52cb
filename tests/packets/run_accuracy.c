/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_accuracy POLICY.yaml [large]
 *
 * How exact a limit is, on the real program with a virtual clock, in a table of 512 KiB: 1,000 hostile sources at ten
 * times their limit, 10,000 lawful ones at half of it, and a spoofed flood, every packet from another source, fifty
 * times the rest together: 75 million packets a second. And the limit of one source over a day in which the limiter's
 * clock wraps. large: all of that, which takes two minutes (make accuracy); else a 64th of everything, of the table,
 * too, so that as much happens in each of its lines. TAP.
 *
 * The limit is that of service `counted` in the policy: 100 packets a second and source, burst 20.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "judge.h"
#include "kernel.h"
#include "runner.h"

#define SECOND_NS 1000000000ULL
#define LINES (512 * 1024 / 64u)
#define HOSTILE_MOST 1000
#define SMALL 64 /* times smaller */
#define SECONDS 1
#define FLOOD_FIRST 20 /* ms */
#define SETTLED 0.5    /* seconds after which no source has any of its burst left */
#define LAWFUL_A_HOSTILE 10
#define SPOOFED 50 /* times the rest */
#define RATE 100.0
#define BURST 20.0
#define PORT 5005

static struct generation *offline;

/* A UDP packet to the service, of which only the source ever changes (no checksum: nobody looks at it here). */
static bool passes(__u32 source, __u64 now)
{
	static __u8 frame[64] = {[12] = 8, [14] = 0x45, [17] = 50,   [22] = 64,	       [23] = IPPROTO_UDP, [30] = 192,
				 [32] = 2, [33] = 10,	[34] = 0x20, [36] = PORT >> 8, [37] = PORT & 255,  [39] = 30};
	struct decision decision;
	__be32 address = htonl(source);

	memcpy(frame + 26, &address, sizeof(address));
	if (generation_judge(offline, frame, sizeof(frame), now, &decision)) {
		printf("Bail out! %s\n", kernel_words());
		exit(1);
	}
	return decision.verdict == VERDICT_PASS;
}

struct outcome {
	unsigned hostile[HOSTILE_MOST], settled[HOSTILE_MOST]; /* let through: in all, of these after SETTLED */
	unsigned lawful_dropped, spoofed_dropped, spoofed;
	/* to be set: of the rest that the flood is; the second it begins at, when nobody owes anything any more */
	unsigned times, begins;
};

/* What happens in the time of one hostile packet: source after source, the flood between them. */
static void flood_step(struct outcome *outcome, unsigned hostile, int step, __u64 begin)
{
	const __u64 interval = SECOND_NS / (RATE * 10);

	for (unsigned i = 0; i < hostile; i++) {
		__u64 now = begin + i * interval / hostile;
		bool passed = step >= 0 && passes(0x2d210000 + i, now);

		outcome->hostile[i] += passed;
		outcome->settled[i] += passed && step >= SETTLED * RATE * 10;
		for (unsigned j = i * LAWFUL_A_HOSTILE; step >= 0 && j < (i + 1) * LAWFUL_A_HOSTILE; j++)
			outcome->lawful_dropped += j % 20 == step % 20u && !passes(0x2e630000 + j, now);
		for (unsigned j = 0; j < outcome->times + outcome->times * LAWFUL_A_HOSTILE / 20;
		     j++, outcome->spoofed++)
			outcome->spoofed_dropped += !passes(0x50000000 | (__u32)(draw() >> 32) >> 4, now);
	}
}

/* Sources send evenly, each with a phase of its own. The flood is there first, and has filled the table. */
static void flood(struct outcome *outcome, unsigned hostile)
{
	const __u64 interval = SECOND_NS / (RATE * 10);

	for (int step = -FLOOD_FIRST; step < SECONDS * RATE * 10; step++)
		flood_step(outcome, hostile, step, outcome->begins * SECOND_NS + step * (__s64)interval);
}

/*
 * A day in steps of 97 s, the wrap of the limiter's clock in its middle. In each, one source sends a second at ten
 * times its limit and another at half of it; the first has rested since, so that it gets its burst and its rate, no
 * more and no less. How often that was not so.
 */
static unsigned day(void)
{
	const __u64 wrap = 1ULL << (LIMITER_TIME_BITS + LIMITER_TIME_SHIFT), half = 12 * 3600 * SECOND_NS;
	__u64 interval = SECOND_NS / (RATE * 10);
	double owed = BURST + RATE;
	unsigned wrong = 0;

	for (__u64 begin = wrap - half; begin < wrap + half; begin += 97 * SECOND_NS) {
		unsigned hostile = 0, lawful = 0;

		for (unsigned i = 0; i < RATE * 10; i++) {
			hostile += passes(0x2d21ff01, begin + i * interval);
			lawful += i % 20 || passes(0x2e63ff01, begin + i * interval);
		}
		wrong += hostile < 0.98 * owed || hostile > 1.02 * owed || lawful != RATE * 10;
	}
	return wrong;
}

static unsigned tests, failures;

static void test(bool ok, const char *what)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", ++tests, what);
	failures += !ok;
}

static bool within(double share)
{
	return share >= 0.98 && share <= 1.02;
}

static void test_flood(unsigned hostile)
{
	const double owed = BURST + RATE * SECONDS, owed_settled = RATE * (SECONDS - SETTLED);
	double all = 0, most = 0, least_settled = 9, most_settled = 0;
	static struct outcome outcome = {.times = SPOOFED, .begins = 10};

	flood(&outcome, hostile);
	for (unsigned i = 0; i < hostile; i++) {
		double share = outcome.hostile[i] / owed, settled = outcome.settled[i] / owed_settled;

		all += share / hostile;
		most = share > most ? share : most;
		least_settled = settled < least_settled ? settled : least_settled;
		most_settled = settled > most_settled ? settled : most_settled;
	}
	printf("# %u hostile sources were let through %.3f of their limit, one of them at most %.3f; after %.1f s each "
	       "%.3f to %.3f; %u of %u spoofed packets dropped\n",
	       hostile, all, most, SETTLED, least_settled, most_settled, outcome.spoofed_dropped, outcome.spoofed);
	test(within(all), "who sends ten times a limit gets the limit, within 2 %");
	test(within(least_settled) && within(most_settled), "so does every single one once its burst is spent");
	test(!outcome.lawful_dropped, "who stays below it loses nothing, beside a spoofed flood");
	/* a fingerprint has 24 bits: among many millions one is somebody's who owes */
	test(outcome.spoofed && outcome.spoofed_dropped <= 1 + outcome.spoofed / 10000000,
	     "a new source is not taken for one that owes, but for one in ten millions");
}

/* Of 37 newcomers a line in the time of one hostile packet, most find no slot: else every hostile source would lose its
 * own before it is back. */
static void test_larger_flood(unsigned hostile)
{
	static struct outcome outcome = {.times = 4 * SPOOFED, .begins = 20};
	double all = 0;

	flood(&outcome, hostile);
	for (unsigned i = 0; i < hostile; i++)
		all += outcome.hostile[i] / (BURST + RATE * SECONDS) / hostile;
	printf("# in a flood four times larger: %.3f of their limit\n", all);
	test(within(all), "a flood four times larger washes nobody's debt out");
}

int main(int argc, char **argv)
{
	bool large = argc == 3 && !strcmp(argv[2], "large");
	struct policy *policy = NULL;
	struct image image = {0};
	int error;

	if (argc != 2 && !large)
		return fprintf(stderr, "usage: run_accuracy POLICY.yaml [large]\n"), 2;
	error = image_of(argv[1], &policy, &image);
	image.config.limiter_lines = large ? LINES : LINES / SMALL;
	if (error || generation_load(&image, NULL, &offline))
		return printf("Bail out! %s: %s\n", argv[1], kernel_words()), 1;
	test_flood(large ? HOSTILE_MOST : (HOSTILE_MOST + SMALL - 1) / SMALL);
	if (!large)
		test_larger_flood((HOSTILE_MOST + SMALL - 1) / SMALL);
	test(!day(), "the limit is the same all day, and when the clock wraps");
	printf("1..%u\n", tests);
	generation_free(offline);
	image_free(&image);
	policy_free(policy);
	return failures != 0;
}
