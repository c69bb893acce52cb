/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The established TCP connections of this network namespace and what they have moved, and the end of one of them. */
#ifndef BULWARK_HOST_SENDERS_H
#define BULWARK_HOST_SENDERS_H

#include <linux/inet_diag.h>

#include "host.h"
#include "slow.h"

struct host_sender {
	struct host_peer peer; /* `outbound` is not known */
	struct slow_sight sight;
	struct inet_diag_sockid id; /* with its cookie: never another one that took its place */
	__u8 family;
};

/* Those of loopback apart. told() ends it with -errno. 0 or -errno. */
int host_senders(int (*told)(void *arg, const struct host_sender *sender), void *arg);

/* What struct tcp_info of the kernel, so many bytes of it, says; false: too little of it. (host_sight.c) */
bool sight_from(const void *info, size_t length, struct slow_sight *sight);

/* Both ends are told by a reset. 0, also when it has ended by itself, or -errno: -EOPNOTSUPP where the kernel cannot
 * (CONFIG_INET_DIAG_DESTROY). */
int host_end(const struct inet_diag_sockid *id, __u8 family);
/* Whether the kernel can: 0, or -errno as above. */
int host_can_end(void);

#endif
