/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state maps of include/state.h as the programs see them. The root object declares them all, so the first
 * apply after a boot makes them; every live generation is loaded over the same pins, an offline one makes its own.
 * Who writes, who reads, how large and what happens when one is full: the table in include/state.h.
 */
#ifndef BULWARK_STATE_BPF_H
#define BULWARK_STATE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "generation.h"
#include "state.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SERVICE_COUNTERS);
	__type(key, __u32);
	__type(value, struct counter);
} service_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SERVICE_ROWS);
	__type(key, __u32);
	__type(value, struct stance);
} stances SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SERVICE_ROWS);
	__type(key, __u32);
	__type(value, struct profile_switch);
} profiles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INTERFACES);
	__type(key, __u32);
	__type(value, struct interface_entry);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ZONE_MEMBERS);
	__type(key, struct zone_key);
	__type(value, __u32);
} zones SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWN_ADDRESSES_MAX);
	__uint(key_size, ADDRESS_BYTES);
	__uint(value_size, sizeof(__u32));
} own_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HOLDS_MAX);
	__type(key, struct hold_key);
	__type(value, struct hold);
} holds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hold_lengths);
} hold_lengths SEC(".maps");

/* Made by the controller, of the size that the holds need. */
struct hold_lines {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct hold_line));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct hold_lines);
} hold_tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, AUTOMATIC_BANS_MAX);
	__type(key, struct hold_key);
	__type(value, struct automatic_ban);
} automatic_bans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OFFENCE_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} offences SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HALF_OPEN_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} half_open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRAGMENT_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUDGET_COUNT);
	__type(key, __u32);
	__type(value, struct budget_cell);
} budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMITER_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} limiters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICE_CELLS);
	__type(key, __u32);
	__type(value, struct budget_cell);
} service_cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OPEN_COUNTS_MAX);
	__type(key, struct open_key);
	__type(value, struct open_count);
} open_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_found);
} open_found SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_checked);
} open_checked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROUTED_MAX);
	__type(key, struct routed_key);
	__type(value, struct routed);
} routed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slow_found);
} slow_found SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slow_looks);
} slow_looks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICE_ROWS);
	__type(key, __u32);
	__type(value, struct cookie_cell);
} cookie_cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KNOWN_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNANSWERED_LINES);
	__type(key, __u32);
	__type(value, struct unanswered_line);
} unanswered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLE_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROVEN_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} proven_drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SIGHTINGS);
	__type(key, __u64);
	__type(value, struct sighting);
} sightings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FINGERPRINTS);
	__type(key, __u64);
	__type(value, struct fingerprint);
} fingerprints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ACCOUNT_LINES);
	__type(key, __u32);
	__type(value, struct slot_line);
} accounts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << CLOSING_BITS);
	__type(key, __u32);
	__type(value, __u64);
} closings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEAR_ROWS);
	__type(key, __u32);
	__type(value, struct connection_sums);
} near_sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SERVICE_ROWS);
	__type(key, __u32);
	__type(value, struct connection_sums);
} connection_sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_SLOTS);
	__type(key, __u32);
	__type(value, struct telling);
} telling SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SAMPLES_A_CPU);
	__type(key, __u32);
	__type(value, struct packet_sample);
} packet_samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sample_turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct host_facts);
} host_facts SEC(".maps");

/* The row of an interface in counters; 0 for those beyond the ones that have a row of their own. */
static __always_inline __u32 interface_row(const struct interface_entry *entry, __u32 ifindex)
{
	return entry && entry->ifindex == ifindex && entry->row < INTERFACE_ROWS ? entry->row : 0;
}

static __always_inline const struct interface_entry *interface_find(__u32 ifindex)
{
	__u32 slot = ifindex % INTERFACES;

	return bpf_map_lookup_elem(&interfaces, &slot);
}

/* A failed look-up costs a count, never the packet. */
static __always_inline void count_packet(__u32 row, __u32 verdict, __u32 reason, __u64 bytes)
{
	__u32 index = COUNTER_INDEX(row, verdict, reason);
	struct counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

#endif
