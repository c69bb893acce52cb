/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open TCP connections that this host sends on, to another address (published ports of containers) or as they are
 * (a router): they have no socket here, connection tracking knows them, where it was asked to. Of what goes to the
 * address that it was for it does not tell whether it ends here; who counts has to know.
 */
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "host_parts.h"

struct tuple {
	__u8 source[16], destination[16];
	__u16 source_port, destination_port; /* host order */
};

struct listing {
	int (*told)(void *arg, const struct host_peer *peer, bool translated);
	void *arg;
};

/* An address of either family, IPv4 mapped; false: there is none of a right length. */
static bool take_address(const struct nlattr *v4, const struct nlattr *v6, __u8 address[16])
{
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (v4 && nla_len(v4) == 4) {
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + sizeof(mapped), nla_data(v4), 4);
		return true;
	}
	if (!v6 || nla_len(v6) != 16)
		return false;
	memcpy(address, nla_data(v6), 16);
	return true;
}

static bool take_port(const struct nlattr *attribute, __u16 *port)
{
	if (!attribute || nla_len(attribute) != sizeof(*port))
		return false;
	*port = ntohs(nla_get_u16(attribute));
	return true;
}

/* Of TCP; what else is tracked is none. */
static bool take_tuple(struct nlattr *attribute, struct tuple *tuple)
{
	struct nlattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];

	if (!attribute || nla_parse_nested(parts, CTA_TUPLE_MAX, attribute, NULL) < 0 || !parts[CTA_TUPLE_IP] ||
	    !parts[CTA_TUPLE_PROTO] || nla_parse_nested(ip, CTA_IP_MAX, parts[CTA_TUPLE_IP], NULL) < 0 ||
	    nla_parse_nested(proto, CTA_PROTO_MAX, parts[CTA_TUPLE_PROTO], NULL) < 0)
		return false;
	return proto[CTA_PROTO_NUM] && nla_len(proto[CTA_PROTO_NUM]) == 1 &&
	       nla_get_u8(proto[CTA_PROTO_NUM]) == IPPROTO_TCP &&
	       take_address(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC], tuple->source) &&
	       take_address(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST], tuple->destination) &&
	       take_port(proto[CTA_PROTO_SRC_PORT], &tuple->source_port) &&
	       take_port(proto[CTA_PROTO_DST_PORT], &tuple->destination_port);
}

/* Its handshake was completed, by both ends, and not all of it has ended. */
static bool is_open(struct nlattr *const *entry)
{
	struct nlattr *info[CTA_PROTOINFO_MAX + 1], *tcp[CTA_PROTOINFO_TCP_MAX + 1];
	__u8 state;

	if (!entry[CTA_STATUS] || nla_len(entry[CTA_STATUS]) != sizeof(__u32) ||
	    !(ntohl(nla_get_u32(entry[CTA_STATUS])) & IPS_SEEN_REPLY) || !entry[CTA_PROTOINFO] ||
	    nla_parse_nested(info, CTA_PROTOINFO_MAX, entry[CTA_PROTOINFO], NULL) < 0 || !info[CTA_PROTOINFO_TCP] ||
	    nla_parse_nested(tcp, CTA_PROTOINFO_TCP_MAX, info[CTA_PROTOINFO_TCP], NULL) < 0 ||
	    !tcp[CTA_PROTOINFO_TCP_STATE] || nla_len(tcp[CTA_PROTOINFO_TCP_STATE]) != 1)
		return false;
	state = nla_get_u8(tcp[CTA_PROTOINFO_TCP_STATE]);
	return state >= TCP_CONNTRACK_ESTABLISHED && state <= TCP_CONNTRACK_LAST_ACK;
}

static int on_entry(const struct nlmsghdr *message, void *arg)
{
	const struct listing *listing = arg;
	struct nlattr *entry[CTA_MAX + 1];
	struct tuple asked, answered;
	struct host_peer peer = {};

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(struct nfgenmsg), entry, CTA_MAX, NULL) < 0 ||
	    !take_tuple(entry[CTA_TUPLE_ORIG], &asked) || !take_tuple(entry[CTA_TUPLE_REPLY], &answered) ||
	    !is_open(entry))
		return 0;
	memcpy(peer.local, asked.destination, sizeof(peer.local));
	memcpy(peer.remote, asked.source, sizeof(peer.remote));
	peer.local_port = asked.destination_port;
	peer.remote_port = asked.source_port;
	/* else who answers is whom it was for */
	return listing->told(listing->arg, &peer,
			     memcmp(asked.destination, answered.source, sizeof(asked.destination)) != 0);
}

int host_forwarded_connections(int (*told)(void *arg, const struct host_peer *peer, bool translated), void *arg)
{
	struct listing listing = {told, arg};
	struct nfgenmsg every = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
	long long tracked;

	/* asking would load the module */
	if (sysctl_number("netfilter/nf_conntrack_count", 1, &tracked) || !tracked)
		return 0;
	return netlink_dump(NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &every, sizeof(every),
			    on_entry, &listing);
}
