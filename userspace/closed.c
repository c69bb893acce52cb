/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on-failure: closed. The saved policy cannot be loaded at boot: one that exposes nothing takes its place, so that this
 * host is not open to everybody until somebody looks. Those whom the saved policy trusts by addresses written in it
 * (not by feeds) still pass, the operator among them where the policy says so; so do answers to what this host asks.
 */
#include "apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "saved.h"

static void write_trusted(FILE *out, const struct policy *policy)
{
	bool any = false;
	char address[PREFIX_TEXT];

	for (size_t i = 0; i < policy->trusted.count; i++) {
		const struct list *list = &policy->lists[policy->trusted.items[i].list];

		for (size_t j = 0; j < list->prefix_count; j++) {
			fprintf(out, "%s\"%s\"", any ? ", " : "lists:\n  trusted: { addresses: [",
				prefix_text(&list->prefixes[j], address));
			any = true;
		}
	}
	if (any)
		fputs("] }\ntrusted: [trusted]\n", out);
}

/* The names that were resolved when it was applied: `auto` may mean nothing yet. */
static void write_interfaces(FILE *out, const json_t *description)
{
	const json_t *names = json_object_get(description, "interfaces"), *one;
	size_t i;

	fputs("interfaces: [", out);
	json_array_foreach(names, i, one) fprintf(out, "%s\"%s\"", i ? ", " : "", json_string_value(one));
	fputs(json_array_size(names) ? "]\n" : "auto]\n", out);
}

static struct policy *closed_policy(const struct policy *policy, const json_t *description, struct report *report)
{
	struct policy *closed = NULL;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	fputs("version: 1\non-failure: closed\n", out);
	write_interfaces(out, description);
	if (policy)
		write_trusted(out, policy);
	if (!fclose(out))
		closed = policy_parse(text, length, "on-failure: closed", "/", report);
	free(text);
	return closed;
}

/* By hand, on a host where a policy is in force, a failed apply has changed nothing and nothing is to be closed. */
static bool something_is_live(const struct context *context)
{
	struct control_state state;
	struct instance *instance;
	bool live;

	if (instance_open(&context->places, OPEN_READ, &instance))
		return false;
	live = !control_read(instance, &state) && state.active != SLOT_NONE;
	instance_close(instance);
	return live;
}

void apply_closed(struct context *context, const struct policy *policy, unsigned generation)
{
	json_t *description = saved_description(&context->places, generation);
	const char *said = json_string_value(json_object_get(description, "on_failure"));
	bool wanted = policy ? policy->on_failure == ON_FAILURE_CLOSED : said && !strcmp(said, "closed");
	struct apply_request request = {.source = "on-failure: closed",
					.action = "closed",
					.from_saved = generation,
					.boot = true,
					.closed = true,
					.force = true};
	struct report report = {};
	struct policy *closed = NULL;

	if (wanted && !something_is_live(context)) {
		closed = closed_policy(policy, description, &report);
		if (closed && !report.errors) {
			fail(EXIT_SYSTEM,
			     "%s: on-failure: closed: nothing is exposed, only addresses that the policy trusts by "
			     "name "
			     "pass, until a policy is applied",
			     context->verb);
			request.policy = closed;
			apply_policy(context, &request);
		}
		policy_free(closed);
		report_free(&report);
	}
	json_decref(description);
}
