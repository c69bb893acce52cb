/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * At TC ingress the ACK that brings back a SYN cookie of ours is handed to the listener with what the cookie remembers,
 * and the kernel opens the connection. XDP has judged the packet already. Before 6.8 nobody can: there cookies are of
 * the kernel's format (challenge.h), and the listener takes them back itself.
 */
#ifndef BULWARK_HANDOVER_H
#define BULWARK_HANDOVER_H

/* struct bpf_tcp_req_attrs of the kernel, by another name: older ones do not have it (6.8). */
struct request_attributes {
	__u32 rcv_tsval, rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale, snd_wscale;
	__u8 ecn_ok, wscale_ok, sack_ok, tstamp_ok, usec_ts_ok;
	__u8 reserved[3];
};
_Static_assert(sizeof(struct request_attributes) == 20, "the kernel compares the size");

extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *listener, struct request_attributes *attributes,
				   int attributes__sz) __ksym __weak;

static __always_inline int read_acknowledgement(struct __sk_buff *skb, struct packet *pkt, struct tcp_options *options)
{
	union skb_header header;
	__u32 length;

	if (read_network(skb, pkt, &header) || pkt->fragment || pkt->flow.protocol != IPPROTO_TCP)
		return 0;
	if (load(skb, pkt->l4, &options->tcp, sizeof(options->tcp)))
		return 0;
	pkt->tcp_flags = ((__u8 *)&options->tcp)[13];
	if ((pkt->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || options->tcp.doff < 5)
		return 0;
	pkt->flow.source_port = bpf_ntohs(options->tcp.source);
	pkt->flow.destination_port = bpf_ntohs(options->tcp.dest);
	length = options_length(&options->tcp);
	options->length = length;
	if (length && load(skb, pkt->l4 + sizeof(struct tcphdr), options->bytes, span(length, OPTIONS_ROOM)))
		return 0;
	read_options(options);
	return 1;
}

static __always_inline void attributes_of(struct request_attributes *attributes, const struct flow *flow, __u32 asked,
					  const struct tcp_options *options)
{
	__u32 mss = cookie_mss[ASKED_MSS(asked)];

	attributes->mss = flow->ipv6 && mss < cookie_mss[1] ? cookie_mss[1] : mss;
	attributes->wscale_ok = ASKED_SCALE(asked) != COOKIE_NO_SCALE;
	attributes->snd_wscale = attributes->wscale_ok ? ASKED_SCALE(asked) : 0;
	attributes->rcv_wscale = attributes->wscale_ok ? constants.cookies.window_scale : 0;
	attributes->sack_ok = !!(asked & ASKED_SACK);
	attributes->ecn_ok = asked & ASKED_ECN;
	attributes->tstamp_ok = options->timestamps;
	attributes->rcv_tsval = options->tsval;
	attributes->rcv_tsecr = options->tsecr;
}

/* The next layer finds the request at the packet and asks the listener no more. */
__noinline int hand_over(struct __sk_buff *skb, const struct flow *flow, struct request_attributes *attributes)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *socket;
	struct sock *listener;
	int error = -1;

	if (!flow || !attributes)
		return error;
	make_tuple(&tuple, flow);
	if (flow->ipv6)
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return error;
	listener = socket->state == TCP_STATE_LISTEN ? (struct sock *)bpf_skc_to_tcp_sock(socket) : NULL;
	if (listener && bpf_sk_assign_tcp_reqsk)
		error = bpf_sk_assign_tcp_reqsk(skb, listener, attributes, sizeof(*attributes));
	bpf_sk_release(socket);
	return error;
}

/* Of what is refused in the segment that brings the cookie, the copy that has the peer reset (stream.h) opens nothing.
 * A function of its own: its stack must not add to that of who judges first bytes (512 bytes for all callers, and the
 * kernels before 6.8 count each in steps of 32). */
__noinline int take_cookie(struct __sk_buff *skb)
{
	struct request_attributes attributes = {};
	struct tcp_options *options = options_here();
	struct packet pkt = {};
	__u32 cookie;

	if (is_copy(skb))
		return 0;
	if (!bpf_sk_assign_tcp_reqsk || !cookies_about() || !options || !read_acknowledgement(skb, &pkt, options))
		return 0;
	cookie = bpf_ntohl(options->tcp.ack_seq) - 1;
	if (!cookie_good(&pkt.flow, bpf_ntohl(options->tcp.seq), cookie + 1, options))
		return 0;
	attributes_of(&attributes, &pkt.flow, cookie & ((1 << ASKED_BITS) - 1), options);
	hand_over(skb, &pkt.flow, &attributes);
	return 0;
}

#endif
