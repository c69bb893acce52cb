/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this host is: asked of the kernel (netlink, procfs), never assumed. */
#ifndef BULWARK_HOST_H
#define BULWARK_HOST_H

#include "policy.h"

struct host_address {
	struct prefix address; /* a single address */
	struct prefix on_link; /* its subnet */
	unsigned ifindex;
};

struct host_link {
	unsigned ifindex;
	char name[16];
	char driver[32]; /* "" unknown */
	char kind[16];	 /* veth, bridge, vlan, bond, ... or "" */
	unsigned mtu;
	unsigned rx_queues; /* at most; the driver may use fewer */
	unsigned master;    /* ifindex or 0 */
	bool up, loopback, default_route, bridge_port;
	__u16 vlan;	   /* of kind vlan: the id of its tag */
	bool bare;	   /* its packets have no Ethernet header: WireGuard, tun, IP in IP, PPP */
	bool strips_vlan;  /* tags are taken off before a program at it sees them (rx-vlan offload) */
	unsigned lower;	   /* the device below a VLAN, macvlan, ..., ifindex or 0; the devices below a bond have it as
			      master */
	__u8 tunnel;	   /* a tunnel: IPPROTO_* of the packets that it gets its own from, 0: none */
	__u16 tunnel_port; /* of those, UDP */
};

/* Whether some route has a window of its own (RTAX_WINDOW), or nobody can say. */
bool host_routes_bound_windows(void);

struct host_peer { /* one end of an open TCP connection of this host */
	__u8 local[16], remote[16];
	__u16 local_port, remote_port; /* host order */
	bool outbound;		       /* no listener here on the local port */
};

/* How the kernel's TCP of this network namespace is set; what concerns SYN cookies. */
struct host_tcp {
	bool known;
	int syncookies, timestamps; /* sysctls as they are */
	bool window_scaling, sack, ecn;
	__u8 ttl;
	__u64 space;	 /* the largest receive buffer */
	bool space_sure; /* all that the kernel works its window scale out from is seen from here */
};

struct host {
	struct host_address *addresses;
	size_t address_count;
	struct host_link *links;
	size_t link_count;
	struct prefix *gateways;
	size_t gateway_count;
	struct prefix *resolvers; /* resolv.conf, and systemd-resolved's upstream file */
	size_t resolver_count;
	struct host_peer *peers; /* ESTABLISHED connections that are not loopback */
	size_t peer_count;
	struct host_peer operator; /* the SSH connection this process runs under */
	bool has_operator;
	struct prefix *groups; /* multicast groups that it has joined */
	size_t group_count;
	struct host_tcp tcp;
	bool forwards; /* ip_forward or v6 forwarding on any interface, a bridge with ports, or balances */
	bool balances; /* IPVS has services here */
	bool has_vrf;  /* an interface is in a VRF */
};

/* 0 or -errno; what could not be read is said in report as a warning and left empty. */
int host_read(struct host *host, struct report *report);
/* Only whom a ban must spare: own addresses, gateways, resolvers, the operator. Likewise. */
int host_read_spared(struct host *host, struct report *report);
/* Only its links, addresses, routes and resolvers, and whether it forwards: what changes while a daemon watches. 0 or
 * -errno. */
int host_read_links(struct host *host);
/* Whether IPVS has services here: asked of /proc, because nobody tells. "No" where it cannot be read (no module). */
bool host_balances(void);
/* A number for what feeds are cut around: own and on-link prefixes, gateways, resolvers. Never 0. */
__u64 host_around(const struct host *host);
void host_free(struct host *host);

/* The open TCP connections to listeners of this network namespace, those of loopback apart; also those that close,
 * until they are closed. told() ends it with -errno. 0 or -errno. */
int host_open_connections(int (*told)(void *arg, const struct host_peer *peer), void *arg);
/* Likewise those that connection tracking knows, as their packets come in. translated: it sends them on to another
 * address; else they end here or are merely routed. */
int host_forwarded_connections(int (*told)(void *arg, const struct host_peer *peer, bool translated), void *arg);

/* Ends the open TCP connections of this network namespace that are wanted (`outbound` is not known to it); how many.
 * 0, or -errno: -EOPNOTSUPP where the kernel cannot (CONFIG_INET_DIAG_DESTROY). */
int host_end_connections(bool (*wanted)(void *arg, const struct host_peer *peer), void *arg, size_t *ended);

/* Whether it is made of devices that have it as their master, and that packets come in on: bond, team. */
bool host_link_gathers(const struct host_link *link);
const struct host_link *host_link_by_name(const struct host *host, const char *name);
const struct host_link *host_link_by_index(const struct host *host, unsigned ifindex);

/*
 * The devices that a policy's `interfaces` mean, each once: "auto" is those that carry the default routes, VLANs and
 * bonds become the devices below them. Pointers into host; the array is the caller's (free). A name that this host does
 * not have, loopback, and an `auto` without a default route are errors in report (at[i] says where it is written; at
 * may be NULL), as are devices whose packets have no Ethernet header, unless `auto` or a VRF means others, too; the
 * rest is still resolved. 0 or -ENOMEM.
 */
int host_interfaces(const struct host *host, char *const *names, const struct place *at, size_t name_count,
		    const struct host_link ***links, size_t *link_count, struct report *report);

#endif
