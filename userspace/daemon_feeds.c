/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds that a policy wants refreshed: a file that changed and then kept still is a reason to apply the policy anew, at
 * most once in its `refresh`. inotify says which to look at (path_watch.h); all are looked at once a minute for what it
 * cannot see, and every second those that it does not watch. One that cannot be read, is empty or shrank is refused by
 * apply, and not tried again before it changes; the last good one stays in force.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon.h"
#include "path_watch.h"
#include "remote.h"

#define STILL_NS (2ULL * 1000000000) /* somebody may be writing it */
#define ALL_LOOK_NS (60ULL * 1000000000)

/* What a change of the file changes; 0: it is not there, or (errno EACCES) hidden from the daemon's user. */
static __u64 look_at(const char *feed, __u64 *mtime)
{
	char copy[REMOTE_PATH];
	struct stat found;

	*mtime = 0;
	errno = 0;
	if (stat(remote_file(feed, copy), &found))
		return 0;
	*mtime = (__u64)found.st_mtime;
	return (((__u64)found.st_mtim.tv_sec * 1000000000 + (__u64)found.st_mtim.tv_nsec) ^ (__u64)found.st_ino << 20 ^
		(__u64)found.st_size << 40) |
	       1;
}

static const struct feed_file *known(const struct feed_files *files, const char *path)
{
	for (size_t i = 0; i < files->count; i++)
		if (!strcmp(files->items[i].path, path))
			return &files->items[i];
	return NULL;
}

static void clear(struct feed_file *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i].path);
	free(items);
}

/* What was tried before stays tried: a refused file is no reason again. */
static void add(struct feed_files *files, const struct feed_files *old, const json_t *list)
{
	const char *path = json_string_value(json_object_get(list, "feed"));
	const char *name = json_string_value(json_object_get(list, "name"));
	json_int_t refresh_s = json_integer_value(json_object_get(list, "refresh_s"));
	const struct feed_file *before;
	struct feed_file *larger, file = {};
	__u64 mtime;

	if (!path || !name || refresh_s <= 0)
		return;
	larger = reallocarray(files->items, files->count + 1, sizeof(*larger));
	if (!larger)
		return;
	files->items = larger;
	before = known(old, path);
	file.path = strdup(path);
	snprintf(file.name, sizeof(file.name), "%s", name);
	file.refresh_ns = (__u64)refresh_s * 1000000000;
	file.seen = look_at(path, &mtime);
	file.hidden = !file.seen && errno == EACCES;
	if (file.hidden && !(before && before->hidden))
		fprintf(stderr,
			"%s: the feed of %s, %s, cannot be looked at (%s), so nobody sees when it changes: let the "
			"daemon's user search its directories\n",
			program_invocation_short_name, name, path, strerror(EACCES));
	file.seen_ns = monotonic_ns();
	if (before) {
		file.tried = before->tried;
		file.tried_ns = before->tried_ns;
	} else if (mtime == (__u64)json_integer_value(json_object_get(list, "feed_mtime"))) {
		file.tried = file.seen; /* it is what is in force */
		file.tried_ns = monotonic_ns();
	}
	if (file.path)
		files->items[files->count++] = file;
}

/* ---- which to look at ---- */

static void heard_of(void *arg, unsigned number)
{
	struct feed_files *files = arg;

	files->items[number].look = true;
}

static void on_heard(struct daemon *daemon)
{
	struct feed_files *files = &daemon->renew.feeds;

	files->watch_anew |= path_watch_read(files->watch, heard_of, files);
}

static void watch_end(struct daemon *daemon)
{
	struct feed_files *files = &daemon->renew.feeds;

	if (!files->watch)
		return;
	source_drop(daemon, &files->heard);
	path_watch_close(files->watch);
	files->watch = NULL;
}

/* What happens from here on is heard of; what happened before is seen by the look that follows. */
static void watch_begin(struct daemon *daemon)
{
	struct feed_files *files = &daemon->renew.feeds;
	char copy[REMOTE_PATH];

	files->watch_anew = false;
	files->watch = files->count ? path_watch_open() : NULL;
	files->heard = (struct source){files->watch ? path_watch_fd(files->watch) : -1, on_heard};
	if (files->watch && source_add(daemon, &files->heard))
		watch_end(daemon);
	for (size_t i = 0; i < files->count; i++) {
		struct feed_file *file = &files->items[i];

		file->look = true;
		file->watched =
			files->watch && !path_watch_add(files->watch, remote_file(file->path, copy), (unsigned)i);
	}
}

void feeds_learn(struct daemon *daemon, const json_t *description)
{
	struct feed_files *files = &daemon->renew.feeds, old = *files;
	json_t *list;
	size_t i;

	watch_end(daemon);
	files->items = NULL;
	files->count = 0;
	json_array_foreach(json_object_get(description, "lists"), i, list) add(files, &old, list);
	clear(old.items, old.count);
	watch_begin(daemon);
}

/* ---- what changed ---- */

static void look(struct feed_files *files, struct feed_file *file, __u64 now_ns)
{
	__u64 mtime, found = look_at(file->path, &mtime);

	if (found != file->seen) {
		file->seen = found;
		file->seen_ns = now_ns;
		files->watch_anew |= file->watched && !file->look; /* a mount hides what is watched */
	}
	file->look = false;
}

/* One that is gone is no reason: what is in force stays, and its age tells. */
static bool is_due(const struct feed_file *file, __u64 now_ns)
{
	return file->seen && file->seen != file->tried && now_ns - file->seen_ns >= STILL_NS &&
	       (!file->tried_ns || !file->again || now_ns - file->tried_ns >= file->refresh_ns);
}

const char *feeds_changed(struct daemon *daemon, __u64 now_ns)
{
	struct feed_files *files = &daemon->renew.feeds;
	bool all = now_ns >= files->all_look_ns;
	const char *name = NULL;

	if (files->watch_anew) {
		watch_end(daemon);
		watch_begin(daemon);
	}
	if (all)
		files->all_look_ns = now_ns + ALL_LOOK_NS;
	for (size_t i = 0; i < files->count; i++) {
		struct feed_file *file = &files->items[i];

		if (all || file->look || !file->watched || file->seen != file->tried)
			look(files, file, now_ns);
		if (is_due(file, now_ns))
			name = file->name;
	}
	return name;
}

void feeds_tried(struct feed_files *files, __u64 now_ns)
{
	for (size_t i = 0; i < files->count; i++) {
		struct feed_file *file = &files->items[i];

		if (file->tried == file->seen)
			continue;
		file->tried = file->seen;
		file->tried_ns = now_ns;
		file->again = true;
	}
}
