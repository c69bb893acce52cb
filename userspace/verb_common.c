/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Steps that several verbs begin with. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "verb_common.h"

#define DURATION_MAX_NS (3650ULL * 86400 * 1000000000)

int only_operand(const struct context *context, int argc, char **argv, const char **operand)
{
	const char *value;

	if (next_option(context, argc, argv, &value) != OPTIONS_END)
		return EXIT_USAGE;
	if (argc - optind > 1)
		return fail_usage(context, "'%s' is one argument too many", argv[optind + 1]);
	*operand = argc > optind ? argv[optind] : NULL;
	return EXIT_DONE;
}

int nothing_but_options(const struct context *context, int argc, char **argv)
{
	const char *value;

	if (next_option(context, argc, argv, &value) != OPTIONS_END)
		return EXIT_USAGE;
	return no_operands(context, argc, argv);
}

int one_operand(const struct context *context, int argc, char **argv, const char *what, const char **operand)
{
	if (argc == optind)
		return fail_usage(context, "%s is missing", what);
	if (argc - optind > 1)
		return fail_usage(context, "'%s' is one argument too many", argv[optind + 1]);
	*operand = argv[optind];
	return EXIT_DONE;
}

int no_operands(const struct context *context, int argc, char **argv)
{
	if (argc > optind)
		return fail_usage(context, "'%s' is one argument too many", argv[optind]);
	return EXIT_DONE;
}

int read_words(const struct context *context, const char *option, const char *text, size_t size)
{
	json_t *valid = json_string(text);

	if (!valid)
		return fail(EXIT_USAGE, "%s: %s is not valid UTF-8", context->verb, option);
	json_decref(valid);
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return fail(EXIT_USAGE, "%s: %s holds a control character", context->verb, option);
	if (strlen(text) >= size)
		return fail(EXIT_USAGE, "%s: %s '%s' is longer than %zu bytes", context->verb, option, text, size - 1);
	return EXIT_DONE;
}

int read_prefix(const struct context *context, const char *text, struct prefix *prefix)
{
	char cleared[PREFIX_TEXT];

	switch (prefix_parse(text, prefix)) {
	case 0:
		return EXIT_DONE;
	case -EDOM:
		return fail(EXIT_USAGE, "%s: '%s' has host bits set; did you mean %s?", context->verb, text,
			    prefix_text(prefix, cleared));
	case -ERANGE:
		return fail(EXIT_USAGE, "%s: '%s': a prefix length is 0 to 32 for IPv4, 0 to 128 for IPv6",
			    context->verb, text);
	default:
		return fail(EXIT_USAGE, "%s: '%s' is not an IPv4 or IPv6 address or prefix", context->verb, text);
	}
}

bool prefixes_meet(const struct prefix *one, const struct prefix *other)
{
	unsigned bits = one->length < other->length ? one->length : other->length;
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(one->address, other->address, bytes))
		return false;
	return !rest || !((one->address[bytes] ^ other->address[bytes]) >> (8 - rest));
}

int read_hold(const struct context *context, const char *text, struct prefix *prefix)
{
	static const struct prefix every_v4 = {.address = {[10] = 0xff, [11] = 0xff}, .length = 96};
	int status = read_prefix(context, text, prefix);

	if (!status && prefix->length <= every_v4.length && prefixes_meet(prefix, &every_v4))
		return fail(EXIT_USAGE, "%s: '%s' is everybody: that is for the policy, or for 'bulwark pause'",
			    context->verb, text);
	return status;
}

int read_duration(const struct context *context, const char *option, const char *text, __u64 *ns)
{
	if (duration_parse(text, ns) || !*ns)
		return fail(EXIT_USAGE, "%s: %s '%s' is not a time; write 90s, 10m, 1h or 7d", context->verb, option,
			    text);
	if (*ns > DURATION_MAX_NS)
		return fail(EXIT_USAGE,
			    "%s: %s '%s' is more than ten years; what is meant for good belongs into the policy",
			    context->verb, option, text);
	return EXIT_DONE;
}

int open_instance(const struct context *context, unsigned how, struct instance **instance)
{
	int error = instance_open(&context->places, how, instance);

	return error ? fail_kernel(error, context->verb) : EXIT_DONE;
}

int live_generation(struct instance *instance, unsigned *generation)
{
	struct control_state state;
	int error = control_read(instance, &state);
	__u32 slot;

	*generation = 0;
	if (error)
		return error;
	slot = state.active == SLOT_PAUSED ? state.fallback : state.active;
	if (slot < GENERATION_SLOTS)
		*generation = state.slots[slot].generation;
	return 0;
}

double boottime_to_epoch(__u64 ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9 - ((double)boottime_ns() - (double)ns) / 1e9;
}
