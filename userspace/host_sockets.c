/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Open TCP connections and listeners of this network namespace, asked of sock_diag. */
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

#define TIMER_TIME_WAIT 3 /* idiag_timer: closed, what is left of it may be told as FIN_WAIT2 */

int host_peer_from(const struct inet_diag_msg *told, struct host_peer *peer)
{
	struct prefix local, remote;

	if (told->idiag_family != AF_INET && told->idiag_family != AF_INET6)
		return -EAFNOSUPPORT;
	host_prefix_from(&local, told->idiag_family, told->id.idiag_src, 128);
	host_prefix_from(&remote, told->idiag_family, told->id.idiag_dst, 128);
	*peer = (struct host_peer){
		.local_port = ntohs(told->id.idiag_sport),
		.remote_port = ntohs(told->id.idiag_dport),
	};
	memcpy(peer->local, local.address, sizeof(peer->local));
	memcpy(peer->remote, remote.address, sizeof(peer->remote));
	return 0;
}

static int on_socket(const struct nlmsghdr *message, void *arg)
{
	const struct inet_diag_msg *told = nlmsg_data(message);
	struct host_sockets *sockets = arg;
	struct host_socket socket = {};
	int error;

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || message->nlmsg_len < NLMSG_LENGTH(sizeof(*told)) ||
	    told->idiag_timer == TIMER_TIME_WAIT || host_peer_from(told, &socket.peer))
		return 0;
	socket.inode = told->idiag_inode;
	socket.listens = told->idiag_state == TCP_LISTEN;
	error = host_grow(&sockets->items, sockets->count, &sockets->capacity, sizeof(socket));
	if (!error)
		sockets->items[sockets->count++] = socket;
	return error;
}

int host_read_sockets(struct host_sockets *sockets, unsigned states)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		struct inet_diag_req_v2 request = {
			.sdiag_family = families[i],
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = states,
		};
		int error = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request), on_socket,
					 sockets);

		/* A kernel without IPv6 has no such sockets. */
		if (error && !(families[i] == AF_INET6 && error == -ENOENT))
			return error;
	}
	return 0;
}

static bool is_wildcard(const __u8 address[16])
{
	static const __u8 any6[16], any4[16] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(address, any6, 16) || !memcmp(address, any4, 16);
}

bool peer_is_loopback(const struct host_peer *peer)
{
	static const __u8 loopback6[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(peer->local, peer->remote, 16) || !memcmp(peer->remote, loopback6, 16))
		return true;
	return !memcmp(peer->remote, mapped, 12) && peer->remote[12] == 127;
}

static bool listened(const struct host_sockets *listeners, const struct host_peer *peer)
{
	for (size_t i = 0; i < listeners->count; i++) {
		const struct host_peer *here = &listeners->items[i].peer;

		if (here->local_port == peer->local_port &&
		    (is_wildcard(here->local) || !memcmp(here->local, peer->local, 16)))
			return true;
	}
	return false;
}

int host_peers(struct host *host, const struct host_sockets *sockets)
{
	struct host_sockets listeners = {};
	size_t capacity = 0;
	int error = 0;

	for (size_t i = 0; i < sockets->count && !error; i++) {
		if (!sockets->items[i].listens)
			continue;
		error = host_grow(&listeners.items, listeners.count, &listeners.capacity, sizeof(*listeners.items));
		if (!error)
			listeners.items[listeners.count++] = sockets->items[i];
	}
	for (size_t i = 0; i < sockets->count && !error; i++) {
		const struct host_socket *socket = &sockets->items[i];

		if (socket->listens || peer_is_loopback(&socket->peer))
			continue;
		error = host_grow(&host->peers, host->peer_count, &capacity, sizeof(*host->peers));
		if (error)
			break;
		host->peers[host->peer_count] = socket->peer;
		host->peers[host->peer_count++].outbound = !listened(&listeners, &socket->peer);
	}
	free(listeners.items);
	return error;
}
