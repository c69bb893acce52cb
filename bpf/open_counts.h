/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections per source, prefix or service (`connections: 200`). sockops counts them here, XDP asks when a SYN
 * arrives and again at the ACK that completes it, and the recount (include/state.h) puts right what sockops could not
 * know. Who is counted has completed a handshake, so that nobody fills the table in other names.
 */
#ifndef BULWARK_OPEN_COUNTS_H
#define BULWARK_OPEN_COUNTS_H

/* The part of the source that the limit counts as one. Mapped IPv4 has its prefix in the low half. */
static __always_inline void open_key_make(struct open_key *key, const union address *source, int ipv6,
					  const struct limit_entry *limit)
{
	__u32 length = ipv6 ? limit->v6_length : limit->v4_length + 96;
	union address part = {};

	if (limit->per != LIMIT_PER_SERVICE) {
		part.half[0] = source->half[0] & bpf_cpu_to_be64(prefix_mask64(length));
		part.half[1] = length > 64 ? source->half[1] & bpf_cpu_to_be64(prefix_mask64(length - 64)) : 0;
	}
	__builtin_memcpy(key->address, &part, ADDRESS_BYTES);
	key->limit = limit->id;
}

/* ---- XDP ---- */

static __always_inline int open_is_checked(void)
{
	__u32 zero = 0;
	const struct open_checked *checked = bpf_map_lookup_elem(&open_checked, &zero);

	/* a time ahead of now is none that this clock has shown */
	return constants.offline || (checked && checked->at_ns && now_ns() - checked->at_ns < OPEN_UNCHECKED_NS);
}

/* Whether one connection more is too much for what the packet comes from. */
__noinline int too_many_open(const struct packet *pkt, const struct limit_entry *limit)
{
	const struct open_count *count;
	struct open_key key;

	if (!pkt || !limit)
		return 0;
	open_key_make(&key, &pkt->flow.source, pkt->flow.ipv6, limit);
	count = bpf_map_lookup_elem(&open_counts, &key);
	return count && count->open >= (__s64)limit->most && open_is_checked();
}

/* ---- counting ---- */

enum open_step { OPEN_STEP_DOWN, OPEN_STEP_UP, OPEN_STEP_SEEN };

/* The counts live on when they are 0: the recount removes them. A full table counts nothing more. */
static __always_inline void open_step(struct open_key *key, enum open_step step)
{
	struct open_count *count = bpf_map_lookup_elem(&open_counts, key);
	struct open_count none = {};

	if (!count) {
		bpf_map_update_elem(&open_counts, key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&open_counts, key);
	}
	if (!count)
		return;
	if (step == OPEN_STEP_SEEN) {
		__sync_fetch_and_add(&count->seen, 1);
		return;
	}
	__sync_fetch_and_add(&count->open, step == OPEN_STEP_UP ? 1 : -1);
	__sync_fetch_and_add(&count->changes, 1);
}

/* The lists that the source is in, where some limit asks. */
static __always_inline __u64 source_lists(const struct flow *flow)
{
	const struct class_entry *class;

	if (!constants.have_limit_lists)
		return 0;
	class = source_class(flow);
	return class ? class->lists : 0;
}

/* A connection to a service (or none), for each of its limits of open connections. flow: as the peer's packets name it.
 */
static __always_inline void count_open(const struct flow *flow, const struct service_entry *service,
				       enum open_step step)
{
	__u64 lists = source_lists(flow);

	for (__u32 i = 0; service && i < LIMIT_CELLS && i < service->limit_count; i++) {
		__u32 index = service->limits + i;
		const struct limit_entry *limit = bpf_map_lookup_elem(&limits, &index);
		struct open_key key;

		if (!limit || limit->kind != LIMIT_CONNECTIONS || !counts_source(limit, lists))
			continue;
		open_key_make(&key, &flow->source, flow->ipv6, limit);
		open_step(&key, step);
	}
}

/* ---- the recount: a syscall program, run by the daemon ---- */

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
	flow->protocol = IPPROTO_TCP;
	flow->zone = ZONE_ANY;
	flow->ipv6 = !is_mapped(&flow->destination);
}

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

static __always_inline int recount_end(__u64 now_ns)
{
	__u32 zero = 0;
	struct open_checked *checked = bpf_map_lookup_elem(&open_checked, &zero);

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
