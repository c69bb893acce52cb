/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When a service answers with SYN cookies (`syn-cookies: auto`), decided here without any process: as long as its SYNs
 * come faster than SYNS_A_SECOND, are over one of its limits per service or prefix, or have filled half of its
 * listener's queue, and ARMED_NS longer. Then who gets through when a service is over another limit:
 * sources that have completed a handshake in the last day come before strangers, on an account of their own.
 */
#ifndef BULWARK_ARMING_H
#define BULWARK_ARMING_H

#define ARMED_NS 30000000000ULL
#define ARMED_STEP_NS 1000000000ULL /* armed_until_ns is written at most so often */
#define SYNS_A_SECOND 1000
#define SYN_COST_NS (1000000000ULL / SYNS_A_SECOND)
#define SYN_TOLERANCE_NS 1000000000ULL /* a second's worth may come at once; half of it keeps armed */
#define KNOWN_SECONDS 86400
#define KNOWN_RENEW (KNOWN_SECONDS / 16)

static __always_inline struct cookie_cell *cookie_cell_of(const struct service_entry *service)
{
	__u32 row = service->row;

	return bpf_map_lookup_elem(&cookie_cells, &row);
}

static __always_inline int cell_armed(const struct cookie_cell *cell, __u64 now)
{
	return cell && cell->armed_until_ns > now && cell->armed_until_ns - now <= ARMED_NS + CLOCK_LAG_NS;
}

/* Whether SYNs to this service are answered with cookies now. */
static __always_inline int is_armed(const struct service_entry *service)
{
	if (!constants.cookies.format || !(service->flags & SERVICE_COOKIES))
		return 0;
	return service->flags & SERVICE_COOKIES_ALWAYS || cell_armed(cookie_cell_of(service), now_ns());
}

static __always_inline void arm(struct cookie_cell *cell, __u64 now)
{
	if (!cell_armed(cell, now))
		cell->armed_since_ns = now;
	else if (cell->armed_until_ns >= now + ARMED_NS - ARMED_STEP_NS)
		return;
	cell->armed_until_ns = now + ARMED_NS;
}

/* Whether SYNs come too fast; counts this one. Over the rate nothing is written. */
static __always_inline int too_many_syns(struct cookie_cell *cell, __u64 now)
{
	if (!cell_spend(&cell->syn_tat_ns, now, SYN_COST_NS, SYN_TOLERANCE_NS,
			SYN_TOLERANCE_NS + SYN_COST_NS + CLOCK_LAG_NS))
		return 1;
	return (__s64)(cell->syn_tat_ns - now) > (__s64)SYN_TOLERANCE_NS / 2 && cell_armed(cell, now);
}

/* A SYN was over a limit: one that everybody shares, or many, arms. */
static __always_inline void arm_over(const struct service_entry *service, const struct limit_entry *limit)
{
	struct cookie_cell *cell;

	if (!(service->flags & SERVICE_COOKIES) || (limit->per == LIMIT_PER_SOURCE && limit->v4_length == 32))
		return;
	cell = cookie_cell_of(service);
	if (cell)
		arm(cell, now_ns());
}

/* ---- sources with a history ---- */

static __always_inline __u64 hash_known(const struct flow *flow)
{
	return hash_source(KEY_KNOWN, flow, flow->ipv6 ? 64 : 128);
}

static __always_inline struct slot_line *known_line(__u64 hash)
{
	__u32 index = hash & (KNOWN_LINES - 1);

	return bpf_map_lookup_elem(&known, &index);
}

/* Whether an IPv4 address or IPv6 /64 has completed a handshake lately, by its hash. */
static __always_inline int is_known_by(__u64 hash, __u64 now)
{
	struct slot_line *line = known_line(hash);

	return line && line_find(line, hash, slot_time(now));
}

static __always_inline int is_known(const struct flow *flow)
{
	return is_known_by(hash_known(flow), now_ns());
}

/* It has now. */
__noinline int known_note(const struct packet *pkt)
{
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(KNOWN_SECONDS);
	struct slot_line *line;
	__u64 hash, *slot;

	if (!pkt)
		return 0;
	hash = hash_known(&pkt->flow);
	line = known_line(hash);
	if (!line)
		return 0;
	slot = line_find(line, hash, now);
	if (!slot)
		line_put(line, hash, expiry, MARK_ASKED);
	else if (SLOT_EXPIRY(*slot) + slot_lifetime(KNOWN_RENEW) < expiry)
		slot_renew(slot, expiry, MARK_ASKED);
	return 1;
}

/* A SYN over a limit that everybody shares: whether its source is known, and the known have not had their own share of
 * the same rate yet. */
__noinline int known_first(const struct packet *pkt, const struct service_entry *service, __u64 cost_ns,
			   __u64 tolerance_ns)
{
	struct cookie_cell *cell;

	if (!pkt || !service)
		return 0;
	cell = cookie_cell_of(service);
	return cell && is_known(&pkt->flow) &&
	       cell_spend(&cell->known_tat_ns, now_ns(), cost_ns, tolerance_ns, constants.limit_horizon_ns);
}

#endif
