/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What flood.bpf.c (makes the packets) and flood.c (says which) share.
 *
 * A run mixes up to FLOOD_KINDS kinds of packets. User space builds one template frame a kind, with the sums of
 * everything that stays the same; the program copies it whole into every frame, because the receiver may have
 * written into the page, then fills in what varies and finishes the checksums.
 */
#ifndef BULWARK_BENCH_FLOOD_H
#define BULWARK_BENCH_FLOOD_H

#define FLOOD_KINDS 16
#define FLOOD_HEADERS 104 /* bytes of a template: two VLAN tags, IPv6, TCP with 20 bytes of options fit */
#define FLOOD_FRAME_MAX 1514

/* What varies from packet to packet, beside the source. */
enum {
	FLOOD_SOURCE_PORT = 1u << 0,	  /* 1024..65535 */
	FLOOD_DESTINATION_PORT = 1u << 1, /* 1..65535 */
	FLOOD_SEQUENCE = 1u << 2,	  /* TCP sequence number; ICMP identification and sequence number */
	FLOOD_AMPLIFIER = 1u << 3,	  /* the source port is one that reflectors answer from */
	FLOOD_FRAGMENT_ID = 1u << 4,	  /* the identification in the IPv6 fragment header */
};

struct flood_kind {
	__u32 length; /* of the frame; an odd one is refused */
	__u32 l3;     /* offset of the IP header */
	__u32 l4;     /* offset of the TCP, UDP or ICMP header, or of the IPv6 fragment header */
	__u32 check;  /* offset of its checksum; 0: the packet has none */
	__u32 ipv6;
	__u32 vary;	    /* FLOOD_* */
	__u32 until;	    /* a random byte below this (and not below the one before) picks this kind */
	__u32 source_first; /* its sources, a part of sources4 or sources6 */
	__u32 source_count;
	__u32 ip_sum; /* one's complement sum, in memory order, of the IPv4 header without what varies */
	__u32 l4_sum; /* of the pseudo header and the transport segment without what varies */
	__u32 alone;  /* the checksum is of the segment alone, without a pseudo header: ICMP */
	__u8 frame[FLOOD_HEADERS];
};
_Static_assert(sizeof(struct flood_kind) % 8 == 0, "templates are copied in words of eight bytes");

/* One set of source addresses: what is fixed, and the bits that are drawn. Network order. The program walks the
 * sets from start to end, so that a list of ten million costs it no cache misses; user space shuffles them. */
struct flood_source4 {
	__u32 address, host;
};
struct flood_source6 {
	__u64 high, low, host_high, host_low;
};

/* One packet of a capture that is sent again. */
struct flood_frame {
	__u32 length, unused;
	__u8 bytes[FLOOD_FRAME_MAX + 6];
};
_Static_assert(sizeof(struct flood_frame) == 1528, "a map's values are in words of eight bytes");

/* Per CPU. */
struct flood_state {
	__u64 random; /* xorshift64, never 0 */
	__u64 sent[FLOOD_KINDS];
	__u32 walk[FLOOD_KINDS];
};

#endif
