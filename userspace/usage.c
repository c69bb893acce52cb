/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Usage, help and completion, made from the table of verbs. */
#include <string.h>

#include "usage.h"

#define VERBS_MAX 64

const struct option_line global_options[] = {
	{"--json", NULL, "print JSON", 'j'},
	{"--pin-dir", "DIR", "where the kernel's side is pinned (BULWARK_PIN_DIR, /sys/fs/bpf/bulwark)", 'p'},
	{"--state-dir", "DIR", "saved policies and history (BULWARK_STATE_DIR, /var/lib/bulwark)", 's'},
	{"--help", NULL, "this text; after a verb, how to use it", 'h'},
	{},
};

/* Words of the product that come with later versions: refused plainly, never ignored. */
static const char *const later[] = {"capture", "exposure", "draft", "verify", "isolate", "bugreport"};

static void print_options(const struct option_line *lines, FILE *out)
{
	char text[64];

	for (; lines && lines->name; lines++) {
		if (!lines->argument)
			snprintf(text, sizeof(text), "%s", lines->name);
		else if (*lines->argument == '[')
			snprintf(text, sizeof(text), "%s[=%s", lines->name, lines->argument + 1);
		else
			snprintf(text, sizeof(text), "%s %s", lines->name, lines->argument);
		fprintf(out, "  %-20s %s\n", text, lines->help);
	}
}

void usage_all(FILE *out)
{
	fputs("usage: bulwark [OPTION...] VERB [ARGUMENT...]     without a verb: bulwark status\n\n", out);
	for (const struct verb *verb = verbs; verb->name; verb++)
		fprintf(out, "  %-20s %s\n", verb->name, verb->help);
	fputs("\nOptions, before or after the verb:\n", out);
	print_options(global_options, out);
	fputs("\nExit status: 0 done; 1 the answer is no; 2 usage or policy error; 3 the kernel or the system "
	      "refused.\n"
	      "More about a verb: bulwark help VERB\n",
	      out);
}

void usage_verb(const struct verb *verb, FILE *out)
{
	fprintf(out, "usage: bulwark %s %s%s\n\n%s.\n", verb->name, verb->arguments,
		verb->options ? " [OPTION...]" : "", verb->help);
	if (verb->options)
		fputc('\n', out);
	print_options(verb->options, out);
}

int fail_verb(const char *name)
{
	const char *names[VERBS_MAX], *near;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
		if (!strcmp(name, later[i]))
			return fail(EXIT_USAGE, "'%s' is not part of this version; 'bulwark help' lists what is", name);
	for (const struct verb *verb = verbs; verb->name && count < VERBS_MAX; verb++)
		names[count++] = verb->name;
	near = did_you_mean(name, names, count);
	if (near)
		return fail(EXIT_USAGE, "'%s' is not a verb; did you mean '%s'?", name, near);
	return fail(EXIT_USAGE, "'%s' is not a verb; 'bulwark help' lists them", name);
}

int verb_help(struct context *context, int argc, char **argv)
{
	const struct verb *verb;

	(void)context;
	if (argc < 2) {
		usage_all(stdout);
		return EXIT_DONE;
	}
	verb = verb_by_name(argv[1]);
	if (!verb)
		return fail_verb(argv[1]);
	usage_verb(verb, stdout);
	return EXIT_DONE;
}

static void completion_words(const struct option_line *lines)
{
	for (; lines && lines->name; lines++)
		printf(" %s%s", lines->name, lines->argument && *lines->argument == '[' ? "=" : "");
}

/* Which options take a file or an interface, by the word that stands for their argument. */
static void completion_arguments(const char *argument, const char *action)
{
	const char *separator = "";

	for (const struct verb *verb = verbs; verb->name; verb++) {
		for (const struct option_line *line = verb->options; line && line->name; line++) {
			if (!line->argument || strcmp(line->argument, argument))
				continue;
			printf("%s%s:%s", separator, verb->name, line->name);
			separator = "|";
		}
	}
	if (*separator)
		printf(") %s; return ;;\n\t", action);
}

int verb_completion(struct context *context, int argc, char **argv)
{
	(void)context;
	(void)argc;
	(void)argv;
	puts("# bash completion for bulwark; made by 'bulwark completion' from its table of verbs\n"
	     "_bulwark()\n{\n"
	     "\tlocal word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= options= i\n"
	     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in\n"
	     "\t\t--pin-dir | --state-dir) ((i++)) ;;\n"
	     "\t\t-*) ;;\n"
	     "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n"
	     "\t\tesac\n\tdone");
	printf("\tcase $verb:$previous in\n"
	       "\t*:--pin-dir|*:--state-dir) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n\t");
	completion_arguments("FILE", "COMPREPLY=($(compgen -f -- \"$word\"))");
	completion_arguments("IF", "COMPREPLY=($(compgen -W \"$(ls /sys/class/net)\" -- \"$word\"))");
	printf("esac\n\tcase $verb in\n\t'') options='");
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("%s%s", verb == verbs ? "" : " ", verb->name);
	puts("' ;;");
	for (const struct verb *verb = verbs; verb->name; verb++) {
		printf("\t%s) options='", verb->name);
		completion_words(verb->options);
		puts("' ;;");
	}
	printf("\tesac\n\toptions+='");
	completion_words(global_options);
	puts("'\n"
	     "\tcase $verb:$word in\n"
	     "\t*:-* | :*) ;;\n"
	     "\tcheck:* | apply:* | diff:*) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
	     "\tdoctor:*) COMPREPLY=($(compgen -W \"$(ls /sys/class/net)\" -- \"$word\")); return ;;\n"
	     "\tesac\n"
	     "\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
	     "\t[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace\n"
	     "}\n"
	     "complete -F _bulwark bulwark");
	return EXIT_DONE;
}
