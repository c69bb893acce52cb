/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What bulwarkd looks after: pins that come and go, interfaces that return, a deadline that passes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon.h"
#include "wanted.h"
#include "zones.h"

#define RETRY_NS (5ULL * 1000000000) /* of an interface that somebody else holds */

/* ---- the instance ---- */

/* 0: nothing is pinned. What cannot be reached is something, and opening it says why. */
static __u64 pinned_ring(const struct daemon *daemon)
{
	char path[sizeof(daemon->places.pin_dir) + 32];
	struct stat found;

	snprintf(path, sizeof(path), "%s/v%d/events", daemon->places.pin_dir, LAYOUT_VERSION);
	if (stat(path, &found))
		return errno == EACCES ? 1 : 0;
	return (__u64)found.st_ino;
}

void watch_close(struct daemon *daemon)
{
	event_ring_close(daemon->ring);
	instance_close(daemon->instance);
	daemon->ring = NULL;
	daemon->instance = NULL;
}

/* Said once, and not at the first look: `apply` may be about to share what it has just pinned. */
static void say_unopened(struct daemon *daemon, __u64 pins)
{
	if (daemon->pins != pins) {
		daemon->pins = pins;
		daemon->unopened_told = false;
	} else if (!daemon->unopened_told) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, kernel_words());
		daemon->unopened_told = true;
	}
}

static void open_instance(struct daemon *daemon, __u64 pins)
{
	if (instance_open(&daemon->places, OPEN_READ, &daemon->instance)) {
		daemon->instance = NULL;
		say_unopened(daemon, pins);
		return;
	}
	if (event_ring_open(daemon->instance, tell_event, daemon, &daemon->ring)) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, kernel_words());
		watch_close(daemon);
		return;
	}
	daemon->pins = pins;
	ledger_enter(daemon);
	fingerprints_enter(daemon);
	daemon->bans_told_ns = daemon->bans_told_ns ?: boottime_ns();
	daemon->bans_saved = false;
	daemon->bans_next_ns = 0;
	names_forget(daemon->names);
	daemon->links_changed = true; /* what happened while we were not there */
}

/* The generation in force, or the one under a pause; 0: none. */
static unsigned live_number(const struct control_state *state)
{
	__u32 slot = state->active == SLOT_PAUSED ? state->fallback : state->active;

	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

void watch_instance(struct daemon *daemon)
{
	__u64 pins = pinned_ring(daemon);
	struct control_state state;

	if (daemon->instance && pins != daemon->pins) {
		event_ring_drain(daemon->ring);
		ledger_look(daemon);
		ledger_leave(daemon);
		watch_close(daemon);
	}
	if (!pins) {
		daemon->pins = 0;
		ledger_leave(daemon);
	}
	if (!daemon->instance && pins)
		open_instance(daemon, pins);
	/* Reading makes a passed deadline good, and notes it in the history: nobody else may look for hours. */
	daemon->generation = 0;
	if (daemon->instance && !control_read(daemon->instance, &state)) {
		daemon->generation = live_number(&state);
		renew_when_due(daemon, &state);
		fetch_when_due(daemon);
	}
	if (daemon->generation)
		names_in_force(daemon->names, daemon->generation);
	if (json_object_size(daemon->unprotected) && monotonic_ns() >= daemon->attach_again_ns)
		daemon->links_changed = true;
}

/* ---- interfaces ---- */

static void tell_attached(void *arg, const struct attachment *attachment, int error)
{
	struct daemon *daemon = arg;
	const char *name = attachment->name;

	if (!error) {
		json_object_del(daemon->unprotected, name);
		tell_notice(daemon, "interface-attached",
			    json_pack("{s:s, s:b}", "interface", name, "native", attachment->native),
			    "%s is protected: it came back, or carries the default route now", name);
		return;
	}
	if (!json_object_get(daemon->unprotected, name))
		tell_notice(daemon, "interface-unprotected", json_pack("{s:s}", "interface", name),
			    "%s is there and cannot be protected: %s", name, kernel_words());
	json_object_set_new(daemon->unprotected, name, json_true());
}

void watch_links(struct daemon *daemon)
{
	__u64 began = monotonic_ns();
	struct host host = {};

	daemon->links_changed = false;
	daemon->attach_again_ns = began + RETRY_NS;
	if (!daemon->instance)
		return;
	if (!host_read_links(&host)) {
		instance_know_host(daemon->instance, &host);
		zones_renew(daemon->instance, &daemon->places, &host);
		renew_saw_host(daemon, &host);
		wanted_attach(daemon->instance, &daemon->places, &host, tell_attached, daemon);
	}
	host_free(&host);
	daemon->look_again_ns = monotonic_ns() + 3 * (monotonic_ns() - began); /* at most a quarter of the time */
}
