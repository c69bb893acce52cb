/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a program that meets the network gives up what it does not need. */
#ifndef BULWARK_CONFINE_H
#define BULWARK_CONFINE_H

#include <linux/types.h>

/*
 * For good: becomes the user `user` (or nobody where there is none), without groups, without capabilities and without
 * ways to new ones; reads nothing but configuration, libraries and certificates (Landlock, where the kernel has it);
 * cannot start a program, trace, mount, load, or open sockets other than those of the Internet, UNIX and routing
 * (seccomp, on the machines that it knows); files up to file_bytes. NULL, or what failed, with errno.
 */
const char *confine(const char *user, __u64 file_bytes);

#endif
