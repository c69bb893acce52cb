/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits that a spoofed flood cannot defeat: GCRA (generic cell rate algorithm, ITU-T I.371) in lines of eight slots.
 * The only state of a source is its theoretical arrival time (TAT); once that has passed, the state equals "never
 * seen", so the slot is free by definition. One cache line a packet, no lock, no allocation, no list to keep in order;
 * over the limit nothing is written.
 *
 * Packets of open connections and packets that prove nothing spend from different slots and cells.
 */
#ifndef BULWARK_LIMITS_H
#define BULWARK_LIMITS_H

#define LIMITER_TIME_MASK ((1ULL << LIMITER_TIME_BITS) - 1)
#define NEWCOMER_PART 8 /* see limiter_victim() */
#define SLOT_NONE SLOTS_A_LINE
#define SECOND_HOME 5 /* slots further on */
#define LIMITS_HERE 2 /* see judge_rates() */
#define CAS_TRIES 3   /* two CPUs on one source: see limiter_take() */

static __always_inline __u64 limiter_units(__u64 ns)
{
	return (ns + (1 << (LIMITER_TIME_SHIFT - 1))) >> LIMITER_TIME_SHIFT;
}

/* How far ahead of now a slot's time is; 0: expired, free, or wrapped. horizon: no time is further ahead. */
static __always_inline __u64 debt_of(__u64 slot, __u64 now, __u64 horizon)
{
	__u64 ahead = (slot - now) & LIMITER_TIME_MASK;

	return ahead > horizon ? 0 : ahead;
}

/* Where in the line this fingerprint is; SLOT_NONE: nowhere. */
static __always_inline __u32 limiter_find(const struct slot_line *line, __u64 print)
{
	for (__u32 i = 0; i < SLOTS_A_LINE; i++)
		if (line->slot[i] >> LIMITER_TIME_BITS == print)
			return i;
	asm volatile("" ::: "memory"); /* what comes next reads again instead of keeping all of the line on the stack */
	return SLOT_NONE;
}

/*
 * The slot that a newcomer takes: the one with the smallest debt, the first one that owes nothing, mostly. None where
 * even that one came less than an eighth of a packet's time ago and all of its debt is this first packet: in a
 * flood that fills the table, who came before is worth more than who comes now. Who sends eight times the limit or more
 * is back within that time, finds its slot, and owes too much from then on to be a victim; if every newcomer took a
 * slot, none would last that long.
 */
static __always_inline __u32 limiter_victim(const struct slot_line *line, __u64 now, __u64 horizon, __u64 cost)
{
	__u64 smallest = ~0ULL; /* debt, and which slot owes it, in the low bits */

#pragma unroll /* the verifier of 6.1 refuses the loop that clang would make of it */
	for (__u32 i = 0; i < SLOTS_A_LINE; i++) {
		__u64 debt = debt_of(line->slot[i], now, horizon);

		if (!debt)
			return i;
		if ((debt * SLOTS_A_LINE | i) < smallest)
			smallest = debt * SLOTS_A_LINE | i;
	}
	return cost - smallest / SLOTS_A_LINE < cost / NEWCOMER_PART ? SLOT_NONE : smallest % SLOTS_A_LINE;
}

static __always_inline __u64 limiter_slot(__u64 print, __u64 time)
{
	return print << LIMITER_TIME_BITS | (time & LIMITER_TIME_MASK);
}

/* What a source's time is kept in, and the time of now. In units of 64 ns. */
struct limiter {
	struct slot_line *line;
	__u64 print, now, horizon;
};

/* hash: of the source; the low bits choose the line, print tells sources and limits apart in it. 0: there is none. */
static __always_inline int limiter_open(struct limiter *at, __u64 hash, __u64 print)
{
	__u32 index = hash & (constants.limiter_lines - 1);

	at->line = bpf_map_lookup_elem(&limiters, &index);
	at->now = now_ns() >> LIMITER_TIME_SHIFT;
	at->horizon = limiter_units(constants.limit_horizon_ns);
	at->print = print & ((1ULL << (64 - LIMITER_TIME_BITS)) - 1);
	return !!at->line;
}

static __always_inline void limiter_settle(const struct limiter *at, __u32 slot, __u64 cost)
{
	at->line->slot[slot] = limiter_slot(at->print, at->now + cost);
}

enum { OVER = 0, SPENT = 1, RACED = 2 };

/* Spends from a slot that was this source's. */
static __always_inline int limiter_spend(const struct limiter *at, __u32 slot, __u64 cost, __u64 tolerance)
{
	__u64 old = at->line->slot[slot];
	__u64 debt = old >> LIMITER_TIME_BITS == at->print ? debt_of(old, at->now, at->horizon) : 0;
	__u64 new = limiter_slot(at->print, at->now + debt + cost);

	if (debt > tolerance)
		return OVER;
	return __sync_val_compare_and_swap(&at->line->slot[slot], old, new) == old ? SPENT : RACED;
}

/* All ones where whoever is in this slot owes something, else 0. */
static __always_inline __u64 limiter_owes(const struct limiter *at, __u32 slot)
{
	__u64 last = ((at->line->slot[slot] - at->now) & LIMITER_TIME_MASK) - 1;

	return (__s64)(~last & (last - at->horizon)) >> 63;
}

/*
 * Where a newcomer settles: its fingerprint names two slots, and it is the second one where somebody in the first one
 * owes something. Nothing branches at that: in a flood of newcomers it cannot be guessed, and would only be known when
 * the line has come from memory.
 */
static __always_inline __u32 limiter_home(const struct limiter *at)
{
	__u32 first = at->print & (SLOTS_A_LINE - 1);

	return (first + (limiter_owes(at, first) & SECOND_HOME)) & (SLOTS_A_LINE - 1);
}

/*
 * Whether a source conforms, and its new time when it does. Units of 64 ns. A global function: verified once.
 *
 * A newcomer's slot is written without a look at what became of it meanwhile: who is there would be pushed out all the
 * same. That can lose one packet of a source whose first two come to two CPUs at once, and spares every packet of a
 * flood of new sources a locked instruction.
 */
__noinline int limiter_take(__u64 hash, __u64 print, __u64 cost, __u64 tolerance)
{
	struct limiter at;
	__u32 slot;

	if (!limiter_open(&at, hash, print))
		return 1;
	slot = limiter_find(at.line, at.print);
	if (slot >= SLOTS_A_LINE) {
		slot = limiter_home(&at);
		if (limiter_owes(&at, slot))
			slot = limiter_victim(at.line, at.now, at.horizon, cost);
		if (slot < SLOTS_A_LINE)
			limiter_settle(&at, slot, cost);
		return 1;
	}
	for (int try = 0; try < CAS_TRIES; try++) {
		int spent = limiter_spend(&at, slot, cost, tolerance);

		if (spent != RACED)
			return spent;
	}
	/* so many others spend from it that looking once more is no use: counted as it stands */
	__sync_fetch_and_add(&at.line->slot[slot], cost);
	return 1;
}

/* The same without a call, but for a newcomer to two slots whose sources owe something, and who loses a race. */
static __always_inline int limiter_take_here(__u64 hash, __u64 print, __u64 cost, __u64 tolerance)
{
	struct limiter at;
	__u32 slot;
	int spent;

	if (!limiter_open(&at, hash, print))
		return 1;
	slot = at.print & (SLOTS_A_LINE - 1);
	if (at.line->slot[slot] >> LIMITER_TIME_BITS != at.print)
		slot = limiter_find(at.line, at.print);
	if (slot < SLOTS_A_LINE) {
		spent = limiter_spend(&at, slot, cost, tolerance);
		return spent == RACED ? limiter_take(hash, print, cost, tolerance) : spent;
	}
	slot = limiter_home(&at);
	if (limiter_owes(&at, slot))
		return limiter_take(hash, print, cost, tolerance);
	limiter_settle(&at, slot, cost);
	return 1;
}

/* Whether what everybody sends to a service conforms. ns. */
static __always_inline int cell_take_here(__u32 index, __u64 cost_ns, __u64 tolerance_ns)
{
	struct budget_cell *cell = bpf_map_lookup_elem(&service_cells, &index);

	return !cell || cell_spend(&cell->tat_ns, now_ns(), cost_ns, tolerance_ns, constants.limit_horizon_ns);
}

__noinline int cell_take(__u32 index, __u64 cost_ns, __u64 tolerance_ns)
{
	return cell_take_here(index, cost_ns, tolerance_ns);
}

/* Tells sources and limits apart in a line; packets of open connections from those that prove nothing. */
static __always_inline __u64 limiter_print(const struct limit_entry *limit, __u64 hash, int proven)
{
	return (hash >> 40) ^ (limit->id << 1 | proven);
}

static __always_inline enum reason limit_reason(__u8 kind)
{
	return kind == LIMIT_BYTES	       ? REASON_RATE_BYTES
	       : kind == LIMIT_NEW_CONNECTIONS ? REASON_RATE_CONNECTIONS
	       : kind == LIMIT_CONNECTIONS     ? REASON_CONNECTIONS
					       : REASON_RATE_PACKETS;
}

/* A part of the source, as long as 128 bits have it, and its hash. The limits of a service mostly count the same. */
#define NOT_COUNTED 0xffffffff /* a length that no limit has, as the verifier sees, too */
struct counted {
	__u64 hash;
	__u32 length;
};

/*
 * What the last sources of this CPU were hashed to: who sends most is hashed least. A flood of new sources finds
 * nothing here and pays a line of the first cache for it. The place needs no secret: who meets another one there gains
 * that both are hashed, as all were before.
 */
#define HASHED_BITS 6
struct hashed_source {
	union address source;
	__u64 hash;
	__u32 length, unused;
};
struct hashed_sources {
	struct hashed_source place[1 << HASHED_BITS];
};

/* Written and read here only, by each CPU its own: no locks. Of a generation; 2 KiB a CPU. Full: the older one goes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hashed_sources);
} hashed_lately SEC(".maps");

static __always_inline __u64 hash_unless_lately(const struct flow *flow, __u32 length)
{
	__u64 high = flow->source.half[0], low = flow->source.half[1], hash;
	__u32 zero = 0, index = (high ^ low) * 0x9e3779b97f4a7c15ULL >> (64 - HASHED_BITS);
	struct hashed_sources *lately = bpf_map_lookup_elem(&hashed_lately, &zero);
	struct hashed_source *place = lately ? &lately->place[index] : NULL;

	if (place && !((place->source.half[0] ^ high) | (place->source.half[1] ^ low) | (place->length ^ length)))
		return place->hash;
	hash = hash_source(KEY_SOURCE, flow, length);
	if (place) {
		place->hash = hash;
		place->source.half[0] = high;
		place->source.half[1] = low;
		place->length = length;
	}
	return hash;
}

/* What of the source the limit counts as one, hashed unless it is what was counted before. */
static __always_inline __u64 hash_counted(struct counted *counted, const struct flow *flow,
					  const struct limit_entry *limit)
{
	__u32 length = flow->ipv6 ? limit->v6_length : limit->v4_length + 96;

	if (counted->length != length) {
		counted->length = length;
		counted->hash = hash_unless_lately(flow, length);
	}
	return counted->hash;
}

/* Of a packet, in ns; of many that were merged, no more than the longest that a limit may take to refill. */
static __always_inline __u64 limit_cost(const struct limit_entry *limit, const struct packet *pkt, __u32 packets)
{
	__u64 cost_ns = (limit->cost * (limit->kind == LIMIT_BYTES ? pkt->length : packets)) >> 10;

	return cost_ns < LIMIT_REFILL_MOST_NS ? cost_ns : LIMIT_REFILL_MOST_NS;
}

static __always_inline __u32 cell_number(const struct service_entry *service, const struct limit_entry *limit,
					 int proven)
{
	return (service->row * LIMIT_CELLS + (limit->position & (LIMIT_CELLS - 1))) * 2 + proven;
}

static __always_inline int within_limit(const struct packet *pkt, const struct service_entry *service,
					const struct limit_entry *limit, struct counted *counted, __u32 packets,
					int proven)
{
	__u64 cost_ns, hash;

	if (constants.have_open && limit->kind == LIMIT_CONNECTIONS)
		return !too_many_open(pkt, limit);
	cost_ns = limit_cost(limit, pkt, packets);
	if (limit->per == LIMIT_PER_SERVICE)
		return cell_take(cell_number(service, limit, proven), cost_ns, limit->tolerance_ns);
	hash = hash_counted(counted, &pkt->flow, limit);
	return limiter_take(hash, limiter_print(limit, hash, proven), limiter_units(cost_ns),
			    limiter_units(limit->tolerance_ns));
}

/* A client inside an open connection meets a limit: it cannot have been forged, so that people should know of it. */
static __always_inline void note_proven_drop(const struct packet *pkt)
{
	__u64 hash = hash_sample(&pkt->flow.source, 0), *slot;
	__u32 index = hash & (PROVEN_LINES - 1), now = slot_time(now_ns());
	__u32 expiry = now + slot_lifetime(PROVEN_DROP_SECONDS);
	struct slot_line *line = bpf_map_lookup_elem(&proven_drops, &index);

	if (constants.offline || constants.monitor || !line)
		return;
	slot = line_find(line, hash, now);
	if (!slot)
		line_put(line, hash, expiry, MARK_ASKED);
	else if (SLOT_EXPIRY(*slot) + 4 < expiry)
		slot_renew(slot, expiry, MARK_ASKED);
}

/* Whether a handshake over the limit is an offence: then a SYN over it is answered with a cookie whatever else goes on,
 * for a SYN can be forged and only its ACK cannot. */
static __always_inline int may_offend(const struct service_entry *service, const struct limit_entry *limit)
{
	return constants.have_bans && constants.cookies.format && limit->kind == LIMIT_NEW_CONNECTIONS && limit->bans &&
	       service->flags & SERVICE_COOKIES;
}

/* A SYN over a limit that everybody or many share arms cookies. Where they are armed, one over a limit of new
 * connections is answered, for the ACK that brings the cookie back is counted again; over another one that everybody
 * shares those with a history are. */
static __always_inline int proves_first(struct packet *pkt, const struct service_entry *service,
					const struct limit_entry *limit, __u32 packets)
{
	if (pkt->flow.protocol != IPPROTO_TCP)
		return 0;
	if (limit->kind != LIMIT_CONNECTIONS && proof_of(pkt) == PROOF_SYN)
		arm_over(service, limit);
	if (!is_armed(service) && !may_offend(service, limit))
		return 0;
	if (limit->kind != LIMIT_NEW_CONNECTIONS)
		return limit->kind != LIMIT_CONNECTIONS && limit->per == LIMIT_PER_SERVICE &&
		       known_first(pkt, service, limit_cost(limit, pkt, packets), limit->tolerance_ns);
	pkt->over = 1;
	pkt->over_rule = limit->rule;
	return 1;
}

/* Some limits count only what begins a connection: a SYN, and the ACK that completes the handshake. Which of these,
 * connections: any. new-connections: that of a cookie; where a SYN over the limit was answered with one so that its ACK
 * can be an offence, also all others, so that a source has the limit once and not by either way. */
static __always_inline int concerns(const struct limit_entry *limit, const struct service_entry *service,
				    const struct packet *pkt, int proven)
{
	if (constants.idle_request_ms && limit->kind == LIMIT_IDLE_REQUEST)
		return 0;
	if (limit->kind != LIMIT_NEW_CONNECTIONS && limit->kind != LIMIT_CONNECTIONS)
		return 1;
	if (pkt->flow.protocol != IPPROTO_TCP)
		return 0;
	if (!proven)
		return 1;
	if (limit->kind == LIMIT_CONNECTIONS)
		return pkt->completes;
	/* the kernel, too, sends cookies of its own format, to SYNs that were counted */
	return (pkt->handshake && (!kernel_takes_back() || is_armed(service))) ||
	       (pkt->completed && may_offend(service, limit));
}

/* A service's limits in file order, from `first` on; the one exceeded first gives the reason, REASON_NONE: none is.
 * lists: those that the source is in; whole: the hash of all of it, where it is known, or 0. */
__noinline int judge_limits(struct xdp_md *ctx, struct packet *pkt, __u32 first, __u64 lists, __u64 whole)
{
	const struct service_entry *service;
	struct counted counted = {.hash = whole, .length = whole ? ADDRESS_BITS : NOT_COUNTED};
	__u32 index, packets;
	int proven;

	if (!pkt)
		return REASON_NONE;
	proven = pkt->proven;
	service = service_in_force(pkt);
	if (!service)
		return REASON_NONE;
	packets = segments_here(ctx, pkt->length);
	for (__u32 i = first; i < LIMIT_CELLS && i < service->limit_count; i++) {
		const struct limit_entry *limit;

		index = service->limits + i;
		limit = bpf_map_lookup_elem(&limits, &index);
		if (!limit)
			break;
		if (!counts_source(limit, lists) || !concerns(limit, service, pkt, proven) ||
		    within_limit(pkt, service, limit, &counted, packets, proven))
			continue;
		if (limit->monitor) {
			would_drop(pkt, limit_reason(limit->kind), limit->rule);
			continue;
		}
		if (constants.cookies.format && !proven && proves_first(pkt, service, limit, packets))
			continue;
		pkt->rule = limit->rule;
		if (proven)
			note_proven_drop(pkt);
		pkt->offence = constants.have_bans && proven && limit->bans ? OFFENCE_IN_CONNECTION : 0;
		return limit_reason(limit->kind);
	}
	return REASON_NONE;
}

/* Whether it is a rate that counts this packet, as limits mostly are. */
static __always_inline int is_usual_limit(const struct limit_entry *limit, const struct packet *pkt)
{
	return limit->kind <= LIMIT_BYTES ||
	       (limit->kind == LIMIT_NEW_CONNECTIONS && pkt->flow.protocol == IPPROTO_TCP && !pkt->proven);
}

static __always_inline int within_limit_here(const struct packet *pkt, const struct service_entry *service,
					     const struct limit_entry *limit, struct counted *counted, __u32 packets)
{
	__u64 cost_ns = limit_cost(limit, pkt, packets), hash;

	if (limit->per == LIMIT_PER_SERVICE)
		return cell_take_here(cell_number(service, limit, pkt->proven), cost_ns, limit->tolerance_ns);
	hash = hash_counted(counted, &pkt->flow, limit);
	return limiter_take_here(hash, limiter_print(limit, hash, pkt->proven), limiter_units(cost_ns),
				 limiter_units(limit->tolerance_ns));
}

/*
 * Whether a packet is within the limits of its service. The first two of them, if they are usual ones, are asked here,
 * the others in a function: that is three calls less, each of which costs as much as the limiter itself where the
 * processor is kept from guessing returns. Who is over one is dropped here, too, unless that has consequences; what is
 * over a limit spends nothing, so the function comes to the same.
 */
static __always_inline enum reason judge_rates(struct xdp_md *ctx, struct packet *pkt, __u64 lists, __u64 whole)
{
	const struct service_entry *service = service_in_force(pkt);
	struct counted counted = {.hash = whole, .length = whole ? ADDRESS_BITS : NOT_COUNTED};
	__u32 packets, index, i;

	if (!service)
		return REASON_NONE;
	packets = segments_here(ctx, pkt->length);
#pragma clang loop unroll(disable)
	for (i = 0; i < LIMITS_HERE && i < service->limit_count; i++) {
		const struct limit_entry *limit;

		index = service->limits + i;
		limit = bpf_map_lookup_elem(&limits, &index);
		if (!limit || !is_usual_limit(limit, pkt))
			break;
		if (!counts_source(limit, lists) || within_limit_here(pkt, service, limit, &counted, packets))
			continue;
		if (constants.cookies.format || pkt->proven || limit->monitor)
			break;
		pkt->rule = limit->rule;
		return limit_reason(limit->kind);
	}
	return i < service->limit_count
		       ? judge_limits(ctx, pkt, i, lists, counted.length == ADDRESS_BITS ? counted.hash : 0)
		       : REASON_NONE;
}

#endif
