/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lists:, and the places that use them: trusted, block, never-ban, health-checks, proxies, allow, to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "url.h"
#include "../include/generation.h"

#define REMOTE_REFRESH_S 86400 /* of a feed that is fetched, unless said */
#define LISTS_READ 1024	       /* beyond LISTS_MAX check.c refuses; beyond this nothing is read any more */

static void list_addresses(struct parser *parser, void *object, const struct node *value)
{
	struct list *list = object;

	if (!is_sequence(parser, value, "'addresses'"))
		return;
	for (const struct node *item = value->first; item; item = item->next) {
		struct prefix prefix, *added;

		if (!take_prefix(parser, item, &prefix))
			continue;
		added = append(parser, &list->prefixes, &list->prefix_count, sizeof(*added));
		if (!added)
			return;
		*added = prefix;
	}
}

static void list_feed(struct parser *parser, void *object, const struct node *value)
{
	const char *text = take_text(parser, value), *problem;
	struct list *list = object;

	if (!text)
		return;
	list->feed_at = value->at;
	if (!is_url(text)) {
		take_path(parser, value, &list->feed);
		return;
	}
	problem = url_problem(text);
	if (problem)
		wrong(parser, value, "'%.80s' %s", text, problem);
	else
		list->feed = copy_text(parser, text);
}

static void list_ca(struct parser *parser, void *object, const struct node *value)
{
	take_path(parser, value, &((struct list *)object)->ca);
}

const char *const feed_formats[] = {"auto", "plain", "ndjson", "ipset", "nft-json", NULL}; /* enum feed_format */

static void list_format(struct parser *parser, void *object, const struct node *value)
{
	int format = take_word(parser, value, feed_formats);

	if (format >= 0)
		((struct list *)object)->format = format;
}

static void list_refresh(struct parser *parser, void *object, const struct node *value)
{
	take_period(parser, value, &((struct list *)object)->refresh_s);
}

static void list_max_shrink(struct parser *parser, void *object, const struct node *value)
{
	const char *text = take_scalar(parser, value);
	struct list *list = object;
	size_t digits;

	if (!text)
		return;
	digits = strspn(text, "0123456789");
	if (!digits || digits > 3 || strcmp(text + digits, "%") || (digits > 1 && *text == '0') || atoi(text) > 100) {
		wrong(parser, value, "'%.80s' is not a share: write 0%% to 100%%", text);
		return;
	}
	list->max_shrink = atoi(text);
}

static void list_max_age(struct parser *parser, void *object, const struct node *value)
{
	take_period(parser, value, &((struct list *)object)->max_age_s);
}

static void list_bogons(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"cut", "keep", NULL};

	((struct list *)object)->keep_bogons = take_word(parser, value, words) == 1;
}

static void list_until(struct parser *parser, void *object, const struct node *value)
{
	take_until(parser, value, &((struct list *)object)->until);
}

static void list_owner(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct list *)object)->owner);
}

static void list_why(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct list *)object)->why);
}

static void list_zone(struct parser *parser, void *object, const struct node *value)
{
	take_zone(parser, value, &((struct list *)object)->zone);
}

static const struct key list_keys[] = {
	{"addresses", list_addresses},	 {"feed", list_feed},	    {"format", list_format}, {"refresh", list_refresh},
	{"max-shrink", list_max_shrink}, {"max-age", list_max_age}, {"bogons", list_bogons}, {"until", list_until},
	{"owner", list_owner},		 {"why", list_why},	    {"ca", list_ca},	     {"zone", list_zone},
};
const struct scope list_scope = SCOPE("list", "a list", list_keys);

static const struct node *child(const struct node *map, const char *name)
{
	for (const struct node *value = map->kind == NODE_MAP ? map->first : NULL; value; value = value->next)
		if (!strcmp(value->key->text, name))
			return value;
	return NULL;
}

static void check_list(struct parser *parser, const struct node *value)
{
	static const char *const of_feeds[] = {"format", "refresh", "max-shrink", "max-age", "bogons", "ca"};
	const struct node *feed = child(value, "feed"), *addresses = child(value, "addresses");
	const struct node *ca = child(value, "ca");

	if (value->kind != NODE_MAP)
		return;
	if (!feed && !addresses)
		wrong(parser, value->key, "list '%s' needs 'addresses' or a 'feed'", value->key->text);
	if (feed && addresses)
		wrong(parser, feed->key, "a list has 'addresses' or a 'feed', not both: make it two lists");
	for (size_t i = 0; !feed && i < sizeof(of_feeds) / sizeof(*of_feeds); i++) {
		const struct node *lonely = child(value, of_feeds[i]);

		if (lonely)
			wrong(parser, lonely->key, "'%s' is for a list with a 'feed'", of_feeds[i]);
	}
	if (ca && feed && feed->kind == NODE_SCALAR && !is_url(feed->text))
		wrong(parser, ca->key, "'ca' is for a feed that is fetched from https://");
}

/* A list that has ended stays, empty: what uses it must not change its meaning (an `allow` must not open). */
static void end_list(struct parser *parser, struct list *list)
{
	if (!has_ended(parser, list->until))
		return;
	policy_say(parser->policy, parser->report, SEVERITY_WARNING, &list->at,
		   "list '%s' ended on %s: it is empty now", list->name, list->until);
	free(list->prefixes);
	free(list->feed);
	list->prefixes = NULL;
	list->prefix_count = 0;
	list->feed = NULL;
}

void parse_lists(struct parser *parser, void *object, const struct node *map)
{
	struct policy *policy = object;

	if (!is_map(parser, map, "'lists'"))
		return;
	for (const struct node *value = map->first; value; value = value->next) {
		struct list *list;

		if (policy->list_count == LISTS_READ) {
			wrong(parser, value->key, "more lists than anybody can read: a policy has at most %d",
			      LISTS_MAX);
			return;
		}
		if (!is_name(parser, value->key, "a list"))
			continue;
		list = append(parser, &policy->lists, &policy->list_count, sizeof(*list));
		if (!list)
			return;
		list->name = copy_text(parser, value->key->text);
		if (!list->name) {
			policy->list_count--;
			return;
		}
		list->at = value->key->at;
		list->max_shrink = 50;
		parse_map(parser, &list_scope, list, value);
		check_list(parser, value);
		if (list->feed && is_url(list->feed) && !list->refresh_s)
			list->refresh_s = REMOTE_REFRESH_S;
		end_list(parser, list);
	}
}

/* ---- uses ---- */

bool is_anonymous(const struct list *list)
{
	return strchr(list->name, '.');
}

static bool resolve(struct parser *parser, const struct node *node, unsigned *number)
{
	const char *name = take_scalar(parser, node), *names[LISTS_READ];
	const struct policy *policy = parser->policy;
	char buffer[HINT_TEXT];
	struct prefix prefix;
	size_t count = 0;
	int error;

	if (!name)
		return false;
	for (size_t i = 0; i < policy->list_count; i++) {
		if (is_anonymous(&policy->lists[i]))
			continue;
		if (!strcmp(name, policy->lists[i].name)) {
			*number = i;
			return true;
		}
		if (count < LISTS_READ)
			names[count++] = policy->lists[i].name;
	}
	error = prefix_parse(name, &prefix);
	if (error != -EINVAL)
		wrong(parser, node, "'%.80s' is an address: put it into a list under 'lists' and name that here", name);
	else
		wrong(parser, node, "there is no list '%.80s'%s", name,
		      hint(parser->report, buffer, name, names, count));
	return false;
}

struct use_parts { /* of an entry that is being read */
	struct list_use use;
	bool found;
};

static void use_list(struct parser *parser, void *object, const struct node *value)
{
	struct use_parts *parts = object;

	parts->found = resolve(parser, value, &parts->use.list);
}

static void use_direction(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"in", "out", "both", NULL};
	int direction = take_word(parser, value, words);

	if (direction >= 0)
		((struct use_parts *)object)->use.direction = direction + 1;
}

static void use_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct use_parts *)object)->use.monitor);
}

static void use_until(struct parser *parser, void *object, const struct node *value)
{
	take_until(parser, value, &((struct use_parts *)object)->use.until);
}

static void use_owner(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct use_parts *)object)->use.owner);
}

static void use_why(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct use_parts *)object)->use.why);
}

static void use_zone(struct parser *parser, void *object, const struct node *value)
{
	take_zone(parser, value, &((struct use_parts *)object)->use.zone);
}

static const struct key use_keys[] = {
	{"list", use_list}, {"until", use_until}, {"owner", use_owner}, {"why", use_why}, {"zone", use_zone},
};
const struct scope use_scope = SCOPE("use", "an entry that names a list", use_keys);

static const struct key block_keys[] = {
	{"list", use_list},   {"direction", use_direction}, {"monitor", use_monitor},
	{"until", use_until}, {"owner", use_owner},	    {"why", use_why},
	{"zone", use_zone},
};
const struct scope block_scope = SCOPE("block", "a block entry", block_keys);

static void use_free(struct list_use *use)
{
	free(use->until);
	free(use->owner);
	free(use->why);
}

/* An entry as it stands: a name, or a map with `list`. */
static bool take_use(struct parser *parser, const struct scope *scope, const struct node *item, struct list_use *use)
{
	struct use_parts parts = {.use.direction = DIRECTION_IN};

	if (item->kind == NODE_MAP) {
		parse_map(parser, scope, &parts, item);
		if (!child(item, "list"))
			wrong(parser, item, "the entry names no list: { list: NAME }");
	} else {
		parts.found = resolve(parser, item, &parts.use.list);
	}
	parts.use.at = item->kind == NODE_MAP && child(item, "list") ? child(item, "list")->at : item->at;
	if (parts.found && parts.use.zone && parser->policy->lists[parts.use.list].zone &&
	    parser->policy->lists[parts.use.list].zone != parts.use.zone)
		policy_say(parser->policy, parser->report, SEVERITY_ERROR, &parts.use.at,
			   "list '%s' holds in zone '%s' alone: this entry would never meet anybody",
			   parser->policy->lists[parts.use.list].name,
			   parser->policy->zones[parser->policy->lists[parts.use.list].zone - 1].name);
	if (parts.found && has_ended(parser, parts.use.until)) {
		warn(parser, item, "this entry for '%s' ended on %s: it is left out",
		     parser->policy->lists[parts.use.list].name, parts.use.until);
		parts.found = false;
	}
	if (!parts.found)
		use_free(&parts.use);
	else
		*use = parts.use;
	return parts.found;
}

static void add_use(struct parser *parser, struct list_uses *uses, struct list_use *use)
{
	struct list_use *added;

	for (size_t i = 0; i < uses->count; i++) {
		if (uses->items[i].list != use->list || uses->items[i].direction != use->direction ||
		    uses->items[i].zone != use->zone)
			continue;
		policy_say(parser->policy, parser->report, SEVERITY_ERROR, &use->at,
			   "'%s' stands here twice: first on line %u", parser->policy->lists[use->list].name,
			   uses->items[i].at.line);
		use_free(use);
		return;
	}
	added = append(parser, &uses->items, &uses->count, sizeof(*added));
	if (!added)
		use_free(use);
	else
		*added = *use;
}

void parse_uses(struct parser *parser, struct list_uses *uses, const struct scope *scope, const struct node *sequence)
{
	char of[96];

	snprintf(of, sizeof(of), "'%.80s'", sequence->key->text);
	if (!is_sequence(parser, sequence, of))
		return;
	for (const struct node *item = sequence->first; item; item = item->next) {
		struct list_use use;

		if (take_use(parser, scope, item, &use))
			add_use(parser, uses, &use);
	}
}

/* The list that holds the addresses written in `to`; made when the first one comes. Its name holds a dot: no other can.
 */
static struct list *anonymous_list(struct parser *parser, struct service *service, const struct node *item)
{
	struct policy *policy = parser->policy;
	struct list_use use = {.at = item->at, .direction = DIRECTION_IN};
	struct list *list;

	for (size_t i = 0; i < service->to.count; i++) {
		list = &policy->lists[service->to.items[i].list];
		if (is_anonymous(list))
			return list;
	}
	list = append(parser, &policy->lists, &policy->list_count, sizeof(*list));
	if (!list)
		return NULL;
	if (asprintf(&list->name, "%s.to", service->name) < 0) {
		parser->no_memory = true;
		policy->list_count--;
		return NULL;
	}
	list->at = item->at;
	list->max_shrink = 50;
	use.list = policy->list_count - 1;
	add_use(parser, &service->to, &use);
	return list;
}

static void add_address(struct parser *parser, struct service *service, const struct node *item)
{
	struct prefix prefix, *added;
	struct list *list;

	if (!take_prefix(parser, item, &prefix))
		return;
	list = anonymous_list(parser, service, item);
	if (!list)
		return;
	added = append(parser, &list->prefixes, &list->prefix_count, sizeof(*added));
	if (added)
		*added = prefix;
}

/* Written like an address: not a name with a slip of the pen. */
static bool looks_like_address(const struct node *item)
{
	struct prefix prefix;

	if (item->kind != NODE_SCALAR || item->broken)
		return false;
	return strpbrk(item->text, ".:/") || prefix_parse(item->text, &prefix) != -EINVAL || node_is_number(item);
}

void parse_to(struct parser *parser, struct service *service, const struct node *sequence)
{
	if (!is_sequence(parser, sequence, "'to'"))
		return;
	for (const struct node *item = sequence->first; item; item = item->next) {
		struct list_use use;

		if (looks_like_address(item))
			add_address(parser, service, item);
		else if (take_use(parser, &use_scope, item, &use))
			add_use(parser, &service->to, &use);
	}
}
