/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand with each service, as the daemon last said. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "judge.h"

__u64 stance_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

const char *cause_name(unsigned cause)
{
	static const char *const names[] = {[CAUSE_NONE] = "unknown",
					    [CAUSE_SYN_FLOOD] = "syn-flood",
					    [CAUSE_CONNECTIONS] = "connections",
					    [CAUSE_PACKETS] = "packets"};

	if (cause >= CAUSE_REASON)
		return reason_name(cause - CAUSE_REASON);
	return cause < sizeof(names) / sizeof(*names) ? names[cause] : names[CAUSE_NONE];
}

int stances_read(struct instance *instance, struct stance_row **rows, size_t *count)
{
	struct stance *stances = array_read(instance->maps[MAP_stances], SERVICE_ROWS, sizeof(*stances));
	struct service_name *names = array_read(instance->maps[MAP_service_names], SERVICE_ROWS, sizeof(*names));

	*rows = stances && names ? calloc(SERVICE_ROWS, sizeof(**rows)) : NULL;
	*count = 0;
	for (__u32 i = 0; *rows && i < SERVICE_ROWS; i++) {
		struct stance_row *row = &(*rows)[*count];

		if (i && !*names[i].name)
			continue;
		row->row = (__u16)i;
		snprintf(row->name, sizeof(row->name), "%s", i ? names[i].name : "");
		row->stance = stances[i];
		++*count;
	}
	free(stances);
	free(names);
	return *rows ? 0 : -ENOMEM;
}

int stance_read(struct instance *instance, __u16 row, struct stance *stance)
{
	__u32 key = row;

	return bpf_map_lookup_elem(instance->maps[MAP_stances], &key, stance) ? -errno : 0;
}

int stance_write(struct instance *instance, __u16 row, const struct stance *stance)
{
	__u32 key = row;

	return bpf_map_update_elem(instance->maps[MAP_stances], &key, stance, BPF_ANY) ? -errno : 0;
}

void stance_clear(struct instance *instance, __u32 row)
{
	static const struct stance none;

	stance_write(instance, (__u16)row, &none);
}
