/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Template frames of the generator: real headers, with the sums of what stays the same. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "flood_plan.h"

/* What Linux sends in a SYN: MSS 1460, SACK, timestamps, NOP, window scale 7. 20 bytes, so an IPv4 SYN has 74. */
static const __u8 syn_options[20] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 1, 3, 3, 7};
/* and in every later segment: NOP, NOP, timestamps */
static const __u8 ack_options[12] = {1, 1, 8, 10, 0x12, 0x34, 0x56, 0x78, 0x23, 0x45, 0x67, 0x89};

#define UDP_PAYLOAD 18 /* a frame of 60 bytes, the least Ethernet has (without its check sequence) */
#define UDP_PAYLOAD_MEDIUM 552
#define UDP_PAYLOAD_LARGE 1472 /* as long as Ethernet goes */
#define ANSWER_PAYLOAD 440     /* an NTP monlist answer */
#define FRAGMENT_PAYLOAD 32
#define ECHO_BYTES 64	    /* what ping sends: 56 bytes behind the header */
#define FRAGMENT_OFFSET 185 /* in units of eight: 1480, where the second fragment of a large packet starts */

__u64 sum_words(const void *data, size_t length)
{
	__u64 sum = 0;
	__u16 word;
	size_t at;

	for (at = 0; at + 2 <= length; at += 2) {
		memcpy(&word, (const __u8 *)data + at, 2);
		sum += word;
	}
	return sum;
}

static size_t put_ethernet(const struct flood_profile *profile, const struct flood_target *target, __u8 *frame)
{
	__u16 ether_type = htons(profile->ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	size_t at = 12;
	unsigned tag;

	memcpy(frame, target->to_mac, 6);
	memcpy(frame + 6, target->from_mac, 6);
	for (tag = profile->tags; tag; tag--, at += 4) {
		__u16 words[2] = {htons(tag == 2 ? 0x88a8 : ETHERTYPE_VLAN), htons(100 + tag)};

		memcpy(frame + at, words, 4);
	}
	memcpy(frame + at, &ether_type, 2);
	return at + 2;
}

static size_t put_ipv4(const struct flood_target *target, __u8 protocol, bool fragment, size_t payload, __u8 *at)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(ip) + payload),
		.frag_off = htons(fragment ? FRAGMENT_OFFSET : IP_DF),
		.ttl = 57,
		.protocol = protocol,
	};

	memcpy(&ip.daddr, target->address4 + 12, 4);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t put_ipv6(const struct flood_target *target, __u8 protocol, bool fragment, size_t payload, __u8 *at)
{
	struct ip6_hdr ip = {.ip6_hlim = 57, .ip6_nxt = fragment ? IPPROTO_FRAGMENT : protocol};
	struct ip6_frag piece = {.ip6f_nxt = protocol, .ip6f_offlg = htons(FRAGMENT_OFFSET << 3)};

	ip.ip6_flow = htonl(6 << 28);
	ip.ip6_plen = htons(payload + (fragment ? sizeof(piece) : 0));
	memcpy(&ip.ip6_dst, target->address6, 16);
	memcpy(at, &ip, sizeof(ip));
	if (fragment)
		memcpy(at + sizeof(ip), &piece, sizeof(piece));
	return sizeof(ip);
}

static const struct tcp_shape {
	const __u8 *options;
	size_t option_bytes;
	bool syn, ack, rst, fin;
} tcp_shapes[] = {
	[SHAPE_SYN] = {syn_options, sizeof(syn_options), .syn = true},
	[SHAPE_SYN_PLAIN] = {.syn = true},
	[SHAPE_ACK] = {ack_options, sizeof(ack_options), .ack = true},
	[SHAPE_SYN_ACK] = {syn_options, sizeof(syn_options), .syn = true, .ack = true},
	[SHAPE_RST] = {.rst = true},
	[SHAPE_FIN] = {ack_options, sizeof(ack_options), .ack = true, .fin = true},
};

static bool is_tcp(enum flood_shape shape)
{
	return shape < sizeof(tcp_shapes) / sizeof(tcp_shapes[0]);
}

static __u8 protocol_of(const struct flood_profile *profile)
{
	if (profile->shape == SHAPE_ECHO)
		return profile->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	return is_tcp(profile->shape) ? IPPROTO_TCP : IPPROTO_UDP;
}

static void put_tcp(const struct tcp_shape *shape, __u16 port, __u8 *at)
{
	struct tcphdr tcp = {
		.dest = htons(port),
		.doff = (sizeof(tcp) + shape->option_bytes) / 4,
		.syn = shape->syn,
		.ack = shape->ack,
		.rst = shape->rst,
		.fin = shape->fin,
		.ack_seq = shape->ack ? htonl(0x31415926) : 0,
		.window = htons(shape->syn ? 64240 : 502),
	};

	memcpy(at, &tcp, sizeof(tcp));
	if (shape->option_bytes)
		memcpy(at + sizeof(tcp), shape->options, shape->option_bytes);
}

static size_t transport_length(const struct flood_profile *profile)
{
	if (is_tcp(profile->shape))
		return sizeof(struct tcphdr) + tcp_shapes[profile->shape].option_bytes;
	switch (profile->shape) {
	case SHAPE_UDP:
		return sizeof(struct udphdr) + UDP_PAYLOAD;
	case SHAPE_UDP_MEDIUM:
		return sizeof(struct udphdr) + UDP_PAYLOAD_MEDIUM;
	case SHAPE_UDP_LARGE:
		return sizeof(struct udphdr) + UDP_PAYLOAD_LARGE;
	case SHAPE_ANSWER:
		return sizeof(struct udphdr) + ANSWER_PAYLOAD;
	case SHAPE_ECHO:
		return ECHO_BYTES;
	default:
		return FRAGMENT_PAYLOAD;
	}
}

static void put_udp(const struct flood_profile *profile, __u16 port, struct flood_kind *kind)
{
	struct udphdr udp = {.dest = htons(port), .len = htons(transport_length(profile))};

	memcpy(kind->frame + kind->l4, &udp, sizeof(udp));
	kind->check = kind->l4 + offsetof(struct udphdr, check);
	kind->vary = profile->shape == SHAPE_ANSWER ? FLOOD_AMPLIFIER : FLOOD_SOURCE_PORT;
}

/* The transport header at l4, and what of it varies. */
static void put_transport(const struct flood_profile *profile, __u16 port, struct flood_kind *kind)
{
	__u8 *at = kind->frame + kind->l4;

	if (profile->shape == SHAPE_FRAGMENT) {
		kind->vary = kind->ipv6 ? FLOOD_FRAGMENT_ID : 0;
		return;
	}
	if (profile->shape == SHAPE_ECHO) {
		*at = kind->ipv6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
		kind->check = kind->l4 + offsetof(struct icmphdr, checksum);
		kind->vary = FLOOD_SEQUENCE;
		kind->alone = !kind->ipv6;
		return;
	}
	if (is_tcp(profile->shape)) {
		put_tcp(&tcp_shapes[profile->shape], port, at);
		kind->check = kind->l4 + offsetof(struct tcphdr, check);
		kind->vary = FLOOD_SOURCE_PORT | FLOOD_SEQUENCE;
	} else {
		put_udp(profile, port, kind);
	}
	if (!port)
		kind->vary |= FLOOD_DESTINATION_PORT;
}

static void add_sums(__u8 protocol, size_t transport, struct flood_kind *kind)
{
	const __u8 *ip = kind->frame + kind->l3;
	size_t in_template = FLOOD_HEADERS - kind->l4;

	if (in_template > transport)
		in_template = transport; /* what lies beyond the template is zero */
	if (!kind->ipv6)
		kind->ip_sum = sum_words(ip, sizeof(struct iphdr));
	kind->l4_sum = sum_words(kind->frame + kind->l4, in_template);
	if (!kind->alone)
		kind->l4_sum += htons(protocol) + htons(transport) +
				(kind->ipv6 ? sum_words(ip + 24, 16) : sum_words(ip + 16, 4));
}

int flood_template(const struct flood_profile *profile, const struct flood_target *target, __u16 port,
		   struct flood_kind *kind)
{
	static const __u8 nowhere[16];
	bool fragment = profile->shape == SHAPE_FRAGMENT;
	__u8 protocol = protocol_of(profile);
	size_t transport = transport_length(profile);

	if (!memcmp(profile->ipv6 ? target->address6 : target->address4, nowhere, 16))
		return -EINVAL;
	*kind = (struct flood_kind){.ipv6 = profile->ipv6};
	kind->l3 = put_ethernet(profile, target, kind->frame);
	kind->l4 = kind->l3 + (profile->ipv6 ? put_ipv6(target, protocol, fragment, transport, kind->frame + kind->l3)
					     : put_ipv4(target, protocol, fragment, transport, kind->frame + kind->l3));
	put_transport(profile, port, kind);
	add_sums(protocol, transport, kind);
	kind->length = kind->l4 + transport + (fragment && profile->ipv6 ? sizeof(struct ip6_frag) : 0);
	if (kind->length < ETH_ZLEN)
		kind->length = ETH_ZLEN;
	return 0;
}
