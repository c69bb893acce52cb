/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* under-attack: { limits: [...], syn-cookies: always }, of a service or of the policy; there also hold and switch. */
#include <stdlib.h>
#include <string.h>

#include "parse.h"

#define HOLD_MOST_S 86400

static void profile_limits(struct parser *parser, void *object, const struct node *value)
{
	struct policy_profile *profile = object;
	struct service holder = {.name = "under-attack"}; /* for what is said of its limits */

	parse_limits(parser, &holder, value);
	profile->has_limits = true;
	profile->limits = holder.limits;
	profile->limit_count = holder.limit_count;
}

static void profile_syn_cookies(struct parser *parser, void *object, const struct node *value)
{
	struct policy_profile *profile = object;
	int word = take_word(parser, value, syn_cookies_words);

	if (word < 0)
		return;
	profile->has_syn_cookies = true;
	profile->syn_cookies = word;
	profile->syn_cookies_at = value->at;
}

static void profile_hold(struct parser *parser, void *object, const struct node *value)
{
	struct policy_profile *profile = object;

	if (take_period(parser, value, &profile->hold_s) && profile->hold_s > HOLD_MOST_S)
		wrong(parser, value, "it is held for at most 24h after the last second of an attack");
}

const char *const switch_words[] = {"auto", "by-hand", NULL};

static void profile_switch(struct parser *parser, void *object, const struct node *value)
{
	int word = take_word(parser, value, switch_words);

	if (word >= 0)
		((struct policy_profile *)object)->by_hand = word;
}

static const struct key of_service_keys[] = {
	{"limits", profile_limits},
	{"syn-cookies", profile_syn_cookies},
};
const struct scope service_profile_scope = SCOPE("service-profile", "under-attack of a service", of_service_keys);

static const struct key of_policy_keys[] = {
	{"limits", profile_limits},
	{"syn-cookies", profile_syn_cookies},
	{"hold", profile_hold},
	{"switch", profile_switch},
};
const struct scope profile_scope = SCOPE("profile", "under-attack", of_policy_keys);

static void parse_profile(struct parser *parser, const struct scope *scope, struct policy_profile *profile,
			  const struct node *value)
{
	profile->given = true;
	profile->at = value->key->at;
	parse_map(parser, scope, profile, value);
}

void parse_service_profile(struct parser *parser, void *service, const struct node *value)
{
	parse_profile(parser, &service_profile_scope, &((struct service *)service)->under_attack, value);
}

void parse_policy_profile(struct parser *parser, void *policy, const struct node *value)
{
	parse_profile(parser, &profile_scope, &((struct policy *)policy)->under_attack, value);
}
