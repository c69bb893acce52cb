/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a generation owns: its constants and its lookup tables. Written once by userspace/kernel_load.c before the
 * program is in a slot, read by the program, never changed; max_entries is set at load to what the policy needs.
 */
#ifndef BULWARK_GENERATION_BPF_H
#define BULWARK_GENERATION_BPF_H

#include "generation.h"

const volatile struct generation_config constants = {};

/* What the sums of a service begin as. */
const struct connection_sums no_sums = {};

#define TABLE(table, entry)                                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, entry);                                                                                  \
	} table SEC(".maps")

TABLE(v4_blocks, struct v4_block);
TABLE(v4_compact, struct v4_compact_chunk);
TABLE(v4_direct, struct v4_direct_chunk);
TABLE(v4_masks, struct v4_mask);
TABLE(v4_run_classes, struct u16_line);
TABLE(v6_short, __u64);
TABLE(v6_heads, struct v6_head_bits);
TABLE(v6_bits, __u64);
TABLE(v6_deep_bits, __u64);
TABLE(v6_wide_bits, __u64);
TABLE(v6_mask32, struct u16_line);
TABLE(v6_mask48, struct u16_line);
TABLE(v6_masks, __u64);
TABLE(v6_deep_lines, struct v6_deep_line);
TABLE(v6_lines64, struct v6_line64);
TABLE(v6_lines128, struct v6_line128);
TABLE(classes, struct class_entry);
TABLE(services, struct service_entry);
TABLE(limits, struct limit_entry);
TABLE(port_services, struct u16_line);
TABLE(tls_rules, struct tls_entry);
TABLE(http_rules, struct http_entry);
TABLE(quic_rules, struct quic_entry);
TABLE(names, struct name_line);

/* Offline only (constants.offline): what stands in for the host. Written by the controller between packets. */
__u64 virtual_now_ns = 0;
__u32 own_known = 0;	   /* own_addresses says which destinations are this host's; else every one is */
__u32 offline_profile = 0; /* 1: `under-attack` holds */
__u32 offline_zone = 0;	   /* the zone that packets come in by */
struct decision decision = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* CONNECTIONS_MAX offline */
	__type(key, struct connection_key);
	__type(value, __u8);
} connections SEC(".maps");

/* Offline only: where the streams of a capture begin, by the SYN. Key: the flow's hash, value: a sequence number. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* STREAMS_OFFLINE offline */
	__type(key, __u64);
	__type(value, __u32);
} stream_starts SEC(".maps");

#endif
