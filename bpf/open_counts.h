/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections per source, prefix or service (`connections: 200`). sockops counts them here, and
 * routed.h those that only go through this host; XDP asks when a SYN arrives and again at the ACK that completes it,
 * and recount.h puts right what neither could know. Who is counted has completed a handshake, so that nobody fills the
 * table in other names.
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

	/* a time more than a tick ahead of now is none that this clock has shown */
	return constants.offline || (checked && checked->at_ns && is_within(checked->at_ns, OPEN_UNCHECKED_NS));
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

#endif
