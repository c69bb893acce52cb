/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SYN to a service whose SYN cookies are armed becomes, in its own frame, the SYN-ACK that a listener of this host
 * would have sent. The kernel hears of the connection when its client has proved itself (ingress.h).
 */
#ifndef BULWARK_CHALLENGE_H
#define BULWARK_CHALLENGE_H

#define ETHERNET_MAX 24 /* with two tags, and what a copy in words takes more */
#define REPLY_WORDS 10	/* of the TCP header at most, with MSS, SACK and timestamps, window scale */
#define OFFLINE_WINDOW 64240

struct tcp_sock___mptcp {
	bool is_mptcp;
} __attribute__((preserve_access_index));

#define QUEUE_FULL (1 << 16)	 /* half of the listener's queue of half-open connections, beside the window */
#define CLAMPED (1 << 17)	 /* likewise: the listener bounds its window itself */
#define UNSTAMPED (1 << 18)	 /* likewise: the kernel shifts its timestamps by a secret of the connection */
#define QUEUE_LEAST 8		 /* connections: fewer are no flood, however short the queue is */
#define TIMESTAMPS_AS_THEY_ARE 2 /* tcp_timestamps */
#define RCVBUF_LOCK 2		 /* SOCK_RCVBUF_LOCK */
#define QUEUE_SAMPLE 7		 /* one SYN in eight looks */

/* What the kernel would not agree to when its own cookie comes back. The window scale of this host is not this
 * listener's after SO_RCVBUF or TCP_WINDOW_CLAMP; tcp_timestamps is looked at here, because it could be changed at any
 * time. */
static __always_inline __u32 kernel_denies(const struct tcp_sock *tcp)
{
	const struct sock *sk = &tcp->inet_conn.icsk_inet.sk;
	__u32 denied = 0;

	if (tcp->window_clamp || BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & RCVBUF_LOCK)
		denied |= CLAMPED;
	if (sk->__sk_common.skc_net.net->ipv4.sysctl_tcp_timestamps != TIMESTAMPS_AS_THEY_ARE)
		denied |= UNSTAMPED;
	return denied;
}

/* The window that the listener would open, 0: no listener here that can take a cookie. A SYN that meets an older
 * connection of its own ports (TIME_WAIT) is the kernel's to judge. */
static __always_inline int listener_look(struct xdp_md *ctx, const struct packet *pkt)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *socket;
	struct tcp_sock *tcp;
	__u32 window = 0, waiting;

	if (constants.offline)
		return OFFLINE_WINDOW;
	make_tuple(&tuple, &pkt->flow);
	if (pkt->flow.ipv6)
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	tcp = socket->state == TCP_STATE_LISTEN ? bpf_skc_to_tcp_sock(socket) : NULL;
	if (tcp &&
	    !(bpf_core_field_exists(struct tcp_sock___mptcp, is_mptcp) && ((struct tcp_sock___mptcp *)tcp)->is_mptcp)) {
		/* half of the buffer is payload, as tcp_select_initial_window() has it before any was measured */
		window = (__u32)tcp->inet_conn.icsk_inet.sk.sk_rcvbuf / 2;
		if (window > 65535)
			window = 65535;
		waiting = tcp->inet_conn.icsk_accept_queue.qlen.counter;
		if (waiting >= QUEUE_LEAST && waiting >= tcp->inet_conn.icsk_inet.sk.sk_max_ack_backlog / 2)
			window |= QUEUE_FULL;
		if (kernel_takes_back())
			window |= kernel_denies(tcp);
	}
	bpf_sk_release(socket);
	return window;
}

/* In words, so that IPv4 and IPv6 are one memory: all that the kernel reads of it is version and addresses. */
static __always_inline void ip_words(__be32 *ip, const struct flow *flow)
{
	if (flow->ipv6) {
		ip[0] = bpf_htonl(6u << 28);
		__builtin_memcpy(ip + 2, &flow->source, 16);
		__builtin_memcpy(ip + 6, &flow->destination, 16);
	} else {
		ip[0] = bpf_htonl(0x45u << 24);
		ip[3] = flow->source.word[3];
		ip[4] = flow->destination.word[3];
	}
}

/* The clock of the kernel's timestamps, in milliseconds, with what was agreed in its lowest six bits, and never ahead
 * of it: what the connection sends later must not be older (tcp_clock, cookie_timestamp_decode()). */
static __always_inline __u32 kernel_tsval(__u32 asked, __u64 now)
{
	__u64 ms = now / 1000000;
	__u32 kept = ASKED_SCALE(asked) | (asked & ASKED_SACK ? 1 << 4 : 0) | (asked & ASKED_ECN ? 1 << 5 : 0);

	return (ms & ~63ULL) + kept - (kept > (ms & 63) ? 64 : 0);
}

/*
 * In the kernel's own format (net/ipv4/syncookies.c). The listener makes it, and notes that cookies were sent in its
 * name: without that note it looks at none that come back. 0: it makes none.
 */
__noinline int kernel_cookie(struct xdp_md *ctx, const struct packet *pkt, struct cookie *cookie)
{
	struct tcp_options *options = options_here();
	struct bpf_sock_tuple tuple;
	struct bpf_sock *socket;
	__s64 made = -1;
	__u32 length;

	if (!pkt || !options || !cookie)
		return 0;
	length = sizeof(options->tcp) + (options->length & 63);
	make_tuple(&tuple, &pkt->flow);
	ip_words(options->ip, &pkt->flow);
	if (pkt->flow.ipv6)
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	if (socket->state == TCP_STATE_LISTEN)
		made = bpf_tcp_gen_syncookie(socket, options->ip, sizeof(options->ip), &options->tcp, length);
	bpf_sk_release(socket);
	if (made < 0)
		return 0;
	cookie->sequence = made;
	return 1;
}

/* Words are added as they are and folded once (RFC 1071): a carry is not lost in 64 bits. */
static __always_inline __u64 sum_words(const __be32 *words, __u32 count)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

static __always_inline __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

struct reply {
	__be32 tcp[REPLY_WORDS]; /* those that are not in use are zero */
	__u32 words;		 /* in use */
};

/* MSS always; the rest where the SYN asked for it and this host has it. */
static __always_inline void reply_options(struct reply *reply, const struct tcp_options *options, __u32 asked,
					  const struct cookie *cookie, __u16 mss)
{
	__be32 scale = 0;

	if (ASKED_SCALE(asked) != COOKIE_NO_SCALE)
		scale = bpf_htonl(OPTION_NOP << 24 | OPTION_SCALE << 16 | 3 << 8 | constants.cookies.window_scale);
	reply->tcp[5] = bpf_htonl(OPTION_MSS << 24 | 4 << 16 | mss);
	if (options->timestamps && constants.cookies.flags & OFFER_TIMESTAMPS) {
		reply->tcp[6] = bpf_htonl(
			(asked & ASKED_SACK ? OPTION_SACK << 24 | 2 << 16 : OPTION_NOP << 24 | OPTION_NOP << 16) |
			OPTION_TIMESTAMPS << 8 | 10);
		reply->tcp[7] = bpf_htonl(cookie->tsval);
		reply->tcp[8] = bpf_htonl(options->tsval);
		reply->tcp[9] = scale;
		reply->words = 9;
	} else if (asked & ASKED_SACK) {
		reply->tcp[6] = bpf_htonl(OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK << 8 | 2);
		reply->tcp[7] = scale;
		reply->words = 7;
	} else {
		reply->tcp[6] = scale;
		reply->words = 6;
	}
	reply->words += scale != 0;
}

static __always_inline void reply_header(struct reply *reply, const struct packet *pkt, __u32 acknowledge,
					 const struct cookie *cookie, __u32 asked, __u16 window)
{
	const struct flow *flow = &pkt->flow;
	__u32 flags = TCP_SYN | TCP_ACK | (asked & ASKED_ECN ? TCP_ECE : 0);
	__u64 sum;

	reply->tcp[0] = bpf_htonl((__u32)flow->destination_port << 16 | flow->source_port);
	reply->tcp[1] = bpf_htonl(cookie->sequence);
	reply->tcp[2] = bpf_htonl(acknowledge);
	reply->tcp[3] = bpf_htonl(reply->words << 28 | flags << 16 | window);
	reply->tcp[4] = 0;
	sum = sum_words(reply->tcp, REPLY_WORDS) + bpf_htons(IPPROTO_TCP) + bpf_htons(reply->words * 4);
	if (flow->ipv6)
		sum += sum_words(flow->source.word, 4) + sum_words(flow->destination.word, 4);
	else
		sum += (__u64)flow->source.word[3] + flow->destination.word[3];
	reply->tcp[4] = sum_fold(sum);
}

static __always_inline int write_ip(void *at, void *end, const struct flow *flow, __u32 payload)
{
	struct ipv6hdr *v6 = at;
	__be32 *v4 = at;

	if (flow->ipv6) {
		if ((void *)(v6 + 1) > end)
			return 0;
		*(__be32 *)at = bpf_htonl(6u << 28);
		v6->payload_len = bpf_htons(payload);
		v6->nexthdr = IPPROTO_TCP;
		v6->hop_limit = constants.cookies.ttl;
		__builtin_memcpy(&v6->saddr, &flow->destination, 16);
		__builtin_memcpy(&v6->daddr, &flow->source, 16);
		return 1;
	}
	if (at + sizeof(struct iphdr) > end)
		return 0;
	v4[0] = bpf_htonl(0x45u << 24 | (payload + sizeof(struct iphdr)));
	v4[1] = bpf_htonl(0x4000); /* may not be fragmented */
	v4[2] = bpf_htonl((__u32)constants.cookies.ttl << 24 | IPPROTO_TCP << 16);
	v4[3] = flow->destination.word[3];
	v4[4] = flow->source.word[3];
	((struct iphdr *)at)->check = sum_fold(sum_words(v4, 5));
	return 1;
}

/* Takes `extra` bytes out from behind the Ethernet header and its tags. */
static __always_inline int close_gap(struct xdp_md *ctx, int extra)
{
	__u64 ethernet[ETHERNET_MAX / 8];
	void *data;

	if (extra < 0 || bpf_xdp_load_bytes(ctx, 0, ethernet, sizeof(ethernet)) || bpf_xdp_adjust_head(ctx, extra))
		return 0;
	data = (void *)(long)ctx->data;
	if (data + ETHERNET_MAX > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(data, ethernet, sizeof(ethernet));
	return 1;
}

/* In words of two bytes: as bytes, which is what a copy of six becomes, it takes three times the instructions. */
static __always_inline int swap_ends(void *data, void *end)
{
	__be16 *to = data, *from = to + 3;

	if (data + sizeof(struct ethhdr) > end)
		return 0;
	for (int i = 0; i < 3; i++) {
		__be16 word = to[i];

		to[i] = from[i];
		from[i] = word;
	}
	return 1;
}

static __always_inline int write_tcp(__be32 *tcp, void *end, const struct reply *reply)
{
	if (reply->words == REPLY_WORDS) { /* to nearly every SYN */
		if ((void *)(tcp + REPLY_WORDS) > end)
			return 0;
		__builtin_memcpy(tcp, reply->tcp, sizeof(reply->tcp));
		return 1;
	}
	for (__u32 i = 0; i < REPLY_WORDS && i < reply->words; i++) {
		if ((void *)(tcp + i + 1) > end)
			return 0;
		tcp[i] = reply->tcp[i];
	}
	return 1;
}

/* Makes the frame the answer: MAC addresses change places, tags stay, IP options and extension headers go. */
static __always_inline int write_reply(struct xdp_md *ctx, const struct packet *pkt, const struct reply *reply)
{
	__u32 ip = pkt->flow.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr), l3 = pkt->l3 & 31; /* 14 to 22 */
	int extra = (int)pkt->l4 - (int)(l3 + ip), grow = (int)(l3 + ip + reply->words * 4) + extra;
	void *data, *end;

	grow -= bpf_xdp_get_buff_len(ctx);
	if ((grow && bpf_xdp_adjust_tail(ctx, grow)) || (extra && !close_gap(ctx, extra)))
		return 0;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	return swap_ends(data, end) && write_ip(data + l3, end, &pkt->flow, reply->words * 4) &&
	       write_tcp(data + l3 + ip, end, reply);
}

static __always_inline __u16 own_mss(struct xdp_md *ctx, int ipv6)
{
	const struct interface_entry *interface = interface_find(ctx->ingress_ifindex);
	__u32 mtu = interface && interface->ifindex == ctx->ingress_ifindex && !constants.offline ? interface->mtu : 0;
	__u32 headers = ipv6 ? 60 : 40;

	return (mtu < 576 ? 1500 : mtu) - headers;
}

/* Becomes the answer; 0 when it cannot. */
__noinline int answer_with_cookie(struct xdp_md *ctx, const struct packet *pkt, __u32 window)
{
	struct tcp_options *options = options_here();
	struct reply reply = {};
	struct cookie cookie;
	__u64 now = now_ns();
	__u32 asked;

	if (!pkt || !options || !load_options(ctx, pkt, options) || options->authenticated)
		return 0;
	if (kernel_takes_back() && window & UNSTAMPED)
		options->timestamps = 0;
	asked = asked_for(options, pkt->tcp_flags);
	if (!kernel_takes_back()) {
		cookie_make(&cookie, &pkt->flow, bpf_ntohl(options->tcp.seq), asked, now);
	} else {
		if (window & CLAMPED)
			asked |= COOKIE_NO_SCALE << 5;
		if (!kernel_cookie(ctx, pkt, &cookie))
			return 0;
		cookie.tsval = kernel_tsval(asked, now);
	}
	reply_options(&reply, options, asked, &cookie, own_mss(ctx, pkt->flow.ipv6));
	reply_header(&reply, pkt, bpf_ntohl(options->tcp.seq) + 1, &cookie, asked, window);
	if (!write_reply(ctx, pkt, &reply))
		return 0;
	if (!kernel_takes_back())
		cookie_issued(now);
	return 1;
}

/* Whether half of the listener's queue is taken. A function of its own, for one SYN in eight. */
__noinline int queue_is_full(struct xdp_md *ctx, const struct packet *pkt)
{
	return pkt && listener_look(ctx, pkt) & QUEUE_FULL;
}

/* Whether this SYN is to be answered with a cookie: counts it, and arms or not. */
static __always_inline int challenges(struct xdp_md *ctx, const struct packet *pkt, const struct service_entry *service)
{
	struct cookie_cell *cell;
	__u64 now;

	if (!(service->flags & SERVICE_COOKIES))
		return 0;
	cell = cookie_cell_of(service);
	if (!cell)
		return 0;
	now = now_ns();
	if (service->flags & SERVICE_COOKIES_ALWAYS) {
		arm(cell, now);
		return 1;
	}
	if (too_many_syns(cell, now) || (!(bpf_get_prandom_u32() & QUEUE_SAMPLE) && queue_is_full(ctx, pkt)))
		arm(cell, now);
	return cell_armed(cell, now) || pkt->over;
}

/* Takes a reply from the budget that the SYN may be answered from. */
static __always_inline int answer_paid(const struct packet *pkt)
{
	return !constants.cookies_bounded || within_budget_here(pkt->standing == STANDING_KNOWN	  ? BUDGET_COOKIES_KNOWN
								: pkt->standing == STANDING_AGAIN ? BUDGET_COOKIES_AGAIN
												  : BUDGET_COOKIES);
}

#define UNCHALLENGED 0
#define CHALLENGE_UNPAID -1
#define CHALLENGE_HERE (1 << 24) /* beside the window, which can be 0: nobody can answer */

/* Whether a SYN is to be answered with a cookie, and with which window. */
__noinline int challenge_look(struct xdp_md *ctx, struct packet *pkt)
{
	const struct service_entry *service;
	int window;

	if (!pkt || !pkt->service || pkt->forwarded || (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return UNCHALLENGED;
	service = service_in_force(pkt);
	if (!service || !challenges(ctx, pkt, service))
		return UNCHALLENGED;
	window = listener_look(ctx, pkt) & (kernel_takes_back() ? ~QUEUE_FULL : 0xffff);
	return window && !answer_paid(pkt) ? CHALLENGE_UNPAID : CHALLENGE_HERE | window;
}

/* A SYN that exposure and limits let in. What a cookie cannot be made for goes to the kernel. One call after the other,
 * not one inside the other: each return costs, and so does the room on the stack. */
static __always_inline int judge_challenge(struct xdp_md *ctx, struct packet *pkt)
{
	int challenge = challenge_look(ctx, pkt), window = challenge & ~CHALLENGE_HERE;

	if (challenge == UNCHALLENGED)
		return REASON_SERVICE;
	if (challenge == CHALLENGE_UNPAID) {
		pkt->rule = RULE_COOKIES;
		return REASON_SYN_OVERLOAD;
	}
	if (window && answer_with_cookie(ctx, pkt, window))
		return REASON_SYN_COOKIE;
	if (!pkt->over)
		return REASON_SERVICE;
	pkt->rule = pkt->over_rule;
	return REASON_RATE_CONNECTIONS;
}

#endif
