/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark fetch: brings the copies of feeds from the web up to date; bulwarkd runs it, a person may. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "fetch.h"
#include "live.h"
#include "remote.h"
#include "url.h"
#include "verb_common.h"

static json_t *fetched_json(const struct list *list, const struct fetched *fetched)
{
	bool refused = fetched->outcome == FETCH_REFUSED;

	return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:f}", "list", list->name, "feed", list->feed, "outcome",
			 fetch_outcomes[fetched->outcome], "why", refused ? json_string(fetched->why) : json_null(),
			 "prefixes", (json_int_t)fetched->prefixes, "bytes", (json_int_t)fetched->bytes, "took_s",
			 fetched->took_s);
}

static void print_fetched(const struct list *list, const struct fetched *fetched)
{
	switch (fetched->outcome) {
	case FETCH_NEW:
		printf("%s: %llu prefixes from %s in %.1f s; bulwarkd applies it, or bulwark apply --renew\n",
		       list->name, fetched->prefixes, list->feed, fetched->took_s);
		return;
	case FETCH_SAME:
		printf("%s: nothing new at %s\n", list->name, list->feed);
		return;
	case FETCH_REFUSED:
		fail(EXIT_ANSWER_NO, "fetch: %s: %s: %s; the last good one stays", list->name, list->feed,
		     fetched->why);
	}
}

static const struct list *named(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->list_count; i++)
		if (policy->lists[i].feed && is_url(policy->lists[i].feed) && !strcmp(policy->lists[i].name, name))
			return &policy->lists[i];
	return NULL;
}

static bool is_asked(char **names, const char *name)
{
	for (char **one = names; *one; one++)
		if (!strcmp(*one, name))
			return true;
	return !*names;
}

static int fetch_lists(const struct context *context, const struct policy *policy, char **names, bool force)
{
	json_t *told = json_array();
	int status = EXIT_DONE;

	for (char **name = names; *name; name++)
		if (!named(policy, *name))
			status = fail(EXIT_USAGE,
				      "fetch: the policy in force has no list '%s' with a feed from https://", *name);
	for (size_t i = 0; i < policy->list_count && status != EXIT_USAGE; i++) {
		const struct list *list = &policy->lists[i];
		struct fetched fetched;

		if (!list->feed || !is_url(list->feed) || !list_is_used(policy, (unsigned)i) ||
		    !is_asked(names, list->name))
			continue;
		feed_fetch(list, force, &fetched);
		if (fetched.outcome == FETCH_REFUSED)
			status = EXIT_ANSWER_NO;
		if (context->json)
			json_array_append_new(told, fetched_json(list, &fetched));
		else
			print_fetched(list, &fetched);
	}
	if (context->json && status != EXIT_USAGE)
		return print_json(told) ?: status;
	json_decref(told);
	return status;
}

int verb_fetch(struct context *context, int argc, char **argv)
{
	struct live live;
	const char *value;
	bool force = false;
	int option, status;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == OPTIONS_WRONG)
			return EXIT_USAGE;
		force = true;
	}
	status = live_open(context, &live);
	if (!status)
		status = fetch_lists(context, live.policy, argv + optind, force);
	live_close(&live);
	return status;
}
