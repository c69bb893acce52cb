/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet as packet text describes it: packet_text.c reads the words, packet_build.c makes the bytes. */
#ifndef BULWARK_PACKET_SPEC_H
#define BULWARK_PACKET_SPEC_H

#include "judge.h"

enum packet_kind { PACKET_IP, PACKET_ARP, PACKET_ETHER, PACKET_HEX };

enum {
	SPEC_VLANS = 4,
	SPEC_EXTENSIONS = 24,
	SPEC_PAYLOAD_MAX = 1900,
	SPEC_DATA = 64,
	SPEC_NOT_GIVEN = -1,
};

struct extension {
	__u8 header;  /* IPPROTO_* */
	__u8 routing; /* type of a routing header */
	bool lies;    /* its length points beyond the packet */
};

struct packet_spec {
	enum packet_kind kind;
	__u8 protocol;
	bool ipv6;
	bool has_ports;
	bool open;
	bool icmp;			  /* named icmp or icmp6, not ip/N */
	__u8 source[16], destination[16]; /* IPv4 in the first four bytes */
	__u16 source_port, destination_port;

	__u16 vlans[SPEC_VLANS];
	unsigned vlan_count;
	struct extension extensions[SPEC_EXTENSIONS];
	unsigned extension_count;
	__u8 options[40]; /* IPv4 */
	unsigned option_bytes;
	__u8 tcp_flags;
	bool has_tcp_flags;
	__u16 mss; /* 0: no option */

	__u8 data[SPEC_DATA]; /* what the payload of TCP or UDP begins with; zeros follow, as many as `payload` asks for
			       */
	unsigned data_bytes;

	bool fragment, more;
	unsigned fragment_offset; /* bytes */

	/* SPEC_NOT_GIVEN: as it should be */
	int ttl, tos, payload, id, icmp_type, icmp_code, icmp_id;
	int ethertype, version, header_length, ip_length, data_offset, udp_length, cut;
	__u32 sequence, acknowledgement;

	struct packet_spec *quoted; /* owned; an ICMP error quotes it */
	__u8 hex[FRAME_MAX];
	size_t hex_length;
};

/* 0, or -EMSGSIZE: does not fit into a frame. */
int packet_build(const struct packet_spec *spec, struct frame *frame);

#endif
