/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `under-attack` of the policy in force: switched on for a service when an attack on it begins, and held as long as the
 * attack goes on and `hold` longer. The end is in the switch itself, and put off every second: a daemon that dies takes
 * no profile with it, and leaves none behind for good. What a person switched is left alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attack.h"
#include "daemon.h"

#define NS_PER_S 1000000000ULL

/* What the description of the generation in force says of it. */
static void learn_rules(struct daemon *daemon)
{
	struct profile_rules *rules = &daemon->profiles;
	json_t *description, *under_attack;

	if (rules->generation == daemon->generation)
		return;
	json_decref(rules->services);
	*rules = (struct profile_rules){.generation = daemon->generation};
	description = daemon->generation ? saved_description(&daemon->places, daemon->generation) : NULL;
	under_attack = json_object_get(description, "under_attack");
	rules->services = json_incref(json_object_get(under_attack, "services"));
	rules->hold_ns = (__u64)json_integer_value(json_object_get(under_attack, "hold_s")) * NS_PER_S;
	rules->by_hand = json_is_true(json_object_get(under_attack, "by_hand"));
	json_decref(description);
}

static bool has_profile(const struct profile_rules *rules, const char *service)
{
	const json_t *name;
	size_t i;

	json_array_foreach(rules->services, i, name)
	{
		if (!strcmp(json_string_value(name), service))
			return true;
	}
	return false;
}

static void tell_switch(struct daemon *daemon, const char *service, bool on, const char *reason)
{
	struct timespec now;
	char message[192];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(message, sizeof(message), "%s is held as %s", *service ? service : "every service",
		 on ? "under attack" : "in peace again");
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
	tell_alert(daemon,
		   json_pack("{s:f, s:s, s:s?, s:s, s:s, s:s}", "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9,
			     "action", on ? "under-attack-on" : "under-attack-off", "service",
			     *service ? service : NULL, "by", on ? PROFILE_BY_DETECTION : "the kernel", "reason",
			     reason, "message", message));
}

/* By hand: the verb has told that it was switched; that its time is over, nobody has. */
static void follow_all(struct daemon *daemon, bool *told)
{
	struct profile_switch profile;
	bool on;

	if (profile_read(daemon->instance, 0, &profile))
		return;
	on = profile_is_on(&profile, stance_now_ns());
	if (*told && !on && profile.until_ns)
		tell_switch(daemon, "", false, "expired");
	*told = on;
}

/* Whether somebody switched off by hand since the attack began: then it stays without. */
static bool was_lifted(struct daemon *daemon, const struct attack *attack)
{
	struct profile_switch all;

	return !profile_read(daemon->instance, 0, &all) && all.lifted_ns >= attack->since_ns;
}

/* Who switches off at this very moment comes after us, or is seen now. */
static void hold(struct daemon *daemon, __u16 row, const struct attack *attack)
{
	if (was_lifted(daemon, attack))
		return;
	profile_set(daemon->instance, row, attack->seen_ns + daemon->profiles.hold_ns, PROFILE_BY_DETECTION);
	if (was_lifted(daemon, attack))
		profile_set(daemon->instance, row, 0, NULL);
}

void profile_follow(struct daemon *daemon, __u16 row, const char *service, const struct attack *attack, bool *told)
{
	struct profile_rules *rules = &daemon->profiles;
	struct profile_switch profile;
	bool on, wanted;

	learn_rules(daemon);
	if (!row) {
		follow_all(daemon, told);
		return;
	}
	wanted = attack->state == STANCE_ATTACK && !rules->by_hand && has_profile(rules, service);
	if (wanted)
		hold(daemon, row, attack);
	if ((!wanted && !*told) || profile_read(daemon->instance, row, &profile))
		return;
	on = profile_is_on(&profile, stance_now_ns());
	if (on != *told)
		tell_switch(daemon, service, on,
			    on		       ? cause_name(attack->cause)
			    : profile.until_ns ? "expired"
					       : "by hand");
	*told = on;
}
