/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of a policy to the interfaces, one step after the other. */
#include "apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feed_cache.h"
#include "output.h"
#include "policy_diff.h"
#include "saved.h"
#include "settings_kept.h"
#include "saved_bans.h"
#include "saved_fingerprints.h"

/* ---- from the policy to an image ---- */

static int report_status(struct apply *apply)
{
	report_print(&apply->report, stderr);
	if (!apply->report.errors)
		return EXIT_DONE;
	return fail(EXIT_USAGE, "%s: %s is refused: %zu error%s; the live policy is untouched", apply->context->verb,
		    apply->request->source, apply->report.errors, apply->report.errors == 1 ? "" : "s");
}

static bool asked_for(const struct apply *apply, const char *name)
{
	for (size_t i = 0; i < apply->link_count; i++)
		if (!strcmp(apply->links[i]->name, name))
			return true;
	return false;
}

/* Before the network is up `auto` means nothing yet: what it meant when the policy was last applied. */
static int links_as_before(struct apply *apply)
{
	json_t *description = saved_description(&apply->context->places, apply->request->from_saved), *one;
	size_t count = apply->link_count, i;
	const struct host_link **larger;

	larger = reallocarray(apply->links, apply->host.link_count + count + 1, sizeof(*larger));
	if (larger)
		apply->links = larger;
	json_array_foreach(json_object_get(description, "interfaces"), i, one)
	{
		const char *name = json_string_value(one);
		const struct host_link *link = name ? host_link_by_name(&apply->host, name) : NULL;

		if (larger && link && !asked_for(apply, name))
			apply->links[apply->link_count++] = link;
	}
	json_decref(description);
	return larger ? 0 : -ENOMEM;
}

/* Nobody is there to name other interfaces. */
static bool is_by_itself(const struct apply_request *request)
{
	return request->boot || request->renew;
}

/* At boot the policy must not wait for an interface that comes late: bulwarkd or the udev rule attaches it. */
static int resolve_interfaces(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;
	struct report missing = {}, *report = is_by_itself(apply->request) ? &missing : &apply->report;
	int error = host_interfaces(&apply->host, policy->interfaces, policy->interface_at, policy->interface_count,
				    &apply->links, &apply->link_count, report);

	if (!error && missing.errors)
		error = links_as_before(apply);
	for (size_t i = 0; !error && i < missing.count; i++) {
		if (missing.findings[i].severity == SEVERITY_ERROR)
			apply_note(apply, "not there yet: %s; bulwarkd, or the udev rule, attaches it when it comes",
				   missing.findings[i].text);
	}
	report_free(&missing);
	return error;
}

/* What is not judged is in no zone either, whatever the policy says of it. */
static void note_unprotected_zones(struct apply *apply)
{
	const struct policy *policy = apply->request->policy;

	for (size_t i = 0; i < apply->zone_count; i++) {
		const struct host_link *link = host_link_by_index(&apply->host, apply->zones[i].ifindex);

		if (link && !asked_for(apply, link->name))
			apply_note(apply,
				   "zone '%s': %s is not among the interfaces of the policy: what comes in there is "
				   "not judged",
				   policy->zones[apply->zones[i].zone - 1].name, link->name);
	}
}

/* Where nobody is there to mend it, what cannot be told apart is in no zone, and that is noted. */
static int resolve_zones(struct apply *apply)
{
	struct report aside = {}, *report = is_by_itself(apply->request) ? &aside : &apply->report;
	int error = zones_resolve(apply->request->policy, &apply->host, &apply->zones, &apply->zone_count, report);

	for (size_t i = 0; !error && i < aside.count; i++)
		apply_note(apply, "zones: %s", aside.findings[i].text);
	report_free(&aside);
	if (!error && !is_by_itself(apply->request))
		note_unprotected_zones(apply);
	return error;
}

static int compile(struct apply *apply)
{
	struct policy *policy = apply->request->policy;
	int error = host_read(&apply->host, &apply->report);

	if (!error)
		error = resolve_interfaces(apply);
	if (!error)
		error = resolve_zones(apply);
	feed_cache_use(apply->context->places.state_dir);
	if (!error)
		error = image_compile(policy, &apply->host, &apply->image, &apply->report);
	if (error && !apply->report.errors)
		return fail(EXIT_SYSTEM, "%s: cannot compile %s: %s", apply->context->verb, apply->request->source,
			    strerror(-error));
	return report_status(apply);
}

/* ---- what is there now ---- */

static unsigned in_slot(const struct control_state *state, __u32 slot)
{
	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

static int open_instance(struct apply *apply)
{
	const struct apply_request *request = apply->request;
	unsigned how = request->dry_run ? OPEN_READ : request->renew ? OPEN_WRITE : OPEN_WRITE | OPEN_CREATE;
	int error = kernel_supported();

	if (!error)
		error = instance_open(&apply->context->places, how | (request->ephemeral ? OPEN_EPHEMERAL : 0),
				      &apply->instance);
	if (error == -ENOENT && request->dry_run)
		return EXIT_DONE;
	if (!error)
		error = control_read(apply->instance, &apply->before);
	if (error)
		return fail_kernel(error, apply->context->verb);
	apply->live = in_slot(&apply->before,
			      apply->before.active == SLOT_PAUSED ? apply->before.fallback : apply->before.active);
	apply->live_description = apply->live ? saved_description(&apply->context->places, apply->live) : NULL;
	if (!apply->before.remaining_ms || apply->before.active == SLOT_PAUSED || request->dry_run)
		return EXIT_DONE;
	return fail(EXIT_SYSTEM,
		    "%s: generation %u waits to be confirmed for another %llu s: `bulwark confirm` or "
		    "`bulwark rollback` first",
		    apply->context->verb, in_slot(&apply->before, apply->before.active),
		    (unsigned long long)apply->before.remaining_ms / 1000);
}

/* The policy in force is the same; what is attached may still need repair. */
static bool same_policy(const struct apply *apply)
{
	__u32 slot = apply->before.active == SLOT_PAUSED ? apply->before.fallback : apply->before.active;
	const struct slot_info *info = slot < GENERATION_SLOTS ? &apply->before.slots[slot] : NULL;

	return info && info->generation && apply->before.slot_holds[HOOK_XDP][slot] &&
	       apply->before.slot_holds[HOOK_EGRESS][slot] && apply->before.slot_holds[HOOK_INGRESS][slot] &&
	       apply->before.slot_holds[HOOK_SOCKOPS][slot] &&
	       GENERATION_MARK(info->flags) == generation_mark(&apply->image) &&
	       !memcmp(info->policy_hash, apply->image.policy_hash, sizeof(info->policy_hash));
}

/* ---- interfaces ---- */

/* Refuses before anything is attached, so that an interface that cannot be had changes nothing on the others. */
static int look_at_interfaces(struct apply *apply)
{
	struct attachment attachment;

	for (size_t i = 0; apply->instance && i < apply->link_count; i++) {
		int error = interface_look(apply->instance, apply->links[i]->name, &attachment);

		if (error)
			return fail_kernel(error, apply->context->verb);
	}
	return EXIT_DONE;
}

/* All or none: what this run attached is taken off again when a later interface refuses. */
static int attach(struct apply *apply)
{
	bool *had = calloc(apply->link_count + 1, sizeof(*had));
	int error = had ? instance_know_host(apply->instance, &apply->host) : -ENOMEM;
	size_t done = 0;

	if (!error)
		error = zones_write(apply->instance, apply->number, apply->zones, apply->zone_count);
	apply->attached = calloc(apply->link_count + 1, sizeof(*apply->attached));
	if (!apply->attached)
		error = -ENOMEM;
	for (; !error && done < apply->link_count; done += !error) {
		struct attachment before;

		interface_look(apply->instance, apply->links[done]->name, &before);
		had[done] = before.xdp;
		error = interface_attach(apply->instance, apply->links[done], apply->request->policy->mode,
					 image_hooks(&apply->image), &apply->attached[done]);
		if (!error && apply->unchanged && !attachment_whole(&before))
			apply_note(apply, "%s was attached again: %s", before.name,
				   before.trouble[0] ? before.trouble : "it had no protection");
	}
	if (!error && image_hooks(&apply->image) & 1u << HOOK_SOCKOPS)
		error = sockops_attach(apply->instance);
	while (error && done--)
		if (!had[done])
			interface_detach(apply->instance, apply->links[done]->name);
	free(had);
	return error ? fail_kernel(error, apply->context->verb) : EXIT_DONE;
}

/* Interfaces that the policy no longer names are left, after the switch; but not while the kernel may yet go back to a
 * policy that names them: it would go back to an interface without protection. */
static void leave_others(struct apply *apply)
{
	struct attachment *attachments;
	size_t count;

	if (is_by_itself(apply->request) || interfaces_attached(apply->instance, &attachments, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		if (asked_for(apply, attachments[i].name))
			continue;
		if (apply->request->confirm_ns) {
			apply_note(
				apply,
				"%s is not in the policy's interfaces: it stays attached until an apply after `bulwark "
				"confirm`",
				attachments[i].name);
			continue;
		}
		if (!interface_detach(apply->instance, attachments[i].name))
			apply_note(apply, "%s is not in the policy's interfaces: detached", attachments[i].name);
	}
	free(attachments);
}

/* ---- going live ---- */

static void describe_slot(const struct apply *apply, struct slot_info *info)
{
	*info = (struct slot_info){
		.generation = apply->number,
		.flags = generation_mark(&apply->image) << 8 |
			 (apply->request->policy->monitor ? SLOT_FLAG_MONITOR : 0) |
			 (apply->image.config.needs_ingress ? SLOT_FLAG_INGRESS : 0) |
			 (apply->image.config.needs_sockops ? SLOT_FLAG_SOCKOPS : 0) |
			 (apply->image.config.profile_shift ? SLOT_FLAG_PROFILE : 0) |
			 (apply->image.config.have_zones ? SLOT_FLAG_ZONES : 0) |
			 (apply->request->closed ? SLOT_FLAG_CLOSED : 0),
		.loaded_at = time(NULL),
	};
	memcpy(info->policy_hash, apply->image.policy_hash, sizeof(info->policy_hash));
	snprintf(info->policy_path, sizeof(info->policy_path), "%s", apply->request->source);
}

static unsigned next_number(const struct apply *apply)
{
	unsigned number = saved_newest(&apply->context->places);

	for (__u32 slot = 0; slot < GENERATION_SLOTS; slot++)
		if (apply->before.slots[slot].generation > number)
			number = apply->before.slots[slot].generation;
	return number + 1;
}

/* What is new since the policy that was live, in one line. */
static void put_changed(const struct apply *apply, json_t *more)
{
	struct report report = {};
	struct policy *before = saved_policy(&apply->context->places, apply->live, &report);
	char *old = before && !report.errors ? policy_print(before) : NULL, line[1024];
	char *new = policy_print(apply->request->policy);
	json_t *differences = old && new ? policy_diff(old, new) : NULL;

	if (json_array_size(differences))
		json_object_set_new(more, "changed", json_string(diff_line(differences, line, sizeof(line))));
	json_decref(differences);
	free(old);
	free(new);
	policy_free(before);
	report_free(&report);
}

static void write_history(struct apply *apply)
{
	const struct apply_request *request = apply->request;
	char hash[65];
	json_t *more;

	hash_text(apply->image.policy_hash, hash);
	more = json_pack("{s:i, s:i, s:s, s:s, s:b}", "generation", (int)apply->number, "from", (int)apply->live,
			 "policy_path", request->source, "hash", hash, "monitor", request->policy->monitor);
	if (more && request->confirm_ns) {
		json_object_set_new(more, "pending", json_true());
		json_object_set_new(more, "confirm_s", json_integer(request->confirm_ns / 1000000000));
	}
	if (more && apply->live)
		put_changed(apply, more);
	if (more && request->renew)
		json_object_set_new(more, "renewed", json_true());
	if (more && request->from_saved)
		json_object_set_new(more, "policy_of", json_integer(request->from_saved));
	if (more)
		json_object_set_new(more, "took_s", json_real((double)(boottime_ns() - apply->began_ns) / 1e9));
	if (history_note(&apply->context->places, request->action, more))
		apply_note(apply, "the history could not be written to %s", apply->context->places.state_dir);
}

/* What fell through until now has been repaired, or was before anything was in force: count from here on. */
static void forget_fallthrough(struct apply *apply)
{
	__u64 packets[HOOK_COUNT], all = 0;

	if (fallthrough_read(apply->instance, packets))
		return;
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		all += packets[hook];
	if (!all)
		return;
	if (apply->live)
		apply_note(apply, "%llu packets in and %llu out had fallen through the root programs unjudged",
			   (unsigned long long)packets[HOOK_XDP], (unsigned long long)packets[HOOK_EGRESS]);
	fallthrough_forget(apply->instance);
}

/* After a boot: what was held before it is held again, and who was known is known, before the first packet is judged.
 */
static void restore(struct apply *apply)
{
	struct bans_restored restored;
	int error;

	if (!instance_made(apply->instance))
		return;
	fingerprints_restore(&apply->context->places, apply->instance);
	error = bans_restore(&apply->context->places, apply->instance, &restored);
	if (error)
		apply_note(apply, "the saved bans could not be read: %s", strerror(-error));
	if (restored.held)
		apply_note(apply, "%zu %s of before are held again", restored.held,
			   plural(restored.held, "ban or exception", "bans and exceptions"));
	if (restored.lost)
		apply_note(apply, "%zu saved bans could not be held again: %s", restored.lost, kernel_words());
}

static int go_live(struct apply *apply)
{
	const struct apply_request *request = apply->request;
	struct slot_info info;
	int error, status;

	status = apply_sysctls(apply);
	if (status)
		return status;
	error = generation_finish(apply->instance, &apply->image, apply->candidate);
	if (!error)
		error = apply_save(apply);
	if (error)
		return fail_kernel(error, apply->context->verb);
	restore(apply);
	status = attach(apply);
	if (status)
		return status;
	describe_slot(apply, &info);
	error = generation_switch(apply->instance, apply->candidate, &info, request->confirm_ns / 1000000);
	if (error)
		return fail_kernel(error, apply->context->verb);
	apply->saved = false; /* it is live: whatever happens now, it stays */
	forget_fallthrough(apply);
	write_history(apply);
	leave_others(apply);
	hooks_leave(apply->instance);
	if (!control_read(apply->instance, &apply->before))
		saved_prune(&apply->context->places, &apply->before);
	return EXIT_DONE;
}

static int stay(struct apply *apply)
{
	int status;

	apply->number = apply->live;
	status = apply_sysctls(apply) ?: attach(apply);
	if (status)
		return status;
	leave_others(apply);
	hooks_leave(apply->instance);
	apply_resave(apply);
	forget_fallthrough(apply);
	if (apply->before.active == SLOT_PAUSED && !control_resume(apply->instance)) {
		apply_note(apply, "the pause has ended");
		history_note(&apply->context->places, "resumed", json_pack("{s:i}", "generation", (int)apply->live));
	}
	return EXIT_DONE;
}

/* The verifier reads the candidate on another CPU meanwhile; what it says of it counts once the trial is passed. */
static int begin_candidate(struct apply *apply)
{
	if (apply->unchanged || apply->request->dry_run)
		return 0;
	apply->number = next_number(apply);
	return generation_begin(apply->instance, &apply->image, apply->number, &apply->candidate);
}

static int try_offline(struct apply *apply)
{
	int error = begin_candidate(apply), status;

	if (!error)
		error = generation_load(&apply->image, apply->candidate, &apply->offline);
	status = error ? fail_kernel(error, apply->context->verb) : apply_tests(apply);
	status = status ?: apply_guard(apply);
	if (!status && !apply->request->boot && !apply->request->renew)
		apply_fit(apply);
	return status;
}

/* A refused first apply leaves nothing: neither an instance in which nothing is in force, nor its saved generation. */
static void clear_away(struct apply *apply)
{
	char told[256];

	if (apply->saved)
		apply_unsave(apply);
	generation_free(apply->candidate); /* it may still be loaded with the instance's maps */
	apply->candidate = NULL;
	if (apply->instance && instance_made(apply->instance)) {
		instance_down(apply->instance);
		sysctls_put_back(&apply->context->places, told, sizeof(told));
	}
}

static int run(struct apply *apply)
{
	int status = apply_fetch(apply);

	if (!status)
		status = compile(apply);
	if (!status)
		status = open_instance(apply);
	if (!status)
		status = look_at_interfaces(apply);
	if (!status)
		status = apply_first(apply);
	if (!status)
		apply_cookies(apply);
	apply->unchanged = !status && same_policy(apply);
	if (!status && !apply->unchanged)
		status = apply_feeds(apply);
	if (!status && (!apply->unchanged || apply->request->cut))
		status = try_offline(apply);
	if (!status && !apply->request->dry_run)
		status = apply->unchanged ? stay(apply) : go_live(apply);
	if (!status && !apply->request->dry_run && apply->request->cut)
		apply_cut(apply);
	if (status)
		clear_away(apply);
	return status ?: apply_say(apply);
}

/* A renewal is tried again and again by bulwarkd, which tells of it itself. */
void apply_refused(const struct context *context, const struct apply_request *request, size_t tests_failed)
{
	if (!request->dry_run && !request->renew)
		history_note(&context->places, "refused",
			     json_pack("{s:s?, s:s, s:I}", "policy_path", request->source, "why", fail_words(),
				       "tests_failed", (json_int_t)tests_failed));
}

int apply_policy(struct context *context, const struct apply_request *request)
{
	struct apply apply = {.context = context, .request = request, .notes = json_array(), .began_ns = boottime_ns()};
	int status = apply.notes ? run(&apply) : fail(EXIT_SYSTEM, "%s", strerror(ENOMEM));

	if (status)
		apply_refused(context, request, apply.tests_failed);
	feed_cache_settle(!status && !request->dry_run);
	generation_free(apply.candidate);
	generation_free(apply.offline);
	instance_close(apply.instance);
	image_free(&apply.image);
	host_free(&apply.host);
	report_free(&apply.report);
	json_decref(apply.live_description);
	json_decref(apply.notes);
	free(apply.links);
	free(apply.zones);
	free(apply.attached);
	free(apply.findings);
	return status;
}
