/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Errors: on standard error, one line first. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verbs.h"

static char last_words[512];

const char *fail_words(void)
{
	return last_words;
}

static void say(const char *format, va_list arguments)
{
	va_list copy;

	va_copy(copy, arguments);
	vsnprintf(last_words, sizeof(last_words), format, copy);
	va_end(copy);
	fflush(stdout); /* what was printed before the failure stands before it */
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int fail(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	return status;
}

int fail_kernel(int error, const char *what)
{
	const char *words = kernel_words();

	return fail(EXIT_SYSTEM, "%s: %s", what, words && *words ? words : strerror(error < 0 ? -error : error));
}

int fail_usage(const struct context *context, const char *format, ...)
{
	const struct verb *verb = verb_by_name(context->verb);
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fail(EXIT_USAGE, "%s: %s", context->verb, text);
	if (verb)
		fprintf(stderr, "usage: bulwark %s %s\nMore: bulwark help %s\n", verb->name, verb->arguments,
			verb->name);
	return EXIT_USAGE;
}
