/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ban: { after: 100 drops in 10s, for: 10m, repeat: x4 up to 24h }, and source-v6. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "../include/state.h"

#define WINDOW_MAX_S 86400
#define BAN_DEFAULT_S 600
#define BAN_MAX_S (365ULL * 86400)
#define FACTOR_MAX 100

/* Splits text at the blank-separated words of `middle`; false when they are not there. */
static bool split(const char *text, const char *middle, char before[32], char after[32])
{
	const char *found = strstr(text, middle);

	if (!found || found - text >= 32 || strlen(found + strlen(middle)) >= 32)
		return false;
	memcpy(before, text, found - text);
	before[found - text] = '\0';
	strcpy(after, found + strlen(middle));
	return true;
}

static void ban_after(struct parser *parser, void *object, const struct node *value)
{
	struct policy_ban *ban = &((struct policy *)object)->ban;
	const char *text = take_scalar(parser, value);
	char count[32], time[32];

	ban->after_at = value->at;
	if (!text)
		return;
	if ((!split(text, " drops in ", count, time) && !split(text, " drop in ", count, time)) ||
	    amount_parse(count, UNIT_ONE, &ban->offences) || period_parse(time, &ban->window_s))
		wrong(parser, value, "'%.80s' is not when to ban: write 100 drops in 10s", text);
	else if (!ban->offences || ban->offences > OFFENCES_MAX)
		wrong(parser, value, "'%.80s': 1 to %d drops can be counted", text, OFFENCES_MAX);
	else if (!ban->window_s || ban->window_s > WINDOW_MAX_S)
		wrong(parser, value, "'%.80s': drops are counted for 1s to 24h", text);
}

static void ban_for(struct parser *parser, void *object, const struct node *value)
{
	take_period(parser, value, &((struct policy *)object)->ban.for_s);
}

static void ban_repeat(struct parser *parser, void *object, const struct node *value)
{
	struct policy_ban *ban = &((struct policy *)object)->ban;
	const char *text = take_scalar(parser, value);
	char factor[32], most[32];

	ban->repeat_at = value->at;
	if (!text)
		return;
	if (*text != 'x' || !split(text + 1, " up to ", factor, most) || amount_parse(factor, UNIT_ONE, &ban->factor) ||
	    period_parse(most, &ban->most_s))
		wrong(parser, value, "'%.80s' is not how bans grow: write x4 up to 24h", text);
	else if (ban->factor < 2 || ban->factor > FACTOR_MAX)
		wrong(parser, value, "'%.80s': bans grow by x2 to x%d", text, FACTOR_MAX);
}

static const struct key ban_keys[] = {{"after", ban_after}, {"for", ban_for}, {"repeat", ban_repeat}};
const struct scope ban_scope = SCOPE("ban", "'ban'", ban_keys);

void parse_ban(struct parser *parser, void *object, const struct node *value)
{
	struct policy_ban *ban = &((struct policy *)object)->ban;
	size_t errors = parser->report->errors;

	ban->at = value->key ? value->key->at : value->at;
	ban->for_s = BAN_DEFAULT_S;
	parse_map(parser, &ban_scope, object, value);
	if (parser->report->errors != errors)
		return;
	ban->given = true;
	if (!ban->after_at.line)
		wrong(parser, value, "'ban' needs 'after': 100 drops in 10s");
	if (ban->for_s > BAN_MAX_S || ban->most_s > BAN_MAX_S)
		wrong(parser, value, "a ban lasts at most 365d");
	if (ban->factor && ban->most_s < ban->for_s)
		policy_say(parser->policy, parser->report, SEVERITY_ERROR, &ban->repeat_at,
			   "bans grow up to less than the first one lasts");
}

void parse_source_v6(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"/64", "/56", "/48", NULL};
	int word = take_word(parser, value, words);

	if (word >= 0)
		((struct policy *)object)->source_v6 = 64 - 8 * word;
}
