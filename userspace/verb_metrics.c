/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark metrics: the exposition text, made here and now; what only the daemon knows is as it last saved it. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "exposition.h"
#include "verb_common.h"

int verb_metrics(struct context *context, int argc, char **argv)
{
	enum exposition_format format = EXPOSITION_PROMETHEUS;
	bool names_only = false;
	struct exposition_memory memory = {};
	struct instance *instance = NULL;
	struct daemon_state ledger;
	const char *value;
	char *text = NULL;
	size_t length = 0;
	int option, error, status;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == OPTIONS_WRONG)
			return EXIT_USAGE;
		if (option == 'n')
			names_only = true;
		else
			format = EXPOSITION_OPENMETRICS;
	}
	status = no_operands(context, argc, argv);
	if (status)
		return status;
	if (context->json)
		return fail_usage(context, "metrics are text; --json has no meaning here");
	error = names_only ? -ENOENT : instance_open(&context->places, OPEN_READ, &instance);
	if (error && error != -ENOENT)
		return fail_kernel(error, context->verb);
	while (!error && !holds_count(instance, &memory.census, 100000) && memory.census.under_way)
		continue; /* all of them: the text that follows counts at most a part anew */
	daemon_state_read(&context->places, &ledger);
	text = exposition(&context->places, instance, &ledger, &memory, format, &length);
	instance_close(instance);
	if (!text)
		return fail_kernel(-EIO, context->verb);
	if (fwrite(text, 1, length, stdout) != length || fflush(stdout))
		status = fail(EXIT_SYSTEM, "%s: %s", context->verb, strerror(errno));
	free(text);
	return status;
}
