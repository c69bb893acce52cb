/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark confirm: keep what was applied with --confirm. */
#include <errno.h>

#include "verb_common.h"

int verb_confirm(struct context *context, int argc, char **argv)
{
	struct control_state before;
	struct instance *instance;
	unsigned generation = 0;
	int status = nothing_but_options(context, argc, argv), error;

	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	error = control_read(instance, &before);
	if (!error && before.active < GENERATION_SLOTS)
		generation = before.slots[before.active].generation;
	if (!error)
		error = control_confirm(instance);
	if (error == -ENOENT)
		status = fail(EXIT_ANSWER_NO, "confirm: nothing waits to be confirmed%s; generation %u is live",
			      before.reverted ? " any more: the kernel went back at the deadline" : "", generation);
	else if (error)
		status = fail_kernel(error, "confirm");
	else
		hooks_leave(instance);
	if (!status)
		history_note(&context->places, "confirmed", json_pack("{s:i}", "generation", (int)generation));
	instance_close(instance);
	if (status)
		return status;
	if (context->json)
		return print_json(json_pack("{s:s, s:i}", "result", "confirmed", "generation", (int)generation));
	printf("generation %u is confirmed\n", generation);
	return EXIT_DONE;
}
