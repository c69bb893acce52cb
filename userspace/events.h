/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events as documents of the Elastic Common Schema: what the daemon writes, one a line. */
#ifndef BULWARK_EVENTS_H
#define BULWARK_EVENTS_H

#include <jansson.h>

#include "saved.h"

#define ECS_VERSION "8.11.0"

/* What turns the numbers of events into names: the saved descriptions of generations, interfaces, this host's name. */
struct names;
struct names *names_open(const struct places *places);
void names_free(struct names *names);
/* Reads descriptions anew: numbers may begin again where a state directory did. */
void names_forget(struct names *names);
/* The generation whose policy says how much of an address is told of an action; 0: all of it. */
void names_in_force(struct names *names, unsigned generation);

/* A verdict of the kernel's side. sequence: of the log, without holes. NULL without memory. */
json_t *event_verdict(struct names *names, const struct event *event, __u64 sequence);

/* A line of history.jsonl or actions.jsonl: "applied", "ban", ... */
json_t *event_action(struct names *names, const json_t *line, __u64 sequence);

/* Something the daemon itself has to say: "events-left-out", "interface-attached", ... with members for `bulwark`,
 * whose reference is taken (may be NULL). */
json_t *event_notice(struct names *names, const char *action, const char *message, json_t *more, __u64 sequence);

#endif
