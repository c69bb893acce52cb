/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_cpus POLICY.yaml        TAP
 *
 * Budgets and limits that several CPUs spend from: the real program, run by one thread for each of two CPUs at one
 * moment of the virtual clock, and on a CPU whose clock was read a tick before that of the others. Neither may give
 * what is spent already a second time.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "image.h"
#include "kernel.h"
#include "runner.h"

#define CPUS 2
#define TRIES 120000 /* of each CPU; more than there is to spend */
#define TICK_NS 4000000ULL
#define REST_NS 60000000000ULL /* everything is refilled */
#define FRAME 64

static struct generation *offline;

struct spender {
	pthread_t thread;
	const __u8 *frame;
	unsigned passed, failed;
};

static bool passes(const __u8 *frame, unsigned *failed)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = FRAME, .repeat = 1);

	if (!bpf_prog_test_run_opts(generation_program(offline), &options))
		return options.retval == XDP_PASS;
	++*failed;
	return false;
}

static void *spend(void *arg)
{
	struct spender *spender = arg;

	for (unsigned i = 0; i < TRIES; i++)
		spender->passed += passes(spender->frame, &spender->failed);
	return NULL;
}

/* Sets the clock, with one packet. */
static bool passes_at(const __u8 *frame, __u64 now, unsigned *failed)
{
	struct decision decision;

	*failed += generation_judge(offline, frame, FRAME, now, &decision) != 0;
	return decision.verdict == VERDICT_PASS;
}

/* How many packets all CPUs together were let through at this moment. */
static unsigned spend_together(const __u8 *frame, __u64 now, unsigned *failed)
{
	struct spender spenders[CPUS] = {};
	unsigned passed = passes_at(frame, now, failed);

	for (unsigned i = 0; i < CPUS; i++) {
		spenders[i].frame = frame;
		if (pthread_create(&spenders[i].thread, NULL, spend, &spenders[i]))
			++*failed;
	}
	for (unsigned i = 0; i < CPUS; i++) {
		pthread_join(spenders[i].thread, NULL);
		passed += spenders[i].passed;
		*failed += spenders[i].failed;
	}
	return passed;
}

static unsigned tests, failures;

static void test(bool ok, const char *name, const char *what)
{
	printf("%sok %u - %s: %s\n", ok ? "" : "not ", ++tests, name, what);
	failures += !ok;
}

/* burst: packets that may come at once. One more, that finds the burst just spent, owes its own time. */
static void test_spending(const char *name, const __u8 *frame, unsigned burst, __u64 now)
{
	unsigned failed = 0, passed = spend_together(frame, now, &failed), late;

	printf("# %s: %u were let through at once, %u may be\n", name, passed, burst);
	test(!failed && passed >= burst - burst / 100 && passed <= burst + CPUS, name,
	     "two CPUs are let through what one would be");
	late = passes_at(frame, now - TICK_NS, &failed);
	for (unsigned i = 0; i < TRIES; i++)
		late += passes(frame, &failed);
	printf("# %s: %u on a CPU that is late\n", name, late);
	test(!failed && !late, name, "a CPU that read the clock a tick before spends nothing twice");
}

static void make_udp(__u8 *frame, unsigned port)
{
	static const __u8 udp[FRAME] = {[12] = 8,   [14] = 0x45, [17] = 50, [22] = 64,	 [23] = IPPROTO_UDP, [26] = 46,
					[30] = 192, [32] = 2,	 [33] = 10, [34] = 0x20, [39] = 30};

	memcpy(frame, udp, sizeof(udp));
	frame[36] = port >> 8;
	frame[37] = port & 255;
}

static void make_echo(__u8 *frame)
{
	make_udp(frame, 0);
	memset(frame + 34, 0, FRAME - 34);
	frame[23] = IPPROTO_ICMP;
	frame[34] = 8;
}

int main(int argc, char **argv)
{
	struct image image = {0};
	__u8 frame[FRAME];

	if (argc != 2)
		return fprintf(stderr, "usage: run_cpus POLICY.yaml\n"), 2;
	offline = offline_of(argv[1], &image);
	if (!offline)
		return 1;
	make_echo(frame);
	test_spending("a budget", frame, 40000, REST_NS);
	make_udp(frame, 5001);
	test_spending("a limit per service", frame, 80000, 2 * REST_NS);
	make_udp(frame, 5002);
	test_spending("a limit per source", frame, 80000, 3 * REST_NS);
	printf("1..%u\n", tests);
	generation_free(offline);
	image_free(&image);
	return failures != 0;
}
