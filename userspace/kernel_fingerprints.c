/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TLS clients by the number of their hellos: those seen for the first time are taken out, what is known is put in. */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MADE (FINGERPRINTS / 16) /* at once, when there is none left */

size_t sightings_take(struct instance *instance, struct sighting_row *rows, size_t most)
{
	int map = instance->maps[MAP_sightings];
	size_t count = 0;

	while (count < most && !bpf_map_get_next_key(map, NULL, &rows[count].number) &&
	       !bpf_map_lookup_and_delete_elem(map, &rows[count].number, &rows[count].sighting))
		count++;
	return count;
}

int fingerprints_read(struct instance *instance, struct fingerprint_row **result, size_t *count)
{
	struct fingerprint_row *rows = calloc(FINGERPRINTS, sizeof(*rows));
	int map = instance->maps[MAP_fingerprints];
	__u64 number, *last = NULL;

	*result = rows;
	*count = 0;
	if (!rows)
		return -ENOMEM;
	while (*count < FINGERPRINTS && !bpf_map_get_next_key(map, last, &number)) {
		rows[*count].number = number;
		if (!bpf_map_lookup_elem(map, &number, &rows[*count].fingerprint))
			++*count;
		last = &number;
	}
	return 0;
}

/* Those to forget first in front. */
static int by_use(const void *a, const void *b)
{
	const struct fingerprint *one = &((const struct fingerprint_row *)a)->fingerprint;
	const struct fingerprint *other = &((const struct fingerprint_row *)b)->fingerprint;

	if (one->denied != other->denied)
		return one->denied ? 1 : -1;
	return one->seen_ns < other->seen_ns ? -1 : one->seen_ns > other->seen_ns;
}

static int make_room(struct instance *instance)
{
	struct fingerprint_row *rows = NULL;
	size_t count = 0;
	int error = fingerprints_read(instance, &rows, &count);

	if (!error)
		qsort(rows, count, sizeof(*rows), by_use);
	for (size_t i = 0; i < count && i < ROOM_MADE; i++)
		bpf_map_delete_elem(instance->maps[MAP_fingerprints], &rows[i].number);
	free(rows);
	return error;
}

int fingerprint_learn(struct instance *instance, const struct fingerprint_row *row)
{
	int map = instance->maps[MAP_fingerprints];
	int error = bpf_map_update_elem(map, &row->number, &row->fingerprint, BPF_NOEXIST) ? -errno : 0;

	if (error == -E2BIG && !make_room(instance))
		error = bpf_map_update_elem(map, &row->number, &row->fingerprint, BPF_NOEXIST) ? -errno : 0;
	if (error == -EEXIST)
		return 0;
	if (error)
		kernel_say("cannot put down the fingerprint %s: %s", row->fingerprint.ja4, strerror(-error));
	return error;
}
