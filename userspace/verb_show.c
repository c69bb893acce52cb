/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark show: the live policy, resolved. */
#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "verb_common.h"

static const struct column interface_columns[] = {
	{"name", "INTERFACE", false, NULL},  {"xdp", "INBOUND", false, NULL}, {"mode", "MODE", false, NULL},
	{"egress", "OUTBOUND", false, NULL}, {"note", "NOTE", false, NULL},   {},
};

static const struct column list_columns[] = {
	{"name", "LIST", false, NULL},
	{"v4", "IPv4", true, NULL},
	{"v6", "IPv6", true, NULL},
	{"cut", "CUT OUT", true, NULL},
	{"used_for", "USED FOR", false, NULL},
	{"feed", "FEED", false, NULL},
	{},
};

static json_t *interfaces_of(const struct live *live)
{
	struct attachment *attachments = NULL;
	json_t *interfaces = json_array();
	size_t count = 0;

	if (interfaces_attached(live->instance, &attachments, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct attachment *at = &attachments[i];
		const char *note = *at->trouble ? at->trouble : at->why_generic;

		json_array_append_new(interfaces, json_pack("{s:s, s:b, s:s, s:b, s:s?}", "name", at->name, "xdp",
							    at->xdp, "mode", at->native ? "native" : "generic",
							    "egress", at->egress, "note", *note ? note : NULL));
	}
	free(attachments);
	return interfaces;
}

static json_t *lists_of(const struct live *live)
{
	json_t *lists = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(live->description, "lists"), i, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));
		json_t *list = json_deep_copy(entry);

		json_object_set_new(list, "used_for", live_roles(live->policy, name ? name : ""));
		json_array_append_new(lists, list);
	}
	return lists;
}

static void print_head(const struct live *live, const json_t *answer)
{
	char time[32], hash[16];
	const char *user = json_string_value(json_object_get(live->description, "user"));

	snprintf(hash, sizeof(hash), "%02x%02x%02x%02x%02x%02x", live->info.policy_hash[0], live->info.policy_hash[1],
		 live->info.policy_hash[2], live->info.policy_hash[3], live->info.policy_hash[4],
		 live->info.policy_hash[5]);
	printf("generation %u, %s, hash %s, live since %s%s%s%s\n\n", live->generation, live->info.policy_path, hash,
	       text_time(json_object_get(answer, "loaded_at"), time, sizeof(time)), user ? ", by " : "",
	       user ? user : "", live->info.flags & SLOT_FLAG_MONITOR ? "; it only monitors" : "");
}

static int print_people(const struct live *live, const json_t *answer)
{
	int status;

	print_head(live, answer);
	fflush(stdout);
	status = print_table(json_object_get(answer, "interfaces"), interface_columns);
	if (!status && json_array_size(json_object_get(answer, "lists"))) {
		putchar('\n');
		status = print_table(json_object_get(answer, "lists"), list_columns);
	}
	if (!status)
		printf("\n%s", json_string_value(json_object_get(answer, "policy")));
	return status;
}

static int show(const struct context *context, const struct live *live)
{
	char *text = policy_print(live->policy), hash[65];
	json_t *answer;
	int status;

	for (size_t i = 0; i < sizeof(live->info.policy_hash); i++)
		snprintf(hash + 2 * i, 3, "%02x", live->info.policy_hash[i]);
	answer = json_pack("{s:I, s:s, s:s, s:I, s:b, s:o, s:o, s:O?, s:O?, s:s?}", "generation",
			   (json_int_t)live->generation, "policy_path", live->info.policy_path, "hash", hash,
			   "loaded_at", (json_int_t)live->info.loaded_at, "monitor",
			   !!(live->info.flags & SLOT_FLAG_MONITOR), "interfaces", interfaces_of(live), "lists",
			   lists_of(live), "services", json_object_get(live->description, "services"), "rules",
			   json_object_get(live->description, "rules"), "policy", text);
	free(text);
	if (!answer)
		return fail(EXIT_SYSTEM, "show: the live policy cannot be printed");
	if (context->json)
		return print_json(answer);
	status = print_people(live, answer);
	json_decref(answer);
	return status;
}

int verb_show(struct context *context, int argc, char **argv)
{
	struct live live;
	int status = nothing_but_options(context, argc, argv);

	if (!status)
		status = live_open(context, &live);
	if (status)
		return status;
	status = show(context, &live);
	live_close(&live);
	return status;
}
