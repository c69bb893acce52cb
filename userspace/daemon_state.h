/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What bulwarkd remembers over a restart, in STATE/bulwarkd.json. */
#ifndef BULWARK_DAEMON_STATE_H
#define BULWARK_DAEMON_STATE_H

#include "endpoint.h"
#include "saved.h"

/* What became of events, since the state directory began. written is the number of the last one in the log. */
struct ledger {
	__u64 own;	   /* the daemon's own: actions, notices */
	__u64 written;	   /* to the log */
	__u64 sampled_out; /* over the budget of bytes a minute */
	__u64 unwritten;   /* the log could not be written */
	__u64 crashed;	   /* taken out of the ring by a daemon that died, or left in one that went */

	/* The ring that is there, and what is known of those that are gone. Kernel: events made, those that found the
	 * ring full included. */
	__u64 ring;		      /* identity, over reboots too; 0: none */
	__u64 taken;		      /* out of it, and accounted for above */
	__u64 ring_kernel, ring_lost; /* of it, as last seen */
	__u64 kernel, lost;	      /* of the rings before it */
};

struct daemon_state {
	char log[SAVED_PATH_MAX]; /* where it writes; for `bulwark log` */
	__u64 sequence;		  /* of the last event */
	__u64 history_offset;	  /* bytes of history.jsonl that are told */
	__u64 actions_offset, actions_inode;
	__u64 lost; /* events that found the ring full, as last told */
	struct ledger ledger;
	struct serving metrics; /* over a `down`, too */
};

/* What is not there is left zero and empty. */
void daemon_state_read(const struct places *places, struct daemon_state *state);
int daemon_state_write(const struct places *places, const struct daemon_state *state); /* 0 or -errno */

/* Where the events of this instance are: as the daemon last said, else where it would write unless told otherwise. */
const char *daemon_log_path(const struct places *places, char *path, size_t size);
const char *daemon_log_default(const struct places *places, char *path, size_t size);

#endif
