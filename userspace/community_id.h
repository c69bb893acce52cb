/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Community ID, version 1, seed 0: the same flow has the same name in Zeek, Suricata, Wireshark and here. */
#ifndef BULWARK_COMMUNITY_ID_H
#define BULWARK_COMMUNITY_ID_H

#include <linux/types.h>
#include <stdbool.h>

#define COMMUNITY_ID_TEXT 32

struct community_flow {
	const __u8 *source, *destination;    /* 16 bytes each, IPv4 as ::ffff:a.b.c.d */
	__u16 source_port, destination_port; /* host order; ICMP: type, code */
	__u8 protocol;
	bool ipv6;
};

const char *community_id(const struct community_flow *flow, char text[COMMUNITY_ID_TEXT]);

#endif
