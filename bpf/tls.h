/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS: what a ClientHello asks for, judged before the server sees the whole of it. A hello that comes in several
 * segments is gathered; its first ones go on to the server, which can do nothing with them. What stands behind a hello
 * of TLS 1.3 is gathered likewise, until the server has answered: a second hello may be in it.
 */
#ifndef BULWARK_TLS_H
#define BULWARK_TLS_H

#include "hello.h"

#define ALPN_PROTOCOLS 8 /* looked at; clients offer two or three */

static __always_inline int alpn_known(const struct first_bytes *bytes, const struct hello *hello, __u32 rule)
{
	__u32 at = hello->alpn, end = at + hello->alpn_length;

	for (int i = 0; i < ALPN_PROTOCOLS && at < end; i++) {
		__u32 length = byte_at(bytes, at);

		if (at + 1 + length > end)
			return 0;
		if (name_find(hash_name(bytes, at + 1, length, NAME_ALPN, rule)))
			return 1;
		at += 1 + length;
	}
	return 0;
}

/* What one hello shows of its client; nobody reads what a former one left there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sighting);
} sight SEC(".maps");

__noinline int see_client(const struct first_bytes *bytes, const struct hello *hello, struct sighting *sighting)
{
	return bytes && hello && sighting ? hello_sight(bytes, hello, sighting) : 0;
}

__noinline __u64 client_number(const struct sighting *sighting)
{
	return sighting ? sighting_number(sighting) : 0;
}

/* Whether the rule denies such clients. One that was never seen is put down for the daemon, once; where there is no
 * room, its next hello is. */
__noinline int judge_client(const struct first_bytes *bytes, const struct hello *hello, const struct tls_entry *tls)
{
	struct fingerprint *known;
	struct sighting *sighting;
	__u32 zero = 0;
	__u64 number;

	sighting = bpf_map_lookup_elem(&sight, &zero);
	if (!bytes || !hello || !tls || !sighting)
		return REASON_NONE;
	if (!see_client(bytes, hello, sighting))
		return REASON_TLS_JA4_UNKNOWN;
	number = client_number(sighting);
	known = bpf_map_lookup_elem(&fingerprints, &number);
	if (!known) {
		bpf_map_update_elem(&sightings, &number, sighting, BPF_NOEXIST);
		return REASON_TLS_JA4_UNKNOWN;
	}
	known->seen_ns = now_ns();
	if (!name_find(fingerprint_hash(known, constants.name_seed, tls->number)))
		return REASON_NONE;
	if (!known->denied)
		known->denied = 1;
	return REASON_TLS_JA4;
}

/* What both hellos of a connection are asked. */
__noinline int judge_asked(const struct first_bytes *bytes, const struct hello *hello, const struct tls_entry *tls)
{
	if (!bytes || !hello || !tls)
		return REASON_NONE;
	if (hello->version < tls->min_version)
		return REASON_TLS_VERSION;
	if (!hello->sni_length && tls->flags & TLS_NO_SNI_DROP)
		return REASON_TLS_NO_SNI;
	if (hello->sni_length && tls->flags & TLS_NAMES &&
	    !host_known(bytes, hello->sni, hello->sni_length, NAME_SNI, tls->number))
		return REASON_TLS_SNI;
	if (tls->flags & TLS_ALPN && hello->alpn_length && !alpn_known(bytes, hello, tls->number))
		return REASON_TLS_ALPN;
	return REASON_NONE;
}

/* Who a client is, the first hello says: the second one has what the server asked for in it. */
static __always_inline enum reason judge_hello(const struct first_bytes *bytes, const struct hello *hello,
					       const struct tls_entry *tls)
{
	enum reason why = judge_asked(bytes, hello, tls);

	if (!why && constants.have_ja4 && tls->flags & TLS_DENY_JA4)
		return judge_client(bytes, hello, tls);
	return why;
}

/* Reasons for which `unknown` has the verdict. */
static __always_inline int tls_unknown(enum reason why)
{
	return why == REASON_TLS_SPLIT || why == REASON_TLS_JA4_UNKNOWN || why == REASON_PROXY_SPLIT;
}

/* Whether the rule lets pass what it finds. */
static __always_inline int tls_passes(const struct tls_entry *tls, enum reason why)
{
	return !why || tls->flags & TLS_MONITOR || (tls_unknown(why) && !(tls->flags & TLS_UNKNOWN_DROP));
}

/* A function of its own: the verifier does not follow what is behind its pointers, so every round looks alike to it. */
__noinline int read_hello(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	return bytes && hello ? hello_read(bytes, length, hello) : HELLO_SPLIT;
}

__noinline int read_second(const struct first_bytes *bytes, __u32 length, struct hello *hello)
{
	return bytes && hello ? hello_second(bytes, length, hello) : HELLO_SPLIT;
}

static __always_inline enum reason reason_of(enum hello_state state)
{
	switch (state) {
	case HELLO_SPLIT:
		return REASON_TLS_SPLIT;
	case HELLO_NOT_TLS:
		return REASON_TLS_NOT_TLS;
	case HELLO_MALFORMED:
		return REASON_TLS_MALFORMED;
	default:
		return REASON_NONE;
	}
}

/* What the bytes in scratch are; the rest of them is to come in here->more. behind: a hello, to which a second one may
 * follow. */
__noinline int judge_bytes(struct partial *here, const struct tls_entry *tls, __u32 behind)
{
	enum hello_state state;

	if (!here || !tls)
		return REASON_NONE;
	here->hello = (struct hello){};
	state = behind ? read_second(&here->bytes, here->have, &here->hello)
		       : read_hello(&here->bytes, here->have, &here->hello);
	here->more = state == HELLO_MORE;
	if (state != HELLO_WHOLE)
		return reason_of(state);
	return behind ? judge_asked(&here->bytes, &here->hello, tls) : judge_hello(&here->bytes, &here->hello, tls);
}

/* One of the two beginnings of a TLS stream: the hello's, and what stands behind it. */
__noinline int judge_part(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment,
			  const struct tls_entry *tls, __u32 behind)
{
	struct partial *here = scratch_here();
	__u32 next = 0;
	int how, why;

	if (!pkt || !segment || !tls || !here)
		return REASON_NONE;
	how = gather(skb, pkt, segment);
	if (how != GATHERED_BYTES)
		return gather_reason(how, REASON_TLS_SPLIT);
	why = judge_bytes(here, tls, behind);
	if (!tls_passes(tls, why)) /* none of it gets to the server: it is judged again when it comes again */
		return why;
	if (!behind && here->hello.version >= TLS_1_3)
		next = here->hello.end;
	return gathered(pkt, segment, here, here->more, next) ? why : REASON_FIRST_CHANGED;
}

/* Where what is judged behind the hello of this stream begins; 0: nothing is. A function of its own, as its stack must
 * not add to that of who judges it. */
__noinline __u32 behind_hello(const struct packet *pkt, const struct segment *segment)
{
	const struct beginning *known;
	__u64 key;

	if (!pkt || !segment)
		return 0;
	key = stream_key(pkt, segment);
	known = bpf_map_lookup_elem(&begun, &key);
	return known ? known->next : 0;
}

__noinline int judge_tls(struct __sk_buff *skb, const struct packet *pkt, struct segment *segment,
			 const struct tls_entry *tls)
{
	__u32 next;
	int why, then;

	if (!pkt || !segment || !tls)
		return REASON_NONE;
	why = judge_part(skb, pkt, segment, tls, 0);
	if (!tls_passes(tls, why) || segment->settled)
		return why;
	next = behind_hello(pkt, segment);
	if (!next || segment->offset + segment->length <= next)
		return why;
	step_over(segment, next);
	segment->start += next;
	then = judge_part(skb, pkt, segment, tls, 1);
	return then ? then : why;
}

/* ---- at TC egress: whether a second hello is asked for ---- */

#define SERVER_RANDOM                                                                                                  \
	11 /* where it stands in a ServerHello, behind the headers of record and handshake, and a version */

/* What a server sends first asks for another hello (RFC 8446 4.1.3: by a ServerHello's random), or shows too little of
 * itself. */
static __always_inline int may_ask_again(struct __sk_buff *skb, const struct segment *segment)
{
	__be64 random[2];

	int l3 = network_offset(skb); /* what an application wrote is not in the linear part */

	if (l3 < 0 || bpf_skb_load_bytes(skb, l3 + segment->at + SERVER_RANDOM, random, sizeof(random)))
		return 1;
	return bpf_be64_to_cpu(random[0]) == 0xcf21ad74e59a6111 && bpf_be64_to_cpu(random[1]) == 0xbe1d8c021e65b891;
}

/* A local socket's first bytes to its peer. */
static __always_inline struct bpf_tcp_sock *first_sent(struct __sk_buff *skb)
{
	struct bpf_sock *socket = skb->sk;
	struct bpf_tcp_sock *tcp;

	socket = socket ? bpf_sk_fullsock(socket) : NULL;
	tcp = socket && socket->protocol == IPPROTO_TCP ? bpf_tcp_sock(socket) : NULL;
	return tcp && tcp->bytes_acked <= 1 ? tcp : NULL; /* 1: of the SYN, with TCP Fast Open */
}

/*
 * Once a server has answered otherwise, what stands behind the hello is none of it, however it looks: of TLS 1.2 it may
 * look like anything. What says more than RETRY_MOST bytes needs no note.
 */
__noinline int note_server_hello(struct __sk_buff *skb)
{
	struct bpf_tcp_sock *tcp = first_sent(skb);
	struct segment segment = {};
	struct beginning *known;
	struct packet pkt = {};
	__u64 key;

	if (!tcp || read_skb(skb, &pkt) || pkt.flow.protocol != IPPROTO_TCP || !segment_read(skb, &pkt, &segment) ||
	    segment.sequence != tcp->snd_una || may_ask_again(skb, &segment))
		return 0;
	turn_round(&pkt.flow);
	segment.start = tcp->rcv_nxt - (__u32)tcp->bytes_received;
	key = stream_key(&pkt, &segment);
	known = bpf_map_lookup_elem(&begun, &key);
	if (known)
		known->next = 0;
	return 0;
}

#endif
