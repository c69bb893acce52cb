/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bpf/shield.bpf.c for this process: the very file, with the kernel's helpers replaced by the few that an offline
 * generation calls. The others (sockets, routes, conntrack, events) end the process when they are called.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The packet path is one piece of the process's code, for who counts its instructions (tests/packets/run_paths.c). */
#undef SEC
#define SEC(name) __attribute__((used))
#pragma clang section text = "shield_text"

static void *map_lookup(const void *map, const void *key);
static long load_relative(const struct __sk_buff *skb, __u32 offset, void *to, __u32 size);

/* Helpers that are not here keep their numbers for addresses: a call ends the process. */
#undef __ksym
#define __ksym
#define bpf_map_lookup_elem(map, key) map_lookup(map, key)
#define bpf_xdp_get_buff_len(ctx) ((ctx)->data_end - (ctx)->data)
#define bpf_skb_load_bytes_relative(skb, offset, to, size, start) load_relative(skb, offset, to, size)

/* libbpf's asks for a member of NULL, which the sanitizer takes for what it looks like. */
#undef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)

/* No kernel's types are asked about here. */
#undef bpf_core_field_exists
#define bpf_core_field_exists(...) 0
#undef bpf_core_type_exists
#define bpf_core_type_exists(...) 0
#undef bpf_core_enum_value_exists
#define bpf_core_enum_value_exists(...) 0
#undef BPF_CORE_READ_BITFIELD
#define BPF_CORE_READ_BITFIELD(...) 0

/* Instructions of BPF are none of this machine: asm volatile("...") is left empty. What has any is never called here.
 */
#define volatile(...) ("")

/* The constants of a generation are given at run time here; volatile, as in the program. */
#include "../../bpf/state.bpf.h"
#define constants constants_of_the_object
#include "../../bpf/generation.bpf.h"
#undef constants
struct generation_config user_constants;
#define constants (*(const volatile struct generation_config *)&user_constants)
#pragma clang diagnostic ignored "-Wunknown-attributes"
#pragma clang diagnostic ignored "-Wuninitialized"
#pragma clang diagnostic ignored "-Wunused-value"
#include "../../bpf/shield.bpf.c"
#pragma clang section text = ""

extern void *mmap(void *, unsigned long, int, int, int, long);
extern int mprotect(void *, unsigned long, int);
extern void abort(void);
extern void *user_lookup(void *map, const void *key);

void (*shield_watch)(const struct decision *decision);
static const __u8 *sent_frame; /* during shield_sent() */
static __u32 sent_length;

static void *map_lookup(const void *map, const void *key)
{
	return user_lookup(*(void *const *)map, key);
}

/* Offsets are from the network header, which stands behind the 14 bytes of Ethernet. */
static long load_relative(const struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	(void)skb;
	if (sent_length < 14 || offset > sent_length - 14 || size > sent_length - 14 - offset)
		return -14; /* EFAULT */
	__builtin_memcpy(to, sent_frame + 14 + offset, size);
	return 0;
}

#define ROOM 8192

/* Where frames end: right before a page that cannot be touched, below 4 GiB, because a context has 32 bits for it. */
static __u8 *room(void)
{
	static __u8 *memory;

	if (memory)
		return memory;
	memory = mmap((void *)0, ROOM + 4096, 3, 0x62, -1, 0); /* PROT_READ | PROT_WRITE, 32BIT | ANONYMOUS | PRIVATE */
	if (memory == (void *)-1 || mprotect(memory + ROOM, 4096, 0))
		abort();
	return memory;
}

void shield_judge(const __u8 *frame, __u32 length, __u64 now_ns, struct decision *out)
{
	__u8 *end = room() + ROOM;
	struct xdp_md ctx = {};
	int action;

	if (length > ROOM)
		abort();
	__builtin_memcpy(end - length, frame, length);
	ctx.data = (__u32)(unsigned long)(end - length);
	ctx.data_end = (__u32)(unsigned long)end;
	ctx.ingress_ifindex = 1;
	virtual_now_ns = now_ns;
	__builtin_memset(&decision, 0, sizeof(decision));
	if (shield_watch)
		shield_watch((void *)0);
	action = shield(&ctx);
	if (shield_watch)
		shield_watch(&decision);
	if ((action == XDP_PASS) != (decision.verdict == VERDICT_PASS))
		abort();
	if (decision.early && (decision.early != decision.reason || decision.verdict != VERDICT_DROP))
		abort(); /* the short way out says something else than the long one */
	*out = decision;
}

void shield_sent(const __u8 *frame, __u32 length, __u64 now_ns)
{
	struct __sk_buff skb = {};

	sent_frame = frame;
	sent_length = length;
	if (length < 14)
		return;
	skb.len = length;
	skb.protocol = frame[12] | frame[13] << 8; /* network order */
	virtual_now_ns = now_ns;
	egress(&skb);
}

void shield_own_known(bool known)
{
	own_known = known;
}
