/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_accuracy POLICY.yaml [large]
 *
 * How exact a limit is, on the real program with a virtual clock: hostile sources at ten times their limit, lawful ones
 * at half of it, and a spoofed flood, every packet from another source, fifty times the rest together; and the limit of
 * one source over a day in which the limiter's clock wraps. large: a hundred times the sources, which takes two
 * minutes (make accuracy). TAP.
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
#define HOSTILE_MOST 1000
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
	unsigned hostile[HOSTILE_MOST], lawful_dropped, spoofed_dropped, spoofed;
};

/* Sources send evenly, each with a phase of its own; time goes by in steps of one hostile packet. */
static struct outcome flood(unsigned hostile, double seconds)
{
	struct outcome outcome = {0};
	__u64 interval = SECOND_NS / (RATE * 10), steps = seconds * SECOND_NS / interval;
	unsigned lawful = hostile * LAWFUL_A_HOSTILE, spoofed_a_step = SPOOFED * (hostile + lawful / 20);

	for (__u64 step = 0; step < steps; step++) {
		__u64 now = 10 * SECOND_NS + step * interval;

		for (unsigned i = 0; i < hostile; i++)
			outcome.hostile[i] += passes(0x2d210000 + i, now);
		for (unsigned i = step % 20; i < lawful; i += 20)
			outcome.lawful_dropped += !passes(0x2e630000 + i, now);
		for (unsigned i = 0; i < spoofed_a_step; i++, outcome.spoofed++)
			outcome.spoofed_dropped += !passes(0x50000000 | (__u32)(draw() >> 32) >> 4, now);
	}
	return outcome;
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

static void test(unsigned number, bool ok, const char *what)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", number, what);
}

int main(int argc, char **argv)
{
	bool large = argc == 3 && !strcmp(argv[2], "large");
	unsigned hostile = large ? HOSTILE_MOST : HOSTILE_MOST / 100, wrong;
	struct outcome outcome;
	struct image image = {0};
	double seconds = large ? 1 : 0.5, owed = BURST + RATE * seconds, least = 9, most = 0;
	bool met;

	if (argc != 2 && !large)
		return fprintf(stderr, "usage: run_accuracy POLICY.yaml [large]\n"), 2;
	offline = offline_of(argv[1], &image);
	if (!offline)
		return 1;
	outcome = flood(hostile, seconds);
	for (unsigned i = 0; i < hostile; i++) {
		double share = outcome.hostile[i] / owed;

		least = share < least ? share : least;
		most = share > most ? share : most;
	}
	wrong = day();
	/* a fingerprint has 24 bits: among many millions one is somebody's who owes */
	met = outcome.spoofed_dropped > outcome.spoofed / 10000000;
	printf("# hostile sources were let through %.3f to %.3f of their limit; %u of %u spoofed packets dropped; %u "
	       "hostile\n",
	       least, most, outcome.spoofed_dropped, outcome.spoofed, hostile);
	test(1, least >= 0.98 && most <= 1.02, "who sends ten times a limit gets the limit, within 2 %");
	test(2, !outcome.lawful_dropped, "who stays below it loses nothing, beside a spoofed flood");
	test(3, outcome.spoofed && !met, "a new source is not taken for one that owes, but for one in ten millions");
	test(4, !wrong, "the limit is the same all day, and when the clock wraps");
	puts("1..4");
	generation_free(offline);
	image_free(&image);
	return !(least >= 0.98 && most <= 1.02 && !outcome.lawful_dropped && !met && !wrong);
}
