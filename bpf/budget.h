/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Budgets that many share: one GCRA cell each (generic cell rate algorithm, ITU-T I.371). The whole state is the
 * theoretical arrival time; over the budget nothing is written, so a flood shares a clean cache line.
 */
#ifndef BULWARK_BUDGET_H
#define BULWARK_BUDGET_H

static __always_inline int within_budget(enum budget which)
{
	const volatile struct rate *rate = &constants.budgets[which];
	__u64 now = now_ns(), tat, next;
	struct budget_cell *cell;
	__u32 index = which;

	if (!rate->increment_ns)
		return 0;
	cell = bpf_map_lookup_elem(&budgets, &index);
	if (!cell)
		return 1;
	tat = cell->tat_ns;
	/* a time further ahead than this rate can put it is a leftover of another policy: heal */
	if (tat > now + rate->tolerance_ns + rate->increment_ns)
		next = now + rate->increment_ns;
	else if (tat > now + rate->tolerance_ns)
		return 0;
	else
		next = (tat > now ? tat : now) + rate->increment_ns;
	__sync_val_compare_and_swap(&cell->tat_ns, tat, next);
	return 1;
}

/* Whether one more would be within it; takes nothing. */
static __always_inline int budget_has_room(enum budget which, __u64 now)
{
	const volatile struct rate *rate = &constants.budgets[which];
	const struct budget_cell *cell;
	__u32 index = which;
	__u64 ahead;

	cell = bpf_map_lookup_elem(&budgets, &index);
	if (!cell)
		return 1;
	/* none between tolerance and increment more: what is less is room, beyond is a leftover, and below 0 it wraps
	 */
	ahead = cell->tat_ns - now;
	return ahead - rate->tolerance_ns - 1 >= rate->increment_ns;
}

#endif
