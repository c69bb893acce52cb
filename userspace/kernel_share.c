/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pins, for the daemon's own user (daemon_user.h): who has dropped its privileges opens by pin only, and the kernel
 * asks the pin's mode. Its group opens every pin and makes links; new pins get the group from their directory.
 */
#include "kernel_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon_user.h"

#define PIN_MODE 0660

int pin_object(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) || chmod(path, PIN_MODE) ? -1 : 0;
}

/* A directory and the pins in it. What is not there is fine. */
static int share_directory(const char *path, gid_t group, mode_t mode)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int error = 0;

	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!error && (entry = readdir(directory)))
		if (entry->d_type != DT_DIR && (fchownat(dirfd(directory), entry->d_name, -1, group, 0) ||
						fchmodat(dirfd(directory), entry->d_name, PIN_MODE, 0)))
			error = -errno;
	if (!error && (fchown(dirfd(directory), -1, group) || fchmod(dirfd(directory), mode)))
		error = -errno;
	closedir(directory);
	return error;
}

/* Where systemd mounts it, the bpffs is for root alone: the group may pass through, and see nothing there. */
static int share_bpffs(const char *root, gid_t group)
{
	struct stat about;

	if (stat(root, &about))
		return -errno;
	if (about.st_mode & S_IXOTH || (about.st_gid == group && about.st_mode & S_IXGRP))
		return 0;
	if (about.st_gid) /* somebody's: theirs to decide */
		return -EACCES;
	return chown(root, -1, group) || chmod(root, (about.st_mode & 07777) | S_IXGRP) ? -errno : 0;
}

/* Whether another instance is there that its daemon reaches. */
static bool has_others(const char *root, gid_t group)
{
	DIR *directory = opendir(root);
	const struct dirent *entry;
	struct stat about;
	bool others = false;

	while (directory && !others && (entry = readdir(directory)))
		others = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
			 !fstatat(dirfd(directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) &&
			 about.st_gid == group;
	if (directory)
		closedir(directory);
	return others;
}

void bpffs_unshare(const char *root)
{
	gid_t group = daemon_user_group();
	struct stat about;

	if (!group || stat(root, &about) || about.st_gid != group || has_others(root, group))
		return;
	if (!chown(root, -1, 0))
		chmod(root, about.st_mode & 07777 & ~S_IXGRP);
}

/* base: where the pins are, or are being made. */
int pins_share(const struct places *places, const char *base)
{
	char links[PATH_MAX], root[PATH_MAX];
	gid_t group = daemon_user_group();
	struct stat about;
	int error;

	if (stat(base, &about))
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (!group && !about.st_gid)
		return 0; /* root's alone, and always were */
	snprintf(links, sizeof(links), "%s/links", base);
	error = share_directory(links, group, group ? 02770 : 0700);
	error = error ?: share_directory(base, group, group ? 02750 : 0700);
	if (!error && (chown(places->pin_dir, -1, group) || chmod(places->pin_dir, group ? 0750 : 0700)))
		error = -errno;
	bpffs_root(base, root, sizeof(root));
	if (!error && group)
		error = share_bpffs(root, group);
	if (error)
		kernel_say("the pins in %s cannot be shared with the daemon's user: %s", base, strerror(-error));
	return error;
}

int instance_share(const struct places *places)
{
	char base[PATH_MAX];

	snprintf(base, sizeof(base), "%s/v%d", places->pin_dir, LAYOUT_VERSION);
	return pins_share(places, base);
}
