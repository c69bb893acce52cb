/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Feed files: lists of prefixes kept by others. Hostile input: capped, refused with words, never half-read. */
#ifndef BULWARK_FEED_H
#define BULWARK_FEED_H

#include "policy.h"

/* Prefixes in compact form, 10 million at a time. IPv4 and IPv6 apart. */
struct prefix4 {
	__u32 address; /* host order, host bits zero */
	__u8 length;   /* 0..32 */
	__u8 list;     /* number of the list in the policy */
	__u16 unused;
};
struct prefix6 {
	__u64 high, low; /* host order, host bits zero */
	__u8 length;	 /* 0..128 */
	__u8 list;
	__u8 unused[6];
};
struct prefixes {
	struct prefix4 *v4;
	size_t v4_count, v4_capacity;
	struct prefix6 *v6;
	size_t v6_count, v6_capacity;
};
int prefixes_add(struct prefixes *prefixes, const struct prefix *prefix, unsigned list); /* 0 or -ENOMEM */
/* The same in compact form, host bits zero. */
int prefixes_add4(struct prefixes *prefixes, __u32 address, unsigned length, unsigned list);
int prefixes_add6(struct prefixes *prefixes, __u64 high, __u64 low, unsigned length, unsigned list);
void prefixes_free(struct prefixes *prefixes);

#define FEED_BYTES_MAX (1ULL << 30)
#define FEED_PREFIXES_MAX (32u << 20)

/*
 * Reads list->feed (a regular file, at most FEED_BYTES_MAX) and appends its prefixes with the given list number.
 * Format detected unless given. Ranges (a-b) become prefixes. Host bits in a feed are cleared and counted (a note); a
 * line that is no address, an empty feed, a /0 are errors that name the feed's file and line (the first ten, then a
 * count), and nothing is appended. 0 or -errno; the words are in report.
 */
int feed_read(const struct list *list, unsigned number, struct prefixes *prefixes, struct report *report);

/* What an outsider's list must not touch. */
struct protected_prefix {
	struct prefix prefix;
	const char
		*why; /* "special-purpose: private", "own address", "gateway", "resolver", "trusted list office", ... */
};
struct cut {
	struct prefix feed_prefix; /* what the feed said */
	struct prefix hole;	   /* what of it was cut out */
	const char *why;
};
struct cuts {
	struct cut *items; /* the first CUTS_TOLD, in order */
	size_t count;	   /* all of them, also beyond */
};
#define CUTS_TOLD 64
void cuts_free(struct cuts *cuts);

/* The special-purpose registries (RFC 6890, 5735, 4193, 4291, ...): private, shared, link-local, documentation,
 * multicast, loopback, reserved. */
const struct protected_prefix *special_purpose(size_t *count);

/*
 * Cuts holes around the protected prefixes into those prefixes of the list, in place: a /8 with a protected /32 inside
 * becomes the 24 prefixes around it; what lies wholly in a protected one goes. 0 or -ENOMEM.
 */
int feed_cut(struct prefixes *prefixes, unsigned list, const struct protected_prefix *holes, size_t hole_count,
	     struct cuts *cuts);

#endif
