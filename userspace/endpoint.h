/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "127.0.0.1:10473", "[::1]:10473": an address with a port. */
#ifndef BULWARK_ENDPOINT_H
#define BULWARK_ENDPOINT_H

#include <sys/socket.h>

/* Its socket address and the length of that; 0: it is none. */
socklen_t endpoint_parse(const char *text, struct sockaddr_storage *address);

#endif
