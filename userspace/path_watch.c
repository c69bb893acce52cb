/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <linux/types.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path_watch.h"

#define LINKS_MAX 40 /* as the kernel follows */
#define EVENTS_BYTES 16384

/* The name leads elsewhere, or nowhere. */
#define WAY_CHANGED (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
/* What the directory itself met with: it has no name in these. */
#define DIRECTORY_LEFT (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)
#define FILE_CHANGED (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

struct step {	       /* of a path: a name that is looked up in a directory */
	int directory; /* watch descriptor */
	unsigned number;
	char *name;
};

struct path_watch {
	int fd;
	struct step *steps;
	size_t count;
};

struct way {		     /* from the root on */
	char done[PATH_MAX]; /* without links, "" is the root */
	char rest[PATH_MAX];
	unsigned links;
};

struct path_watch *path_watch_open(void)
{
	struct path_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd >= 0)
		return watch;
	free(watch);
	return NULL;
}

void path_watch_close(struct path_watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->count; i++)
		free(watch->steps[i].name);
	free(watch->steps);
	close(watch->fd);
	free(watch);
}

int path_watch_fd(const struct path_watch *watch)
{
	return watch->fd;
}

/* ---- the way ---- */

/* What others write beside it wakes nobody where only the way leads through. */
static int watch_step(struct path_watch *watch, const struct way *way, const char *name, unsigned number)
{
	__u32 last = way->rest[strspn(way->rest, "/")] ? 0 : FILE_CHANGED;
	struct step *larger = reallocarray(watch->steps, watch->count + 1, sizeof(*larger)), step = {.number = number};

	if (!larger)
		return -ENOMEM;
	watch->steps = larger;
	step.directory =
		inotify_add_watch(watch->fd, *way->done ? way->done : "/",
				  WAY_CHANGED | IN_DELETE_SELF | IN_MOVE_SELF | last | IN_ONLYDIR | IN_MASK_ADD);
	if (step.directory < 0)
		return -errno;
	step.name = strdup(name);
	if (!step.name)
		return -ENOMEM;
	watch->steps[watch->count++] = step;
	return 0;
}

/* The next name of the rest; false: that was all. */
static bool next_name(struct way *way, char name[NAME_MAX + 1])
{
	const char *from = way->rest + strspn(way->rest, "/");
	size_t length = strcspn(from, "/");

	if (!length || length > NAME_MAX)
		return false;
	memcpy(name, from, length);
	name[length] = 0;
	memmove(way->rest, from + length, strlen(from + length) + 1);
	return true;
}

/* A link stands where a name did: what it says comes before the rest. */
static int follow(struct way *way, const char *target)
{
	char rest[PATH_MAX];

	if (++way->links > LINKS_MAX)
		return -ELOOP;
	if (snprintf(rest, sizeof(rest), "%s/%s", target, way->rest) >= (int)sizeof(rest))
		return -ENAMETOOLONG;
	strcpy(way->rest, rest);
	if (*target == '/')
		*way->done = 0;
	return 0;
}

/* Goes on below a name that was looked up. 0: it did; 1: there is no way on; -errno. */
static int enter(struct way *way, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	if (snprintf(path, sizeof(path), "%s/%s", way->done, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	length = readlink(path, target, sizeof(target) - 1);
	if (length >= 0) {
		target[length] = 0;
		return follow(way, target);
	}
	if (errno != EINVAL || !way->rest[strspn(way->rest, "/")])
		return 1; /* it is not there, or is what is meant */
	strcpy(way->done, path);
	return 0;
}

static void leave(struct way *way)
{
	char *slash = strrchr(way->done, '/');

	if (slash)
		*slash = 0;
}

int path_watch_add(struct path_watch *watch, const char *path, unsigned number)
{
	char name[NAME_MAX + 1];
	struct way way = {};
	int error = 0;

	if (*path != '/')
		return -EINVAL;
	if (snprintf(way.rest, sizeof(way.rest), "%s", path) >= (int)sizeof(way.rest))
		return -ENAMETOOLONG;
	while (!error && next_name(&way, name)) {
		if (!strcmp(name, "."))
			continue;
		if (!strcmp(name, "..")) {
			leave(&way);
			continue;
		}
		error = watch_step(watch, &way, name, number);
		if (!error)
			error = enter(&way, name);
	}
	/* a file in the place of a directory: what it is replaced by is heard of one step before */
	return error > 0 || error == -ENOTDIR ? 0 : error;
}

/* ---- what happened ---- */

/* Whether the way is another now. */
static bool hear(const struct path_watch *watch, const struct inotify_event *event,
		 void (*changed)(void *arg, unsigned number), void *arg)
{
	bool left = event->mask & DIRECTORY_LEFT && !event->len, other = event->mask & IN_Q_OVERFLOW;

	for (size_t i = 0; i < watch->count; i++) {
		const struct step *step = &watch->steps[i];

		if (step->directory != event->wd || !(left || (event->len && !strcmp(step->name, event->name))))
			continue;
		changed(arg, step->number);
		other |= left || event->mask & WAY_CHANGED;
	}
	return other;
}

bool path_watch_read(struct path_watch *watch, void (*changed)(void *arg, unsigned number), void *arg)
{
	char buffer[EVENTS_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t length = read(watch->fd, buffer, sizeof(buffer));
	bool other = false;

	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

		other |= hear(watch, event, changed, arg);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return other;
}
