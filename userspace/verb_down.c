/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark down: detach everything, remove every pin, leave the host as found. The histories stay. */
#include <errno.h>
#include <stdlib.h>

#include "saved_bans.h"
#include "settings_kept.h"
#include "verb_common.h"

static int say(const struct context *context, const struct attachment *attachments, size_t count, const char *put_back)
{
	json_t *names = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(names, json_string(attachments[i].name));
	if (context->json)
		return print_json(json_pack("{s:s, s:o, s:s?}", "result", "down", "interfaces", names, "put-back",
					    *put_back ? put_back : NULL));
	printf("down: detached");
	for (size_t i = 0; i < count; i++)
		printf("%s %s", i ? "," : " from", attachments[i].name);
	printf("%s; every pin is removed", count ? "" : " nothing");
	printf(*put_back ? "; %s as before\n" : "%s\n", put_back);
	json_decref(names);
	return EXIT_DONE;
}

int verb_down(struct context *context, int argc, char **argv)
{
	struct attachment *attachments = NULL;
	struct instance *instance;
	char put_back[256];
	size_t count = 0;
	int status = nothing_but_options(context, argc, argv), error;

	if (status)
		return status;
	error = instance_open(&context->places, OPEN_WRITE | OPEN_BROKEN, &instance);
	if (error == -ENOENT)
		return fail(EXIT_DONE, "down: nothing is pinned in %s", context->places.pin_dir);
	if (error)
		return fail_kernel(error, context->verb);
	interfaces_attached(instance, &attachments, &count);
	for (size_t i = 0; i < count; i++)
		interface_detach(instance, attachments[i].name);
	error = instance_down(instance);
	error = sysctls_put_back(&context->places, put_back, sizeof(put_back)) ?: error;
	instance_close(instance);
	if (error)
		status = fail_kernel(error, context->verb);
	else
		history_note(&context->places, "down", NULL);
	if (!error)
		bans_forget(&context->places);
	if (!status)
		status = say(context, attachments, count, put_back);
	free(attachments);
	return status;
}
