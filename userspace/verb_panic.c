/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark panic: the policy's `under-attack` by hand, on every service at once; the switch is one store in the kernel.
 */
#include <string.h>

#include "verb_common.h"

static int find_profile(struct instance *instance, unsigned *generation, bool *has_profile)
{
	struct control_state state;
	int error = control_read(instance, &state);
	__u32 slot = state.active == SLOT_PAUSED ? state.fallback : state.active;
	const struct slot_info *live = !error && slot < GENERATION_SLOTS ? &state.slots[slot] : NULL;

	*generation = live ? live->generation : 0;
	*has_profile = *generation && live->flags & SLOT_FLAG_PROFILE;
	return error;
}

static int switch_on(struct context *context, struct instance *instance, __u64 for_ns)
{
	unsigned generation;
	bool has_profile;
	int error = find_profile(instance, &generation, &has_profile);
	char user[32], text[64];

	if (error)
		return fail_kernel(error, context->verb);
	if (!generation)
		return fail(EXIT_SYSTEM, "panic: no policy is applied here: bulwark apply FILE");
	if (!has_profile)
		return fail(EXIT_USAGE,
			    "panic: generation %u has no 'under-attack' that could be switched on: add one to "
			    "its policy and apply that",
			    generation);
	error = profile_set(instance, 0, for_ns ? stance_now_ns() + for_ns : PROFILE_FOR_GOOD,
			    login_name(user, sizeof(user)));
	if (error)
		return fail_kernel(error, context->verb);
	history_note(&context->places, "under-attack-on",
		     json_pack("{s:i, s:f}", "generation", (int)generation, "for_s", for_ns / 1e9));
	if (context->json)
		return print_json(json_pack("{s:s, s:i, s:f}", "result", "on", "generation", (int)generation, "for_s",
					    for_ns / 1e9));
	if (for_ns)
		printf("every service of generation %u is held as under attack, for %s, or until `bulwark panic off`\n",
		       generation, duration_text(for_ns, text, sizeof(text)));
	else
		printf("every service of generation %u is held as under attack, until `bulwark panic off`\n",
		       generation);
	return EXIT_DONE;
}

static int switch_off(struct context *context, struct instance *instance)
{
	unsigned generation = 0;
	bool has_profile;
	int error = profiles_lift(instance);

	if (error)
		return fail_kernel(error, context->verb);
	find_profile(instance, &generation, &has_profile);
	history_note(&context->places, "under-attack-off", json_pack("{s:i}", "generation", (int)generation));
	if (context->json)
		return print_json(json_pack("{s:s}", "result", "off"));
	printf("services are held as in peace; only a new attack switches any of them again\n");
	return EXIT_DONE;
}

int verb_panic(struct context *context, int argc, char **argv)
{
	const char *value, *operand = NULL;
	struct instance *instance;
	__u64 for_ns = 0;
	int status = EXIT_DONE, code;
	bool on;

	while (!status && (code = next_option(context, argc, argv, &value)) != OPTIONS_END)
		status = code == 'f' ? read_duration(context, "--for", value, &for_ns) : EXIT_USAGE;
	if (!status)
		status = one_operand(context, argc, argv, "on|off", &operand);
	if (status)
		return status;
	on = !strcmp(operand, "on");
	if (!on && strcmp(operand, "off"))
		return fail_usage(context, "'%s' is neither on nor off", operand);
	if (!on && for_ns)
		return fail_usage(context, "--for is for 'on'");
	status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	status = on ? switch_on(context, instance, for_ns) : switch_off(context, instance);
	instance_close(instance);
	return status;
}
