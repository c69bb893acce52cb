/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* getopt_long() fed from the table of verbs, so that what is parsed and what the usage says cannot differ. */
#include <getopt.h>
#include <string.h>

#include "verbs.h"

#define OPTIONS_MAX 32

static int has_argument(const struct option_line *line)
{
	if (!line->argument)
		return no_argument;
	return *line->argument == '[' ? optional_argument : required_argument;
}

/* The one option that has a letter. */
static bool has_verbose(const struct option_line *line)
{
	for (; line && line->name; line++)
		if (line->code == 'v')
			return true;
	return false;
}

static const char *nearest(const struct option_line *lines, const char *given)
{
	const char *names[OPTIONS_MAX];
	char name[64];
	size_t count = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "="), given);
	for (; lines && lines[count].name && count < OPTIONS_MAX; count++)
		names[count] = lines[count].name;
	return count ? did_you_mean(name, names, count) : NULL;
}

int next_option(const struct context *context, int argc, char **argv, const char **value)
{
	const struct verb *verb = verb_by_name(context->verb);
	const struct option_line *lines = verb ? verb->options : NULL;
	struct option options[OPTIONS_MAX + 1] = {};
	const char *given, *near;
	int code;

	for (size_t i = 0; lines && lines[i].name && i < OPTIONS_MAX; i++)
		options[i] = (struct option){lines[i].name + 2, has_argument(&lines[i]), NULL, lines[i].code};
	opterr = 0;
	code = getopt_long(argc, argv, has_verbose(lines) ? ":v" : ":", options, NULL);
	*value = optarg;
	if (code == -1)
		return OPTIONS_END;
	if (code != '?' && code != ':')
		return code;
	given = argv[optind - 1];
	near = code == '?' ? nearest(lines, given) : NULL;
	if (code == ':')
		fail_usage(context, "%s needs a value", given);
	else if (near)
		fail_usage(context, "'%s' is not an option of it; did you mean '%s'?", given, near);
	else
		fail_usage(context, "'%s' is not an option of it, or takes no value", given);
	return OPTIONS_WRONG;
}
