/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What became of connections, by service. Sums over CPUs. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row is nothing but numbers that add up. */
static void sums_add(struct connection_sums *sums, const struct connection_sums *more)
{
	const __u64 *from = (const __u64 *)more;
	__u64 *to = (__u64 *)sums;

	for (size_t i = 0; i < sizeof(*sums) / sizeof(*to); i++)
		to[i] += from[i];
}

static bool row_read(struct instance *instance, __u32 number, struct connection_sums *of_cpus, int cpus,
		     struct connections_row *row)
{
	static const struct connection_sums none;
	int map = instance->maps[number < NEAR_ROWS ? MAP_near_sums : MAP_connection_sums];

	memset(row, 0, sizeof(*row));
	if (!*service_name(instance, number, row->name) || bpf_map_lookup_elem(map, &number, of_cpus))
		return false;
	for (int cpu = 0; cpu < cpus; cpu++)
		sums_add(&row->sums, &of_cpus[cpu]);
	return memcmp(&row->sums, &none, sizeof(none));
}

/* Every near row, and of others those that have begun. Row 0 is nobody's. */
static bool row_next(struct instance *instance, __u32 *number)
{
	if (*number + 1 < NEAR_ROWS) {
		++*number;
		return true;
	}
	return !bpf_map_get_next_key(instance->maps[MAP_connection_sums], *number < NEAR_ROWS ? NULL : number, number);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct connections_row *)a)->name, ((const struct connections_row *)b)->name);
}

int connections_read(struct instance *instance, struct connections_row **result, size_t *count)
{
	int cpus = libbpf_num_possible_cpus();
	struct connection_sums *of_cpus = cpus > 0 ? calloc(cpus, sizeof(*of_cpus)) : NULL;
	struct connections_row *rows = NULL, *larger;
	__u32 number = 0;
	int error = of_cpus ? 0 : -ENOMEM;

	*count = 0;
	while (!error && *count < SERVICE_ROWS && row_next(instance, &number)) {
		larger = reallocarray(rows, *count + 1, sizeof(*rows));
		if (!larger) {
			error = -ENOMEM;
			break;
		}
		rows = larger;
		*count += row_read(instance, number, of_cpus, cpus, &rows[*count]);
	}
	free(of_cpus);
	if (error) {
		kernel_say("cannot read what became of connections: %s", strerror(-error));
		free(rows);
		return error;
	}
	if (rows)
		qsort(rows, *count, sizeof(*rows), by_name);
	*result = rows;
	return 0;
}
