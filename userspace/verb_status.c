/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark status: whether this host is protected. What is live in the kernel is compared with what was asked for, and
 * any difference is the first line, with what to do about it. Exit status 1 when the host is not protected as asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "remote.h"
#include "status.h"
#include "wanted.h"

static void __attribute__((format(printf, 3, 4)))
problem(struct status *status, const char *remedy, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(status->problems, json_pack("{s:s, s:s}", "what", text, "do", remedy));
}

/* ---- gathering ---- */

static void take_sample(struct instance *instance, struct sample *sample)
{
	struct counter_row *rows = NULL;
	size_t count = 0;

	memset(sample, 0, sizeof(*sample));
	if (!counters_read(instance, &rows, &count))
		for (size_t i = 0; i < count; i++) {
			struct counter *sum = &sample->reasons[rows[i].verdict][rows[i].reason % REASON_COUNT];

			sum->packets += rows[i].counter.packets;
			sum->bytes += rows[i].counter.bytes;
			sample->verdicts[rows[i].verdict] += rows[i].counter.packets;
		}
	free(rows);
	fallthrough_read(instance, sample->fallthrough);
}

static void find_live(struct status *status)
{
	__u32 slot = status->control.active;

	if (slot == SLOT_PAUSED)
		slot = status->control.fallback;
	status->slot = slot;
	if (slot < GENERATION_SLOTS && status->control.slots[slot].generation)
		status->live = &status->control.slots[slot];
}

static int gather(struct status *status)
{
	struct report report = {};
	int error = control_read(status->instance, &status->control);

	if (error)
		return error;
	find_live(status);
	error = interfaces_attached(status->instance, &status->attachments, &status->attachment_count);
	if (error)
		return error;
	take_sample(status->instance, &status->before);
	usleep(SAMPLE_US);
	take_sample(status->instance, &status->now);
	error = proven_drops_read(status->instance, &status->proven_drops);
	error = error ?: host_read(&status->host, &report);
	report_free(&report);
	return error;
}

/* ---- comparing ---- */

static const struct attachment *attachment_of(const struct status *status, const char *name)
{
	for (size_t i = 0; i < status->attachment_count; i++)
		if (!strcmp(status->attachments[i].name, name))
			return &status->attachments[i];
	return NULL;
}

/* By index: an interface may have another name than when it was attached. */
static bool is_attached(const struct status *status, const struct host_link *link)
{
	for (size_t i = 0; i < status->attachment_count; i++)
		if (status->attachments[i].ifindex == link->ifindex && status->attachments[i].xdp)
			return true;
	return false;
}

/* Attached itself, or everything reaches it through devices that are. */
static bool is_protected(const struct status *status, const struct host_link *link)
{
	const struct host_link *lower = link->lower ? host_link_by_index(&status->host, link->lower) : NULL;
	bool below = false;

	if (is_attached(status, link) || (lower && is_attached(status, lower)))
		return true;
	if (strcmp(link->kind, "bond"))
		return false;
	for (size_t i = 0; i < status->host.link_count; i++) {
		const struct host_link *slave = &status->host.links[i];

		if (slave->master != link->ifindex)
			continue;
		below = true;
		if (!is_attached(status, slave))
			return false;
	}
	return below;
}

static void find_unprotected(struct status *status)
{
	for (size_t i = 0; i < status->host.link_count; i++) {
		const struct host_link *link = &status->host.links[i];

		if (!link->up || link->loopback || is_protected(status, link))
			continue;
		if (link->bare || link->tunnel)
			json_array_append_new(status->tunnels, json_pack("{s:s, s:s}", "name", link->name, "kind",
									 *link->kind ? link->kind : "tunnel"));
		else
			json_array_append_new(status->unprotected, json_string(link->name));
	}
}

/* Limits of open connections stand on a count that the daemon checks. */
static void check_counting(struct status *status)
{
	__u64 age_ns;

	if (!recount_age(status->instance, &age_ns) && age_ns >= OPEN_UNCHECKED_NS)
		problem(status, "start bulwarkd",
			"nobody has checked the number of open connections for a minute: their limits refuse nobody");
}

#define LOOK_LATE_NS 10000000000ULL /* beyond the time that looks are apart */

/* Nobody but the daemon ends a connection. */
static void check_senders(struct status *status)
{
	struct slow_looks looks;

	if (slow_looks_read(status->instance, &looks))
		return;
	if (stance_now_ns() > looks.at_ns + looks.every_ns + LOOK_LATE_NS)
		problem(status, "start bulwarkd",
			"nobody looks for slow senders: the limits of 'idle-request' end nobody");
	else if (looks.error == -EOPNOTSUPP)
		problem(status, "a kernel with CONFIG_INET_DIAG_DESTROY, or no limits of 'idle-request'",
			"this kernel cannot end connections: the limits of 'idle-request' only count");
	else if (looks.error)
		problem(status, "read the log of bulwarkd", "slow senders cannot be looked for: %s",
			strerror(-looks.error));
}

static void check_slots(struct status *status)
{
	const bool(*holds)[SLOT_COUNT] = status->control.slot_holds;

	if (!status->live) {
		status->unguarded = true;
		problem(status, "bulwark apply FILE", "no policy is in force");
		return;
	}
	if (!holds[HOOK_XDP][status->slot]) {
		status->unguarded = true;
		problem(status, "apply the policy again",
			"the slot of generation %u holds no XDP program: packets fall through",
			status->live->generation);
	}
	if (!holds[HOOK_EGRESS][status->slot])
		problem(status, "apply the policy again", "the slot of generation %u holds no egress program",
			status->live->generation);
	if (status->live->flags & SLOT_FLAG_INGRESS && !holds[HOOK_INGRESS][status->slot])
		problem(status, "apply the policy again", "the slot of generation %u holds no ingress program",
			status->live->generation);
	if (status->live->flags & SLOT_FLAG_SOCKOPS &&
	    (!holds[HOOK_SOCKOPS][status->slot] || !sockops_attached(status->instance)))
		problem(status, "apply the policy again", "the sockops program of generation %u is not attached",
			status->live->generation);
	check_counting(status);
	check_senders(status);
	if (status->control.active == SLOT_PAUSED && !holds[HOOK_XDP][SLOT_PAUSED])
		problem(status, "bulwark resume", "the program that counts during a pause is gone");
}

static void check_attachments(struct status *status)
{
	bool any = false;

	for (size_t i = 0; i < status->attachment_count; i++) {
		const struct attachment *attachment = &status->attachments[i];

		any |= attachment->xdp;
		if (attachment->trouble[0] && attachment->other_xdp_id && !attachment->xdp)
			problem(status, "take that program off, then apply the policy again", "%s: %s (id %u, '%s')",
				attachment->name, attachment->trouble, attachment->other_xdp_id,
				attachment->other_xdp_name);
		else if (attachment->trouble[0])
			problem(status,
				attachment->ifindex ? "apply the policy again"
						    : "bring it back, or take it out of the policy and apply that",
				"%s: %s", attachment->name, attachment->trouble);
	}
	if (!any && status->live) {
		status->unguarded = true;
		problem(status, "apply the policy again", "no interface is attached");
	}
}

/* Also what `auto` means by now: the default route may have moved since the policy was applied. */
static void check_wanted(struct status *status)
{
	struct wanted wanted = {};

	if (status->live)
		wanted_interfaces(&status->context->places, status->live->generation, &status->host,
				  status->attachments, status->attachment_count, &wanted);
	for (size_t i = 0; i < wanted.count; i++) {
		const struct host_link *link = host_link_by_name(&status->host, wanted.names[i]);

		if (attachment_of(status, wanted.names[i]) || (link && is_attached(status, link)))
			continue;
		problem(status, link ? "bulwark apply --attach (bulwarkd does it by itself)" : "apply the policy again",
			"%s: the policy asks for it, but it is not attached", wanted.names[i]);
	}
	free(wanted.names);
}

static void check_fallthrough(struct status *status)
{
	__u64 before = 0, now = 0;

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		before += status->before.fallthrough[hook];
		now += status->now.fallthrough[hook];
	}
	if (status->live && now > before)
		problem(status, "apply the policy again; if it goes on, it is a fault of Bulwark: report it",
			"packets fall through the root programs unjudged (%llu so far)", (unsigned long long)now);
}

/* A container engine that came later, nothing of which has sent a packet yet: to the live programs every destination is
 * this host. bulwarkd, or the first packet that leaves, tells them. */
static void check_forwarding(struct status *status)
{
	bool known;

	if (status->live && status->host.forwards && !instance_forwards(status->instance, &known) && !known)
		problem(status, "run bulwarkd, or apply the policy again",
			"this host forwards since the policy was applied, and the programs have not noticed: what is "
			"behind it cannot be reached before it has sent a packet");
}

static void check_closed(struct status *status)
{
	if (status->live && status->live->flags & SLOT_FLAG_CLOSED)
		problem(status, "bulwark apply --saved says what is wrong with it; bulwark apply FILE",
			"the saved policy could not be loaded, and `on-failure: closed` exposes nothing");
}

static const char *words_renew = "bulwark apply --renew (bulwarkd does it by itself)";

/* Of a feed that is live: it may have been young enough when it was applied. */
static void check_feed_age(struct status *status, const struct policy *policy, const json_t *compiled)
{
	const char *name = json_string_value(json_object_get(compiled, "name"));
	const char *feed = json_string_value(json_object_get(compiled, "feed"));
	json_int_t written = json_integer_value(json_object_get(compiled, "feed_mtime"));
	json_int_t age = time(NULL) - (feed ? remote_confirmed(feed, written) : written);
	char text[64];

	for (size_t i = 0; name && written && i < policy->list_count; i++) {
		const struct list *list = &policy->lists[i];

		if (!strcmp(list->name, name) && list->max_age_s && age > (json_int_t)list->max_age_s)
			problem(status, "fetch it anew, then apply the policy again",
				"feed %s of list %s is %s old, more than its max-age", list->feed, name,
				duration_text(age * 1000000000ULL, text, sizeof(text)));
	}
}

static void check_feeds(struct status *status, const json_t *description)
{
	json_int_t around = json_integer_value(json_object_get(description, "around"));
	json_t *lists = json_object_get(description, "lists"), *one;
	struct report report = {};
	struct policy *policy = saved_policy(&status->context->places, status->live->generation, &report);
	bool any = false;
	size_t i;

	json_array_foreach(lists, i, one)
	{
		if (!json_is_string(json_object_get(one, "feed")))
			continue;
		any = true;
		if (policy && !report.errors)
			check_feed_age(status, policy, one);
	}
	if (any && around && around != (json_int_t)host_around(&status->host))
		problem(status, words_renew,
			"this host's addresses, gateways or resolvers changed since its feeds were cut around them");
	policy_free(policy);
	report_free(&report);
}

static void check_hidden(struct status *status, const json_t *description)
{
	if (status->host.balances && !json_is_true(json_object_get(description, "balances")))
		problem(status, words_renew,
			"IPVS balances connections here since the policy was applied: what it sends on is taken for "
			"strays");
	if (status->host.has_vrf && !json_is_true(json_object_get(description, "vrf")))
		problem(status, words_renew,
			"an interface is in a VRF since the policy was applied: connections of it are taken for "
			"strays");
}

/* What time or the host have overtaken since the policy was applied. */
static void check_overtaken(struct status *status)
{
	json_t *description =
		status->live ? saved_description(&status->context->places, status->live->generation) : NULL;
	json_int_t ends = json_integer_value(json_object_get(description, "ends"));

	if (ends && time(NULL) >= ends + 60)
		problem(status, words_renew, "the time of an entry of the policy is over, and it still holds");
	if (description) {
		check_feeds(status, description);
		check_hidden(status, description);
	}
	json_decref(description);
}

static void compare(struct status *status)
{
	if (*instance_broken(status->instance))
		problem(status, "bulwark down, then apply again", "%s", instance_broken(status->instance));
	check_slots(status);
	check_attachments(status);
	check_wanted(status);
	check_closed(status);
	check_overtaken(status);
	check_fallthrough(status);
	check_forwarding(status);
	find_unprotected(status);
}

/* ---- saying ---- */

static int say(const struct status *status)
{
	json_t *all = status_document(status);

	if (!all || status->context->json)
		return print_json(all); /* which says that there is none */
	status_say(status, all);
	json_decref(all);
	return EXIT_DONE;
}

static int say_nothing_there(const struct context *context)
{
	const char *words = kernel_words();

	if (context->json)
		print_json(json_pack("{s:s, s:[{s:s, s:s}]}", "status", "UNPROTECTED: no policy is applied here",
				     "problems", "what", words, "do", "bulwark apply FILE"));
	else
		printf("UNPROTECTED: %s\n", words);
	return EXIT_ANSWER_NO;
}

static int run(struct status *status)
{
	int error = gather(status);

	if (error && !*instance_broken(status->instance))
		return fail_kernel(error, status->context->verb);
	if (error) {
		status->unguarded = true;
		problem(status, "bulwark down, then apply again", "%s", instance_broken(status->instance));
	} else {
		compare(status);
	}
	error = say(status);
	return error ?: json_array_size(status->problems) ? EXIT_ANSWER_NO : EXIT_DONE;
}

int verb_status(struct context *context, int argc, char **argv)
{
	struct status status = {
		.context = context, .problems = json_array(), .unprotected = json_array(), .tunnels = json_array()};
	int result = nothing_but_options(context, argc, argv), error;

	if (!result) {
		error = instance_open(&context->places, OPEN_READ | OPEN_BROKEN, &status.instance);
		if (error == -ENOENT)
			result = say_nothing_there(context);
		else
			result = error ? fail_kernel(error, context->verb) : run(&status);
	}
	instance_close(status.instance);
	host_free(&status.host);
	free(status.attachments);
	json_decref(status.problems);
	json_decref(status.unprotected);
	json_decref(status.tunnels);
	return result;
}
