/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ending open TCP connections of this host (SOCK_DESTROY): both ends are told by a reset. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host_parts.h"

struct ending {
	bool (*wanted)(void *arg, const struct host_peer *peer);
	void *arg;
	struct inet_diag_req_v2 *requests; /* a socket each, by its cookie: never another one that took its place */
	size_t count, capacity;
};

static int on_connection(const struct nlmsghdr *message, void *arg)
{
	const struct inet_diag_msg *told = nlmsg_data(message);
	struct ending *ending = arg;
	struct host_peer peer;
	int error;

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || message->nlmsg_len < NLMSG_LENGTH(sizeof(*told)) ||
	    host_peer_from(told, &peer) || !ending->wanted(ending->arg, &peer))
		return 0;
	error = host_grow(&ending->requests, ending->count, &ending->capacity, sizeof(*ending->requests));
	if (!error)
		ending->requests[ending->count++] = (struct inet_diag_req_v2){
			.sdiag_family = told->idiag_family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
			.id = told->id,
		};
	return error;
}

static int find_connections(struct ending *ending)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		struct inet_diag_req_v2 request = {
			.sdiag_family = families[i],
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~(1u << TCP_LISTEN | 1u << TCP_CLOSE | 1u << TCP_TIME_WAIT),
		};
		int error = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request),
					 on_connection, ending);

		if (error && !(families[i] == AF_INET6 && error == -ENOENT))
			return error;
	}
	return 0;
}

int host_end_connections(bool (*wanted)(void *arg, const struct host_peer *peer), void *arg, size_t *ended)
{
	struct ending ending = {.wanted = wanted, .arg = arg};
	int error = find_connections(&ending);

	*ended = 0;
	for (size_t i = 0; !error && i < ending.count; i++) {
		error = netlink_do(NETLINK_SOCK_DIAG, SOCK_DESTROY, &ending.requests[i], sizeof(*ending.requests));
		if (!error)
			++*ended;
		else if (error == -ENOENT) /* it ended by itself meanwhile */
			error = 0;
	}
	free(ending.requests);
	return error;
}
