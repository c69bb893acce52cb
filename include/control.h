/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control word and the slots it names.
 *
 * Every hook has one permanent root program (bpf/root.bpf.c). It reads one 64-bit word and tail-calls the
 * generation that the word names, so one aligned store switches every interface and hook at the same
 * instant, and the kernel itself goes back when a deadline passes, even if every process is dead.
 *
 *   63      56 55      48 47                                    0
 *   [ active ] [fallback] [ deadline in jiffies64, 0 for none   ]
 *
 *   slot in force = deadline != 0 && jiffies64 >= deadline ? fallback : active
 *
 * apply --confirm: active = candidate, fallback = what was live, deadline = the time to confirm.
 * pause:           active = SLOT_PAUSED, fallback = what was live, deadline = the end of the pause.
 */
#ifndef BULWARK_CONTROL_H
#define BULWARK_CONTROL_H

#define LAYOUT_VERSION 1 /* of everything pinned; part of the pin path, so layouts never mix */

#define CONTROL_DEADLINE_BITS 48
#define CONTROL_DEADLINE_MASK ((1ULL << CONTROL_DEADLINE_BITS) - 1)
#define CONTROL_WORD(active, fallback, deadline)                                                                       \
	(((__u64)(active) << 56) | ((__u64)(fallback) << 48) | ((__u64)(deadline)&CONTROL_DEADLINE_MASK))
#define CONTROL_ACTIVE(word) ((__u32)((word) >> 56))
#define CONTROL_FALLBACK(word) ((__u32)(((word) >> 48) & 0xff))
#define CONTROL_DEADLINE(word) ((word)&CONTROL_DEADLINE_MASK)

enum {
	GENERATION_SLOTS = 4, /* a pending apply holds two, a feed refresh meanwhile a third */
	SLOT_PAUSED = 4,      /* the program that passes and counts */
	SLOT_COUNT = 5,
	SLOT_NONE = 255, /* nothing applied yet: packets fall through, counted */
};

enum hook {
	HOOK_XDP = 0,
	HOOK_EGRESS = 1,  /* TC egress */
	HOOK_INGRESS = 2, /* TC ingress, attached only while a policy in a slot needs it */
	HOOK_SOCKOPS = 3, /* the cgroup that everything is in; likewise */
	HOOK_COUNT = 4,
};

/* The operations of the syscall program `steer`, the only writer of the control word. It evaluates the word
 * first (a passed deadline is made good: active = fallback), then does what is asked, then answers. */
enum steer_operation {
	STEER_READ = 0,	    /* only evaluate and answer */
	STEER_SWITCH = 1,   /* active = slot; with timeout_ms: fallback = the old active and a deadline */
	STEER_CONFIRM = 2,  /* keep active, forget fallback and deadline; -ENOENT when nothing is pending */
	STEER_FALL_BACK = 3 /* active = fallback at once; -ENOENT when nothing is pending */
};

/* Context of the syscall program. in: what is asked; out: the word after it. */
struct steer_request {
	__u32 operation;    /* in: enum steer_operation */
	__u32 slot;	    /* in: for STEER_SWITCH */
	__u64 timeout_ms;   /* in: for STEER_SWITCH; 0: for good */
	__u64 expected;	    /* in: the word the caller decided on; a switch is refused (-EAGAIN) if another is there.
			     * out: the word that was found, before it was evaluated */
	__u64 word;	    /* out: the word now in force */
	__u64 remaining_ms; /* out: until the deadline; 0 when none */
	__s32 result;	    /* out: 0 or -errno */
	__u32 reverted;	    /* out: 1 when this call found that a deadline had passed */
};
_Static_assert(sizeof(struct steer_request) == 48, "steer_request is shared with the kernel side");

/* While the shield is paused the TC roots still run the generation's programs, so that what this host asks for stays
 * known when the pause ends, and tags go on. They say so in skb->cb[0]: nothing may be dropped then. */
#define TC_CB_PAUSED 1u

/* What sits in a slot. Array map `slots`, index = slot. Written by the controller before the switch, read by
 * everybody who wants to say which policy is live. */
struct slot_info {
	__u32 generation; /* 0: empty */
	__u32 flags;	  /* SLOT_FLAG_* */
	__u64 loaded_at;  /* seconds since the epoch */
	__u8 policy_hash[32];
	char policy_path[208]; /* as given to apply, NUL-terminated */
};
#define SLOT_FLAG_MONITOR 1u  /* the whole policy only monitors */
#define SLOT_FLAG_INGRESS 2u  /* it needs the hook TC ingress */
#define SLOT_FLAG_SOCKOPS 4u  /* it needs the hook sockops */
#define SLOT_FLAG_CLOSED 8u   /* `on-failure: closed`: in the place of a saved policy that cannot be loaded */
#define SLOT_FLAG_PROFILE 16u /* it has an `under-attack` */
#define SLOT_FLAG_ZONES 32u   /* something in it holds in one zone only */
#define GENERATION_MARK(flags)                                                                                         \
	((flags) >> 8) /* 24 bits of a hash: what went into it beside the policy (generation_mark) */
_Static_assert(sizeof(struct slot_info) == 256, "slot_info is pinned");

#endif
