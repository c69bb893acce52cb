/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark allow, bulwark disallow: a timed exception from bans, blocks and limits, never from exposure. */
#include <errno.h>
#include <getopt.h>

#include "verb_common.h"

struct exception {
	struct prefix prefix;
	__u64 for_ns;
	const char *reason;
};

static int read_options(const struct context *context, int argc, char **argv, struct exception *exception)
{
	const char *value;
	int option, error = EXIT_DONE;

	while (!error && (option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == 'f')
			error = read_duration(context, "--for", value, &exception->for_ns);
		else if (option == 'r')
			exception->reason = value;
		else
			return EXIT_USAGE;
	}
	if (error)
		return error;
	error = one_operand(context, argc, argv, "ADDR[/LEN]", &value);
	if (error)
		return error;
	if (!exception->for_ns)
		return fail_usage(context, "--for is missing: an exception always ends");
	if (!exception->reason || !*exception->reason)
		return fail_usage(context, "--reason is missing: who finds the exception will want to know why");
	error = read_words(context, "--reason", exception->reason, sizeof(((struct hold_note *)0)->allow_reason));
	return error ? error : read_hold(context, value, &exception->prefix);
}

static int do_allow(const struct context *context, struct instance *instance, const struct exception *exception)
{
	char text[PREFIX_TEXT], name[32], time[32];
	int error = hold_allow(instance, &exception->prefix, exception->for_ns, login_name(name, sizeof(name)),
			       exception->reason);

	if (error)
		return fail_kernel(error, "allow");
	prefix_text(&exception->prefix, text);
	action_note(&context->places, "allow",
		    json_pack("{s:s, s:f, s:s}", "address", text, "for_s", exception->for_ns / 1e9, "reason",
			      exception->reason));
	if (context->json)
		return print_json(json_pack("{s:s, s:f, s:s, s:s}", "allowed", text, "for_s", exception->for_ns / 1e9,
					    "by", name, "reason", exception->reason));
	printf("allowed %s for %s: no ban, block or limit holds for it until then; exposure still does\n", text,
	       duration_text(exception->for_ns, time, sizeof(time)));
	return EXIT_DONE;
}

int verb_allow(struct context *context, int argc, char **argv)
{
	struct exception exception = {};
	struct instance *instance;
	int status = read_options(context, argc, argv, &exception);

	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	status = do_allow(context, instance, &exception);
	instance_close(instance);
	return status;
}

static int do_disallow(const struct context *context, struct instance *instance, const struct prefix *prefix)
{
	int error = hold_disallow(instance, prefix);
	char text[PREFIX_TEXT];

	prefix_text(prefix, text);
	if (error == -ENOENT)
		return fail(EXIT_ANSWER_NO, "disallow: %s has no exception; 'bulwark allows' lists who has", text);
	if (error)
		return fail_kernel(error, "disallow");
	action_note(&context->places, "disallow", json_pack("{s:s}", "address", text));
	if (context->json)
		return print_json(json_pack("{s:s}", "disallowed", text));
	printf("the exception of %s has ended\n", text);
	return EXIT_DONE;
}

int verb_disallow(struct context *context, int argc, char **argv)
{
	struct instance *instance;
	struct prefix prefix;
	const char *operand;
	int status = only_operand(context, argc, argv, &operand);

	if (!status && !operand)
		status = fail_usage(context, "ADDR[/LEN] is missing");
	if (!status)
		status = read_prefix(context, operand, &prefix);
	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	status = do_disallow(context, instance, &prefix);
	instance_close(instance);
	return status;
}
