/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of `explain` share: verb_explain.c (what is asked), explain_run.c (packets through the program),
 * explain_print.c (lines and objects), explain_summary.c (who would have been dropped). */
#ifndef BULWARK_EXPLAIN_H
#define BULWARK_EXPLAIN_H

#include "capture_file.h"
#include "connections.h"
#include "judge.h"
#include "output.h"

enum fate {
	FATE_JUDGED,
	FATE_SENT,   /* by this host: known to the program, not judged */
	FATE_CUT_OFF /* the capture ends before its headers do */
};

struct explained {		   /* one packet */
	unsigned long long number; /* from 1 */
	__u64 time_ns;
	size_t length; /* on the wire */
	enum fate fate;
	bool sent;	/* by this host: FATE_JUDGED when its egress program drops it */
	bool truncated; /* the capture kept only its beginning */
	struct packet_flow flow;
	struct decision decision; /* FATE_JUDGED; of FATE_SENT only what would drop it */
	const char *text;	  /* as given with --packet, or NULL */
};

struct summary; /* explain_summary.c */

struct explain {
	struct context *context;
	const char *policy_path; /* NULL: the live policy */
	const char *pcap;
	const char **packets;
	size_t packet_count;
	struct prefix *to;
	size_t to_count;
	struct prefix *own; /* of this host, where the live policy is asked about single packets without --to */
	size_t own_count;
	const char *zone; /* that packets come in by, or NULL */
	bool summarize;

	struct policy *policy;
	struct image image;
	struct generation *offline;
	struct connections *connections;
	struct summary *summary;
	char **line_places; /* by rule: where its line can be read; of a live policy its saved text, else NULL */
	size_t open_before;
	__u64 first_ns, now_ns;
	unsigned long long counts[VERDICT_COUNT], sent, cut_off;
	__u8 *whole; /* room for a packet that the capture cut short */
	size_t whole_size;
};

/* explain_run.c: enum exit_status, words are out. */
int explain_packets(struct explain *explain);
int explain_capture(struct explain *explain);

/* explain_print.c */
void explain_print(const struct explain *explain, const struct explained *packet);
void explain_print_end(const struct explain *explain);
/* The source of a packet as the program read it, or NULL. */
const char *explain_verdict(unsigned verdict);
const char *explain_path(const struct decision *decision); /* xdp, tc */
const char *explain_source(const struct explained *packet, char buffer[PREFIX_TEXT]);

/* explain_summary.c */
struct summary *summary_new(void);
void summary_free(struct summary *summary);
int summary_add(struct summary *summary, const struct explained *packet); /* 0 or -ENOMEM */
int summary_print(const struct explain *explain);			  /* enum exit_status */

#endif
