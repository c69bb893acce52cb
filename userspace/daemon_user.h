/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The daemon's own user: `bulwark` where this host has one (scripts/systemd/bulwark.sysusers), or the one that
 * BULWARK_USER names; else, and for `root`, bulwarkd stays root. Root makes pins and the state directory, and this user
 * works with them:
 *
 *   pins                      its group opens them all, and may replace links (kernel_share.c)
 *   STATE                     root's, and its group may make files there but not touch those of root
 *   STATE/generations, feeds  root's; its group reads
 *   lock, histories           root's; its group writes
 *   events.jsonl, bans, ...   its own
 */
#ifndef BULWARK_DAEMON_USER_H
#define BULWARK_DAEMON_USER_H

#include <sys/types.h>

#include "kernel.h"

struct daemon_user {
	char name[64];
	uid_t uid; /* 0: root */
	gid_t gid;
};

/* -ENOENT: BULWARK_USER names nobody (its name is filled in). */
int daemon_user_find(struct daemon_user *user);
/* Its group; 0: root's. */
gid_t daemon_user_group(void);
/* Makes the state directory, and gives it and the log with its rotated files to the user, or back to root. As root
 * with CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE. enum exit_status. */
int daemon_user_share_state(const struct daemon_user *user, const char *state_dir, const char *log, unsigned keep);

#endif
