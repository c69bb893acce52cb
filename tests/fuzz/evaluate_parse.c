/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame taken apart from the RFCs: 791, 8200, 9293, 768, 792, 4443, 9260, IEEE 802.1Q. */
#include <netinet/in.h>
#include <string.h>

#include "evaluate.h"

enum { WALKED = 8, LATEST = 2048 };

/* Bytes of the frame, most significant first. The caller knows that they are there. */
static __u32 number(const struct taken_apart *packet, size_t at, unsigned bytes)
{
	__u32 value = 0;

	while (bytes--)
		value = value * 256 + packet->frame[at++];
	return value;
}

static bool holds(const struct taken_apart *packet, size_t at, size_t bytes)
{
	return at <= packet->length && bytes <= packet->length - at;
}

static bool is_tag(__u32 type)
{
	return type == 0x8100 || type == 0x88a8;
}

static enum reason link_layer(struct taken_apart *packet, __u32 *type)
{
	size_t at = 12;

	for (int tags = 0;; tags++, at += 4) {
		if (!holds(packet, at, 2))
			return REASON_MALFORMED_ETHERNET;
		*type = number(packet, at, 2);
		if (!is_tag(*type))
			break;
		if (tags == 2)
			return REASON_UNPARSED_VLAN;
		if (!holds(packet, at + 2, 4))
			return REASON_MALFORMED_ETHERNET;
	}
	packet->network = at + 2;
	return REASON_NONE;
}

/* A header that says nothing takes nothing back either: the one before may have said that the packet is a fragment. */
static enum reason fragment(struct taken_apart *packet, __u32 offset, bool more)
{
	if (!offset && !more)
		return REASON_NONE;
	packet->later_fragment = offset > 0;
	packet->first_fragment = !offset;
	if (offset + packet->rest > 65535)
		return REASON_FRAGMENT_BOGUS;
	if (more && (packet->rest == 0 || packet->rest % 8 != 0))
		return REASON_FRAGMENT_BOGUS;
	return REASON_NONE;
}

static void address(const struct taken_apart *packet, size_t at, struct end *end)
{
	static const __u8 mapped[12] = {[10] = 0xff, 0xff};

	if (packet->version == 6) {
		memcpy(end->address, packet->frame + at, 16);
	} else {
		memcpy(end->address, mapped, 12);
		memcpy(end->address + 12, packet->frame + at, 4);
	}
}

static enum reason version4(struct taken_apart *packet)
{
	size_t at = packet->network, header, total;

	if (!holds(packet, at, 20) || packet->frame[at] / 16 != 4)
		return REASON_MALFORMED_IPV4;
	header = packet->frame[at] % 16 * 4;
	total = number(packet, at + 2, 2);
	if (header < 20 || total < header || !holds(packet, at, total))
		return REASON_MALFORMED_IPV4;
	packet->version = 4;
	address(packet, at + 12, &packet->from);
	address(packet, at + 16, &packet->to);
	packet->ttl = packet->frame[at + 8];
	packet->protocol = packet->frame[at + 9];
	packet->fragment_id = number(packet, at + 4, 2);
	packet->transport = at + header;
	packet->rest = total - header;
	return fragment(packet, number(packet, at + 6, 2) % 8192 * 8, packet->frame[at + 6] / 32 % 2);
}

/* The length of an extension header, 0: it is none that is walked. */
static size_t extension(unsigned kind, unsigned length)
{
	switch (kind) {
	case 44: /* fragment */
		return 8;
	case 51: /* authentication */
		return 4 * (length + 2);
	case 0:	  /* hop by hop */
	case 43:  /* routing */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* HIP */
	case 140: /* SHIM6 */
		return 8 * (length + 1);
	default:
		return 0;
	}
}

static enum reason one_extension(struct taken_apart *packet, int walked)
{
	size_t at = packet->transport, size;
	unsigned kind = packet->protocol;

	if (packet->rest < 8)
		return REASON_MALFORMED_EXTENSION;
	if (at > LATEST)
		return REASON_UNPARSED_EXTENSION;
	if (kind == 0 && walked)
		return REASON_MALFORMED_EXTENSION;
	if (kind == 43 && packet->frame[at + 2] == 0)
		return REASON_MALFORMED_EXTENSION;
	size = extension(kind, packet->frame[at + 1]);
	if (size > packet->rest)
		return REASON_MALFORMED_EXTENSION;
	packet->protocol = packet->frame[at];
	packet->transport += size;
	packet->rest -= size;
	if (kind != 44)
		return REASON_NONE;
	packet->fragment_id = number(packet, at + 4, 4);
	return fragment(packet, number(packet, at + 2, 2) / 8 * 8, packet->frame[at + 3] % 2);
}

static enum reason version6(struct taken_apart *packet)
{
	size_t at = packet->network;
	enum reason why = REASON_NONE;

	if (!holds(packet, at, 40) || packet->frame[at] / 16 != 6 || !holds(packet, at, 40 + number(packet, at + 4, 2)))
		return REASON_MALFORMED_IPV6;
	packet->version = 6;
	address(packet, at + 8, &packet->from);
	address(packet, at + 24, &packet->to);
	packet->ttl = packet->frame[at + 7];
	packet->protocol = packet->frame[at + 6];
	packet->transport = at + 40;
	packet->rest = number(packet, at + 4, 2);
	for (int walked = 0; !why && !packet->later_fragment && extension(packet->protocol, 0); walked++)
		why = walked < WALKED ? one_extension(packet, walked) : REASON_UNPARSED_EXTENSION;
	return why;
}

static enum reason tcp(struct taken_apart *packet)
{
	bool syn, fin, rst, ack;
	unsigned header = packet->frame[packet->transport + 12] / 16 * 4;

	if (header < 20)
		return REASON_MALFORMED_TCP;
	if (header > packet->rest)
		return packet->first_fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_TCP;
	packet->flags = packet->frame[packet->transport + 13];
	fin = packet->flags & 1;
	syn = packet->flags & 2;
	rst = packet->flags & 4;
	ack = packet->flags & 16;
	if ((syn && fin) || (syn && rst) || (fin && rst) || (!syn && !rst && !ack))
		return REASON_MALFORMED_TCP_FLAGS;
	return REASON_NONE;
}

static bool is_icmp(const struct taken_apart *packet)
{
	return packet->protocol == (packet->version == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static void icmp(struct taken_apart *packet)
{
	bool six = packet->version == 6;

	packet->icmp_type = packet->frame[packet->transport];
	packet->icmp_code = packet->frame[packet->transport + 1];
	if (packet->icmp_type == (six ? 128 : 8) || packet->icmp_type == (six ? 129 : 0))
		packet->from.port = packet->to.port = number(packet, packet->transport + 4, 2);
}

static enum reason transport(struct taken_apart *packet)
{
	static const struct {
		unsigned protocol, least;
		enum reason shorter;
	} headers[] = {
		{IPPROTO_TCP, 20, REASON_MALFORMED_TCP},
		{IPPROTO_UDP, 8, REASON_MALFORMED_UDP},
		{IPPROTO_SCTP, 12, REASON_MALFORMED_SCTP},
	};
	enum reason why = REASON_NONE;
	__u32 length;

	if (packet->transport > LATEST)
		return REASON_UNPARSED_EXTENSION;
	if (is_icmp(packet)) {
		if (packet->rest < 8)
			return packet->first_fragment ? REASON_FRAGMENT_TINY : REASON_MALFORMED_ICMP;
		icmp(packet);
		return REASON_NONE;
	}
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		if (packet->protocol != headers[i].protocol)
			continue;
		if (packet->rest < headers[i].least)
			return packet->first_fragment ? REASON_FRAGMENT_TINY : headers[i].shorter;
		if (packet->protocol == IPPROTO_TCP)
			why = tcp(packet);
		length = packet->protocol == IPPROTO_UDP ? number(packet, packet->transport + 4, 2) : 8;
		if (length < 8 || (!packet->first_fragment && length > packet->rest))
			return REASON_MALFORMED_UDP;
		/* flags are only known of a header that is whole, ports then too */
		if (why && why != REASON_MALFORMED_TCP_FLAGS)
			return why;
		packet->from.port = number(packet, packet->transport, 2);
		packet->to.port = number(packet, packet->transport + 2, 2);
		if (why)
			return why;
		if (!packet->to.port || (!packet->from.port && packet->protocol != IPPROTO_UDP))
			return REASON_MALFORMED_PORT;
	}
	return REASON_NONE;
}

enum reason take_apart(const __u8 *frame, size_t length, struct taken_apart *packet)
{
	enum reason why;
	__u32 type;

	memset(packet, 0, sizeof(*packet));
	packet->frame = frame;
	packet->length = length;
	why = link_layer(packet, &type);
	if (why)
		return why;
	if (type != 0x0800 && type != 0x86dd)
		return REASON_FLOOR;
	why = type == 0x0800 ? version4(packet) : version6(packet);
	return why || packet->later_fragment ? why : transport(packet);
}
