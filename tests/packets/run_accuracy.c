/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_accuracy POLICY.yaml
 *
 * How exact a limit is, on the real program with a virtual clock: hostile sources at ten times their limit, lawful ones
 * at half of it, and a spoofed flood, every packet from another source, fifty times the rest together. TAP.
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

#define SECOND_NS 1000000000ULL
#define HOSTILE 10
#define LAWFUL 100
#define SPOOFED 50 /* times the rest */
#define RATE 100.0
#define BURST 20.0
#define PORT 5005

static struct generation *offline;
static __u64 random_state = 0x9e3779b97f4a7c15ULL;

static __u32 random32(void) /* xorshift64* (Marsaglia, Vigna) */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL) >> 32;
}

static struct generation *policy_load(const char *path, struct image *image)
{
	struct report report = {0};
	struct policy *policy = policy_read(path, &report);
	struct generation *generation = NULL;

	if (policy && !report.errors)
		policy_check(policy, &report);
	if (!policy || report.errors || image_compile(policy, NULL, image, &report) ||
	    generation_load(NULL, image, 0, true, NULL, &generation)) {
		report_print(&report, stdout);
		printf("Bail out! %s: %s\n", path, kernel_words());
	}
	report_free(&report);
	policy_free(policy);
	return generation;
}

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
	unsigned hostile[HOSTILE], lawful_dropped, spoofed_dropped, spoofed;
};

/* Sources send evenly, each with a phase of its own; time goes by in steps of one hostile packet. */
static struct outcome flood(double seconds)
{
	struct outcome outcome = {0};
	__u64 interval = SECOND_NS / (RATE * 10), steps = seconds * SECOND_NS / interval;
	unsigned spoofed_a_step = SPOOFED * (HOSTILE + LAWFUL / 20);

	for (__u64 step = 0; step < steps; step++) {
		__u64 now = 10 * SECOND_NS + step * interval;

		for (unsigned i = 0; i < HOSTILE; i++)
			outcome.hostile[i] += passes(0x2d210100 + i, now);
		for (unsigned i = step % 20; i < LAWFUL; i += 20)
			outcome.lawful_dropped += !passes(0x2e630100 + i, now);
		for (unsigned i = 0; i < spoofed_a_step; i++, outcome.spoofed++)
			outcome.spoofed_dropped += !passes(0x50000000 | random32() >> 4, now);
	}
	return outcome;
}

static void test(unsigned number, bool ok, const char *what)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", number, what);
}

int main(int argc, char **argv)
{
	struct outcome outcome;
	struct image image = {0};
	double seconds = 0.5, owed = BURST + RATE * seconds, least = 9, most = 0;

	if (argc != 2)
		return fprintf(stderr, "usage: run_accuracy POLICY.yaml\n"), 2;
	offline = policy_load(argv[1], &image);
	if (!offline)
		return 1;
	outcome = flood(seconds);
	for (unsigned i = 0; i < HOSTILE; i++) {
		double share = outcome.hostile[i] / owed;

		least = share < least ? share : least;
		most = share > most ? share : most;
	}
	printf("# hostile sources were let through %.3f to %.3f of their limit; %u of %u spoofed packets dropped\n",
	       least, most, outcome.spoofed_dropped, outcome.spoofed);
	test(1, least >= 0.98 && most <= 1.02, "who sends ten times a limit gets the limit, within 2 %");
	test(2, !outcome.lawful_dropped, "who stays below it loses nothing, beside a spoofed flood");
	test(3, outcome.spoofed && !outcome.spoofed_dropped, "a new source is never taken for one that owes");
	puts("1..3");
	generation_free(offline);
	image_free(&image);
	return !(least >= 0.98 && most <= 1.02 && !outcome.lawful_dropped && !outcome.spoofed_dropped);
}
