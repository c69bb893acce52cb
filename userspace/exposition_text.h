/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How metrics are written down: Prometheus text 0.0.4 and OpenMetrics 1.0.0, from the same calls. */
#ifndef BULWARK_EXPOSITION_TEXT_H
#define BULWARK_EXPOSITION_TEXT_H

#include <linux/types.h>
#include <stdio.h>

#include "../include/state.h"

enum exposition_format { EXPOSITION_PROMETHEUS, EXPOSITION_OPENMETRICS };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_INFO, METRIC_HISTOGRAM };

struct exposition_text {
	FILE *out;
	enum exposition_format format;
	const char *name; /* of the running family, without the suffix of its type */
	enum metric_type type;
};

/* Begins a family: its HELP and TYPE. name without _total or _info: the type brings them. */
void metric_family(struct exposition_text *text, enum metric_type type, const char *name, const char *help);
/* One sample of the running family; then pairs of label and value (UTF-8 or not, "" is left out), ended by NULL. */
void metric_count(struct exposition_text *text, __u64 value, ...) __attribute__((sentinel));
void metric_number(struct exposition_text *text, double value, ...) __attribute__((sentinel));
/* All samples of one histogram of the running family; its values count units of so many seconds (or whatever). */
void metric_histogram(struct exposition_text *text, const struct histogram *histogram, double unit, const char *label,
		      const char *value);
void exposition_end(struct exposition_text *text);

/* What a client asked for (the Accept header, may be NULL). Prometheus text unless it prefers the other. */
enum exposition_format exposition_negotiate(const char *accept);
const char *exposition_content_type(enum exposition_format format);

#endif
