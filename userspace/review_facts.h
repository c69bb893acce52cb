/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What `bulwark report` concludes from the log: which clients that had proved themselves met a drop, which limits are
 * too tight or met nobody, which services nobody used, which feeds are stale, how long attacks went unseen and
 * unhindered.
 */
#ifndef BULWARK_REVIEW_FACTS_H
#define BULWARK_REVIEW_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

struct review_facts {
	json_t *hits;  /* of clients inside open connections: {"when", "source", "service", "reason", "rule", "packets"}
			*/
	json_t *rules; /* places in a policy that decided a packet */
	json_t *services;  /* name -> {"passed", "refused"}, of all summaries */
	json_t *newest;	   /* summary: borrowed members would go with its line, so a copy; NULL: none */
	double summed_s;   /* the time that summaries speak of */
	json_int_t missed; /* hits beyond what is kept */
};

void review_facts_begin(struct review_facts *facts);
void review_facts_free(struct review_facts *facts);
/* Every event of the time that is reported on, the newest first. */
void review_facts_verdict(struct review_facts *facts, const json_t *document, time_t when);
void review_facts_summary(struct review_facts *facts, const json_t *document);
/* attacks: as the report has them. {"sources", "outside_attacks", "rows": [...], ...}; the caller's. */
json_t *review_facts_clients(const struct review_facts *facts, const json_t *attacks);
/* {"attacks", "detected_s", "mitigated_s", "not_mitigated"}: the longest of each; the caller's. */
json_t *review_facts_times(const json_t *attacks);
void review_facts_advise(const struct review_facts *facts, const json_t *clients, json_t *words);
/* "@timestamp" and the like; 0: none. */
time_t review_time(const char *text);

#endif
