/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand with each service, as the daemon last said. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	struct profile_switch *profiles = array_read(instance->maps[MAP_profiles], SERVICE_ROWS, sizeof(*profiles));
	struct service_name *names = array_read(instance->maps[MAP_service_names], SERVICE_ROWS, sizeof(*names));

	*rows = stances && names && profiles ? calloc(SERVICE_ROWS, sizeof(**rows)) : NULL;
	*count = 0;
	for (__u32 i = 0; *rows && i < SERVICE_ROWS; i++) {
		struct stance_row *row = &(*rows)[*count];

		if (i && !*names[i].name)
			continue;
		row->row = (__u16)i;
		snprintf(row->name, sizeof(row->name), "%s", i ? names[i].name : "");
		row->stance = stances[i];
		row->profile = profiles[i];
		++*count;
	}
	free(stances);
	free(profiles);
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
	static const struct profile_switch off;
	static const struct stance none;

	stance_write(instance, (__u16)row, &none);
	bpf_map_update_elem(instance->maps[MAP_profiles], &row, &off, BPF_ANY);
}

/* ---- profiles ---- */

int profile_read(struct instance *instance, __u16 row, struct profile_switch *profile)
{
	__u32 key = row;

	return bpf_map_lookup_elem(instance->maps[MAP_profiles], &key, profile) ? -errno : 0;
}

#define PROFILES_BYTES (SERVICE_ROWS * sizeof(struct profile_switch))

static struct profile_switch *profiles_map(struct instance *instance)
{
	void *profiles =
		mmap(NULL, PROFILES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, instance->maps[MAP_profiles], 0);

	if (profiles != MAP_FAILED)
		return profiles;
	kernel_say("cannot map profiles: %s", strerror(errno));
	return NULL;
}

/* The rest first: who sees the switch sees since when and by whom. */
static void profile_store(struct profile_switch *profile, __u64 until_ns, const char *by)
{
	__u64 now = stance_now_ns();

	if (!profile_is_on(profile, now)) {
		profile->since_ns = now;
		snprintf(profile->by, sizeof(profile->by), "%s", by ?: "");
	}
	__atomic_store_n(&profile->until_ns, until_ns, __ATOMIC_RELEASE);
}

int profile_set(struct instance *instance, __u16 row, __u64 until_ns, const char *by)
{
	struct profile_switch *profiles = row < SERVICE_ROWS ? profiles_map(instance) : NULL;

	if (!profiles)
		return -errno;
	profile_store(&profiles[row], until_ns, by);
	munmap(profiles, PROFILES_BYTES);
	return 0;
}

int profiles_lift(struct instance *instance)
{
	struct profile_switch *profiles = profiles_map(instance);

	if (!profiles)
		return -errno;
	profiles[0].lifted_ns = stance_now_ns();
	for (__u32 row = 0; row < SERVICE_ROWS; row++)
		if (profiles[row].until_ns)
			__atomic_store_n(&profiles[row].until_ns, 0, __ATOMIC_RELEASE);
	munmap(profiles, PROFILES_BYTES);
	return 0;
}
