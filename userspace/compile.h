/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of the compiler share while one image is made. Only compile*.c include this. */
#ifndef BULWARK_COMPILE_H
#define BULWARK_COMPILE_H

#include <time.h>

#include "image.h"

#define LIST_NOBODY (LISTS_MAX - 1) /* the list that holds nobody, for an `allow` or `to` that has become empty */
#define LIST_HOST (LISTS_MAX - 2)   /* gateways and resolvers of this host, which the shield itself never bans */
#define LISTS_USABLE LIST_HOST

struct compiled_list {
	int number;	/* in the image; -1: no entry uses it */
	bool blocked;	/* a block entry uses it */
	bool protected; /* trusted, never banned, a health check, a proxy, or allowed by a service */
	const char *why_protected;
};

struct zoned_list { /* a list as entries name it that hold in one zone: a list of its own there */
	unsigned list, zone;
	int number;
};

struct compile {
	const struct policy *policy;
	const struct host *host; /* or NULL */
	struct image *image;
	struct report *report;
	time_t now;
	struct prefixes prefixes;
	struct compiled_list *lists; /* parallel to policy->lists */
	struct zoned_list zoned[LISTS_MAX + 1];
	size_t zoned_count;				    /* the last one is beyond what a policy can have */
	__u16 *service_rules, *trusted_rules, *block_rules; /* parallel to the policy's; 0: its time is over */
	__u16 *limit_rules;				    /* of all limits, service after service */
	__u16 *tls_rules, *http_rules, *quic_rules;	    /* parallel to the policy's services */
	__u16 *tls_numbers, *http_numbers, *quic_numbers;   /* likewise: in image->tls_rules; 0: none */
	struct XXH3_state_s *hash[2];
};

/* Whether a service's SYN cookies can ever be armed: one that only monitors answers nobody. */
bool has_cookies(const struct compile *compile, const struct service *service);
void configure_cookies(struct compile *compile); /* compile_cookies.c: what a SYN-ACK offers */

/* Whether an entry's `until: 2027-01-31` has passed: it ends with that day, UTC. */
bool entry_over(const char *until, time_t now);

/* The number of a list as this entry means it: of its own where it holds in one zone. -1: it counts nowhere. */
int number_of_use(const struct compile *compile, const struct list_use *use);
/* Lists as a set, of uses that still count; an `allow` of which nothing is left lets nobody in, rather than everybody
 * (compile_rules.c). */
__u64 lists_as_set(const struct compile *compile, const struct list_uses *uses);
__u64 lists_or_nobody(const struct compile *compile, const struct list_uses *uses);

int compile_rules(struct compile *compile);   /* compile_rules.c: image->rules and the *_rules arrays */
int compile_lists(struct compile *compile);   /* compile_lists.c: prefixes of all lists, feeds cut */
int compile_classes(struct compile *compile); /* compile_rules.c: image->classes from the tables */
int compile_limits(struct compile *compile);  /* compile_limits.c: image->limits */
__u16 first_limit(const struct policy *policy, size_t service); /* where a service's limits begin in image->limits */
/* Behind those of peace: where those begin that a service has under attack alone; the total for one past the last. */
__u16 first_limit_under_attack(const struct policy *policy, size_t service);
int compile_first(struct compile *compile); /* compile_first.c: image->tls_rules and names; before the services */
struct limit_entry;
/* The limit of requests of a service, in compile_limits.c. */
int requests_entry(struct compile *compile, const struct service *service, struct limit_entry *entry);
int compile_services(struct compile *compile); /* compile_ports.c: services and port planes */

#endif
