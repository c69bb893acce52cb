/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who the daemon is, and what of the state directory is its. Everything is changed through a descriptor of a file that
 * is no link and has one name only: the daemon's user may put things there, and root is not to be led elsewhere by
 * them.
 */
#include "daemon_user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "saved.h"
#include "verbs.h"

#define USER_USUAL "bulwark"
#define DEPTH_MAX 4 /* STATE/generations/N/FILE */

int daemon_user_find(struct daemon_user *user)
{
	const char *named = getenv("BULWARK_USER");
	const struct passwd *entry;

	*user = (struct daemon_user){.name = "root"};
	named = named && *named ? named : NULL;
	entry = getpwnam(named ?: USER_USUAL);
	if (entry)
		*user = (struct daemon_user){.uid = entry->pw_uid, .gid = entry->pw_gid};
	if (entry || named)
		snprintf(user->name, sizeof(user->name), "%s", named ?: USER_USUAL);
	return entry || !named ? 0 : -ENOENT;
}

gid_t daemon_user_group(void)
{
	struct daemon_user user;

	return daemon_user_find(&user) ? 0 : user.gid;
}

/* ---- one file ---- */

enum share { SHARE_OWN, SHARE_WRITE, SHARE_READ }; /* what the user may do with it */

static int share_fd(int fd, const struct daemon_user *user, enum share share)
{
	struct stat about;
	mode_t mode;

	if (fstat(fd, &about))
		return -errno;
	if (S_ISREG(about.st_mode) ? about.st_nlink != 1 : !S_ISDIR(about.st_mode))
		return 0; /* none of ours */
	mode = about.st_mode & 07777;
	if (S_ISDIR(about.st_mode))
		mode = user->gid ? 02750 : 0700;
	else if (share != SHARE_OWN)
		mode |= share == SHARE_WRITE ? 0660 : 0040;
	if (fchown(fd, share == SHARE_OWN ? user->uid : 0, user->gid) || fchmod(fd, mode))
		return -errno;
	return 0;
}

static int open_there(int directory, const char *name)
{
	return openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* What is not there is fine, and so is a link, which nobody of ours made. */
static int share_file(int directory, const char *name, const struct daemon_user *user, enum share share)
{
	int fd = open_there(directory, name), error;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 0 : -errno;
	error = share_fd(fd, user, share);
	close(fd);
	return error;
}

/* ---- trees that are root's ---- */

static int share_tree(int fd, const struct daemon_user *user, unsigned depth)
{
	DIR *directory = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	int error = directory ? share_fd(fd, user, SHARE_READ) : -ELOOP;
	const struct dirent *entry;

	while (!error && (entry = readdir(directory))) {
		int inner;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		inner = entry->d_type == DT_DIR ? open_there(fd, entry->d_name) : -1;
		error = inner < 0 ? share_file(fd, entry->d_name, user, SHARE_READ)
				  : share_tree(inner, user, depth + 1);
	}
	if (directory)
		closedir(directory);
	else
		close(fd);
	return error;
}

/* They are there before the user can make one in their place. */
static int share_trees(int state, const struct daemon_user *user)
{
	static const char *const names[] = {"generations", "feeds"};
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(names) / sizeof(*names); i++) {
		int fd = mkdirat(state, names[i], 0750) && errno != EEXIST ? -1 : open_there(state, names[i]);

		error = fd < 0 ? -errno : share_tree(fd, user, 0);
	}
	return error;
}

/* ---- the state directory ---- */

static int share_files(int state, const struct daemon_user *user)
{
	static const struct {
		const char *name;
		enum share share;
	} files[] = {
		{"lock", SHARE_WRITE},
		{"history.jsonl", SHARE_WRITE},
		{"actions.jsonl", SHARE_WRITE},
		{"actions.jsonl.1", SHARE_WRITE},
		{"bulwarkd.lock", SHARE_OWN},
		{"bulwarkd.json", SHARE_OWN},
		{"bulwarkd.json.new", SHARE_OWN},
		{"baselines.json", SHARE_OWN},
		{"baselines.json.new", SHARE_OWN},
		{"bans.jsonl", SHARE_OWN},
		{"bans.jsonl.new", SHARE_OWN},
		{"fingerprints.json", SHARE_OWN},
		{"fingerprints.json.new", SHARE_OWN},
	};
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(files) / sizeof(*files); i++)
		error = share_file(state, files[i].name, user, files[i].share);
	return error;
}

static int share_log(const char *log, unsigned keep, const struct daemon_user *user)
{
	int error = strcmp(log, "-") ? share_file(AT_FDCWD, log, user, SHARE_OWN) : 0;
	char rotated[SAVED_PATH_MAX + 16];

	for (unsigned i = 1; !error && i <= keep && strcmp(log, "-"); i++) {
		snprintf(rotated, sizeof(rotated), "%s.%u", log, i);
		error = share_file(AT_FDCWD, rotated, user, SHARE_OWN);
	}
	return error;
}

/* Sticky, so that what root made there stays root's; set-group-ID, so that what root makes can be read. */
static int share_directory(int state, const struct daemon_user *user)
{
	return fchown(state, 0, user->gid) || fchmod(state, user->gid ? 03770 : 0700) ? -errno : 0;
}

int daemon_user_share_state(const struct daemon_user *user, const char *state_dir, const char *log, unsigned keep)
{
	struct stat about;
	int state, error = 0;

	if (mkdir(state_dir, 0700) && errno != EEXIST)
		return fail(EXIT_SYSTEM, "%s: %s", state_dir, strerror(errno));
	state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state < 0 || fstat(state, &about))
		error = -errno;
	if (!error && (user->gid || about.st_gid)) { /* else it is root's alone, and was */
		error = share_trees(state, user);
		error = error ?: share_files(state, user);
		error = error ?: share_log(log, keep, user);
		error = error ?: share_directory(state, user);
	}
	if (state >= 0)
		close(state);
	if (error)
		return fail(EXIT_SYSTEM, "%s cannot be shared with the user %s: %s; or run bulwarkd with --user root",
			    state_dir, user->name, strerror(-error));
	return EXIT_DONE;
}
