/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The log of events: JSON lines that never fill the disk. */
#ifndef BULWARK_EVENT_LOG_H
#define BULWARK_EVENT_LOG_H

#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct event_log_limits {
	__u64 file_bytes;   /* a file that would grow beyond this is rotated; 0: never */
	unsigned keep;	    /* rotated files kept: PATH.1 is the newest */
	__u64 minute_bytes; /* budget: what may be written in one minute; 0: any amount */
	__u64 file_s;	    /* a file this old is rotated; 0: never */
	enum log_sync { SYNC_NEVER, SYNC_SECOND, SYNC_LINE } sync; /* SYNC_SECOND: its owner calls event_log_sync() */
};

struct event_log {
	const char *path; /* borrowed; "-" is standard output */
	struct event_log_limits limits;
	int fd; /* -1: could not be opened, tried again with the next line */
	bool regular;
	bool unsynced;
	__u64 size;
	__u64 born; /* seconds since the epoch */
	__u64 minute_start_ns, minute_used;
	__u64 retry_ns; /* the disk failed: not tried again before */
	int error;	/* 0, or -errno of the last line that could not be written */
};

/* Opens for appending; a torn last line is cut off. 0 or -errno. */
int event_log_open(struct event_log *log, const char *path, const struct event_log_limits *limits);
void event_log_close(struct event_log *log);
/* Somebody moved the file away (logrotate, SIGHUP). 0 or -errno. */
int event_log_reopen(struct event_log *log);

/* Whether the budget of this minute still holds a line of that many bytes. now: any clock that only goes forward. */
bool event_log_affords(struct event_log *log, size_t bytes, __u64 now_ns);
/* Writes one line (without its newline), whole or not at all. Counts against the budget, but is never refused by it.
 * 0 or -errno: the line is lost. */
int event_log_write(struct event_log *log, const char *line, __u64 now_ns);

/* To the disk, what is not there yet. 0 or -errno. */
int event_log_sync(struct event_log *log);

/* The lines of a log and its rotated files as documents, the last one first, until the visitor says false. */
typedef bool event_log_visitor(void *arg, const json_t *document);
void event_log_walk_back(const char *path, unsigned keep, event_log_visitor *visit, void *arg);
/* bulwark.sequence of the last of them that has one; 0 when there is none. */
__u64 event_log_last_sequence(const char *path, unsigned keep);

#endif
