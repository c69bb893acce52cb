/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* services: what the node exposes, to whom, on which addresses. */
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "../include/forwarded.h"
#include "../include/generation.h"

#define SERVICES_READ 4096 /* beyond SERVICES_MAX check.c refuses; beyond this nothing is read any more */
#define PORTS_MAX 256	   /* entries of one service's `ports` */

static void take_port(struct parser *parser, struct service *service, const struct node *item)
{
	const char *text = take_scalar(parser, item), *why;
	struct port_range range = {.at = item->at}, *added;

	if (!text)
		return;
	why = port_parse(text, &range);
	if (why) {
		wrong(parser, item, "'%.80s': %s", text, why);
		return;
	}
	for (size_t i = 0; i < service->port_count; i++) {
		const struct port_range *other = &service->ports[i];
		char buffer[VALUE_TEXT];

		if (other->protocol != range.protocol || other->first > range.last || other->last < range.first)
			continue;
		wrong(parser, item, "'%.80s': %s stands in this service already, on line %u", text,
		      port_text(other, buffer), other->at.line);
		return;
	}
	added = append(parser, &service->ports, &service->port_count, sizeof(*added));
	if (added)
		*added = range;
}

static void service_ports(struct parser *parser, void *object, const struct node *value)
{
	if (value->kind == NODE_SCALAR) {
		take_port(parser, object, value);
		return;
	}
	if (!is_sequence(parser, value, "'ports'"))
		return;
	if (!value->count)
		wrong(parser, value, "'ports' is empty: name one, or remove the service");
	if (value->count > PORTS_MAX) {
		wrong(parser, value, "'ports' has %zu entries, at most %d: use ranges", value->count, PORTS_MAX);
		return;
	}
	for (const struct node *item = value->first; item; item = item->next)
		take_port(parser, object, item);
}

static void service_allow(struct parser *parser, void *object, const struct node *value)
{
	struct service *service = object;

	service->has_allow = true;
	parse_uses(parser, &service->allow, &use_scope, value);
}

static void service_to(struct parser *parser, void *object, const struct node *value)
{
	struct service *service = object;

	service->has_to = true;
	parse_to(parser, service, value);
}

static void service_ttl(struct parser *parser, void *object, const struct node *value)
{
	__u64 ttl;

	if (take_number(parser, value, 1, 255, &ttl))
		((struct service *)object)->ttl = ttl;
}

static void service_tag(struct parser *parser, void *object, const struct node *value)
{
	struct service *service = object;
	__u64 tag;

	if (!take_number(parser, value, 1, 0xffffffff, &tag))
		return;
	service->tag = tag;
	service->has_tag = true;
}

static void service_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct service *)object)->monitor);
}

const char *const syn_cookies_words[] = {"off", "auto", "always", NULL};

static void service_syn_cookies(struct parser *parser, void *object, const struct node *value)
{
	struct service *service = object;
	int word = take_word(parser, value, syn_cookies_words);

	if (word < 0)
		return;
	service->syn_cookies = word;
	service->syn_cookies_at = value->at;
}

static void service_until(struct parser *parser, void *object, const struct node *value)
{
	take_until(parser, value, &((struct service *)object)->until);
}

static void service_owner(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct service *)object)->owner);
}

static void service_why(struct parser *parser, void *object, const struct node *value)
{
	take_copy(parser, value, &((struct service *)object)->why);
}

static void client_forwarded(struct parser *parser, void *object, const struct node *value)
{
	__u64 hops;

	if (take_number(parser, value, 1, FORWARDED_HOPS, &hops))
		((struct service *)object)->client_hops = hops;
}

static const struct key client_keys[] = {{"x-forwarded-for", client_forwarded}};
const struct scope client_scope = SCOPE("client", "'client'", client_keys);

static void service_client(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"x-forwarded-for", "proxy-v2", NULL};
	struct service *service = object;
	int word;

	service->client_at = value->key->at;
	if (value->kind == NODE_MAP) {
		parse_map(parser, &client_scope, service, value);
		if (!value->count)
			wrong(parser, value, "'client' says where clients are named: x-forwarded-for");
		return;
	}
	word = take_word(parser, value, words);
	service->client_hops = !word;
	service->client_proxied = word > 0;
}

static void service_zone(struct parser *parser, void *object, const struct node *value)
{
	take_zone(parser, value, &((struct service *)object)->zone);
}

static const struct key service_keys[] = {
	{"ports", service_ports},
	{"allow", service_allow},
	{"to", service_to},
	{"ttl", service_ttl},
	{"tag", service_tag},
	{"monitor", service_monitor},
	{"limits", parse_limits},
	{"syn-cookies", service_syn_cookies},
	{"until", service_until},
	{"owner", service_owner},
	{"why", service_why},
	{"tls", parse_tls},
	{"http", parse_http},
	{"quic", parse_quic},
	{"under-attack", parse_service_profile},
	{"ban", NULL},
	{"zone", service_zone},
	{"client", service_client},
};
const struct scope service_scope = SCOPE("service", "a service", service_keys);

static bool has_key(const struct node *map, const char *name)
{
	for (const struct node *value = map->first; value; value = value->next)
		if (!strcmp(value->key->text, name))
			return true;
	return false;
}

static void forget_service(struct parser *parser, struct service *service)
{
	char **gone;

	policy_say(parser->policy, parser->report, SEVERITY_WARNING, &service->at,
		   "service '%s' ended on %s: it is left out", service->name, service->until);
	gone = append(parser, &parser->gone, &parser->gone_count, sizeof(*gone));
	if (gone)
		*gone = copy_text(parser, service->name);
	service_free(service);
	parser->policy->service_count--;
}

static int by_port(const void *left, const void *right)
{
	const struct port_range *a = left, *b = right;

	if (a->protocol != b->protocol)
		return a->protocol - b->protocol;
	return a->first - b->first;
}

static void parse_service(struct parser *parser, struct service *service, const struct node *value)
{
	service->at = value->key->at;
	parse_map(parser, &service_scope, service, value);
	if (value->kind == NODE_MAP && !has_key(value, "ports"))
		wrong(parser, value->key, "service '%s' needs 'ports'", value->key->text);
	if (service->port_count)
		qsort(service->ports, service->port_count, sizeof(*service->ports), by_port);
	if (has_ended(parser, service->until))
		forget_service(parser, service);
}

void parse_services(struct parser *parser, void *object, const struct node *map)
{
	struct policy *policy = object;

	if (!is_map(parser, map, "'services'"))
		return;
	for (const struct node *value = map->first; value; value = value->next) {
		struct service *service;

		if (policy->service_count == SERVICES_READ) {
			wrong(parser, value->key, "more services than anybody can read: a policy has at most %d",
			      SERVICES_MAX - 1);
			return;
		}
		if (!is_name(parser, value->key, "a service"))
			continue;
		service = append(parser, &policy->services, &policy->service_count, sizeof(*service));
		if (!service)
			return;
		service->name = copy_text(parser, value->key->text);
		if (!service->name) {
			policy->service_count--;
			return;
		}
		parse_service(parser, service, value);
	}
}
