/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy language, table by table: every map of a policy is a scope, a scope is its keys, a key is a word and the
 * function that takes its value. Refusing unknown keys, did-you-mean, and the check of the JSON Schema all read these
 * tables.
 *
 *   parse.c           files, scopes, the kinds of values
 *   parse_include.c   several files as one tree
 *   parse_list.c      lists, and where lists are used
 *   parse_zone.c      zones, and what holds in one of them
 *   parse_service.c   services and ports
 *   parse_limit.c     limits of services
 *   parse_ban.c       ban, source-v6
 *   parse_tls.c       what a service asks of first bytes
 *   parse_metrics.c   where and how metrics are served
 *   parse_rest.c      the top level, icmp, stray, events, tests
 */
#ifndef BULWARK_PARSE_H
#define BULWARK_PARSE_H

#include "values.h"
#include "yaml.h"

struct parser {
	struct policy *policy;
	struct report *report;
	struct yaml *yaml;
	char **directories; /* parallel to policy->files: where includes and feeds of that file are looked for */
	long today;	    /* days since 1970, UTC */
	char **gone;	    /* services left out because their `until` has passed */
	size_t gone_count;
	bool no_memory;
};

struct key {
	const char *name;
	void (*parse)(struct parser *parser, void *object,
		      const struct node *value); /* NULL: a word of later versions */
};

struct scope {
	const char *name; /* as in the JSON Schema's $defs */
	const char *what; /* "a list" */
	const struct key *keys;
	size_t count;
};
#define SCOPE(scope_name, scope_what, key_table)                                                                       \
	{                                                                                                              \
		.name = scope_name, .what = scope_what, .keys = key_table,                                             \
		.count = sizeof(key_table) / sizeof(*key_table)                                                        \
	}

extern const struct scope policy_scope, icmp_scope, stray_scope, cookies_scope, events_scope, metrics_scope, test_scope,
	ban_scope;
extern const struct scope metrics_tls_scope, list_scope, use_scope, block_scope, service_scope, limit_scope, tls_scope;
extern const struct scope http_scope, path_scope, requests_scope, quic_scope, client_scope;
extern const struct scope profile_scope, service_profile_scope, zone_scope;
extern const struct scope *const all_scopes[]; /* ends with NULL */

#define INTERFACES_MAX 256 /* names in one place */
#define ITEMS_MAX 65536	   /* entries of any one sequence or map but `addresses` */

/* ---- parse.c: values. The bool ones tell what is wrong and return false. ---- */

#define wrong(parser, node, ...)                                                                                       \
	policy_say((parser)->policy, (parser)->report, SEVERITY_ERROR, &(node)->at, __VA_ARGS__)
#define warn(parser, node, ...)                                                                                        \
	policy_say((parser)->policy, (parser)->report, SEVERITY_WARNING, &(node)->at, __VA_ARGS__)

/* What is taken, because leaving it out would make the policy mean less later, but is not acted upon yet. */
void warn_no_effect(struct parser *parser, const struct node *value);
void parse_map(struct parser *parser, const struct scope *scope, void *object, const struct node *map);
bool is_map(struct parser *parser, const struct node *node, const char *of);
bool is_sequence(struct parser *parser, const struct node *node, const char *of);
/* Any scalar but null: the caller reads it. */
const char *take_scalar(struct parser *parser, const struct node *node);
/* Text as YAML means it: not a bare number, true, false or null. One line, printable. */
const char *take_text(struct parser *parser, const struct node *node);
bool take_copy(struct parser *parser, const struct node *node, char **copy);
/* A path, from the directory of the file that it stands in. */
void take_path(struct parser *parser, const struct node *node, char **path);
bool take_bool(struct parser *parser, const struct node *node, bool *value);
bool take_number(struct parser *parser, const struct node *node, __u64 least, __u64 most, __u64 *value);
/* Index into words, which end with NULL; -1 when it is none of them. */
int take_word(struct parser *parser, const struct node *node, const char *const *words);
bool take_rate(struct parser *parser, const struct node *node, struct policy_rate *rate);
bool take_period(struct parser *parser, const struct node *node, __u64 *seconds);
bool take_prefix(struct parser *parser, const struct node *node, struct prefix *prefix);
bool take_until(struct parser *parser, const struct node *node, char **until);
/* A name that the policy defines: letters, digits, - and _, begins with a letter, at most 63 bytes. */
bool is_name(struct parser *parser, const struct node *node, const char *what);
bool has_ended(const struct parser *parser, const char *until);
const char *directory_of(const struct parser *parser, const struct node *node);

/* A zeroed new last item of an array, or NULL (no_memory is set then). */
void *append(struct parser *parser, void *array, size_t *count, size_t size);
char *copy_text(struct parser *parser, const char *text);
/* ": did you mean 'x'?" or "", in buffer; "" also when nobody would read it any more. */
#define HINT_TEXT 160
const char *hint(const struct report *report, char *buffer, const char *name, const char *const *candidates,
		 size_t count);

/* ---- parse_list.c ---- */
extern const char *const feed_formats[];    /* by enum feed_format, ends with NULL */
bool is_anonymous(const struct list *list); /* made of the addresses in a service's `to` */
void parse_lists(struct parser *parser, void *policy, const struct node *map);
/* Entries of trusted, allow, ...: NAME or { list: NAME, ... }. */
void parse_uses(struct parser *parser, struct list_uses *uses, const struct scope *scope, const struct node *sequence);
/* Entries of `to`: also addresses, which make an anonymous list. */
void parse_to(struct parser *parser, struct service *service, const struct node *sequence);

/* ---- parse_zone.c ---- */
void parse_zones(struct parser *parser, void *policy, const struct node *map);
void take_zone(struct parser *parser, const struct node *value, unsigned *zone);

/* ---- parse_service.c ---- */
void parse_services(struct parser *parser, void *policy, const struct node *map);

/* ---- parse_tls.c, parse_http.c, parse_quic.c ---- */
void parse_tls(struct parser *parser, void *service, const struct node *map);
extern const char *const tls_versions[]; /* from TLSv1.0, 0x0301, on; ends with NULL */
void parse_http(struct parser *parser, void *service, const struct node *map);
void parse_quic(struct parser *parser, void *service, const struct node *map);
/* One value, or a list of them. what: the key, quoted. */
void take_each(struct parser *parser, struct texts *texts, const struct node *value, const char *what,
	       void (*take)(struct parser *parser, struct texts *texts, const struct node *item));
void take_host(struct parser *parser, struct texts *names, const struct node *item);

/* ---- parse_limit.c ---- */
void parse_limits(struct parser *parser, void *service, const struct node *sequence);
/* "/24,/48": how much of an IPv4 and of an IPv6 address is meant. */
bool prefix_lengths(const char *text, __u8 *v4_length, __u8 *v6_length);
/* "packets", "bytes", ... by enum limit_measure, and the unit that their numbers have. */
extern const char *const limit_measures[];
enum unit measure_unit(enum limit_measure measure);

/* ---- parse_profile.c ---- */
void parse_service_profile(struct parser *parser, void *service, const struct node *value);
void parse_policy_profile(struct parser *parser, void *policy, const struct node *value);
extern const char *const switch_words[]; /* by policy_profile.by_hand; ends with NULL */

/* ---- parse_ban.c ---- */
void parse_ban(struct parser *parser, void *policy, const struct node *map);
void parse_source_v6(struct parser *parser, void *policy, const struct node *value);

/* ---- parse_metrics.c ---- */
void policy_metrics(struct parser *parser, void *policy, const struct node *map);

/* ---- parse_rest.c ---- */
/* The words of the top level, by the enums of struct policy; each ends with NULL. */
extern const char *const mode_words[], *const default_words[], *const stray_words[], *const forward_words[];
extern const char *const unparsed_words[], *const on_failure_words[], *const expect_words[];
extern const char *const syn_cookies_words[], *const cookie_sysctls_words[];
/* A name that an interface can have, or `auto`; NULL, and told, when it is none. */
const char *take_interface_name(struct parser *parser, const struct node *node);
void check_version(struct parser *parser, const struct node *root);
void parse_policy(struct parser *parser, const struct node *root);

/* ---- parse_include.c ---- */
/* The tree of file 0 with what it includes merged in, or NULL. */
struct node *read_with_includes(struct parser *parser);
/* Reads a whole regular file of at most 16 MiB, or standard input for "-". Owned by the caller; NULL with words. */
char *read_policy_text(const char *path, size_t *length, char *words, size_t size);

#endif
