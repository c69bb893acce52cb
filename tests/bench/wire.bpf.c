/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path of the lab's router: frames for one MAC address that come in on one interface go out of another,
 * without becoming a socket buffer. A kernel's own forwarding would be the narrowest place of the lab, and the flood
 * would end there.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define MAC_BYTES 6

const volatile __u32 home_net, node_net, home_mask; /* network order */
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

/*
 * The way back: what the node sends to spoofed sources would end in the router's blackhole route; here it ends before
 * it costs anything, since the lab's router has no CPU of its own. A veth also takes what an XDP program on its other
 * end sends back only when it has a program itself.
 */
SEC("xdp")
int home(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(0x0800))
		return XDP_PASS;
	return (ip->daddr & home_mask) == home_net || (ip->daddr & home_mask) == node_net ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
