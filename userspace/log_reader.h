/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads a log that somebody else writes and rotates. */
#ifndef BULWARK_LOG_READER_H
#define BULWARK_LOG_READER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct log_reader {
	const char *path; /* borrowed */
	FILE *file;	  /* NULL: not there yet */
	ino_t inode;
	char *line; /* the buffer of getline() */
	size_t size;
};

void log_reader_open(struct log_reader *reader, const char *path);
/* Goes to the last so many lines of the file. */
void log_reader_last(struct log_reader *reader, unsigned lines);
void log_reader_close(struct log_reader *reader);
/* The next whole line without its newline, borrowed until the next call; NULL: nothing more for now. Goes on in the new
 * file when the old one was moved away and is read to its end. */
char *log_reader_next(struct log_reader *reader);

/* How many of PATH.1, PATH.2, ... there are. */
unsigned log_rotated(const char *path);

#endif
