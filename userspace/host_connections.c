/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP connections to this host that are open, as bpf/sockops.h counts them: established until closed. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "host_parts.h"

#define STATES_OPEN                                                                                                    \
	(1u << TCP_ESTABLISHED | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSE_WAIT |                    \
	 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

int host_open_connections(int (*told)(void *arg, const struct host_peer *peer), void *arg)
{
	struct host_sockets sockets = {};
	struct host host = {};
	int error = host_read_sockets(&sockets, STATES_OPEN | 1u << TCP_LISTEN);

	if (!error)
		error = host_peers(&host, &sockets);
	free(sockets.items);
	for (size_t i = 0; !error && i < host.peer_count; i++)
		if (!host.peers[i].outbound)
			error = told(arg, &host.peers[i]);
	host_free(&host);
	return error;
}
