/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark unban: lift one ban, or all of one origin. */
#include <errno.h>
#include <getopt.h>

#include "verb_common.h"

static int unban_address(const struct context *context, struct instance *instance, const struct prefix *prefix)
{
	int error = hold_unban(instance, prefix);
	char text[PREFIX_TEXT];

	prefix_text(prefix, text);
	if (error == -ENOENT)
		return fail(EXIT_ANSWER_NO, "unban: %s is not banned; 'bulwark bans' lists who is", text);
	if (error)
		return fail_kernel(error, "unban");
	action_note(&context->places, "unban", json_pack("{s:s}", "address", text));
	if (context->json)
		return print_json(json_pack("{s:s, s:i}", "unbanned", text, "lifted", 1));
	printf("unbanned %s\n", text);
	return EXIT_DONE;
}

static int unban_origin(const struct context *context, struct instance *instance, const char *origin)
{
	size_t lifted = 0;
	int error = hold_unban_origin(instance, origin, &lifted);

	if (error && error != -ENOENT)
		return fail_kernel(error, "unban");
	if (lifted)
		action_note(&context->places, "unban",
			    json_pack("{s:s, s:I}", "origin", origin, "lifted", (json_int_t)lifted));
	if (context->json)
		return print_json(json_pack("{s:s, s:I}", "origin", origin, "lifted", (json_int_t)lifted));
	printf("lifted %zu %s of %s\n", lifted, plural(lifted, "ban", "bans"), origin);
	return EXIT_DONE;
}

int verb_unban(struct context *context, int argc, char **argv)
{
	const char *value, *origin = NULL;
	struct instance *instance;
	struct prefix prefix;
	int option, status = EXIT_DONE;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option != 'o')
			return EXIT_USAGE;
		origin = value;
	}
	if (origin && argc > optind)
		return fail_usage(context, "give an address or --origin, not both");
	if (!origin)
		status = one_operand(context, argc, argv, "ADDR[/LEN] or --origin", &value);
	if (!status && !origin)
		status = read_prefix(context, value, &prefix);
	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	status = origin ? unban_origin(context, instance, origin) : unban_address(context, instance, &prefix);
	instance_close(instance);
	return status;
}
