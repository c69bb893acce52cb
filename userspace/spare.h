/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom a ban must never hit. */
#ifndef BULWARK_SPARE_H
#define BULWARK_SPARE_H

#include "host.h"

int prefix_order(const void *one, const void *other); /* for qsort: by address, the wider first */

/* Whether one of the bans (sorted) would hit this host itself, its gateways, resolvers or operator, or a list that the
 * policy trusts or never bans. policy may be NULL. why: "the gateway 192.0.2.1". */
bool ban_hits(const struct host *host, const struct policy *policy, const struct prefix *bans, size_t count, char *why,
	      size_t size);

/*
 * Whom a ban of these (sorted) can meet where the policy has proxies, whose clients come with the proxy's address: one
 * that a service lets in directly, or nobody that is known of. Without proxies: whoever it names.
 */
enum ban_reach { BAN_REACHES, BAN_REACHES_DIRECT, BAN_REACHES_NOBODY };
enum ban_reach ban_reach(const struct policy *policy, const struct prefix *bans, size_t count);

#endif
