/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN cookies of our own (Bernstein 1996): the SYN-ACK's sequence number is all that is kept of a half-open connection,
 * and its client keeps it.
 *
 *   sequence number  [ 23 bits of a keyed hash ][ what the SYN asked for: scale:4 MSS:3 SACK:1 ECN:1 ]
 *   timestamp        [ milliseconds >> 8, from a secret start ][ 8 more bits of the hash ]
 *
 * The hash is over both ends, the client's sequence number, the time in steps of 69 s, what was asked for and what was
 * offered; a cookie is good for 69 to 137 s. Blind guessing succeeds once in 2^22 tries, or 2^30 with timestamps.
 */
#ifndef BULWARK_COOKIES_H
#define BULWARK_COOKIES_H

#define COOKIE_STEP_SHIFT 36 /* ns: 69 s */
#define COOKIE_LIFE_NS (2ULL << COOKIE_STEP_SHIFT)
#define COOKIE_NOTED_SHIFT 26 /* issued_ns is written every 67 ms */
#define ASKED_BITS 9
#define ASKED_ECN 1
#define ASKED_SACK 2
#define ASKED_MSS(asked) ((asked) >> 2 & 7)
#define ASKED_SCALE(asked) ((asked) >> 5 & 15)
#define COOKIE_HASH_MASK 0x7fffff

/* The usual ones, and a floor: never more than the client said. (volatile: of a small constant array clang makes a
 * mergeable section, whose BTF the kernel refuses, and with it all global functions.) */
const volatile __u16 cookie_mss[8] = {536, 1220, 1320, 1380, 1400, 1440, 1460, 8940};
#define COOKIE_MSS_ETHERNET 6

struct cookie {
	__u32 sequence; /* of our SYN-ACK */
	__u32 tsval;
};

static __always_inline __u64 hash_cookie(const struct flow *flow, __u32 sequence, __u32 step, __u32 asked)
{
	const volatile struct cookie_offer *offer = &constants.cookies;
	struct sip s;

	sip_begin(&s);
	if (flow->ipv6) {
		sip_address(&s, &flow->source);
		sip_address(&s, &flow->destination);
	} else {
		sip_word(&s, (__u64)flow->source.word[3] << 32 | flow->destination.word[3]);
	}
	sip_word(&s, (__u64)flow->source_port << 48 | (__u64)flow->destination_port << 32 | asked << 16 |
			     offer->window_scale << 12 | offer->flags << 8 | KEY_COOKIE);
	return sip_tail(&s, (__u64)sequence << 24 | (step & 0xffffff), flow->ipv6 ? 47 : 23);
}

static __always_inline __u32 cookie_step(__u64 now)
{
	return now >> COOKIE_STEP_SHIFT;
}

/* Of the usual ones the largest that is not more than the client said, by number; its most usual answer first. */
static __always_inline __u32 cookie_mss_of(__u16 said)
{
	__u32 number = 0;

	if (said >= cookie_mss[COOKIE_MSS_ETHERNET])
		return COOKIE_MSS_ETHERNET + (said >= cookie_mss[COOKIE_MSS_ETHERNET + 1]);
	for (__u32 i = 1; i < COOKIE_MSS_ETHERNET; i++)
		number += said >= cookie_mss[i];
	return number;
}

/* Whether the kernel itself takes the cookies back: those of its own format, on kernels that cannot be handed others.
 */
static __always_inline int kernel_takes_back(void)
{
	return constants.cookies.format == COOKIES_KERNEL && !constants.offline;
}

/* What a SYN asks for, as far as this host has it to offer. */
static __always_inline __u32 asked_for(const struct tcp_options *options, __u8 flags)
{
	__u8 offered = constants.cookies.flags, scale = options->scale;
	__u32 mss = cookie_mss_of(options->mss);

	/* of what was agreed the kernel's format keeps the MSS; the rest is kept in the timestamp or by nobody */
	if (kernel_takes_back() && !(options->timestamps && offered & OFFER_TIMESTAMPS))
		return COOKIE_NO_SCALE << 5;
	if (constants.cookies.window_scale == COOKIE_NO_SCALE)
		scale = COOKIE_NO_SCALE;
	return (scale & 15) << 5 | mss << 2 | (options->sack && offered & OFFER_SACK ? ASKED_SACK : 0) |
	       (offered & OFFER_ECN && (flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR) ? ASKED_ECN : 0);
}

static __always_inline void cookie_make(struct cookie *cookie, const struct flow *flow, __u32 sequence, __u32 asked,
					__u64 now)
{
	__u64 hash = hash_cookie(flow, sequence, cookie_step(now), asked);
	__u64 ms256 = (now + (constants.state_key[0] >> 20)) >> 28; /* 2^28 ns: 268 ms */

	cookie->sequence = (hash & COOKIE_HASH_MASK) << ASKED_BITS | asked;
	cookie->tsval = ms256 << 8 | (hash >> 23 & 0xff);
}

/* Whether the ACK of this sequence number and what it acknowledges, both as in the header, bring a cookie back. */
static __always_inline int cookie_good(const struct flow *flow, __u32 sequence, __u32 acknowledged,
				       const struct tcp_options *options)
{
	__u32 cookie = acknowledged - 1, asked = cookie & ((1 << ASKED_BITS) - 1), step = cookie_step(now_ns());

	for (__u32 age = 0; age < 2; age++) {
		__u64 hash = hash_cookie(flow, sequence - 1, step - age, asked);

		if ((hash & COOKIE_HASH_MASK) == cookie >> ASKED_BITS)
			return !options->timestamps || (options->tsecr & 0xff) == (hash >> 23 & 0xff);
	}
	return 0;
}

/* Notes that cookies are about; those who look for returning ones need not look when there are none. */
static __always_inline void cookie_issued(__u64 now)
{
	__u32 all = 0;
	struct cookie_cell *cell = bpf_map_lookup_elem(&cookie_cells, &all);

	if (cell && cell->issued_ns >> COOKIE_NOTED_SHIFT != now >> COOKIE_NOTED_SHIFT)
		cell->issued_ns = now;
}

static __always_inline int cookies_about(void)
{
	__u32 all = 0;
	const struct cookie_cell *cell = bpf_map_lookup_elem(&cookie_cells, &all);

	return cell && cell->issued_ns && is_within(cell->issued_ns, COOKIE_LIFE_NS);
}

#define USUAL_HEADER 40 /* bytes of the TCP header of nearly every SYN: those of read_usual_options() */

/* Without a call of a helper where the linear part of the frame has it all. */
static __always_inline int copy_usual_header(struct xdp_md *ctx, const struct packet *pkt, struct tcp_options *options)
{
	void *end = (void *)(long)ctx->data_end;
	__u32 l4 = pkt->l4;
	struct tcphdr *tcp;

	if (l4 > HEADERS_END)
		return 0;
	tcp = (void *)(long)ctx->data + l4;
	if ((void *)tcp + USUAL_HEADER > end || tcp->doff * 4 != USUAL_HEADER)
		return 0;
	__builtin_memcpy(options, tcp, USUAL_HEADER);
	options->length = USUAL_HEADER - sizeof(*tcp);
	return 1;
}

/* The TCP header and options of a packet in XDP; 0 when the frame does not hold them. */
static __always_inline int load_options(struct xdp_md *ctx, const struct packet *pkt, struct tcp_options *options)
{
	__u32 length;

	if (copy_usual_header(ctx, pkt, options)) {
		read_options(options);
		return 1;
	}
	if (bpf_xdp_load_bytes(ctx, pkt->l4, &options->tcp, sizeof(options->tcp)))
		return 0;
	length = options_length(&options->tcp);
	options->length = length;
	if (length &&
	    bpf_xdp_load_bytes(ctx, pkt->l4 + sizeof(struct tcphdr), options->bytes, span(length, OPTIONS_ROOM)))
		return 0;
	read_options(options);
	return 1;
}

/* An ACK that meets only a listener: a cookie of ours comes back. */
__noinline int own_cookie_returns(struct xdp_md *ctx, const struct packet *pkt)
{
	struct tcp_options *options = options_here();

	if (!pkt || !options || (pkt->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || !cookies_about())
		return 0;
	if (!load_options(ctx, pkt, options))
		return 0;
	return cookie_good(&pkt->flow, bpf_ntohl(options->tcp.seq), bpf_ntohl(options->tcp.ack_seq), options);
}

#endif
