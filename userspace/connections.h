/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The TCP connections of a capture, offline in place of sockets. What was open before the capture began is found by
 * looking ahead; what opens and closes during it follows the segments that pass.
 */
#ifndef BULWARK_CONNECTIONS_H
#define BULWARK_CONNECTIONS_H

#include "kernel.h"
#include "packet_flow.h"

struct connections; /* opaque */

struct connections *connections_new(void); /* NULL without memory */
void connections_free(struct connections *connections);

/* Looking ahead: every segment of the capture, in order. 0 or -ENOMEM. */
int connections_foresee(struct connections *connections, const struct packet_flow *flow);
/* Then: those that were open before go into the generation's table. *count: how many. 0 or -errno. */
int connections_seed(struct connections *connections, struct generation *generation, size_t *count);

/* A connection that is said to be open. 0 or -errno. */
int connections_open(struct connections *connections, struct generation *generation, const struct packet_flow *flow);

/* Closes every connection in the generation's table. 0 or -errno. */
int connections_forget(struct connections *connections, struct generation *generation);

/* Before a packet is judged or sent: what has ended by now is forgotten. 0 or -errno. */
int connections_before(struct connections *connections, struct generation *generation, const struct packet_flow *flow,
		       __u64 now_ns);
/* After a packet passed, or left this host. 0 or -errno. */
int connections_after(struct connections *connections, struct generation *generation, const struct packet_flow *flow,
		      __u64 now_ns);

#endif
