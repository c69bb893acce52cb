/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark resume: end a pause early. */
#include <errno.h>

#include "verb_common.h"

int verb_resume(struct context *context, int argc, char **argv)
{
	struct instance *instance;
	unsigned generation = 0;
	int status = nothing_but_options(context, argc, argv), error;

	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	error = control_resume(instance);
	if (!error)
		live_generation(instance, &generation);
	instance_close(instance);
	if (error == -ENOENT)
		return fail(EXIT_ANSWER_NO, "resume: the shield is not paused");
	if (error)
		return fail_kernel(error, context->verb);
	history_note(&context->places, "resumed", json_pack("{s:i}", "generation", (int)generation));
	if (context->json)
		return print_json(json_pack("{s:s, s:i}", "result", "resumed", "generation", (int)generation));
	printf("generation %u is in force again\n", generation);
	return EXIT_DONE;
}
