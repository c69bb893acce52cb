/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An image: a policy compiled into what the kernel holds, in memory, before anything is loaded. Pure: made from a
 * checked policy, its feeds and what the host is. (compile.c)
 */
#ifndef BULWARK_IMAGE_H
#define BULWARK_IMAGE_H

#include <linux/types.h>

#include "../include/generation.h"
#include "host.h"
#include "tables.h"

enum rule_kind {
	RULE_KIND_NONE,
	RULE_KIND_DEFAULT,
	RULE_KIND_SERVICE,
	RULE_KIND_BLOCK,
	RULE_KIND_TRUSTED,
	RULE_KIND_LIMIT,
	RULE_KIND_WORD,
	RULE_KIND_TLS,
	RULE_KIND_HTTP,
	RULE_KIND_QUIC
};

struct rule {
	enum rule_kind kind;
	char *name;  /* service or list name, or the word ("stray") */
	char *place; /* "api.yaml:31" or NULL where the policy is silent */
};

struct image_list { /* for show, events, metrics */
	char *name;
	char *feed;    /* or NULL */
	size_t v4, v6; /* prefixes after cutting */
	size_t cut;
	__u64 feed_mtime; /* seconds since the epoch, 0 without a feed */
};

struct image {
	struct generation_config
		config; /* config.generation, conntrack, have_syncookie_helpers, state_key: set by the loader */
	struct class_entry *classes;
	size_t class_count;
	struct service_entry *services; /* kernel form, [0] unused; rows are given by the loader */
	char **service_names;		/* parallel */
	size_t service_count;		/* including [0] */
	struct limit_entry *limits;	/* of all services, those of one next to each other */
	size_t limit_count;
	__u16 *port_services;	       /* PORTS_COUNT */
	struct tls_entry *tls_rules;   /* [0] unused */
	size_t tls_rule_count;	       /* including [0] */
	struct http_entry *http_rules; /* likewise */
	size_t http_rule_count;
	struct quic_entry *quic_rules; /* likewise */
	size_t quic_rule_count;
	struct name_line *names; /* config.name_lines of them */
	struct tables tables;
	struct rule *rules; /* index = rule number */
	size_t rule_count;
	struct image_list *lists;
	size_t list_count;
	__u32 spared; /* hash of whom automatic bans spare as this host depends on them; 0: the policy has none */
	struct cuts cuts;
	char **words; /* owned strings that cuts borrow */
	size_t word_count;
	__s64 ends;	      /* when the next `until` of the policy is over, in seconds since the epoch; 0: never */
	__u8 policy_hash[32]; /* over the canonical text, what of it has ended, and the content of every feed */
};

/* Whether TC ingress is asked more than whether an ACK brings a SYN cookie. */
static inline bool judges_ingress(const struct generation_config *config)
{
	return config->have_tags || config->have_tls || config->have_http || config->takes_ipsec;
}

/* host may be NULL (check on another machine): nothing host-specific is cut. 0 or -errno with words in report. */
int image_compile(const struct policy *policy, const struct host *host, struct image *image, struct report *report);
void image_free(struct image *image);

#endif
