/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole lines only, also while they are being written, and over rotation. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_reader.h"

#define ROTATED_MAX 1000
#define READER_PATH_MAX 4096

static void open_file(struct log_reader *reader)
{
	struct stat stat;

	reader->file = fopen(reader->path, "re");
	if (reader->file && !fstat(fileno(reader->file), &stat))
		reader->inode = stat.st_ino;
}

void log_reader_open(struct log_reader *reader, const char *path)
{
	*reader = (struct log_reader){.path = path};
	open_file(reader);
}

void log_reader_close(struct log_reader *reader)
{
	if (reader->file)
		fclose(reader->file);
	free(reader->line);
	*reader = (struct log_reader){};
}

void log_reader_last(struct log_reader *reader, unsigned lines)
{
	off_t at;

	if (!reader->file || fseeko(reader->file, 0, SEEK_END))
		return;
	/* The last newline ends the last line: one more than the lines is looked for. */
	for (at = ftello(reader->file); at > 0; at--) {
		if (fseeko(reader->file, at - 1, SEEK_SET))
			break;
		if (fgetc(reader->file) == '\n' && !lines--)
			break;
	}
	fseeko(reader->file, at, SEEK_SET);
}

/* What is there of the next line; NULL unless it is whole. */
static char *read_line(struct log_reader *reader)
{
	off_t start = ftello(reader->file);
	ssize_t length = getline(&reader->line, &reader->size, reader->file);

	if (length > 0 && reader->line[length - 1] == '\n') {
		reader->line[length - 1] = 0;
		return reader->line;
	}
	clearerr(reader->file);
	if (length > 0)
		fseeko(reader->file, start, SEEK_SET); /* its end is still to come */
	return NULL;
}

static bool moved_away(const struct log_reader *reader)
{
	struct stat there, here;

	if (stat(reader->path, &there))
		return false; /* between rename and open: the new one will come */
	if (there.st_ino != reader->inode)
		return true;
	return !fstat(fileno(reader->file), &here) && here.st_size < ftello(reader->file); /* cut short in place */
}

char *log_reader_next(struct log_reader *reader)
{
	char *line;

	if (!reader->file)
		open_file(reader);
	if (!reader->file)
		return NULL;
	line = read_line(reader);
	if (line || !moved_away(reader))
		return line;
	line = read_line(reader); /* written between the two looks */
	if (line)
		return line;
	fclose(reader->file);
	open_file(reader);
	return reader->file ? read_line(reader) : NULL;
}

unsigned log_rotated(const char *path)
{
	char rotated[READER_PATH_MAX];
	unsigned count = 0;

	for (; count < ROTATED_MAX; count++) {
		snprintf(rotated, sizeof(rotated), "%s.%u", path, count + 1);
		if (access(rotated, F_OK))
			break;
	}
	return count;
}
