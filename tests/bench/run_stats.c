/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_stats PROGRAM...
 *
 * How often programs ran, and for how many nanoseconds: a list of [times, ns] for each line on standard input. The
 * kernel keeps these statistics, for all programs, as long as this runs. PROGRAM: an id, a pinned path, or the
 * directory of a cgroup, for an empty sockops program that is attached there meanwhile.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "empty_sockops.skel.h"

#define PROGRAMS_MAX 8

static int complain(const char *what, const char *about)
{
	fprintf(stderr, "run_stats: %s: %s\n", what, about);
	return 2;
}

/* Its descriptors are left to the end of this process, which takes the program off. */
static int attach_empty(const char *directory)
{
	struct empty_sockops_bpf *empty = empty_sockops_bpf__open_and_load();
	int cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = empty ? bpf_program__fd(empty->progs.empty) : -1;

	if (fd < 0 || cgroup < 0 || bpf_link_create(fd, cgroup, BPF_CGROUP_SOCK_OPS, NULL) < 0)
		return -1;
	return fd;
}

static int open_program(const char *name)
{
	int fd;

	if (name[0] != '/')
		return bpf_prog_get_fd_by_id(strtoul(name, NULL, 10));
	fd = bpf_obj_get(name);
	return fd < 0 ? attach_empty(name) : fd;
}

static int print_program(int fd, const char *before)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return complain("statistics", strerror(errno));
	printf("%s[%llu,%llu]", before, (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns);
	return 0;
}

static int print_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (print_program(fds[i], i ? "," : "["))
			return 2;
	printf("]\n");
	return fflush(stdout) ? complain("output", strerror(errno)) : 0;
}

int main(int argc, char **argv)
{
	int fds[PROGRAMS_MAX], count = argc - 1, status = 0;
	char line[16];

	if (count < 1 || count > PROGRAMS_MAX)
		return complain("usage", "run_stats PROGRAM...");
	for (int i = 0; i < count; i++) {
		fds[i] = open_program(argv[1 + i]);
		if (fds[i] < 0)
			return complain(argv[1 + i], strerror(errno));
	}
	/* until its descriptor is closed, with this process */
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		return complain("the kernel keeps no statistics", strerror(errno));
	while (!status && fgets(line, sizeof(line), stdin))
		status = print_all(fds, count);
	return status;
}
