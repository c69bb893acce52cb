/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What rtnetlink tells bulwarkd: links, addresses, default routes, forwarding switched on or off. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"

static const int groups[] = {
	RTNLGRP_LINK,	    RTNLGRP_IPV4_IFADDR,  RTNLGRP_IPV6_IFADDR,	RTNLGRP_IPV4_ROUTE,
	RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF,
};

int links_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int error = fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;

	for (size_t i = 0; !error && i < sizeof(groups) / sizeof(*groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])))
			error = errno;
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

/* A router's tables change all the time; only default routes say which interfaces `auto` means. */
static bool matters(const struct nlmsghdr *message)
{
	const struct rtmsg *route = NLMSG_DATA(message);

	if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
		return true;
	return message->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)) && !route->rtm_dst_len;
}

bool links_heard(int fd)
{
	char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool any = false;

	for (;;) {
		ssize_t length = recv(fd, buffer, sizeof(buffer), 0);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno == ENOBUFS) { /* an overrun: something was missed */
			any = true;
			continue;
		}
		if (length <= 0)
			return any;
		for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, (size_t)length);
		     message = NLMSG_NEXT(message, length))
			any |= matters(message);
	}
}
