/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark: the controller. Global options, then a verb from the table. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "remote.h"
#include "settings.h"
#include "usage.h"

struct command_line {
	char **words; /* what is left for the verb: its name, options, operands */
	int count;
	bool help;
};

/* Whether this word of the verb's is an option that takes the next word as its value. */
static bool takes_next(const struct command_line *line, const char *word)
{
	const struct verb *verb = line->count ? verb_by_name(line->words[0]) : NULL;

	for (const struct option_line *option = verb ? verb->options : NULL; option && option->name; option++)
		if (!strcmp(option->name, word))
			return option->argument && *option->argument != '[';
	return false;
}

/* A directory option at argv[*i], as "--option VALUE" or "--option=VALUE". Returns false when it is another word. */
static bool is_directory(const char *option, int argc, char **argv, int *i, const char **value)
{
	size_t length = strlen(option);

	if (strncmp(argv[*i], option, length) || (argv[*i][length] && argv[*i][length] != '='))
		return false;
	if (argv[*i][length])
		*value = argv[*i] + length + 1;
	else
		*value = *i + 1 < argc ? argv[++*i] : NULL;
	return true;
}

/* Takes the global options out, wherever they stand; the rest is the verb's. */
static int split(struct context *context, int argc, char **argv, struct command_line *line)
{
	const char *value = NULL;
	int error = EXIT_DONE, i;

	for (i = 1; i < argc && !error; i++) {
		if (!strcmp(argv[i], "--"))
			break;
		if (!strcmp(argv[i], "--json"))
			context->json = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			line->help = true;
		else if (is_directory("--pin-dir", argc, argv, &i, &value))
			error = place_set(context->places.pin_dir, sizeof(context->places.pin_dir), "--pin-dir", value);
		else if (is_directory("--state-dir", argc, argv, &i, &value))
			error = place_set(context->places.state_dir, sizeof(context->places.state_dir), "--state-dir",
					  value);
		else if (!line->count && *argv[i] == '-')
			error = fail(EXIT_USAGE, "'%s' is not an option; 'bulwark help' lists them", argv[i]);
		else {
			bool next = takes_next(line, argv[i]);

			line->words[line->count++] = argv[i];
			if (next && i + 1 < argc)
				line->words[line->count++] = argv[++i];
		}
	}
	for (; i < argc && !error; i++)
		line->words[line->count++] = argv[i];
	return error;
}

static int run(struct context *context, struct command_line *line)
{
	static char status[] = "status";
	const struct verb *verb;

	if (!line->count && line->help) {
		usage_all(stdout);
		return EXIT_DONE;
	}
	if (!line->count)
		line->words[line->count++] = status;
	verb = verb_by_name(line->words[0]);
	if (!verb)
		return fail_verb(line->words[0]);
	if (line->help) {
		usage_verb(verb, stdout);
		return EXIT_DONE;
	}
	context->verb = verb->name;
	optind = 0; /* glibc: start afresh */
	return verb->run(context, line->count, line->words);
}

int main(int argc, char **argv)
{
	struct command_line line = {.words = calloc(argc + 2, sizeof(*line.words))};
	struct context context = {};
	int status;

	if (!line.words)
		return fail(EXIT_SYSTEM, "%s", strerror(ENOMEM));
	status = places_from_environment(&context.places);
	if (!status)
		status = split(&context, argc, argv, &line);
	remote_use(context.places.state_dir);
	if (!status)
		status = run(&context, &line);
	free(line.words);
	if (fflush(stdout) && !status)
		status = fail(EXIT_SYSTEM, "standard output: %s", strerror(errno));
	return status;
}
