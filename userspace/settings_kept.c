/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_parts.h"
#include "saved.h"

static void kept_path(const struct places *places, char path[SAVED_PATH_MAX])
{
	snprintf(path, SAVED_PATH_MAX, "%s/sysctls.json", places->state_dir);
}

static int write_number(const char *name, long long value)
{
	char path[128];
	FILE *file;
	int error = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	if (fprintf(file, "%lld\n", value) < 0)
		error = -EIO;
	if (fclose(file) && !error)
		error = -errno;
	return error;
}

static int read_number(const char *name, long long *value)
{
	char path[128];

	snprintf(path, sizeof(path), "ipv4/%s", name);
	return sysctl_number(path, 1, value);
}

/* What somebody else put in its place would be written to the kernel one day. */
static json_t *kept_read(const char *path)
{
	struct stat about;

	if (lstat(path, &about))
		return NULL;
	if (S_ISREG(about.st_mode) && about.st_uid == geteuid())
		return json_load_file(path, 0, NULL);
	unlink(path);
	return NULL;
}

static int kept_write(const char *path, const json_t *kept)
{
	int fd = saved_open(path, O_WRONLY | O_TRUNC), error;

	if (fd < 0)
		return -errno;
	error = json_dumpfd(kept, fd, JSON_INDENT(1)) ? -EIO : 0;
	close(fd);
	return error;
}

/* {"tcp_syncookies": {"was": 0, "set": 1}}. What was is written before it is changed. */
int sysctl_set(const struct places *places, const char *name, int value)
{
	char path[SAVED_PATH_MAX];
	json_t *kept, *entry;
	long long was;
	int error = read_number(name, &was);

	if (error || was == value)
		return error;
	kept_path(places, path);
	kept = kept_read(path) ?: json_object();
	entry = json_object_get(kept, name);
	if (entry)
		error = json_object_set_new(entry, "set", json_integer(value));
	else
		error = json_object_set_new(kept, name, json_pack("{s:I, s:i}", "was", (json_int_t)was, "set", value));
	error = error ? -ENOMEM : kept_write(path, kept);
	json_decref(kept);
	return error ?: write_number(name, value);
}

int sysctls_put_back(const struct places *places, char *told, size_t size)
{
	char path[SAVED_PATH_MAX];
	const char *name;
	json_t *kept, *entry;
	int error = 0;

	*told = 0;
	kept_path(places, path);
	kept = kept_read(path);
	json_object_foreach(kept, name, entry)
	{
		long long was = json_integer_value(json_object_get(entry, "was")), now;
		size_t used = strlen(told);

		/* somebody has set it since: theirs */
		if (read_number(name, &now) || now != json_integer_value(json_object_get(entry, "set")))
			continue;
		error = write_number(name, was) ?: error;
		snprintf(told + used, size - used, "%snet.ipv4.%s=%lld", used ? ", " : "", name, was);
	}
	json_decref(kept);
	if (!error && unlink(path) && errno != ENOENT)
		error = -errno;
	return error;
}
