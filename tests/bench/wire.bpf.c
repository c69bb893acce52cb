/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path of the lab's router: frames for one MAC address that come in on one interface go out of another,
 * without becoming a socket buffer. A kernel's own forwarding would be the narrowest place of the lab, and the flood
 * would end there.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define MAC_BYTES 6

const volatile __u8 to_mac[MAC_BYTES], from_mac[MAC_BYTES];

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

SEC("xdp")
int wire(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	int i;

	if (frame + 2 * MAC_BYTES > (__u8 *)(long)ctx->data_end)
		return XDP_PASS;
	if (frame[0] & 1) /* ARP and neighbour discovery are the router's */
		return XDP_PASS;
#pragma unroll
	for (i = 0; i < MAC_BYTES; i++) {
		frame[i] = to_mac[i];
		frame[MAC_BYTES + i] = from_mac[i];
	}
	return bpf_redirect_map(&out, 0, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
