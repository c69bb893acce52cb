/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Judging packets by the real compiled program, offline: private state, virtual clock. explain, a policy's tests, and
 * the lock-out guard stand on this.
 */
#ifndef BULWARK_JUDGE_H
#define BULWARK_JUDGE_H

#include "kernel.h"

/*
 * Packet text, one line (all words in packet_text.c and bulwark-policy(5)):
 *
 *   tcp 45.33.1.5:4000 > 192.0.2.10:443 syn
 *   udp [2001:db8::1]:53 > [2a01::1]:5353 len 200
 *   icmp 45.33.1.5 > 192.0.2.10 echo-request
 *
 * Builds a frame of at most FRAME_MAX bytes with right checksums. 0, or -EINVAL with words in `error`.
 */
#define FRAME_MAX 2048
struct frame {
	__u8 bytes[FRAME_MAX];
	size_t length;
	bool open; /* "open": the connection is to be put into the table first */
};
int packet_text(const char *text, struct frame *frame, char *error, size_t error_size);

/* Runs the policy's tests: through an offline generation. Failures go into report as errors at the test's place;
 * *passed counts. 0 even when tests fail (report says), -errno when it could not run. */
int judge_tests(const struct policy *policy, const struct image *image, struct generation *offline,
		struct report *report, size_t *passed);

/* What apply would do to people who are connected now. */
enum guard_who { GUARD_OPERATOR, GUARD_GATEWAY, GUARD_RESOLVER, GUARD_OWN, GUARD_PEER };
struct guard_finding {
	enum guard_who who;
	struct prefix source;
	__u8 local[16];	   /* own address of the connection */
	__u16 port;	   /* local port of the connection, 0: none */
	__u16 remote_port; /* of an outbound connection; local ones differ by chance. 0: inbound */
	bool open;	   /* its open connection would be cut; else a new one would be refused */
	struct decision decision;
	size_t more; /* further connections of the same source and port */
};
/* Tries operator, gateways, resolvers, own addresses and open connections through the candidate. findings owned by
 * caller. */
struct zone_member;
int guard_try(const struct host *host, const struct zone_member *zones, size_t zone_count, struct generation *offline,
	      struct guard_finding **findings, size_t *count);

/* "service", "block", "trusted", "default", "word"; as description.json has it */
const char *rule_kind_name(enum rule_kind kind);
/* "api.yaml:31 (service ssh)" */
const char *rule_text(const struct image *image, unsigned rule, char *buffer, size_t size);
const char *reason_name(unsigned reason); /* stable name */
const char *reason_sentence(unsigned reason);
int reason_by_name(const char *name);	    /* -ENOENT */
const char *verdict_name(unsigned verdict); /* pass, drop, reply, would-drop */

#endif
