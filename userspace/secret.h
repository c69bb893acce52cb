/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that hold what only some may know. */
#ifndef BULWARK_SECRET_H
#define BULWARK_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_BYTES_MAX (64u << 10)
#define TOKEN_MIN 16
#define TOKEN_MAX 255

/* The whole text of a regular file of at most SECRET_BYTES_MAX, ended with '\0'; private: that not everybody may read.
 * Ended by secret_forget(). NULL: why says what is wrong with it. */
char *secret_read(const char *path, bool private, char *why, size_t size);
void secret_forget(char *secret);
/* Its one line, of TOKEN_MIN to TOKEN_MAX printable characters, into token, which is filled up with zeros. 0 or -errno,
 * then why says what is wrong. */
int token_read(const char *path, char token[TOKEN_MAX + 1], char *why, size_t size);
/* Whether "Bearer TOKEN" (NULL: nothing was said) holds the token: in a time that does not depend on where they differ.
 */
bool token_fits(const char token[TOKEN_MAX + 1], const char *authorization);

#endif
