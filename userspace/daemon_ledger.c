/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What became of every event, exactly, also when the daemon is killed between two writes of its state:
 *
 *   made by the kernel + the daemon's own = written + sampled out + lost (ring, log, crash) + waiting in the ring
 *
 * An event has a number, its place in the ring; a line in the log carries it. Who comes back after a crash sees in the
 * ring how many were taken, and in the log which of them were written: the rest is lost, and what was written but not
 * yet taken is not written twice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"

/* The pins of another boot may have the same inode number. */
static __u64 ring_identity(__u64 pins)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned first = 0;

	if (file && fscanf(file, "%8x", &first) != 1)
		first = 0;
	if (file)
		fclose(file);
	return ((__u64)(first & 0x7fffffff) << 32 ^ pins) & 0x7fffffffffffffffULL;
}

struct gap {	     /* lines that the saved state does not know of */
	__u64 after; /* the sequence that it knows */
	__u64 told, own, newest;
};

static bool see_line(void *arg, const json_t *document)
{
	const json_t *bulwark = json_object_get(document, "bulwark");
	__u64 number = (__u64)json_integer_value(json_object_get(bulwark, "event"));
	struct gap *gap = arg;

	if ((__u64)json_integer_value(json_object_get(bulwark, "sequence")) <= gap->after)
		return false;
	if (!number)
		gap->own++;
	else if (!gap->told++)
		gap->newest = number;
	return true;
}

void ledger_begin(struct daemon *daemon, const char *log)
{
	struct gap gap = {.after = daemon->state.sequence};

	if (event_log_last_sequence(log, daemon->limits.keep) <= gap.after)
		return;
	event_log_walk_back(log, daemon->limits.keep, see_line, &gap);
	daemon->state.sequence += gap.told + gap.own;
	daemon->state.ledger.written = daemon->state.sequence;
	daemon->state.ledger.own += gap.own;
	daemon->gap_told = gap.told;
	daemon->gap_newest = gap.newest;
}

void ledger_look(struct daemon *daemon)
{
	struct ledger *ledger = &daemon->state.ledger;
	struct telling_row *rows = NULL;
	__u64 made = 0, lost = 0;
	size_t count = 0;

	if (!daemon->instance || telling_read(daemon->instance, &rows, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		made += rows[i].telling.made;
		lost += rows[i].telling.lost;
	}
	free(rows);
	ledger->ring_kernel = made + lost;
	ledger->ring_lost = lost;
}

/* The ring is gone, and with it what was left in it. */
void ledger_leave(struct daemon *daemon)
{
	struct ledger *ledger = &daemon->state.ledger;
	__u64 known = ledger->ring_lost + ledger->taken + daemon->gap_told;
	__u64 made = ledger->ring_kernel > known ? ledger->ring_kernel : known;

	if (!ledger->ring)
		return;
	ledger->kernel += made;
	ledger->lost += ledger->ring_lost;
	ledger->crashed += made - known;
	ledger->ring = ledger->taken = ledger->ring_kernel = ledger->ring_lost = 0;
	daemon->gap_told = daemon->gap_newest = 0;
}

void ledger_enter(struct daemon *daemon)
{
	struct ledger *ledger = &daemon->state.ledger;
	__u64 ring = ring_identity(daemon->pins), taken = event_ring_taken(daemon->ring), told;

	if (ledger->ring != ring || ledger->taken > taken)
		ledger_leave(daemon);
	told = daemon->gap_told;
	if (told && daemon->gap_newest == taken + 1) { /* killed after it was written, before it was taken */
		daemon->written_ahead = daemon->gap_newest;
		told--;
	}
	if (taken - ledger->taken > told)
		ledger->crashed += taken - ledger->taken - told;
	ledger->ring = ring;
	ledger->taken = taken;
	daemon->gap_told = daemon->gap_newest = 0;
	ledger_look(daemon);
}
