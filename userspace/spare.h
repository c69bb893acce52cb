/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom a ban must never hit. */
#ifndef BULWARK_SPARE_H
#define BULWARK_SPARE_H

#include "host.h"

/* Whether a ban of the prefix would hit this host itself, its gateways, resolvers or operator, or a list that the
 * policy trusts or never bans. policy may be NULL. why: "the gateway 192.0.2.1". */
bool ban_hits(const struct host *host, const struct policy *policy, const struct prefix *prefix, char *why,
	      size_t size);

#endif
