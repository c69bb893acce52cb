/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark ban: refuse an address for a time. The kernel ends it. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "spare.h"
#include "verb_common.h"

#define BAN_DEFAULT_NS (10ULL * 60 * 1000000000)

struct ban {
	struct prefix prefix;
	__u64 for_ns;
	const char *reason, *origin;
	bool force;
};

static int read_options(const struct context *context, int argc, char **argv, struct ban *ban)
{
	const char *value;
	int option, error = EXIT_DONE;

	while (!error && (option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		switch (option) {
		case 'f':
			error = read_duration(context, "--for", value, &ban->for_ns);
			break;
		case 'r':
			ban->reason = value;
			error = read_words(context, "--reason", value, sizeof(((struct hold_note *)0)->ban_reason));
			break;
		case 'o':
			ban->origin = value;
			error = read_words(context, "--origin", value, sizeof(((struct hold_note *)0)->ban_origin));
			break;
		case 'F':
			ban->force = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (error)
		return error;
	error = one_operand(context, argc, argv, "ADDR[/LEN]", &value);
	return error ? error : read_hold(context, value, &ban->prefix);
}

/* The lists of the live policy come from its saved text: the kernel's tables know classes, not whole prefixes. */
static int refuse_harm(const struct context *context, struct instance *instance, const struct ban *ban)
{
	char why[256], text[PREFIX_TEXT];
	struct policy *policy = NULL;
	struct report report = {};
	struct host host;
	unsigned generation;
	bool usable, hit;

	if (!live_generation(instance, &generation) && generation)
		policy = saved_policy(&context->places, generation, &report);
	usable = policy && !report.errors;
	host_read(&host, &report);
	hit = ban_hits(&host, usable ? policy : NULL, &ban->prefix, why, sizeof(why));
	host_free(&host);
	policy_free(policy);
	report_free(&report);
	if (!hit)
		return EXIT_DONE;
	return fail(EXIT_USAGE, "ban: %s would hit %s; refused. To do it all the same, give --force",
		    prefix_text(&ban->prefix, text), why);
}

static int print_ban(const struct context *context, const struct ban *ban)
{
	char text[PREFIX_TEXT], time[32];

	prefix_text(&ban->prefix, text);
	if (context->json)
		return print_json(json_pack("{s:s, s:f, s:s, s:s}", "banned", text, "for_s", ban->for_ns / 1e9,
					    "origin", ban->origin, "reason", ban->reason));
	printf("banned %s for %s\n", text, duration_text(ban->for_ns, time, sizeof(time)));
	return EXIT_DONE;
}

static int do_ban(const struct context *context, struct instance *instance, const struct ban *ban)
{
	int status = ban->force ? EXIT_DONE : refuse_harm(context, instance, ban);
	char text[PREFIX_TEXT];
	int error;

	if (status)
		return status;
	error = hold_ban(instance, &ban->prefix, ban->for_ns, ban->origin, ban->reason);
	if (error)
		return fail_kernel(error, "ban");
	action_note(&context->places, "ban",
		    json_pack("{s:s, s:f, s:s, s:s}", "address", prefix_text(&ban->prefix, text), "for_s",
			      ban->for_ns / 1e9, "origin", ban->origin, "reason", ban->reason));
	return print_ban(context, ban);
}

int verb_ban(struct context *context, int argc, char **argv)
{
	char name[32];
	struct ban ban = {.for_ns = BAN_DEFAULT_NS, .reason = "", .origin = login_name(name, sizeof(name))};
	struct instance *instance;
	int status = read_options(context, argc, argv, &ban);

	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	status = do_ban(context, instance, &ban);
	instance_close(instance);
	return status;
}
