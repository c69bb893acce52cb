/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The copies of feeds that are fetched. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "remote.h"
#include "url.h"

static const char *state;

void remote_use(const char *state_dir)
{
	state = state_dir;
}

bool remote_path(const char *url, const char *ending, char path[REMOTE_PATH])
{
	XXH128_hash_t hash = XXH3_128bits(url, strlen(url));
	int length;

	*path = '\0';
	if (!state)
		return false;
	length = snprintf(path, REMOTE_PATH, "%s/feeds/remote/%016llx%016llx.%s", state,
			  (unsigned long long)hash.high64, (unsigned long long)hash.low64, ending);
	if (length < REMOTE_PATH)
		return true;
	*path = '\0';
	return false;
}

const char *remote_file(const char *feed, char buffer[REMOTE_PATH])
{
	if (!is_url(feed))
		return feed;
	remote_path(feed, "list", buffer);
	return buffer;
}

bool remote_is_here(const char *feed)
{
	char path[REMOTE_PATH];

	return !is_url(feed) || !access(remote_file(feed, path), R_OK);
}

time_t remote_confirmed(const char *feed, time_t mtime)
{
	char path[REMOTE_PATH];
	struct stat status;

	if (!is_url(feed) || !remote_path(feed, "json", path) || stat(path, &status))
		return mtime;
	return status.st_mtime;
}

int remote_make_directories(void)
{
	static const char *const below[] = {"", "/feeds", "/feeds/remote"};
	char path[REMOTE_PATH];

	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
		snprintf(path, sizeof(path), "%s%s", state, below[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* ---- what the server said ---- */

static void take(const json_t *object, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(to, size, "%s", text && strlen(text) < size ? text : "");
}

void remote_facts_read(const char *url, struct remote_facts *facts)
{
	char path[REMOTE_PATH];
	json_t *kept = remote_path(url, "json", path) && remote_is_here(url) ? json_load_file(path, 0, NULL) : NULL;
	const char *of = json_string_value(json_object_get(kept, "url"));
	json_int_t prefixes = json_integer_value(json_object_get(kept, "prefixes"));

	*facts = (struct remote_facts){};
	if (of && !strcmp(of, url)) {
		take(kept, "etag", facts->etag, sizeof(facts->etag));
		take(kept, "last_modified", facts->last_modified, sizeof(facts->last_modified));
		facts->prefixes = prefixes > 0 ? (__u64)prefixes : 0;
	}
	json_decref(kept);
}

int remote_facts_write(const char *url, const struct remote_facts *facts)
{
	json_t *kept = json_pack("{s:s, s:s, s:s, s:I}", "url", url, "etag", facts->etag, "last_modified",
				 facts->last_modified, "prefixes", (json_int_t)facts->prefixes);
	char path[REMOTE_PATH];
	int error = kept && remote_path(url, "json", path) && !json_dump_file(kept, path, JSON_COMPACT) ? 0 : -EIO;

	json_decref(kept);
	return error;
}

int remote_confirm(const char *url)
{
	char path[REMOTE_PATH];

	return remote_path(url, "json", path) && !utimensat(AT_FDCWD, path, NULL, 0) ? 0 : -errno;
}

/* ---- which are needed ---- */

static bool uses_list(const struct list_uses *uses, unsigned list)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->items[i].list == list)
			return true;
	return false;
}

bool list_is_used(const struct policy *policy, unsigned list)
{
	const struct list_uses *const all[] = {&policy->trusted, &policy->block, &policy->never_ban,
					       &policy->health_checks, &policy->proxies};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (uses_list(all[i], list))
			return true;
	for (size_t i = 0; i < policy->service_count; i++)
		if (uses_list(&policy->services[i].allow, list) || uses_list(&policy->services[i].to, list))
			return true;
	return false;
}
