/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark rollback: while a confirm is pending, go back now; else make the previous policy (or the named generation's)
 * live again with today's feeds, as a new generation.
 */
#include "apply.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "past.h"
#include "verb_common.h"

static unsigned generation_in(const struct control_state *state, __u32 slot)
{
	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

static bool is_pending(const struct control_state *state)
{
	return state->remaining_ms && state->active < GENERATION_SLOTS;
}

static int take_generation(const struct context *context, const char *text, unsigned *generation)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*end || *text < '1' || *text > '9' || number > 0x7fffffff)
		return fail_usage(context, "'%s' is not the number of a generation; `bulwark history` lists them",
				  text);
	*generation = number;
	return EXIT_DONE;
}

static int fall_back(struct context *context, struct instance *instance, const struct control_state *state)
{
	unsigned from = generation_in(state, state->active), to = generation_in(state, state->fallback);
	int error = control_fall_back(instance);

	if (error)
		return fail_kernel(error, context->verb);
	hooks_leave(instance);
	history_note(
		&context->places, "reverted",
		json_pack("{s:i, s:i, s:s}", "generation", (int)to, "from", (int)from, "why", "rolled back by hand"));
	if (context->json)
		return print_json(
			json_pack("{s:s, s:i, s:i}", "result", "reverted", "generation", (int)to, "from", (int)from));
	if (to)
		printf("generation %u is live again; %u is gone\n", to, from);
	else
		printf("no policy is in force, as before; generation %u is gone\n", from);
	return EXIT_DONE;
}

/* Falls back when that is what is asked; else says which generation is to be applied anew. */
static int decide(struct context *context, unsigned *target)
{
	struct control_state state;
	struct instance *instance;
	int status = open_instance(context, OPEN_WRITE, &instance), error;
	unsigned live;

	if (status)
		return status;
	error = control_read(instance, &state);
	live = generation_in(&state, state.active == SLOT_PAUSED ? state.fallback : state.active);
	if (error) {
		status = fail_kernel(error, context->verb);
	} else if (is_pending(&state) && (!*target || *target == generation_in(&state, state.fallback))) {
		status = fall_back(context, instance, &state);
		*target = 0;
	} else if (!*target) {
		*target = live ? past_before(&context->places, live) : 0;
		if (!*target)
			status = fail(EXIT_ANSWER_NO, "rollback: no policy was live before generation %u", live);
	}
	instance_close(instance);
	return status;
}

static int apply_saved(struct context *context, unsigned generation, bool force)
{
	json_t *description = saved_description(&context->places, generation);
	const char *path = json_string_value(json_object_get(description, "policy_path"));
	struct report report = {};
	struct policy *policy = saved_policy(&context->places, generation, &report);
	struct apply_request request = {
		.policy = policy,
		.source = path ?: "-",
		.action = "rolled-back",
		.from_saved = generation,
		.force = force,
	};
	int status;

	if (policy && !report.errors) {
		status = apply_policy(context, &request);
	} else {
		report_print(&report, stderr);
		status = fail(EXIT_USAGE,
			      "rollback: the policy of generation %u cannot be read from %s; the live policy is "
			      "untouched",
			      generation, context->places.state_dir);
	}
	policy_free(policy);
	report_free(&report);
	json_decref(description);
	return status;
}

int verb_rollback(struct context *context, int argc, char **argv)
{
	unsigned target = 0;
	bool force = false;
	const char *value;
	int status = EXIT_DONE, code;

	while (!status && (code = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		force |= code == 'F';
		status = code == 'F' ? EXIT_DONE : EXIT_USAGE;
	}
	if (!status && argc - optind > 1)
		status = fail_usage(context, "'%s' is one argument too many", argv[optind + 1]);
	if (!status && argc > optind)
		status = take_generation(context, argv[optind], &target);
	if (!status)
		status = decide(context, &target);
	return status || !target ? status : apply_saved(context, target, force);
}
