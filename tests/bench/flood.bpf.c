/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A flood of packets, made by BPF_PROG_RUN with live frames: the kernel runs this program over and over, each
 * run fills one frame and sends it out of an interface. Every packet has its own source, ports, sequence number and
 * valid checksums. The kinds are read-only data, so the verifier removes what a run does not use.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "flood.h"

const volatile struct flood_kind kinds[FLOOD_KINDS];
const volatile __u32 kind_count;
const volatile __u32 out_ifindex;
const volatile __u32 frame_count;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_source4);
} sources4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_source6);
} sources6 SEC(".maps");

/* --replay: written by user space before the run, walked in order. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_state);
} state SEC(".maps");

/* Ports that reflectors answer from: DNS, NTP, CLDAP, SSDP, chargen, SNMP, portmap, memcached. */
const volatile __u16 amplifiers[8] = {53, 123, 389, 1900, 19, 161, 111, 11211};

/* Marsaglia, "Xorshift RNGs", 2003; the multiplication is Vigna's xorshift64*. */
/* One draw a packet: bits 0..31 make the host, 24..39 the identification, 32..47 and 48..63 the ports, 8..39 the
 * sequence number. */
static __always_inline __u64 draw(struct flood_state *mine)
{
	__u64 x = mine->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	mine->random = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* The next of this kind's sources. The walk is a sum, not a remainder: a division costs more than the rest. */
static __always_inline __u32 next_source(struct flood_state *mine, int which)
{
	__u32 at = mine->walk[which];

	mine->walk[which] = at + 1 < kinds[which].source_count ? at + 1 : 0;
	return kinds[which].source_first + at;
}

static __always_inline int put_source4(struct flood_state *mine, int which, __u8 *ip, __u64 random, __u64 *sum)
{
	__u32 at = next_source(mine, which), address;
	struct flood_source4 *source = bpf_map_lookup_elem(&sources4, &at);
	__u16 id = random >> 24;

	if (!source)
		return -1;
	address = source->address | ((__u32)random & source->host);
	*(__u16 *)(ip + 4) = id;
	*(__u32 *)(ip + 12) = address;
	*(__u16 *)(ip + 10) = folded((__u64)kinds[which].ip_sum + address + id);
	if (!kinds[which].alone)
		*sum += address;
	return 0;
}

static __always_inline int put_source6(struct flood_state *mine, int which, __u8 *ip, __u64 random, __u64 *sum)
{
	__u32 at = next_source(mine, which);
	struct flood_source6 *source = bpf_map_lookup_elem(&sources6, &at);
	__u64 high, low;

	if (!source)
		return -1;
	high = source->high | (random & source->host_high);
	low = source->low | (draw(mine) & source->host_low);
	*(__u64 *)(ip + 8) = high;
	*(__u64 *)(ip + 16) = low;
	*sum += (high & 0xffffffff) + (high >> 32) + (low & 0xffffffff) + (low >> 32);
	return 0;
}

static __always_inline void put_transport(int which, __u8 *l4, __u64 random, __u64 *sum)
{
	__u32 vary = kinds[which].vary;
	__u16 port;

	if (vary & FLOOD_FRAGMENT_ID)
		*(__u32 *)(l4 + 4) = random >> 8;
	if (vary & FLOOD_AMPLIFIER) {
		port = bpf_htons(amplifiers[(random >> 32) & 7]);
		*(__u16 *)l4 = port;
		*sum += port;
	}
	if (vary & FLOOD_SOURCE_PORT) {
		port = bpf_htons(1024 + (((__u32)(random >> 32) & 0xffff) * 64512 >> 16));
		*(__u16 *)l4 = port;
		*sum += port;
	}
	if (vary & FLOOD_DESTINATION_PORT) {
		port = bpf_htons(1 + ((__u32)(random >> 48) * 65535 >> 16));
		*(__u16 *)(l4 + 2) = port;
		*sum += port;
	}
	if (vary & FLOOD_SEQUENCE) {
		*(__u32 *)(l4 + 4) = random >> 8;
		*sum += (__u32)(random >> 8);
	}
}

#define COPY(type, at) (*(type *)(data + (at)) = *(const volatile type *)(kinds[which].frame + (at)))

/* length is known to the verifier: of all these branches none is left. */
static __always_inline void put_template(int which, __u8 *data, __u32 length)
{
	__u32 at;

#pragma unroll
	for (at = 0; at < FLOOD_HEADERS; at += 8) {
		if (length >= at + 8) {
			COPY(__u64, at);
			continue;
		}
		if (length >= at + 4)
			COPY(__u32, at);
		if (length >= at + 6)
			COPY(__u16, at + 4);
		else if (length >= at + 2 && length < at + 4)
			COPY(__u16, at);
	}
}

static __always_inline int send(struct xdp_md *ctx, struct flood_state *mine, int which)
{
	__u32 length = kinds[which].length, check = kinds[which].check;
	int grow = (int)length - (int)(ctx->data_end - ctx->data);
	__u64 random = draw(mine), sum = kinds[which].l4_sum;
	__u8 *data;
	int error;

	if (grow && bpf_xdp_adjust_tail(ctx, grow))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	if (data + length > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	put_template(which, data, length);
	if (kinds[which].ipv6)
		error = put_source6(mine, which, data + kinds[which].l3, random, &sum);
	else
		error = put_source4(mine, which, data + kinds[which].l3, random, &sum);
	if (error)
		return XDP_ABORTED;
	put_transport(which, data + kinds[which].l4, random, &sum);
	if (check)
		*(__u16 *)(data + check) = folded(sum) ?: 0xffff;
	mine->sent[which]++;
	return bpf_redirect_map(&out, 0, 0);
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u32 zero = 0, pick = 0, which;
	struct flood_state *mine = bpf_map_lookup_elem(&state, &zero);

	if (ctx->ingress_ifindex == out_ifindex)
		return XDP_PASS; /* a packet that really came in: see hold() in flood_send.c */
	if (!mine)
		return XDP_ABORTED;
	if (kind_count > 1)
		pick = draw(mine) >> 56;
#pragma unroll
	for (which = 0; which < FLOOD_KINDS; which++) {
		if (which >= kind_count)
			break;
		if (pick < kinds[which].until)
			return send(ctx, mine, which);
	}
	return XDP_ABORTED;
}

SEC("xdp")
int replay(struct xdp_md *ctx)
{
	__u32 zero = 0, at, length;
	struct flood_state *mine = bpf_map_lookup_elem(&state, &zero);
	struct flood_frame *frame;
	int grow;

	if (ctx->ingress_ifindex == out_ifindex)
		return XDP_PASS; /* see hold() in flood_send.c */
	if (!mine)
		return XDP_ABORTED;
	at = mine->walk[0];
	mine->walk[0] = at + 1 < frame_count ? at + 1 : 0;
	frame = bpf_map_lookup_elem(&frames, &at);
	length = frame ? frame->length : 0;
	if (!frame || !length || length > FLOOD_FRAME_MAX)
		return XDP_ABORTED;
	grow = (int)length - (int)(ctx->data_end - ctx->data);
	if (grow && bpf_xdp_adjust_tail(ctx, grow))
		return XDP_ABORTED;
	if (bpf_xdp_store_bytes(ctx, 0, frame->bytes, length))
		return XDP_ABORTED;
	mine->sent[0]++;
	return bpf_redirect_map(&out, 0, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
