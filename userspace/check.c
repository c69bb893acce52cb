/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a policy means, before anything is compiled: contradictions are errors, what a careful reviewer would ask about
 * is a warning. Needs no host and reads no feed.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "parse.h"
#include "../include/generation.h"
#include "../include/reasons.h"

struct checker {
	const struct policy *policy;
	struct report *report;
	bool torn; /* parsing had errors: what is missing may only have been misread, so no warnings */
};

#define error_at(checker, at, ...) policy_say((checker)->policy, (checker)->report, SEVERITY_ERROR, at, __VA_ARGS__)
#define warn_at(checker, at, ...)                                                                                      \
	((checker)->torn ? (void)0                                                                                     \
			 : policy_say((checker)->policy, (checker)->report, SEVERITY_WARNING, at, __VA_ARGS__))

static const struct list *list_of(const struct checker *checker, const struct list_use *use)
{
	return &checker->policy->lists[use->list];
}

/* Whether a packet can be in both; 0: everywhere. */
static bool zones_meet(unsigned one, unsigned other)
{
	return !one || !other || one == other;
}

/* One that can meet what is in this zone; 0: in any. */
static const struct list_use *find_use_in(const struct list_uses *uses, unsigned list, unsigned zone)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->items[i].list == list && zones_meet(zone, uses->items[i].zone))
			return &uses->items[i];
	return NULL;
}

static const struct list_use *find_use(const struct list_uses *uses, unsigned list)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->items[i].list == list)
			return &uses->items[i];
	return NULL;
}

/* ---- lists ---- */

static bool is_limited(const struct service *service, unsigned list)
{
	for (size_t i = 0; i < service->limit_count; i++)
		if (find_use(&service->limits[i].except, list) || find_use(&service->limits[i].only, list))
			return true;
	return false;
}

static bool is_used_by_path(const struct policy_http *http, unsigned list)
{
	for (size_t i = 0; i < http->path_count; i++)
		if (find_use(&http->paths[i].allow, list))
			return true;
	return false;
}

static bool is_limited_under_attack(const struct policy *policy, size_t service, unsigned list)
{
	struct service other = service_under_attack(policy, &policy->services[service]);

	return is_limited(&other, list);
}

/* Where the policy as a whole names lists. */
static const size_t list_places[] = {offsetof(struct policy, trusted), offsetof(struct policy, block),
				     offsetof(struct policy, never_ban), offsetof(struct policy, health_checks),
				     offsetof(struct policy, proxies)};

static const struct list_uses *list_place(const struct policy *policy, size_t number)
{
	return (const void *)((const char *)policy + list_places[number]);
}

static bool is_used(const struct policy *policy, unsigned list)
{
	for (size_t i = 0; i < sizeof(list_places) / sizeof(*list_places); i++)
		if (find_use(list_place(policy, i), list))
			return true;
	for (size_t i = 0; i < policy->service_count; i++)
		if (find_use(&policy->services[i].allow, list) || find_use(&policy->services[i].to, list) ||
		    is_limited(&policy->services[i], list) || is_limited_under_attack(policy, i, list) ||
		    is_used_by_path(&policy->services[i].http, list))
			return true;
	return false;
}

static bool has_prefix_length(const struct list *list, unsigned v4_below, unsigned v6_below,
			      const struct prefix **which)
{
	for (size_t i = 0; i < list->prefix_count; i++) {
		*which = &list->prefixes[i];
		if (prefix_is_v4(*which) ? (*which)->length - 96u < v4_below : (*which)->length < v6_below)
			return true;
	}
	return false;
}

static void check_lists(struct checker *checker)
{
	const struct policy *policy = checker->policy;

	if (policy->list_count > LISTS_MAX)
		error_at(checker, &policy->lists[LISTS_MAX].at,
			 "%zu lists (the addresses in a service's 'to' are one each): a policy has at most %d",
			 policy->list_count, LISTS_MAX);
	for (size_t i = 0; i < policy->list_count; i++) {
		const struct list *list = &policy->lists[i];

		if (is_anonymous(list))
			continue;
		if (!list->feed && !list->prefix_count && !list->until)
			warn_at(checker, &list->at, "list '%s' is empty", list->name);
		if (!is_used(policy, i))
			warn_at(checker, &list->at, "list '%s' is used nowhere", list->name);
	}
}

/* ---- zones ---- */

static bool uses_zone(const struct list_uses *uses, unsigned zone)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->items[i].zone == zone)
			return true;
	return false;
}

static bool limits_use_zone(const struct policy_limit *limits, size_t count, unsigned zone)
{
	for (size_t i = 0; i < count; i++)
		if (uses_zone(&limits[i].except, zone) || uses_zone(&limits[i].only, zone))
			return true;
	return false;
}

static bool service_uses_zone(const struct service *service, unsigned zone)
{
	for (size_t i = 0; i < service->http.path_count; i++)
		if (uses_zone(&service->http.paths[i].allow, zone))
			return true;
	return service->zone == zone || uses_zone(&service->allow, zone) || uses_zone(&service->to, zone) ||
	       limits_use_zone(service->limits, service->limit_count, zone) ||
	       limits_use_zone(service->under_attack.limits, service->under_attack.limit_count, zone);
}

static bool zone_is_used(const struct policy *policy, unsigned zone)
{
	for (size_t i = 0; i < sizeof(list_places) / sizeof(*list_places); i++)
		if (uses_zone(list_place(policy, i), zone))
			return true;
	for (size_t i = 0; i < policy->list_count; i++)
		if (policy->lists[i].zone == zone)
			return true;
	for (size_t i = 0; i < policy->service_count; i++)
		if (service_uses_zone(&policy->services[i], zone))
			return true;
	return limits_use_zone(policy->under_attack.limits, policy->under_attack.limit_count, zone);
}

/* Which of two zones a packet is in must not depend on their order. */
static void check_members(struct checker *checker, size_t number)
{
	const struct policy_zone *zone = &checker->policy->zones[number];

	for (size_t i = 0; i < zone->interfaces.count; i++)
		for (size_t j = 0; j < number; j++) {
			const struct policy_zone *other = &checker->policy->zones[j];

			for (size_t k = 0; k < other->interfaces.count; k++)
				if (!strcmp(zone->interfaces.items[i], other->interfaces.items[k]))
					error_at(checker, &zone->interface_at[i],
						 "'%s' is in zone '%s' already (line %u): an interface is in one zone",
						 zone->interfaces.items[i], other->name, other->interface_at[k].line);
		}
}

static void check_zones(struct checker *checker)
{
	const struct policy *policy = checker->policy;

	for (size_t i = 0; i < policy->zone_count; i++) {
		check_members(checker, i);
		if (!zone_is_used(policy, i + 1))
			warn_at(checker, &policy->zones[i].at, "zone '%s' is used nowhere", policy->zones[i].name);
	}
}

static unsigned zone_of_use(const struct checker *checker, const struct list_use *use)
{
	return use->zone ? use->zone : list_of(checker, use)->zone;
}

/* ---- trusted and block ---- */

static void check_trusted(struct checker *checker)
{
	const struct list_uses *trusted = &checker->policy->trusted;

	for (size_t i = 0; i < trusted->count; i++) {
		const struct list *list = list_of(checker, &trusted->items[i]);
		const struct prefix *wide;
		char buffer[PREFIX_TEXT];

		if (has_prefix_length(list, 1, 1, &wide))
			error_at(checker, &trusted->items[i].at,
				 "trusting '%s' trusts everybody (%s): to only watch, write monitor: true", list->name,
				 prefix_text(wide, buffer));
		else if (has_prefix_length(list, 8, 16, &wide))
			warn_at(checker, &trusted->items[i].at,
				"trusting '%s' trusts a large part of the Internet (%s)", list->name,
				prefix_text(wide, buffer));
		if (list->feed)
			warn_at(checker, &trusted->items[i].at,
				"whoever writes the feed of '%s' decides whom this host trusts", list->name);
	}
}

struct span { /* a prefix and the list it is in */
	struct prefix prefix;
	unsigned list;
};
struct spans {
	struct span *items;
	size_t count;
};

static int by_prefix(const void *left, const void *right)
{
	const struct span *a = left, *b = right;
	int order = memcmp(a->prefix.address, b->prefix.address, sizeof(a->prefix.address));

	return order ? order : a->prefix.length - b->prefix.length;
}

static bool covers(const struct prefix *outer, const struct prefix *inner)
{
	unsigned whole = outer->length / 8, rest = outer->length % 8;

	if (prefix_is_v4(outer) != prefix_is_v4(inner) || outer->length > inner->length)
		return false;
	if (memcmp(outer->address, inner->address, whole))
		return false;
	return !rest || !((outer->address[whole] ^ inner->address[whole]) >> (8 - rest));
}

static void add_spans(const struct checker *checker, struct spans *spans, unsigned number)
{
	const struct list *list = &checker->policy->lists[number];
	struct span *grown;

	if (!list->prefix_count)
		return;
	grown = realloc(spans->items, (spans->count + list->prefix_count) * sizeof(*grown));
	if (!grown)
		return; /* only warnings are lost */
	spans->items = grown;
	for (size_t i = 0; i < list->prefix_count; i++)
		grown[spans->count++] = (struct span){.prefix = list->prefixes[i], .list = number};
}

static void sort_spans(struct spans *spans)
{
	if (spans->count)
		qsort(spans->items, spans->count, sizeof(*spans->items), by_prefix);
}

/*
 * Tells the first prefix of a list that an outer prefix of another list covers. Prefixes nest or are disjoint, so in
 * sorted order only the last outermost one can cover what comes.
 */
static void tell_covered(struct checker *checker, const struct spans *outer, unsigned number, const struct place *at,
			 const char *what_follows)
{
	const struct span *top = NULL;
	struct spans inner = {};
	size_t next = 0;

	add_spans(checker, &inner, number);
	sort_spans(&inner);
	for (size_t i = 0; i < inner.count; i++) {
		char mine[PREFIX_TEXT], other[PREFIX_TEXT];

		for (; next < outer->count && by_prefix(&outer->items[next], &inner.items[i]) <= 0; next++)
			if (!top || !covers(&top->prefix, &outer->items[next].prefix))
				top = &outer->items[next];
		if (!top || top->list == number || !covers(&top->prefix, &inner.items[i].prefix))
			continue;
		warn_at(checker, at, "%s of '%s' is in %s of '%s' too: %s", prefix_text(&inner.items[i].prefix, mine),
			checker->policy->lists[number].name, prefix_text(&top->prefix, other),
			checker->policy->lists[top->list].name, what_follows);
		break;
	}
	free(inner.items);
}

static bool drops_inbound(const struct list_use *use)
{
	return use->direction & DIRECTION_IN && !use->monitor;
}

static void check_block(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	struct spans trusted = {};

	for (size_t i = 0; i < policy->trusted.count; i++)
		if (!zone_of_use(checker, &policy->trusted.items[i]))
			add_spans(checker, &trusted, policy->trusted.items[i].list);
	sort_spans(&trusted);
	for (size_t i = 0; i < policy->block.count; i++) {
		const struct list_use *use = &policy->block.items[i];
		const struct list_use *also = find_use_in(&policy->trusted, use->list, use->zone);
		const struct prefix *wide;
		char buffer[PREFIX_TEXT];

		if (!drops_inbound(use))
			continue;
		if (also)
			error_at(checker, &use->at, "'%s' is trusted on line %u: it cannot be blocked too",
				 list_of(checker, use)->name, also->at.line);
		else
			tell_covered(checker, &trusted, use->list, &use->at,
				     "trusted comes first, so it is never dropped");
		if (has_prefix_length(list_of(checker, use), 1, 1, &wide))
			warn_at(checker, &use->at, "blocking '%s' blocks everybody who is not trusted (%s)",
				list_of(checker, use)->name, prefix_text(wide, buffer));
	}
	free(trusted.items);
}

/* What is dropped on its way in, in order; the caller frees its items. */
static struct spans blocked_spans(struct checker *checker)
{
	const struct list_uses *block = &checker->policy->block;
	struct spans blocked = {};

	for (size_t i = 0; i < block->count; i++)
		if (drops_inbound(&block->items[i]) && !zone_of_use(checker, &block->items[i]))
			add_spans(checker, &blocked, block->items[i].list);
	sort_spans(&blocked);
	return blocked;
}

/* What is blocked here is many others' way to this host. */
static void check_blocked_fronts(struct checker *checker, const struct list_uses *fronts, const char *name,
				 const char *what_follows)
{
	const struct policy *policy = checker->policy;
	struct spans blocked = blocked_spans(checker);

	for (size_t i = 0; i < fronts->count; i++) {
		const struct list_use *use = &fronts->items[i];
		const struct list_use *also = find_use_in(&policy->block, use->list, use->zone);

		if (also && drops_inbound(also))
			error_at(checker, &also->at, "'%s' is in '%s' on line %u: blocking it too means that %s",
				 list_of(checker, use)->name, name, use->at.line, what_follows);
		else
			tell_covered(checker, &blocked, use->list, &use->at, what_follows);
	}
	free(blocked.items);
}

/* Blocked comes before exposure: an allow for a blocked source lets nobody in. Each list is told once. */
static void check_allowed_but_blocked(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	bool told[LISTS_MAX] = {};
	struct spans blocked = blocked_spans(checker);

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct list_uses *allow = &policy->services[i].allow;

		for (size_t j = 0; j < allow->count; j++) {
			const struct list_use *use = &allow->items[j];
			const struct list_use *also = find_use_in(&policy->block, use->list, use->zone);

			if (use->list >= LISTS_MAX || told[use->list])
				continue;
			told[use->list] = true;
			if (also && drops_inbound(also))
				warn_at(checker, &use->at,
					"'%s' is blocked on line %u, which comes first: it never gets in",
					list_of(checker, use)->name, also->at.line);
			else
				tell_covered(checker, &blocked, use->list, &use->at,
					     "blocked comes first, so it never gets in");
		}
	}
	free(blocked.items);
}

/* ---- services ---- */

/* A range of `later` that `earlier` has too; both are sorted by the parser. */
static const struct port_range *common_range(const struct port_range *earlier, size_t earlier_count,
					     const struct port_range *later, size_t later_count)
{
	size_t i = 0, j = 0;

	while (i < earlier_count && j < later_count) {
		const struct port_range *a = &earlier[i], *b = &later[j];

		if (a->protocol == b->protocol && a->first <= b->last && b->first <= a->last)
			return b;
		if (a->protocol != b->protocol ? a->protocol < b->protocol : a->last < b->last)
			i++;
		else
			j++;
	}
	return NULL;
}

static bool same_prefixes(const struct list *a, const struct list *b)
{
	return a->prefix_count == b->prefix_count &&
	       !memcmp(a->prefixes, b->prefixes, a->prefix_count * sizeof(*a->prefixes));
}

/* Every place where `later` is served is one where `earlier` is. Lists by name, addresses by value. */
static bool is_hidden(const struct checker *checker, const struct service *earlier, const struct service *later)
{
	if (!earlier->has_to)
		return true;
	if (!later->has_to)
		return false;
	for (size_t i = 0; i < later->to.count; i++) {
		const struct list *mine = list_of(checker, &later->to.items[i]);
		bool found = find_use(&earlier->to, later->to.items[i].list);

		for (size_t j = 0; !found && is_anonymous(mine) && j < earlier->to.count; j++) {
			const struct list *other = list_of(checker, &earlier->to.items[j]);

			found = is_anonymous(other) && same_prefixes(mine, other);
		}
		if (!found)
			return false;
	}
	return true;
}

/* What is asked of sockets, which do not tell by which interface their packets came. */
static const char *asks_sockets(const struct policy *policy, const struct service *service)
{
	struct service other = service_under_attack(policy, service);

	for (size_t i = 0; i < service->limit_count; i++)
		if (service->limits[i].measure == MEASURE_CONNECTIONS)
			return "its limit of open connections";
	for (size_t i = 0; i < other.limit_count; i++)
		if (other.limits[i].measure == MEASURE_CONNECTIONS)
			return "its limit of open connections under attack";
	return service->has_tag ? "its tag" : NULL;
}

static void check_pair_of_zones(struct checker *checker, const struct service *earlier, const struct service *later,
				const struct port_range *at)
{
	const struct service *asker = asks_sockets(checker->policy, earlier) ? earlier : later;
	const char *what = asks_sockets(checker->policy, asker);
	char port[VALUE_TEXT];

	if (at->protocol == IPPROTO_TCP && what)
		error_at(
			checker, &at->at,
			"%s is in service '%s' too, in another zone, and a socket does not tell by which interface its "
			"packets come: %s, of '%s', would be meant for both; remove it, or tell the two apart by 'to'",
			port_text(at, port), earlier->name, what, asker->name);
}

static void check_pair(struct checker *checker, const struct service *earlier, const struct service *later,
		       const struct port_range *at)
{
	const char *file = earlier->at.file;
	char port[VALUE_TEXT];

	if (!is_hidden(checker, earlier, later))
		return;
	if (earlier->zone && earlier->zone != later->zone)
		check_pair_of_zones(checker, earlier, later, at);
	else if (later->zone && !earlier->zone)
		error_at(checker, &at->at, "%s: service '%s' before (%s:%u) takes it in every zone: put '%s' first",
			 port_text(at, port), earlier->name, file, earlier->at.line, later->name);
	else if (!later->has_to || earlier->has_to)
		error_at(checker, &at->at,
			 "%s is in service '%s' too (%s:%u): give the two different addresses with 'to'",
			 port_text(at, port), earlier->name, file, earlier->at.line);
	else
		error_at(checker, &at->at, "%s: service '%s' before (%s:%u) takes it on every address: put '%s' first",
			 port_text(at, port), earlier->name, file, earlier->at.line, later->name);
}

#define PAIRS_TOLD 64

static void check_ports(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	size_t before = checker->report->errors;

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *later = &policy->services[i];

		for (size_t j = 0; j < i && checker->report->errors < before + PAIRS_TOLD; j++) {
			const struct service *earlier = &policy->services[j];
			const struct port_range *common =
				common_range(earlier->ports, earlier->port_count, later->ports, later->port_count);

			if (common)
				check_pair(checker, earlier, later, common);
		}
	}
}

/* Services that should rarely be open to everybody: administration, and stores that trust their network. */
static const struct {
	__u8 protocol;
	__u16 port;
	const char *what;
} sensitive[] = {
	{IPPROTO_TCP, 22, "SSH"},
	{IPPROTO_TCP, 23, "telnet"},
	{IPPROTO_TCP, 445, "SMB"},
	{IPPROTO_TCP, 2375, "the Docker API"},
	{IPPROTO_TCP, 2379, "etcd"},
	{IPPROTO_TCP, 3306, "MySQL"},
	{IPPROTO_TCP, 3389, "RDP"},
	{IPPROTO_TCP, 5432, "PostgreSQL"},
	{IPPROTO_TCP, 6379, "Redis"},
	{IPPROTO_TCP, 9200, "Elasticsearch"},
	{IPPROTO_TCP, 10250, "the kubelet"},
	{IPPROTO_TCP, 11211, "memcached"},
	{IPPROTO_UDP, 11211, "memcached"},
	{IPPROTO_TCP, 27017, "MongoDB"},
};

static void check_open_ports(struct checker *checker, const struct service *service)
{
	for (size_t i = 0; i < service->port_count; i++) {
		const struct port_range *range = &service->ports[i];

		for (size_t j = 0; range->has_ports && j < sizeof(sensitive) / sizeof(*sensitive); j++) {
			if (range->protocol != sensitive[j].protocol || range->first > sensitive[j].port ||
			    range->last < sensitive[j].port)
				continue;
			warn_at(checker, &range->at,
				"service '%s' opens %s (port %u) to everybody: name who may with 'allow'",
				service->name, sensitive[j].what, sensitive[j].port);
			return;
		}
	}
}

static void check_tag(struct checker *checker, const struct service *service)
{
	__u32 mask = checker->policy->tag_mask, most = mask ? (mask / (mask & -mask)) >> TAG_CLASS_BITS : 0;

	if (!service->has_tag)
		return;
	if (!mask)
		error_at(checker, &service->at,
			 "service '%s' has a tag, but no 'tag-mask' says which mark bits are free: 'tag-mask: "
			 "0x0000ff00'",
			 service->name);
	else if (service->tag > most)
		error_at(checker, &service->at,
			 "tag %u of service '%s' does not fit into 'tag-mask: 0x%08x', whose highest two bits are the "
			 "class of the source: at most %u",
			 service->tag, service->name, mask, most);
}

/* Who may be challenged must be a TCP client. */
static void check_syn_cookies(struct checker *checker, const struct service *service)
{
	if (service->syn_cookies && service->port_count && !serves_tcp(service))
		error_at(checker, &service->syn_cookies_at,
			 "service '%s' has no TCP port, so 'syn-cookies' says nothing: remove it", service->name);
}

static void check_quic(struct checker *checker, const struct service *service)
{
	if (service->quic.given && service->port_count && !serves(service, IPPROTO_UDP))
		error_at(checker, &service->quic.at, "service '%s' has 'quic', but no UDP port to look for it on",
			 service->name);
}

static void check_first(struct checker *checker, const struct service *service)
{
	const struct place *at = service->tls.given ? &service->tls.at : &service->http.at;
	const char *word = service->tls.given ? "tls" : "http";

	if (!service->tls.given && !service->http.given)
		return;
	if (service->tls.given && service->http.given)
		error_at(checker, &service->http.at,
			 "service '%s' has 'tls' and 'http': what is encrypted shows no requests; remove one",
			 service->name);
	if (service->port_count && !serves_tcp(service))
		error_at(checker, at, "service '%s' has '%s', but no TCP port to look for it on", service->name, word);
}

/* Proxies stand for many clients: limits per source and prefix do not count them, so one that is only for them says
 * what it cannot do. */
static void check_limit_of_proxies(struct checker *checker, const struct service *service,
				   const struct policy_limit *limit)
{
	const struct list_uses *proxies = &checker->policy->proxies;
	const struct list_use *proxy = NULL;
	size_t clients = 0;

	if (limit->per == LIMITED_SERVICE)
		return;
	for (size_t i = 0; i < limit->only.count; i++)
		if (find_use(proxies, limit->only.items[i].list)) {
			proxy = &limit->only.items[i];
			error_at(checker, &proxy->at,
				 "'%s' is a proxy (line %u), which stands for many clients: a limit per source would "
				 "take them for one; make it 'per: service'",
				 list_of(checker, proxy)->name, find_use(proxies, proxy->list)->at.line);
		}
	for (size_t i = 0; i < service->allow.count; i++)
		clients += !find_use(proxies, service->allow.items[i].list);
	if (service->allow.count && !clients && !proxy)
		error_at(checker, &limit->at,
			 "all whom service '%s' allows are proxies, each of which stands for many clients: a limit per "
			 "source would take them for one; make it 'per: service'",
			 service->name);
}

/* Its connections are those of TCP. */
static void check_idle_requests(struct checker *checker, const struct service *service)
{
	for (size_t i = 0; i < service->limit_count && service->port_count && !serves_tcp(service); i++)
		if (service->limits[i].measure == MEASURE_IDLE_REQUEST)
			error_at(checker, &service->limits[i].at,
				 "service '%s' has no TCP port, so 'idle-request' says nothing: remove it",
				 service->name);
}

static void check_limits(struct checker *checker, const struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++) {
		const struct policy_limit *limit = &service->limits[i];

		if (limit->has_only && !limit->only.count)
			warn_at(checker, &limit->at, "this limit counts nobody: its 'for' is empty");
		for (size_t j = 0; j < limit->only.count; j++)
			if (find_use(&limit->except, limit->only.items[j].list))
				error_at(checker, &limit->only.items[j].at,
					 "'%s' is in 'except' of this limit, too: it would never be counted",
					 list_of(checker, &limit->only.items[j])->name);
		check_limit_of_proxies(checker, service, limit);
	}
	if (service->http.given && service->http.requests.rate.at.line && !service->client_at.line)
		check_limit_of_proxies(checker, service, &service->http.requests);
}

/* What only proxies write, and what for. */
static void check_client(struct checker *checker, const struct service *service)
{
	const struct list_uses *proxies = &checker->policy->proxies;
	bool limited = service->http.given && service->http.requests.rate.at.line;

	if (!service->client_at.line)
		return;
	if (service->client_proxied ? !service->http.given && !service->tls.given : !limited)
		error_at(checker, &service->client_at,
			 service->client_proxied
				 ? "service '%s' has neither 'http' nor 'tls', so 'client' says nothing: remove it"
				 : "service '%s' has no limit of requests under 'http', so 'client' says nothing: "
				   "remove it",
			 service->name);
	if (!proxies->count)
		error_at(checker, &service->client_at,
			 "anybody can write %s: 'client' of service '%s' is read only from 'proxies', and the policy "
			 "names none",
			 service->client_proxied ? "a PROXY header" : "X-Forwarded-For", service->name);
	for (size_t i = 0; i < proxies->count; i++)
		if (find_use(&checker->policy->health_checks, proxies->items[i].list))
			warn_at(checker, &service->client_at,
				"'%s' is in 'proxies' and in 'health-checks', whom no rule of 'http' and 'tls' "
				"concerns: clients behind it are not counted; remove it from 'health-checks', a proxy "
				"has neither bans nor limits per source",
				list_of(checker, &proxies->items[i])->name);
}

static void check_services(struct checker *checker)
{
	const struct policy *policy = checker->policy;

	if (policy->service_count >= SERVICES_MAX)
		error_at(checker, &policy->services[SERVICES_MAX - 1].at, "%zu services: a policy has at most %d",
			 policy->service_count, SERVICES_MAX - 1);
	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];

		if (service->has_allow && !service->allow.count)
			warn_at(checker, &service->at, "service '%s' allows nobody: its 'allow' is empty",
				service->name);
		if (service->has_to && !service->to.count)
			warn_at(checker, &service->at, "service '%s' is served on no address: its 'to' is empty",
				service->name);
		if (!service->has_allow && !service->zone && !service->monitor && !policy->monitor)
			check_open_ports(checker, service);
		check_tag(checker, service);
		check_syn_cookies(checker, service);
		check_first(checker, service);
		check_client(checker, service);
		check_quic(checker, service);
		check_limits(checker, service);
		check_idle_requests(checker, service);
	}
	if (policy->service_count < SERVICES_MAX)
		check_ports(checker);
}

/* ---- under attack ---- */

static void check_profiles(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	const struct policy_profile *common = &policy->under_attack;

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		const struct policy_profile *own = &service->under_attack;
		struct service other = service_under_attack(policy, service);

		if (other.limits != service->limits)
			check_limits(checker, &other);
		if (own->has_limits) /* those of the policy are for services of all kinds */
			check_idle_requests(checker, &other);
		if (own->given && !own->has_limits && !own->has_syn_cookies)
			warn_at(checker, &own->at, "'under-attack' of service '%s' is empty: it changes nothing",
				service->name);
		if (own->has_syn_cookies && own->syn_cookies && service->port_count && !serves_tcp(service))
			error_at(checker, &own->syn_cookies_at,
				 "service '%s' has no TCP port, so 'syn-cookies' says nothing: remove it",
				 service->name);
	}
	if (common->given && !policy_has_profile(policy))
		warn_at(checker, &common->at,
			"'under-attack' changes nothing: give it limits or syn-cookies, here or on a service");
}

/* ---- bans ---- */

static bool bans_follow(const struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++)
		if (service->limits[i].per == LIMITED_SOURCE && !service->limits[i].monitor)
			return true;
	return false;
}

static void check_ban(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	bool follows = false;

	for (size_t i = 0; i < policy->service_count; i++)
		follows |= bans_follow(&policy->services[i]);
	for (size_t i = 0; i < policy->service_count; i++) {
		struct service other = service_under_attack(policy, &policy->services[i]);

		follows |= bans_follow(&other);
	}
	if (policy->ban.given && !follows && !policy->monitor)
		warn_at(checker, &policy->ban.at,
			"no service has a limit per source, so nothing leads to a ban: what many share is nobody's "
			"offence");
}

static void check_cookies(struct checker *checker)
{
	const struct policy *policy = checker->policy;

	for (size_t i = 0; i < policy->service_count; i++)
		if (policy->services[i].syn_cookies || service_under_attack(policy, &policy->services[i]).syn_cookies)
			return;
	if (policy->cookies_at.line)
		warn_at(checker, &policy->cookies_at,
			"no service answers with SYN cookies, so this concerns nobody: give one 'syn-cookies: "
			"auto'");
}

/* ---- the whole ---- */

static void check_whole(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	struct place whole = {.file = policy->file_count ? policy->files[0] : NULL};

	if (policy->default_pass && !policy->monitor)
		warn_at(checker, &policy->default_at, "'default: pass' leaves every port open that no service names");
	if (!policy->default_pass && !policy->service_count)
		warn_at(checker, &whole,
			"no service is declared: only trusted sources can open connections to this host");
	for (size_t i = 1; i < policy->interface_count; i++)
		if (!strcmp(policy->interfaces[i], "auto") || !strcmp(policy->interfaces[0], "auto")) {
			warn_at(checker, &policy->interface_at[i],
				"'auto' and interfaces by name: those of the default routes come to those named");
			break;
		}
}

/* ---- tests ---- */

static const struct {
	const char *name;
	enum verdict verdict;
} reasons[] = {
#define REASON(symbol, reason_name, reason_verdict, sentence) {reason_name, VERDICT_##reason_verdict},
#include "../include/reasons.def"
#undef REASON
};
#define REASONS (sizeof(reasons) / sizeof(*reasons))

/* What a reason usually does need not be what it does here (stray: pass), but what passes or replies never drops. */
static bool can_be(enum verdict usual, enum expectation expect)
{
	if (usual == VERDICT_DROP)
		return expect != EXPECT_REPLY;
	return usual == VERDICT_PASS ? expect == EXPECT_PASS : expect == EXPECT_REPLY;
}

static void check_reason(struct checker *checker, const struct policy_test *test)
{
	const char *names[REASONS];
	char buffer[HINT_TEXT];

	for (size_t i = 0; i < REASONS; i++) {
		names[i] = reasons[i].name;
		if (strcmp(test->reason, names[i]))
			continue;
		if (!can_be(reasons[i].verdict, test->expect))
			error_at(checker, &test->reason_at, "the test expects %s, which '%s' never is the reason of",
				 expect_words[test->expect], names[i]);
		return;
	}
	error_at(checker, &test->reason_at, "there is no reason '%.80s'%s", test->reason,
		 hint(checker->report, buffer, test->reason, names, REASONS));
}

static void check_test(struct checker *checker, const struct policy_test *test, const char *const *names)
{
	char buffer[HINT_TEXT], words[256];
	struct frame frame;

	if (packet_text(test->packet, &frame, words, sizeof(words)))
		error_at(checker, &test->packet_at, "'%.80s': %s", test->packet, words);
	if (test->reason)
		check_reason(checker, test);
	if (!test->service)
		return;
	for (size_t i = 0; i < checker->policy->service_count; i++)
		if (!strcmp(test->service, names[i]))
			return;
	error_at(checker, &test->service_at, "there is no service '%.80s'%s", test->service,
		 hint(checker->report, buffer, test->service, names, checker->policy->service_count));
}

static void check_tests(struct checker *checker)
{
	const struct policy *policy = checker->policy;
	const char **names = calloc(policy->service_count + 1, sizeof(*names));

	if (!names) {
		error_at(checker, NULL, "out of memory");
		return;
	}
	for (size_t i = 0; i < policy->service_count; i++)
		names[i] = policy->services[i].name;
	for (size_t i = 0; i < policy->test_count; i++)
		check_test(checker, &policy->tests[i], names);
	free(names);
}

/* Said once, and still worth a word: numbers tell an attacker what works, and a token in clear is soon known. */
static void check_metrics(struct checker *checker)
{
	const struct policy_metrics *metrics = &checker->policy->metrics;

	if (!metrics->listen || !metrics->remote)
		return;
	if (!metrics->token_file)
		warn_at(checker, &metrics->listen_at,
			"whoever reaches %s reads the metrics: a 'token-file' keeps them to those who know it",
			metrics->listen);
	else if (!metrics->cert)
		warn_at(checker, &metrics->listen_at,
			"the token goes over the network in clear: 'tls' keeps it from those on the way");
}

void policy_check(const struct policy *policy, struct report *report)
{
	struct checker checker = {.policy = policy, .report = report, .torn = report->errors};

	check_zones(&checker);
	check_lists(&checker);
	check_trusted(&checker);
	check_block(&checker);
	check_allowed_but_blocked(&checker);
	check_blocked_fronts(&checker, &policy->proxies, "proxies", "every client behind it is dropped");
	check_blocked_fronts(&checker, &policy->health_checks, "health-checks", "its checks are dropped");
	check_services(&checker);
	check_profiles(&checker);
	check_ban(&checker);
	check_cookies(&checker);
	check_whole(&checker);
	check_metrics(&checker);
	check_tests(&checker);
}
