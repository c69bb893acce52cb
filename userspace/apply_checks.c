/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a candidate must pass before it may go live: whole feeds, its own tests, and the people connected now. */
#include "apply.h"
#include "remote.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- feeds ---- */

/* Prefixes that a list had when the live generation was compiled; -1: it was not there, or had another feed. */
static long long had_before(const struct apply *apply, const struct image_list *list)
{
	json_t *lists = json_object_get(apply->live_description, "lists"), *one;
	size_t i;

	json_array_foreach(lists, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		const char *feed = json_string_value(json_object_get(one, "feed"));

		if (name && feed && !strcmp(name, list->name) && !strcmp(feed, list->feed))
			return json_integer_value(json_object_get(one, "v4")) +
			       json_integer_value(json_object_get(one, "v6"));
	}
	return -1;
}

static const struct list *policy_list(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->list_count; i++)
		if (!strcmp(policy->lists[i].name, name))
			return &policy->lists[i];
	return NULL;
}

/* By itself (at boot, renewed) an old list is better than none; a person is told and decides. */
static int feed_age(struct apply *apply, const struct list *list, const struct image_list *compiled)
{
	__u64 now = time(NULL), confirmed = remote_confirmed(compiled->feed, compiled->feed_mtime);
	__u64 age = now > confirmed ? now - confirmed : 0;
	const struct apply_request *request = apply->request;
	char text[64], most[64];

	if (!list->max_age_s || age <= list->max_age_s)
		return EXIT_DONE;
	duration_text(age * 1000000000ULL, text, sizeof(text));
	duration_text(list->max_age_s * 1000000000ULL, most, sizeof(most));
	if (!request->force && !request->boot && !request->renew)
		return fail(
			EXIT_USAGE,
			"%s: feed %s of list %s is %s old, more than its max-age of %s; the live policy is untouched "
			"(--force takes it as it is)",
			apply->context->verb, compiled->feed, list->name, text, most);
	apply_note(apply, "feed %s of list %s is %s old, more than its max-age of %s", compiled->feed, list->name, text,
		   most);
	return EXIT_DONE;
}

int apply_feeds(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;

	for (size_t i = 0; i < apply->image.list_count; i++) {
		const struct image_list *compiled = &apply->image.lists[i];
		const struct list *list = compiled->feed ? policy_list(policy, compiled->name) : NULL;
		long long before = list ? had_before(apply, compiled) : -1, now = compiled->v4 + compiled->v6;

		if (!list)
			continue;
		if (feed_age(apply, list, compiled))
			return EXIT_USAGE;
		if (before <= 0 || now >= before || (before - now) * 100 <= before * list->max_shrink)
			continue;
		if (apply->request->force) {
			apply_note(apply, "feed %s shrank from %lld to %lld prefixes; applied because of --force",
				   compiled->feed, before, now);
			continue;
		}
		return fail(EXIT_USAGE,
			    "%s: feed %s of list %s shrank from %lld to %lld prefixes, more than its max-shrink of "
			    "%u%%; the last good one stays live (--force takes the new one)",
			    apply->context->verb, compiled->feed, list->name, before, now, list->max_shrink);
	}
	return EXIT_DONE;
}

/* ---- tests ---- */

int apply_tests(struct apply *apply)
{
	struct report failures = {};
	int error = judge_tests(apply->request->policy, &apply->image, apply->offline, &failures, &apply->tests);
	size_t errors = failures.errors;

	report_print(&failures, stderr);
	report_free(&failures);
	if (error)
		return fail_kernel(error, apply->context->verb);
	apply->tests_failed = errors;
	if (!errors)
		return EXIT_DONE;
	return fail(EXIT_ANSWER_NO, "%s: %zu of the policy's own tests failed; the live policy is untouched",
		    apply->context->verb, errors);
}

/* ---- the people connected now ---- */

static const char *who_text(enum guard_who who)
{
	static const char *const words[] = {
		[GUARD_OPERATOR] = "your own connection from",
		[GUARD_GATEWAY] = "gateway",
		[GUARD_RESOLVER] = "resolver",
		[GUARD_OWN] = "this host's own address",
		[GUARD_PEER] = "the open connection of",
	};

	return words[who];
}

static void finding_text(const struct apply *apply, const struct guard_finding *finding, char *text, size_t size)
{
	char address[PREFIX_TEXT], rule[256], port[32] = "", more[48] = "";
	unsigned number = finding->decision.rule;

	if (finding->port)
		snprintf(port, sizeof(port), " to port %u", finding->port);
	if (finding->more)
		snprintf(more, sizeof(more), " (and %zu more)", finding->more);
	snprintf(text, size, "%s %s%s%s would be %s: %s%s%s", who_text(finding->who),
		 prefix_text(&finding->source, address), port, more,
		 finding->open	 ? "cut"
		 : finding->port ? "refused when opened anew"
				 : "refused",
		 reason_name(finding->decision.reason), number ? " by " : "",
		 number ? rule_text(&apply->image, number, rule, sizeof(rule)) : "");
}

int apply_guard(struct apply *apply)
{
	bool allowed = apply->request->force || apply->request->confirm_ns || apply->request->dry_run;
	int status = EXIT_DONE, error;
	char text[512];

	error = guard_try(&apply->host, apply->zones, apply->zone_count, apply->offline, &apply->findings,
			  &apply->finding_count);
	if (error)
		return fail_kernel(error, apply->context->verb);
	for (size_t i = 0; i < apply->finding_count; i++) {
		const struct guard_finding *finding = &apply->findings[i];

		if (finding->who == GUARD_PEER && !finding->open)
			continue; /* told as a number */
		finding_text(apply, finding, text, sizeof(text));
		if (finding->who == GUARD_OPERATOR && !allowed)
			status = fail(EXIT_ANSWER_NO,
				      "%s: %s; refused, the live policy is untouched: change that rule, or say "
				      "--confirm (goes back by itself) or --force",
				      apply->context->verb, text);
		else
			apply_note(apply, "%s", text);
	}
	return status;
}

size_t apply_refused_peers(const struct apply *apply)
{
	size_t count = 0;

	for (size_t i = 0; i < apply->finding_count; i++)
		if (apply->findings[i].who == GUARD_PEER && !apply->findings[i].open)
			count += 1 + apply->findings[i].more;
	return count;
}

/* ---- ending what is no longer allowed ---- */

static bool same_connection(const struct host_peer *one, const struct host_peer *other)
{
	return one->local_port == other->local_port && one->remote_port == other->remote_port &&
	       !memcmp(one->local, other->local, sizeof(one->local)) &&
	       !memcmp(one->remote, other->remote, sizeof(one->remote));
}

static bool is_refused(void *arg, const struct host_peer *peer)
{
	const struct apply *apply = arg;

	if (apply->host.has_operator && same_connection(peer, &apply->host.operator))
		return false;
	for (size_t i = 0; i < apply->finding_count; i++) {
		const struct guard_finding *finding = &apply->findings[i];

		if (finding->who != GUARD_PEER || memcmp(finding->source.address, peer->remote, sizeof(peer->remote)) ||
		    memcmp(finding->local, peer->local, sizeof(peer->local)))
			continue;
		if (finding->remote_port ? finding->remote_port == peer->remote_port
					 : finding->port == peer->local_port)
			return true;
	}
	return false;
}

void apply_cut(struct apply *apply)
{
	int error = host_end_connections(is_refused, apply, &apply->cut);

	if (error)
		apply_note(apply, "open connections could not be ended: %s%s", strerror(-error),
			   error == -EOPNOTSUPP ? " (this kernel has no CONFIG_INET_DIAG_DESTROY)" : "");
}
