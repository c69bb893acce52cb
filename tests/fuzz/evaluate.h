/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a frame, decided slowly and on its own, from what bulwark-policy(5) says: no table, no hash, every
 * byte asked for one by one. Shares nothing with bpf/.
 */
#ifndef BULWARK_EVALUATE_H
#define BULWARK_EVALUATE_H

#include "../../include/reasons.h"
#include "../../userspace/policy.h"

struct end {
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 port;
};

struct taken_apart { /* a frame */
	const __u8 *frame;
	size_t length, network, transport, rest; /* rest: bytes of the datagram from the transport header on */
	int version;				 /* 4 or 6; 0: no IP */
	struct end from, to;
	unsigned protocol, ttl, flags, icmp_type, icmp_code;
	bool first_fragment, later_fragment;
	__u32 fragment_id;
};

struct told { /* what the evaluator says */
	enum verdict verdict;
	enum reason reason, would;
	const char *service; /* or NULL */
	struct taken_apart packet;
	bool unsure; /* a lifetime ends within a second of now */
};

struct evaluator;
struct evaluator *evaluator_new(const struct policy *policy);
void evaluator_free(struct evaluator *evaluator);
/* As before the first frame. own: which destinations are this host's, none: all are. */
void evaluator_reset(struct evaluator *evaluator, const struct prefix *own, size_t own_count);
struct told evaluate(struct evaluator *evaluator, const __u8 *frame, size_t length, __u64 now_ns);
/* True: nothing can be said from here on (something remembered was about to end, or no host sends such a frame). */
bool evaluate_sent(struct evaluator *evaluator, const __u8 *frame, size_t length, __u64 now_ns);
/* The connection of a frame is open from now on. */
void evaluate_open(struct evaluator *evaluator, const struct end *one, const struct end *other);
/* REASON_NONE: goes on; else the reason that ends it. */
enum reason take_apart(const __u8 *frame, size_t length, struct taken_apart *packet);

#endif
