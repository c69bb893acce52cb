/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy in force. */
#include <string.h>

#include "live.h"
#include "verb_common.h"

static int read_saved(const struct context *context, struct live *live)
{
	struct report report = {};

	live->policy = saved_policy(&context->places, live->generation, &report);
	if (live->policy && !report.errors)
		policy_check(live->policy, &report);
	if (!live->policy || report.errors) {
		report_print(&report, stderr);
		report_free(&report);
		return fail(
			EXIT_SYSTEM,
			"%s: generation %u is live, but its saved text in %s cannot be read; apply its policy again",
			context->verb, live->generation, context->places.state_dir);
	}
	report_free(&report);
	live->description = saved_description(&context->places, live->generation);
	if (!live->description)
		live->description = json_object();
	return EXIT_DONE;
}

int live_open(const struct context *context, struct live *live)
{
	int error, status;
	__u32 slot;

	memset(live, 0, sizeof(*live));
	status = open_instance(context, OPEN_READ, &live->instance);
	if (status)
		return status;
	error = control_read(live->instance, &live->control);
	slot = live->control.active == SLOT_PAUSED ? live->control.fallback : live->control.active;
	if (!error && slot < GENERATION_SLOTS) {
		live->info = live->control.slots[slot];
		live->generation = live->info.generation;
	}
	if (error)
		status = fail_kernel(error, context->verb);
	else if (!live->generation)
		status = fail(EXIT_ANSWER_NO, "%s: no policy is live here; bulwark apply FILE", context->verb);
	else
		status = read_saved(context, live);
	if (status)
		live_close(live);
	return status;
}

void live_close(struct live *live)
{
	instance_close(live->instance);
	policy_free(live->policy);
	json_decref(live->description);
	memset(live, 0, sizeof(*live));
}

static void add_role(const struct policy *policy, const struct list_uses *uses, const char *list, const char *role,
		     json_t *roles)
{
	for (size_t i = 0; i < uses->count; i++) {
		const struct list_use *use = &uses->items[i];
		unsigned zone;

		if (strcmp(policy->lists[use->list].name, list))
			continue;
		zone = use->zone ? use->zone : policy->lists[use->list].zone;
		json_array_append_new(roles,
				      json_sprintf("%s%s%s%s%s", role,
						   use->direction == DIRECTION_OUT    ? " outbound"
						   : use->direction == DIRECTION_BOTH ? " both ways"
										      : "",
						   zone ? " in zone " : "", zone ? policy->zones[zone - 1].name : "",
						   use->monitor ? " (only monitors)" : ""));
	}
}

json_t *live_roles(const struct policy *policy, const char *list)
{
	json_t *roles = json_array();
	char role[128];

	add_role(policy, &policy->trusted, list, "trusted", roles);
	add_role(policy, &policy->block, list, "block", roles);
	add_role(policy, &policy->never_ban, list, "never-ban", roles);
	add_role(policy, &policy->health_checks, list, "health-checks", roles);
	add_role(policy, &policy->proxies, list, "proxies", roles);
	for (size_t i = 0; i < policy->service_count; i++) {
		snprintf(role, sizeof(role), "allow of %s", policy->services[i].name);
		add_role(policy, &policy->services[i].allow, list, role, roles);
		snprintf(role, sizeof(role), "to of %s", policy->services[i].name);
		add_role(policy, &policy->services[i].to, list, role, roles);
		for (size_t j = 0; j < policy->services[i].limit_count; j++) {
			const struct policy_limit *limit = &policy->services[i].limits[j];

			snprintf(role, sizeof(role), "except of a limit of %s", policy->services[i].name);
			add_role(policy, &limit->except, list, role, roles);
			snprintf(role, sizeof(role), "for of a limit of %s", policy->services[i].name);
			add_role(policy, &limit->only, list, role, roles);
		}
	}
	return roles;
}

const char *live_rule(const struct live *live, unsigned number, char *buffer, size_t size)
{
	const char *kind, *name, *place;
	json_t *entry;
	size_t i;
	bool own;

	json_array_foreach(json_object_get(live->description, "rules"), i, entry)
	{
		if (json_integer_value(json_object_get(entry, "number")) != (json_int_t)number)
			continue;
		kind = json_string_value(json_object_get(entry, "kind"));
		name = json_string_value(json_object_get(entry, "name"));
		place = json_string_value(json_object_get(entry, "place"));
		if (!name || !kind)
			return NULL;
		/* A word of the policy is its own name: "api.yaml:3 (default)", not "(default default)". */
		own = !strcmp(kind, "word") || !strcmp(kind, name);
		snprintf(buffer, size, place ? "%s (%s%s%s)" : "%s%s%s%s", place ? place : "", own ? "" : kind,
			 own ? "" : " ", name);
		return buffer;
	}
	return NULL;
}
