/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Applying the policy in force anew when time or the host has overtaken it: the day of an `until` is over, or the
 * addresses changed that feeds are cut around, or a feed changed. A helper does it: `bulwark apply --renew`, or systemd
 * with a unit of its own, so that the daemon's needs no privilege for it.
 */
#include <time.h>

#include "daemon.h"

#define SECOND_NS 1000000000ULL
#define AGAIN_NS (60 * SECOND_NS) /* after a refusal */
#define SETTLE_NS (2 * SECOND_NS) /* addresses change in company */
#define APART_NS (30 * SECOND_NS) /* between two renewals for addresses */

static const char *const renew_words[] = {"apply", "--renew", NULL};

int renew_open(struct daemon *daemon)
{
	static const char *start[] = {"systemctl", "--no-ask-password", "start", "--", NULL, NULL};

	if (daemon->renew_unit) {
		start[4] = daemon->renew_unit;
		return helper_open(&daemon->renew.helper, NULL, start, "renews policies");
	}
	return helper_open(&daemon->renew.helper, &daemon->places, renew_words, "renews policies");
}

/* ---- when ---- */

/* What the generation in force was made from; read again when another one is, and after every renewal. */
static void learn(struct daemon *daemon, unsigned generation)
{
	json_t *description = saved_description(&daemon->places, generation), *list;
	struct renewal *renewal = &daemon->renew;
	size_t i;

	renewal->generation = generation;
	renewal->ends = json_integer_value(json_object_get(description, "ends"));
	renewal->around = json_integer_value(json_object_get(description, "around"));
	renewal->balances = json_is_true(json_object_get(description, "balances"));
	renewal->has_vrf = json_is_true(json_object_get(description, "vrf"));
	renewal->has_feed = false;
	json_array_foreach(json_object_get(description, "lists"), i, list) renewal->has_feed |=
		json_is_string(json_object_get(list, "feed"));
	feeds_learn(daemon, description);
	fetch_learn(&daemon->fetching, description);
	json_decref(description);
}

void renew_saw_host(struct daemon *daemon, const struct host *host)
{
	__u64 around = host_around(host);

	daemon->renew.has_vrf_now = host->has_vrf;
	if (around == daemon->renew.around_now)
		return;
	daemon->renew.around_now = around;
	daemon->renew.settled_ns = monotonic_ns() + SETTLE_NS;
}

static const char *reason_to_renew(struct daemon *daemon, __u64 now)
{
	struct renewal *renewal = &daemon->renew;
	const char *feed = feeds_changed(daemon, now);

	snprintf(renewal->feed, sizeof(renewal->feed), "%s", feed ?: "");
	if (feed)
		return "a feed changed";
	if (renewal->ends && time(NULL) >= renewal->ends)
		return "the time of one of its entries is over";
	if (!renewal->balances && host_balances())
		return "IPVS balances connections here since";
	if (!renewal->has_vrf && renewal->has_vrf_now)
		return "an interface is in a VRF since";
	if (renewal->has_feed && renewal->around && renewal->around_now && renewal->around != renewal->around_now &&
	    now >= renewal->settled_ns && now >= renewal->last_ns + APART_NS)
		return "the addresses changed that its feeds are cut around";
	return NULL;
}

/* A refused feed is not tried again before it changes, so that nothing else has to wait for it. */
static void tell_feed(struct daemon *daemon, bool refreshed)
{
	struct renewal *renewal = &daemon->renew;

	if (refreshed) {
		renewal->refreshed++;
		tell_notice(daemon, "feed-refreshed", json_pack("{s:s}", "list", renewal->feed),
			    "the feed of %s is in force as it is now", renewal->feed);
		return;
	}
	renewal->refused++;
	tell_notice(daemon, "feed-refused", json_pack("{s:s}", "list", renewal->feed),
		    "the feed of %s changed and was refused; the last good one stays in force, and "
		    "`bulwark apply --renew` says why",
		    renewal->feed);
}

static void hear_answer(struct daemon *daemon)
{
	struct renewal *renewal = &daemon->renew;
	struct helper_answer answer;

	if (!helper_answered(&renewal->helper, &answer))
		return;
	renewal->generation = 0; /* learn anew */
	if (*renewal->feed)
		tell_feed(daemon, !answer.status);
	if (!answer.status || (*renewal->feed && renewal->helper.fd >= 0))
		return;
	renewal->again_ns = monotonic_ns() + AGAIN_NS;
	tell_notice(daemon, "policy-renewal-refused", json_pack("{s:i}", "exit_status", answer.status),
		    "the policy in force could not be applied anew (exit status %d) and stays as it is; "
		    "`bulwark apply --renew` says why",
		    answer.status);
}

void renew_when_due(struct daemon *daemon, const struct control_state *state)
{
	struct renewal *renewal = &daemon->renew;
	__u64 now = monotonic_ns();
	const char *why;

	if (renewal->helper.fd < 0)
		return;
	if (renewal->helper.running)
		hear_answer(daemon);
	/* A pause and a candidate that waits to be confirmed are somebody's business. */
	if (renewal->helper.running || now < renewal->again_ns || state->remaining_ms ||
	    state->active >= GENERATION_SLOTS)
		return;
	if (state->slots[state->active].generation != renewal->generation)
		learn(daemon, state->slots[state->active].generation);
	why = reason_to_renew(daemon, now);
	if (!why)
		return;
	tell_notice(daemon, "policy-renewal", json_pack("{s:s}", "why", why), "the policy is applied anew: %s", why);
	renewal->last_ns = now;
	feeds_tried(&renewal->feeds, now);
	helper_ask(&renewal->helper, "");
}

void renew_close(struct daemon *daemon)
{
	helper_close(&daemon->renew.helper);
}
