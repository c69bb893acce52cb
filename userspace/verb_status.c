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
#include "verb_common.h"
#include "wanted.h"

#define SAMPLE_US 200000
#define REASONS_SHOWN 12
#define STALE_NS 5000000000ULL /* bulwarkd says every second how things stand */

struct sample { /* packets so far */
	__u64 verdicts[VERDICT_COUNT];
	struct counter reasons[VERDICT_COUNT][REASON_COUNT];
	__u64 fallthrough[HOOK_COUNT];
};

struct status {
	struct context *context;
	struct instance *instance;
	struct control_state control;
	const struct slot_info *live; /* generation in force, or the one under a pause; NULL: none */
	__u32 slot;
	struct attachment *attachments;
	size_t attachment_count;
	struct host host;
	struct sample before, now;
	__u64 proven_drops;  /* clients */
	json_t *problems;    /* {"what", "do"}, the gravest first */
	json_t *unprotected; /* names of interfaces that are up */
	bool unguarded;	     /* nothing is judged at all */
};

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

		if (link->up && !link->loopback && !is_protected(status, link))
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

/* What time or the host have overtaken since the policy was applied. */
static void check_overtaken(struct status *status)
{
	json_t *description =
		status->live ? saved_description(&status->context->places, status->live->generation) : NULL;
	json_int_t ends = json_integer_value(json_object_get(description, "ends"));

	if (ends && time(NULL) >= ends + 60)
		problem(status, words_renew, "the time of an entry of the policy is over, and it still holds");
	if (description)
		check_feeds(status, description);
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

static const char *headline(const struct status *status, char *text, size_t size)
{
	const char *why = json_string_value(json_object_get(json_array_get(status->problems, 0), "what"));
	char left[64];

	duration_text(status->control.remaining_ms / 1000 * 1000000000ULL, left, sizeof(left));
	if (status->unguarded)
		snprintf(text, size, "UNPROTECTED%s%s", why ? ": " : "", why ?: "");
	else if (why)
		snprintf(text, size, "DEGRADED: %s", why);
	else if (status->control.active == SLOT_PAUSED)
		snprintf(text, size, "PAUSED %s left", left);
	else if (status->control.remaining_ms)
		snprintf(text, size, "PENDING %s left", left);
	else
		snprintf(text, size, status->live->flags & SLOT_FLAG_MONITOR ? "MONITOR" : "ENFORCING");
	return text;
}

static double rate(__u64 before, __u64 now)
{
	return now > before ? (now - before) * (1000000.0 / SAMPLE_US) : 0;
}

static json_t *reasons_json(const struct status *status)
{
	json_t *rows = json_array();

	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
		for (unsigned reason = 1; reason < REASON_COUNT; reason++) {
			const struct counter *now = &status->now.reasons[verdict][reason];

			if (!now->packets)
				continue;
			json_array_append_new(
				rows, json_pack("{s:s, s:s, s:I, s:I, s:f}", "verdict", verdict_name(verdict), "reason",
						reason_name(reason), "packets", (json_int_t)now->packets, "bytes",
						(json_int_t)now->bytes, "rate",
						rate(status->before.reasons[verdict][reason].packets, now->packets)));
		}
	return rows;
}

static json_t *interfaces_json(const struct status *status)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < status->attachment_count; i++) {
		const struct attachment *attachment = &status->attachments[i];

		json_array_append_new(
			rows, json_pack("{s:s, s:s?, s:s?, s:b, s:b, s:s?, s:s?}", "name", attachment->name, "mode",
					!attachment->xdp     ? NULL
					: attachment->native ? "native"
							     : "generic",
					"why_generic", attachment->why_generic[0] ? attachment->why_generic : NULL,
					"egress", attachment->egress, "ingress", attachment->ingress, "egress_by",
					!attachment->egress	    ? NULL
					: attachment->egress_is_tcx ? "tcx"
								    : "clsact",
					"trouble", attachment->trouble[0] ? attachment->trouble : NULL));
	}
	return rows;
}

static void put_generation(const struct status *status, json_t *all)
{
	char hash[65];

	if (!status->live)
		return;
	for (int i = 0; i < 32; i++)
		sprintf(hash + 2 * i, "%02x", status->live->policy_hash[i]);
	json_object_update_new(all, json_pack("{s:i, s:s, s:s, s:b, s:I}", "generation", (int)status->live->generation,
					      "policy_path", status->live->policy_path, "hash", hash, "monitor",
					      status->live->flags & SLOT_FLAG_MONITOR, "loaded_at",
					      (json_int_t)status->live->loaded_at));
	if (status->control.remaining_ms && status->control.active != SLOT_PAUSED)
		json_object_set_new(all, "fallback",
				    json_integer(status->control.fallback < GENERATION_SLOTS
							 ? status->control.slots[status->control.fallback].generation
							 : 0));
}

static json_t *armed_json(const struct status *status)
{
	struct armed_row *rows = NULL;
	json_t *all = json_array();
	size_t count = 0;

	if (armed_read(status->instance, &rows, &count))
		count = 0;
	for (size_t i = 0; i < count; i++)
		json_array_append_new(all,
				      json_pack("{s:s, s:f}", "service", rows[i].name, "for_s", rows[i].for_ns / 1e9));
	free(rows);
	return all;
}

/* Services that are not at peace, as bulwarkd last said. */
static json_t *attacks_json(const struct status *status)
{
	static const char *const states[] = {
		[STANCE_NORMAL] = "normal", [STANCE_SURGE] = "surge", [STANCE_ATTACK] = "attack"};
	struct stance_row *rows = NULL;
	__u64 now = stance_now_ns();
	json_t *all = json_array();
	size_t count = 0;

	if (stances_read(status->instance, &rows, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct stance *stance = &rows[i].stance;
		json_t *one;

		if (stance->state == STANCE_NORMAL || stance->state > STANCE_ATTACK)
			continue;
		one = json_pack("{s:s?, s:s, s:I, s:b}", "service", rows[i].row ? rows[i].name : NULL, "state",
				states[stance->state], "rate", (json_int_t)stance->rate, "stale",
				now - stance->told_ns > STALE_NS);
		if (stance->state == STANCE_ATTACK)
			json_object_update_new(
				one, json_pack("{s:s, s:f, s:I, s:f, s:f, s:f}", "cause", cause_name(stance->cause),
					       "for_s", (double)(now - stance->attack_since_ns) / 1e9, "peak",
					       (json_int_t)stance->peak, "proven_share", stance->proven / 1000.0,
					       "new_share", stance->fresh / 1000.0, "detected_s",
					       stance->detected_ms / 1000.0));
		if (stance->state == STANCE_ATTACK && stance->mitigated_ms != MITIGATED_NOT)
			json_object_set_new(one, "mitigated_s", json_real(stance->mitigated_ms / 1000.0));
		json_array_append_new(all, one);
	}
	free(rows);
	return all;
}

static json_t *profiles_json(const struct status *status)
{
	struct stance_row *rows = NULL;
	__u64 now = stance_now_ns();
	json_t *all = json_array();
	size_t count = 0;

	if (stances_read(status->instance, &rows, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct profile_switch *profile = &rows[i].profile;
		json_t *one;

		if (!profile_is_on(profile, now))
			continue;
		one = json_pack("{s:s?, s:s, s:f, s:b}", "service", rows[i].row ? rows[i].name : NULL, "by",
				profile->by, "for_s", (double)(now - profile->since_ns) / 1e9, "stale",
				rows[i].row && now - rows[i].stance.told_ns > STALE_NS);
		json_object_set_new(one, "remaining_s",
				    profile->until_ns == PROFILE_FOR_GOOD
					    ? json_null()
					    : json_real((double)(profile->until_ns - now) / 1e9));
		json_array_append_new(all, one);
	}
	free(rows);
	return all;
}

static json_t *connections_json(const struct status *status)
{
	struct connections_row *rows = NULL;
	json_t *all = json_array();
	size_t count = 0;

	if (connections_read(status->instance, &rows, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct connection_sums *sums = &rows[i].sums;

		json_array_append_new(
			all,
			json_pack("{s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:I}", "service",
				  rows[i].name, "opened", (json_int_t)sums->opened, "open",
				  (json_int_t)connections_now(sums), "closed", "fin", (json_int_t)sums->closed[END_FIN],
				  "reset", (json_int_t)sums->closed[END_RESET], "timeout",
				  (json_int_t)sums->closed[END_TIMEOUT], "abort", (json_int_t)sums->closed[END_ABORT],
				  "bytes", "in", (json_int_t)sums->bytes[DIRECTION_OF_CLIENT], "out",
				  (json_int_t)sums->bytes[DIRECTION_OF_SERVICE], "segments", "in",
				  (json_int_t)sums->segments[DIRECTION_OF_CLIENT], "out",
				  (json_int_t)sums->segments[DIRECTION_OF_SERVICE], "retransmits",
				  (json_int_t)sums->retransmits));
	}
	free(rows);
	return all;
}

static json_t *document(const struct status *status)
{
	char head[640];
	json_t *all = json_pack("{s:s, s:O, s:O, s:o, s:o, s:f, s:{s:I, s:I, s:I, s:I}}", "status",
				headline(status, head, sizeof(head)), "problems", status->problems, "unprotected",
				status->unprotected, "interfaces", interfaces_json(status), "packets",
				reasons_json(status), "remaining_s", status->control.remaining_ms / 1000.0,
				"fallthrough", "xdp", (json_int_t)status->now.fallthrough[HOOK_XDP], "egress",
				(json_int_t)status->now.fallthrough[HOOK_EGRESS], "ingress",
				(json_int_t)status->now.fallthrough[HOOK_INGRESS], "sockops",
				(json_int_t)status->now.fallthrough[HOOK_SOCKOPS]);

	if (all) {
		put_generation(status, all);
		json_object_set_new(all, "proven_clients_dropped_5m", json_integer(status->proven_drops));
	}
	if (all && !*instance_broken(status->instance))
		json_object_update_new(all, json_pack("{s:o, s:o, s:o, s:o}", "syn_cookies_armed", armed_json(status),
						      "attacks", attacks_json(status), "under_attack_profile",
						      profiles_json(status), "connections", connections_json(status)));
	if (all && status->control.reverted)
		json_object_set_new(all, "reverted", json_true());
	return all;
}

static void say_problems(const struct status *status)
{
	json_t *one;
	size_t i;

	json_array_foreach(status->problems, i, one)
	{
		if (i)
			printf("  also: %s\n", json_string_value(json_object_get(one, "what")));
		printf("  to do: %s\n", json_string_value(json_object_get(one, "do")));
	}
	if (status->control.reverted)
		printf("  the kernel went back at the deadline: nobody confirmed\n");
	if (!status->unguarded && status->control.remaining_ms && json_array_size(status->problems))
		printf("  %s for another %llu s\n",
		       status->control.active == SLOT_PAUSED ? "paused" : "to be confirmed",
		       (unsigned long long)status->control.remaining_ms / 1000);
}

static void say_interfaces(const struct status *status)
{
	json_t *one;
	size_t i;

	for (i = 0; i < status->attachment_count; i++) {
		const struct attachment *attachment = &status->attachments[i];

		printf("  %-15s %s%s%s%s\n", attachment->name,
		       !attachment->xdp	    ? "not attached"
		       : attachment->native ? "native"
					    : "generic",
		       attachment->why_generic[0] ? ": " : "", attachment->why_generic,
		       attachment->xdp && !attachment->egress ? ", no egress program" : "");
	}
	json_array_foreach(status->unprotected, i, one)
		printf("  %-15s up, without protection\n", json_string_value(one));
}

static void say_generation(const struct status *status)
{
	char when[64];
	json_t *time;

	if (!status->live)
		return;
	time = json_integer(status->live->loaded_at);
	printf("  generation %u: %s, since %s%s\n", status->live->generation, status->live->policy_path,
	       text_time(time, when, sizeof(when)), status->live->flags & SLOT_FLAG_MONITOR ? ", monitors only" : "");
	json_decref(time);
}

static void say_armed(const struct status *status)
{
	json_t *rows = *instance_broken(status->instance) ? json_array() : armed_json(status), *row;
	size_t i;

	json_array_foreach(rows, i, row) printf("  SYN cookies: service %s answers with them, for %.0f s now\n",
						json_string_value(json_object_get(row, "service")),
						json_real_value(json_object_get(row, "for_s")));
	json_decref(rows);
}

static void say_attack(const json_t *row)
{
	const json_t *mitigated = json_object_get(row, "mitigated_s");
	const char *service = json_string_value(json_object_get(row, "service"));
	char since[64], after[64];

	duration_text((__u64)json_real_value(json_object_get(row, "for_s")) * 1000000000ULL, since, sizeof(since));
	snprintf(after, sizeof(after), "mitigated after %.1f s", json_real_value(mitigated));
	printf("  UNDER ATTACK: %s, %s for %s: %lld/s now, %lld/s at worst, %.1f %% inside open connections, %s%s\n",
	       service ?: "what belongs to no service", json_string_value(json_object_get(row, "cause")), since,
	       json_integer_value(json_object_get(row, "rate")), json_integer_value(json_object_get(row, "peak")),
	       100 * json_real_value(json_object_get(row, "proven_share")), mitigated ? after : "not mitigated yet",
	       json_is_true(json_object_get(row, "stale")) ? "; bulwarkd does not run, so that this may be over" : "");
}

static void say_attacks(const struct status *status)
{
	json_t *rows = *instance_broken(status->instance) ? json_array() : attacks_json(status), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "state")), "attack"))
			say_attack(row);
		else if (!json_is_true(json_object_get(row, "stale")))
			printf("  surge: %s, %lld/s, more than usual, and it looks lawful\n",
			       json_string_value(json_object_get(row, "service")),
			       json_integer_value(json_object_get(row, "rate")));
	}
	json_decref(rows);
}

static void say_profiles(const struct status *status)
{
	json_t *rows = *instance_broken(status->instance) ? json_array() : profiles_json(status), *row;
	char since[64], left[64];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *remaining = json_object_get(row, "remaining_s");
		const char *service = json_string_value(json_object_get(row, "service"));

		duration_text((__u64)json_real_value(json_object_get(row, "for_s")) * 1000000000ULL, since,
			      sizeof(since));
		duration_text((__u64)json_real_value(remaining) * 1000000000ULL, left, sizeof(left));
		printf("  under-attack profile: %s, by %s, for %s; ", service ?: "every service",
		       json_string_value(json_object_get(row, "by")), since);
		if (!(status->live && status->live->flags & SLOT_FLAG_PROFILE))
			printf("the policy in force has none, so that it changes nothing\n");
		else if (json_is_null(remaining))
			printf("until `bulwark panic off`\n");
		else
			printf("ends in %s%s\n", left,
			       !service					     ? ""
			       : json_is_true(json_object_get(row, "stale")) ? ": bulwarkd does not run"
									     : " unless the attack goes on");
	}
	json_decref(rows);
}

static void say_rates(const struct status *status)
{
	static const char *const words[] = {"pass", "drop", "reply", "would drop"};

	printf("  now:");
	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
		if (verdict < VERDICT_REPLY || status->now.verdicts[verdict])
			printf("%s %.0f/s %s", verdict ? "," : "",
			       rate(status->before.verdicts[verdict], status->now.verdicts[verdict]), words[verdict]);
	putchar('\n');
}

static int by_packets(const void *a, const void *b)
{
	json_int_t one = json_integer_value(json_object_get(*(json_t *const *)a, "packets"));
	json_int_t two = json_integer_value(json_object_get(*(json_t *const *)b, "packets"));

	return one < two ? 1 : one > two ? -1 : 0;
}

/* Clients that cannot have been forged, and were dropped: perhaps the wrong ones. */
static void say_proven(const struct status *status)
{
	if (status->proven_drops)
		printf("  %s%llu client%s dropped inside open connections in the last 5 minutes: are the limits too "
		       "tight?\n",
		       status->proven_drops == PROVEN_LINES * 8ULL ? "at least " : "",
		       (unsigned long long)status->proven_drops, status->proven_drops == 1 ? "" : "s");
	else
		printf("  no client was dropped inside an open connection in the last 5 minutes\n");
}

/* Drops and would-drops, the largest first. */
static void say_drops(const struct status *status)
{
	static const struct column columns[] = {
		{"verdict", "VERDICT", false, NULL},
		{"reason", "REASON", false, NULL},
		{"packets", "PACKETS", true, NULL},
		{"rate", "PER SECOND", true, text_count},
		{},
	};
	json_t *rows = reasons_json(status), *drops = json_array(), *sorted[VERDICT_COUNT * REASON_COUNT], *row;
	size_t i, count = 0;

	json_array_foreach(rows, i, row) if (strcmp(json_string_value(json_object_get(row, "verdict")),
						    verdict_name(VERDICT_PASS))) sorted[count++] = row;
	if (count)
		qsort(sorted, count, sizeof(*sorted), by_packets);
	for (i = 0; i < count && i < REASONS_SHOWN; i++)
		json_array_append(drops, sorted[i]);
	if (count) {
		putchar('\n');
		print_table(drops, columns);
	}
	json_decref(drops);
	json_decref(rows);
}

static int say(const struct status *status)
{
	char head[640];

	if (status->context->json)
		return print_json(document(status));
	printf("%s\n", headline(status, head, sizeof(head)));
	say_problems(status);
	say_generation(status);
	say_interfaces(status);
	if (status->live) {
		say_attacks(status);
		say_profiles(status);
		say_armed(status);
		say_rates(status);
		if (status->live)
			say_proven(status);
	}
	say_drops(status);
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
	struct status status = {.context = context, .problems = json_array(), .unprotected = json_array()};
	const char *operand;
	int result = only_operand(context, argc, argv, &operand), error;

	if (!result && operand)
		result = fail_usage(context, "'%s' is one argument too many", operand);
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
	return result;
}
