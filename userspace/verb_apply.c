/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark apply: make a policy live on every interface at once. */
#include "apply.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "past.h"
#include "verb_common.h"

#define CONFIRM_DEFAULT_NS (60ULL * 1000000000)
#define CONFIRM_MIN_NS 1000000000ULL
#define INTERFACES_GIVEN_MAX 64

struct given {
	struct apply_request request;
	bool monitor, saved, attach;
	int refused; /* exit status when there is nothing to apply */
	char *interfaces[INTERFACES_GIVEN_MAX];
	size_t interface_count;
};

static int take_confirm(const struct context *context, const char *value, __u64 *ns)
{
	int status = EXIT_DONE;

	*ns = CONFIRM_DEFAULT_NS;
	if (value)
		status = read_duration(context, "--confirm", value, ns);
	if (!status && *ns < CONFIRM_MIN_NS)
		status = fail(EXIT_USAGE, "%s: --confirm=%s is less than a second", context->verb, value);
	return status;
}

static int take_interface(const struct context *context, struct given *given, const char *name)
{
	if (given->interface_count == INTERFACES_GIVEN_MAX)
		return fail_usage(context, "more than %d interfaces", INTERFACES_GIVEN_MAX);
	given->interfaces[given->interface_count++] = (char *)name;
	return EXIT_DONE;
}

static int take_option(const struct context *context, struct given *given, int code, const char *value)
{
	switch (code) {
	case 'c':
		return take_confirm(context, value, &given->request.confirm_ns);
	case 'i':
		return take_interface(context, given, value);
	case 'm':
		given->monitor = true;
		return EXIT_DONE;
	case 'n':
		given->request.dry_run = true;
		return EXIT_DONE;
	case 'C':
		given->request.cut = true;
		return EXIT_DONE;
	case 'e':
		given->request.ephemeral = true;
		return EXIT_DONE;
	case 'F':
		given->request.force = true;
		return EXIT_DONE;
	case 'S':
		given->saved = true;
		return EXIT_DONE;
	case 'R':
		given->request.renew = true;
		return EXIT_DONE;
	case 'A':
		given->attach = true;
		return EXIT_DONE;
	}
	return EXIT_USAGE;
}

static int read_command(const struct context *context, int argc, char **argv, struct given *given, const char **file)
{
	const char *value;
	int status = EXIT_DONE, code, options = 0;

	while (!status && (code = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		status = take_option(context, given, code, value);
		options++;
	}
	if (!status && given->attach && options > 1)
		status = fail_usage(context, "--attach applies no policy, so no other option goes with it");
	if (!status && given->request.cut && given->request.confirm_ns)
		status = fail_usage(context, "what --cut ends does not come back with the old policy: confirm first, "
					     "then apply once more with --cut");
	if (status)
		return status;
	return given->saved || given->attach || given->request.renew ? no_operands(context, argc, argv)
								     : one_operand(context, argc, argv, "FILE", file);
}

/* --iface stands in the saved policy too, so that a rollback means the same interfaces. */
static int override_interfaces(const struct given *given, struct policy *policy)
{
	char **names = calloc(given->interface_count, sizeof(*names));
	struct place *at = calloc(given->interface_count, sizeof(*at));

	if (!names || !at) {
		free(names);
		free(at);
		return fail(EXIT_SYSTEM, "%s", strerror(ENOMEM));
	}
	for (size_t i = 0; i < policy->interface_count; i++)
		free(policy->interfaces[i]);
	free(policy->interfaces);
	free(policy->interface_at);
	for (size_t i = 0; i < given->interface_count; i++)
		names[i] = strdup(given->interfaces[i]);
	policy->interfaces = names;
	policy->interface_at = at;
	policy->interface_count = given->interface_count;
	return EXIT_DONE;
}

static int refuse_policy(const struct context *context, const struct report *report, const char *source)
{
	report_print(report, stderr);
	return fail(EXIT_USAGE, "%s: %s is refused: %zu error%s; the live policy is untouched", context->verb, source,
		    report->errors, report->errors == 1 ? "" : "s");
}

/* Exit status, words are out: nothing is in force, or not for good. */
static int find_in_force(const struct context *context, unsigned *generation)
{
	struct control_state state;
	struct instance *instance;
	int status = open_instance(context, OPEN_READ, &instance), error;

	if (status)
		return status;
	error = control_read(instance, &state);
	if (error)
		status = fail_kernel(error, context->verb);
	else if (state.active == SLOT_PAUSED || state.remaining_ms)
		status = fail(EXIT_ANSWER_NO, "%s: paused, or waiting to be confirmed: nothing is renewed now",
			      context->verb);
	else if (state.active >= GENERATION_SLOTS || state.slots[state.active].flags & SLOT_FLAG_CLOSED)
		status = fail(EXIT_ANSWER_NO, "%s: no policy is in force that could be renewed; bulwark apply FILE",
			      context->verb);
	else
		*generation = state.slots[state.active].generation;
	instance_close(instance);
	return status;
}

/* The policy that was meant to stay, as it was saved. source: where it came from, at least PATH_MAX bytes. */
static struct policy *read_saved(const struct context *context, struct given *given, struct report *report,
				 char *source)
{
	json_t *description;
	const char *path;

	if (given->request.renew) {
		given->refused = find_in_force(context, &given->request.from_saved);
		if (given->refused)
			return NULL;
	} else {
		given->request.from_saved = past_confirmed(&context->places);
		given->request.boot = true;
	}
	if (!given->request.from_saved) {
		given->refused =
			fail(EXIT_USAGE, "%s: no policy was kept in %s", context->verb, context->places.state_dir);
		return NULL;
	}
	description = saved_description(&context->places, given->request.from_saved);
	path = json_string_value(json_object_get(description, "policy_path"));
	snprintf(source, PATH_MAX, "%s", path ?: "-");
	json_decref(description);
	return saved_policy(&context->places, given->request.from_saved, report);
}

static struct policy *read_file(const char *file, struct report *report, char *source)
{
	char real[PATH_MAX];

	snprintf(source, PATH_MAX, "%s", strcmp(file, "-") && realpath(file, real) ? real : file);
	return policy_read(file, report);
}

int verb_apply(struct context *context, int argc, char **argv)
{
	struct given given = {.request.action = "applied"};
	char source[PATH_MAX] = "";
	struct report report = {};
	const char *file = NULL;
	struct policy *policy;
	int status = read_command(context, argc, argv, &given, &file);

	if (status)
		return status;
	if (given.attach)
		return apply_attach(context);
	policy = given.saved || given.request.renew ? read_saved(context, &given, &report, source)
						    : read_file(file, &report, source);
	if (policy)
		policy_check(policy, &report);
	if (report.errors)
		status = refuse_policy(context, &report, source);
	else if (!policy)
		status = given.refused ?: EXIT_SYSTEM;
	else
		report_print(&report, stderr);
	if (policy && given.monitor)
		policy->monitor = true;
	if (!status && given.interface_count)
		status = override_interfaces(&given, policy);
	given.request.policy = policy;
	given.request.source = source;
	if (status)
		apply_refused(context, &given.request, 0);
	else
		status = apply_policy(context, &given.request);
	if (status && given.request.boot)
		apply_closed(context, report.errors ? NULL : policy, given.request.from_saved);
	policy_free(policy);
	report_free(&report);
	return status;
}
