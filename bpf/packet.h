/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of a packet after parsing. */
#ifndef BULWARK_PACKET_H
#define BULWARK_PACKET_H

/* 128 bits in network order, IPv4 as ::ffff:a.b.c.d, so that both families share every path behind the parser. */
union address {
	__u8 byte[16];
	__be32 word[4];
	__be64 half[2];
};

/* Both ends as the packet names them. Ports in host order; ICMP echo: the identifier in both, else 0. */
struct flow {
	union address source, destination;
	__u16 source_port, destination_port;
	__u8 protocol; /* after IPv6 extension headers */
	__u8 ipv6;
	__u8 zone; /* by the interface that it came in on; 0: none */
	__u8 unused;
};

enum fragment {
	FRAGMENT_NOT = 0,
	FRAGMENT_FIRST = 1, /* offset 0 and more to come: has its transport header */
	FRAGMENT_LATER = 2,
};

/* Whose budget of cookies a SYN is answered from (overload.h). */
enum standing {
	STANDING_STRANGER = 0,
	STANDING_KNOWN = 1, /* its source has completed a handshake lately */
	STANDING_AGAIN = 2, /* it was sent before, and not answered */
};

enum offence { OFFENCE_NOT = 0, OFFENCE_IN_CONNECTION = 1 };

struct packet {
	struct flow flow;
	__u32 length;	   /* of the frame */
	__u32 fragment_id; /* host order */
	__u16 l3, l4;	   /* offsets of the headers from the start of the frame */
	__u16 l4_length;   /* bytes from the transport header to the end of the datagram */
	__u16 vlan;	   /* outermost id, 0: none */
	__u8 fragment;	   /* enum fragment */
	__u8 tcp_flags;
	__u8 icmp_type, icmp_code;
	__u8 ttl;
	__u8 extensions : 1; /* IPv6 extension headers were there */
	__u8 standing : 2;   /* of a SYN that may be answered with a cookie: enum standing */
	__u8 follow : 1;     /* merely routed, and its connection is to be counted from now on (routed.h) */
	/* what the questions found out; bits, where a byte more would be too much for the stack of 6.1 */
	__u8 pass_anyway; /* the reason normally drops, this packet passes (stray within its budget, default: pass) */
	__u8 open_before;
	__u8 forwarded : 1; /* for somebody behind this host */
	__u8 checks : 1;    /* its source is in a list of health checks */
	__u8 listens : 1;   /* it met only a listener here */
	__u8 completes : 1; /* it met a half-open connection: its handshake may be complete now */
	__u8 handshake : 1; /* brings back a SYN cookie of ours: the source completed a handshake */
	__u8 over : 1;	 /* a SYN over a limit of new connections: dropped, unless it can be answered with a cookie */
	__u8 proven : 1; /* inside an open connection to a service */
	__u8 completed : 1;   /* the bare ACK of a handshake, with its numbers: the source completed it */
	__u8 offence : 1;     /* dropped inside an open connection, by a limit that may ban: OFFENCE_* */
	__u8 established : 1; /* its connection is, says the kernel's look-up */
	__u8 settled : 1;     /* what its stream began with has been judged and taken, see stream_settled() */
	__u8 tells_end : 1;   /* its socket tells sockops when it closes */
	__u8 would;	      /* reason of the first monitored rule that would have dropped it */
	__u16 class;
	__u16 rule, would_rule, over_rule;
	__u16 service; /* index, 0: none */
	__u16 row;     /* of the service in its counters, 0: none */
};

/*
 * Questions that have many paths are global functions (no `static`): the verifier judges each once, on its own, instead
 * of once for every path that leads to it. Their pointers can be NULL as far as it knows; that never happens.
 */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_ECE 0x40
#define TCP_CWR 0x80

#define ADDRESS_BITS 128
#define TCP_HEADER_MOST 60 /* bytes */
#define OPTIONS_ROOM 64	   /* bytes: TCP options, and what a mask makes of their length */

static __always_inline int same_address(const union address *a, const union address *b)
{
	return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

/* Whether the address is one of IPv4. */
static __always_inline int is_mapped(const union address *address)
{
	return !address->half[0] && address->word[2] == bpf_htonl(0xffff);
}

/*
 * Addresses are written in the halves they are read in. A load that spans two younger stores cannot be forwarded from
 * them: it waits until both have reached the cache, so until all that came before has retired, a read of the last
 * packet's table entry from memory included.
 */
static __always_inline void address_from_v4(union address *address, __be32 v4)
{
	address->half[0] = 0;
	address->half[1] = bpf_cpu_to_be64(0xffffULL << 32 | bpf_ntohl(v4));
}

static __always_inline void address_from_v6(union address *address, const struct in6_addr *v6)
{
	const union address *wire = (const void *)v6;

	address->half[0] = wire->half[0];
	address->half[1] = wire->half[1];
}

/*
 * A length of 1 to `most`, a power of two, as a helper wants it: the verifier of 6.1 follows a mask, but neither
 * comparisons of a copy nor that a number is not 0.
 */
static __always_inline __u32 span(__u32 length, __u32 most)
{
	__u32 last = length - 1;

	asm volatile("" : "+r"(last));
	return (last & (most - 1)) + 1;
}

#endif
