/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A policy as written: the result of parsing, before feeds are read. Everything is owned by the policy and freed
 * with policy_free(). Addresses are 128 bits in network order, IPv4 as ::ffff:a.b.c.d with length + 96.
 *
 *   policy_parse()   text -> struct policy      strict YAML, all errors at once            (parse.c)
 *   policy_check()   names, overlaps, meaning   everything that needs no host and no feed  (check.c)
 *   policy_print()   struct policy -> text      print -> parse -> print is a fixed point   (print.c)
 */
#ifndef BULWARK_POLICY_H
#define BULWARK_POLICY_H

#include <linux/types.h>

#include "report.h"

struct prefix {
	__u8 address[16]; /* network order, host bits zero */
	__u8 length;	  /* 0..128; an IPv4 /24 is 120 */
};

static inline bool prefix_is_v4(const struct prefix *prefix)
{
	static const __u8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return prefix->length >= 96 && !__builtin_memcmp(prefix->address, mapped, 12);
}

/* Clears what is behind the first `length` bits; whether anything was set there. */
bool address_cut(__u8 address[16], unsigned length);

enum feed_format {
	FEED_AUTO,
	FEED_PLAIN,    /* an address or prefix a line; # and ; comments; a second column is ignored (netset, ipsum,
			  Spamhaus DROP) */
	FEED_NDJSON,   /* Spamhaus JSON lines: {"cidr": ...} */
	FEED_IPSET,    /* ipset save */
	FEED_NFT_JSON, /* nft -j list set */
};

struct texts { /* names as a policy writes them; owned */
	char **items;
	size_t count;
};

struct policy_zone { /* interfaces that are spoken of by one name */
	char *name;
	struct place at;
	struct texts interfaces; /* names, as written */
	struct place *interface_at;
	size_t interface_at_count;
};

struct list {
	char *name; /* an anonymous list (addresses written in `to:`) is named "SERVICE.to" */
	struct place at;
	struct prefix *prefixes; /* of `addresses` */
	size_t prefix_count;
	char *feed; /* path as resolved against the policy file's directory, or an https:// address, or NULL */
	char *ca;   /* path of the certificates that its server is checked with; NULL: those of this host */
	struct place feed_at;
	enum feed_format format;
	__u64 refresh_s;     /* 0: not given */
	unsigned max_shrink; /* percent, default 50 */
	__u64 max_age_s;     /* 0: any age */
	bool keep_bogons;
	unsigned zone;		   /* its addresses are in it only for what comes in there; 0: everywhere */
	char *owner, *why, *until; /* or NULL */
};

enum direction { DIRECTION_IN = 1, DIRECTION_OUT = 2, DIRECTION_BOTH = 3 };

struct list_use {      /* an entry of trusted, block, never-ban, health-checks, proxies, allow, to */
	unsigned list; /* index in policy.lists */
	struct place at;
	enum direction direction; /* block only */
	bool monitor;		  /* block only */
	unsigned zone;		  /* holds for what comes in (goes out) there; 0: everywhere */
	char *until, *owner, *why;
};

struct list_uses {
	struct list_use *items;
	size_t count;
};

struct port_range {
	__u8 protocol;	   /* IPPROTO_*; ports count for TCP, UDP and SCTP */
	bool has_ports;	   /* false: ip/NAME or ip/N */
	__u16 first, last; /* 1..65535 */
	struct place at;
};

struct policy_rate { /* written 100/s; count per period */
	__u64 count;
	__u64 period_ns;
	struct place at;
	bool given;
};

enum limit_measure {
	MEASURE_PACKETS,
	MEASURE_BYTES,
	MEASURE_BITS,
	MEASURE_NEW_CONNECTIONS,
	MEASURE_CONNECTIONS,
	MEASURE_IDLE_REQUEST,
	MEASURE_NONE
};
enum limited { LIMITED_SOURCE, LIMITED_PREFIX, LIMITED_SERVICE }; /* what shares one limit */

struct policy_limit {
	struct place at; /* of the measure's key */
	enum limit_measure measure;
	struct policy_rate rate; /* of packets, bytes, bits or new connections */
	__u64 most;		 /* MEASURE_CONNECTIONS: open at the same time; MEASURE_IDLE_REQUEST: s */
	__u64 burst;		 /* in the same; 0: not given */
	struct place burst_at;
	enum limited per;
	__u8 v4_length, v6_length; /* LIMITED_PREFIX: so much of the address */
	bool has_per, monitor;
	struct list_uses except; /* sources that it does not count */
	struct list_uses only;	 /* `for`: has_only: sources that it counts, else everybody else */
	bool has_only;
	char *until, *owner, *why;
};

enum cookie_sysctls { COOKIE_SYSCTL_SYNCOOKIES = 1 << 0, COOKIE_SYSCTL_TIMESTAMPS = 1 << 1 };
enum syn_cookies { SYN_COOKIES_OFF, SYN_COOKIES_AUTO, SYN_COOKIES_ALWAYS };

struct policy_profile { /* under-attack: what holds instead as long as there is an attack */
	struct place at;
	bool given, has_limits, has_syn_cookies;
	struct policy_limit *limits; /* in file order */
	size_t limit_count;
	enum syn_cookies syn_cookies;
	struct place syn_cookies_at;
	__u64 hold_s; /* of the policy's: so long after the last second of an attack; 0: not given */
	bool by_hand; /* of the policy's: never by itself */
};
#define PROFILE_HOLD_S 300 /* where the policy does not say */

struct policy_tls { /* what a service asks of a ClientHello */
	struct place at;
	struct texts sni, alpn; /* none: any. sni in lower case */
	struct texts deny_ja4;
	bool given, has_sni, has_alpn, has_no_sni;
	bool no_sni_drop;  /* said, or because there are names */
	bool unknown_drop; /* unknown: drop; else what cannot be seen whole passes, counted */
	bool monitor;
	__u16 min_version; /* 0x0303: TLSv1.2; 0: any */
};

struct policy_quic { /* what a service asks of long headers of QUIC */
	struct place at;
	__u32 versions[8]; /* QUIC_VERSIONS; that it takes */
	size_t version_count;
	bool given;
	bool unknown_drop; /* unknown: drop; else what is no version of anybody here passes, counted */
	bool monitor;
};

struct policy_metrics {	  /* texts are NULL where not given */
	char *listen;	  /* where they are served; NULL: nowhere */
	char *cert, *key; /* paths, PEM; both or none */
	char *token_file;
	bool remote;	  /* other hosts may ask */
	bool connections; /* those to services are counted, wherever metrics are read */
	struct place listen_at;
};

struct policy_path { /* a prefix of paths, at segments */
	char *path;  /* /admin: also /admin/x, not /administrator */
	struct place at;
	struct list_uses allow; /* of `paths`; none: nobody, as in `deny-paths` */
	bool denied;		/* stands in `deny-paths` */
};

struct policy_http { /* what a service asks of requests */
	struct place at;
	struct texts hosts, methods; /* none: any. hosts in lower case */
	struct policy_path *paths;
	size_t path_count;
	struct policy_limit requests; /* measure MEASURE_NONE: none */
	bool given, unknown_drop, monitor;
};

struct service {
	char *name;
	struct place at;
	struct port_range *ports;
	size_t port_count;
	struct list_uses allow; /* empty and !has_allow: everybody */
	bool has_allow;
	struct list_uses to;
	bool has_to;
	unsigned zone;		     /* exposed there alone; 0: everywhere */
	struct policy_limit *limits; /* in file order */
	size_t limit_count;
	struct policy_tls tls;
	struct policy_http http;
	struct policy_quic quic;
	__u8 client_hops;    /* client: x-forwarded-for, by so many proxies; 0: not given */
	bool client_proxied; /* client: proxy-v2 */
	struct place client_at;
	__u8 ttl; /* 0: any */
	__u32 tag;
	bool has_tag;
	bool monitor;
	enum syn_cookies syn_cookies;
	struct place syn_cookies_at;
	struct policy_profile under_attack;
	char *owner, *why, *until;
};

struct policy_ban { /* ban: when the shield bans by itself */
	struct place at, after_at, repeat_at;
	__u64 offences, window_s;
	__u64 for_s;
	__u64 factor, most_s; /* factor 0: every ban is as long as the first */
	bool given;
};

enum stray { STRAY_RESET, STRAY_DROP, STRAY_PASS };
enum expectation { EXPECT_PASS, EXPECT_DROP, EXPECT_REPLY };

struct policy_test {
	char *packet; /* packet text, see judge.h */
	struct place at, packet_at, reason_at, service_at;
	enum expectation expect;
	char *reason;	   /* stable name, or NULL */
	char *service;	   /* name, or NULL */
	bool under_attack; /* as long as the profile holds */
	unsigned zone;	   /* where it comes in; 0: by no zone */
};

struct policy {
	char **files;			/* file names, [0] the one given; places borrow from here */
	struct policy_source **sources; /* parallel: their texts, for messages */
	size_t file_count;
	char *directory; /* of files[0] */

	char **interfaces; /* as written; "auto" stands */
	struct place *interface_at;
	size_t interface_count;
	enum { MODE_AUTO, MODE_NATIVE, MODE_GENERIC } mode;
	bool default_pass;
	struct place default_at;

	struct policy_zone *zones; /* zone N of lists, entries, services and tests is zones[N - 1] */
	size_t zone_count;
	struct list *lists;
	size_t list_count;
	struct list_uses trusted, block, never_ban, health_checks, proxies;
	struct service *services; /* in file order */
	size_t service_count;

	struct policy_ban ban;
	struct policy_profile under_attack; /* of every service that does not say its own */
	__u8 source_v6;			    /* how much of an IPv6 address is one source; 0: not given, 64 */
	struct policy_rate icmp_echo;
	struct place icmp_at;
	enum stray stray;
	struct policy_rate stray_rate;
	struct place stray_at;
	struct policy_rate cookie_replies; /* syn-cookies: { replies: 100k/s } */
	bool cookies_unlimited;		   /* replies: unlimited */
	unsigned cookie_sysctls;	   /* sysctls: [...]: those that apply may set for them, COOKIE_SYSCTL_* */
	struct place cookies_at;
	enum { FORWARD_AS_PASS, FORWARD_AS_SERVICES, FORWARD_AS_DROP } forward;
	struct place forward_at;
	bool unparsed_pass; /* unparsed: pass | drop (default) */
	struct place unparsed_at;
	bool monitor; /* the whole policy */
	struct place monitor_at;
	enum { ON_FAILURE_OPEN, ON_FAILURE_CLOSED } on_failure;
	struct policy_rate event_sample; /* events: { sample: 1/s per source and reason } */
	__u8 anonymize_v4, anonymize_v6; /* events: so much of foreign addresses is told; 0: all */
	struct policy_metrics metrics;
	__u32 tag_mask; /* the mark bits that are ours; 0: not given */
	struct place tag_mask_at;

	struct policy_test *tests;
	size_t test_count;
};

/* What a service is under attack: itself but for what the profiles say. Borrows from both, never to be freed. */
struct service service_under_attack(const struct policy *policy, const struct service *service);
bool serves(const struct service *service, __u8 protocol); /* on some port */
bool serves_tcp(const struct service *service);
bool service_differs(const struct policy *policy, const struct service *service); /* under attack from in peace */
bool policy_has_profile(const struct policy *policy);				  /* any service differs under attack */

/*
 * Parses one policy text. name is what messages call it; directory resolves includes and feeds (borrowed).
 * Always returns a policy (possibly partial) or NULL when out of memory; report->errors says whether it may be used.
 */
struct policy *policy_parse(const char *text, size_t length, const char *name, const char *directory,
			    struct report *report);
/* Reads a file (at most 16 MiB, regular) and parses it; path "-" is standard input. */
struct policy *policy_read(const char *path, struct report *report);
/* Call it also when parsing found errors: all of them are told in one run (then without warnings). */
void policy_check(const struct policy *policy, struct report *report);
/* Canonical text, includes resolved; feeds as absolute paths, never their content. Owned by the caller; NULL without
 * memory. */
char *policy_print(const struct policy *policy);
void policy_free(struct policy *policy);
/* Whether anything holds in one zone only: zones that nothing asks for cost nothing. */
bool policy_has_zones(const struct policy *policy);
/* The number of a zone, 0: there is none of that name. */
unsigned policy_zone_by_name(const struct policy *policy, const char *name);
void service_free(struct service *service);  /* what it owns, not itself */
void limit_free(struct policy_limit *limit); /* likewise */
/* A finding at a place of this policy, with the source line it stands in; at may be NULL. (policy.c) */
void policy_say(const struct policy *policy, struct report *report, enum severity severity, const struct place *at,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Text of addresses and prefixes. parse: 0, or -EINVAL (not an address), -ERANGE (length), -EDOM (host bits set; the
 * prefix is then filled with them cleared, for the message), -EAFNOSUPPORT (an IPv4 address in IPv6 clothes,
 * ::ffff:1.2.3.4: which of the two families is meant would be a guess). */
int prefix_parse(const char *text, struct prefix *prefix);
/* "192.0.2.0/24", "2001:db8::1" (no length where it is a single address). buffer holds at least PREFIX_TEXT bytes. */
#define PREFIX_TEXT 64
const char *prefix_text(const struct prefix *prefix, char *buffer);

#endif
