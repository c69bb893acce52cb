/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The state directory: reading generations, appending to the histories. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "saved.h"

#define ACTIONS_BYTES (4 << 20)

const char *saved_path(const struct places *places, unsigned generation, const char *name, char path[SAVED_PATH_MAX])
{
	if (generation)
		snprintf(path, SAVED_PATH_MAX, "%s/generations/%u/%s", places->state_dir, generation, name);
	else
		snprintf(path, SAVED_PATH_MAX, "%s/%s", places->state_dir, name);
	return path;
}

int saved_open(const char *path, int flags)
{
	int fd;

	do {
		fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		fd = open(path, flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	} while (fd < 0 && errno == EEXIST);
	if (fd >= 0)
		fchmod(fd, 0660); /* whatever the umask is */
	return fd;
}

json_t *saved_description(const struct places *places, unsigned generation)
{
	char path[SAVED_PATH_MAX];
	json_t *description =
		json_load_file(saved_path(places, generation, "description.json", path), JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(description))
		return description;
	json_decref(description);
	return NULL;
}

struct policy *saved_policy(const struct places *places, unsigned generation, struct report *report)
{
	char path[SAVED_PATH_MAX];

	return policy_read(saved_path(places, generation, "policy.yaml", path), report);
}

long login_uid(void)
{
	FILE *file = fopen("/proc/self/loginuid", "re");
	unsigned uid = -1u;

	if (file && fscanf(file, "%u", &uid) != 1)
		uid = -1u;
	if (file)
		fclose(file);
	return uid == -1u ? -1 : (long)uid;
}

const char *login_name(char *buffer, size_t size)
{
	long login = login_uid();
	uid_t uid = login < 0 ? getuid() : (uid_t)login;
	struct passwd *entry = getpwuid(uid);

	if (entry)
		snprintf(buffer, size, "%s", entry->pw_name);
	else
		snprintf(buffer, size, "uid %u", uid);
	return buffer;
}

/* One write, so that readers and other writers see whole lines; a torn last line of a full disk is ended first. */
static int append_line(const char *path, json_t *entry)
{
	int fd = saved_open(path, O_RDWR | O_APPEND);
	char *text = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(14)), *line = NULL;
	char last = '\n';
	struct stat stat;
	int length, error = 0;

	if (fd < 0 || !text) {
		error = fd < 0 ? -errno : -ENOMEM;
	} else {
		if (!fstat(fd, &stat) && stat.st_size && pread(fd, &last, 1, stat.st_size - 1) != 1)
			last = '\n';
		length = asprintf(&line, "%s%s\n", last == '\n' ? "" : "\n", text);
		if (length < 0)
			error = -ENOMEM;
		else if (write(fd, line, length) != length || fdatasync(fd))
			error = errno ? -errno : -ENOSPC;
	}
	if (fd >= 0)
		close(fd);
	free(line);
	free(text);
	return error;
}

static int note(const char *path, const char *action, json_t *more)
{
	struct timespec now;
	char name[64];
	long long now_ms;
	json_t *entry;
	int error;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
	entry = json_pack("{s:f, s:s, s:i, s:s}", "time", (double)now_ms / 1e3, "action", action, "uid", (int)getuid(),
			  "user", login_name(name, sizeof(name)));
	if (entry && login_uid() >= 0)
		json_object_set_new(entry, "login_uid", json_integer(login_uid()));
	if (entry && more)
		json_object_update(entry, more);
	json_decref(more);
	errno = 0;
	error = entry ? append_line(path, entry) : -ENOMEM;
	json_decref(entry);
	return error;
}

int history_note(const struct places *places, const char *action, json_t *more)
{
	char path[SAVED_PATH_MAX];

	return note(saved_path(places, 0, "history.jsonl", path), action, more);
}

int action_note(const struct places *places, const char *action, json_t *more)
{
	char path[SAVED_PATH_MAX], old[SAVED_PATH_MAX];
	struct stat stat_buffer;

	saved_path(places, 0, "actions.jsonl", path);
	if (!stat(path, &stat_buffer) && stat_buffer.st_size > ACTIONS_BYTES)
		rename(path, saved_path(places, 0, "actions.jsonl.1", old));
	return note(path, action, more);
}

json_t *lines_read(const char *path)
{
	json_t *entries = json_array();
	FILE *file = fopen(path, "re");
	size_t size = 0;
	char *line = NULL;
	ssize_t length;

	while (entries && file && (length = getline(&line, &size, file)) > 0) {
		json_t *entry = line[length - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;

		if (json_is_object(entry))
			json_array_append_new(entries, entry);
		else
			json_decref(entry);
	}
	free(line);
	if (file)
		fclose(file);
	return entries;
}
