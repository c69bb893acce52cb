/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who sends most: rates by source or prefix from the packets that the programs sampled (include/sampling.h), each with
 * its error. Pure: no kernel, no file.
 *
 * A sample of weight w stands for w packets and was one of w alike; the variance of a sum of such is estimated by the
 * sum of w * (w - 1) over the samples in it (Horvitz and Thompson 1952, one unit of each block). The error that is said
 * is two standard errors: 95 of 100 times the truth lies within. Whoever is not above zero by three standard errors is
 * not named at all, nor who sends a smaller part than is asked for, so that none of a million spoofed sources, each
 * seen once, looks like somebody who sends much. What was not thinned out, because few came, has no error.
 */
#ifndef BULWARK_HITTERS_H
#define BULWARK_HITTERS_H

#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "../include/state.h"
#include "policy.h"

#define HITTER_V4_LENGTH 24 /* what counts as one network */
#define HITTER_V6_LENGTH 48
#define SOURCE_V6_LENGTH 64 /* as one source */

struct weighed_sample {
	struct packet_sample sample;
	double weight; /* packets a second that it stands for */
};

/*
 * The samples of the last `window_ns` from the rings of all CPUs, [SAMPLES_A_CPU][cpus]; now_ns: coarse monotonic
 * clock. A ring that is shorter than the window tells of as much time as it holds. The caller's (free); 0 or -ENOMEM.
 */
int samples_weigh(const struct packet_sample *rings, int cpus, __u64 now_ns, __u64 window_ns,
		  struct weighed_sample **samples, size_t *count);

struct estimate { /* packets a second */
	double rate, variance;
};
double estimate_error(const struct estimate *estimate);
/* 0 to 1, and the error of it. part is one of whole. */
double estimate_share(const struct estimate *part, const struct estimate *whole, double *error);

enum hitter_order { HITTERS_BY_REFUSED, HITTERS_BY_PASSED, HITTERS_BY_NAME };
struct hitter_query {
	enum hitter_order order;
	int service; /* row; -1: of all */
	unsigned v4_length, v6_length;
	unsigned sources_least; /* that were seen in it, to be named */
	double part_least;	/* of all that was refused, or passed: likewise */
	size_t most;
};

struct hitter {
	struct prefix prefix;
	struct estimate passed, refused; /* refused: dropped, answered with a cookie, or would be dropped */
	unsigned sources;		 /* different ones among the samples */
	unsigned reason;		 /* most were refused for, enum reason; 0: none was */
};

struct hitters {
	enum hitter_order order;
	struct estimate arrived, refused;  /* all that the query is about */
	struct estimate strangers, judged; /* of what came: from sources without a history, of those it was asked of */
	double refused_most;  /* of what is refused, from the prefix that most of it is from; 0: none is certain */
	struct hitter *items; /* in order */
	size_t count;
};
/* 0 or -ENOMEM; hitters_free() in both cases. */
int hitters_find(const struct weighed_sample *samples, size_t count, const struct hitter_query *query,
		 struct hitters *hitters);
void hitters_free(struct hitters *hitters);

/* Of what comes to a service, 0: to none: the networks that most of it is from; in the order of what is refused or of
 * what passes, whichever is more. Likewise. */
#define NETWORKS_NAMED 5
int hitters_networks(const struct weighed_sample *samples, size_t count, int service, struct hitters *hitters);
/* The part of the i-th, 0 to 1, of what they are in the order of. */
double hitters_share(const struct hitters *hitters, size_t i, double *error);
/* [{"prefix", "share", "share_error", "sources"}]; the caller's */
json_t *hitters_json(const struct hitters *hitters);
/* Thousandths plus one, as stances have them; 0: not known. */
__u16 hitters_concentration(const struct hitters *hitters); /* of what is refused, from the largest network */
__u16 hitters_strangers(const struct hitters *hitters);	    /* of what came, from sources without a history */
double stance_share(__u16 thousandths);			    /* 0 to 1; 0: not known, too */
json_t *stance_share_json(__u16 thousandths);		    /* likewise, but null when it is not known */

#endif
