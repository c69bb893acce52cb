/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files behind host.h share, and those that ask the kernel by netlink dumps too. */
#ifndef BULWARK_HOST_PARTS_H
#define BULWARK_HOST_PARTS_H

#include "host.h"

struct nlmsghdr;
struct inet_diag_msg;

/* A socket as sock_diag tells of it. */
struct host_socket {
	struct host_peer peer;
	unsigned inode;
	bool listens;
};
struct host_sockets {
	struct host_socket *items;
	size_t count, capacity;
};

/* Makes room for one more item; array, count and capacity as given. 0 or -ENOMEM. */
int host_grow(void *array, size_t count, size_t *capacity, size_t item_size);

/* Appends a single address to a list of prefixes unless it is there. 0 or -ENOMEM. */
int host_prefix_note(struct prefix **prefixes, size_t *count, const struct prefix *prefix);

/* An address of family AF_INET or AF_INET6 as a prefix of that family's length, host bits cleared. */
void host_prefix_from(struct prefix *prefix, int family, const void *address, unsigned length);

/* Both ends of a socket as sock_diag tells them; outbound is not known. -EAFNOSUPPORT when it is no IP socket. */
int host_peer_from(const struct inet_diag_msg *told, struct host_peer *peer);

/* One netlink request that is only acknowledged. 0 or -errno, the kernel's own. */
int netlink_do(int protocol, int type, const void *body, size_t body_size);

/* 0 or -ENOMEM: a file that is not there names nobody. */
int host_read_resolvers(struct host *host);

int host_read_neighbours(struct host *host); /* own addresses, gateways, resolvers. 0 or -errno (host_links.c) */
int host_read_groups(struct host *host);     /* 0 or -ENOMEM (host_groups.c) */

/* One netlink dump: sends the request, calls heard() for every message. 0 or -errno. */
int netlink_dump(int protocol, int type, const void *body, size_t body_size,
		 int (*heard)(const struct nlmsghdr *message, void *arg), void *arg);
/* The same, asked again, some times at most, when what is dumped changed meanwhile; forget() what was heard then. */
int netlink_dump_whole(int protocol, int type, const void *body, size_t body_size,
		       int (*heard)(const struct nlmsghdr *message, void *arg), void (*forget)(void *arg), void *arg);

/* Sockets in these states (1u << TCP_ESTABLISHED, ...), appended. (host_sockets.c) */
int host_read_sockets(struct host_sockets *sockets, unsigned states);
int host_peers(struct host *host, const struct host_sockets *sockets);
/* sockets NULL: they are read only when somebody's socket is the only trace. (host_operator.c) */
bool host_operator(const struct host_sockets *sockets, struct host_peer *who);

/* The first, or the n-th, number of /proc/sys/net/NAME; name: ipv4/tcp_rmem. 0 or -ENOENT. (host_tcp.c) */
int sysctl_number(const char *name, unsigned column, long long *value);
void host_read_tcp(struct host_tcp *tcp);

/* The nameservers of one resolv.conf text, appended. 0 or -ENOMEM. */
int resolvers_parse(const char *text, struct prefix **resolvers, size_t *count);
/* "client port server port" as sshd puts it into SSH_CONNECTION. 0 or -EINVAL. */
int ssh_connection_parse(const char *text, struct host_peer *who);
/* Loopback by address: 127/8, ::1, or both ends the same. */
bool peer_is_loopback(const struct host_peer *peer);

#endif
