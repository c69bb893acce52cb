/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* struct event -> ECS. No payload is in an event, so none can be logged. */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "community_id.h"
#include "events.h"
#include "judge.h"

#define DESCRIPTIONS_MAX                                                                                               \
	4 /* of the generations that still make events: live, fallback, a pending one, one just gone                   \
	   */

#define TIME_END 253402300800.0 /* seconds: the year 10000, which has no four digits */

struct names {
	struct places places;
	char host[256];
	struct {
		unsigned generation;
		json_t *description; /* NULL: looked for, not there */
	} known[DESCRIPTIONS_MAX];
	unsigned next;
	unsigned in_force; /* generation */
};

void names_in_force(struct names *names, unsigned generation)
{
	names->in_force = generation;
}

struct names *names_open(const struct places *places)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	names->places = *places;
	gethostname(names->host, sizeof(names->host) - 1);
	return names;
}

void names_forget(struct names *names)
{
	for (unsigned i = 0; i < DESCRIPTIONS_MAX; i++)
		json_decref(names->known[i].description);
	memset(names->known, 0, sizeof(names->known));
}

void names_free(struct names *names)
{
	if (names)
		names_forget(names);
	free(names);
}

static const json_t *description_of(struct names *names, unsigned generation)
{
	unsigned slot = names->next;

	for (unsigned i = 0; i < DESCRIPTIONS_MAX; i++)
		if (names->known[i].generation == generation && generation)
			return names->known[i].description;
	if (!generation)
		return NULL;
	json_decref(names->known[slot].description);
	names->known[slot].generation = generation;
	names->known[slot].description = saved_description(&names->places, generation);
	names->next = (slot + 1) % DESCRIPTIONS_MAX;
	return names->known[slot].description;
}

/* The entry of an array in the description whose member `key` is the number. */
static const json_t *described(const json_t *description, const char *array, const char *key, unsigned number)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(description, array), i, entry)
	{
		if (json_integer_value(json_object_get(entry, key)) == (json_int_t)number)
			return entry;
	}
	return NULL;
}

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value); /* takes the reference, also of what does not fit */
}

/* Copies a string or null member under another name, when it is a string. */
static void put_member(json_t *object, const char *key, const json_t *from, const char *member)
{
	json_t *value = json_object_get(from, member);

	if (json_is_string(value))
		json_object_set(object, key, value);
}

static const char *timestamp(double seconds, char *text, size_t size)
{
	struct tm broken;
	time_t whole;
	size_t length;

	if (!(seconds >= 0 && seconds < TIME_END)) /* of a damaged history; nor is it any number's */
		seconds = 0;
	whole = (time_t)seconds;
	gmtime_r(&whole, &broken);
	length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &broken);
	snprintf(text + length, size - length, ".%03uZ", (unsigned)((seconds - (double)whole) * 1000) % 1000);
	return text;
}

static json_t *document_at(struct names *names, double seconds, json_t *event, json_t *bulwark, __u64 sequence)
{
	char text[40];

	put(bulwark, "sequence", json_integer((json_int_t)sequence));
	put(event, "module", json_string("bulwark"));
	return json_pack("{s:s, s:{s:s}, s:{s:s}, s:o, s:o}", "@timestamp", timestamp(seconds, text, sizeof(text)),
			 "ecs", "version", ECS_VERSION, "host", "name", names->host, "event", event, "bulwark",
			 bulwark);
}

static const char *transport_name(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "ipv6-icmp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_GRE:
		return "gre";
	case IPPROTO_ESP:
		return "esp";
	default:
		return NULL;
	}
}

static bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static json_t *end_of_flow(const __u8 address[16], __u16 port, bool with_port)
{
	struct prefix prefix = {.length = 128};
	char text[PREFIX_TEXT];
	json_t *end;

	memcpy(prefix.address, address, 16);
	prefix_text(&prefix, text);
	end = json_pack("{s:s, s:s}", "address", text, "ip", text);
	if (with_port)
		put(end, "port", json_integer(port));
	return end;
}

/* Frames below IP (the floor) and what could not be parsed have no addresses. */
static bool has_addresses(const struct event *event)
{
	static const __u8 none[16];

	return memcmp(event->source, none, 16) || memcmp(event->destination, none, 16);
}

static bool is_ipv6(const struct event *event)
{
	struct prefix source = {.length = 128};

	memcpy(source.address, event->source, 16);
	return !prefix_is_v4(&source);
}

static const char *hook_name(unsigned hook)
{
	static const char *const names[HOOK_COUNT] = {"xdp", "egress", "ingress", "sockops"};

	return hook < HOOK_COUNT ? names[hook] : "unknown";
}

static json_t *network_of(const struct event *event)
{
	const struct community_flow flow = {event->source,	     event->destination, event->source_port,
					    event->destination_port, event->protocol,	 is_ipv6(event)};
	const char *transport = transport_name(event->protocol);
	char id[COMMUNITY_ID_TEXT], number[8];
	json_t *network = json_object();

	put(network, "direction", json_string(event->hook == HOOK_EGRESS ? "outbound" : "inbound"));
	if (event->vlan) {
		snprintf(number, sizeof(number), "%u", event->vlan);
		put(network, "vlan", json_pack("{s:s}", "id", number));
	}
	if (!has_addresses(event))
		return network;
	snprintf(number, sizeof(number), "%u", event->protocol);
	put(network, "type", json_string(flow.ipv6 ? "ipv6" : "ipv4"));
	put(network, "iana_number", json_string(number));
	put(network, "community_id", json_string(community_id(&flow, id)));
	if (transport)
		put(network, "transport", json_string(transport));
	return network;
}

static json_t *event_of(const struct event *event)
{
	static const struct {
		const char *action, *type;
	} words[VERDICT_COUNT] = {
		[VERDICT_PASS] = {"packet-passed", "allowed"},
		[VERDICT_DROP] = {"packet-dropped", "denied"},
		[VERDICT_REPLY] = {"packet-answered", "denied"},
		[VERDICT_WOULD_DROP] = {"packet-would-drop", "allowed"},
	};
	unsigned verdict = event->verdict < VERDICT_COUNT ? event->verdict : VERDICT_PASS;

	return json_pack("{s:s, s:[s], s:[s, s], s:s, s:s}", "kind", "event", "category", "network", "type",
			 "connection", words[verdict].type, "action", words[verdict].action, "reason",
			 reason_name(event->reason));
}

/* Its source completed a handshake. To limits come SYNs and segments of open connections (what belongs to none is a
 * stray); first bytes are judged behind the handshake. */
static bool in_connection(const struct event *event)
{
	static const __u8 limits[] = {REASON_RATE_PACKETS, REASON_RATE_BYTES, REASON_RATE_CONNECTIONS,
				      REASON_CONNECTIONS};

	if (event->protocol != IPPROTO_TCP)
		return false;
	return event->hook == HOOK_INGRESS ||
	       (!(event->tcp_flags & TH_SYN) && memchr(limits, event->reason, sizeof(limits)));
}

static json_t *bulwark_of(const struct event *event)
{
	json_t *bulwark = json_pack("{s:I, s:I, s:s, s:i, s:s}", "generation", (json_int_t)event->generation, "packets",
				    (json_int_t)event->packets, "verdict", verdict_name(event->verdict), "frame_bytes",
				    event->length, "hook", hook_name(event->hook));

	if (event->protocol == IPPROTO_TCP)
		put(bulwark, "tcp_flags", json_integer(event->tcp_flags));
	if (in_connection(event))
		put(bulwark, "proven", json_true());
	if (event->protocol == IPPROTO_ICMP || event->protocol == IPPROTO_ICMPV6)
		put(bulwark, "icmp",
		    json_pack("{s:i, s:i}", "type", event->source_port, "code", event->destination_port));
	return bulwark;
}

/* The list that blocked: such a rule has its name. */
static const json_t *list_of(const json_t *description, const json_t *rule)
{
	const char *kind = json_string_value(json_object_get(rule, "kind"));
	json_t *name = json_object_get(rule, "name"), *list;
	size_t i;

	if (!kind || strcmp(kind, rule_kind_name(RULE_KIND_BLOCK)))
		return NULL;
	json_array_foreach(json_object_get(description, "lists"), i, list)
	{
		if (json_equal(json_object_get(list, "name"), name))
			return list;
	}
	return NULL;
}

/* Rule, service and feed by the names they have in the generation that judged. */
static void put_names(json_t *document, const json_t *description, const struct event *event)
{
	const json_t *rule = event->rule ? described(description, "rules", "number", event->rule) : NULL;
	const json_t *service = event->service ? described(description, "services", "row", event->service) : NULL;
	const json_t *list = list_of(description, rule);
	json_t *object;

	if (rule) {
		object = json_object();
		put_member(object, "name", rule, "name");
		put_member(object, "category", rule, "kind");
		put(document, "rule", object);
		put_member(json_object_get(document, "bulwark"), "rule", rule, "place");
	}
	if (service) {
		object = json_object();
		put_member(object, "name", service, "name");
		put(document, "service", object);
	}
	if (list) {
		put_member(json_object_get(document, "bulwark"), "list", list, "name");
		if (json_is_string(json_object_get(list, "feed"))) {
			object = json_object();
			put_member(object, "name", list, "name");
			put(document, "threat", json_pack("{s:o}", "feed", object));
		}
	}
}

static json_t *observer_of(const struct event *event)
{
	const char *side = event->hook == HOOK_EGRESS ? "egress" : "ingress";
	json_t *observer = json_pack("{s:s, s:s}", "type", "firewall", "product", "bulwark");
	char name[IF_NAMESIZE];

	if (event->ifindex && if_indextoname(event->ifindex, name))
		put(observer, side, json_pack("{s:{s:s}}", "interface", "name", name));
	else
		put(observer, side, json_pack("{s:{s:I}}", "interface", "id", (json_int_t)event->ifindex));
	return observer;
}

/* ---- anonymity ---- */

/* So much of a foreign address is told, as the description of the generation says; of all addresses by default. */
static bool anonymity(const json_t *description, bool ipv6, unsigned *length)
{
	const json_t *lengths = json_object_get(description, "anonymize");

	*length = (unsigned)json_integer_value(json_array_get(lengths, ipv6)) + (ipv6 ? 0 : 96);
	return json_is_array(lengths) && *length < 128;
}

/* The far end is cut; the Community ID goes: who tries all addresses would find the one it was made from. */
static bool make_anonymous(struct event *event, const json_t *description)
{
	unsigned length;

	if (!has_addresses(event) || !anonymity(description, is_ipv6(event), &length))
		return false;
	address_cut(event->hook == HOOK_EGRESS ? event->destination : event->source, length);
	return true;
}

static json_t *anonymous_text(const char *address, const json_t *description)
{
	char text[PREFIX_TEXT];
	struct prefix prefix;
	unsigned length;

	if (prefix_parse(address, &prefix) || !anonymity(description, !prefix_is_v4(&prefix), &length))
		return json_string(address);
	if (prefix.length > length) {
		address_cut(prefix.address, length);
		prefix.length = (__u8)length;
	}
	return json_string(prefix_text(&prefix, text));
}

json_t *event_verdict(struct names *names, const struct event *as_judged, __u64 sequence)
{
	const json_t *description = description_of(names, as_judged->generation);
	struct event told = *as_judged;
	const struct event *event = &told;
	bool anonymous = make_anonymous(&told, description);
	struct timespec now, boot;
	json_t *document;
	double seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	seconds = (double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) / 1e9 +
		  (double)event->time_ns / 1e9;
	document = document_at(names, seconds, event_of(event), bulwark_of(event), sequence);
	if (!document)
		return NULL;
	if (has_addresses(event)) {
		put(document, "source", end_of_flow(event->source, event->source_port, has_ports(event->protocol)));
		put(document, "destination",
		    end_of_flow(event->destination, event->destination_port, has_ports(event->protocol)));
	}
	put(document, "network", network_of(event));
	put(document, "observer", observer_of(event));
	put_names(document, description, event);
	if (anonymous) {
		json_object_del(json_object_get(document, "network"), "community_id");
		put(json_object_get(document, "bulwark"), "anonymous", json_true());
	}
	return document;
}

/* What was done, in ECS words: bans are decisions about traffic, the rest is configuration. */
static json_t *action_of(const char *action)
{
	static const struct {
		const char *action, *name, *category, *type;
	} words[] = {
		{"applied", "policy-applied", "configuration", "change"},
		{"confirmed", "policy-confirmed", "configuration", "change"},
		{"reverted", "policy-reverted", "configuration", "change"},
		{"rolled-back", "policy-rolled-back", "configuration", "change"},
		{"refused", "policy-refused", "configuration", "denied"},
		{"closed", "policy-closed", "configuration", "change"},
		{"paused", "shield-paused", "configuration", "change"},
		{"resumed", "shield-resumed", "configuration", "change"},
		{"under-attack-on", "under-attack-on", "configuration", "change"},
		{"under-attack-off", "under-attack-off", "configuration", "change"},
		{"down", "shield-removed", "configuration", "deletion"},
		{"ban", "ban", "network", "denied"},
		{"unban", "unban", "network", "allowed"},
		{"allow", "allow", "network", "allowed"},
		{"disallow", "disallow", "network", "denied"},
		{"attack-started", "attack-started", "network", "start"},
		{"attack-ended", "attack-ended", "network", "end"},
		{"summary", "summary", "network", "info"},
		{"tls-client-seen", "tls-client-seen", "network", "info"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(words[i].action, action))
			return json_pack("{s:s, s:[s], s:[s], s:s}", "kind",
					 strcmp(words[i].type, "start") ? "event" : "alert", "category",
					 words[i].category, "type", words[i].type, "action", words[i].name);
	return json_pack("{s:s, s:[s], s:[s], s:s}", "kind", "event", "category", "configuration", "type", "info",
			 "action", action);
}

/* The address that an action is about, cut as the policy in force wants it; NULL: about none. */
static json_t *told_address(struct names *names, const json_t *line)
{
	const char *address = json_string_value(json_object_get(line, "address"));

	return address ? anonymous_text(address, description_of(names, names->in_force)) : NULL;
}

/* The networks of an attack, cut likewise; the caller's, NULL: there are none. */
static json_t *told_networks(struct names *names, const json_t *line)
{
	json_t *networks = json_deep_copy(json_object_get(line, "networks")), *one;
	const json_t *description = description_of(names, names->in_force);
	size_t i;

	json_array_foreach(networks, i, one)
	{
		const char *prefix = json_string_value(json_object_get(one, "prefix"));

		if (prefix)
			json_object_set_new(one, "prefix", anonymous_text(prefix, description));
	}
	return networks;
}

/* Of what takes time: when it began, and when it ended. */
static void put_times(json_t *event, const json_t *line)
{
	const json_t *start = json_object_get(line, "start"), *end = json_object_get(line, "end");
	char text[40];

	if (json_is_number(start))
		put(event, "start", json_string(timestamp(json_number_value(start), text, sizeof(text))));
	if (!json_is_number(end))
		return;
	put(event, "end", json_string(timestamp(json_number_value(end), text, sizeof(text))));
	put(event, "duration", json_integer((json_int_t)((json_number_value(end) - json_number_value(start)) * 1e9)));
}

/* Members of a line that have a place of their own in the schema. */
static bool has_field(const char *member)
{
	static const char *const members[] = {"time",  "action", "user",    "address",
					      "start", "end",	 "message", "networks"};

	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		if (!strcmp(member, members[i]))
			return true;
	return false;
}

json_t *event_action(struct names *names, const json_t *line, __u64 sequence)
{
	const char *action = json_string_value(json_object_get(line, "action"));
	json_t *told = told_address(names, line);
	const char *address = json_string_value(told);
	json_t *bulwark = json_object(), *user = json_object(), *document;
	const char *key;
	json_t *value;
	char id[24];

	json_object_foreach((json_t *)line, key, value)
	{
		if (!has_field(key))
			json_object_set(bulwark, key, value);
	}
	value = told_networks(names, line);
	if (value)
		json_object_set_new(bulwark, "networks", value);
	document = document_at(names, json_number_value(json_object_get(line, "time")),
			       action_of(action ? action : "unknown"), bulwark, sequence);
	value = json_object_get(line, "login_uid");
	if (!value)
		value = json_object_get(line, "uid");
	if (value) { /* else the shield did it by itself */
		snprintf(id, sizeof(id), "%lld", (long long)json_integer_value(value));
		put(user, "id", json_string(id));
		put_member(user, "name", line, "user");
		put(document, "user", json_incref(user));
	}
	json_decref(user);
	/* A prefix is no IP address: `source.ip` only takes single ones. */
	if (address)
		put(document, "source",
		    strchr(address, '/') ? json_pack("{s:s}", "address", address)
					 : json_pack("{s:s, s:s}", "address", address, "ip", address));
	json_decref(told);
	put_member(json_object_get(document, "event"), "reason", line, "reason");
	put_times(json_object_get(document, "event"), line);
	put_member(document, "message", line, "message");
	if (json_is_string(json_object_get(line, "service")))
		put(document, "service", json_pack("{s:O}", "name", json_object_get(line, "service")));
	return document;
}

json_t *event_notice(struct names *names, const char *action, const char *message, json_t *more, __u64 sequence)
{
	json_t *document, *event = json_pack("{s:s, s:[s], s:[s], s:s}", "kind", "event", "category", "host", "type",
					     "info", "action", action);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	document = document_at(names, (double)now.tv_sec + (double)now.tv_nsec / 1e9, event,
			       more ? more : json_object(), sequence);
	if (document)
		put(document, "message", json_string(message));
	return document;
}
