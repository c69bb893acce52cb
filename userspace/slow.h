/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which open connections are slow senders, from what the kernel says of each of them every few seconds: how many bytes
 * came, how many the service has sent, and when that last happened. Pure: no clock, no socket.
 *
 * A request is under way from the first byte of the client that the service has not answered until the service sends
 * something. Its bytes pay SLOW_BYTES_A_SECOND: by so much time as its newest byte is later than what its bytes have
 * paid for, the client is slow, once they have come in SLOW_PIECES looks. So nobody is slow who is silent between
 * requests, or while the service works on one that came whole. Who has never sent a byte, to a service that has not
 * either, is slow since the handshake. What the service has not read yet is not the client's fault.
 */
#ifndef BULWARK_SLOW_USER_H
#define BULWARK_SLOW_USER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define SLOW_BYTES_A_SECOND 500
#define SLOW_PIECES 3
#define SLOW_FOLLOWED_MOST (1u << 17) /* connections; twice 12 MiB while a look goes on */

struct slow_sight {				/* what the kernel says of a connection that is established */
	__u64 cookie;				/* its name, for as long as this host is up */
	__u64 received, sent;			/* bytes of payload, retransmits not counted */
	__u32 since_received_ms, since_sent_ms; /* the last payload, or the handshake */
	bool unread;				/* bytes wait for the service */
};

struct slow_verdict {
	__u32 slow_ms;	     /* for how long it is slow, 0: it is not */
	__u32 unanswered_ms; /* the client has sent something, and the service has not since the handshake; 0: it has */
	bool told;	     /* slow_tell() was called of this connection: this is known */
};

struct slow_table; /* opaque: the connections of the last look */

struct slow_table *slow_new(void); /* NULL without memory */
void slow_free(struct slow_table *table);

/* A look: slow_begin(), slow_see() for each connection, slow_end(). What was not seen in it is forgotten. 0 or
 * -ENOMEM; then the table is as it was before, or empty. */
int slow_begin(struct slow_table *table);
/* now_ms: of any clock that only goes forward. -ENOSPC: no room to follow it, nothing is known of it. */
int slow_see(struct slow_table *table, const struct slow_sight *sight, __u64 now_ms, struct slow_verdict *verdict);
void slow_tell(struct slow_table *table, __u64 cookie); /* of a connection that this look has seen */
void slow_end(struct slow_table *table);
size_t slow_followed(const struct slow_table *table);

#endif
