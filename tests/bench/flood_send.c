/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's side of the generator: loads the program with what the run asks for, and runs it, a process a CPU. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "flood_plan.h"
#include "flood.skel.h"

#define DURATION_MAX 3600
#define NS_A_SECOND 1000000000ULL
#define REPEAT_MAX (1u << 30) /* one call; it ends with the signal long before */
#define ROUND_NS 4000000ULL   /* a paced flood sends what has fallen due about this often */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	if (number != SIGALRM)
		stopped = 1;
}

void flood_heed_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

void flood_unload(struct run *run)
{
	flood_bpf__destroy(run->bpf);
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_A_SECOND + now.tv_nsec;
}

static int fill_map(struct bpf_map *map, const void *items, size_t size)
{
	void *there;

	if (!size)
		return 0;
	there = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (there == MAP_FAILED)
		return -errno;
	memcpy(there, items, size);
	munmap(there, size);
	return 0;
}

/* Each kind's part of the sources. */
static int give_sources(struct run *run, const struct flood_sources *sources)
{
	unsigned i;

	for (i = 0; i < run->kind_count; i++) {
		const struct flood_set *set = &sources->sets[run->profiles[i]->from];
		struct flood_kind *kind = &run->kinds[i];

		kind->source_first = kind->ipv6 ? set->first6 : set->first4;
		kind->source_count = kind->ipv6 ? set->count6 : set->count4;
		if (!kind->source_count)
			return flood_complain("has no source of its address family (--blocked, --from)",
					      run->profiles[i]->name);
	}
	return 0;
}

static int set_random(struct run *run)
{
	int cpus = libbpf_num_possible_cpus(), i, which;
	struct flood_state *states;
	__u32 zero = 0;
	int error;

	states = cpus > 0 ? calloc(cpus, sizeof(*states)) : NULL;
	if (!states)
		return -ENOMEM;
	for (i = 0; i < cpus; i++) {
		states[i].random = (run->seed + i + 1) * 0x9e3779b97f4a7c15ULL | 1;
		if (run->replay)
			states[i].walk[0] = run->replay->count * i / cpus;
		for (which = 0; which < (int)run->kind_count; which++) /* CPUs do not walk in step */
			states[i].walk[which] = (__u64)run->kinds[which].source_count * i / cpus;
	}
	error = bpf_map_update_elem(bpf_map__fd(run->bpf->maps.state), &zero, states, BPF_ANY);
	free(states);
	return error;
}

static int program_of(const struct run *run)
{
	return bpf_program__fd(run->replay ? run->bpf->progs.replay : run->bpf->progs.flood);
}

static int load_program(struct run *run, const struct flood_sources *sources)
{
	__u32 zero = 0;
	int error;

	run->bpf = flood_bpf__open();
	if (!run->bpf)
		return -errno;
	memcpy((void *)run->bpf->rodata->kinds, run->kinds, sizeof(run->kinds));
	run->bpf->rodata->kind_count = run->kind_count;
	run->bpf->rodata->out_ifindex = run->target.ifindex;
	if (run->replay) {
		run->bpf->rodata->frame_count = run->replay->count;
		bpf_map__set_max_entries(run->bpf->maps.frames, run->replay->count);
	}
	bpf_program__set_autoload(run->bpf->progs.replay, run->replay);
	bpf_program__set_autoload(run->bpf->progs.flood, !run->replay);
	bpf_map__set_max_entries(run->bpf->maps.sources4, sources->count4 ?: 1);
	bpf_map__set_max_entries(run->bpf->maps.sources6, sources->count6 ?: 1);
	error = flood_bpf__load(run->bpf);
	error = error ?: fill_map(run->bpf->maps.sources4, sources->v4, sources->count4 * sizeof(*sources->v4));
	error = error ?: fill_map(run->bpf->maps.sources6, sources->v6, sources->count6 * sizeof(*sources->v6));
	if (!error && run->replay)
		error = fill_map(run->bpf->maps.frames, run->replay->frames,
				 run->replay->count * sizeof(*run->replay->frames));
	error = error ?: bpf_map_update_elem(bpf_map__fd(run->bpf->maps.out), &zero, &run->target.ifindex, BPF_ANY);
	return error ?: set_random(run);
}

/*
 * A program that is attached somewhere is in the kernel's table of XDP programs already, so that running it changes
 * nothing there; else each call waits for RCU, 18 ms on an idle machine and seconds on a busy one. It passes what comes
 * in. The link ends with this process. Where it cannot be had, a paced flood is only less even.
 */
static void hold(struct run *run)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);

	bpf_link_create(program_of(run), run->target.ifindex, BPF_XDP, &opts);
}

int flood_load(struct run *run)
{
	struct flood_sources sources;
	int error = flood_sources_make(&sources, run->blocked, run->from, run->many, run->seed);

	if (!error)
		error = give_sources(run, &sources);
	if (!error) {
		error = load_program(run, &sources);
		if (error)
			fprintf(stderr, "flood: cannot load the generator: %s (needs root and Linux 5.18)\n",
				strerror(-error));
	}
	flood_sources_free(&sources);
	if (!error)
		hold(run);
	return error ? 3 : 0;
}

static int stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* The call ends when the signal comes, or after repeat packets. */
static int send_packets(struct run *run, __u32 repeat)
{
	__u8 frame[FLOOD_FRAME_MAX] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = run->longest, .repeat = repeat,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = run->batch);
	int error = bpf_prog_test_run_opts(program_of(run), &opts);

	return error == -EINTR ? 0 : error;
}

static void sleep_until(__u64 when)
{
	struct timespec then = {when / NS_A_SECOND, when % NS_A_SECOND};

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR && now_ns() < when)
		;
}

/* A token bucket: what fell due since the last round; what could not be sent for a quarter of a second is forgotten. */
static int send_paced(struct run *run, __u64 end)
{
	__u64 rate = run->rate / run->cpu_count, last = now_ns(), now, owed = 0;
	int error = 0;

	while (!stopped && !error && (now = now_ns()) < end) {
		owed += (now - last) * rate / NS_A_SECOND;
		last = now;
		if (owed > rate / 4)
			owed = rate / 4;
		if (owed >= run->batch) {
			error = send_packets(run, owed / run->batch * run->batch);
			owed %= run->batch;
		}
		sleep_until(last + ROUND_NS < end ? last + ROUND_NS : end);
	}
	return error;
}

/* How many packets of the capture, turn after turn, fall due within so much of its time. */
static __u64 due_of(const struct flood_capture *capture, __u64 ns)
{
	__u64 turns = ns / capture->duration_ns, rest = ns % capture->duration_ns;
	size_t low = 0, high = capture->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (capture->at_ns[middle] <= rest)
			low = middle + 1;
		else
			high = middle;
	}
	return turns * capture->count + low;
}

/* In the capture's own rhythm; what could not be sent in time is sent late. */
static int send_captured(struct run *run, __u64 end)
{
	__u64 start = now_ns(), now, sent = 0, due;
	int error = 0;

	while (!stopped && !error && (now = now_ns()) < end) {
		due = due_of(run->replay, (now - start) * run->speed) - sent;
		if (due > REPEAT_MAX)
			due = REPEAT_MAX;
		if (due)
			error = send_packets(run, due);
		sent += due;
		sleep_until(now + ROUND_NS < end ? now + ROUND_NS : end);
	}
	return error;
}

static int send_until(struct run *run, unsigned cpu, __u64 end)
{
	__u64 left = end - now_ns();
	struct itimerval alarm = {.it_interval.tv_usec = 20000, /* again, should the first come between two calls */
				  .it_value = {left / NS_A_SECOND, left % NS_A_SECOND / 1000 + 1}};
	int error = stay_on(cpu);

	if (error) {
		fprintf(stderr, "flood: there is no CPU %u to run on\n", cpu);
		return 2;
	}
	setitimer(ITIMER_REAL, &alarm, NULL);
	if (run->speed)
		error = send_captured(run, end);
	else if (run->rate)
		error = send_paced(run, end);
	else
		while (!stopped && !error && now_ns() < end)
			error = send_packets(run, REPEAT_MAX);
	if (error)
		fprintf(stderr, "flood: cannot send on %s: %s\n", run->interface, strerror(-error));
	return error ? 3 : 0;
}

static void print_sent(struct run *run, double seconds)
{
	int cpus = libbpf_num_possible_cpus(), i;
	struct flood_state *states = calloc(cpus, sizeof(*states));
	unsigned kinds = run->replay ? 1 : run->kind_count;
	__u64 all = 0, of_kind[FLOOD_KINDS] = {};
	__u32 zero = 0;
	unsigned which;

	if (!states || bpf_map_lookup_elem(bpf_map__fd(run->bpf->maps.state), &zero, states)) {
		fprintf(stderr, "flood: cannot read what was sent\n");
		free(states);
		return;
	}
	for (i = 0; i < cpus; i++)
		for (which = 0; which < kinds; which++)
			of_kind[which] += states[i].sent[which];
	for (which = 0; which < kinds; which++) {
		of_kind[which] -= run->sent[which];
		run->sent[which] += of_kind[which];
		all += of_kind[which];
	}
	printf("{\"interface\":\"%s\",\"seconds\":%.3f,\"sent\":%llu,\"pps\":%.0f,\"cpus\":%u,\"profiles\":{",
	       run->interface, seconds, all, all / seconds, run->cpu_count);
	for (which = 0; which < kinds; which++)
		printf("%s\"%s\":%llu", which ? "," : "", run->replay ? "replay" : run->profiles[which]->name,
		       of_kind[which]);
	printf("}}\n");
	free(states);
}

/* One process a CPU; they die with this one. */
int flood_send(struct run *run)
{
	__u64 start = now_ns(), end = start + (__u64)(run->seconds * NS_A_SECOND);
	pid_t parent = getpid(), children[CPUS_MAX], ended;
	int status, worst = 0;
	unsigned i, running = 0;

	for (i = 0; i < run->cpu_count; i++, running++) {
		children[i] = fork();
		if (children[i] < 0)
			break;
		if (!children[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(getppid() == parent ? send_until(run, run->cpus[i], end) : 3);
		}
	}
	if (running < run->cpu_count)
		worst = flood_complain("cannot start a sender", strerror(errno));
	while (running) {
		if (stopped)
			for (i = 0; i < running; i++)
				kill(children[i], SIGTERM);
		ended = waitpid(-1, &status, 0);
		if (ended < 0 && errno == EINTR)
			continue;
		for (i = 0; i < running && children[i] != ended; i++)
			;
		if (ended > 0 && i < running)
			children[i] = children[--running];
		if (!WIFEXITED(status) || WEXITSTATUS(status) > worst)
			worst = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
	}
	print_sent(run, (now_ns() - start) / 1e9);
	return worst;
}

bool flood_seconds_sane(double seconds)
{
	return seconds > 0 && seconds <= DURATION_MAX;
}

int flood_serve(struct run *run)
{
	char line[64];
	int status = 0;

	puts("ready");
	fflush(stdout);
	while (!status && !stopped && fgets(line, sizeof(line), stdin)) {
		run->seconds = atof(line);
		if (!flood_seconds_sane(run->seconds))
			return flood_complain("more than 0 and at most 3600 seconds", line);
		status = flood_send(run);
		fflush(stdout);
	}
	return status;
}
