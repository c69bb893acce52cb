/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who speaks to whom in a frame, for the bookkeeping around offline judgement. The judgement itself is the program's.
 */
#ifndef BULWARK_PACKET_FLOW_H
#define BULWARK_PACKET_FLOW_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "../include/state.h"

#define FLOW_TCP_FIN 0x01
#define FLOW_TCP_SYN 0x02
#define FLOW_TCP_RST 0x04
#define FLOW_TCP_ACK 0x10

struct packet_flow {
	bool ip;    /* IPv4 or IPv6 with whole addresses */
	bool ports; /* the transport header is there and has ports */
	bool ipv6;
	bool later_fragment;
	__u8 protocol;	/* behind extension headers */
	__u8 tcp_flags; /* with ports */
	__u8 source[16], destination[16];
	__u16 source_port, destination_port;
};

/*
 * Reads the headers of a frame. original: its length on the wire; length: what there is of it. 0, or -EINVAL when the
 * frame was cut off before its headers end: what it was cannot be said.
 */
int packet_flow(const void *frame, size_t length, size_t original, struct packet_flow *flow);

/*
 * A frame without its VLAN tags: what the hook at egress sees, where the tags are beside the packet. copy holds length
 * bytes; returns the frame to use, frame itself when it has none.
 */
const void *packet_untagged(const void *frame, size_t *length, void *copy);

/* The key of its connection, the ends in canonical order; true when the source is the second end. */
bool packet_connection(const struct packet_flow *flow, struct connection_key *key);

#endif
