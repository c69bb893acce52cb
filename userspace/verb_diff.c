/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark diff: what would change between the live policy and a file. */
#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "policy_diff.h"
#include "verb_common.h"

static struct policy *read_candidate(const char *path, struct report *report)
{
	struct policy *policy = policy_read(path, report);

	if (policy)
		policy_check(policy, report);
	return policy;
}

static const json_t *described_list(const json_t *description, const char *name)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(description, "lists"), i, entry)
	{
		const char *known = json_string_value(json_object_get(entry, "name"));

		if (known && !strcmp(known, name))
			return entry;
	}
	return NULL;
}

static long long count_of(const json_t *list, const char *key)
{
	return json_integer_value(json_object_get(list, key));
}

/* The same feed path may hold other prefixes today: both sides as they are after cutting. */
static void diff_feeds(const json_t *description, const struct image *image, json_t *differences)
{
	char what[160];

	for (size_t i = 0; i < image->list_count; i++) {
		const struct image_list *list = &image->lists[i];
		const json_t *live = list->feed ? described_list(description, list->name) : NULL;
		long long v4 = count_of(live, "v4"), v6 = count_of(live, "v6");

		if (!live || (v4 == (long long)list->v4 && v6 == (long long)list->v6))
			continue;
		snprintf(what, sizeof(what), "list %s", list->name);
		diff_add(differences, "changed", what,
			 "the feed now has %zu IPv4 and %zu IPv6 prefixes, not %lld and %lld", list->v4, list->v6, v4,
			 v6);
	}
}

static int print_differences(const struct context *context, json_t *differences)
{
	size_t count = json_array_size(differences), i;
	json_t *entry;

	if (context->json) {
		int status = print_json(json_pack("{s:b, s:O}", "different", count > 0, "differences", differences));

		return status ? status : count ? EXIT_ANSWER_NO : EXIT_DONE;
	}
	if (!count)
		puts("no difference");
	json_array_foreach(differences, i, entry)
	{
		const char *change = json_string_value(json_object_get(entry, "change"));

		printf("%c %s: %s\n",
		       *change == 'a'	? '+'
		       : *change == 'r' ? '-'
					: '~',
		       json_string_value(json_object_get(entry, "what")),
		       json_string_value(json_object_get(entry, "text")));
	}
	return count ? EXIT_ANSWER_NO : EXIT_DONE;
}

static int compare(const struct context *context, const struct live *live, const struct policy *candidate,
		   struct report *report)
{
	char *old = policy_print(live->policy), *new = policy_print(candidate);
	json_t *differences = old && new ? policy_diff(old, new) : NULL;
	struct image image = {};
	struct host host;
	int status;

	free(old);
	free(new);
	if (!differences)
		return fail(EXIT_SYSTEM, "diff: the policies cannot be compared: out of memory");
	host_read(&host, report);
	if (image_compile(candidate, &host, &image, report)) {
		json_decref(differences);
		host_free(&host);
		return EXIT_USAGE;
	}
	diff_feeds(live->description, &image, differences);
	status = print_differences(context, differences);
	json_decref(differences);
	image_free(&image);
	host_free(&host);
	return status;
}

int verb_diff(struct context *context, int argc, char **argv)
{
	struct report report = {};
	struct policy *candidate;
	const char *path;
	struct live live = {};
	int status = only_operand(context, argc, argv, &path);

	if (!status && !path)
		status = fail_usage(context, "FILE is missing");
	if (status)
		return status;
	candidate = read_candidate(path, &report);
	status = candidate && !report.errors ? live_open(context, &live) : EXIT_USAGE;
	if (!status)
		status = compare(context, &live, candidate, &report);
	report_print(&report, stderr);
	report_free(&report);
	live_close(&live);
	policy_free(candidate);
	return status;
}
