/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting, sampling and telling. None ever decides a packet's fate: whatever fails here costs a count or an event.
 * Events are sampled per source and reason, within a hard budget per CPU, reason and tick; what is not told is
 * counted and carried by the next event of its reason.
 */
#ifndef BULWARK_TELL_H
#define BULWARK_TELL_H

#define PROBES_A_TICK 64 /* sources looked up per CPU, reason and tick at most: bounds what telling costs a flood */

/* What the hooks have in common for counting and telling. */
struct outcome {
	__u32 ifindex;
	__u32 row;     /* of the interface */
	__u32 packets; /* segments that a frame stands for in generic mode */
	__u8 hook, verdict, reason, unused;
	__u16 rule, unused2;
};

#define MTU_LEAST 68 /* RFC 791: what fits it is one segment on any interface */

/* A frame longer than the MTU, seen in generic mode, is several segments merged. */
static __always_inline __u32 segments(const struct interface_entry *interface, __u32 length)
{
	if (!interface || !(interface->flags & INTERFACE_GENERIC) || !interface->mtu ||
	    length <= interface->mtu + sizeof(struct ethhdr))
		return 1;
	return (length + interface->mtu - 1) / interface->mtu;
}

/* The same where the interface is not known yet. */
static __always_inline __u32 segments_here(const struct xdp_md *ctx, __u32 length)
{
	return length <= MTU_LEAST + sizeof(struct ethhdr) ? 1 : segments(interface_find(ctx->ingress_ifindex), length);
}

/* Offline: what every decision says of its packet. */
static __always_inline void decide_packet(const struct packet *pkt)
{
	decision.class = pkt->class;
	__builtin_memcpy(decision.source, &pkt->flow.source, ADDRESS_BYTES);
	__builtin_memcpy(decision.destination, &pkt->flow.destination, ADDRESS_BYTES);
	decision.source_port = pkt->flow.source_port;
	decision.destination_port = pkt->flow.destination_port;
	decision.protocol = pkt->flow.protocol;
	decision.tcp_flags = pkt->tcp_flags;
	decision.ipv6 = pkt->flow.ipv6;
}

static __always_inline void add(struct counter *counter, __u32 packets, __u32 bytes)
{
	if (!counter)
		return;
	counter->packets += packets;
	counter->bytes += bytes;
}

static __always_inline enum proof proof_of(const struct packet *pkt)
{
	if (pkt->proven)
		return PROOF_OPEN;
	return pkt->flow.protocol == IPPROTO_TCP && (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? PROOF_SYN
												      : PROOF_NONE;
}

/* length: of the frame */
static __always_inline void count_packets(const struct outcome *outcome, __u32 length)
{
	__u32 index = COUNTER_INDEX(outcome->row, outcome->verdict, outcome->reason);

	add(bpf_map_lookup_elem(&counters, &index), outcome->packets, length);
}

static __always_inline void count(const struct outcome *outcome, const struct packet *pkt)
{
	__u32 index;

	count_packets(outcome, pkt->length);
	if (!pkt->row)
		return;
	index = SERVICE_COUNTER(pkt->row, outcome->verdict, proof_of(pkt));
	add(bpf_map_lookup_elem(&service_counters, &index), outcome->packets, pkt->length);
}

/* Whether this source was told for this reason within the interval; notes it when not. What would be dropped is told
 * beside what is: one packet can be both. Of what leaves, where one source stands for all that is asked here, it is
 * told for each destination. */
static __always_inline int told_lately(const struct packet *pkt, const struct outcome *outcome, __u64 now_ns)
{
	__u32 kind = outcome->reason | (outcome->verdict == VERDICT_WOULD_DROP) << 8, index, now = slot_time(now_ns);
	__u64 hash = hash_sample(&pkt->flow.source, kind);
	struct slot_line *line;

	if (outcome->hook == HOOK_EGRESS)
		hash += hash_sample(&pkt->flow.destination, kind) * 3; /* not the same with the ends changed over */
	index = hash & (SAMPLE_LINES - 1);
	line = bpf_map_lookup_elem(&samples, &index);
	if (!line || line_find(line, hash, now))
		return 1;
	line_put(line, hash, now + (constants.event_interval_ns >> SLOT_EXPIRY_SHIFT) + 1, MARK_ASKED);
	return 0;
}

static __always_inline void fill_event(struct event *event, const struct outcome *outcome, const struct packet *pkt)
{
	event->time_ns = bpf_ktime_get_boot_ns();
	event->generation = constants.generation;
	event->ifindex = outcome->ifindex;
	__builtin_memcpy(event->source, &pkt->flow.source, ADDRESS_BYTES);
	__builtin_memcpy(event->destination, &pkt->flow.destination, ADDRESS_BYTES);
	event->source_port = pkt->flow.source_port;
	event->destination_port = pkt->flow.destination_port;
	if (is_icmp(&pkt->flow)) {
		event->source_port = pkt->icmp_type;
		event->destination_port = pkt->icmp_code;
	}
	event->rule = outcome->rule;
	event->service = pkt->row;
	event->class = pkt->class;
	event->vlan = pkt->vlan;
	event->length = pkt->length > 65535 ? 65535 : pkt->length;
	event->kind = EVENT_VERDICT;
	event->verdict = outcome->verdict;
	event->reason = outcome->reason;
	event->protocol = pkt->flow.protocol;
	event->tcp_flags = pkt->tcp_flags;
	event->hook = outcome->hook;
	__builtin_memset(event->unused, 0, sizeof(event->unused));
}

static __always_inline void tell_unless_lately(const struct outcome *outcome, const struct packet *pkt, __u64 now_ns)
{
	__u32 reason = outcome->reason;
	struct telling *mine = bpf_map_lookup_elem(&telling, &reason);
	struct event *event;

	if (!mine)
		return;
	mine->probes++;
	if (told_lately(pkt, outcome, now_ns)) {
		mine->sampled_out += outcome->packets;
		return;
	}
	mine->told++;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		mine->lost++;
		return;
	}
	fill_event(event, outcome, pkt);
	event->packets = mine->untold;
	mine->untold = 0;
	mine->made++;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* The budget of this tick allows an event or a look: the slow path, rare by that budget. */
__noinline int tell_within_budget(const struct outcome *outcome, const struct packet *pkt)
{
	if (outcome && pkt)
		tell_unless_lately(outcome, pkt, now_ns());
	return 0;
}

/* ---- samples ---- */

/* What is asked of the source beside its address. */
static __always_inline __u8 sample_flags(const struct outcome *outcome, const struct packet *pkt)
{
	__u8 flags = pkt->proven ? SAMPLE_OPEN : 0;

	if (outcome->hook != HOOK_XDP || outcome->verdict == VERDICT_WOULD_DROP)
		flags |= SAMPLE_AGAIN;
	if (constants.cookies.format)
		flags |= is_known(&pkt->flow) ? SAMPLE_HISTORY | SAMPLE_KNOWN : SAMPLE_HISTORY;
	return flags;
}

/* The slow path of few packets (sampling.h). */
__noinline int sample_packet(const struct outcome *outcome, const struct packet *pkt)
{
	__u32 zero = 0, reason, place, shift, *turn = bpf_map_lookup_elem(&sample_turns, &zero);
	struct packet_sample *sample;
	struct telling *mine;

	if (!outcome || !pkt || !turn)
		return 0;
	reason = outcome->reason;
	place = (*turn)++ & (SAMPLES_A_CPU - 1);
	mine = bpf_map_lookup_elem(&telling, &reason);
	sample = bpf_map_lookup_elem(&packet_samples, &place);
	if (!mine || !sample)
		return 0;
	shift = sampling_take(&mine->sampling, bpf_get_prandom_u32());
	__builtin_memcpy(sample->source, &pkt->flow.source, ADDRESS_BYTES);
	sample->time = now_ns() >> SAMPLE_TIME_SHIFT;
	sample->packets = outcome->packets << (shift & 31);
	sample->service = pkt->row;
	sample->reason = reason;
	sample->verdict = outcome->verdict;
	sample->shift = shift;
	sample->flags = sample_flags(outcome, pkt);
	return 0;
}

/* What leaves is this host's own. */
static __always_inline void sample(struct telling *mine, const struct outcome *outcome, const struct packet *pkt)
{
	if (outcome->hook == HOOK_EGRESS)
		return;
	if (mine->sampling.skip) {
		mine->sampling.skip--;
	} else {
		/* a copy, made here: what another function sees cannot stay in registers before */
		struct outcome taken = *outcome;

		sample_packet(&taken, pkt);
	}
}

/* ---- all of it ---- */

/* What this CPU counts for a reason, its tick begun; NULL: nothing. */
static __always_inline struct telling *telling_of(__u32 reason)
{
	struct telling *mine = bpf_map_lookup_elem(&telling, &reason);
	__u64 tick = bpf_jiffies64();
	__u32 period = tick >> SAMPLING_PERIOD_SHIFT;

	if (!mine || mine->tick == tick)
		return mine;
	mine->tick = tick;
	mine->told = 0;
	mine->probes = 0;
	if (mine->sampling.period != period)
		sampling_begin(&mine->sampling, period, bpf_get_prandom_u32());
	return mine;
}

/* Whether the budget of this tick allows an event or a look. */
static __always_inline int has_budget(const struct telling *mine)
{
	return mine->told < constants.events_per_tick && mine->probes < PROBES_A_TICK;
}

/* The same of a packet, which is noted. */
static __always_inline int within_tick(struct telling *mine, const struct outcome *outcome)
{
	mine->untold += outcome->packets;
	if (has_budget(mine))
		return 1;
	mine->sampled_out += outcome->packets;
	return 0;
}

/* Notes a dropped packet, if there is nothing else to do: no sample is due, and nothing to spend in this tick. */
static __always_inline int tell_nothing(const struct outcome *outcome)
{
	__u32 reason = outcome->reason;
	struct telling *mine = bpf_map_lookup_elem(&telling, &reason);

	if (!mine || mine->tick != bpf_jiffies64() || !mine->sampling.skip || has_budget(mine))
		return 0;
	mine->sampling.skip--;
	mine->untold += outcome->packets;
	mine->sampled_out += outcome->packets;
	return 1;
}

static __always_inline void tell(const struct outcome *outcome, const struct packet *pkt)
{
	struct telling *mine = telling_of(outcome->reason);

	if (!mine)
		return;
	sample(mine, outcome, pkt);
	if (outcome->verdict == VERDICT_PASS)
		return;
	if (within_tick(mine, outcome)) {
		struct outcome told = *outcome; /* a copy, as for a sample */

		tell_within_budget(&told, pkt);
	}
}

#endif
