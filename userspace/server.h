/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small HTTP server for one text. No thread: its descriptor becomes readable when there is something to do. Bounded:
 * so many connections, so long each may be silent, so much memory each, and the text is made anew only so often.
 */
#ifndef BULWARK_SERVER_H
#define BULWARK_SERVER_H

#include "endpoint.h"
#include "exposition_text.h"

struct server;

/* Makes the text in a format; the caller's, or NULL. */
typedef char *server_text(void *arg, enum exposition_format format, size_t *length);

/* Reads certificate, key and token, which are asked for again when it is opened anew. 0 or -errno, then why says what
 * failed. */
int server_open(const struct serving *serving, server_text *text, void *arg, struct server **server, char *why,
		size_t size);
void server_close(struct server *server);
const struct serving *server_serving(const struct server *server);
int server_fd(const struct server *server);
/* Does what there is to do, never waits. Also called every second, so that silent connections end. */
void server_run(struct server *server);

#endif
