/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark apply --attach: interfaces that the policy in force wants and that lack it; no policy changes. For udev. */
#include "apply.h"

#include <string.h>

#include "output.h"
#include "verb_common.h"
#include "wanted.h"
#include "zones.h"

struct attaching {
	json_t *attached, *refused; /* {"name", "mode"}, {"name", "why"} */
};

static void note_attached(void *arg, const struct attachment *attachment, int error)
{
	struct attaching *attaching = arg;
	char mode[192];

	if (error)
		json_array_append_new(attaching->refused,
				      json_pack("{s:s, s:s}", "name", attachment->name, "why", kernel_words()));
	else
		json_array_append_new(attaching->attached, json_pack("{s:s, s:s}", "name", attachment->name, "mode",
								     mode_text(attachment, mode, sizeof(mode))));
}

static int say_attached(const struct context *context, const struct attaching *attaching)
{
	int status = EXIT_DONE;
	json_t *one;
	size_t i;

	if (context->json)
		print_json(json_pack("{s:O, s:O}", "attached", attaching->attached, "refused", attaching->refused));
	else if (!json_array_size(attaching->attached) && !json_array_size(attaching->refused))
		printf("every interface that the policy in force wants, and that is there, has it\n");
	else
		json_array_foreach(attaching->attached, i, one)
			printf("%s attached (%s)\n", json_string_value(json_object_get(one, "name")),
			       json_string_value(json_object_get(one, "mode")));
	json_array_foreach(attaching->refused, i, one) status =
		fail(EXIT_SYSTEM, "apply: %s", json_string_value(json_object_get(one, "why")));
	return status;
}

int apply_attach(struct context *context)
{
	struct attaching attaching = {json_array(), json_array()};
	struct instance *instance = NULL;
	struct host host = {};
	unsigned generation = 0;
	int status = open_instance(context, OPEN_READ, &instance), error = 0;

	if (status) {
		json_decref(attaching.attached);
		json_decref(attaching.refused);
		return status;
	}
	error = live_generation(instance, &generation);
	if (!error && !generation)
		status = fail(EXIT_ANSWER_NO, "apply: no policy is in force; bulwark apply FILE");
	if (!error && !status) {
		error = host_read_links(&host);
		if (error)
			kernel_say("the links of this host could not be read: %s", strerror(-error));
		else
			instance_know_host(instance, &host);
	}
	if (!error && !status)
		error = zones_renew(instance, &context->places, &host);
	if (!error && !status)
		error = wanted_attach(instance, &context->places, &host, note_attached, &attaching);
	if (error)
		status = fail_kernel(error, context->verb);
	else if (!status)
		status = say_attached(context, &attaching);
	json_decref(attaching.attached);
	json_decref(attaching.refused);
	host_free(&host);
	instance_close(instance);
	return status;
}
