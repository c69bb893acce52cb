/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: tc_probe IFACE CPU ROUNDS REPEAT FRAME PROGRAM...
 *
 * Nanoseconds a packet that programs at TC cost, a list of ROUNDS of each, in turns; the first list is of an empty
 * program. FRAME: a file of hexadecimal digits, what comes in through IFACE each time. PROGRAM: a pinned path. Run it
 * in the network namespace whose sockets the programs shall see.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "empty_tc.skel.h"

#define FRAME_MOST 3000 /* the kernel takes less than a page */
#define PROGRAMS_MAX 8
#define ROUNDS_MAX 99
#define WARM_UP 200000
#define GOES_ON ((__u32)-1) /* TCX_NEXT, TC_ACT_UNSPEC */

struct work {
	unsigned ifindex, rounds, repeat, count;
	unsigned char frame[FRAME_MOST];
	size_t length;
	const char *names[PROGRAMS_MAX];
	int programs[PROGRAMS_MAX];
	double ns[PROGRAMS_MAX][ROUNDS_MAX];
};

static int complain(const char *what, const char *about)
{
	fprintf(stderr, "tc_probe: %s: %s\n", what, about);
	return 2;
}

static int read_frame(struct work *work, const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned byte;

	if (!file)
		return complain(path, strerror(errno));
	while (work->length < FRAME_MOST && fscanf(file, "%2x", &byte) == 1)
		work->frame[work->length++] = byte;
	fclose(file);
	return work->length > 14 ? 0 : complain(path, "no frame");
}

static double cpu_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return spent.tv_sec * 1e9 + spent.tv_nsec;
}

static int measure(struct work *work, unsigned which, unsigned repeat, double *ns)
{
	struct __sk_buff context = {.ifindex = work->ifindex, .ingress_ifindex = work->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = work->frame, .data_size_in = work->length, .repeat = repeat,
		    .ctx_in = &context, .ctx_size_in = sizeof(context));
	double began = cpu_ns();

	if (bpf_prog_test_run_opts(work->programs[which], &opts))
		return complain("BPF_PROG_RUN", strerror(errno));
	*ns = (cpu_ns() - began) / repeat;
	return opts.retval == GOES_ON ? 0 : complain(work->names[which], "does not let the frame go on");
}

static int measure_all(struct work *work)
{
	int status = 0;
	double ignored;

	for (unsigned i = 0; !status && i < work->count; i++)
		status = measure(work, i, WARM_UP, &ignored);
	for (unsigned round = 0; !status && round < work->rounds; round++)
		for (unsigned i = 0; !status && i < work->count; i++)
			status = measure(work, i, work->repeat, &work->ns[i][round]);
	return status;
}

static void print_rows(const struct work *work)
{
	for (unsigned i = 0; i < work->count; i++) {
		printf("%s", i ? ",[" : "[[");
		for (unsigned round = 0; round < work->rounds; round++)
			printf("%s%.2f", round ? "," : "", work->ns[i][round]);
		printf("]");
	}
	printf("]\n");
}

static int open_programs(struct work *work, const struct empty_tc_bpf *empty, char **paths, int count)
{
	work->names[0] = "the empty program";
	work->programs[0] = bpf_program__fd(empty->progs.empty);
	for (work->count = 1; work->count <= (unsigned)count && work->count < PROGRAMS_MAX; work->count++) {
		work->names[work->count] = paths[work->count - 1];
		work->programs[work->count] = bpf_obj_get(paths[work->count - 1]);
		if (work->programs[work->count] < 0)
			return complain(paths[work->count - 1], strerror(errno));
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct work work;
	struct empty_tc_bpf *empty;
	cpu_set_t set;
	int status;

	if (argc < 7 || argc - 6 >= PROGRAMS_MAX)
		return complain("usage", "tc_probe IFACE CPU ROUNDS REPEAT FRAME PROGRAM...");
	work.ifindex = if_nametoindex(argv[1]);
	work.rounds = atoi(argv[3]);
	work.repeat = atoi(argv[4]);
	if (!work.ifindex || !work.rounds || work.rounds > ROUNDS_MAX || !work.repeat)
		return complain("usage", "no such interface, or numbers that cannot be");
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[2]), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return complain("no such CPU", argv[2]);
	empty = empty_tc_bpf__open_and_load();
	if (!empty)
		return complain("cannot load the empty program", strerror(errno));
	status = read_frame(&work, argv[5]) ?: open_programs(&work, empty, argv + 6, argc - 6) ?: measure_all(&work);
	if (!status)
		print_rows(&work);
	empty_tc_bpf__destroy(empty);
	return status;
}
