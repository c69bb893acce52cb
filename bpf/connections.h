/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a TCP segment belongs to an open connection. The order of truth: the local socket (or that it was asked a
 * moment ago, open_lately.h), conntrack where this host forwards, our own flow table; nothing else proves it. Adopts
 * connections older than the shield.
 */
#ifndef BULWARK_CONNECTIONS_H
#define BULWARK_CONNECTIONS_H

#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_CLOSE 7
#define TCP_STATE_LISTEN 10
#define CT_SEEN_REPLY (1 << 1) /* IPS_SEEN_REPLY: both ends have spoken */
#define CT_STATE_ESTABLISHED 3 /* TCP_CONNTRACK_ESTABLISHED: the handshake is complete, by its numbers */
#define CT_STATE_CLOSE_WAIT 5  /* TCP_CONNTRACK_CLOSE_WAIT: one end has closed */
#define CT_DIRECTION_REPLY 1   /* IP_CT_DIR_REPLY: of the two tuples of a connection, the one that answers */

enum open { OPEN_NOT = 0, OPEN_YES = 1, OPEN_BEFORE = 2 };

/* The kernel's own types by other names: a forward declaration would make libbpf refuse the prototype. */
struct conntrack_options {
	__s32 netns_id, error;
	__u8 protocol, direction /* out: of the tuple that was found */, unused[2];
};
struct nf_conn___ours {
	unsigned long status;
	struct {
		struct {
			__u8 state;
		} tcp;
	} proto;
} __attribute__((preserve_access_index));

extern struct nf_conn___ours *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size,
						struct conntrack_options *options, __u32 options_size) __ksym __weak;
extern void bpf_ct_release(struct nf_conn___ours *connection) __ksym __weak;

static __always_inline __u32 make_tuple(struct bpf_sock_tuple *tuple, const struct flow *flow)
{
	if (flow->ipv6) {
		__builtin_memcpy(tuple->ipv6.saddr, &flow->source, 16);
		__builtin_memcpy(tuple->ipv6.daddr, &flow->destination, 16);
		tuple->ipv6.sport = bpf_htons(flow->source_port);
		tuple->ipv6.dport = bpf_htons(flow->destination_port);
		return sizeof(tuple->ipv6);
	}
	tuple->ipv4.saddr = flow->source.word[3];
	tuple->ipv4.daddr = flow->destination.word[3];
	tuple->ipv4.sport = bpf_htons(flow->source_port);
	tuple->ipv4.dport = bpf_htons(flow->destination_port);
	return sizeof(tuple->ipv4);
}

/* An ACK that meets only a listener: a SYN cookie that the kernel issued comes back (armed or not, ours to respect).
 * l3, l4: offsets in the frame, 0 when the flow is not the packet's own. */
static __always_inline int cookie_returns(struct xdp_md *ctx, const struct packet *pkt)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 l3 = pkt->l3, l4 = pkt->l4;
	struct tcphdr *tcp;

	if ((pkt->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || l3 > 64 || l4 > 4096)
		return 0;
	tcp = data + l4;
	if ((void *)(tcp + 1) > end)
		return 0;
	if (pkt->flow.ipv6) {
		struct ipv6hdr *ip = data + l3;

		return (void *)(ip + 1) <= end && !bpf_tcp_raw_check_syncookie_ipv6(ip, tcp);
	} else {
		struct iphdr *ip = data + l3;

		return (void *)(ip + 1) <= end && !bpf_tcp_raw_check_syncookie_ipv4(ip, tcp);
	}
}

#define TCP_STATE_NEW_SYN_RECV 12
enum endpoint {
	ENDPOINT_NONE,
	ENDPOINT_LISTENS,
	ENDPOINT_HALF_OPEN,
	ENDPOINT_OPEN,
	ENDPOINT_ESTABLISHED,
	ENDPOINT_SETTLED,
	ENDPOINT_TELLS_END, /* settled as well */
};

/* How far into a stream something to judge may reach, each part no longer than what is looked at: the header of its
 * client's proxy, what the client sent, and, of TLS, what it sent behind its ClientHello. */
static __always_inline __u32 stream_beginning(void)
{
	return FIRST_BYTES * (1 + !!constants.have_proxied + !!constants.have_tls);
}

/* Bytes, more than a server sends that asks for another ClientHello (HelloRetryRequest: 99 with what stands around it,
 * and a cookie), and fewer than it sends when it takes one, unless it goes on with a former session. */
#define RETRY_MOST 256

/* Of a socket: what its peer has acknowledged, and what is under way, each byte once. */
#define BYTES_SENT(tcp) ((tcp)->bytes_acked + (__u32)((tcp)->snd_nxt - (tcp)->snd_una))

/*
 * Whether the first bytes of a TLS stream are past judging: the kernel has taken all that are looked at, so what comes
 * again of them is thrown away, or the server has answered, more than to ask for another hello, which it does when it
 * has read what is judged. Neither is ever untrue again. Asked with the socket that XDP looks up anyway, so that TC
 * need not look it up once more. 0: they are not.
 */
static __always_inline enum endpoint stream_settled(struct bpf_sock *socket)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(socket);

	if (!tcp || !(BYTES_SENT(tcp) > RETRY_MOST || tcp->bytes_received >= stream_beginning()))
		return ENDPOINT_NONE;
	return hears_closings() && tcp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG ? ENDPOINT_TELLS_END
											   : ENDPOINT_SETTLED;
}

static __always_inline enum endpoint socket_of(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(ctx, tuple, size, BPF_F_CURRENT_NETNS, 0);
	enum endpoint settled = ENDPOINT_NONE;
	__u32 state;

	if (!socket)
		return ENDPOINT_NONE;
	state = socket->state;
	if (constants.have_tls)
		settled = stream_settled(socket);
	bpf_sk_release(socket);
	if (state == TCP_STATE_LISTEN)
		return ENDPOINT_LISTENS;
	if (state == TCP_STATE_NEW_SYN_RECV)
		return ENDPOINT_HALF_OPEN;
	if (state == TCP_STATE_CLOSE)
		return ENDPOINT_NONE;
	if (settled)
		return settled;
	return state == TCP_STATE_ESTABLISHED ? ENDPOINT_ESTABLISHED : ENDPOINT_OPEN;
}

static __always_inline int conntrack_knows(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					   struct packet *pkt)
{
	struct conntrack_options options = {.netns_id = BPF_F_CURRENT_NETNS, .protocol = IPPROTO_TCP};
	struct nf_conn___ours *connection;
	unsigned long status;
	__u8 state = 0;

	connection = bpf_xdp_ct_lookup(ctx, tuple, size, &options, sizeof(options));
	if (!connection)
		return 0;
	status = connection->status;
	if (counts_routed())
		state = connection->proto.tcp.state;
	bpf_ct_release(connection);
	/* older than the policy, or its SYN was forgotten */
	if (pkt && pkt->forwarded && options.direction != CT_DIRECTION_REPLY && state >= CT_STATE_ESTABLISHED &&
	    state <= CT_STATE_CLOSE_WAIT)
		pkt->follow = 1;
	/* the first answer comes here before conntrack sees it */
	return status & CT_SEEN_REPLY || options.direction == CT_DIRECTION_REPLY;
}

/* Whether the source end sorts behind the destination end. */
static __always_inline int ends_swapped(const struct flow *flow)
{
	__u64 source, destination;

	for (int i = 0; i < 2; i++) {
		source = bpf_be64_to_cpu(flow->source.half[i]);
		destination = bpf_be64_to_cpu(flow->destination.half[i]);
		if (source != destination)
			return source > destination;
	}
	return flow->source_port > flow->destination_port;
}

static __always_inline enum open open_offline(const struct flow *flow, struct packet *pkt)
{
	int swapped = ends_swapped(flow);
	struct connection_key key = {};
	__u8 *state;

	__builtin_memcpy(key.address[0], swapped ? &flow->destination : &flow->source, ADDRESS_BYTES);
	__builtin_memcpy(key.address[1], swapped ? &flow->source : &flow->destination, ADDRESS_BYTES);
	key.port[0] = bpf_htons(swapped ? flow->destination_port : flow->source_port);
	key.port[1] = bpf_htons(swapped ? flow->source_port : flow->destination_port);
	state = bpf_map_lookup_elem(&connections, &key);
	if (!state || *state == CONNECTION_CLOSED)
		return OPEN_NOT;
	if (pkt)
		pkt->completes = *state == CONNECTION_HALF_OPEN;
	return *state == CONNECTION_OPEN_BEFORE ? OPEN_BEFORE : OPEN_YES;
}

/* The number that a segment acknowledges; 0: it has none, or is not in the linear part. */
static __always_inline __u32 acknowledged(const struct xdp_md *ctx, const struct packet *pkt)
{
	const void *end = (void *)(long)ctx->data_end;
	const struct tcphdr *tcp;
	__u32 l4 = pkt->l4;

	if (l4 > HEADERS_END || !(pkt->tcp_flags & TCP_ACK))
		return 0;
	tcp = (void *)(long)ctx->data + l4;
	return (void *)(tcp + 1) > end ? 0 : bpf_ntohl(tcp->ack_seq);
}

/* Whether a segment is of a connection that routed.h counts, or completes the handshake of one. */
static __always_inline int routed_open(struct xdp_md *ctx, struct packet *pkt)
{
	__u64 hash = hash_inbound(KEY_HALF_OPEN, &pkt->flow), *slot;
	__u32 now = slot_time(now_ns()), expiry = now + slot_lifetime(TCP_SPOKEN);
	struct slot_line *line = half_open_line(hash);

	if (!line)
		return 0;
	slot = line_find(line, hash, now);
	if (slot && SLOT_MARK(*slot) == MARK_PROVEN) {
		pkt->follow = SLOT_EXPIRY(*slot) + 4 < expiry;
		return 1;
	}
	slot = line_find(line, hash_answer(hash, acknowledged(ctx, pkt)), now);
	if (!slot || SLOT_MARK(*slot) != MARK_ANSWERED)
		return 0;
	pkt->completes = pkt->follow = 1;
	return 1;
}

/* flow: as it came in. pkt: the packet it is the flow of, or NULL for a flow that an ICMP error quotes. */
__noinline int connection_open(struct xdp_md *ctx, const struct flow *flow, struct packet *pkt)
{
	struct bpf_sock_tuple tuple;
	enum endpoint endpoint;
	__u32 size;

	if (!flow)
		return OPEN_NOT;
	if (constants.offline)
		return open_offline(flow, pkt);
	size = make_tuple(&tuple, flow);
	endpoint = flow->ipv6 ? socket_of(ctx, &tuple, sizeof(tuple.ipv6)) : socket_of(ctx, &tuple, sizeof(tuple.ipv4));
	if (pkt) {
		pkt->listens = endpoint == ENDPOINT_LISTENS;
		pkt->completes = endpoint == ENDPOINT_HALF_OPEN;
		pkt->settled = endpoint >= ENDPOINT_SETTLED;
		pkt->tells_end = endpoint == ENDPOINT_TELLS_END;
		pkt->established = endpoint >= ENDPOINT_ESTABLISHED;
	}
	if (endpoint >= ENDPOINT_HALF_OPEN)
		return OPEN_YES;
	if (endpoint == ENDPOINT_LISTENS && constants.have_syncookie_helpers && pkt && cookie_returns(ctx, pkt)) {
		pkt->completes = 1;
		if (kernel_takes_back())
			pkt->handshake = 1;
		return OPEN_YES;
	}
	if (!constants.has_vrf && !host_forwards())
		return OPEN_NOT;
	if (counts_routed() && pkt && pkt->forwarded && routed_open(ctx, pkt))
		return OPEN_YES;
	if (constants.conntrack && conntrack_knows(ctx, &tuple, size, pkt))
		return OPEN_YES;
	if (!follows_tcp())
		return OPEN_NOT;
	return is_answer(flow) || half_open_known(flow) ? OPEN_YES : OPEN_NOT;
}

/* The same of a packet itself, which may bring back a SYN cookie of ours. Not asked in there: it has its own stack, and
 * 512 bytes are for all callers. noted: what is noted of it, or NULL. */
static __always_inline enum open packet_open(struct xdp_md *ctx, struct packet *pkt, const struct open_flow *noted)
{
	enum open open;
	__u64 now;

	if (noted && vouches(&pkt->flow, noted)) {
		pkt->settled = constants.have_tls;
		return OPEN_YES;
	}
	now = constants.offline ? 0 : bpf_jiffies64();
	open = connection_open(ctx, &pkt->flow, pkt);
	if (pkt->established && (!noted || !constants.have_tls || pkt->tells_end) && may_be_noted(pkt))
		note_open(ctx, pkt, now);
	if (open || !pkt->listens || !own_cookie_returns(ctx, pkt))
		return open;
	pkt->handshake = pkt->completes = 1;
	return OPEN_YES;
}

#endif
