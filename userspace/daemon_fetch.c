/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When feeds from the web are fetched: each in its `refresh` since its server last confirmed the copy, a tenth of that
 * sooner or later, so that a thousand hosts do not ask at once; after a failure soon again, then ever more seldom. One
 * at a time, by a helper that runs `bulwark fetch LIST`. What came new is a file that changed: daemon_feeds.c sees it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "daemon.h"
#include "fetch.h"
#include "remote.h"
#include "url.h"

#define SECOND_NS 1000000000ULL
#define AGAIN_NS (30 * SECOND_NS) /* after a first failure; twice that after the second, and so on up to `refresh` */
#define DOUBLINGS 20

static const char *const fetch_words[] = {"--json", "fetch", NULL};

int fetch_open(struct daemon *daemon)
{
	return helper_open(&daemon->fetching.helper, &daemon->places, fetch_words, "fetches feeds");
}

/* ---- when ---- */

/* From 90 to 110 percent of it. */
static __u64 about(__u64 ns)
{
	__u32 random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (__u32)monotonic_ns();
	return ns / 10 * 9 + ns / 5 / 1024 * (random % 1025);
}

/* The clock may have jumped: never later than a whole `refresh` from now. */
static __u64 first_time(const struct remote_feed *feed)
{
	time_t now = time(NULL), confirmed = remote_confirmed(feed->url, 0);
	__u64 age_ns = now > confirmed ? (__u64)(now - confirmed) * SECOND_NS : 0, wanted = about(feed->refresh_ns);

	return monotonic_ns() + (wanted > age_ns ? wanted - age_ns : 0);
}

static __u64 after_failure(const struct remote_feed *feed)
{
	unsigned doublings = feed->failures - 1 < DOUBLINGS ? feed->failures - 1 : DOUBLINGS;
	__u64 wait = AGAIN_NS << doublings;

	return monotonic_ns() + about(wait < feed->refresh_ns ? wait : feed->refresh_ns);
}

/* ---- which ---- */

static void clear(struct remote_feeds *feeds)
{
	for (size_t i = 0; i < feeds->count; i++)
		free(feeds->items[i].url);
	free(feeds->items);
	feeds->items = NULL;
	feeds->count = 0;
}

static struct remote_feed *find(struct remote_feeds *feeds, const char *name)
{
	for (size_t i = 0; i < feeds->count; i++)
		if (!strcmp(feeds->items[i].name, name))
			return &feeds->items[i];
	return NULL;
}

/* What was planned for the same address stays so. */
static void add(struct remote_feeds *feeds, struct remote_feeds *old, const json_t *list)
{
	const char *url = json_string_value(json_object_get(list, "feed"));
	const char *name = json_string_value(json_object_get(list, "name"));
	json_int_t refresh_s = json_integer_value(json_object_get(list, "refresh_s"));
	const struct remote_feed *before;
	struct remote_feed *larger, *feed;

	if (!url || !name || !is_url(url) || refresh_s <= 0)
		return;
	larger = reallocarray(feeds->items, feeds->count + 1, sizeof(*larger));
	if (!larger)
		return;
	feeds->items = larger;
	feed = &larger[feeds->count];
	*feed = (struct remote_feed){.url = strdup(url), .refresh_ns = (__u64)refresh_s * SECOND_NS};
	if (!feed->url)
		return;
	feeds->count++;
	snprintf(feed->name, sizeof(feed->name), "%s", name);
	before = find(old, name);
	if (before && !strcmp(before->url, url) && before->refresh_ns == feed->refresh_ns) {
		feed->next_ns = before->next_ns;
		feed->failures = before->failures;
	} else {
		feed->next_ns = first_time(feed);
	}
}

void fetch_learn(struct remote_feeds *feeds, const json_t *description)
{
	struct remote_feeds old = *feeds;
	json_t *list;
	size_t i;

	feeds->items = NULL;
	feeds->count = 0;
	json_array_foreach(json_object_get(description, "lists"), i, list) add(feeds, &old, list);
	clear(&old);
}

/* ---- what became of it ---- */

/* A failure is told once, and again when its words change; the metrics count all. */
static void tell_failure(struct daemon *daemon, struct remote_feed *feed, const char *why)
{
	bool told = feed->failures > 1 && !strcmp(feed->why, why);

	snprintf(feed->why, sizeof(feed->why), "%s", why);
	if (told)
		return;
	tell_notice(daemon, "feed-refused",
		    json_pack("{s:s, s:s, s:s}", "list", feed->name, "feed", feed->url, "why", why),
		    "the feed of %s could not be fetched: %s; the last good one stays in force", feed->name, why);
}

static void hear(struct daemon *daemon, const struct helper_answer *answer)
{
	struct remote_feeds *feeds = &daemon->fetching;
	json_t *told = json_loads(answer->text, 0, NULL), *first = json_array_get(told, 0);
	const char *outcome = json_string_value(json_object_get(first, "outcome"));
	const char *why = json_string_value(json_object_get(first, "why"));
	struct remote_feed *feed = find(feeds, feeds->asked);
	enum fetch_outcome found = FETCH_REFUSED;

	for (int i = 0; outcome && fetch_outcomes[i]; i++)
		if (!strcmp(outcome, fetch_outcomes[i]))
			found = (enum fetch_outcome)i;
	feeds->counts[found]++;
	if (feed && found != FETCH_REFUSED) {
		feed->failures = 0;
		feed->next_ns = monotonic_ns() + about(feed->refresh_ns);
	} else if (feed) {
		feed->failures++;
		feed->next_ns = after_failure(feed);
		tell_failure(daemon, feed, why ?: "`bulwark fetch` failed");
	}
	json_decref(told);
}

void fetch_when_due(struct daemon *daemon)
{
	struct remote_feeds *feeds = &daemon->fetching;
	struct helper_answer answer;
	__u64 now = monotonic_ns();

	if (feeds->helper.running && helper_answered(&feeds->helper, &answer))
		hear(daemon, &answer);
	for (size_t i = 0; i < feeds->count && feeds->helper.fd >= 0 && !feeds->helper.running; i++) {
		struct remote_feed *feed = &feeds->items[i];

		if (now < feed->next_ns)
			continue;
		snprintf(feeds->asked, sizeof(feeds->asked), "%s", feed->name);
		helper_ask(&feeds->helper, feed->name);
	}
}

void fetch_close(struct daemon *daemon)
{
	helper_close(&daemon->fetching.helper);
	clear(&daemon->fetching);
}
