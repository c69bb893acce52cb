/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What probe.bpf.c and probe.c share. */
#ifndef BULWARK_BENCH_PROBE_H
#define BULWARK_BENCH_PROBE_H

#define PROBE_SOURCES (1u << 20) /* that many sources in turn: more than any cache holds */

/* One source, in network order; port 0: leave it. Small, so that reading them in order leaves the caches to the tables.
 */
struct probe_source4 {
	__u32 address;
	__u16 port, unused;
};
struct probe_source6 {
	__u64 high, low;
	__u16 port, unused[3];
};
_Static_assert(sizeof(struct probe_source4) == 8 && sizeof(struct probe_source6) == 24, "shared with the kernel side");

#endif
