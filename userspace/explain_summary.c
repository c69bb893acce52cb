/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* --summary: who would have been dropped, by reason and source. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "explain.h"

#define SOURCES_IN_TABLE 25
#define SOURCES_IN_JSON 10000

struct tally {
	struct {
		__u8 source[16];
		__u8 verdict, reason, no_source, unused;
	} key;
	bool used;
	unsigned long long packets, bytes;
};

struct summary {
	struct tally *slots; /* open addressing, at most half full */
	size_t capacity, count;
	struct counter reasons[VERDICT_COUNT][REASON_COUNT];
	unsigned long long at_tc, at_xdp; /* packets, by the section of their path that decided */
};

struct summary *summary_new(void)
{
	return calloc(1, sizeof(struct summary));
}

void summary_free(struct summary *summary)
{
	if (summary)
		free(summary->slots);
	free(summary);
}

static struct tally *slot_of(struct tally *slots, size_t capacity, const struct tally *like)
{
	size_t at = XXH3_64bits(&like->key, sizeof(like->key)) & (capacity - 1);

	while (slots[at].used && memcmp(&slots[at].key, &like->key, sizeof(like->key)))
		at = (at + 1) & (capacity - 1);
	return &slots[at];
}

static int grow(struct summary *summary)
{
	size_t capacity = summary->capacity ? summary->capacity * 2 : 1024;
	struct tally *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < summary->capacity; i++) {
		if (summary->slots[i].used)
			*slot_of(slots, capacity, &summary->slots[i]) = summary->slots[i];
	}
	free(summary->slots);
	summary->slots = slots;
	summary->capacity = capacity;
	return 0;
}

static int tally(struct summary *summary, const struct explained *packet, __u8 verdict, __u8 reason)
{
	struct tally like = {.used = true}, *slot;
	char unused[PREFIX_TEXT];

	summary->reasons[verdict][reason].packets++;
	summary->reasons[verdict][reason].bytes += packet->length;
	if (verdict == VERDICT_PASS)
		return 0;
	if (summary->count * 2 >= summary->capacity && grow(summary))
		return -ENOMEM;
	like.key.verdict = verdict;
	like.key.reason = reason;
	like.key.no_source = !explain_source(packet, unused);
	memcpy(like.key.source, packet->decision.source, 16);
	slot = slot_of(summary->slots, summary->capacity, &like);
	if (!slot->used) {
		*slot = like;
		summary->count++;
	}
	slot->packets++;
	slot->bytes += packet->length;
	return 0;
}

int summary_add(struct summary *summary, const struct explained *packet)
{
	const struct decision *decision = &packet->decision;
	int err;

	if (packet->fate != FATE_JUDGED || decision->reason >= REASON_COUNT)
		return 0;
	*(decision->hook == HOOK_XDP ? &summary->at_xdp : &summary->at_tc) += 1;
	err = tally(summary, packet, decision->verdict, decision->reason);
	if (!err && decision->would && decision->would < REASON_COUNT)
		err = tally(summary, packet, VERDICT_WOULD_DROP, decision->would);
	return err;
}

static json_t *reasons_json(const struct summary *summary)
{
	json_t *reasons = json_array();

	for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++) {
		for (unsigned reason = 0; reason < REASON_COUNT; reason++) {
			const struct counter *counter = &summary->reasons[verdict][reason];

			if (!counter->packets)
				continue;
			json_array_append_new(
				reasons, json_pack("{s:s, s:s, s:I, s:I}", "verdict", explain_verdict(verdict),
						   "reason", reason_name(reason), "packets",
						   (json_int_t)counter->packets, "bytes", (json_int_t)counter->bytes));
		}
	}
	return reasons;
}

/* Most packets first, then by reason and address, so that two runs print the same. */
static int by_packets(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->used != y->used)
		return y->used - x->used;
	if (x->packets != y->packets)
		return x->packets < y->packets ? 1 : -1;
	if (x->key.reason != y->key.reason)
		return x->key.reason - y->key.reason;
	return memcmp(x->key.source, y->key.source, sizeof(x->key.source));
}

static json_t *sources_json(struct summary *summary, size_t limit)
{
	json_t *sources = json_array();

	if (summary->count)
		qsort(summary->slots, summary->capacity, sizeof(*summary->slots), by_packets);
	for (size_t i = 0; i < summary->count && i < limit; i++) {
		const struct tally *slot = &summary->slots[i];
		struct prefix prefix = {.length = 128};
		char text[PREFIX_TEXT];

		memcpy(prefix.address, slot->key.source, 16);
		json_array_append_new(sources, json_pack("{s:s?, s:s, s:s, s:I, s:I}", "source",
							 slot->key.no_source ? NULL : prefix_text(&prefix, text),
							 "verdict", explain_verdict(slot->key.verdict), "reason",
							 reason_name(slot->key.reason), "packets",
							 (json_int_t)slot->packets, "bytes", (json_int_t)slot->bytes));
	}
	return sources;
}

static int print_for_people(const struct explain *explain, json_t *reasons, json_t *sources)
{
	static const struct column reason_columns[] = {
		{"verdict", "VERDICT", false, NULL},
		{"reason", "REASON", false, NULL},
		{"packets", "PACKETS", true, NULL},
		{"bytes", "BYTES", true, NULL},
		{0},
	};
	static const struct column source_columns[] = {
		{"source", "SOURCE", false, NULL}, {"verdict", "VERDICT", false, NULL},
		{"reason", "REASON", false, NULL}, {"packets", "PACKETS", true, NULL},
		{"bytes", "BYTES", true, NULL},	   {0},
	};
	size_t count = explain->summary->count;

	print_table(reasons, reason_columns);
	if (count) {
		putchar('\n');
		print_table(sources, source_columns);
	}
	if (count > SOURCES_IN_TABLE)
		printf("and %zu more; --json has up to %d\n", count - SOURCES_IN_TABLE, SOURCES_IN_JSON);
	printf("\ndecided at xdp: %llu, at tc: %llu\n", explain->summary->at_xdp, explain->summary->at_tc);
	explain_print_end(explain);
	json_decref(reasons);
	json_decref(sources);
	return EXIT_DONE;
}

int summary_print(const struct explain *explain)
{
	bool json = explain->context->json;
	json_t *reasons = reasons_json(explain->summary);
	json_t *sources = sources_json(explain->summary, json ? SOURCES_IN_JSON : SOURCES_IN_TABLE);

	if (!json)
		return print_for_people(explain, reasons, sources);
	return print_json(json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:o, s:o}", "passed",
		(json_int_t)explain->counts[VERDICT_PASS], "dropped", (json_int_t)explain->counts[VERDICT_DROP],
		"would-drop", (json_int_t)explain->counts[VERDICT_WOULD_DROP], "sent", (json_int_t)explain->sent,
		"cut-off", (json_int_t)explain->cut_off, "open-before", (json_int_t)explain->open_before, "path", "xdp",
		(json_int_t)explain->summary->at_xdp, "tc", (json_int_t)explain->summary->at_tc, "reasons", reasons,
		"sources", sources));
}
