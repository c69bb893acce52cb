/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What probe.bpf.c and probe.c share. */
#ifndef BULWARK_BENCH_PROBE_H
#define BULWARK_BENCH_PROBE_H

#define PROBE_SOURCES (1u << 20) /* that many sources in turn: more than any cache holds */

/* One source. Addresses in network order; IPv4 in the last four bytes. */
struct probe_source {
	__u64 high, low;
	__u16 port; /* network order; 0: leave it */
	__u16 unused[3];
};
_Static_assert(sizeof(struct probe_source) == 24, "probe_source is shared with the kernel side");

#endif
