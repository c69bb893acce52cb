/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand, as a JSON document: the fields are those of `bulwark status --json`. */
#include <stdlib.h>

#include "judge.h"
#include "status.h"
#include "zones.h"

#define STALE_NS 5000000000ULL /* bulwarkd says every second how things stand */

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

struct live_zones {
	struct policy *policy; /* NULL: it has none */
	struct zone_member *members;
	size_t count;
};

static json_t *reasons_json(const struct status *status)
{
	json_t *rows = json_array();

	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
		for (unsigned reason = 1; reason < REASON_COUNT; reason++) {
			const struct counter *now = &status->now.reasons[verdict][reason];

			if (!now->packets)
				continue;
			json_array_append_new(
				rows,
				json_pack("{s:s, s:s, s:I, s:I, s:f}", "verdict", verdict_name(verdict), "reason",
					  reason_name(reason), "packets", (json_int_t)now->packets, "bytes",
					  (json_int_t)now->bytes, "rate",
					  status_rate(status->before.reasons[verdict][reason].packets, now->packets)));
		}
	return rows;
}

/* Of one interface: what the programs know, by the names of the policy that they were made of. */
static json_t *zones_of(const struct live_zones *zones, unsigned ifindex)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < zones->count; i++) {
		const struct zone_member *member = &zones->members[i];

		if (member->ifindex == ifindex && member->zone && member->zone <= zones->policy->zone_count)
			json_array_append_new(rows, json_pack("{s:s, s:i}", "zone",
							      zones->policy->zones[member->zone - 1].name, "vlan",
							      member->vlan));
	}
	return rows;
}

static void zones_open(const struct status *status, struct live_zones *zones)
{
	struct report report = {};

	*zones = (struct live_zones){};
	if (!status->live || !(status->live->flags & SLOT_FLAG_ZONES))
		return;
	zones->policy = saved_policy(&status->context->places, status->live->generation, &report);
	if (zones->policy && !report.errors)
		zones_read(status->instance, status->live->generation, &zones->members, &zones->count);
	report_free(&report);
}

static json_t *interfaces_json(const struct status *status)
{
	json_t *rows = json_array();
	struct live_zones zones;

	zones_open(status, &zones);

	for (size_t i = 0; i < status->attachment_count; i++) {
		const struct attachment *attachment = &status->attachments[i];

		json_array_append_new(
			rows,
			json_pack("{s:s, s:s?, s:s?, s:b, s:b, s:s?, s:s?, s:o}", "name", attachment->name, "mode",
				  !attachment->xdp     ? NULL
				  : attachment->native ? "native"
						       : "generic",
				  "why_generic", attachment->why_generic[0] ? attachment->why_generic : NULL, "egress",
				  attachment->egress, "ingress", attachment->ingress, "egress_by",
				  !attachment->egress	      ? NULL
				  : attachment->egress_is_tcx ? "tcx"
							      : "clsact",
				  "trouble", attachment->trouble[0] ? attachment->trouble : NULL, "zones",
				  zones_of(&zones, attachment->ifindex)));
	}
	free(zones.members);
	policy_free(zones.policy);
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

#define LOOK_BACK_NS (10ULL * 1000000000)

/* Who sends to a service that is under attack, now: by the packets that the programs sampled, whether bulwarkd runs or
 * not. */
static json_t *networks_json(const struct status *status, __u16 row)
{
	struct weighed_sample *samples = NULL;
	struct hitters hitters = {};
	json_t *networks;
	size_t count;

	if (!samples_read(status->instance, LOOK_BACK_NS, &samples, &count))
		hitters_networks(samples, count, row, &hitters);
	networks = hitters_json(&hitters);
	hitters_free(&hitters);
	free(samples);
	return networks;
}

static json_t *attack_json(const struct status *status, const struct stance_row *row)
{
	const struct stance *stance = &row->stance;

	return json_pack("{s:s, s:f, s:I, s:f, s:f, s:f, s:o, s:o, s:o}", "cause", cause_name(stance->cause), "for_s",
			 (double)(stance_now_ns() - stance->attack_since_ns) / 1e9, "peak", (json_int_t)stance->peak,
			 "proven_share", stance->proven / 1000.0, "new_share", stance->fresh / 1000.0, "detected_s",
			 stance->detected_ms / 1000.0, "concentration", stance_share_json(stance->concentration),
			 "new_sources_share", stance_share_json(stance->strangers), "networks",
			 networks_json(status, row->row));
}

/* Services that are not at peace, as bulwarkd last said. */
static json_t *attacks_json(const struct status *status, const struct stance_row *rows, size_t count)
{
	static const char *const states[] = {
		[STANCE_NORMAL] = "normal", [STANCE_SURGE] = "surge", [STANCE_ATTACK] = "attack"};
	__u64 now = stance_now_ns();
	json_t *all = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct stance *stance = &rows[i].stance;
		json_t *one;

		if (stance->state == STANCE_NORMAL || stance->state > STANCE_ATTACK)
			continue;
		one = json_pack("{s:s?, s:s, s:I, s:b}", "service", rows[i].row ? rows[i].name : NULL, "state",
				states[stance->state], "rate", (json_int_t)stance->rate, "stale",
				now - stance->told_ns > STALE_NS);
		if (stance->state == STANCE_ATTACK)
			json_object_update_new(one, attack_json(status, &rows[i]));
		if (stance->state == STANCE_ATTACK && stance->mitigated_ms != MITIGATED_NOT)
			json_object_set_new(one, "mitigated_s", json_real(stance->mitigated_ms / 1000.0));
		json_array_append_new(all, one);
	}
	return all;
}

static json_t *profiles_json(const struct stance_row *rows, size_t count)
{
	__u64 now = stance_now_ns();
	json_t *all = json_array();

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
	return all;
}

/* The power of two that so many of the values are below; the last bucket has none. */
static double histogram_below(const struct histogram *histogram, double part)
{
	__u64 total = 0, seen = 0;
	unsigned bucket;

	for (bucket = 0; bucket <= HISTOGRAM_BUCKETS; bucket++)
		total += histogram->bucket[bucket];
	for (bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->bucket[bucket];
		if ((double)seen >= part * (double)total)
			break;
	}
	return (double)(1ULL << bucket);
}

/* null: of no connection. unit: of its values, in seconds. */
static json_t *spread_json(const struct histogram *histogram, double unit)
{
	bool any = false;

	for (unsigned bucket = 0; bucket <= HISTOGRAM_BUCKETS; bucket++)
		any |= histogram->bucket[bucket] != 0;
	if (!any)
		return json_null();
	return json_pack("{s:f, s:f}", "median", histogram_below(histogram, 0.5) * unit, "p99",
			 histogram_below(histogram, 0.99) * unit);
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
			json_pack("{s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:I, s:o, s:o, "
				  "s:o}",
				  "service", rows[i].name, "opened", (json_int_t)sums->opened, "open",
				  (json_int_t)connections_now(sums), "closed", "fin", (json_int_t)sums->closed[END_FIN],
				  "reset", (json_int_t)sums->closed[END_RESET], "timeout",
				  (json_int_t)sums->closed[END_TIMEOUT], "abort", (json_int_t)sums->closed[END_ABORT],
				  "bytes", "in", (json_int_t)sums->bytes[DIRECTION_OF_CLIENT], "out",
				  (json_int_t)sums->bytes[DIRECTION_OF_SERVICE], "segments", "in",
				  (json_int_t)sums->segments[DIRECTION_OF_CLIENT], "out",
				  (json_int_t)sums->segments[DIRECTION_OF_SERVICE], "retransmits",
				  (json_int_t)sums->retransmits, "handshake_s", spread_json(&sums->handshake_us, 1e-6),
				  "rtt_s", spread_json(&sums->rtt_us, 1e-6), "duration_s",
				  spread_json(&sums->duration_ms, 1e-3)));
	}
	free(rows);
	return all;
}

/* null: no limit asks for them. */
static json_t *senders_json(const struct status *status)
{
	struct slow_looks looks;

	if (slow_looks_read(status->instance, &looks))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:o, s:f}", "followed", (json_int_t)looks.followed, "beyond",
			 (json_int_t)looks.beyond, "slow", (json_int_t)looks.slow, "looked_s",
			 looks.at_ns ? json_real((double)(stance_now_ns() - looks.at_ns) / 1e9) : json_null(), "took_s",
			 (double)looks.took_ns / 1e9);
}

/* What the pinned maps say, where they can be read. */
static void put_state(const struct status *status, json_t *all)
{
	struct stance_row *rows = NULL;
	size_t count = 0;

	if (stances_read(status->instance, &rows, &count))
		count = 0;
	json_object_set_new(all, "senders", senders_json(status));
	json_object_update_new(all, json_pack("{s:o, s:o, s:o, s:o}", "syn_cookies_armed", armed_json(status),
					      "attacks", attacks_json(status, rows, count), "under_attack_profile",
					      profiles_json(rows, count), "connections", connections_json(status)));
	free(rows);
}

json_t *status_document(const struct status *status)
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
		json_object_set(all, "tunnels", status->tunnels);
		put_generation(status, all);
		json_object_set_new(all, "proven_clients_dropped_5m", json_integer(status->proven_drops));
	}
	if (all && !*instance_broken(status->instance))
		put_state(status, all);
	if (all && status->control.reverted)
		json_object_set_new(all, "reverted", json_true());
	return all;
}
