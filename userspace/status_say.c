/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand, for people: the gravest first, one screen. */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "status.h"

#define REASONS_SHOWN 12

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

/* " in zone mgmt, guests (VLAN 40)" */
static void say_zones(const json_t *zones)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)zones, i, one)
	{
		json_int_t vlan = json_integer_value(json_object_get(one, "vlan"));

		printf("%s%s", i ? ", " : ", in zone ", json_string_value(json_object_get(one, "zone")));
		if (vlan)
			printf(" (VLAN %d)", (int)vlan);
	}
}

static void say_interfaces(const struct status *status, const json_t *document)
{
	const json_t *rows = json_object_get(document, "interfaces");
	json_t *one;
	size_t i;

	for (i = 0; i < status->attachment_count; i++) {
		const struct attachment *attachment = &status->attachments[i];

		printf("  %-15s %s%s%s%s", attachment->name,
		       !attachment->xdp	    ? "not attached"
		       : attachment->native ? "native"
					    : "generic",
		       attachment->why_generic[0] ? ": " : "", attachment->why_generic,
		       attachment->xdp && !attachment->egress ? ", no egress program" : "");
		say_zones(json_object_get(json_array_get(rows, i), "zones"));
		putchar('\n');
	}
	json_array_foreach(status->unprotected, i, one)
		printf("  %-15s up, without protection\n", json_string_value(one));
	json_array_foreach(status->tunnels, i, one) printf("  %-15s %s: judged by its outer header, as it comes in\n",
							   json_string_value(json_object_get(one, "name")),
							   json_string_value(json_object_get(one, "kind")));
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

static void say_armed(const json_t *document)
{
	const json_t *rows = json_object_get(document, "syn_cookies_armed");
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) printf("  SYN cookies: service %s answers with them, for %.0f s now\n",
						json_string_value(json_object_get(row, "service")),
						json_real_value(json_object_get(row, "for_s")));
}

static void say_networks(const json_t *networks)
{
	const json_t *one;
	size_t i;

	json_array_foreach(networks, i, one)
	{
		printf("%s%s (%.0f %% +/- %.0f)", i ? ", " : "    most from ",
		       json_string_value(json_object_get(one, "prefix")),
		       100 * json_real_value(json_object_get(one, "share")),
		       100 * json_real_value(json_object_get(one, "share_error")));
	}
	printf("%s\n", i ? "" : "    from all over: no network sends a part that stands out");
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
	say_networks(json_object_get(row, "networks"));
}

static void say_attacks(const json_t *document)
{
	const json_t *rows = json_object_get(document, "attacks");
	const json_t *row;
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
}

static void say_profiles(const struct status *status, const json_t *document)
{
	const json_t *rows = json_object_get(document, "under_attack_profile");
	const json_t *row;
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
}

static void say_rates(const struct status *status)
{
	static const char *const words[] = {"pass", "drop", "reply", "would drop"};

	printf("  now:");
	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
		if (verdict < VERDICT_REPLY || status->now.verdicts[verdict])
			printf("%s %.0f/s %s", verdict ? "," : "",
			       status_rate(status->before.verdicts[verdict], status->now.verdicts[verdict]),
			       words[verdict]);
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
static void say_drops(const json_t *document)
{
	static const struct column columns[] = {
		{"verdict", "VERDICT", false, NULL},
		{"reason", "REASON", false, NULL},
		{"packets", "PACKETS", true, NULL},
		{"rate", "PER SECOND", true, text_count},
		{},
	};
	json_t *rows = json_object_get(document, "packets"), *sorted[VERDICT_COUNT * REASON_COUNT], *row;
	json_t *drops = json_array();
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
}

static const char *text_closed(const json_t *value, char *buffer, size_t size)
{
	snprintf(buffer, size, "%lld fin, %lld reset, %lld timeout, %lld abort",
		 json_integer_value(json_object_get(value, "fin")), json_integer_value(json_object_get(value, "reset")),
		 json_integer_value(json_object_get(value, "timeout")),
		 json_integer_value(json_object_get(value, "abort")));
	return buffer;
}

/* Half of them were below it. */
static const char *text_median(const json_t *value, char *buffer, size_t size)
{
	double seconds = json_number_value(json_object_get(value, "median"));

	if (!json_is_object(value))
		return "-";
	if (seconds < 1)
		snprintf(buffer, size, "<%.3g ms", seconds * 1e3);
	else
		snprintf(buffer, size, "<%.3g s", seconds);
	return buffer;
}

/* What became of connections, where the policy wants it (metrics: { connections: true }). */
static void say_connections(const json_t *document)
{
	static const struct column columns[] = {
		{"service", "CONNECTIONS", false, NULL},
		{"open", "OPEN", true, text_count},
		{"opened", "OPENED", true, text_count},
		{"closed", "ENDED", false, text_closed},
		{"retransmits", "SENT AGAIN", true, text_count},
		{"handshake_s", "HANDSHAKE", true, text_median},
		{"rtt_s", "ROUND TRIP", true, text_median},
		{"duration_s", "LASTED", true, text_median},
		{},
	};
	const json_t *rows = json_object_get(document, "connections");

	if (!json_array_size(rows))
		return;
	putchar('\n');
	print_table(rows, columns);
}

void status_say(const struct status *status, const json_t *document)
{
	printf("%s\n", json_string_value(json_object_get(document, "status")));
	say_problems(status);
	say_generation(status);
	say_interfaces(status, document);
	if (status->live) {
		say_attacks(document);
		say_profiles(status, document);
		say_armed(document);
		say_rates(status);
		say_proven(status);
	}
	say_connections(document);
	say_drops(document);
}
