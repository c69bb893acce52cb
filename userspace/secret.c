/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading secrets, and comparing them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret.h"

static const char *problem(const struct stat *status, bool private)
{
	if (!S_ISREG(status->st_mode))
		return "is not a file";
	if (status->st_size > SECRET_BYTES_MAX)
		return "is larger than 64 KiB";
	if (private && status->st_mode & S_IROTH)
		return "can be read by everybody on this host: chmod o-r";
	return NULL;
}

char *secret_read(const char *path, bool private, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text = calloc(1, SECRET_BYTES_MAX + 2);
	struct stat status;
	const char *words = NULL;
	ssize_t bytes = -1;

	if (fd >= 0 && text && !fstat(fd, &status)) {
		words = problem(&status, private);
		bytes = words ? -1 : read(fd, text, SECRET_BYTES_MAX + 1);
	}
	if (bytes < 0)
		snprintf(why, size, "%s %s", path,
			 words
				 ?: errno == EACCES
				    ? "cannot be read by the user of bulwarkd: chgrp it to its group, chmod 640"
				    : strerror(errno));
	if (fd >= 0)
		close(fd);
	if (bytes >= 0)
		return text;
	free(text);
	return NULL;
}

void secret_forget(char *secret)
{
	if (secret)
		explicit_bzero(secret, SECRET_BYTES_MAX + 2);
	free(secret);
}

int token_read(const char *path, char token[TOKEN_MAX + 1], char *why, size_t size)
{
	char *text = secret_read(path, true, why, size);
	size_t length = text ? strcspn(text, "\r\n") : 0;
	bool good = length >= TOKEN_MIN && length <= TOKEN_MAX && !text[length + strspn(text + length, "\r\n")];

	for (size_t i = 0; good && i < length; i++)
		good = text[i] > ' ' && text[i] <= '~';
	memset(token, 0, TOKEN_MAX + 1);
	if (good)
		memcpy(token, text, length);
	else if (text)
		snprintf(why, size, "%s is not one line of %d to %d printable characters", path, TOKEN_MIN, TOKEN_MAX);
	secret_forget(text);
	return good ? 0 : -EINVAL;
}

bool token_fits(const char token[TOKEN_MAX + 1], const char *authorization)
{
	char said[TOKEN_MAX + 1] = "";
	unsigned char differs = 0;

	if (!authorization || strncasecmp(authorization, "Bearer ", 7) || strlen(authorization + 7) > TOKEN_MAX)
		return false;
	strcpy(said, authorization + 7);
	for (size_t i = 0; i <= TOKEN_MAX; i++)
		differs |= (unsigned char)(said[i] ^ token[i]);
	return !differs && *token;
}
