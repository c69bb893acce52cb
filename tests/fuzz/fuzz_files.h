/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A state directory that fuzzers write to, in memory. */
#ifndef BULWARK_FUZZ_FILES_H
#define BULWARK_FUZZ_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../userspace/kernel.h"

static struct places fuzz_directory;

static void fuzz_remove(void)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", fuzz_directory.state_dir);
	if (system(command))
		fprintf(stderr, "%s stays\n", fuzz_directory.state_dir);
}

static inline const struct places *fuzz_places(void)
{
	char path[sizeof(fuzz_directory.state_dir) + 32];

	if (*fuzz_directory.state_dir)
		return &fuzz_directory;
	snprintf(fuzz_directory.state_dir, sizeof(fuzz_directory.state_dir), "%s/bulwark-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(fuzz_directory.state_dir))
		abort();
	atexit(fuzz_remove);
	snprintf(path, sizeof(path), "%s/generations", fuzz_directory.state_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/generations/1", fuzz_directory.state_dir);
	mkdir(path, 0700);
	return &fuzz_directory;
}

static inline void fuzz_write(const char *name, const unsigned char *data, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fuzz_places()->state_dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(data, 1, size, file) != size || fclose(file))
		abort();
}

#endif
