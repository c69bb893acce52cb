/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a segment stands in its connection's stream, by the local socket, and how a connection is ended whose first
 * bytes are refused. TC ingress only. A connection that goes on to another host or a container has no socket here: its
 * bytes are not judged.
 */
#ifndef BULWARK_STREAM_H
#define BULWARK_STREAM_H

#define TCP_STATE_NEW_SYN_RECV 12
#define TCP_HEADER 20
#define TCP_HEADER_MOST 60
#define ETHERNET_HEADER 14
#define RESET_FLAGS (TCP_RST | TCP_ACK)
#define COPY_INDEX 0xb01a /* in skb->tc_index: a copy made here, of which none is made again */

static __always_inline int is_copy(const struct __sk_buff *skb)
{
	return skb->tc_index == COPY_INDEX;
}

struct segment {
	__u32 at, length; /* of the payload, from the network header on; behind a proxy's header, where one is read */
	__u32 sequence;
	__u32 offset;	     /* of its first byte in the stream */
	__u32 start;	     /* sequence number of the first byte, of a proxy's header where there is one */
	__u32 next;	     /* the sequence number that its socket waits for, where it has one */
	__u32 l4_header;     /* length of the TCP header */
	int l3;		     /* of the network header from where helpers begin to count; -1: not known */
	__u16 received;	     /* bytes of the stream that its socket has, in order, as far as the number goes */
	__u8 has_socket : 1; /* refusing it can reset both ends */
	__u8 asks_hello : 1; /* of a service with `tls`: set by who asks, before stream_offset() */
	__u8 answered : 1;   /* the server has sent something, which says that it has read what is judged */
	__u8 settled : 1;    /* as stream_settled() says, also where the offset has wrapped */
	__u8 unopened : 1;   /* it meets no connection, and may yet get into one that opens before it is there */
};

/* The socket as this needs it (the kernel's own type by another name, see connections.h). */
struct tcp_request_sock___ours {
	__u32 rcv_isn;
} __attribute__((preserve_access_index));

/* Where the network header is for helpers that reach beyond the linear part of a packet; -1: not known. Generic XDP may
 * leave packets that begin with it. */
static __always_inline int network_offset(struct __sk_buff *skb)
{
	__be32 begin, found;
	__be16 type;

	if (bpf_skb_load_bytes(skb, 12, &type, sizeof(type)) || load(skb, 0, &begin, sizeof(begin)))
		return -1;
	if (type == skb->protocol && !bpf_skb_load_bytes(skb, ETHERNET_HEADER, &found, sizeof(found)) && found == begin)
		return ETHERNET_HEADER;
	return !bpf_skb_load_bytes(skb, 0, &found, sizeof(found)) && found == begin ? 0 : -1;
}

/* The length of the datagram, by its own header; one that was merged on the way in may be larger than that can say. */
static __always_inline __u32 datagram_length(struct __sk_buff *skb, const struct packet *pkt)
{
	__be16 length;

	if (load(skb, pkt->flow.ipv6 ? 4 : 2, &length, sizeof(length)))
		return 0;
	if (!length)
		return 65535;
	return bpf_ntohs(length) + (pkt->flow.ipv6 ? sizeof(struct ipv6hdr) : 0);
}

/* false: a segment without payload, or cut short. Of one in fragments only the first is here, and counts as one byte
 * longer than that: what the others bring is not known. */
static __always_inline int segment_read(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment)
{
	__u32 header, length;
	struct tcphdr tcp;

	if (pkt->fragment == FRAGMENT_LATER || load(skb, pkt->l4, &tcp, sizeof(tcp)))
		return 0;
	header = tcp.doff * 4;
	length = datagram_length(skb, pkt);
	if (header < TCP_HEADER || pkt->l4 + header >= length + !!pkt->fragment)
		return 0;
	segment->at = pkt->l4 + header;
	segment->l4_header = header;
	segment->length = length - segment->at + !!pkt->fragment;
	segment->sequence = bpf_ntohl(tcp.seq);
	/* a capture may hold less than was sent */
	if (constants.offline && ETHERNET_HEADER + segment->at + segment->length > skb->len) {
		if (ETHERNET_HEADER + segment->at >= skb->len)
			return 0;
		segment->length = skb->len - ETHERNET_HEADER - segment->at;
	}
	return 1;
}

/* A data segment that meets only a listener: the one that brings a SYN cookie back begins the stream. */
static __always_inline int cookie_in(struct __sk_buff *skb, const struct packet *pkt)
{
	struct tcphdr tcp;

	if (!constants.have_syncookie_helpers || load(skb, pkt->l4, &tcp, sizeof(tcp)))
		return 0;
	if (pkt->flow.ipv6) {
		struct ipv6hdr ip;

		return !load(skb, 0, &ip, sizeof(ip)) && !bpf_tcp_raw_check_syncookie_ipv6(&ip, &tcp);
	} else {
		struct iphdr ip;

		return !load(skb, 0, &ip, sizeof(ip)) && !bpf_tcp_raw_check_syncookie_ipv4(&ip, &tcp);
	}
}

/* What a server sends that asks for another hello is no answer yet. */
static __always_inline int has_answered(const struct bpf_tcp_sock *tcp, const struct segment *segment)
{
	return segment->asks_hello ? BYTES_SENT(tcp) > RETRY_MOST : !!tcp->data_segs_out;
}

/* The sequence number of the stream's first byte. false: nothing is known of this connection here. */
static __always_inline int socket_start(struct bpf_sock *socket, struct segment *segment, __u32 *start, int *listens)
{
	struct tcp_request_sock___ours *request;
	struct bpf_tcp_sock *tcp;

	*listens = socket->state == TCP_STATE_LISTEN;
	if (*listens)
		return 0;
	segment->has_socket = 1;
	if (socket->state == TCP_STATE_NEW_SYN_RECV) {
		request = (void *)bpf_skc_to_tcp_request_sock(socket);
		if (!request)
			return 0;
		*start = segment->next = request->rcv_isn + 1;
		return 1;
	}
	tcp = bpf_tcp_sock(socket);
	if (!tcp)
		return 0;
	segment->received = tcp->bytes_received < 0xffff ? tcp->bytes_received : 0xffff;
	segment->answered = has_answered(tcp, segment);
	segment->settled = segment->answered || tcp->bytes_received >= stream_beginning();
	segment->next = tcp->rcv_nxt;
	*start = segment->next - (__u32)tcp->bytes_received;
	return 1;
}

static __always_inline int stream_live(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *socket;
	int known, listens = 0;
	__u32 start = 0;

	make_tuple(&tuple, &pkt->flow);
	if (pkt->flow.ipv6)
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	known = socket_start(socket, segment, &start, &listens);
	bpf_sk_release(socket);
	if (known)
		segment->offset = segment->sequence - start;
	else if (listens) /* skb->sk: the request that a cookie of ours has brought, see handover.h */
		known = skb->sk || cookie_in(skb, pkt);
	/* The ACK that brings a cookie back may be polled together with what follows it, and has opened the connection
	 * when this gets to the listener; of fragments the rest may take its time. A copy of ours follows a reset. */
	if (!known)
		segment->unopened = listens ? !is_copy(skb) : segment->has_socket && pkt->fragment;
	return known;
}

/* A record of TLS that holds the beginning of a ClientHello: none follows another in a stream. */
static __always_inline int begins_hello(struct __sk_buff *skb, const struct segment *segment)
{
	__u8 bytes[6];

	return !bpf_skb_load_bytes(skb, segment->l3 + segment->at, bytes, sizeof(bytes)) && bytes[0] == 0x16 &&
	       bytes[1] == 3 && bytes[5] == 1;
}

/* Offline the SYN of a capture, or a test that says so, tells where a stream begins. One that began before the capture
 * is known to begin where a ClientHello does; else this segment is some later one of it. */
static __always_inline int stream_offline(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment)
{
	__u32 sequence = segment->sequence; /* 6.1 takes what is on the stack for a value, not an argument's memory */
	__u64 hash = hash_inbound(KEY_STREAM, &pkt->flow);
	__u32 *start = bpf_map_lookup_elem(&stream_starts, &hash);

	if (start)
		segment->offset = segment->sequence - *start;
	else if (begins_hello(skb, segment))
		bpf_map_update_elem(&stream_starts, &hash, &sequence, BPF_ANY);
	else
		segment->offset = stream_beginning();
	return 1;
}

static __always_inline void stream_note(struct __sk_buff *skb, const struct packet *pkt)
{
	__u64 hash = hash_inbound(KEY_STREAM, &pkt->flow);
	struct tcphdr tcp;
	__u32 start;

	if (load(skb, pkt->l4, &tcp, sizeof(tcp)))
		return;
	start = bpf_ntohl(tcp.seq) + 1;
	bpf_map_update_elem(&stream_starts, &hash, &start, BPF_ANY);
}

/* A segment may begin before its stream, with the number of the SYN or lower ones: the kernel cuts that off. */
static __always_inline void segment_cut(struct segment *segment)
{
	__u32 before = -segment->offset;

	if (segment->settled || before >= segment->length)
		return;
	segment->at += before;
	segment->length -= before;
	segment->sequence += before;
	segment->offset = 0;
}

/* Of the segment only what is behind so many bytes of its stream is left; it may be nothing. */
static __always_inline void step_over(struct segment *segment, __u32 size)
{
	__u32 skipped = segment->offset < size ? size - segment->offset : 0;

	if (skipped > segment->length)
		skipped = segment->length;
	segment->at += skipped;
	segment->length -= skipped;
	segment->offset = segment->offset + skipped - size;
	segment->received = segment->received > size ? segment->received - size : 0;
}

/* Whether segment->offset is known now. Data in a SYN (TCP Fast Open) begins its stream. */
__noinline int stream_offset(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment)
{
	int known;

	if (!pkt || !segment)
		return 0;
	segment->offset = 0;
	segment->next = segment->sequence;
	segment->received = segment->has_socket = segment->answered = segment->settled = segment->unopened = 0;
	segment->start = segment->sequence + 1; /* as a SYN has it */
	if (pkt->tcp_flags & TCP_SYN)
		return 1;
	known = constants.offline ? stream_offline(skb, pkt, segment) : stream_live(skb, pkt, segment);
	segment->start = segment->sequence - segment->offset;
	if (known)
		segment_cut(segment);
	return known;
}

/* ---- ending a connection ---- */

/* The Internet checksum of a TCP header without payload, its own field taken as zero. */
static __always_inline __u16 header_checksum(const struct packet *pkt, __be32 *header, __u32 length)
{
	__be32 pseudo[10];
	__u64 sum;

	__builtin_memcpy(pseudo, &pkt->flow.source, 16);
	__builtin_memcpy(pseudo + 4, &pkt->flow.destination, 16);
	if (!pkt->flow.ipv6) /* the prefix that makes it IPv6 is none of it */
		pseudo[2] = pseudo[6] = 0;
	pseudo[8] = bpf_htonl(length);
	pseudo[9] = bpf_htonl(IPPROTO_TCP);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, header, TCP_HEADER_MOST, sum);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int shorten_network(struct __sk_buff *skb, const struct packet *pkt, __u32 l3, __u32 length)
{
	__be16 now, before;

	if (pkt->flow.ipv6) {
		now = bpf_htons(length - sizeof(struct ipv6hdr));
		return bpf_skb_store_bytes(skb, l3 + 4, &now, sizeof(now), BPF_F_RECOMPUTE_CSUM);
	}
	now = bpf_htons(length);
	if (load(skb, 2, &before, sizeof(before)))
		return -1;
	return bpf_l3_csum_replace(skb, l3 + 10, before, now, sizeof(now)) ||
	       bpf_skb_store_bytes(skb, l3 + 2, &now, sizeof(now), 0);
}

/* Of a reset: a socket takes no other than what it waits for (RFC 5961). That is the segment's own, also where what is
 * before it is still on its way into the socket, or, where the segment repeats bytes that it has, those behind them. */
static __always_inline __be32 reset_sequence(const struct segment *segment)
{
	return bpf_htonl((__s32)(segment->sequence - segment->next) < 0 ? segment->next : segment->sequence);
}

/* The segment becomes a reset, which its socket takes, or, where there is no connection, an ACK without its payload. */
static __always_inline int make_reset(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment,
				      __u32 l3)
{
	__u32 length = segment->l4_header, options = length - TCP_HEADER, l4 = l3 + pkt->l4, end = pkt->l4 + length;
	__be32 header[(TCP_HEADER + OPTIONS_ROOM) / 4] = {};
	__be32 sequence = reset_sequence(segment);
	__be16 checksum = 0;
	__u8 flags = segment->unopened ? TCP_ACK : RESET_FLAGS;

	if (bpf_skb_change_tail(skb, l3 + end, 0) || shorten_network(skb, pkt, l3, end) ||
	    bpf_skb_store_bytes(skb, l4 + 4, &sequence, sizeof(sequence), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, l4 + 13, &flags, sizeof(flags), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, l4 + 16, &checksum, sizeof(checksum), BPF_F_RECOMPUTE_CSUM) ||
	    load(skb, pkt->l4, header, TCP_HEADER))
		return -1;
	if (options && options <= TCP_HEADER_MOST - TCP_HEADER &&
	    load(skb, pkt->l4 + TCP_HEADER, &header[TCP_HEADER / 4], span(options, OPTIONS_ROOM)))
		return -1;
	checksum = header_checksum(pkt, header, length);
	return bpf_skb_store_bytes(skb, l4 + 16, &checksum, sizeof(checksum), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Ends both ends: the segment goes on as a reset, which closes the socket; a copy of it, as it came, follows it through
 * the stack, finds no socket any more, and the kernel resets the peer. A packet without its Ethernet header cannot be
 * copied so: there the peer is reset when it sends again. Where nothing else can be done, the segment is dropped.
 * Where there is no connection yet, what goes on is an ACK: that of a connection that died here the kernel resets, and
 * one that opens meanwhile gets none of the bytes, which its client sends again.
 */
__noinline int stream_end(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment)
{
	int l3;

	if (!pkt || !segment || !(segment->has_socket || segment->unopened) || is_copy(skb))
		return TC_ACT_SHOT;
	l3 = segment->l3;
	if (l3 == ETHERNET_HEADER && !segment->unopened) {
		skb->tc_index = COPY_INDEX;
		bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
		skb->tc_index = 0;
	} else if (l3 && l3 != ETHERNET_HEADER) {
		return TC_ACT_SHOT;
	}
	return make_reset(skb, pkt, segment, l3) ? TC_ACT_SHOT : TCX_NEXT;
}

#endif
