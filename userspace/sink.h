/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where events go beside the file: a syslog receiver (RFC 5424; UDP, TCP with octet counting, or a unix socket) or the
 * journal. Nothing here waits: what cannot be sent at once stands in a bounded queue, what finds it full is counted as
 * lost, and so is what a datagram receiver refuses. TCP gives no receipt: sent means given to the kernel.
 */
#ifndef BULWARK_SINK_H
#define BULWARK_SINK_H

#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>

struct sink;

struct sink_counts { /* offered = sent + lost + waiting */
	__u64 offered, sent, lost, waiting;
};

/* "udp:192.0.2.9:514", "tcp:[2001:db8::9]:601", "unix:/dev/log", "journal". 0, or -EINVAL; -ENOMEM. */
int sink_open(const char *target, struct sink **sink);
void sink_close(struct sink *sink); /* sends what it can without waiting */
const char *sink_target(const struct sink *sink);
/* One event: the document, and the same as a line of JSON. */
void sink_offer(struct sink *sink, const json_t *document, const char *line);
/* Sends what waits, connects again when it is time to. now: a clock that only goes forward. */
void sink_run(struct sink *sink, __u64 now_ns);
struct sink_counts sink_counts(const struct sink *sink);
/* What is wrong with the receiver, or "". */
const char *sink_trouble(const struct sink *sink);

#endif
