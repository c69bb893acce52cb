/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists: which of them the policy uses, their numbers, their prefixes, and feeds cut around what an outsider's list
 * must not touch. Lists that are not blocked come first: what they hold is what the feeds are cut around.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "compile.h"
#include "remote.h"
#include "url.h"

struct holes {
	struct protected_prefix *items;
	size_t count, capacity;
	size_t special; /* the first of them: special-purpose space, which `bogons: keep` leaves in */
};

static int hole_add(struct holes *holes, const struct prefix *prefix, const char *why)
{
	if (holes->count == holes->capacity) {
		size_t capacity = holes->capacity ? holes->capacity * 2 : 256;
		void *items = reallocarray(holes->items, capacity, sizeof(*holes->items));

		if (!items)
			return -ENOMEM;
		holes->items = items;
		holes->capacity = capacity;
	}
	holes->items[holes->count++] = (struct protected_prefix){*prefix, why};
	return 0;
}

static struct prefix prefix_of4(const struct prefix4 *from)
{
	struct prefix prefix = {.length = from->length + 96};

	prefix.address[10] = prefix.address[11] = 0xff;
	for (int i = 0; i < 4; i++)
		prefix.address[12 + i] = from->address >> (24 - 8 * i);
	return prefix;
}

static struct prefix prefix_of6(const struct prefix6 *from)
{
	struct prefix prefix = {.length = from->length};

	for (int i = 0; i < 8; i++) {
		prefix.address[i] = from->high >> (56 - 8 * i);
		prefix.address[8 + i] = from->low >> (56 - 8 * i);
	}
	return prefix;
}

/* ---- which lists count, and as what ---- */

static void mark_zoned(struct compile *compile, const struct list_use *use)
{
	if (number_of_use(compile, use) >= 0 || compile->zoned_count > LISTS_MAX)
		return;
	compile->zoned[compile->zoned_count++] = (struct zoned_list){use->list, use->zone, 0};
}

static void mark_uses(struct compile *compile, const struct list_uses *uses, const char *why)
{
	for (size_t i = 0; i < uses->count; i++) {
		struct compiled_list *list = &compile->lists[uses->items[i].list];

		if (entry_over(uses->items[i].until, compile->now))
			continue;
		list->number = 0;
		if (uses->items[i].zone)
			mark_zoned(compile, &uses->items[i]);
		if (why && !list->protected) {
			list->protected = true;
			list->why_protected = why;
		}
	}
}

static void mark_blocked(struct compile *compile)
{
	const struct list_uses *block = &compile->policy->block;

	mark_uses(compile, block, NULL);
	for (size_t i = 0; i < block->count; i++)
		compile->lists[block->items[i].list].blocked |= compile->block_rules[i] != 0;
}

/* A feed that is blocked and protected at once would be cut to nothing: say so, and let the protection stand. */
static void settle_contradiction(struct compile *compile, size_t index)
{
	const struct list *list = &compile->policy->lists[index];
	struct compiled_list *compiled = &compile->lists[index];

	if (!list->feed || !compiled->blocked || !compiled->protected)
		return;
	policy_say(compile->policy, compile->report, SEVERITY_WARNING, &list->at,
		   "feed list '%s' is blocked, but also %s: feeds are cut around those, so nothing of it is blocked",
		   list->name, compiled->why_protected);
	compiled->blocked = false;
}

static void mark_limits(struct compile *compile, const struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++) {
		mark_uses(compile, &service->limits[i].except, NULL);
		mark_uses(compile, &service->limits[i].only, NULL);
	}
}

static int number_lists(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	struct service other;
	int number = 0;

	compile->lists = calloc(policy->list_count + 1, sizeof(*compile->lists));
	if (!compile->lists)
		return -ENOMEM;
	for (size_t i = 0; i < policy->list_count; i++)
		compile->lists[i].number = -1;
	mark_uses(compile, &policy->trusted, "trusted");
	mark_uses(compile, &policy->never_ban, "never banned");
	mark_uses(compile, &policy->health_checks, "health checks");
	mark_uses(compile, &policy->proxies, "proxies");
	for (size_t i = 0; i < policy->service_count; i++) {
		if (!compile->service_rules[i])
			continue;
		mark_uses(compile, &policy->services[i].allow, "allowed by a service");
		for (size_t j = 0; j < policy->services[i].http.path_count; j++)
			mark_uses(compile, &policy->services[i].http.paths[j].allow, NULL);
		mark_uses(compile, &policy->services[i].to, NULL);
		mark_limits(compile, &policy->services[i]);
		other = service_under_attack(policy, &policy->services[i]);
		mark_limits(compile, &other);
	}
	mark_blocked(compile);
	for (size_t i = 0; i < policy->list_count; i++) {
		settle_contradiction(compile, i);
		if (compile->lists[i].number >= 0)
			compile->lists[i].number = number++;
	}
	for (size_t i = 0; i < compile->zoned_count; i++)
		compile->zoned[i].number = number++;
	if (number <= LISTS_USABLE)
		return 0;
	policy_say(compile->policy, compile->report, SEVERITY_ERROR, &policy->lists[policy->list_count - 1].at,
		   "the policy uses %d lists%s; %d are possible", number,
		   compile->zoned_count ? ", counting one once more for each zone that entries name it in" : "",
		   LISTS_USABLE);
	return -E2BIG;
}

/* ---- reading ---- */

static void hash_prefixes(struct compile *compile, size_t v4, size_t v6)
{
	const struct prefixes *prefixes = &compile->prefixes;

	for (unsigned i = 0; i < 2; i++) {
		if (prefixes->v4_count > v4)
			XXH3_128bits_update(compile->hash[i], prefixes->v4 + v4,
					    (prefixes->v4_count - v4) * sizeof(*prefixes->v4));
		if (prefixes->v6_count > v6)
			XXH3_128bits_update(compile->hash[i], prefixes->v6 + v6,
					    (prefixes->v6_count - v6) * sizeof(*prefixes->v6));
	}
}

static void feed_age(struct compile *compile, const struct list *list, struct image_list *image_list)
{
	char copy[REMOTE_PATH];
	struct stat status;
	time_t confirmed;
	__u64 age;

	if (stat(remote_file(list->feed, copy), &status))
		return;
	image_list->feed_mtime = status.st_mtime;
	confirmed = remote_confirmed(list->feed, status.st_mtime);
	age = compile->now > confirmed ? compile->now - confirmed : 0;
	if (list->max_age_s && age > list->max_age_s)
		policy_say(compile->policy, compile->report, SEVERITY_WARNING, &list->feed_at,
			   "feed '%s' was last %s %llu hours ago, max-age is %llu hours", list->feed,
			   is_url(list->feed) ? "fetched" : "written", age / 3600, list->max_age_s / 3600);
}

static int cut_feed(struct compile *compile, const struct list *list, const struct compiled_list *compiled,
		    const struct holes *holes)
{
	struct image_list *image_list = &compile->image->lists[compiled->number];
	size_t skip = list->keep_bogons ? holes->special : 0;
	size_t before = compile->image->cuts.count;
	int err = feed_cut(&compile->prefixes, compiled->number, holes->items + skip, holes->count - skip,
			   &compile->image->cuts);

	image_list->cut = compile->image->cuts.count - before;
	return err;
}

/* One list into prefixes. Its feed is cut before the inline addresses join it: those mean what they say. holes NULL:
 * this list is not an outsider's blocklist. */
static int read_list(struct compile *compile, size_t index, const struct holes *holes)
{
	const struct list *list = &compile->policy->lists[index];
	const struct compiled_list *compiled = &compile->lists[index];
	struct image_list *image_list = &compile->image->lists[compiled->number];
	struct prefixes *prefixes = &compile->prefixes;
	size_t v4 = prefixes->v4_count, v6 = prefixes->v6_count;
	int err = 0;

	if (entry_over(list->until, compile->now)) {
		policy_say(compile->policy, compile->report, SEVERITY_WARNING, &list->at,
			   "list '%s' ended on %s and is taken as empty", list->name, list->until);
		return 0;
	}
	if (list->feed && !remote_is_here(list->feed)) { /* apply has refused by now */
		policy_say(compile->policy, compile->report, SEVERITY_NOTE, &list->feed_at,
			   "feed '%s' was never fetched here and is taken as empty: `bulwark apply` fetches it",
			   list->feed);
	} else if (list->feed) {
		feed_age(compile, list, image_list);
		err = feed_read(list, compiled->number, prefixes, compile->report);
		if (err)
			return err;
		hash_prefixes(compile, v4, v6);
		if (holes)
			err = cut_feed(compile, list, compiled, holes);
		if (!err && v4 == prefixes->v4_count && v6 == prefixes->v6_count)
			policy_say(compile->policy, compile->report, SEVERITY_WARNING, &list->feed_at,
				   "everything in feed '%s' was cut away: nothing of it is blocked", list->feed);
	}
	for (size_t i = 0; !err && i < list->prefix_count; i++)
		err = prefixes_add(prefixes, &list->prefixes[i], compiled->number);
	image_list->v4 = prefixes->v4_count - v4;
	image_list->v6 = prefixes->v6_count - v6;
	return err;
}

/* Reads lists of one kind; goes on after a feed that cannot be read, so that all errors are told at once. */
static int read_lists(struct compile *compile, bool blocked, const struct holes *holes)
{
	int first = 0;

	for (size_t i = 0; i < compile->policy->list_count; i++) {
		int err;

		if (compile->lists[i].number < 0 || compile->lists[i].blocked != blocked)
			continue;
		err = read_list(compile, i, holes);
		if (err == -ENOMEM)
			return err;
		first = first ? first : err;
	}
	return first;
}

static int describe_lists(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	struct image *image = compile->image;

	image->lists = calloc(policy->list_count + 1, sizeof(*image->lists));
	if (!image->lists)
		return -ENOMEM;
	for (size_t i = 0; i < policy->list_count; i++) {
		struct image_list *list = &image->lists[image->list_count];

		if (compile->lists[i].number < 0)
			continue;
		list->name = strdup(policy->lists[i].name);
		if (policy->lists[i].feed)
			list->feed = strdup(policy->lists[i].feed);
		image->list_count++;
		if (!list->name || (policy->lists[i].feed && !list->feed))
			return -ENOMEM;
	}
	return 0;
}

/* ---- what feeds are cut around ---- */

static int special_holes(struct holes *holes)
{
	size_t count;
	const struct protected_prefix *special = special_purpose(&count);
	int err = 0;

	for (size_t i = 0; !err && i < count; i++)
		err = hole_add(holes, &special[i].prefix, special[i].why);
	holes->special = holes->count;
	return err;
}

static int host_holes(const struct host *host, struct holes *holes)
{
	int err = 0;

	for (size_t i = 0; !err && i < host->address_count; i++) {
		err = hole_add(holes, &host->addresses[i].address, "own address");
		err = err ? err : hole_add(holes, &host->addresses[i].on_link, "on-link prefix");
	}
	for (size_t i = 0; !err && i < host->gateway_count; i++)
		err = hole_add(holes, &host->gateways[i], "gateway");
	for (size_t i = 0; !err && i < host->resolver_count; i++)
		err = hole_add(holes, &host->resolvers[i], "resolver");
	return err;
}

/* "trusted: list office", owned by the image */
static const char *hole_words(struct image *image, const char *why, const char *name)
{
	char **words = reallocarray(image->words, image->word_count + 1, sizeof(*words));

	if (!words)
		return NULL;
	image->words = words;
	if (asprintf(&words[image->word_count], "%s: list %s", why, name) < 0)
		return NULL;
	return words[image->word_count++];
}

static int list_holes(struct compile *compile, size_t index, struct holes *holes)
{
	const struct compiled_list *compiled = &compile->lists[index];
	const struct prefixes *prefixes = &compile->prefixes;
	const char *why = hole_words(compile->image, compiled->why_protected, compile->policy->lists[index].name);
	int err = why ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < prefixes->v4_count; i++) {
		struct prefix prefix = prefix_of4(&prefixes->v4[i]);

		if (prefixes->v4[i].list == compiled->number)
			err = hole_add(holes, &prefix, why);
	}
	for (size_t i = 0; !err && i < prefixes->v6_count; i++) {
		struct prefix prefix = prefix_of6(&prefixes->v6[i]);

		if (prefixes->v6[i].list == compiled->number)
			err = hole_add(holes, &prefix, why);
	}
	return err;
}

/* An inline list may be blocked and protected at once (its block stands, exposure is judged later); it is not among the
 * prefixes yet, so its addresses are taken from the policy. */
static int inline_holes(struct compile *compile, size_t index, struct holes *holes)
{
	const struct list *list = &compile->policy->lists[index];
	const char *why = hole_words(compile->image, compile->lists[index].why_protected, list->name);
	int err = why ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < list->prefix_count; i++)
		err = hole_add(holes, &list->prefixes[i], why);
	return err;
}

static int find_holes(struct compile *compile, struct holes *holes)
{
	int err = special_holes(holes);

	if (!err && compile->host)
		err = host_holes(compile->host, holes);
	for (size_t i = 0; !err && i < compile->policy->list_count; i++) {
		if (compile->lists[i].protected)
			err = compile->lists[i].blocked ? inline_holes(compile, i, holes)
							: list_holes(compile, i, holes);
	}
	return err;
}

/* Whom this host depends on is spared by automatic bans; own addresses are known to the programs. */
static int add_spared(struct compile *compile)
{
	const struct host *host = compile->host;
	struct image *image = compile->image;
	int err = 0;

	if (!host || !compile->policy->ban.given)
		return 0;
	for (size_t i = 0; !err && i < host->gateway_count; i++)
		err = prefixes_add(&compile->prefixes, &host->gateways[i], LIST_HOST);
	for (size_t i = 0; !err && i < host->resolver_count; i++)
		err = prefixes_add(&compile->prefixes, &host->resolvers[i], LIST_HOST);
	image->spared = XXH32(host->gateways, host->gateway_count * sizeof(*host->gateways), 1);
	image->spared = XXH32(host->resolvers, host->resolver_count * sizeof(*host->resolvers), image->spared);
	return err;
}

int compile_lists(struct compile *compile)
{
	struct holes holes = {0};
	int err = number_lists(compile), open_err;

	err = err ? err : describe_lists(compile);
	if (err)
		return err;
	open_err = read_lists(compile, false, NULL);
	if (open_err == -ENOMEM)
		return open_err;
	err = find_holes(compile, &holes);
	err = err ? err : read_lists(compile, true, &holes);
	free(holes.items);
	err = err ? err : add_spared(compile);
	return open_err ? open_err : err;
}
