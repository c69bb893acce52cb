/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "slow.h"

#define CAPACITY_LEAST 1024

struct record {
	__u64 cookie; /* 0: free */
	__u64 received, sent;
	__u64 last_ms; /* of the newest byte of the request under way */
	__u64 paid_ms; /* what its bytes have paid for */
	__u32 pieces;  /* looks that found more of it; 0: none is under way */
	bool told;
};

struct records { /* open addressing, at most half full */
	struct record *slots;
	size_t capacity, count; /* capacity is a power of two */
};

struct slow_table {
	struct records before, now;
};

struct slow_table *slow_new(void)
{
	return calloc(1, sizeof(struct slow_table));
}

void slow_free(struct slow_table *table)
{
	if (!table)
		return;
	free(table->before.slots);
	free(table->now.slots);
	free(table);
}

/* Cookies are numbers that the kernel counts up; nobody else chooses them. */
static struct record *slot_of(const struct records *records, __u64 cookie)
{
	size_t at = (cookie * 0x9e3779b97f4a7c15ULL >> 32) & (records->capacity - 1);

	while (records->slots[at].cookie && records->slots[at].cookie != cookie)
		at = (at + 1) & (records->capacity - 1);
	return &records->slots[at];
}

static int records_make(struct records *records, size_t capacity)
{
	*records = (struct records){.slots = calloc(capacity, sizeof(*records->slots)), .capacity = capacity};
	return records->slots ? 0 : -ENOMEM;
}

static int records_grow(struct records *records)
{
	struct records larger;

	if (records_make(&larger, records->capacity * 2))
		return -ENOMEM;
	for (size_t i = 0; i < records->capacity; i++)
		if (records->slots[i].cookie)
			*slot_of(&larger, records->slots[i].cookie) = records->slots[i];
	larger.count = records->count;
	free(records->slots);
	*records = larger;
	return 0;
}

int slow_begin(struct slow_table *table)
{
	size_t capacity = CAPACITY_LEAST;

	while (capacity < table->before.count * 2)
		capacity *= 2;
	free(table->now.slots);
	return records_make(&table->now, capacity);
}

/* A request is found under way: what paid for its beginning is not known, so it begins with its newest byte. */
static void begin_request(struct record *record, __u64 last_ms)
{
	record->last_ms = record->paid_ms = last_ms;
	record->pieces = 1;
}

/* More of the request that is under way. Nobody pays for later than now. */
static void go_on(struct record *record, __u64 bytes, __u64 last_ms)
{
	__u64 owed_ms = last_ms - record->paid_ms, paid_ms = bytes * 1000 / SLOW_BYTES_A_SECOND;

	record->paid_ms += paid_ms < owed_ms ? paid_ms : owed_ms;
	record->last_ms = last_ms;
	record->pieces++;
}

static void follow(struct record *record, const struct slow_sight *sight, bool known, __u64 now_ms)
{
	__u64 last_ms = now_ms - sight->since_received_ms;

	if (!known || sight->sent != record->sent) {
		record->pieces = 0;
		if (sight->received && (!sight->sent || sight->since_received_ms < sight->since_sent_ms))
			begin_request(record, last_ms);
	} else if (sight->received != record->received) {
		if (last_ms < record->last_ms)
			last_ms = record->last_ms;
		if (record->pieces)
			go_on(record, sight->received - record->received, last_ms);
		else
			begin_request(record, last_ms);
	}
	if (sight->unread && record->pieces)
		begin_request(record, last_ms);
	record->received = sight->received;
	record->sent = sight->sent;
}

int slow_see(struct slow_table *table, const struct slow_sight *sight, __u64 now_ms, struct slow_verdict *verdict)
{
	const struct record *before = table->before.count ? slot_of(&table->before, sight->cookie) : NULL;
	bool known = before && before->cookie;
	struct record *record;

	*verdict = (struct slow_verdict){};
	if (table->now.count >= SLOW_FOLLOWED_MOST || !sight->cookie)
		return -ENOSPC;
	if (table->now.count * 2 >= table->now.capacity && records_grow(&table->now))
		return -ENOSPC;
	record = slot_of(&table->now, sight->cookie);
	table->now.count += !record->cookie;
	if (known)
		*record = *before;
	record->cookie = sight->cookie;
	follow(record, sight, known, now_ms);
	verdict->told = record->told;
	if (!sight->sent && !sight->received)
		verdict->slow_ms = sight->since_received_ms;
	else if (record->pieces >= SLOW_PIECES)
		verdict->slow_ms = (__u32)(record->last_ms - record->paid_ms);
	if (!sight->sent && sight->received && !sight->unread)
		verdict->unanswered_ms = sight->since_sent_ms;
	return 0;
}

void slow_tell(struct slow_table *table, __u64 cookie)
{
	struct record *record = slot_of(&table->now, cookie);

	if (record->cookie)
		record->told = true;
}

void slow_end(struct slow_table *table)
{
	free(table->before.slots);
	table->before = table->now;
	table->now = (struct records){};
}

size_t slow_followed(const struct slow_table *table)
{
	return table->before.count;
}
