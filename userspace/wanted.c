/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "saved.h"

static int want(struct wanted *wanted, const char *name)
{
	char(*larger)[16];

	for (size_t i = 0; i < wanted->count; i++)
		if (!strcmp(wanted->names[i], name))
			return 0;
	larger = reallocarray(wanted->names, wanted->count + 1, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	wanted->names = larger;
	snprintf(larger[wanted->count++], sizeof(*larger), "%s", name);
	return 0;
}

static int want_described(const struct places *places, unsigned generation, struct wanted *wanted)
{
	json_t *description = saved_description(places, generation), *entry;
	int error = 0;
	size_t i;

	json_array_foreach(json_object_get(description, "interfaces"), i, entry)
	{
		const char *name = json_string_value(entry);

		if (name && !error)
			error = want(wanted, name);
	}
	json_decref(description);
	return error;
}

/* What the words of the policy mean on this host now. What it does not have, is wanted when it comes. */
static int want_resolved(const struct places *places, unsigned generation, const struct host *host,
			 struct wanted *wanted)
{
	struct report report = {};
	struct policy *policy = saved_policy(places, generation, &report);
	const struct host_link **links = NULL;
	size_t count = 0;
	int error = 0;

	if (policy && !report.errors) {
		wanted->mode = policy->mode;
		error = host_interfaces(host, policy->interfaces, NULL, policy->interface_count, &links, &count,
					&report);
	}
	for (size_t i = 0; !error && i < count; i++)
		error = want(wanted, links[i]->name);
	free(links);
	policy_free(policy);
	report_free(&report);
	return error;
}

int wanted_interfaces(const struct places *places, unsigned generation, const struct host *host,
		      const struct attachment *attachments, size_t attachment_count, struct wanted *wanted)
{
	int error = 0;

	*wanted = (struct wanted){};
	for (size_t i = 0; !error && i < attachment_count; i++)
		error = want(wanted, attachments[i].name);
	if (!error)
		error = want_described(places, generation, wanted);
	return error ?: want_resolved(places, generation, host, wanted);
}

/* ---- attaching ---- */

/* The link went with its device, or lost a side, or never was. An interface that has another name now is attached. */
static bool is_bare(const struct attachment *attachments, size_t count, const struct host_link *link)
{
	for (size_t i = 0; i < count; i++) {
		if (attachments[i].ifindex != link->ifindex)
			continue;
		return !attachment_whole(&attachments[i]);
	}
	return true;
}

static int attach_bare(const struct places *places, const struct host *host, const struct wanted *wanted,
		       const struct attachment *attachments, size_t count, wanted_tell *tell, void *arg)
{
	struct instance *instance = NULL;
	int error = 0;

	for (size_t i = 0; !error && i < wanted->count; i++) {
		const struct host_link *link = host_link_by_name(host, wanted->names[i]);
		struct attachment attachment = {};

		if (!link || !is_bare(attachments, count, link))
			continue;
		/* The lock: an apply under way does the same. */
		if (!instance)
			error = instance_open(places, OPEN_WRITE, &instance);
		if (!error)
			tell(arg, &attachment,
			     interface_attach(instance, link, wanted->mode, instance_hooks(instance), &attachment));
	}
	instance_close(instance);
	return error;
}

static unsigned generation_in_force(const struct control_state *state)
{
	__u32 slot = state->active == SLOT_PAUSED ? state->fallback : state->active;

	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

int wanted_attach(struct instance *instance, const struct places *places, const struct host *host, wanted_tell *tell,
		  void *arg)
{
	struct attachment *attachments = NULL;
	struct control_state state;
	struct wanted wanted = {};
	size_t count = 0;
	int error = control_read(instance, &state);

	if (!error)
		error = interfaces_attached(instance, &attachments, &count);
	if (!error && generation_in_force(&state))
		error = wanted_interfaces(places, generation_in_force(&state), host, attachments, count, &wanted);
	if (!error)
		error = attach_bare(places, host, &wanted, attachments, count, tell, arg);
	free(attachments);
	free(wanted.names);
	return error;
}
