/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Open connections, counted again: a syscall program, run by the daemon (include/state.h). */
#ifndef BULWARK_RECOUNT_H
#define BULWARK_RECOUNT_H

static long recount_begin(struct bpf_map *map, const void *key, struct open_count *count, void *unused)
{
	(void)map, (void)key, (void)unused;
	count->seen = 0;
	count->changes_before = count->changes;
	return 0;
}

/* What was found differs from what is counted by at most what opened and closed meanwhile; else the count is wrong. */
static long recount_settle(struct bpf_map *map, const void *key, struct open_count *count, void *unused)
{
	__s32 wrong = (__s32)count->seen - count->open;
	__u32 meanwhile = count->changes - count->changes_before;

	(void)unused;
	if ((__u32)(wrong < 0 ? -wrong : wrong) > meanwhile)
		__sync_fetch_and_add(&count->open, wrong);
	else if (!count->seen && !count->open && !meanwhile)
		bpf_map_delete_elem(map, key);
	return 0;
}

static __always_inline void read_found(const struct open_connection *found, struct flow *flow)
{
	__builtin_memcpy(&flow->source, found->source, ADDRESS_BYTES);
	__builtin_memcpy(&flow->destination, found->destination, ADDRESS_BYTES);
	flow->destination_port = found->port;
	flow->source_port = found->source_port;
	flow->protocol = IPPROTO_TCP;
	flow->zone = ZONE_ANY;
	flow->ipv6 = !is_mapped(&flow->destination);
}

/* ---- what this host merely routes ---- */

/* Whether the packet path counts it already; connection tracking tells of it from now on. */
static __always_inline int note_tracked(const struct flow *flow)
{
	struct routed_key key;
	struct routed *entry;

	if (!counts_routed())
		return 0;
	routed_key_make(&key, flow);
	entry = bpf_map_lookup_elem(&routed, &key);
	if (entry)
		entry->told = ROUTED_TRACKED | ROUTED_SEEN;
	return entry != NULL;
}

/*
 * Whether half_open still has it, and it has not ended: an end that has closed and a client that has been silent since,
 * or a client that has sent a reset and nothing after it. That reset can be forged; then what follows revives it. Both
 * may be younger than now, which is when the recount began.
 */
static __always_inline int half_open_holds(const struct flow *flow, struct routed *entry, __u32 now)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, flow), *slot;
	__u32 spoken;
	struct slot_line *line = half_open_line(hash);

	slot = line ? line_find(line, hash, now) : NULL;
	if (!slot || SLOT_MARK(*slot) != MARK_PROVEN)
		return 0;
	spoken = SLOT_EXPIRY(*slot) - slot_lifetime(TCP_SPOKEN);
	if (entry->closed && (__s32)(now - spoken) > (__s32)slot_lifetime(ROUTED_CLOSING))
		return 0;
	if (!entry->reset || (__s32)(now - entry->reset) < ROUTED_RESET_WAIT)
		return 1;
	if ((__s32)(spoken - entry->reset) <= 0)
		return 0;
	entry->reset = 0;
	return 1;
}

static long recount_routed(struct bpf_map *map, const struct routed_key *key, struct routed *entry, const __u32 *now)
{
	struct flow flow = {.protocol = IPPROTO_TCP, .zone = ZONE_ANY};
	const struct service_entry *service;
	struct routed_key here = *key;
	__u16 number;
	int lives;

	(void)map;
	__builtin_memcpy(&flow.source, here.source, ADDRESS_BYTES);
	__builtin_memcpy(&flow.destination, here.destination, ADDRESS_BYTES);
	flow.source_port = here.source_port;
	flow.destination_port = here.destination_port;
	flow.ipv6 = !is_mapped(&flow.destination);
	service = service_of(&flow, &number);
	lives = counts_routed() && (entry->told ? entry->told & ROUTED_SEEN : half_open_holds(&flow, entry, *now));
	entry->told &= ROUTED_TRACKED;
	if (lives || !bpf_map_delete_elem(&routed, &here))
		count_open(&flow, service, lives ? OPEN_STEP_SEEN : OPEN_STEP_DOWN);
	return 0;
}

/* ---- what the program is asked ---- */

struct portion {
	struct open_found *found;
	enum open_step step;
};

static long recount_one(__u32 index, struct portion *portion)
{
	struct flow flow = {};
	__u16 number;

	if (index >= OPEN_FOUND_PORTION)
		return 1;
	read_found(&portion->found->items[index], &flow);
	count_open(&flow, service_of(&flow, &number), portion->step);
	return 0;
}

static __always_inline int recount_portion(enum open_step step)
{
	struct portion portion = {.step = step};
	__u32 zero = 0;

	portion.found = bpf_map_lookup_elem(&open_found, &zero);
	if (portion.found)
		bpf_loop(portion.found->count, recount_one, &portion, 0);
	return 0;
}

/* Of what connection tracking sends on to another address, or only sees. */
static long recount_translated(__u32 index, struct portion *portion)
{
	struct flow flow = {};
	__u16 number;

	if (index >= OPEN_FOUND_PORTION)
		return 1;
	read_found(&portion->found->items[index], &flow);
	if (!note_tracked(&flow))
		count_open(&flow, service_of(&flow, &number), OPEN_STEP_SEEN);
	return 0;
}

static long recount_seen(__u32 index, struct portion *portion)
{
	struct flow flow = {};

	if (index >= OPEN_FOUND_PORTION)
		return 1;
	read_found(&portion->found->items[index], &flow);
	note_tracked(&flow);
	return 0;
}

static __always_inline int recount_tracked(int translated)
{
	struct portion portion = {};
	__u32 zero = 0;

	portion.found = bpf_map_lookup_elem(&open_found, &zero);
	if (portion.found && translated)
		bpf_loop(portion.found->count, recount_translated, &portion, 0);
	else if (portion.found && counts_routed())
		bpf_loop(portion.found->count, recount_seen, &portion, 0);
	return 0;
}

static __always_inline int recount_end(__u64 now_ns)
{
	__u32 zero = 0, now = slot_time(now_ns);
	struct open_checked *checked = bpf_map_lookup_elem(&open_checked, &zero);

	bpf_for_each_map_elem(&routed, recount_routed, &now, 0);
	bpf_for_each_map_elem(&open_counts, recount_settle, NULL, 0);
	if (checked)
		checked->at_ns = now_ns;
	return 0;
}

static __always_inline int judge_recount(const struct recount_request *request)
{
	switch (request->operation) {
	case RECOUNT_BEGIN:
		return bpf_for_each_map_elem(&open_counts, recount_begin, NULL, 0) < 0;
	case RECOUNT_FOUND:
		return recount_portion(OPEN_STEP_SEEN);
	case RECOUNT_TRANSLATED:
		return recount_tracked(1);
	case RECOUNT_ROUTED:
		return recount_tracked(0);
	case RECOUNT_SETTLE:
		return recount_end(request->now_ns);
	case RECOUNT_OPENED:
		return recount_portion(OPEN_STEP_UP);
	case RECOUNT_CLOSED:
		return recount_portion(OPEN_STEP_DOWN);
	}
	return 1;
}

#endif
