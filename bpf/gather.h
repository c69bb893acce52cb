/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first bytes of a connection, gathered where they come in several segments, and the look-up of names in them. What
 * is judged are the bytes that the server reads, whatever the kernel throws away on the way to it (a wrong checksum, an
 * old timestamp), in whatever order they come:
 *
 * Nothing passes ahead of the first byte, nor before there is a connection (a SYN cookie's may be opening), and of a
 * beginning in several segments nothing ahead of what has been gathered (FIRST_EARLY): so each byte that the kernel may
 * hold has been seen here. The same bytes with another content end the connection (FIRST_CHANGED): which ones the
 * server got is not known. Until the server has answered, which it does when it has read what is judged, a whole
 * beginning that comes again is judged again; what comes behind it passes, or is judged as a beginning of its own (a
 * second ClientHello, tls.h). Of what is refused nothing is kept, since none of it gets to the server: it is refused
 * again when it comes again, also where the kernel did not take the reset that ends the connection.
 */
#ifndef BULWARK_GATHER_H
#define BULWARK_GATHER_H

#include "forwarded.h"
#include "request.h"

#define HOST_LABEL 64 /* a label is at most 63 bytes (RFC 1035) */

enum { PARTIAL_JUDGED = 1, PARTIAL_CHANGED = 2 };

/* What the header of a proxy's connection says, see proxied.h. */
struct proxied {
	union address client;
	__u16 size; /* of the header, which is where the client's bytes begin */
	__u8 state; /* enum proxy_state */
	__u8 unused[5];
};

struct partial {
	__u32 have;   /* bytes of the stream's beginning */
	__u32 judged; /* PARTIAL_JUDGED: they hold all that is asked for, and are kept to be compared with */
	struct first_bytes bytes;
	struct http_request request; /* what was found in them, in scratch */
	__u8 begins;		     /* in scratch: the bytes are those of the beginning; and it goes on */
	__u8 more;
	struct hello hello;		  /* likewise */
	struct proxied proxied;		  /* what the connection's header says, while it is read */
	struct forwarded_address address; /* of a client behind proxies, while it is read */
	struct flow client;		  /* and as limits see it */
};

/* Beginnings in several segments. Written and read by TC ingress. 256 of them; when full the least recently used goes,
 * and the rest of it counts as unknown. Private to a generation, so the same holds after a reload in the middle of one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* PARTIALS where the policy judges first bytes */
	__type(key, __u64);
	__type(value, struct partial);
} partials SEC(".maps");

/* How far the beginning that was judged as a whole reaches: what comes behind it is none of it. */
struct beginning {
	__u32 end;
	__u32 next; /* where what is judged behind it begins; 0: nothing is */
};

/* Written and read by TC ingress. When full the least recently used goes: what comes behind it before its server has
 * answered is sent twice, or counts as unknown. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* BEGUN where the policy judges first bytes */
	__type(key, __u64);
	__type(value, struct beginning);
} begun SEC(".maps");

/* Where the bytes of one segment are looked at; nobody reads what a former one left there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct partial);
} scratch SEC(".maps");

static __always_inline struct partial *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Bytes of the segment's payload to `at`, which has room for FIRST_BYTES more; how many, 0 when they cannot be read. */
static __always_inline __u32 take_bytes(struct __sk_buff *skb, const struct segment *segment, void *at)
{
	__u32 length = segment->length;

	if (length > FIRST_BYTES)
		length = FIRST_BYTES;
	if (!length)
		return 0;
	if (bpf_skb_load_bytes(skb, segment->l3 + segment->at, at, span(length, FIRST_BYTES)))
		return 0;
	return length;
}

/* What a segment is to the beginning of its stream. */
enum gathered {
	GATHERED_NOTHING = 0, /* it has no part in one */
	GATHERED_BYTES = 1,   /* all bytes from the beginning to its end are in scratch */
	GATHERED_EARLY = 2,
	GATHERED_CHANGED = 3,
	GATHERED_LOST = 4, /* it goes on with a beginning that is not known here any more, or not all of it is here */
};

struct comparison {
	const struct first_bytes *bytes;
	struct partial *result;
	__u32 at, length;
};

/* Eight bytes of what is known against the segment's own, which stand in the second half. */
SHARED_STEP(compare_step)
{
	const struct comparison *compared = context;
	__u32 done = round * 8, left = compared->length - done;
	__u64 differ;

	if (done >= compared->length)
		return 1;
	differ = word_at(compared->bytes, compared->at + done) ^ word_at(compared->bytes, FIRST_BYTES + done);
	if (left < 8)
		differ &= (1ULL << left * 8) - 1;
	compared->result->judged |= differ ? PARTIAL_CHANGED : 0;
	return differ != 0;
}

/* The segment continues a beginning, of which it may repeat some. */
static __always_inline enum gathered gather_more(struct __sk_buff *skb, const struct segment *segment,
						 struct partial *here)
{
	struct comparison compared = {&here->bytes, here, segment->offset, here->have - segment->offset};
	__u32 have = here->have, more;

	more = take_bytes(skb, segment, &here->bytes.byte[FIRST_BYTES]);
	if (!more)
		return GATHERED_LOST;
	if (compared.length > more)
		compared.length = more;
	walk_steps(FIRST_BYTES / 8, compare_step, &compared);
	if (here->judged & PARTIAL_CHANGED)
		return GATHERED_CHANGED;
	if (here->judged || segment->offset + segment->length <= have)
		return GATHERED_NOTHING;
	/* what follows the known bytes overwrites the copy that was compared */
	more = take_bytes(skb, segment, &here->bytes.byte[segment->offset & (FIRST_BYTES - 1)]);
	here->have = segment->offset + more;
	return more ? GATHERED_BYTES : GATHERED_LOST;
}

/* No part of the beginning is kept: it was whole in one segment, or this one begins it. */
static __always_inline enum gathered gather_first(struct __sk_buff *skb, const struct segment *segment,
						  struct partial *here, __u64 key)
{
	const struct beginning *known;

	if (!segment->offset) {
		here->judged = 0;
		here->have = take_bytes(skb, segment, here->bytes.byte);
		return here->have ? GATHERED_BYTES : GATHERED_LOST;
	}
	if (segment->answered || constants.offline)
		return GATHERED_NOTHING;
	known = bpf_map_lookup_elem(&begun, &key);
	if (known && (segment->offset >= known->end || segment->received))
		return GATHERED_NOTHING;
	return segment->received ? GATHERED_LOST : GATHERED_EARLY;
}

/* Of a stream, not of addresses and ports alone: a client that uses a port again begins with another number. */
static __always_inline __u64 stream_key(const struct packet *pkt, const struct segment *segment)
{
	return hash_inbound(KEY_STREAM, &pkt->flow) + segment->start;
}

/* A function of its own: the verifier judges it once. */
__noinline int gather(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment)
{
	struct partial *here = scratch_here(), *partial;
	__u32 zero = 0;
	__u64 key;

	if (!here || !pkt || !segment || segment->settled)
		return GATHERED_NOTHING;
	if (segment->offset >= FIRST_BYTES && !segment->asks_hello)
		return GATHERED_NOTHING;
	if (pkt->fragment)
		return GATHERED_LOST;
	key = stream_key(pkt, segment);
	partial = bpf_map_lookup_elem(&partials, &key);
	if (!partial)
		return gather_first(skb, segment, here, key);
	if (segment->offset > partial->have)
		return partial->judged ? GATHERED_NOTHING : GATHERED_EARLY;
	bpf_map_update_elem(&scratch, &zero, partial, BPF_ANY);
	return gather_more(skb, segment, here);
}

/* They are not all of it yet. false: they are not what was judged before, which was whole where these are not. */
static __always_inline int gathered_part(const struct packet *pkt, const struct segment *segment, struct partial *here)
{
	__u64 key = stream_key(pkt, segment);
	const struct beginning *known = bpf_map_lookup_elem(&begun, &key);

	if (known && here->have >= known->end)
		return 0;
	bpf_map_update_elem(&partials, &key, here, BPF_ANY);
	return 1;
}

/* They are all that is judged. next: where what is judged behind them begins, 0: nothing is. */
static __always_inline void gathered_whole(const struct packet *pkt, const struct segment *segment,
					   struct partial *here, __u32 next)
{
	struct beginning now = {here->have, next};
	__u64 key = stream_key(pkt, segment);

	bpf_map_update_elem(&begun, &key, &now, BPF_ANY);
	if (!segment->offset) {
		bpf_map_delete_elem(&partials, &key); /* what had come of it in parts */
		return;
	}
	here->judged = PARTIAL_JUDGED;
	if (here->have > FIRST_BYTES)
		here->have = FIRST_BYTES;
	bpf_map_update_elem(&partials, &key, here, BPF_ANY);
}

/* The bytes in scratch have been looked at; more: the rest of them is to come. false: they were judged otherwise. */
static __always_inline int gathered(const struct packet *pkt, const struct segment *segment, struct partial *here,
				    int more, __u32 next)
{
	if (more)
		return gathered_part(pkt, segment, here);
	gathered_whole(pkt, segment, here, next);
	return 1;
}

/* The reason of what is not looked at. lost: what the rule counts as unknown. */
static __always_inline enum reason gather_reason(enum gathered how, enum reason lost)
{
	switch (how) {
	case GATHERED_EARLY:
		return REASON_FIRST_EARLY;
	case GATHERED_CHANGED:
		return REASON_FIRST_CHANGED;
	case GATHERED_LOST:
		return lost;
	default:
		return REASON_NONE;
	}
}

/* The lists of a name of this rule, or NULL when it has no such name. */
static __always_inline const __u64 *name_find(__u64 hash)
{
	__u32 index = hash >> 32 & (constants.name_lines - 1);
	const struct name_line *line = bpf_map_lookup_elem(&names, &index);

	if (!line)
		return NULL;
	for (int i = 0; i < NAMES_A_LINE; i++)
		if (line->item[i].hash == hash)
			return &line->item[i].lists;
	return NULL;
}

__noinline __u64 hash_name(const struct first_bytes *bytes, __u32 at, __u32 length, __u32 kind, __u32 rule)
{
	return bytes ? name_hash(bytes, at, length, constants.name_seed, kind, rule) : 0;
}

/* A host's name: itself, or what a wildcard stands for in place of its first label. */
static __always_inline int host_known(const struct first_bytes *bytes, __u32 at, __u32 length, __u32 kind, __u32 rule)
{
	__u32 dot;

	if (name_find(hash_name(bytes, at, length, kind, rule)))
		return 1;
	for (dot = 0; dot < HOST_LABEL; dot++)
		if (dot >= length || byte_at(bytes, at + dot) == '.')
			break;
	if (!dot || dot + 1 >= length || dot == HOST_LABEL)
		return 0;
	return name_find(hash_name(bytes, at + dot + 1, length - dot - 1, kind + 1, rule)) != NULL;
}

#endif
