/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Now and then one event sums up what no single event holds and `bulwark report` advises from: how much came to each
 * service meanwhile, which limits there are, how old feeds are. Of a policy with very many, the first ones.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "remote.h"

#define ROWS_MOST 150			 /* of each kind: a line has its bounds */
#define SHORTEST_NS (60ULL * 1000000000) /* at the end of the daemon nothing shorter is told */

static __u64 refused(const struct service_load *load)
{
	__u64 packets = 0;

	for (unsigned proof = 0; proof < PROOF_COUNT; proof++)
		packets += load->counters[VERDICT_DROP][proof].packets + load->counters[VERDICT_REPLY][proof].packets;
	return packets;
}

static __u64 passed(const struct service_load *load)
{
	__u64 packets = 0;

	for (unsigned proof = 0; proof < PROOF_COUNT; proof++)
		packets += load->counters[VERDICT_PASS][proof].packets;
	return packets;
}

static const struct service_load *load_before(const struct summary *summary, const struct service_load *load)
{
	for (size_t i = 0; i < summary->count; i++)
		if (summary->loads[i].row == load->row && !strcmp(summary->loads[i].name, load->name))
			return &summary->loads[i];
	return NULL;
}

/* Counters that began anew since then count from nothing. */
static json_int_t since(__u64 now, __u64 before)
{
	return (json_int_t)(now >= before ? now - before : now);
}

static json_t *services_json(const struct summary *summary, const struct service_load *loads, size_t count)
{
	json_t *services = json_array();

	for (size_t i = 0; i < count && i < ROWS_MOST; i++) {
		const struct service_load *before = load_before(summary, &loads[i]);

		json_array_append_new(services,
				      json_pack("{s:s, s:I, s:I}", "name", loads[i].name, "passed",
						since(passed(&loads[i]), before ? passed(before) : 0), "refused",
						since(refused(&loads[i]), before ? refused(before) : 0)));
	}
	return services;
}

static json_t *limits_json(const json_t *description)
{
	json_t *limits = json_array();
	const json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(description, "rules"), i, rule)
	{
		const char *kind = json_string_value(json_object_get(rule, "kind"));

		if (kind && !strcmp(kind, "limit") && json_array_size(limits) < ROWS_MOST)
			json_array_append_new(limits,
					      json_pack("{s:O?, s:O?}", "service", json_object_get(rule, "name"),
							"rule", json_object_get(rule, "place")));
	}
	return limits;
}

static json_t *feeds_json(const json_t *description)
{
	json_int_t now = time(NULL);
	json_t *feeds = json_array();
	const json_t *list;
	size_t i;

	json_array_foreach(json_object_get(description, "lists"), i, list)
	{
		const char *feed = json_string_value(json_object_get(list, "feed"));
		json_int_t written = json_integer_value(json_object_get(list, "feed_mtime"));

		if (feed && written > 0 && json_array_size(feeds) < ROWS_MOST)
			json_array_append_new(feeds,
					      json_pack("{s:O?, s:I}", "list", json_object_get(list, "name"), "age_s",
							now - (json_int_t)remote_confirmed(feed, (time_t)written)));
	}
	return feeds;
}

static double time_of_day(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void tell(struct daemon *daemon, const struct service_load *loads, size_t count, __u64 lasted_ns)
{
	json_t *description = saved_description(&daemon->places, daemon->generation);
	double now = time_of_day();

	tell_line(daemon, json_pack("{s:f, s:s, s:f, s:f, s:o, s:o, s:o}", "time", now, "action", "summary", "start",
				    now - (double)lasted_ns / 1e9, "end", now, "services",
				    services_json(&daemon->summary, loads, count), "limits", limits_json(description),
				    "feeds", feeds_json(description)));
	json_decref(description);
}

/* The first look only remembers how things stand. */
void summary_look(struct daemon *daemon, bool flush)
{
	struct summary *summary = &daemon->summary;
	__u64 now = monotonic_ns(), lasted = now - summary->since_ns;
	struct service_load *loads = NULL;
	size_t count = 0;

	if (!daemon->instance || !daemon->generation ||
	    (summary->since_ns && lasted < (flush ? SHORTEST_NS : summary->every_ns)))
		return;
	if (service_loads_read(daemon->instance, &loads, &count))
		return;
	if (summary->since_ns)
		tell(daemon, loads, count, lasted);
	free(summary->loads);
	*summary = (struct summary){summary->every_ns, now, loads, count};
}

void summary_close(struct daemon *daemon)
{
	free(daemon->summary.loads);
	daemon->summary.loads = NULL;
}
