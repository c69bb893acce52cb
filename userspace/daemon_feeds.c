/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds that a policy wants refreshed: a file that changed and then kept still is a reason to apply the policy anew, at
 * most once in its `refresh`. Files are looked at once a second by name: that sees a rename over them, a directory that
 * goes and comes back, a link that points elsewhere. One that cannot be read, is empty or shrank is refused by apply,
 * and not tried again before it changes; the last good one stays in force.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon.h"
#include "remote.h"

#define STILL_NS (2ULL * 1000000000) /* somebody may be writing it */

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

static void clear(struct feed_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->items[i].path);
	free(files->items);
	*files = (struct feed_files){};
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

void feeds_learn(struct feed_files *files, const json_t *description)
{
	struct feed_files old = *files;
	json_t *list;
	size_t i;

	*files = (struct feed_files){};
	json_array_foreach(json_object_get(description, "lists"), i, list) add(files, &old, list);
	clear(&old);
}

const char *feeds_changed(struct feed_files *files, __u64 now_ns)
{
	const char *name = NULL;
	__u64 mtime;

	for (size_t i = 0; i < files->count; i++) {
		struct feed_file *file = &files->items[i];
		__u64 now = look_at(file->path, &mtime);

		if (now != file->seen) {
			file->seen = now;
			file->seen_ns = now_ns;
		}
		/* One that is gone is no reason: what is in force stays, and its age tells. */
		if (file->seen && file->seen != file->tried && now_ns - file->seen_ns >= STILL_NS &&
		    (!file->tried_ns || !file->again || now_ns - file->tried_ns >= file->refresh_ns))
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
