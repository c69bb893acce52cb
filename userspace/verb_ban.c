/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark ban: refuse an address for a time. The kernel ends it. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "spare.h"
#include "verb_common.h"

#define BAN_DEFAULT_NS (10ULL * 60 * 1000000000)

struct ban {
	struct prefix prefix; /* without a file */
	const char *file;
	struct prefix *prefixes; /* of the file: sorted, no two alike */
	size_t count, wrong;
	__u64 for_ns;
	const char *reason, *origin;
	bool force;
	enum ban_reach reach;
};

/* ---- a file of many ---- */

#define LINES_MAX (HOLDS_MAX * 2ULL)
#define WRONG_TOLD 10

static int add(struct ban *ban, const struct prefix *prefix)
{
	struct prefix *larger = ban->prefixes;

	if (!(ban->count & (ban->count - 1))) /* full at every power of two */
		larger = reallocarray(larger, ban->count ? ban->count * 2 : 1, sizeof(*larger));
	if (!larger)
		return fail(EXIT_SYSTEM, "ban: out of memory");
	ban->prefixes = larger;
	ban->prefixes[ban->count++] = *prefix;
	return EXIT_DONE;
}

/* The address at the start of a line; what follows a blank, # or ; is somebody's comment. */
static int take_line(const struct context *context, struct ban *ban, char *line, size_t number)
{
	char *text = line + strspn(line, " \t\r\n");
	struct prefix prefix;

	text[strcspn(text, " \t\r\n#;,")] = '\0';
	if (!*text)
		return EXIT_DONE;
	if (read_hold(context, text, &prefix)) {
		fprintf(stderr, "  in line %zu of %s\n", number, ban->file);
		return ++ban->wrong < WRONG_TOLD ? EXIT_DONE
						 : fail(EXIT_USAGE, "ban: and no more of %s was read", ban->file);
	}
	return add(ban, &prefix);
}

static void sort_unique(struct ban *ban)
{
	size_t kept = 0;

	if (ban->count)
		qsort(ban->prefixes, ban->count, sizeof(*ban->prefixes), prefix_order);
	for (size_t i = 0; i < ban->count; i++)
		if (!kept || prefix_order(&ban->prefixes[kept - 1], &ban->prefixes[i]))
			ban->prefixes[kept++] = ban->prefixes[i];
	ban->count = kept;
}

static int read_file(const struct context *context, struct ban *ban)
{
	FILE *file = strcmp(ban->file, "-") ? fopen(ban->file, "re") : stdin;
	size_t size = 0, number = 0;
	int status = EXIT_DONE;
	char *line = NULL;

	if (!file)
		return fail(EXIT_USAGE, "ban: %s: %s", ban->file, strerror(errno));
	while (!status && getline(&line, &size, file) >= 0) {
		if (++number > LINES_MAX)
			status = fail(EXIT_USAGE, "ban: %s has more than %llu lines", ban->file, LINES_MAX);
		else
			status = take_line(context, ban, line, number);
	}
	if (!status && ferror(file))
		status = fail(EXIT_SYSTEM, "ban: %s: %s", ban->file, strerror(errno));
	free(line);
	if (file != stdin)
		fclose(file);
	if (!status && ban->wrong)
		status = fail(EXIT_USAGE, "ban: nothing of %s was banned", ban->file);
	sort_unique(ban);
	if (!status && !ban->count)
		status = fail(EXIT_USAGE, "ban: %s holds no address", ban->file);
	return status;
}

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
		case 'i':
			ban->file = value;
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
	if (ban->file)
		return no_operands(context, argc, argv) ? EXIT_USAGE : read_file(context, ban);
	error = one_operand(context, argc, argv, "ADDR[/LEN] or --file", &value);
	return error ? error : read_hold(context, value, &ban->prefix);
}

/* The lists of the live policy come from its saved text: the kernel's tables know classes, not whole prefixes. NULL
 * where there is none, or none that can be read. */
static struct policy *live_policy(const struct context *context, struct instance *instance)
{
	struct policy *policy = NULL;
	struct report report = {};
	unsigned generation = 0;

	if (!live_generation(instance, &generation) && generation)
		policy = saved_policy(&context->places, generation, &report);
	if (report.errors) {
		policy_free(policy);
		policy = NULL;
	}
	report_free(&report);
	if (generation && !policy)
		fprintf(stderr,
			"%s: warning: ban: the saved policy of generation %u cannot be read from %s: whether its "
			"trusted "
			"and never-ban lists forbid this is not known\n",
			program_invocation_short_name, generation, context->places.state_dir);
	return policy;
}

static int refuse_harm(const struct policy *policy, const struct ban *ban, const struct prefix *prefixes, size_t count)
{
	char why[256], text[PREFIX_TEXT];
	struct report report = {};
	struct host host;
	bool hit;

	host_read_spared(&host, &report);
	hit = ban_hits(&host, policy, prefixes, count, why, sizeof(why));
	host_free(&host);
	report_free(&report);
	if (!hit)
		return EXIT_DONE;
	return fail(EXIT_USAGE, "ban: %s would hit %s; refused. To do it all the same, give --force",
		    ban->file ? ban->file : prefix_text(&ban->prefix, text), why);
}

/* Whether the ban may be, and whom it can meet. */
static int look_before(const struct context *context, struct instance *instance, struct ban *ban)
{
	const struct prefix *prefixes = ban->file ? ban->prefixes : &ban->prefix;
	struct policy *policy = live_policy(context, instance);
	size_t count = ban->file ? ban->count : 1;
	int status = ban->force ? EXIT_DONE : refuse_harm(policy, ban, prefixes, count);

	ban->reach = ban_reach(policy, prefixes, count);
	policy_free(policy);
	return status;
}

/* Whom it meets, for machines: NULL where nobody stands behind a proxy. */
static const char *reach_word(const struct ban *ban)
{
	static const char *const words[] = {[BAN_REACHES_DIRECT] = "direct", [BAN_REACHES_NOBODY] = "nobody"};

	return words[ban->reach];
}

/* Clients of a proxy come with its address: whom a ban of theirs does not meet must not be taken for banned. */
static void say_reach(const struct ban *ban)
{
	if (ban->reach == BAN_REACHES_NOBODY)
		fprintf(stderr,
			"%s: warning: ban: every service is for others, and clients behind the policy's proxies come "
			"with the proxy's address: this matches nothing at this layer; refuse them at the proxy or in "
			"the application\n",
			program_invocation_short_name);
	else if (ban->reach == BAN_REACHES_DIRECT)
		fprintf(stderr,
			"%s: note: ban: clients behind the policy's proxies come with the proxy's address: only what "
			"comes here directly is refused\n",
			program_invocation_short_name);
}

static int print_ban(const struct context *context, const struct ban *ban)
{
	char text[PREFIX_TEXT], time[32];

	prefix_text(&ban->prefix, text);
	if (context->json)
		return print_json(json_pack("{s:s, s:f, s:s, s:s, s:s*}", "banned", text, "for_s", ban->for_ns / 1e9,
					    "origin", ban->origin, "reason", ban->reason, "reaches", reach_word(ban)));
	printf("banned %s for %s\n", text, duration_text(ban->for_ns, time, sizeof(time)));
	return EXIT_DONE;
}

static int do_ban(const struct context *context, struct instance *instance, struct ban *ban)
{
	int status = look_before(context, instance, ban);
	char text[PREFIX_TEXT];
	int error;

	if (status)
		return status;
	error = hold_ban(instance, &ban->prefix, ban->for_ns, ban->origin, ban->reason);
	if (error)
		return fail_kernel(error, "ban");
	say_reach(ban);
	action_note(&context->places, "ban",
		    json_pack("{s:s, s:f, s:s, s:s, s:s*}", "address", prefix_text(&ban->prefix, text), "for_s",
			      ban->for_ns / 1e9, "origin", ban->origin, "reason", ban->reason, "reaches",
			      reach_word(ban)));
	return print_ban(context, ban);
}

static int do_bans(const struct context *context, struct instance *instance, struct ban *ban)
{
	int status = look_before(context, instance, ban);
	char time[32];
	int error;

	if (status)
		return status;
	error = holds_ban(instance, ban->prefixes, ban->count, ban->for_ns, ban->origin, ban->reason);
	if (error)
		return fail_kernel(error, "ban");
	say_reach(ban);
	action_note(&context->places, "ban",
		    json_pack("{s:I, s:f, s:s, s:s, s:s*}", "count", (json_int_t)ban->count, "for_s", ban->for_ns / 1e9,
			      "origin", ban->origin, "reason", ban->reason, "reaches", reach_word(ban)));
	if (context->json)
		return print_json(json_pack("{s:I, s:f, s:s, s:s, s:s*}", "count", (json_int_t)ban->count, "for_s",
					    ban->for_ns / 1e9, "origin", ban->origin, "reason", ban->reason, "reaches",
					    reach_word(ban)));
	printf("banned %zu %s for %s\n", ban->count, plural(ban->count, "address or prefix", "addresses and prefixes"),
	       duration_text(ban->for_ns, time, sizeof(time)));
	return EXIT_DONE;
}

int verb_ban(struct context *context, int argc, char **argv)
{
	char name[32];
	struct ban ban = {.for_ns = BAN_DEFAULT_NS, .reason = "", .origin = login_name(name, sizeof(name))};
	struct instance *instance;
	int status = read_options(context, argc, argv, &ban);

	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (!status) {
		status = ban.file ? do_bans(context, instance, &ban) : do_ban(context, instance, &ban);
		instance_close(instance);
	}
	free(ban.prefixes);
	return status;
}
