/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Links, addresses and routes of this host, asked of rtnetlink. */
#include <errno.h>
#include <glob.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host_parts.h"

/* Where rows are appended; capacities are only needed while reading. */
struct reading {
	struct host *host;
	size_t link_capacity, address_capacity;
};

/* The peer of a veth is in IFLA_LINK too, but it is not below. */
static bool kind_has_lower(const char *kind)
{
	static const char *const kinds[] = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

/* Tunnels that come in as a protocol of their own, or whose UDP port the kernel tells with the device. */
static const struct {
	const char *kind;
	__u8 protocol, port_attribute; /* the attribute: big endian; 0: no port */
} tunnels[] = {
	{"vxlan", IPPROTO_UDP, IFLA_VXLAN_PORT},
	{"geneve", IPPROTO_UDP, IFLA_GENEVE_PORT},
	{"gre", IPPROTO_GRE, 0},
	{"gretap", IPPROTO_GRE, 0},
	{"ip6gre", IPPROTO_GRE, 0},
	{"ip6gretap", IPPROTO_GRE, 0},
	{"erspan", IPPROTO_GRE, 0},
	{"ipip", IPPROTO_IPIP, 0},
	{"sit", IPPROTO_IPV6, 0},
	{"vti", IPPROTO_ESP, 0},
	{"vti6", IPPROTO_ESP, 0},
	{"xfrm", IPPROTO_ESP, 0},
};

static void note_vlan(struct host_link *link, struct nlattr *data)
{
	struct nlattr *id = data ? nla_find(nla_data(data), nla_len(data), IFLA_VLAN_ID) : NULL;

	if (id && !strcmp(link->kind, "vlan"))
		link->vlan = nla_get_u16(id);
}

static void note_kind(struct host_link *link, struct nlattr *info)
{
	struct nlattr *kind = nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND), *port;
	struct nlattr *data = nla_find(nla_data(info), nla_len(info), IFLA_INFO_DATA);

	if (!kind)
		return;
	nla_strlcpy(link->kind, kind, sizeof(link->kind));
	note_vlan(link, data);
	for (size_t i = 0; i < sizeof(tunnels) / sizeof(*tunnels); i++) {
		if (strcmp(link->kind, tunnels[i].kind))
			continue;
		port = data && tunnels[i].port_attribute
			       ? nla_find(nla_data(data), nla_len(data), tunnels[i].port_attribute)
			       : NULL;
		link->tunnel_port = port ? ntohs(nla_get_u16(port)) : 0;
		link->tunnel = !tunnels[i].port_attribute || port ? tunnels[i].protocol : 0;
	}
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = nlmsg_data(message);
	struct nlattr *attributes[IFLA_MAX + 1] = {};
	struct reading *reading = arg;
	struct host_link *link;
	int error;

	if (message->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse((struct nlmsghdr *)message, sizeof(*info), attributes, IFLA_MAX, NULL) < 0 ||
	    !attributes[IFLA_IFNAME])
		return 0;
	error = host_grow(&reading->host->links, reading->host->link_count, &reading->link_capacity, sizeof(*link));
	if (error)
		return error;
	link = &reading->host->links[reading->host->link_count++];
	memset(link, 0, sizeof(*link));
	link->ifindex = info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	link->loopback = info->ifi_flags & IFF_LOOPBACK;
	link->bare = info->ifi_type != ARPHRD_ETHER && info->ifi_type != ARPHRD_LOOPBACK;
	nla_strlcpy(link->name, attributes[IFLA_IFNAME], sizeof(link->name));
	if (attributes[IFLA_MTU])
		link->mtu = nla_get_u32(attributes[IFLA_MTU]);
	if (attributes[IFLA_NUM_RX_QUEUES])
		link->rx_queues = nla_get_u32(attributes[IFLA_NUM_RX_QUEUES]);
	if (attributes[IFLA_MASTER])
		link->master = nla_get_u32(attributes[IFLA_MASTER]);
	if (attributes[IFLA_LINKINFO])
		note_kind(link, attributes[IFLA_LINKINFO]);
	if (attributes[IFLA_LINK] && kind_has_lower(link->kind))
		link->lower = nla_get_u32(attributes[IFLA_LINK]);
	return 0;
}

static void forget_links(void *arg)
{
	((struct reading *)arg)->host->link_count = 0;
}

static int on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *info = nlmsg_data(message);
	struct nlattr *attributes[IFA_MAX + 1] = {}, *local, *subnet;
	struct reading *reading = arg;
	struct host_address *address;
	unsigned bits = info->ifa_family == AF_INET ? 32 : 128;
	int error;

	if (message->nlmsg_type != RTM_NEWADDR || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) ||
	    nlmsg_parse((struct nlmsghdr *)message, sizeof(*info), attributes, IFA_MAX, NULL) < 0)
		return 0;
	subnet = attributes[IFA_ADDRESS]; /* of a point-to-point link: the other end */
	local = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : subnet;
	if (!local || !subnet || nla_len(local) < (int)bits / 8 || nla_len(subnet) < (int)bits / 8)
		return 0;
	error = host_grow(&reading->host->addresses, reading->host->address_count, &reading->address_capacity,
			  sizeof(*address));
	if (error)
		return error;
	address = &reading->host->addresses[reading->host->address_count++];
	host_prefix_from(&address->address, info->ifa_family, nla_data(local), bits);
	host_prefix_from(&address->on_link, info->ifa_family, nla_data(subnet), info->ifa_prefixlen);
	address->ifindex = info->ifa_index;
	return 0;
}

static void forget_addresses(void *arg)
{
	((struct reading *)arg)->host->address_count = 0;
}

/* A next hop: its gateway, and whether the interface carries a default route. */
static int note_hop(struct host *host, const struct rtmsg *route, struct nlattr *gateway, struct nlattr *via,
		    unsigned ifindex)
{
	struct host_link *link = (struct host_link *)host_link_by_index(host, ifindex);
	struct prefix prefix;

	if (!route->rtm_dst_len && link && !link->loopback)
		link->default_route = true;
	if (gateway && nla_len(gateway) == (route->rtm_family == AF_INET ? 4 : 16)) {
		host_prefix_from(&prefix, route->rtm_family, nla_data(gateway), 128);
	} else if (via && nla_len(via) == (int)sizeof(struct rtvia) + 16 &&
		   ((struct rtvia *)nla_data(via))->rtvia_family == AF_INET6) {
		host_prefix_from(&prefix, AF_INET6, ((struct rtvia *)nla_data(via))->rtvia_addr, 128);
	} else {
		return 0;
	}
	return host_prefix_note(&host->gateways, &host->gateway_count, &prefix);
}

static int note_hops(struct host *host, const struct rtmsg *route, struct nlattr *multipath)
{
	struct rtnexthop *hop = nla_data(multipath);
	int left = nla_len(multipath);

	for (; left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left;
	     left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		struct nlattr *inside = (struct nlattr *)RTNH_DATA(hop);
		int inside_length = hop->rtnh_len - sizeof(*hop);
		int error = note_hop(host, route, nla_find(inside, inside_length, RTA_GATEWAY),
				     nla_find(inside, inside_length, RTA_VIA), hop->rtnh_ifindex);

		if (error)
			return error;
	}
	return 0;
}

static int on_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = nlmsg_data(message);
	struct nlattr *attributes[RTA_MAX + 1] = {};
	struct reading *reading = arg;

	if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_UNICAST || route->rtm_flags & RTM_F_CLONED ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) ||
	    nlmsg_parse((struct nlmsghdr *)message, sizeof(*route), attributes, RTA_MAX, NULL) < 0)
		return 0;
	if (attributes[RTA_MULTIPATH])
		return note_hops(reading->host, route, attributes[RTA_MULTIPATH]);
	return note_hop(reading->host, route, attributes[RTA_GATEWAY], attributes[RTA_VIA],
			attributes[RTA_OIF] ? nla_get_u32(attributes[RTA_OIF]) : 0);
}

/* What a driver says of one device; *answer: its words. */
static bool ask_driver(int fd, const struct host_link *link, void *answer)
{
	struct ifreq request = {.ifr_data = answer};

	memcpy(request.ifr_name, link->name, sizeof(request.ifr_name));
	return !ioctl(fd, SIOCETHTOOL, &request);
}

static void read_drivers(struct host *host)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any will do; sandboxes take the internet's away */

	if (fd < 0)
		return;
	for (size_t i = 0; i < host->link_count; i++) {
		struct host_link *link = &host->links[i];
		struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
		struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

		if (ask_driver(fd, link, &info))
			memcpy(link->driver, info.driver, sizeof(link->driver) - 1);
		link->strips_vlan = ask_driver(fd, link, &flags) && flags.data & ETH_FLAG_RXVLAN;
	}
	close(fd);
}

static void note_masters(struct host *host)
{
	for (size_t i = 0; i < host->link_count; i++) {
		const struct host_link *master = host_link_by_index(host, host->links[i].master);

		host->links[i].bridge_port = master && !strcmp(master->kind, "bridge");
		host->has_vrf |= master && !strcmp(master->kind, "vrf");
	}
}

static bool any_is_set(const char *pattern)
{
	glob_t found = {};
	bool set = false;

	if (!glob(pattern, GLOB_NOSORT, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc && !set; i++) {
			FILE *file = fopen(found.gl_pathv[i], "re");

			set = file && fgetc(file) == '1';
			if (file)
				fclose(file);
		}
	}
	globfree(&found);
	return set;
}

static bool host_forwards(const struct host *host)
{
	for (size_t i = 0; i < host->link_count; i++)
		if (host->links[i].bridge_port)
			return true;
	return any_is_set("/proc/sys/net/ipv4/ip_forward") || any_is_set("/proc/sys/net/ipv4/conf/*/forwarding") ||
	       any_is_set("/proc/sys/net/ipv6/conf/*/forwarding");
}

bool host_balances(void)
{
	FILE *file = fopen("/proc/net/ip_vs", "re");
	bool found = false;
	char line[256];

	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "TCP ", 4) || !strncmp(line, "FWM ", 4);
	if (file)
		fclose(file);
	return found;
}

/* Which interface carries a default route is noted at links that are there. A router's routes change all the time, and
 * nobody depends on every one: they are asked for once. */
static int read_addresses_and_routes(struct reading *reading)
{
	struct ifaddrmsg addresses = {.ifa_family = AF_UNSPEC};
	struct rtmsg routes = {.rtm_family = AF_UNSPEC};
	int error = netlink_dump_whole(NETLINK_ROUTE, RTM_GETADDR, &addresses, sizeof(addresses), on_address,
				       forget_addresses, reading);

	return error ?: netlink_dump(NETLINK_ROUTE, RTM_GETROUTE, &routes, sizeof(routes), on_route, reading);
}

int host_read_neighbours(struct host *host)
{
	struct reading reading = {.host = host};
	int error = read_addresses_and_routes(&reading);

	return error ?: host_read_resolvers(host);
}

int host_read_links(struct host *host)
{
	struct reading reading = {.host = host};
	struct ifinfomsg links = {.ifi_family = AF_UNSPEC};
	int error =
		netlink_dump_whole(NETLINK_ROUTE, RTM_GETLINK, &links, sizeof(links), on_link, forget_links, &reading);

	if (!error)
		error = read_addresses_and_routes(&reading);
	if (error)
		return error;
	note_masters(host);
	host->balances = host_balances();
	host->forwards = host->balances || host_forwards(host);
	read_drivers(host);
	return host_read_resolvers(host);
}
