/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asks the generic netlink family `netdev` what drivers can do with XDP. */
#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor.h"
#include "host_parts.h"

/* Of linux/netdev.h, which headers older than 6.3 do not have. */
enum { NETDEV_GET = 1, NETDEV_IFINDEX = 1, NETDEV_XDP = 3, NETDEV_ATTRIBUTES = 8 };
enum { XDP_BASIC = 1 << 0, XDP_RX_SG = 1 << 5 };

struct family {
	const char *name;
	int id; /* 0: not there */
};

static int on_family(const struct nlmsghdr *message, void *arg)
{
	struct nlattr *attributes[CTRL_ATTR_MAX + 1] = {};
	struct family *family = arg;

	if (nlmsg_parse((struct nlmsghdr *)message, GENL_HDRLEN, attributes, CTRL_ATTR_MAX, NULL) < 0 ||
	    !attributes[CTRL_ATTR_FAMILY_NAME] || !attributes[CTRL_ATTR_FAMILY_ID])
		return 0;
	if (!strcmp(nla_get_string(attributes[CTRL_ATTR_FAMILY_NAME]), family->name))
		family->id = nla_get_u16(attributes[CTRL_ATTR_FAMILY_ID]);
	return 0;
}

struct asked {
	unsigned ifindex;
	struct driver_features *features;
};

static int on_device(const struct nlmsghdr *message, void *arg)
{
	struct nlattr *attributes[NETDEV_ATTRIBUTES + 1] = {};
	struct asked *asked = arg;
	__u64 xdp;

	if (nlmsg_parse((struct nlmsghdr *)message, GENL_HDRLEN, attributes, NETDEV_ATTRIBUTES, NULL) < 0 ||
	    !attributes[NETDEV_IFINDEX] || !attributes[NETDEV_XDP] ||
	    nla_get_u32(attributes[NETDEV_IFINDEX]) != asked->ifindex)
		return 0;
	xdp = nla_get_u64(attributes[NETDEV_XDP]);
	*asked->features = (struct driver_features){.known = true, .native = xdp & XDP_BASIC, .frags = xdp & XDP_RX_SG};
	return 0;
}

int driver_features(unsigned ifindex, struct driver_features *features)
{
	struct genlmsghdr families = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
			  devices = {.cmd = NETDEV_GET, .version = 1};
	struct asked asked = {ifindex, features};
	struct family family = {.name = "netdev"};
	int error;

	*features = (struct driver_features){};
	error = netlink_dump(NETLINK_GENERIC, GENL_ID_CTRL, &families, sizeof(families), on_family, &family);
	if (error || !family.id)
		return error ? error : -ENOENT;
	return netlink_dump(NETLINK_GENERIC, family.id, &devices, sizeof(devices), on_device, &asked);
}
