/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "127.0.0.1:10473", "[::1]:10473": an address with a port. */
#ifndef BULWARK_ENDPOINT_H
#define BULWARK_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>

/* Its socket address and the length of that; 0: it is none. */
socklen_t endpoint_parse(const char *text, struct sockaddr_storage *address);
bool endpoint_is_loopback(const char *text);

#define SERVING_PATH 1024
/* Where and how metrics are served. All of it zero where nothing stands: two are compared as memory. */
struct serving {
	char endpoint[64];			    /* "": nowhere */
	char cert[SERVING_PATH], key[SERVING_PATH]; /* PEM files; "": in clear */
	char token_file[SERVING_PATH];		    /* "": to everybody who asks */
};

#endif
