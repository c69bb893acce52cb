/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packet text, second half: the bytes of a frame, lies included where the text asks for them. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "packet_spec.h"

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP_FRAME = 0x0806,
	ETHERTYPE_VLAN_TAG = 0x8100,
	ETHERTYPE_IPV6_FRAME = 0x86dd,
	ETHERTYPE_QINQ = 0x88a8,
	FRAME_MIN = 60, /* shorter ones are padded on the wire */
	FLAG_MORE = 0x2000,
};

struct bytes { /* grows at its end; once something did not fit it stays `full` */
	__u8 data[FRAME_MAX];
	size_t length;
	bool full;
};

static __u8 *grow(struct bytes *bytes, size_t length)
{
	__u8 *at = bytes->data + bytes->length;

	if (bytes->full || length > sizeof(bytes->data) - bytes->length) {
		bytes->full = true;
		return NULL;
	}
	memset(at, 0, length);
	bytes->length += length;
	return at;
}

static void put(struct bytes *bytes, const void *data, size_t length)
{
	__u8 *at = grow(bytes, length);

	if (at)
		memcpy(at, data, length);
}

static void put8(struct bytes *bytes, unsigned value)
{
	__u8 data = value;

	put(bytes, &data, 1);
}

static void put16(struct bytes *bytes, unsigned value)
{
	__u8 data[2] = {value >> 8, value};

	put(bytes, data, 2);
}

static void put32(struct bytes *bytes, __u32 value)
{
	put16(bytes, value >> 16);
	put16(bytes, value & 0xffff);
}

static void set16(__u8 *at, unsigned value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static int given(int value, int otherwise)
{
	return value == SPEC_NOT_GIVEN ? otherwise : value;
}

/* ---- checksums ---- */

static __u32 sum(const __u8 *data, size_t length, __u32 start)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		start += data[i] << 8 | data[i + 1];
	if (length & 1)
		start += data[length - 1] << 8;
	return start;
}

static __u16 fold(__u32 value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return ~value;
}

static __u16 transport_checksum(const struct packet_spec *spec, const struct bytes *transport)
{
	size_t size = spec->ipv6 ? 16 : 4;
	__u32 start = sum(spec->source, size, 0);

	start = sum(spec->destination, size, start);
	return fold(sum(transport->data, transport->length, start + spec->protocol + transport->length));
}

/* SCTP, RFC 4960 appendix B; transmitted least significant byte first. */
static void put_crc32c(struct bytes *transport, size_t at)
{
	__u32 crc = ~0u;

	for (size_t i = 0; i < transport->length; i++) {
		crc ^= transport->data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		transport->data[at + i] = crc >> 8 * i;
}

/* ---- transport ---- */

static unsigned payload_bytes(const struct packet_spec *spec)
{
	return given(spec->payload, (int)spec->data_bytes);
}

static void put_payload(const struct packet_spec *spec, struct bytes *out)
{
	unsigned length = payload_bytes(spec);
	__u8 *at = grow(out, length);

	if (at)
		memcpy(at, spec->data, spec->data_bytes < length ? spec->data_bytes : length);
}

static void build_tcp(const struct packet_spec *spec, struct bytes *out)
{
	unsigned words = 5 + (spec->mss ? 1 : 0);

	put16(out, spec->source_port);
	put16(out, spec->destination_port);
	put32(out, spec->sequence);
	put32(out, spec->acknowledgement);
	put8(out, given(spec->data_offset, words) << 4);
	put8(out, spec->tcp_flags);
	put16(out, 64240);
	put32(out, 0);
	if (spec->mss)
		put32(out, 0x02040000u | spec->mss);
	put_payload(spec, out);
	if (!out->full)
		set16(out->data + 16, transport_checksum(spec, out));
}

static void build_udp(const struct packet_spec *spec, struct bytes *out)
{
	unsigned length = 8 + payload_bytes(spec);
	__u16 checksum;

	put16(out, spec->source_port);
	put16(out, spec->destination_port);
	put16(out, given(spec->udp_length, length));
	put16(out, 0);
	put_payload(spec, out);
	if (out->full)
		return;
	checksum = transport_checksum(spec, out);
	set16(out->data + 6, checksum ? checksum : 0xffff);
}

static void build_sctp(const struct packet_spec *spec, struct bytes *out)
{
	put16(out, spec->source_port);
	put16(out, spec->destination_port);
	put32(out, spec->sequence);
	put32(out, 0);
	grow(out, given(spec->payload, 0));
	if (!out->full)
		put_crc32c(out, 8);
}

/* What follows the four common bytes of an ICMP message. */
static void build_icmp_body(const struct packet_spec *spec, struct bytes *out)
{
	enum {
		SOLICIT = 135,
		ADVERTISE = 136,
		ROUTER_ADVERTISEMENT = 134,
		REDIRECT6 = 137,
		MLD_FIRST = 130,
		MLD_LAST = 132
	};
	int type = spec->icmp_type;

	put16(out, given(spec->icmp_id, 1));
	put16(out, 1);
	if (spec->ipv6 && (type == SOLICIT || type == ADVERTISE || (type >= MLD_FIRST && type <= MLD_LAST)))
		put(out, spec->destination, 16);
	else if (spec->ipv6 && type == ROUTER_ADVERTISEMENT)
		grow(out, 8);
	else if (spec->ipv6 && type == REDIRECT6)
		grow(out, 32);
	else
		grow(out, given(spec->payload, 0));
}

static void build_ip(const struct packet_spec *spec, struct bytes *out);

static void build_icmp(const struct packet_spec *spec, struct bytes *out)
{
	struct bytes quoted = {0};

	put8(out, given(spec->icmp_type, 0));
	put8(out, given(spec->icmp_code, 0));
	put16(out, 0);
	if (spec->quoted) {
		put32(out, spec->icmp_type == (spec->ipv6 ? 2 : 3) ? 1400 : 0); /* the MTU, where there is one */
		build_ip(spec->quoted, &quoted);
		put(out, quoted.data, quoted.length);
		out->full |= quoted.full;
	} else {
		build_icmp_body(spec, out);
	}
	if (out->full)
		return;
	if (spec->ipv6)
		set16(out->data + 2, transport_checksum(spec, out));
	else
		set16(out->data + 2, fold(sum(out->data, out->length, 0)));
}

static void build_igmp(const struct packet_spec *spec, struct bytes *out)
{
	put32(out, 0x16000000); /* version 2 membership report */
	put(out, spec->destination, 4);
	if (!out->full)
		set16(out->data + 2, fold(sum(out->data, out->length, 0)));
}

static void build_transport(const struct packet_spec *spec, struct bytes *out)
{
	if (spec->fragment && spec->fragment_offset) /* the header was in the first one */
		grow(out, given(spec->payload, 64));
	else if (spec->protocol == IPPROTO_TCP && spec->has_ports)
		build_tcp(spec, out);
	else if (spec->protocol == IPPROTO_UDP && spec->has_ports)
		build_udp(spec, out);
	else if (spec->protocol == IPPROTO_SCTP && spec->has_ports)
		build_sctp(spec, out);
	else if (spec->icmp_type != SPEC_NOT_GIVEN)
		build_icmp(spec, out);
	else if (spec->protocol == IPPROTO_IGMP && !spec->ipv6 && spec->payload == SPEC_NOT_GIVEN)
		build_igmp(spec, out);
	else
		grow(out, given(spec->payload, 16));
	/* all fragments but the last carry a multiple of eight bytes */
	if (spec->fragment && spec->more && spec->payload == SPEC_NOT_GIVEN && out->length % 8)
		grow(out, 8 - out->length % 8);
}

/* ---- network ---- */

static __u8 extension_at(const struct packet_spec *spec, unsigned index)
{
	if (index < spec->extension_count)
		return spec->extensions[index].header;
	return spec->protocol;
}

static void put_extension(const struct packet_spec *spec, unsigned index, struct bytes *out)
{
	const struct extension *extension = &spec->extensions[index];
	__u8 next = extension_at(spec, index + 1);

	if (extension->header == IPPROTO_FRAGMENT) {
		put16(out, next << 8);
		put16(out, (spec->fragment_offset & ~7u) | (spec->more ? 1 : 0));
		put32(out, given(spec->id, 0x1234));
		return;
	}
	put8(out, next);
	if (extension->header == IPPROTO_AH) { /* length in words of four bytes, less two */
		put8(out, extension->lies ? 255 : 4);
		grow(out, 22);
		return;
	}
	put8(out, extension->lies ? 255 : 0);
	if (extension->header == IPPROTO_ROUTING) {
		put8(out, extension->routing);
		put8(out, extension->routing ? 0 : 1); /* segments left */
		put32(out, 0);
		return;
	}
	put16(out, 0x0104); /* PadN over the remaining six bytes */
	put32(out, 0);
}

static void build_ipv6(const struct packet_spec *spec, const struct bytes *transport, struct bytes *out)
{
	size_t start = out->length;

	put32(out, (__u32)given(spec->version, 6) << 28 | (__u32)given(spec->tos, 0) << 20);
	put16(out, 0);
	put8(out, extension_at(spec, 0));
	put8(out, given(spec->ttl, 64));
	put(out, spec->source, 16);
	put(out, spec->destination, 16);
	for (unsigned i = 0; i < spec->extension_count; i++)
		put_extension(spec, i, out);
	put(out, transport->data, transport->length);
	if (!out->full)
		set16(out->data + start + 4, given(spec->ip_length, out->length - start - 40));
}

static void build_ipv4(const struct packet_spec *spec, const struct bytes *transport, struct bytes *out)
{
	unsigned words = 5 + spec->option_bytes / 4;
	size_t start = out->length;
	bool ah = spec->extension_count; /* only AH is possible here */
	unsigned flags = spec->fragment ? spec->fragment_offset / 8 : 0;

	put8(out, given(spec->version, 4) << 4 | given(spec->header_length, words));
	put8(out, given(spec->tos, 0));
	put16(out, 0);
	put16(out, given(spec->id, 0x1234));
	put16(out, flags | (spec->more ? FLAG_MORE : 0));
	put8(out, given(spec->ttl, 64));
	put8(out, ah ? IPPROTO_AH : spec->protocol);
	put16(out, 0);
	put(out, spec->source, 4);
	put(out, spec->destination, 4);
	put(out, spec->options, spec->option_bytes);
	for (unsigned i = 0; i < spec->extension_count; i++)
		put_extension(spec, i, out);
	put(out, transport->data, transport->length);
	if (out->full)
		return;
	set16(out->data + start + 2, given(spec->ip_length, out->length - start));
	set16(out->data + start + 10, fold(sum(out->data + start, words * 4, 0)));
}

static void build_ip(const struct packet_spec *spec, struct bytes *out)
{
	struct bytes transport = {0};

	build_transport(spec, &transport);
	out->full |= transport.full;
	if (spec->ipv6)
		build_ipv6(spec, &transport, out);
	else
		build_ipv4(spec, &transport, out);
}

/* ---- link ---- */

static void build_arp(const struct packet_spec *spec, const __u8 mac[6], struct bytes *out)
{
	put16(out, 1);
	put16(out, ETHERTYPE_IPV4);
	put16(out, 6 << 8 | 4);
	put16(out, 1); /* request */
	put(out, mac, 6);
	put(out, spec->source, 4);
	grow(out, 6);
	put(out, spec->destination, 4);
}

static void destination_mac(const struct packet_spec *spec, __u8 mac[6])
{
	static const __u8 node[6] = {0x52, 0x54, 0x00, 0x5b, 0x1d, 0x02}, everybody[4] = {255, 255, 255, 255};
	const __u8 *to = spec->destination;

	memcpy(mac, node, 6);
	if (spec->kind == PACKET_ARP || (!spec->ipv6 && !memcmp(to, everybody, 4))) {
		memset(mac, 0xff, 6);
	} else if (spec->ipv6 && to[0] == 0xff) {
		mac[0] = mac[1] = 0x33;
		memcpy(mac + 2, to + 12, 4);
	} else if (!spec->ipv6 && to[0] >= 224 && to[0] < 240) {
		memcpy(mac, (const __u8[]){0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]}, 6);
	}
}

static unsigned ethertype_of(const struct packet_spec *spec)
{
	if (spec->ethertype != SPEC_NOT_GIVEN)
		return spec->ethertype;
	if (spec->kind == PACKET_ARP)
		return ETHERTYPE_ARP_FRAME;
	return spec->ipv6 ? ETHERTYPE_IPV6_FRAME : ETHERTYPE_IPV4;
}

int packet_build(const struct packet_spec *spec, struct frame *frame)
{
	static const __u8 from[6] = {0x52, 0x54, 0x00, 0x5b, 0x1d, 0x01};
	struct bytes out = {0};
	size_t network;
	__u8 to[6];

	destination_mac(spec, to);
	put(&out, to, 6);
	put(&out, from, 6);
	for (unsigned i = 0; i < spec->vlan_count; i++) {
		put16(&out, i + 1 < spec->vlan_count ? ETHERTYPE_QINQ : ETHERTYPE_VLAN_TAG);
		put16(&out, spec->vlans[i]);
	}
	put16(&out, ethertype_of(spec));
	network = out.length;
	if (spec->kind == PACKET_ARP)
		build_arp(spec, from, &out);
	else if (spec->kind == PACKET_ETHER)
		grow(&out, given(spec->payload, 46));
	else if (spec->kind == PACKET_IP)
		build_ip(spec, &out);
	else
		out.length = 0;
	put(&out, spec->hex, spec->hex_length);
	if (out.full)
		return -EMSGSIZE;
	if (spec->cut != SPEC_NOT_GIVEN && out.length > network + spec->cut)
		out.length = network + spec->cut;
	else if (spec->kind != PACKET_HEX && out.length < FRAME_MIN)
		grow(&out, FRAME_MIN - out.length);
	memcpy(frame->bytes, out.data, out.length);
	frame->length = out.length;
	frame->open = spec->open;
	return 0;
}
