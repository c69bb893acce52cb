/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading what the programs count. Sums over CPUs; rows that are zero are left out. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *percpu_read(int map, __u32 entries, size_t value, int *cpus)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 count = entries, next, *keys = calloc(entries, sizeof(*keys));
	char *values;

	*cpus = libbpf_num_possible_cpus();
	values = *cpus > 0 ? calloc((size_t)entries * *cpus, value) : NULL;
	if (!keys || !values)
		goto failed;
	if (!bpf_map_lookup_batch(map, NULL, &next, keys, values, &count, &options) || errno == ENOENT)
		goto done;
	for (__u32 i = 0; i < entries; i++)
		if (bpf_map_lookup_elem(map, &i, values + (size_t)i * *cpus * value))
			goto failed;
done:
	free(keys);
	return values;
failed:
	if (!errno)
		errno = ENOMEM;
	kernel_say("cannot read counters: %s", strerror(errno));
	free(keys);
	free(values);
	return NULL;
}

void *array_read(int map, __u32 entries, size_t value)
{
	__u32 *keys = calloc(entries, sizeof(*keys)), next, count = entries;
	char *values = calloc(entries, value);
	bool read = keys && values &&
		    (!bpf_map_lookup_batch(map, NULL, &next, keys, values, &count, NULL) ||
		     (errno == ENOENT && count == entries)); /* that was the last batch */

	for (__u32 i = 0; keys && values && !read && i < entries; i++)
		if (bpf_map_lookup_elem(map, &i, values + (size_t)i * value)) {
			free(values);
			values = NULL;
		}
	free(keys);
	return values;
}

static struct counter sum(const struct counter *counters, int cpus)
{
	struct counter total = {};

	for (int cpu = 0; cpu < cpus; cpu++) {
		total.packets += counters[cpu].packets;
		total.bytes += counters[cpu].bytes;
	}
	return total;
}

static void row_names(const struct instance *instance, char names[INTERFACE_ROWS][16])
{
	struct interface_entry *entries = entries_read(instance);

	snprintf(names[0], sizeof(names[0]), "other");
	for (__u32 i = 0; entries && i < INTERFACES; i++)
		if (entries[i].row && entries[i].row < INTERFACE_ROWS)
			snprintf(names[entries[i].row], sizeof(names[0]), "%.15s", entries[i].name);
	free(entries);
}

int counters_read(struct instance *instance, struct counter_row **rows, size_t *count)
{
	char names[INTERFACE_ROWS][16] = {};
	int cpus;
	struct counter *all = percpu_read(instance->maps[MAP_counters], COUNTERS, sizeof(*all), &cpus);

	*rows = all ? calloc(COUNTERS, sizeof(**rows)) : NULL;
	*count = 0;
	if (!*rows) {
		free(all);
		return -ENOMEM;
	}
	row_names(instance, names);
	for (__u32 i = 0; i < COUNTERS; i++) {
		struct counter counter = sum(all + (size_t)i * cpus, cpus);
		struct counter_row *row = &(*rows)[*count];

		if (!counter.packets)
			continue;
		snprintf(row->interface, sizeof(row->interface), "%s", names[i / (VERDICT_COUNT * REASON_SLOTS)]);
		row->verdict = i / REASON_SLOTS % VERDICT_COUNT;
		row->reason = i % REASON_SLOTS;
		row->counter = counter;
		++*count;
	}
	free(all);
	return 0;
}

static struct service_load *loads_of(const struct counter *all, const struct service_name *names, __u32 rows, int cpus,
				     size_t *count)
{
	struct service_load *loads = calloc(rows, sizeof(*loads));

	*count = 0;
	for (__u32 row = 1; loads && row < rows; row++) {
		struct service_load *load = &loads[*count];

		if (!*names[row].name)
			continue;
		load->row = (__u16)row;
		snprintf(load->name, sizeof(load->name), "%s", names[row].name);
		for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
			for (unsigned proof = 0; proof < PROOF_COUNT; proof++)
				load->counters[verdict][proof] =
					sum(all + (size_t)SERVICE_COUNTER(row, verdict, proof) * cpus, cpus);
		++*count;
	}
	return loads;
}

/* Rows are given from the first on: what lies behind the last name is not read. */
int service_loads_read(struct instance *instance, struct service_load **loads, size_t *count)
{
	struct service_name *names = array_read(instance->maps[MAP_service_names], SERVICE_ROWS, sizeof(*names));
	struct counter *all = NULL;
	__u32 rows = SERVICE_ROWS;
	int cpus = 0;

	while (names && rows > 1 && !*names[rows - 1].name)
		rows--;
	if (names)
		all = percpu_read(instance->maps[MAP_service_counters], SERVICE_COUNTER(rows, 0, 0), sizeof(*all),
				  &cpus);
	*loads = all ? loads_of(all, names, rows, cpus, count) : NULL;
	free(names);
	free(all);
	return *loads ? 0 : -ENOMEM;
}

int service_counters_read(struct instance *instance, struct service_row **rows, size_t *count)
{
	struct service_load *loads = NULL;
	size_t services = 0;
	int error = service_loads_read(instance, &loads, &services);

	*rows = error ? NULL : calloc(services * VERDICT_COUNT + 1, sizeof(**rows));
	*count = 0;
	for (size_t i = 0; *rows && i < services * VERDICT_COUNT; i++) {
		const struct service_load *load = &loads[i / VERDICT_COUNT];
		unsigned verdict = i % VERDICT_COUNT;
		struct service_row *row = &(*rows)[*count];

		row->counter = sum(load->counters[verdict], PROOF_COUNT);
		if (!row->counter.packets)
			continue;
		row->verdict = verdict;
		memcpy(row->name, load->name, sizeof(row->name));
		++*count;
	}
	free(loads);
	return *rows ? 0 : error ?: -ENOMEM;
}

int armed_read(struct instance *instance, struct armed_row **rows, size_t *count)
{
	struct cookie_cell *cells = array_read(instance->maps[MAP_cookie_cells], SERVICE_ROWS, sizeof(*cells));
	struct timespec time;
	__u64 now;

	*rows = cells ? calloc(SERVICE_ROWS, sizeof(**rows)) : NULL;
	*count = 0;
	if (!*rows) {
		free(cells);
		return -ENOMEM;
	}
	clock_gettime(CLOCK_MONOTONIC_COARSE, &time); /* the clock of the programs */
	now = time.tv_sec * 1000000000ULL + time.tv_nsec;
	for (__u32 i = 1; i < SERVICE_ROWS; i++) {
		struct armed_row *row = &(*rows)[*count];
		struct service_name name = {};

		if (cells[i].armed_until_ns <= now ||
		    bpf_map_lookup_elem(instance->maps[MAP_service_names], &i, &name) || !name.name[0])
			continue;
		snprintf(row->name, sizeof(row->name), "%s", name.name);
		row->for_ns = now > cells[i].armed_since_ns ? now - cells[i].armed_since_ns : 0;
		++*count;
	}
	free(cells);
	return 0;
}

int fallthrough_read(struct instance *instance, __u64 packets[HOOK_COUNT])
{
	int cpus;
	__u64 *all = percpu_read(instance->maps[MAP_fallthrough], HOOK_COUNT, sizeof(*all), &cpus);

	memset(packets, 0, HOOK_COUNT * sizeof(*packets));
	if (!all)
		return -errno;
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		for (int cpu = 0; cpu < cpus; cpu++)
			packets[hook] += all[hook * cpus + cpu];
	free(all);
	return 0;
}

int fallthrough_forget(struct instance *instance)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 *none = cpus > 0 ? calloc(cpus, sizeof(*none)) : NULL;
	int error = 0;

	if (!none)
		return -ENOMEM;
	for (__u32 hook = 0; !error && hook < HOOK_COUNT; hook++)
		error = bpf_map_update_elem(instance->maps[MAP_fallthrough], &hook, none, BPF_ANY) ? -errno : 0;
	free(none);
	return error;
}

int telling_read(struct instance *instance, struct telling_row **rows, size_t *count)
{
	int cpus;
	struct telling *all = percpu_read(instance->maps[MAP_telling], REASON_SLOTS, sizeof(*all), &cpus);

	*rows = all ? calloc(REASON_SLOTS, sizeof(**rows)) : NULL;
	*count = 0;
	if (!*rows) {
		free(all);
		return -ENOMEM;
	}
	for (__u32 reason = 0; reason < REASON_SLOTS; reason++) {
		struct telling total = {};

		for (int cpu = 0; cpu < cpus; cpu++) {
			const struct telling *one = &all[reason * cpus + cpu];

			total.untold += one->untold;
			total.made += one->made;
			total.sampled_out += one->sampled_out;
			total.lost += one->lost;
		}
		if (total.untold || total.made || total.sampled_out || total.lost)
			(*rows)[(*count)++] = (struct telling_row){.reason = reason, .telling = total};
	}
	free(all);
	return 0;
}

int samples_read(struct instance *instance, __u64 window_ns, struct weighed_sample **samples, size_t *count)
{
	int cpus, error;
	struct packet_sample *rings =
		percpu_read(instance->maps[MAP_packet_samples], SAMPLES_A_CPU, sizeof(*rings), &cpus);

	*samples = NULL;
	*count = 0;
	if (!rings)
		return -ENOMEM;
	error = samples_weigh(rings, cpus, stance_now_ns(), window_ns, samples, count);
	free(rings);
	return error;
}
