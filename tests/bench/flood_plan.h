/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The user side of the generator: what is asked (flood.c), the templates (flood_frames.c), the sources
 * (flood_sources.c). */
#ifndef BULWARK_BENCH_FLOOD_PLAN_H
#define BULWARK_BENCH_FLOOD_PLAN_H

#include <linux/types.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "flood.h"

enum flood_shape {
	SHAPE_SYN,
	SHAPE_SYN_PLAIN, /* without options */
	SHAPE_ACK,
	SHAPE_SYN_ACK,
	SHAPE_RST,
	SHAPE_FIN,
	SHAPE_UDP,
	SHAPE_UDP_MEDIUM,
	SHAPE_UDP_LARGE,
	SHAPE_ANSWER,
	SHAPE_FRAGMENT,
	SHAPE_ECHO, /* ICMP echo request */
};

enum flood_from {
	FROM_PUBLIC,  /* anywhere in public space */
	FROM_BLOCKED, /* --blocked */
	FROM_ONE,
	FROM_MANY, /* --sources addresses */
	FROM_COUNT,
};

struct flood_profile {
	const char *name;
	const char *help;
	enum flood_shape shape;
	enum flood_from from;
	bool ipv6;
	unsigned tags; /* VLAN tags */
	bool any_port; /* every packet to a port of its own */
};

/* What the packets are for. Addresses are 128 bits, IPv4 as ::ffff:a.b.c.d. */
struct flood_target {
	unsigned ifindex;
	__u8 from_mac[6], to_mac[6];
	__u8 address4[16], address6[16]; /* the destinations; all zero: not given */
	__u16 port;
};

#define CPUS_MAX 64

struct flood_bpf; /* the skeleton */

/* What is asked. */
struct run {
	struct flood_target target;
	const struct flood_profile *profiles[FLOOD_KINDS];
	struct flood_kind kinds[FLOOD_KINDS];
	unsigned kind_count;
	const char *blocked, *from, *interface;
	unsigned many;
	unsigned cpus[CPUS_MAX], cpu_count;
	double seconds;
	bool on_demand;		 /* flood_serve() */
	__u64 sent[FLOOD_KINDS]; /* what was printed already */
	__u64 rate, seed;	 /* packets a second, all CPUs together; 0: as many as go */
	unsigned batch;
	const char *capture; /* --replay: what is sent instead of profiles */
	double speed;	     /* times as fast as it was captured; 0: by rate */
	struct flood_capture *replay;
	struct flood_bpf *bpf;
	__u32 longest;
};

/* The packets of a capture, ready to be sent. */
struct flood_capture {
	struct flood_frame *frames;
	__u64 *at_ns; /* since the first */
	size_t count, room;
	__u64 duration_ns; /* of one turn, with the pause before the first comes again */
};

int flood_complain(const char *what, const char *about); /* says it and returns 2 */

/* (flood_replay.c) Reads run->capture into run->replay: 0, 2 or 3, with words. */
int flood_capture_read(struct run *run);
void flood_capture_free(struct flood_capture *capture);

/* (flood_send.c) Exit statuses: 0, 2 or 3, and the words are on standard error. */
void flood_heed_signals(void); /* they end a run early, in good order */
int flood_load(struct run *run);
int flood_send(struct run *run);  /* prints what was sent */
int flood_serve(struct run *run); /* says ready; each line on standard input is one flood_send() of so many seconds */
bool flood_seconds_sane(double seconds);
void flood_unload(struct run *run);

/* One's complement sum in memory order, not folded to 16 bits: even length. */
__u64 sum_words(const void *data, size_t length);

/* Builds the template of a profile; port 0: any. 0, or -EINVAL: the target has no address of that family. */
int flood_template(const struct flood_profile *profile, const struct flood_target *target, __u16 port,
		   struct flood_kind *kind);

struct flood_set {
	size_t first4, count4, first6, count6;
};

struct flood_sources {
	struct flood_source4 *v4;
	struct flood_source6 *v6;
	size_t count4, room4, count6, room6;
	struct flood_set sets[FROM_COUNT];
	__u64 random;
};

/* blocked: a prefix, a comma-separated row of them, or a file with one a line; NULL: that set stays empty. 0 or -errno,
 * and the words are on standard error. */
int flood_sources_make(struct flood_sources *sources, const char *blocked, const char *one, unsigned many, __u64 seed);
void flood_sources_free(struct flood_sources *sources);

#endif
