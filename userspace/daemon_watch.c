/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What bulwarkd looks after: pins that come and go, interfaces that return, a deadline that passes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon.h"

#define RETRY_NS (5ULL * 1000000000) /* of an interface that somebody else holds */

/* ---- the instance ---- */

/* 0: nothing is pinned. */
static __u64 pinned_ring(const struct daemon *daemon)
{
	char path[sizeof(daemon->places.pin_dir) + 32];
	struct stat found;

	snprintf(path, sizeof(path), "%s/v%d/events", daemon->places.pin_dir, LAYOUT_VERSION);
	return stat(path, &found) ? 0 : (__u64)found.st_ino;
}

void watch_close(struct daemon *daemon)
{
	event_ring_close(daemon->ring);
	instance_close(daemon->instance);
	daemon->ring = NULL;
	daemon->instance = NULL;
}

static void open_instance(struct daemon *daemon, __u64 pins)
{
	if (instance_open(&daemon->places, OPEN_READ, &daemon->instance)) {
		daemon->instance = NULL;
		if (daemon->pins != pins) /* say it once, try again */
			fprintf(stderr, "%s: %s\n", program_invocation_short_name, kernel_words());
		daemon->pins = pins;
		return;
	}
	if (event_ring_open(daemon->instance, tell_event, daemon, &daemon->ring)) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, kernel_words());
		watch_close(daemon);
		return;
	}
	daemon->pins = pins;
	names_forget(daemon->names);
	daemon->links_changed = true; /* what happened while we were not there */
}

void watch_instance(struct daemon *daemon)
{
	__u64 pins = pinned_ring(daemon);
	struct control_state state;

	if (daemon->instance && pins != daemon->pins) {
		event_ring_drain(daemon->ring);
		watch_close(daemon);
	}
	if (!pins)
		daemon->pins = 0;
	if (!daemon->instance && pins)
		open_instance(daemon, pins);
	/* Reading makes a passed deadline good, and notes it in the history: nobody else may look for hours. */
	if (daemon->instance)
		control_read(daemon->instance, &state);
	if (json_object_size(daemon->unprotected) && monotonic_ns() >= daemon->attach_again_ns)
		daemon->links_changed = true;
}

/* ---- interfaces ---- */

struct wanted { /* interfaces that ought to be attached */
	char (*names)[16];
	size_t count;
	int mode;
};

static void want(struct wanted *wanted, const char *name)
{
	char(*larger)[16];

	for (size_t i = 0; i < wanted->count; i++)
		if (!strcmp(wanted->names[i], name))
			return;
	larger = reallocarray(wanted->names, wanted->count + 1, sizeof(*larger));
	if (!larger)
		return;
	wanted->names = larger;
	snprintf(larger[wanted->count++], sizeof(*larger), "%s", name);
}

/* Those of the live generation's description, which apply wrote, and the mode of its policy. */
static void want_described(struct daemon *daemon, struct wanted *wanted)
{
	struct control_state state;
	struct report report = {};
	struct policy *policy;
	json_t *description, *entry;
	unsigned generation;
	__u32 slot;
	size_t i;

	if (control_read(daemon->instance, &state))
		return;
	slot = state.active == SLOT_PAUSED ? state.fallback : state.active;
	generation = slot < GENERATION_SLOTS ? state.slots[slot].generation : 0;
	if (!generation)
		return;
	description = saved_description(&daemon->places, generation);
	json_array_foreach(json_object_get(description, "interfaces"), i, entry)
	{
		const char *name = json_string_value(json_is_object(entry) ? json_object_get(entry, "name") : entry);

		if (name)
			want(wanted, name);
	}
	json_decref(description);
	policy = saved_policy(&daemon->places, generation, &report);
	if (policy && !report.errors)
		wanted->mode = policy->mode;
	policy_free(policy);
	report_free(&report);
}

/* Those that are not what they ought to be: the link went with its device, or lost a side. */
static bool needs_attaching(const struct attachment *attachments, size_t count, const struct host_link *link)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(attachments[i].name, link->name))
			return !attachments[i].xdp || !attachments[i].egress || attachments[i].ifindex != link->ifindex;
	return true;
}

static void attach_again(struct daemon *daemon, struct instance *instance, const struct host_link *link, int mode)
{
	struct attachment attachment = {};
	int error = interface_attach(instance, link, mode, &attachment);

	if (!error) {
		json_object_del(daemon->unprotected, link->name);
		tell_notice(daemon, "interface-attached",
			    json_pack("{s:s, s:b}", "interface", link->name, "native", attachment.native),
			    "%s came back and is protected again", link->name);
		return;
	}
	if (!json_object_get(daemon->unprotected, link->name))
		tell_notice(daemon, "interface-unprotected", json_pack("{s:s}", "interface", link->name),
			    "%s came back and cannot be protected: %s", link->name, kernel_words());
	json_object_set_new(daemon->unprotected, link->name, json_true());
}

static void attach_returned(struct daemon *daemon, const struct host *host, const struct wanted *wanted,
			    const struct attachment *attachments, size_t count)
{
	struct instance *instance = NULL;

	for (size_t i = 0; i < wanted->count; i++) {
		const struct host_link *link = host_link_by_name(host, wanted->names[i]);

		if (!link || !needs_attaching(attachments, count, link))
			continue;
		/* The lock: an apply under way does the same. */
		if (!instance && instance_open(&daemon->places, OPEN_WRITE, &instance))
			break;
		attach_again(daemon, instance, link, wanted->mode);
	}
	instance_close(instance);
}

void watch_links(struct daemon *daemon)
{
	struct attachment *attachments = NULL;
	struct wanted wanted = {};
	struct host host = {};
	size_t count = 0;

	daemon->links_changed = false;
	daemon->attach_again_ns = monotonic_ns() + RETRY_NS;
	if (!daemon->instance)
		return;
	if (!host_read_links(&host)) {
		instance_know_host(daemon->instance, &host);
		if (!interfaces_attached(daemon->instance, &attachments, &count))
			for (size_t i = 0; i < count; i++)
				want(&wanted, attachments[i].name);
		want_described(daemon, &wanted);
		attach_returned(daemon, &host, &wanted, attachments, count);
	}
	free(attachments);
	free(wanted.names);
	host_free(&host);
}
