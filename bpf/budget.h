/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Budgets that many share: one GCRA cell each (generic cell rate algorithm, ITU-T I.371). The whole state is the
 * theoretical arrival time; over the budget nothing is written, so a flood shares a clean cache line. The CPUs' clocks
 * are not one: a cell may have been written with a time that this CPU has yet to read.
 */
#ifndef BULWARK_BUDGET_H
#define BULWARK_BUDGET_H

/*
 * Spends from a cell, or not: 0 is over. Time further ahead than horizon_ns is a leftover of another policy or clock.
 * Of those who find a cell that owes nothing at the same time one begins anew; whoever is let through is counted, also
 * when others spend at the same moment: each CPU may find the last packet's room once.
 */
static __always_inline int cell_spend(__u64 *tat_ns, __u64 now, __u64 cost_ns, __u64 tolerance_ns, __u64 horizon_ns)
{
	__u64 old = *tat_ns, ahead = old - now, next;

	if (ahead > tolerance_ns && ahead <= horizon_ns)
		return 0;
	next = (ahead > tolerance_ns ? now : old) + cost_ns;
	if (__sync_val_compare_and_swap(tat_ns, old, next) != old)
		__sync_fetch_and_add(tat_ns, cost_ns);
	return 1;
}

/* A time that is further ahead is none that this rate has put there. */
static __always_inline __u64 budget_horizon(const volatile struct rate *rate)
{
	return rate->tolerance_ns + rate->increment_ns + CLOCK_LAG_NS;
}

static __always_inline int within_budget_here(enum budget which)
{
	const volatile struct rate *rate = &constants.budgets[which];
	struct budget_cell *cell;
	__u32 index = which;

	if (!rate->increment_ns)
		return 0;
	cell = bpf_map_lookup_elem(&budgets, &index);
	return !cell ||
	       cell_spend(&cell->tat_ns, now_ns(), rate->increment_ns, rate->tolerance_ns, budget_horizon(rate));
}

/* The same with a call. A global function: verified once. */
__noinline int within_budget(__u32 which)
{
	return which < BUDGET_COUNT && within_budget_here(which);
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
	ahead = cell->tat_ns - now; /* below 0 it wraps */
	return ahead <= rate->tolerance_ns || ahead > budget_horizon(rate);
}

#endif
