/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inotify on whole paths: not on a file, which a rename replaces, but on every directory in which the kernel looks a
 * part of the path up, and on those that its links lead through. So a file that is written, renamed over, removed or
 * made, a directory that goes and comes back, and a link that points elsewhere are all heard of. What is opened is a
 * directory at most: a FIFO or a device at the end of a path is never touched. Not heard of: what another host writes
 * (NFS), what is mounted over a directory, where the directory cannot be read.
 */
#ifndef BULWARK_PATH_WATCH_H
#define BULWARK_PATH_WATCH_H

#include <stdbool.h>

struct path_watch; /* opaque */

/* NULL with errno: this user has no more of them, or no memory. */
struct path_watch *path_watch_open(void);
void path_watch_close(struct path_watch *watch);
int path_watch_fd(const struct path_watch *watch); /* readable: something happened */

/* number: what is heard of an absolute path is told with it. 0 or -errno: a part of it is not watched. */
int path_watch_add(struct path_watch *watch, const char *path, unsigned number);

/*
 * Takes what is there to be read, never waits; changed() hears of each path that may have changed, more than once
 * perhaps. Whether the way to one of them is another now, or something was missed: then all are to be watched anew.
 */
bool path_watch_read(struct path_watch *watch, void (*changed)(void *arg, unsigned number), void *arg);

#endif
