/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole lines, rotation by size, a byte budget a minute, and a disk that may be full. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
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

/* When the file was made; the time of its last line where the file system does not know. */
static __u64 born(const struct event_log *log, const struct stat *stat)
{
	struct statx more;

	if (statx(log->fd, "", AT_EMPTY_PATH, STATX_BTIME, &more) || !(more.stx_mask & STATX_BTIME))
		return stat->st_mtime;
	return more.stx_btime.tv_sec;
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
	log->born = born(log, &stat);
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

/* A file that somebody removed takes lines that nobody will ever read. */
static bool is_gone(const struct event_log *log)
{
	struct stat stat;

	return log->fd >= 0 && log->regular && !fstat(log->fd, &stat) && !stat.st_nlink;
}

static bool too_large(const struct event_log *log, size_t more)
{
	return log->limits.file_bytes && log->size + more > log->limits.file_bytes;
}

/* A clock that jumps rotates once, too early; one that was in the past, too late. */
static bool too_old(const struct event_log *log)
{
	__u64 now = time(NULL);

	return log->limits.file_s && now > log->born && now - log->born >= log->limits.file_s;
}

/* What cannot be synced is written all the same: the next write says what is wrong with the disk. */
int event_log_sync(struct event_log *log)
{
	if (!log->unsynced || log->fd < 0 || !log->regular)
		return 0;
	log->unsynced = false;
	return fdatasync(log->fd) ? -errno : 0;
}

int event_log_write(struct event_log *log, const char *line, __u64 now_ns)
{
	size_t length = strlen(line);
	int error = 0;

	if (log->error && now_ns < log->retry_ns)
		return log->error;
	if (is_gone(log))
		event_log_close(log);
	if (log->fd < 0)
		error = open_file(log);
	if (!error && log->regular && log->size && (too_large(log, length + 1) || too_old(log)))
		error = rotate(log);
	if (!error)
		error = write_whole(log, line, length);
	log->error = error;
	if (error)
		log->retry_ns = now_ns + RETRY_NS;
	if (error)
		return error;
	log->unsynced = true;
	if (log->limits.sync == SYNC_LINE)
		event_log_sync(log);
	event_log_affords(log, 0, now_ns); /* begins a new minute where one is due */
	log->minute_used += length + 1;
	return 0;
}

/* ---- reading back ---- */

/* The lines of one file, the last one first, while the visitor wants more; whether it still does. */
static bool walk_file(const char *path, event_log_visitor *visit, void *arg)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat stat;
	const char *text = MAP_FAILED, *end, *line;
	bool more = true;

	if (fd >= 0 && !fstat(fd, &stat) && S_ISREG(stat.st_mode) && stat.st_size)
		text = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (text == MAP_FAILED)
		return true;
	end = memrchr(text, '\n', stat.st_size); /* what is behind it is no whole line */
	for (; end && more; end = line > text ? line - 1 : NULL) {
		json_t *document;

		line = memrchr(text, '\n', end - text);
		line = line ? line + 1 : text;
		document = json_loadb(line, end - line, 0, NULL);
		if (json_is_object(document))
			more = visit(arg, document);
		json_decref(document);
	}
	munmap((void *)text, stat.st_size);
	return more;
}

void event_log_walk_back(const char *path, unsigned keep, event_log_visitor *visit, void *arg)
{
	char rotated[LOG_PATH_MAX];
	bool more = walk_file(path, visit, arg);

	for (unsigned i = 1; i <= keep && more; i++) {
		snprintf(rotated, sizeof(rotated), "%s.%u", path, i);
		more = walk_file(rotated, visit, arg);
	}
}

static bool first_sequence(void *arg, const json_t *document)
{
	json_int_t sequence = json_integer_value(json_object_get(json_object_get(document, "bulwark"), "sequence"));

	*(__u64 *)arg = sequence > 0 ? (__u64)sequence : 0;
	return sequence <= 0;
}

__u64 event_log_last_sequence(const char *path, unsigned keep)
{
	__u64 sequence = 0;

	event_log_walk_back(path, keep, first_sequence, &sequence);
	return sequence;
}
