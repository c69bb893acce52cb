/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Automatic bans. They follow only from what cannot be forged: a drop counts as an offence when the segment fits the
 * sequence and acknowledgement numbers of the open connection that it names (or completes the handshake that it names),
 * which nobody knows who does not see the answers. Who knows all four of addresses and ports and guesses the two
 * numbers hits them once in 2^27 packets. Forwarded connections have no socket here to ask, and UDP proves nothing:
 * neither is ever banned.
 */
#ifndef BULWARK_BANS_H
#define BULWARK_BANS_H

#define OLD_BYTES 65536u       /* numbers a segment may lag behind: what was sent again or came late */
#define AHEAD_BYTES (1u << 18) /* numbers it may be ahead, however wide the window is */
#define OFFENCE_TIME_MASK ((1u << OFFENCE_TIME_BITS) - 1)
#define OFFENCE_COUNT_MASK ((1u << OFFENCE_COUNT_BITS) - 1)
#define REPEATS_MAX 32 /* bans in a row that still grow; the least factor reaches any time by then */

static __always_inline int between(__u32 number, __u32 from, __u32 size)
{
	return number - from < size;
}

static __always_inline __u32 at_most(__u32 value, __u32 most)
{
	return value < most ? value : most;
}

/* sequence, acknowledgement: of the segment, in host order. */
static __always_inline int fits_connection(struct bpf_sock *socket, __u32 sequence, __u32 acknowledgement)
{
	struct tcp_sock *tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(socket);

	if (!tcp)
		return 0;
	return between(acknowledgement, tcp->snd_una - OLD_BYTES,
		       OLD_BYTES + at_most(tcp->snd_nxt - tcp->snd_una, AHEAD_BYTES) + 1) &&
	       between(sequence, tcp->rcv_nxt - OLD_BYTES, OLD_BYTES + at_most(tcp->rcv_wnd, AHEAD_BYTES) + 1);
}

static __always_inline int completes_handshake(struct bpf_sock *socket, __u32 sequence, __u32 acknowledgement)
{
	struct tcp_request_sock *request = (struct tcp_request_sock *)bpf_skc_to_tcp_request_sock(socket);

	return request && acknowledgement == request->snt_isn + 1 &&
	       between(sequence, request->rcv_isn + 1, AHEAD_BYTES);
}

static __always_inline int socket_proves(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, __u32 sequence,
					 __u32 acknowledgement)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(ctx, tuple, size, BPF_F_CURRENT_NETNS, 0);
	int proves;

	if (!socket)
		return 0;
	proves = fits_connection(socket, sequence, acknowledgement) ||
		 completes_handshake(socket, sequence, acknowledgement);
	bpf_sk_release(socket);
	return proves;
}

static __always_inline int is_proof(struct xdp_md *ctx, const struct packet *pkt)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_sock_tuple tuple;
	__u32 l4 = pkt->l4, sequence, acknowledgement;
	struct tcphdr *tcp;

	if (constants.offline || pkt->handshake)
		return 1; /* a capture shows both ends; a cookie is a proof */
	tcp = data + l4;
	if (l4 > 4096 || (void *)(tcp + 1) > end || !(pkt->tcp_flags & TCP_ACK))
		return 0;
	sequence = bpf_ntohl(tcp->seq);
	acknowledgement = bpf_ntohl(tcp->ack_seq);
	make_tuple(&tuple, &pkt->flow);
	if (pkt->flow.ipv6)
		return socket_proves(ctx, &tuple, sizeof(tuple.ipv6), sequence, acknowledgement);
	return socket_proves(ctx, &tuple, sizeof(tuple.ipv4), sequence, acknowledgement);
}

/* ---- counting ---- */

static __always_inline __u32 offence_count(__u64 slot)
{
	return slot & OFFENCE_COUNT_MASK;
}

/* Whether a slot's time is over, or it was never used. now: in the slot's units. */
static __always_inline int offence_over(__u64 slot, __u32 now)
{
	__u32 age = (now - (__u32)(slot >> OFFENCE_COUNT_BITS)) & OFFENCE_TIME_MASK;

	return !offence_count(slot) || age > constants.ban.window_ns >> OFFENCE_TIME_SHIFT;
}

static __always_inline __u32 offence_slot(const struct slot_line *line, __u64 print, __u32 now)
{
	__u32 victim = 0, least = ~0u;

	for (__u32 i = 0; i < SLOTS_A_LINE; i++) {
		__u64 slot = line->slot[i];
		__u32 count = offence_over(slot, now) ? 0 : offence_count(slot);

		if (count && slot >> (64 - 24) == print)
			return i;
		if (count < least) {
			least = count;
			victim = i;
		}
	}
	return victim;
}

/* Counts offences of one source; whether they are one too many, and then they begin anew. */
__noinline int offence_take(__u64 hash, __u32 packets)
{
	__u32 index = hash & (OFFENCE_LINES - 1), now = (now_ns() >> OFFENCE_TIME_SHIFT) & OFFENCE_TIME_MASK, at, count;
	struct slot_line *line = bpf_map_lookup_elem(&offences, &index);
	__u64 print = hash >> (64 - 24), old, next, begin;

	if (!line)
		return 0;
	packets = at_most(packets, OFFENCES_MAX);
	at = offence_slot(line, print, now) & (SLOTS_A_LINE - 1);
	for (int try = 0; try < CAS_TRIES; try++) {
		old = line->slot[at];
		begin = (old >> OFFENCE_COUNT_BITS) & OFFENCE_TIME_MASK;
		count = offence_count(old);
		if (old >> (64 - 24) != print || offence_over(old, now)) {
			begin = now;
			count = 0;
		}
		count = at_most(count + packets, OFFENCE_COUNT_MASK);
		next = print << (64 - 24) | begin << OFFENCE_COUNT_BITS | count;
		if (count >= constants.ban.offences)
			next = 0;
		if (__sync_val_compare_and_swap(&line->slot[at], old, next) == old)
			return count >= constants.ban.offences;
	}
	return 0;
}

/* ---- banning ---- */

static __always_inline __u64 ban_length(__u32 times)
{
	__u64 length = constants.ban.for_ns;

	for (__u32 i = 1; i < REPEATS_MAX; i++) {
		if (i >= times || length >= constants.ban.most_ns)
			break;
		length *= constants.ban.factor;
	}
	return length < constants.ban.most_ns ? length : constants.ban.most_ns;
}

static __always_inline __u32 automatic_kind(__u32 length)
{
	return length == 128 ? AUTOMATIC_V4 : length == 64 ? AUTOMATIC_64 : length == 56 ? AUTOMATIC_56 : AUTOMATIC_48;
}

/* Two CPUs may write the same ban at once: both write the same. */
__noinline int ban_write(__u64 high, __u64 low, __u32 length, __u32 service, __u32 reason)
{
	struct automatic_ban ban = {.since_ns = boot_ns(), .times = 1, .service = service, .reason = reason}, *before;
	__u32 zero = 0;
	struct hold_lengths *lengths = bpf_map_lookup_elem(&hold_lengths, &zero);
	struct hold_key key = {};

	if (!lengths)
		return 0;
	hold_key_make(&key, high, low, length);
	before = bpf_map_lookup_elem(&automatic_bans, &key);
	if (before && before->until_ns > ban.since_ns)
		return 0;
	if (before && before->forget_ns > ban.since_ns)
		ban.times = before->times + 1;
	ban.until_ns = ban.since_ns + ban_length(ban.times);
	ban.forget_ns = ban.until_ns + OFFENCES_REMEMBERED_NS;
	/* its kind first: a ban that is written is found */
	if (!(lengths->automatic & automatic_kind(length)))
		__sync_fetch_and_or(&lengths->automatic, automatic_kind(length));
	if (bpf_map_update_elem(&automatic_bans, &key, &ban, BPF_ANY))
		__sync_fetch_and_add(&lengths->no_room, 1);
	__sync_fetch_and_add(&lengths->changes, 1);
	return 0;
}

/* Who must not be banned whatever they do. */
static __always_inline int is_spared(const struct packet *pkt)
{
	union address source = pkt->flow.source; /* on the stack: see is_forwarded() */
	const struct class_entry *class = class_at(pkt->class, pkt->flow.zone);

	if (class && class->flags & CLASS_SPARED)
		return 1;
	return bpf_map_lookup_elem(&own_addresses, &source) != NULL;
}

/* A drop that may lead to a ban. why: its reason. */
__noinline int judge_offence(struct xdp_md *ctx, const struct packet *pkt, int why)
{
	const struct service_entry *service;
	__u64 high, low, hash;
	__u32 length;

	if (!pkt || is_spared(pkt) || !is_proof(ctx, pkt))
		return 0;
	high = bpf_be64_to_cpu(pkt->flow.source.half[0]);
	low = bpf_be64_to_cpu(pkt->flow.source.half[1]);
	length = pkt->flow.ipv6 ? constants.ban_v6_length : 128;
	hash = hash_source(KEY_OFFENCE, &pkt->flow, length);
	if (!offence_take(hash, segments_here(ctx, pkt->length)))
		return 0;
	service = service_at(pkt->service);
	return ban_write(high, low, length, service ? service->row : 0, why);
}

#endif
