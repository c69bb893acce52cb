/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "packet_flow.h"

struct view { /* a frame of which the capture may have kept only the beginning */
	const __u8 *data;
	size_t length, original, at;
};

/* The next bytes, or NULL; then *err says why: 0 the frame itself ends here, -EINVAL the capture cut it off. */
static const __u8 *look(const struct view *view, size_t size, int *err)
{
	*err = 0;
	if (size <= view->length && view->at <= view->length - size)
		return view->data + view->at;
	if (size <= view->original && view->at <= view->original - size)
		*err = -EINVAL;
	return NULL;
}

static unsigned get16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

static int skip_link(struct view *view, unsigned *type)
{
	const __u8 *at;
	int err;

	view->at = 12;
	at = look(view, 2, &err);
	*type = at ? get16(at) : 0;
	view->at += 2;
	for (int tags = 0; at && tags < 2 && (*type == 0x8100 || *type == 0x88a8); tags++) {
		at = look(view, 4, &err);
		*type = at ? get16(at + 2) : 0;
		view->at += 4;
	}
	return err;
}

static void map_v4(__u8 to[16], const __u8 *from)
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, from, 4);
}

static int read_v4(struct view *view, struct packet_flow *flow)
{
	const __u8 *ip;
	int err;

	ip = look(view, 20, &err);
	if (!ip || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return err;
	map_v4(flow->source, ip + 12);
	map_v4(flow->destination, ip + 16);
	flow->ip = true;
	flow->protocol = ip[9];
	flow->later_fragment = get16(ip + 6) & 0x1fff;
	view->at += (ip[0] & 15) * 4;
	return 0;
}

static size_t extension_bytes(const __u8 *header, __u8 kind)
{
	switch (kind) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case 139: /* HIP */
	case 140: /* SHIM6 */
		return (header[1] + 1) * 8;
	case IPPROTO_AH:
		return (header[1] + 2) * 4;
	case IPPROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

static int walk_extensions(struct view *view, struct packet_flow *flow)
{
	for (int i = 0; i < 64 && !flow->later_fragment; i++) {
		const __u8 nothing[2] = {0};
		const __u8 *header;
		int err;

		if (!extension_bytes(nothing, flow->protocol))
			return 0;
		header = look(view, 8, &err);
		if (!header)
			return err;
		if (flow->protocol == IPPROTO_FRAGMENT)
			flow->later_fragment = get16(header + 2) & 0xfff8;
		view->at += extension_bytes(header, flow->protocol);
		flow->protocol = header[0];
	}
	return 0;
}

static int read_v6(struct view *view, struct packet_flow *flow)
{
	const __u8 *ip;
	int err;

	ip = look(view, 40, &err);
	if (!ip || ip[0] >> 4 != 6)
		return err;
	memcpy(flow->source, ip + 8, 16);
	memcpy(flow->destination, ip + 24, 16);
	flow->ip = flow->ipv6 = true;
	flow->protocol = ip[6];
	view->at += 40;
	return walk_extensions(view, flow);
}

/* An ICMP error is judged by what it quotes: an IP header and the eight bytes behind it. */
static int quote_is_there(struct view *view, const struct packet_flow *flow)
{
	const __u8 *icmp, *ip;
	bool error;
	int err;

	icmp = look(view, 8, &err);
	if (!icmp)
		return err;
	error = flow->ipv6 ? icmp[0] >= 1 && icmp[0] <= 4 : icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12;
	if (!error)
		return 0;
	view->at += 8;
	ip = look(view, flow->ipv6 ? 48 : 20, &err);
	if (!ip || flow->ipv6)
		return err;
	look(view, (ip[0] & 15) * 4 + 8, &err);
	return err;
}

static int read_transport(struct view *view, struct packet_flow *flow)
{
	const __u8 *at;
	int err;

	if (flow->later_fragment)
		return 0;
	switch (flow->protocol) {
	case IPPROTO_TCP:
		at = look(view, 20, &err);
		break;
	case IPPROTO_UDP:
		at = look(view, 8, &err);
		break;
	case IPPROTO_SCTP:
		at = look(view, 12, &err);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return quote_is_there(view, flow);
	default:
		return 0;
	}
	if (!at)
		return err;
	flow->ports = true;
	flow->source_port = get16(at);
	flow->destination_port = get16(at + 2);
	if (flow->protocol == IPPROTO_TCP)
		flow->tcp_flags = at[13];
	return 0;
}

int packet_flow(const void *frame, size_t length, size_t original, struct packet_flow *flow)
{
	struct view view = {frame, length, original, 0};
	unsigned type;
	int err = skip_link(&view, &type);

	memset(flow, 0, sizeof(*flow));
	if (err)
		return err;
	if (type == 0x0800)
		err = read_v4(&view, flow);
	else if (type == 0x86dd)
		err = read_v6(&view, flow);
	if (err || !flow->ip)
		return err;
	return read_transport(&view, flow);
}

const void *packet_untagged(const void *frame, size_t *length, void *copy)
{
	struct view view = {frame, *length, *length, 0};
	unsigned type;

	if (skip_link(&view, &type) || view.at == 14 || view.at > *length)
		return frame;
	memcpy(copy, frame, 12);
	memcpy((__u8 *)copy + 12, view.data + view.at - 2, *length - view.at + 2);
	*length -= view.at - 14;
	return copy;
}

bool packet_connection(const struct packet_flow *flow, struct connection_key *key)
{
	int order = memcmp(flow->source, flow->destination, 16);
	bool swapped = order ? order > 0 : flow->source_port > flow->destination_port;

	memcpy(key->address[swapped], flow->source, 16);
	memcpy(key->address[!swapped], flow->destination, 16);
	key->port[swapped] = htons(flow->source_port);
	key->port[!swapped] = htons(flow->destination_port);
	return swapped;
}
