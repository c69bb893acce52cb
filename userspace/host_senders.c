/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asked of sock_diag, with the TCP information of each connection. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>

#include "host_parts.h"
#include "host_senders.h"

struct telling {
	int (*told)(void *arg, const struct host_sender *sender);
	void *arg;
};

static bool read_sight(const struct nlmsghdr *message, struct slow_sight *sight)
{
	const struct nlattr *info =
		nlmsg_find_attr((struct nlmsghdr *)message, sizeof(struct inet_diag_msg), INET_DIAG_INFO);

	return info && sight_from(nla_data(info), nla_len(info), sight);
}

static int on_sender(const struct nlmsghdr *message, void *arg)
{
	const struct inet_diag_msg *told = nlmsg_data(message);
	const struct telling *telling = arg;
	struct host_sender sender = {};

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || message->nlmsg_len < NLMSG_LENGTH(sizeof(*told)) ||
	    host_peer_from(told, &sender.peer) || peer_is_loopback(&sender.peer) || !read_sight(message, &sender.sight))
		return 0;
	sender.id = told->id;
	sender.family = told->idiag_family;
	sender.sight.cookie = (__u64)told->id.idiag_cookie[1] << 32 | told->id.idiag_cookie[0];
	sender.sight.unread = told->idiag_rqueue;
	return telling->told(telling->arg, &sender);
}

int host_senders(int (*told)(void *arg, const struct host_sender *sender), void *arg)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct telling telling = {.told = told, .arg = arg};

	for (size_t i = 0; i < 2; i++) {
		struct inet_diag_req_v2 request = {
			.sdiag_family = families[i],
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1 << (INET_DIAG_INFO - 1),
			.idiag_states = 1u << TCP_ESTABLISHED,
		};
		int error = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request), on_sender,
					 &telling);

		/* A kernel without IPv6 has no such sockets. */
		if (error && !(families[i] == AF_INET6 && error == -ENOENT))
			return error;
	}
	return 0;
}

static int destroy(const struct inet_diag_sockid *id, __u8 family)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = ~0u,
		.id = *id,
	};

	return netlink_do(NETLINK_SOCK_DIAG, SOCK_DESTROY, &request, sizeof(request));
}

int host_end(const struct inet_diag_sockid *id, __u8 family)
{
	int error = destroy(id, family);

	return error == -ENOENT ? 0 : error;
}

/* One that cannot be: from port 0 to port 0. */
int host_can_end(void)
{
	static const struct inet_diag_sockid nobody = {
		.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
	};

	return host_end(&nobody, AF_INET);
}
