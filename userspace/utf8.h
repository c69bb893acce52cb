/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One character of UTF-8 at a time, strictly. */
#ifndef BULWARK_UTF8_H
#define BULWARK_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The character at text and its length in bytes; length 0: no UTF-8 (shortest form, no surrogates: Unicode 15, table
 * 3-7). */
unsigned utf8_character(const char *text, size_t left, unsigned *length);
/* Controls, and what reorders or breaks a line unseen: a message must not pass them on to a terminal. */
bool utf8_is_unseen(unsigned character);

#endif
