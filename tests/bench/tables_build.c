/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the lookup tables cost to build, and how large they are: from 1k to 10M prefixes of each family.
 * One JSON object a line on standard output. Argument: the largest number of prefixes (default 10000000).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "../../userspace/tables.h"
#include "prefix_mix.h"

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int measure(int family, size_t count)
{
	struct prefixes prefixes = {0};
	struct tables tables;
	double start;
	int err = family == AF_INET ? prefix_mix4(&prefixes, count, 4) : prefix_mix6(&prefixes, count, 4);

	start = seconds();
	if (!err)
		err = tables_build(&prefixes, 0x9e3779b97f4a7c15ULL, &tables);
	if (err) {
		fprintf(stderr, "tables_build: %zu prefixes: error %d\n", count, -err);
	} else {
		printf("{\"bench\":\"tables_build\",\"family\":\"%s\",\"prefixes\":%zu,\"seconds\":%.4f,\"bytes\":%zu,"
		       "\"classes\":%zu}\n",
		       family == AF_INET ? "ipv4" : "ipv6", count, seconds() - start, tables_bytes(&tables, family),
		       tables.class_count);
		fflush(stdout);
		tables_free(&tables);
	}
	prefixes_free(&prefixes);
	return err;
}

int main(int argc, char **argv)
{
	size_t limit = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	int err = 0;

	for (size_t count = 1000; !err && count <= limit; count *= 10) {
		err = measure(AF_INET, count);
		if (!err)
			err = measure(AF_INET6, count);
	}
	return err ? 1 : 0;
}
