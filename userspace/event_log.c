/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole lines, rotation by size, a byte budget a minute, and a disk that may be full. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "event_log.h"

#define MINUTE_NS (60ULL * 1000000000)
#define RETRY_NS 1000000000ULL
#define LINE_MAX_BYTES 65536
#define LOG_PATH_MAX 4096

/* A crash or a full disk may have left half a line at the end. */
static void cut_torn_line(struct event_log *log)
{
	char tail[LINE_MAX_BYTES];
	size_t want = log->size < sizeof(tail) ? log->size : sizeof(tail);
	ssize_t got = pread(log->fd, tail, want, log->size - want);
	const char *end;

	if (got != (ssize_t)want || !want || tail[want - 1] == '\n')
		return;
	end = memrchr(tail, '\n', want);
	if (!end && want < log->size)
		return; /* no log of ours */
	want -= end ? end + 1 - tail : 0;
	if (!ftruncate(log->fd, log->size - want)) /* else it stays, and readers skip it */
		log->size -= want;
}

static int open_file(struct event_log *log)
{
	struct stat stat;

	log->regular = false;
	if (!strcmp(log->path, "-"))
		log->fd = dup(STDOUT_FILENO);
	else
		log->fd = open(log->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (log->fd < 0)
		return -errno;
	if (fstat(log->fd, &stat))
		return -errno;
	log->regular = S_ISREG(stat.st_mode) && strcmp(log->path, "-");
	log->size = stat.st_size;
	if (log->regular)
		cut_torn_line(log);
	return 0;
}

int event_log_open(struct event_log *log, const char *path, const struct event_log_limits *limits)
{
	*log = (struct event_log){.path = path, .limits = *limits, .fd = -1};
	return open_file(log);
}

void event_log_close(struct event_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

int event_log_reopen(struct event_log *log)
{
	event_log_close(log);
	return open_file(log);
}

/* PATH.2 -> PATH.3, PATH.1 -> PATH.2, PATH -> PATH.1. What is beyond `keep` is overwritten. */
static int rotate(struct event_log *log)
{
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX];

	for (unsigned i = log->limits.keep; i > 1; i--) {
		snprintf(from, sizeof(from), "%s.%u", log->path, i - 1);
		snprintf(to, sizeof(to), "%s.%u", log->path, i);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	snprintf(to, sizeof(to), "%s.1", log->path);
	if (log->limits.keep ? rename(log->path, to) : unlink(log->path))
		return -errno;
	return event_log_reopen(log);
}

bool event_log_affords(struct event_log *log, size_t bytes, __u64 now_ns)
{
	if (now_ns - log->minute_start_ns >= MINUTE_NS) {
		log->minute_start_ns = now_ns;
		log->minute_used = 0;
	}
	return !log->limits.minute_bytes || log->minute_used + bytes <= log->limits.minute_bytes;
}

static int write_whole(struct event_log *log, const char *line, size_t length)
{
	struct iovec parts[2] = {{(void *)line, length}, {"\n", 1}};
	ssize_t written = writev(log->fd, parts, 2);

	if (written == (ssize_t)length + 1) {
		log->size += written;
		return 0;
	}
	if (written < 0)
		return -errno;
	/* Half a line on a full disk: taken back, so that readers only ever see whole ones. */
	if (log->regular && ftruncate(log->fd, log->size))
		return -errno;
	return -ENOSPC;
}

int event_log_write(struct event_log *log, const char *line, __u64 now_ns)
{
	size_t length = strlen(line);
	int error = 0;

	if (log->error && now_ns < log->retry_ns)
		return log->error;
	if (log->fd < 0)
		error = open_file(log);
	if (!error && log->regular && log->limits.file_bytes && log->size &&
	    log->size + length + 1 > log->limits.file_bytes)
		error = rotate(log);
	if (!error)
		error = write_whole(log, line, length);
	log->error = error;
	if (error)
		log->retry_ns = now_ns + RETRY_NS;
	if (error)
		return error;
	event_log_affords(log, 0, now_ns); /* begins a new minute where one is due */
	log->minute_used += length + 1;
	return 0;
}

/* The last whole line of one file. */
static __u64 last_sequence_in(const char *path)
{
	struct event_log log = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
	char tail[LINE_MAX_BYTES + 1];
	__u64 sequence = 0;
	struct stat stat;
	ssize_t size = -1;
	char *line, *end;

	if (log.fd >= 0 && !fstat(log.fd, &stat))
		size = pread(log.fd, tail, LINE_MAX_BYTES,
			     stat.st_size > LINE_MAX_BYTES ? stat.st_size - LINE_MAX_BYTES : 0);
	event_log_close(&log);
	if (size <= 0)
		return 0;
	/* A crash of the machine can leave zeros in the file: they end no search. */
	for (end = memrchr(tail, '\n', (size_t)size); end && !sequence; end = line > tail ? line - 1 : NULL) {
		json_t *document;

		*end = 0;
		line = memrchr(tail, '\n', (size_t)(end - tail));
		line = line ? line + 1 : tail;
		document = json_loads(line, 0, NULL);
		sequence = json_integer_value(json_object_get(json_object_get(document, "bulwark"), "sequence"));
		json_decref(document);
	}
	return sequence;
}

__u64 event_log_last_sequence(const char *path, unsigned keep)
{
	char rotated[LOG_PATH_MAX];
	__u64 sequence = last_sequence_in(path);

	for (unsigned i = 1; i <= keep && !sequence; i++) {
		snprintf(rotated, sizeof(rotated), "%s.%u", path, i);
		sequence = last_sequence_in(rotated);
	}
	return sequence;
}
