/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which interfaces of this host are in which zone of a policy, as the packet path tells them: by device and VLAN tag.
 */
#ifndef BULWARK_ZONES_H
#define BULWARK_ZONES_H

#include "host.h"

struct places;
struct instance;

struct zone_member {
	unsigned ifindex; /* of the device that packets come in on */
	__u16 vlan;	  /* 0: without a tag */
	unsigned zone;
};

/*
 * Pure: asks only the policy and struct host. What is not there yet is a warning: it is in no zone until it comes. What
 * the packet path could not tell apart is an error, and in no zone either. members are the caller's (free); report may
 * be NULL. 0 or -ENOMEM.
 */
int zones_resolve(const struct policy *policy, const struct host *host, struct zone_member **members, size_t *count,
		  struct report *report);

/* The VLAN whose tags a device takes off before the programs see them; NULL: tags are there, or nobody needs them. */
const struct host_link *stripped_vlan(const struct host *host, const struct host_link *device);

/* The zone that packets to an own address most likely come in by, 0: none. */
unsigned zone_of_address(const struct host *host, const struct zone_member *members, size_t count,
			 const __u8 address[16]);

/* Of every generation in a slot, anew, as the host is now. 0 or -errno with kernel_words(). */
int zones_renew(struct instance *instance, const struct places *places, const struct host *host);

#endif
