/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The root programs: attached once per interface, permanent. They read the control word (include/control.h) and
 * tail-call the generation in force; a reload is one store by `steer`, and going back at a deadline needs nobody.
 */
#include "state.bpf.h"

#define TCX_NEXT -1 /* TC_ACT_UNSPEC on clsact: the next program or filter goes on */

/* The tick in ns, asked of the kernel by the controller (the resolution of its coarse clock). */
const volatile __u64 tick_ns = 4000000;

/* Pinned as `control`. Written by steer alone; read by every root program, so it is a global, not a look-up. */
volatile __u64 control_word SEC(".data.control") = CONTROL_WORD(SLOT_NONE, SLOT_NONE, 0);

/* One array per hook: programs of different hooks must not share one. Written by the controller (never the slot in
 * force), read by the roots. Their pins keep the entries: without a pin the kernel empties them. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOT_COUNT);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} xdp_slots SEC(".maps"), egress_slots SEC(".maps"), ingress_slots SEC(".maps"), sockops_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOT_COUNT);
	__type(key, __u32);
	__type(value, struct slot_info);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICE_ROWS);
	__type(key, __u32);
	__type(value, struct service_name);
} service_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HOLDS_MAX);
	__type(key, struct hold_key);
	__type(value, struct hold_note);
} hold_notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOLD_BATCHES);
	__type(key, __u32);
	__type(value, struct hold_batch);
} hold_batches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct origin);
} origin SEC(".maps");

/* Packets that no generation judged, by hook. Whatever grows here while a policy is live is a fault to report. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} fallthrough SEC(".maps");

static __always_inline bool deadline_passed(__u64 word)
{
	__u64 deadline = CONTROL_DEADLINE(word);

	return deadline && bpf_jiffies64() >= deadline;
}

static __always_inline __u32 slot_in_force(__u64 word)
{
	return deadline_passed(word) ? CONTROL_FALLBACK(word) : CONTROL_ACTIVE(word);
}

static __always_inline void count_fallthrough(__u32 hook)
{
	__u64 *packets = bpf_map_lookup_elem(&fallthrough, &hook);

	if (packets)
		++*packets;
}

/* Constant indices, and calls that clang cannot merge: the JIT then makes direct jumps of them, not retpolines. */
static __always_inline void enter_generation(void *ctx, const void *programs, __u32 slot)
{
	switch (slot) {
	case 0:
		bpf_tail_call_static(ctx, programs, 0);
		break;
	case 1:
		bpf_tail_call_static(ctx, programs, 1);
		break;
	case 2:
		bpf_tail_call_static(ctx, programs, 2);
		break;
	case 3:
		bpf_tail_call_static(ctx, programs, 3);
		break;
	case SLOT_PAUSED:
		bpf_tail_call_static(ctx, programs, SLOT_PAUSED);
		break;
	}
}

SEC("xdp.frags")
int xdp_root(struct xdp_md *ctx)
{
	enter_generation(ctx, &xdp_slots, slot_in_force(control_word));
	count_fallthrough(HOOK_XDP);
	return XDP_PASS;
}

/* The slot whose TC programs run: during a pause that of the generation beneath it. */
static __always_inline __u32 tc_slot(struct __sk_buff *skb)
{
	__u64 word = control_word;
	__u32 slot = slot_in_force(word);

	skb->cb[0] = 0;
	if (slot != SLOT_PAUSED)
		return slot;
	skb->cb[0] = TC_CB_PAUSED;
	return CONTROL_FALLBACK(word);
}

SEC("tc")
int egress_root(struct __sk_buff *skb)
{
	enter_generation(skb, &egress_slots, tc_slot(skb));
	count_fallthrough(HOOK_EGRESS);
	return TCX_NEXT;
}

SEC("tc")
int ingress_root(struct __sk_buff *skb)
{
	enter_generation(skb, &ingress_slots, tc_slot(skb));
	count_fallthrough(HOOK_INGRESS);
	return TCX_NEXT;
}

/* Whether a callback is one that generations work on: a dozen others of each connection ask how TCP is to be set. Of
 * changes of state only those to closed. */
static __always_inline int concerns_sockets(struct bpf_sock_ops *ops)
{
	__u32 what = ops->op;

	return what == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ||
	       (what == BPF_SOCK_OPS_STATE_CB && ops->args[1] == BPF_TCP_CLOSE);
}

/* Tags and counts of connections go on during a pause. */
SEC("sockops")
int sockops_root(struct bpf_sock_ops *ops)
{
	__u64 word;
	__u32 slot;

	if (!concerns_sockets(ops))
		return 1;
	word = control_word;
	slot = slot_in_force(word);
	enter_generation(ops, &sockops_slots, slot == SLOT_PAUSED ? CONTROL_FALLBACK(word) : slot);
	count_fallthrough(HOOK_SOCKOPS);
	return 1;
}

SEC("xdp.frags")
int paused(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;

	count_packet(interface_row(interface_find(ifindex), ifindex), VERDICT_PASS, REASON_PAUSED,
		     bpf_xdp_get_buff_len(ctx));
	return XDP_PASS;
}

static __always_inline __u64 ticks_from_ms(__u64 ms)
{
	return (ms * 1000000 + tick_ns - 1) / tick_ns;
}

/* What a switch makes of the word. A pause laid over a pause, or a generation that ends one, reaches the generation
 * beneath it: a pause is never what one falls back to. */
static __always_inline __u64 switched(__u64 word, __u32 slot, __u64 timeout_ms)
{
	__u32 before = CONTROL_ACTIVE(word);

	if (before == SLOT_PAUSED)
		before = CONTROL_FALLBACK(word);
	if (!timeout_ms)
		return CONTROL_WORD(slot, SLOT_NONE, 0);
	return CONTROL_WORD(slot, before, bpf_jiffies64() + ticks_from_ms(timeout_ms));
}

static __always_inline int steered(const struct steer_request *request, __u64 word, __u64 *next)
{
	*next = word;
	switch (request->operation) {
	case STEER_READ:
		return 0;
	case STEER_SWITCH:
		if (request->slot >= SLOT_COUNT || request->timeout_ms > 1ULL << 40)
			return -22; /* EINVAL */
		if (request->slot == SLOT_PAUSED && !request->timeout_ms)
			return -22;
		*next = switched(word, request->slot, request->timeout_ms);
		return 0;
	case STEER_CONFIRM:
		if (!CONTROL_DEADLINE(word) || CONTROL_ACTIVE(word) == SLOT_PAUSED)
			return -2; /* ENOENT */
		*next = CONTROL_WORD(CONTROL_ACTIVE(word), SLOT_NONE, 0);
		return 0;
	case STEER_FALL_BACK:
		if (!CONTROL_DEADLINE(word))
			return -2;
		*next = CONTROL_WORD(CONTROL_FALLBACK(word), SLOT_NONE, 0);
		return 0;
	}
	return -22;
}

SEC("syscall")
int steer(struct steer_request *request)
{
	__u64 found = control_word, word = found, expected = request->expected, next, deadline;

	request->reverted = deadline_passed(found);
	if (request->reverted)
		word = CONTROL_WORD(CONTROL_FALLBACK(found), SLOT_NONE, 0);
	request->expected = found;
	if (request->operation == STEER_SWITCH && expected != word) {
		request->result = -11; /* EAGAIN */
		next = word;
	} else {
		request->result = steered(request, word, &next);
	}
	if (next != found && __sync_val_compare_and_swap(&control_word, found, next) != found) {
		request->result = -11;
		next = control_word;
	}
	deadline = CONTROL_DEADLINE(next);
	request->word = next;
	request->remaining_ms = deadline ? (deadline - bpf_jiffies64()) * tick_ns / 1000000 : 0;
	return 0;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
