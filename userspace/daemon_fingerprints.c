/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS clients that were seen for the first time: the daemon makes their JA4 and puts it down for the programs, whose
 * `deny-ja4` acts on it from the next hello on. Without it what is known stays known, and nothing is added.
 */
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "ja4.h"
#include "saved_fingerprints.h"

#define SIGHTINGS_A_TURN 64
#define SAVE_NS (5ULL * 1000000000)

static void tell_client(struct daemon *daemon, const struct fingerprint_row *row)
{
	struct timespec now;
	char number[20];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(number, sizeof(number), "%016llx", row->number);
	tell_line(daemon, json_pack("{s:f, s:s, s:s, s:s}", "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9,
				    "action", "tls-client-seen", "ja4", row->fingerprint.ja4, "fingerprint", number));
}

void fingerprints_enter(struct daemon *daemon)
{
	fingerprints_restore(&daemon->places, daemon->instance);
	daemon->clients_saved_ns = monotonic_ns();
}

size_t fingerprints_learn(struct daemon *daemon)
{
	static struct sighting_row rows[SIGHTINGS_A_TURN];
	size_t count = daemon->instance ? sightings_take(daemon->instance, rows, SIGHTINGS_A_TURN) : 0;

	for (size_t i = 0; i < count; i++) {
		struct fingerprint_row row = {.number = rows[i].number};

		ja4_text(&rows[i].sighting, row.fingerprint.ja4);
		if (fingerprint_learn(daemon->instance, &row))
			continue; /* its next hello is a first sight again */
		daemon->clients_changed = true;
		tell_client(daemon, &row);
	}
	return count;
}

void fingerprints_keep(struct daemon *daemon, bool flush)
{
	if (!daemon->instance || !daemon->clients_changed ||
	    (!flush && monotonic_ns() - daemon->clients_saved_ns < SAVE_NS))
		return;
	daemon->clients_saved_ns = monotonic_ns();
	daemon->clients_changed = fingerprints_save(&daemon->places, daemon->instance) != 0;
}
