/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* zones: interfaces that are spoken of by one name, and `zone: NAME` wherever something holds in one of them alone. */
#include <string.h>

#include "parse.h"
#include "../include/generation.h"

static void take_member(struct parser *parser, struct policy_zone *zone, const struct node *item)
{
	const char *text = take_interface_name(parser, item);
	struct place *at;
	char **name;

	if (!text)
		return;
	if (!strcmp(text, "auto")) {
		wrong(parser, item, "'auto' says nothing of a zone: name its interfaces");
		return;
	}
	for (size_t i = 0; i < zone->interfaces.count; i++)
		if (!strcmp(zone->interfaces.items[i], text)) {
			wrong(parser, item, "'%s' stands here twice", text);
			return;
		}
	at = append(parser, &zone->interface_at, &zone->interface_at_count, sizeof(*at));
	name = at ? append(parser, &zone->interfaces.items, &zone->interfaces.count, sizeof(*name)) : NULL;
	if (!name)
		return;
	*at = item->at;
	*name = copy_text(parser, text);
	if (!*name)
		zone->interfaces.count--;
}

static void zone_interfaces(struct parser *parser, void *object, const struct node *value)
{
	if (!is_sequence(parser, value, "'interfaces'"))
		return;
	if (!value->count)
		wrong(parser, value, "'interfaces' is empty: nothing would ever come in by this zone");
	if (value->count > INTERFACES_MAX) {
		wrong(parser, value, "'interfaces' has %zu entries, at most %d", value->count, INTERFACES_MAX);
		return;
	}
	for (const struct node *item = value->first; item; item = item->next)
		take_member(parser, object, item);
}

static const struct key zone_keys[] = {{"interfaces", zone_interfaces}};
const struct scope zone_scope = SCOPE("zone", "a zone", zone_keys);

static bool says_interfaces(const struct node *map)
{
	for (const struct node *value = map->first; value; value = value->next)
		if (!strcmp(value->key->text, "interfaces"))
			return true;
	return false;
}

static void parse_zone(struct parser *parser, struct policy *policy, const struct node *value)
{
	struct policy_zone *zone = append(parser, &policy->zones, &policy->zone_count, sizeof(*zone));

	if (!zone)
		return;
	zone->name = copy_text(parser, value->key->text);
	if (!zone->name) {
		policy->zone_count--;
		return;
	}
	zone->at = value->key->at;
	parse_map(parser, &zone_scope, zone, value);
	if (value->kind == NODE_MAP && !says_interfaces(value))
		wrong(parser, value->key, "zone '%s' needs 'interfaces'", value->key->text);
}

void parse_zones(struct parser *parser, void *object, const struct node *map)
{
	struct policy *policy = object;

	if (!is_map(parser, map, "'zones'"))
		return;
	if (map->count > ZONES_MAX) {
		wrong(parser, map, "'zones' has %zu entries, a policy has at most %d", map->count, ZONES_MAX);
		return;
	}
	for (const struct node *value = map->first; value; value = value->next)
		if (is_name(parser, value->key, "a zone"))
			parse_zone(parser, policy, value);
}

void take_zone(struct parser *parser, const struct node *value, unsigned *zone)
{
	const struct policy *policy = parser->policy;
	const char *name = take_scalar(parser, value), *names[ZONES_MAX];
	char buffer[HINT_TEXT];

	if (!name)
		return;
	*zone = policy_zone_by_name(policy, name);
	if (*zone)
		return;
	for (size_t i = 0; i < policy->zone_count; i++)
		names[i] = policy->zones[i].name;
	wrong(parser, value, "there is no zone '%.80s'%s", name,
	      hint(parser->report, buffer, name, names, policy->zone_count));
}
