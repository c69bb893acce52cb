/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A generation: one compiled policy. Its constants are the read-only data of its programs (`constants`, so
 * that the verifier removes what the policy does not use), its tables are private maps. Made by
 * userspace/compile.c, loaded by userspace/kernel.c, read by bpf/shield.bpf.c. Immutable once live.
 *
 * Maps of a generation (all arrays, filled through mmap, none pinned: the program in the slot holds them):
 *   v4_blocks, v4_compact, v4_direct, v4_masks, v4_run_classes     IPv4 lookup    (tables.h)
 *   v6_heads, v6_bits, v6_deep_bits, v6_deep_lines,
 *   v6_lines64, v6_wide_bits, v6_lines128                          IPv6 lookup, by stem
 *   v6_short, v6_mask32, v6_mask48, v6_masks                       IPv6 lookup, by length
 *   classes                                            zone * class_count + class -> struct class_entry
 *   services                                           service index (and once more, profile_shift later) ->
 *                                                      struct service_entry
 *   limits                                             limit index -> struct limit_entry
 *   port_services                                      protocol, port -> service index
 *   tls_rules                                          index in a service -> struct tls_entry
 *   http_rules                                         index in a service -> struct http_entry
 *   quic_rules                                         index in a service -> struct quic_entry
 *   names                                              hash of a name -> struct name_item (first_bytes.h)
 */
#ifndef BULWARK_GENERATION_H
#define BULWARK_GENERATION_H

#include "first_bytes.h"
#include "sip.h"
#include "tables.h"

#define LISTS_MAX 64 /* lists that one policy can use */

/* A set of lists, what the policy makes of it, and the rules to name. */
struct class_entry {
	__u64 lists;	    /* bit n: list n of the policy covers the address */
	__u32 flags;	    /* CLASS_* */
	__u16 trusted_rule; /* rule numbers, see rule_number below */
	__u16 block_rule;   /* the first block entry, in file order, that drops inbound */
	__u16 monitor_rule; /* the first block entry that would drop inbound, but only monitors */
	__u16 out_rule;	    /* the first block entry that drops outbound */
	__u16 out_monitor_rule;
	__u16 unused;
};
_Static_assert(sizeof(struct class_entry) == 24, "struct class_entry is shared with the kernel side");

enum {
	CLASS_TRUSTED = 1u << 0,
	CLASS_BLOCK_IN = 1u << 1,
	CLASS_BLOCK_IN_MONITOR = 1u << 2,
	CLASS_BLOCK_OUT = 1u << 3,
	CLASS_BLOCK_OUT_MONITOR = 1u << 4,
	CLASS_NEVER_BAN = 1u << 5,
	CLASS_HEALTH_CHECK = 1u << 6,
	CLASS_PROXY = 1u << 7,
};
/* Never banned by the shield itself. */
#define CLASS_SPARED (CLASS_TRUSTED | CLASS_NEVER_BAN | CLASS_HEALTH_CHECK | CLASS_PROXY)

/*
 * Zones: interfaces that a policy groups by name. Number 0 are those of no zone. What a class means is compiled once
 * for each zone, so that a packet pays one look-up of its own zone, and a policy that names none pays nothing. Which
 * interfaces are in which zone is state (`zones`), because they come and go.
 */
#define ZONES_MAX 15
#define ZONE_ANY 255 /* where it is not known by which interface something came in: every zone will do */

#define SERVICES_MAX 1024 /* services of one policy; index 0 means none */

struct service_entry {
	__u64 allow; /* sources in any of these lists; 0: everybody */
	__u64 to;    /* destinations in any of these lists; 0: every address */
	__u32 row;   /* row in the pinned service counters, stable across generations; never 0 */
	__u32 tag;
	__u16 next; /* the next service on one of the same ports with another `to`; 0: none */
	__u16 rule;
	__u8 flags;   /* SERVICE_* */
	__u8 ttl;     /* required TTL or hop limit (GTSM, RFC 5082); 0: any */
	__u16 limits; /* index of its first limit */
	__u8 limit_count;
	__u8 zone;  /* only for what comes in by this one; 0: by any interface */
	__u16 tls;  /* index of its rule in tls_rules; 0: none */
	__u16 http; /* in http_rules */
	__u16 quic; /* in quic_rules */
};
_Static_assert(sizeof(struct service_entry) == 40, "struct service_entry is shared with the kernel side");

enum {
	SERVICE_MONITOR = 1u << 0,
	SERVICE_COOKIES = 1u << 1,	  /* answers SYNs with cookies when armed */
	SERVICE_COOKIES_ALWAYS = 1u << 2, /* and is always armed */
};

/*
 * A limit of a service: GCRA (generic cell rate algorithm, ITU-T I.371), whose only state is the theoretical arrival
 * time. Limits of a service stand next to each other, in file order; the first one exceeded gives the reason.
 */
#define LIMITS_MAX 4096 /* of one policy */
#define LIMITS_A_SERVICE 8

enum limit_kind {
	LIMIT_PACKETS = 1,	   /* every inbound packet of the service */
	LIMIT_BYTES = 2,	   /* their bytes; a limit in bits is one in bytes */
	LIMIT_NEW_CONNECTIONS = 3, /* TCP SYNs; for other protocols packets that no flow is known of */
	LIMIT_CONNECTIONS = 4,	   /* TCP connections that are open: no rate */
	LIMIT_IDLE_REQUEST = 5,	   /* how long a sender may be slow: no packet is judged by it (bpf/slow.h) */
};

enum limit_per {
	LIMIT_PER_SOURCE = 0, /* or per prefix: v4_length, v6_length say how much of the address counts */
	LIMIT_PER_SERVICE = 1,
};

/* The longest that a limit may take to refill, 73 minutes, and one packet may cost: twice that is a debt which the
 * limiter's clock (include/state.h) tells from a time that has passed. */
#define LIMIT_REFILL_MOST_NS (1ULL << 42)

struct limit_entry {
	union {
		__u64 cost; /* of one packet, byte or connection, in 2^-10 ns: 1024e9 / rate; never 0 */
		__u64 most; /* LIMIT_CONNECTIONS: open at the same time; LIMIT_IDLE_REQUEST: ms */
	};
	__u64 tolerance_ns; /* what may be spent ahead of time: (burst - 1) times the cost */
	__u32 id;	    /* stable across generations: a hash of the service's name and what the limit counts */
	__u16 rule;
	__u8 kind, per;
	__u8 monitor;		   /* only counts what it would drop */
	__u8 v4_length, v6_length; /* LIMIT_PER_SOURCE: so much of the address is one source */
	__u8 position;		   /* in its service; LIMIT_PER_SERVICE: with the service's row the index of its cell */
	__u8 bans;		   /* its drops inside an open connection are offences (struct ban_rule) */
	__u8 unused[3];
	__u64 except; /* sources in any of these lists are not counted */
	__u64 only;   /* 0: everybody else; else only sources in any of these lists */
};
_Static_assert(sizeof(struct limit_entry) == 48, "struct limit_entry is shared with the kernel side");

/* tls_rules[]: what a service asks of a ClientHello. [0] is unused. */
struct tls_entry {
	__u16 number;	   /* its index, which its names carry */
	__u16 min_version; /* 0x0303: TLS 1.2; 0: any */
	__u16 rule;
	__u8 flags; /* TLS_* */
	__u8 unused;
};
_Static_assert(sizeof(struct tls_entry) == 8, "struct tls_entry is shared with the kernel side");
enum {
	TLS_NAMES = 1u << 0,	    /* the server's name is one of its names */
	TLS_NO_SNI_DROP = 1u << 1,  /* a hello without a name is refused */
	TLS_UNKNOWN_DROP = 1u << 2, /* so is one of which not all is seen */
	TLS_ALPN = 1u << 3,	    /* one of the protocols, where any is offered */
	TLS_MONITOR = 1u << 4,
	TLS_DENY_JA4 = 1u << 5, /* the client is none of those whose JA4 are among its names */
	TLS_PROXIED = 1u << 6,	/* proxies begin with a header of the PROXY protocol */
};

/* http_rules[]: what a service asks of a request. [0] is unused. */
struct http_entry {
	struct limit_entry requests; /* cost 0: no limit */
	__u16 number;		     /* its index, which its names carry */
	__u16 rule;
	__u8 flags; /* HTTP_* */
	__u8 hops;  /* proxies that add to X-Forwarded-For one after the other; 0: the source is the client */
	__u8 unused[2];
};
_Static_assert(sizeof(struct http_entry) == 56, "struct http_entry is shared with the kernel side");
enum {
	HTTP_HOSTS = 1u << 0,	/* the host is one of its names */
	HTTP_METHODS = 1u << 1, /* the method likewise */
	HTTP_PATHS = 1u << 2,	/* paths are for some or nobody */
	HTTP_UNKNOWN_DROP = 1u << 3,
	HTTP_MONITOR = 1u << 4,
	HTTP_PROXIED = 1u << 5, /* proxies begin with a header of the PROXY protocol */
};

/* quic_rules[]: what a service asks of long headers of QUIC. [0] is unused. */
#define QUIC_VERSIONS 8		       /* that one service takes */
#define QUIC_VERSION_1 0x00000001u     /* RFC 9000 */
#define QUIC_VERSION_2 0x6b3343cfu     /* RFC 9369 */
#define QUIC_RESERVED_MASK 0x0f0f0f0fu /* versions ?a?a?a?a stand for nothing (RFC 9000 15) */
#define QUIC_RESERVED 0x0a0a0a0au
struct quic_entry {
	__u32 versions[QUIC_VERSIONS]; /* 0: free */
	__u16 rule;
	__u8 flags; /* QUIC_* */
	__u8 unused;
};
_Static_assert(sizeof(struct quic_entry) == 36, "struct quic_entry is shared with the kernel side");
enum {
	QUIC_UNKNOWN_DROP = 1u << 0, /* version negotiation, and versions that nobody here knows, are refused */
	QUIC_MONITOR = 1u << 1,
};

#define PARTIALS 256   /* beginnings in several segments that are under way at once */
#define PROXIED 65536u /* connections of proxies whose clients are known */
#define BEGUN 16384u   /* streams whose beginning was judged, until their servers answer */

/* port_services: u16 service indices. TCP, UDP and SCTP have a plane of 65536 ports each, then one of 256 for
 * other protocols by number. A service that takes every port of a protocol fills its plane. Where services with
 * different `to` share a port, the plane holds the first in file order and `next` goes on. */
enum {
	PORTS_TCP = 0,
	PORTS_UDP = 65536,
	PORTS_SCTP = 2 * 65536,
	PORTS_IP = 3 * 65536,
	PORTS_COUNT = 3 * 65536 + 256,
};

/* GCRA (generic cell rate algorithm, ITU-T I.371): interval between conforming packets, and the tolerance.
 * A rate r/s with burst b: increment = 1e9 / r, tolerance = increment * (b - 1) ns. */
struct rate {
	__u64 increment_ns; /* 0: no packet conforms */
	__u64 tolerance_ns;
};

/* When the shield bans by itself: `ban:` of the policy. */
struct ban_rule {
	__u64 window_ns; /* so many offences in this time */
	__u64 for_ns;	 /* the first ban */
	__u64 most_ns;	 /* the longest one; bans grow by `factor` until then */
	__u32 offences;	 /* 0: never */
	__u32 factor;	 /* 1: every ban is as long as the first */
};

/* Budgets: one cell each in the pinned map `budgets`, shared by everybody who falls under it. */
enum budget {
	BUDGET_TRUSTED = 0,	  /* unproven packets in trusted names; default 10k/s */
	BUDGET_STRAY = 1,	  /* stray: { reset: 1k/s } */
	BUDGET_ECHO = 2,	  /* icmp: { echo: 100/s } */
	BUDGET_FRAGMENT = 3,	  /* later fragments whose first one is unknown; 1k/s */
	BUDGET_ICMP_ERROR = 4,	  /* errors that quote a declared port without a flow; 100/s */
	BUDGET_HEALTH_CHECK = 5,  /* packets of health checks to declared ports; 1k/s */
	BUDGET_COOKIES = 6,	  /* SYN cookies sent to strangers; default 100k/s */
	BUDGET_COOKIES_KNOWN = 7, /* as many to sources with a history */
	BUDGET_COOKIES_AGAIN = 8, /* as many to those who ask again */
	BUDGET_COUNT = 12,	  /* room in the pinned map */
};

/* What one MAC address may send to the floor in a second, all of it at once if it likes: packets that the kernel works
 * on one by one, and other frames that are not of IP. */
#define FLOOR_PACKETS 1000
#define FLOOR_FRAMES 100000
#define FLOOR_BURST_NS 1000000000ULL

/* How much older than another's a CPU's time may be when it acts on it: it read it before the tick, and a hypervisor
 * may have held it since. */
#define CLOCK_LAG_NS 1000000000ULL

enum { FORWARD_PASS = 0, FORWARD_SERVICES = 1, FORWARD_DROP = 2 };

/* SYN cookies: what a SYN-ACK of ours offers, as this host's stack would. */
enum {
	COOKIES_NONE = 0,
	COOKIES_OWN = 1,    /* handed over at TC ingress, from 6.8 */
	COOKIES_KERNEL = 2, /* in the kernel's own format, before */
};
#define COOKIE_NO_SCALE 15
enum { OFFER_SACK = 1u << 0, OFFER_TIMESTAMPS = 1u << 1, OFFER_ECN = 1u << 2 };
struct cookie_offer {
	__u8 format;	   /* COOKIES_* */
	__u8 window_scale; /* COOKIE_NO_SCALE: none */
	__u8 flags;	   /* OFFER_* */
	__u8 ttl;
};

/* rule numbers: an index into the rules of the generation's saved description (state directory), which names
 * kind, name, file and line. 0: no rule (the floor, malformed). */
enum {
	RULE_NONE = 0,
	RULE_DEFAULT = 1, /* `default: drop`, or its absence */
	RULE_FORWARD = 2,
	RULE_STRAY = 3,
	RULE_ICMP = 4,
	RULE_UNPARSED = 5,
	RULE_MONITOR = 6, /* the policy as a whole only monitors */
	RULE_COOKIES = 7, /* the budget of SYN cookies */
	RULE_FIRST = 16,  /* services, block and trusted entries follow, in file order */
};

/* What is known of a packet's source, in the two highest bits of `tag-mask`. The same for all data of a connection. */
enum tag_class {
	TAG_NEW = 0,	 /* proves nothing yet: a SYN, a datagram */
	TAG_PROVEN = 1,	 /* inside a completed handshake: its source cannot be forged */
	TAG_SUSPECT = 2, /* in a block list that only monitors, or not among those its service is for, and monitored */
	TAG_TRUSTED = 3, /* proven, and in a trusted list */
};
#define TAG_CLASS_BITS 2

/* The constants of a generation; `constants` in the read-only data of bpf/shield.bpf.c. */
struct generation_config {
	__u32 generation;   /* number; 0 offline */
	__u8 offline;	    /* 1: explain, tests, guard: virtual clock, connection table instead of sockets */
	__u8 monitor;	    /* 1: the whole policy only monitors */
	__u8 default_pass;  /* 1: `default: pass` */
	__u8 forward;	    /* FORWARD_* */
	__u8 conntrack;	    /* 1: bpf_xdp_ct_lookup is there; asked where this host forwards (host_facts) */
	__u8 stray_pass;    /* 1: `stray: pass` (else: passes within BUDGET_STRAY) */
	__u8 unparsed_pass; /* 1: what cannot be parsed passes */
	__u8 have_v4;	    /* 0: no IPv4 prefix in any list */
	__u8 v4_direct;	    /* the layout of the IPv4 tables */
	__u8 have_v6;
	__u8 have_v6_deep;	/* of 48 to 64 */
	__u8 have_v6_by_length; /* some of them, or of the longer ones, are hashed by their own length */
	__u8 have_v6_short;	/* likewise shorter ones */
	__u8 have_v6_mask48;
	__u8 have_v6_wide;  /* prefixes longer than /64 */
	__u8 have_to;	    /* some service has `to` */
	__u8 have_limits;   /* some service has limits that packets meet */
	__u8 have_open;	    /* one of them is of open connections */
	__u8 have_bans;	    /* the policy bans by itself: `ban` below */
	__u8 ban_v6_length; /* how much of an IPv6 address an automatic ban covers: 64, 56 or 48 */
	__u8 have_egress_block;
	__u8 have_syncookie_helpers; /* bpf_tcp_raw_check_syncookie_* are there (6.0) */
	__u16 v4_default;	     /* class of 0.0.0.0/0 */
	__u16 v6_default;	     /* class of ::/0 */
	__u32 v6_bits_size;	     /* bits in v6_bits */
	__u32 v6_deep_bits_size;
	__u32 v6_wide_bits_size;
	__u32 v6_mask32_size; /* items in v6_mask32 */
	__u32 v6_mask48_size;
	__u32 v6_lines64_size; /* lines; V6_PROBES spare lines follow */
	__u32 v6_lines128_size;
	__u64 v6_seed;
	__u64 v6_wide_lengths;	     /* length numbers of prefixes longer than /64 */
	__u64 v6_deep_lengths;	     /* length numbers of prefixes longer than /48 (v6_mask48 narrows these) */
	__u64 state_key[2];	     /* secret, per boot: SipHash key of everything in pinned state */
	struct sip hash_start;	     /* what sip_key() makes of it */
	__u8 v6_lengths[V6_LENGTHS]; /* length number -> length */
	struct class_pair v4_pairs[V4_PAIRS];
	struct rate budgets[BUDGET_COUNT];
	struct ban_rule ban;
	__u64 limit_horizon_ns; /* no live slot reaches further ahead: the longest tolerance and cost of all limits, and
				   CLOCK_LAG_NS */
	__u64 event_interval_ns; /* one source is told once per reason in this time */
	__u32 events_per_tick;	 /* per CPU, reason and jiffy at most */
	__u32 tag_mask;		 /* the bits of a packet's mark that are ours, side by side */
	__u64 idle_request_ms;	 /* the shortest time of a limit of idle requests; 0: there is none */
	__u64 netns_cookie;	 /* of the network namespace that is protected (sockops sees others too) */
	__u32 tag_magic;	 /* secret, per boot: packet metadata that begins with it is ours */
	__u8 tag_shift;		 /* of the tag in the mark, whose highest two bits are the class */
	__u8 tag_class_shift;
	__u8 have_tags;	    /* some service has a tag */
	__u8 have_tls;	    /* some service has a rule for ClientHellos */
	__u8 have_http;	    /* likewise for requests */
	__u8 have_ja4;	    /* some of these deny fingerprints */
	__u8 needs_ingress; /* the hook TC ingress is attached for this policy */
	__u8 needs_sockops; /* likewise sockops */
	__u8 have_accounts; /* connections are counted by service */
	__u8 unused[2];
	__u16 profile_shift; /* from a service to what it is under attack; 0: the policy has no `under-attack` */
	__u16 v6_deep_lines; /* of them, in V6_DEEP_LINES; 0: prefixes of 48 to 64 are in v6_lines64 */
	struct cookie_offer cookies;
	__u64 name_seed;	 /* of the hashes in `names` */
	__u32 name_lines;	 /* a power of two */
	__u8 have_limit_lists;	 /* some limit has `except` or `only` */
	__u8 have_health_checks; /* some list is of health checks */
	__u8 have_quic;		 /* some service has a rule for long headers of QUIC */
	__u8 have_zones;	 /* something holds in one zone only */
	__u32 class_count;	 /* classes of one zone */
	__u8 have_service_zones; /* `zone` on a service */
	__u8 cookies_bounded;	 /* the three budgets of SYN cookies hold */
	__u8 balances;		 /* IPVS has services here: neither sockets nor conntrack know what it sends on */
	__u8 have_clients;	 /* requests of proxies name their clients, for some service */
	__u8 have_proxied;	 /* likewise connections of proxies */
	__u8 has_vrf;		 /* interfaces are in a VRF: sockets bound to it are not found */
	__u8 takes_ipsec;	 /* a service takes ESP, AH, or ESP in UDP */
	__u8 decrypts;		 /* TC ingress knows what IPsec has decrypted */
	__u32 limiter_lines;	 /* a power of two: LIMITER_LINES, fewer in tests of how exact limits are */
	__u64 plain_classes; /* bit n: nobody of class n is trusted, checks health or is blocked in monitor mode only */
	__u64 refused_classes; /* those of them that are blocked; of classes beyond 63 neither says anything */
};

#endif
