/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `under-attack` of the policy: a generation holds each service twice, as it is in peace and as it is under attack,
 * `profile_shift` apart. Which of them holds is a word in pinned state, one of the service and one of all, so that the
 * switch is a store, and every word has an end that the packet path itself sees. Policies without the word have no
 * shift, and nothing of this is in their programs.
 */
#ifndef BULWARK_PROFILE_H
#define BULWARK_PROFILE_H

static __always_inline int profile_holds(__u32 row, __u64 now)
{
	const struct profile_switch *profile = bpf_map_lookup_elem(&profiles, &row);

	return profile && profile->until_ns && profile->until_ns > now;
}

/* A function of its own: its stack must not add to that of the questions. */
__noinline int index_in_force(const struct packet *pkt)
{
	if (!pkt)
		return 0;
	if (constants.offline ? offline_profile : profile_holds(0, now_ns()) || profile_holds(pkt->row, now_ns()))
		return pkt->service + constants.profile_shift;
	return pkt->service;
}

/* Its limits and cookies as they are now; judged for exposure it was as in peace. */
static __always_inline struct service_entry *service_in_force(const struct packet *pkt)
{
	return service_at(constants.profile_shift ? index_in_force(pkt) : pkt->service);
}

#endif
