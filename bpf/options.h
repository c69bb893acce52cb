/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A TCP header with its options. */
#ifndef BULWARK_OPTIONS_H
#define BULWARK_OPTIONS_H

#define TCP_OPTIONS_MAX 40
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_SCALE 3
#define OPTION_SACK 4
#define OPTION_TIMESTAMPS 8
#define OPTION_MD5 19 /* RFC 2385 */
#define OPTION_AO 29  /* RFC 5925 */
#define SCALE_MOST 14 /* RFC 7323 2.3 */

struct tcp_options {
	struct tcphdr tcp;	  /* in */
	__u8 bytes[OPTIONS_ROOM]; /* in: as in the header, up to TCP_OPTIONS_MAX; aligned as the header is */
	__u32 length;		  /* in */
	volatile __u32 at;	  /* of the walk; volatile, so that it is not followed in a register */
	/* out */
	__u32 tsval, tsecr; /* host order */
	__u16 mss;	    /* 0: none */
	__u8 scale;	    /* COOKIE_NO_SCALE: none */
	__u8 sack, timestamps;
	__u8 authenticated; /* TCP-MD5 or TCP-AO: only the kernel has the keys */
	__be32 ip[10];	    /* what kernel_cookie() makes of the header before it */
};

static __always_inline __u32 option_u16(const struct tcp_options *options, __u32 at)
{
	return options->bytes[at & 63] << 8 | options->bytes[(at + 1) & 63];
}

static __always_inline __u32 option_u32(const struct tcp_options *options, __u32 at)
{
	return option_u16(options, at) << 16 | option_u16(options, at + 2);
}

static __always_inline void note_option(struct tcp_options *options, __u8 kind, __u8 size, __u32 at)
{
	if (kind == OPTION_MSS && size == 4) {
		options->mss = option_u16(options, at);
	} else if (kind == OPTION_SCALE && size == 3) {
		options->scale = options->bytes[at & 63];
		if (options->scale > SCALE_MOST)
			options->scale = SCALE_MOST;
	} else if (kind == OPTION_SACK && size == 2) {
		options->sack = 1;
	} else if (kind == OPTION_TIMESTAMPS && size == 10) {
		options->timestamps = 1;
		options->tsval = option_u32(options, at);
		options->tsecr = option_u32(options, at + 4);
	} else if (kind == OPTION_MD5 || kind == OPTION_AO) {
		options->authenticated = 1;
	}
}

/* In the order in which Linux sends them: MSS, SACK, timestamps, a NOP, window scale. 0: it is another one. */
static __always_inline int read_usual_options(struct tcp_options *options)
{
	const __be32 *word = (const void *)options->bytes;
	__u32 first, last;

	if (options->length != 20)
		return 0;
	first = bpf_ntohl(word[0]);
	last = bpf_ntohl(word[4]);
	if (first >> 16 != (OPTION_MSS << 8 | 4) || last >> 8 != (OPTION_NOP << 16 | OPTION_SCALE << 8 | 3) ||
	    word[1] != bpf_htonl(OPTION_SACK << 24 | 2 << 16 | OPTION_TIMESTAMPS << 8 | 10))
		return 0;
	options->mss = first;
	options->scale = (last & 0xff) > SCALE_MOST ? SCALE_MOST : last;
	options->sack = options->timestamps = 1;
	options->authenticated = 0;
	options->tsval = bpf_ntohl(word[2]);
	options->tsecr = bpf_ntohl(word[3]);
	return 1;
}

/* The option at options->at; 0: it was the last one. A global function: verified once, not in every round of the walk.
 */
__noinline int read_option(struct tcp_options *options)
{
	__u8 kind, size = 1;
	__u32 at;

	if (!options)
		return 0;
	at = options->at;
	if (at >= options->length || at >= TCP_OPTIONS_MAX)
		return 0;
	kind = options->bytes[at & 63];
	if (kind == OPTION_END)
		return 0;
	if (kind != OPTION_NOP) {
		size = options->bytes[(at + 1) & 63];
		if (size < 2 || at + size > options->length)
			return 0;
		note_option(options, kind, size, at + 2);
	}
	options->at = at + size;
	return 1;
}

/* All that the walk knows is kept in *options, whose content the verifier does not follow: the rounds look alike. */
static __always_inline void read_options(struct tcp_options *options)
{
	if (read_usual_options(options))
		return;
	options->at = 0;
	options->mss = 0;
	options->scale = COOKIE_NO_SCALE;
	options->sack = options->timestamps = options->authenticated = 0;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++)
		if (!read_option(options))
			break;
}

/* Too large for the stack. Nothing that judges a packet is interrupted by another one on the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_options);
} options_scratch SEC(".maps");

static __always_inline struct tcp_options *options_here(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&options_scratch, &only);
}

/* 0 or 4 to TCP_OPTIONS_MAX. */
static __always_inline __u32 options_length(const struct tcphdr *tcp)
{
	__u32 length = tcp->doff * 4;

	return length <= sizeof(*tcp) ? 0 : length - sizeof(*tcp);
}

#endif
