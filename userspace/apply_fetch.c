/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Feeds from the web that this host has no copy of: fetched before anything is compiled. Later copies are bulwarkd's.
 */
#include "apply.h"
#include "fetch.h"
#include "remote.h"

static int fetch_one(struct apply *apply, const struct list *list)
{
	const struct apply_request *request = apply->request;
	struct fetched fetched;

	if (request->dry_run || request->boot || request->renew)
		return fail(EXIT_SYSTEM,
			    "%s: feed %s of list %s was never fetched here, and %s fetches nothing: `bulwark fetch`, "
			    "or bulwark apply FILE",
			    apply->context->verb, list->feed, list->name,
			    request->dry_run ? "--dry-run"
			    : request->boot  ? "--saved"
					     : "--renew");
	feed_fetch(list, request->force, &fetched);
	if (fetched.outcome == FETCH_REFUSED)
		return fail(EXIT_SYSTEM,
			    "%s: feed %s of list %s was never fetched here and cannot be now: %s; the live policy is "
			    "untouched",
			    apply->context->verb, list->feed, list->name, fetched.why);
	apply_note(apply, "feed %s of list %s was fetched: %llu prefixes in %.1f s", list->feed, list->name,
		   (unsigned long long)fetched.prefixes, fetched.took_s);
	return EXIT_DONE;
}

int apply_fetch(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	int status = EXIT_DONE;

	for (size_t i = 0; i < policy->list_count && !status; i++) {
		const struct list *list = &policy->lists[i];

		if (list->feed && !remote_is_here(list->feed) && list_is_used(policy, (unsigned)i))
			status = fetch_one(apply, list);
	}
	return status;
}
