/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attacks: what came to each service in the last second goes to the detector (attack.c), what it says into the log and
 * into the pinned stances, where a daemon that comes after this one finds it. What is usual is kept in
 * STATE/baselines.json over restarts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attack.h"
#include "daemon.h"
#include "judge.h"

#define SAVE_NS (60ULL * 1000000000)
#define LOOK_BACK_NS (2ULL * 1000000000) /* who sends: in so long */
#define RATES 5				 /* members of struct attack_rates */
_Static_assert(sizeof(struct attack_rates) == RATES * sizeof(double), "all of them are saved");

struct watched { /* a service; row 0: what belongs to none */
	char name[64];
	__u16 row;
	bool profile_told;
	bool followed; /* before says what had come at the last look */
	struct attack attack;
	__u64 before[VERDICT_COUNT][PROOF_COUNT];
	__u16 concentration, strangers; /* as in struct stance, at its worst so far */
	json_t *networks;		/* likewise: who sends most (hitters.h); NULL: not known */
};

struct sampled { /* read when a service is loud, once a look */
	bool read;
	struct weighed_sample *items;
	size_t count;
};

struct attack_watch {
	struct watched *items;
	size_t count;
	json_t *saved; /* baselines as they were read: of services that have not been seen yet, too */
	__u64 looked_ns, saved_ns;
	bool reasons_known;
	__u64 reasons[REASON_SLOTS]; /* packets refused so far */
};

/* ---- what is usual, on the disk ---- */

static void rates_read(const json_t *array, struct attack_rates *rates)
{
	double *values = (double *)rates;

	for (size_t i = 0; i < RATES; i++) {
		values[i] = json_number_value(json_array_get(array, i));
		if (!(values[i] >= 0 && values[i] < 1e12))
			values[i] = 0;
	}
}

static json_t *rates_json(const struct attack_rates *rates)
{
	const double *values = (const double *)rates;
	json_t *array = json_array();

	for (size_t i = 0; i < RATES; i++)
		json_array_append_new(array, json_real(values[i]));
	return array;
}

static void baseline_read(const json_t *object, struct attack_baseline *baseline)
{
	double seconds = json_number_value(json_object_get(object, "seconds"));

	baseline->seconds = seconds >= 0 && seconds < 1e12 ? seconds : 0;
	rates_read(json_object_get(object, "usual"), &baseline->usual);
	for (size_t i = 0; i < ATTACK_HOURS; i++)
		rates_read(json_array_get(json_object_get(object, "hours"), i), &baseline->hours[i]);
}

static json_t *baseline_json(const struct attack_baseline *baseline)
{
	json_t *hours = json_array();

	for (size_t i = 0; i < ATTACK_HOURS; i++)
		json_array_append_new(hours, rates_json(&baseline->hours[i]));
	return json_pack("{s:f, s:o, s:o}", "seconds", baseline->seconds, "usual", rates_json(&baseline->usual),
			 "hours", hours);
}

/* Renamed into place; what cannot be saved is learned again. */
static void baselines_save(struct daemon *daemon)
{
	char path[SAVED_PATH_MAX], temporary[SAVED_PATH_MAX];
	struct attack_watch *watch = daemon->attacks;

	watch->saved_ns = monotonic_ns();
	for (size_t i = 0; i < watch->count; i++)
		json_object_set_new(watch->saved, watch->items[i].name,
				    baseline_json(&watch->items[i].attack.baseline));
	saved_path(&daemon->places, 0, "baselines.json", path);
	saved_path(&daemon->places, 0, "baselines.json.new", temporary);
	if (!json_dump_file(watch->saved, temporary, JSON_COMPACT | JSON_REAL_PRECISION(9)))
		rename(temporary, path);
}

void attacks_begin(struct daemon *daemon)
{
	struct attack_watch *watch = calloc(1, sizeof(*watch));
	char path[SAVED_PATH_MAX];

	daemon->attacks = watch;
	if (!watch)
		return;
	watch->saved = json_load_file(saved_path(&daemon->places, 0, "baselines.json", path), 0, NULL);
	if (!json_is_object(watch->saved)) {
		json_decref(watch->saved);
		watch->saved = json_object();
	}
	watch->saved_ns = monotonic_ns();
}

void attacks_close(struct daemon *daemon)
{
	struct attack_watch *watch = daemon->attacks;

	if (!watch)
		return;
	baselines_save(daemon);
	json_decref(watch->saved);
	for (size_t i = 0; i < watch->count; i++)
		json_decref(watch->items[i].networks);
	free(watch->items);
	free(watch);
	daemon->attacks = NULL;
}

/* ---- saying it ---- */

static double epoch_of(__u64 stance_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9 - ((double)stance_now_ns() - (double)stance_ns) / 1e9;
}

static json_t *attack_line(const struct watched *watched, const char *action, __u64 at_ns)
{
	const struct attack *attack = &watched->attack;
	json_t *line = json_pack("{s:f, s:s, s:s, s:s?, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "time",
				 epoch_of(at_ns), "action", action, "reason", cause_name(attack->cause), "service",
				 watched->row ? watched->name : NULL, "start", epoch_of(attack->since_ns), "rate",
				 (json_int_t)attack->rate, "peak", (json_int_t)attack->peak, "packets",
				 (json_int_t)attack->arrived, "refused", (json_int_t)attack->refused, "proven_share",
				 attack_open_share(attack) / 1000.0, "new_share", attack_syn_share(attack) / 1000.0,
				 "detected_s", attack->detected_ms / 1000.0);

	json_object_set_new(line, "mitigated_s",
			    attack->mitigated_ms == MITIGATED_NOT ? json_null()
								  : json_real(attack->mitigated_ms / 1000.0));
	json_object_set_new(line, "concentration", stance_share_json(watched->concentration));
	json_object_set_new(line, "new_sources_share", stance_share_json(watched->strangers));
	if (watched->networks)
		json_object_set(line, "networks", watched->networks);
	return line;
}

static void tell_change(struct daemon *daemon, const struct watched *watched, enum attack_change change)
{
	const char *name = watched->row ? watched->name : "this host";
	const struct attack *attack = &watched->attack;
	bool began = change == ATTACK_STARTED;
	char message[256];
	json_t *line;

	if (change == ATTACK_UNCHANGED)
		return;
	if (began)
		snprintf(message, sizeof(message), "%s is under attack: %s, %.0f packets a second", name,
			 cause_name(attack->cause), attack->rate);
	else
		snprintf(message, sizeof(message), "the attack on %s is over: %s, %.0f packets a second at worst", name,
			 cause_name(attack->cause), attack->peak);
	line = attack_line(watched, began ? "attack-started" : "attack-ended", stance_now_ns());
	json_object_set_new(line, "message", json_string(message));
	if (!began)
		json_object_set_new(line, "end", json_real(epoch_of(attack->seen_ns)));
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
	tell_alert(daemon, line);
}

/* ---- the pinned stances ---- */

static void put_stance(struct daemon *daemon, const struct watched *watched)
{
	const struct attack *attack = &watched->attack;
	struct stance stance = {
		.attack_since_ns = attack->since_ns,
		.attack_seen_ns = attack->seen_ns,
		.told_ns = stance_now_ns(),
		.rate = attack->rate < 4e9 ? (__u32)attack->rate : ~0u,
		.peak = attack->peak < 4e9 ? (__u32)attack->peak : ~0u,
		.attacks = attack->attacks,
		.detected_ms = attack->detected_ms,
		.mitigated_ms = attack->mitigated_ms,
		.proven = (__u16)attack_open_share(attack),
		.fresh = (__u16)attack_syn_share(attack),
		.concentration = watched->concentration,
		.strangers = watched->strangers,
		.state = (__u8)attack->state,
		.cause = (__u8)attack->cause,
		.profile_told = watched->profile_told,
	};

	stance_write(daemon->instance, watched->row, &stance);
}

/* Goes on where the daemon before this one was. */
static void adopt(struct attack *attack, const struct stance *stance)
{
	attack->attacks = stance->attacks;
	attack->detected_ms = stance->detected_ms;
	attack->mitigated_ms = stance->mitigated_ms;
	attack->cause = stance->cause;
	attack->peak = stance->peak;
	attack->since_ns = stance->attack_since_ns;
	if (stance->state != STANCE_ATTACK)
		return;
	attack->state = STANCE_ATTACK;
	attack->seen_ns = stance_now_ns(); /* it may have gone on while nobody looked */
}

/* ---- following ---- */

static struct watched *watched_of(struct daemon *daemon, __u16 row, const char *name)
{
	struct attack_watch *watch = daemon->attacks;
	struct watched *larger, *one;
	struct stance stance;

	for (size_t i = 0; i < watch->count; i++)
		if (watch->items[i].row == row && !strcmp(watch->items[i].name, name))
			return &watch->items[i];
	larger = reallocarray(watch->items, watch->count + 1, sizeof(*larger));
	if (!larger)
		return NULL;
	watch->items = larger;
	one = &larger[watch->count++];
	*one = (struct watched){.row = row, .attack.host = !row};
	snprintf(one->name, sizeof(one->name), "%s", name);
	baseline_read(json_object_get(watch->saved, name), &one->attack.baseline);
	if (!stance_read(daemon->instance, row, &stance)) {
		one->profile_told = stance.profile_told;
		one->concentration = stance.concentration;
		one->strangers = stance.strangers;
		adopt(&one->attack, &stance);
	}
	return one;
}

static __u64 since(__u64 now, __u64 before)
{
	return now > before ? now - before : 0;
}

/* What came since the last look; false: there was none, or the tables were made anew. */
static bool take_load(struct watched *watched, const __u64 now[VERDICT_COUNT][PROOF_COUNT],
		      struct attack_sample *sample)
{
	bool known = watched->followed;

	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
		for (unsigned proof = 0; proof < PROOF_COUNT; proof++) {
			__u64 more = since(now[verdict][proof], watched->before[verdict][proof]);

			/* a would-drop is counted once more, under what became of the packet */
			if (verdict != VERDICT_WOULD_DROP)
				sample->arrived[proof] += more;
			if (verdict != VERDICT_PASS)
				sample->refused[proof] += more;
		}
	for (unsigned proof = 0; proof < PROOF_COUNT; proof++)
		if (sample->refused[proof] > sample->arrived[proof])
			sample->refused[proof] = sample->arrived[proof];
	memcpy(watched->before, now, sizeof(watched->before));
	watched->followed = true;
	return known;
}

/* At its worst, or when nothing is known of this attack yet: what people are told of it. */
static void remember(struct watched *watched, const struct hitters *hitters, const struct attack_sample *sample)
{
	const struct attack *attack = &watched->attack;
	__u64 arrived = sample->arrived[PROOF_NONE] + sample->arrived[PROOF_SYN] + sample->arrived[PROOF_OPEN];

	if (attack->state == STANCE_ATTACK && watched->networks &&
	    (double)arrived * 1e9 < attack->peak * (double)sample->length_ns)
		return;
	json_decref(watched->networks);
	watched->networks = hitters_json(hitters);
	watched->concentration = hitters_concentration(hitters);
	watched->strangers = hitters_strangers(hitters);
}

/* Who sends, where it is loud. Without that the detector goes by what it counts. */
static void look_closer(struct daemon *daemon, struct watched *watched, struct sampled *sampled,
			struct attack_sample *sample)
{
	struct hitters hitters;

	if (!attack_is_loud(&watched->attack, sample))
		return;
	if (!sampled->read && samples_read(daemon->instance, LOOK_BACK_NS, &sampled->items, &sampled->count))
		sampled->count = 0;
	sampled->read = true;
	if (sampled->count && !hitters_networks(sampled->items, sampled->count, watched->row, &hitters)) {
		sample->concentration = stance_share(hitters_concentration(&hitters));
		remember(watched, &hitters, sample);
		hitters_free(&hitters);
	}
}

static void step(struct daemon *daemon, struct watched *watched, const struct attack_sample *sample)
{
	bool peace = watched->attack.state == STANCE_NORMAL && !watched->profile_told;
	enum attack_change change = attack_step(&watched->attack, sample);

	tell_change(daemon, watched, change);
	profile_follow(daemon, watched->row, watched->name, &watched->attack, &watched->profile_told);
	if (!peace || watched->attack.state != STANCE_NORMAL || watched->profile_told)
		put_stance(daemon, watched);
}

/* Packets refused in this tick, by reason; the sum. */
static __u64 refused_by_reason(struct daemon *daemon, __u64 refused[REASON_SLOTS])
{
	__u64 now[REASON_SLOTS] = {}, sum = 0;
	struct attack_watch *watch = daemon->attacks;
	struct counter_row *rows = NULL;
	size_t count = 0;

	memset(refused, 0, REASON_SLOTS * sizeof(*refused));
	if (counters_read(daemon->instance, &rows, &count))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (rows[i].verdict != VERDICT_PASS && rows[i].reason < REASON_SLOTS)
			now[rows[i].reason] += rows[i].counter.packets;
	free(rows);
	for (unsigned reason = 0; reason < REASON_SLOTS; reason++) {
		refused[reason] = watch->reasons_known ? since(now[reason], watch->reasons[reason]) : 0;
		sum += refused[reason];
	}
	memcpy(watch->reasons, now, sizeof(now));
	watch->reasons_known = true;
	return sum;
}

/* What no service is asked about before it is given. */
static bool is_of_host(unsigned reason)
{
	return reason != REASON_RATE_PACKETS && reason != REASON_RATE_BYTES && reason != REASON_RATE_CONNECTIONS &&
	       reason != REASON_NOT_ALLOWED && reason != REASON_SYN_COOKIE && reason != REASON_SYN_OVERLOAD;
}

static unsigned most_refused(const __u64 refused[REASON_SLOTS], bool of_host)
{
	unsigned most = 0;

	for (unsigned reason = 1; reason < REASON_SLOTS; reason++)
		if (refused[reason] > refused[most] && (!of_host || is_of_host(reason)))
			most = reason;
	return most;
}

static struct attack_sample sample_now(struct attack_watch *watch)
{
	struct attack_sample sample = {.now_ns = stance_now_ns()};
	time_t now = time(NULL);
	struct tm broken;

	gmtime_r(&now, &broken);
	sample.hour = (unsigned)broken.tm_hour;
	sample.length_ns = watch->looked_ns ? since(sample.now_ns, watch->looked_ns) : 0;
	watch->looked_ns = sample.now_ns;
	return sample;
}

static void look_at_services(struct daemon *daemon, const struct service_load *loads, size_t count)
{
	struct attack_sample tick = sample_now(daemon->attacks), of_host = tick;
	__u64 reasons[REASON_SLOTS], refused = refused_by_reason(daemon, reasons);
	struct sampled sampled = {};
	struct watched *host;

	tick.reason = most_refused(reasons, false);
	of_host.reason = most_refused(reasons, true);
	for (size_t i = 0; i < count; i++) {
		struct watched *watched = watched_of(daemon, loads[i].row, loads[i].name);
		__u64 packets[VERDICT_COUNT][PROOF_COUNT];
		struct attack_sample sample = tick;

		for (unsigned at = 0; at < VERDICT_COUNT * PROOF_COUNT; at++)
			packets[at / PROOF_COUNT][at % PROOF_COUNT] =
				loads[i].counters[at / PROOF_COUNT][at % PROOF_COUNT].packets;
		if (!watched || !take_load(watched, packets, &sample))
			continue;
		for (unsigned proof = 0; proof < PROOF_COUNT; proof++)
			refused = since(refused, sample.refused[proof]);
		if (!tick.length_ns)
			continue;
		look_closer(daemon, watched, &sampled, &sample);
		step(daemon, watched, &sample);
	}
	of_host.arrived[PROOF_NONE] = of_host.refused[PROOF_NONE] = refused;
	host = watched_of(daemon, 0, "");
	if (host && tick.length_ns && host->followed) {
		look_closer(daemon, host, &sampled, &of_host);
		step(daemon, host, &of_host);
	}
	if (host)
		host->followed = true;
	free(sampled.items);
}

/* Nothing is pinned any more: what goes on, nobody sees. */
static void leave(struct daemon *daemon)
{
	struct attack_watch *watch = daemon->attacks;

	for (size_t i = 0; i < watch->count; i++) {
		struct watched *watched = &watch->items[i];

		watched->followed = false;
		if (watched->attack.state == STANCE_ATTACK)
			tell_change(daemon, watched, ATTACK_ENDED);
		watched->attack.state = STANCE_NORMAL;
		json_decref(watched->networks);
		watched->networks = NULL;
	}
	if (watch->looked_ns)
		baselines_save(daemon);
	watch->reasons_known = false;
	watch->looked_ns = 0;
	watch->count = 0; /* rows may have other names when it comes back */
}

void attacks_look(struct daemon *daemon)
{
	struct service_load *loads = NULL;
	size_t count = 0;

	if (!daemon->attacks)
		return;
	if (!daemon->instance) {
		leave(daemon);
		return;
	}
	if (!service_loads_read(daemon->instance, &loads, &count))
		look_at_services(daemon, loads, count);
	free(loads);
	if (monotonic_ns() - daemon->attacks->saved_ns >= SAVE_NS)
		baselines_save(daemon);
}
