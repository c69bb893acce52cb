/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table that tells the packet path what is held: nothing held is missing from it, whatever came and went. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_private.h"

#define LINES 8
#define PREFIXES 96 /* twelve a line: most lines overflow */
#define CHANGES 20000

struct one {
	struct hold_key key;
	struct hold hold;
	bool held;
};

static struct hold_line lines[LINES + 1];
static struct one all[PREFIXES];

static struct hold_table table = {.lines = lines, .key = 0x0123456789abcdefULL};

/* One in three is an IPv6 prefix; the others are addresses of one /24. */
static void name_one(unsigned number)
{
	struct hold_key *key = &all[number].key;

	if (number % 3) {
		key->length = 128;
		memset(key->address + 10, 0xff, 2);
		memcpy(key->address + 12, (__u8[]){198, 51, 100, (__u8)number}, 4);
		return;
	}
	key->length = 64;
	memcpy(key->address, (__u8[]){0x20, 1, 0xd, 0xb8, 0, 0, 0, (__u8)number}, 8);
}

static struct hold_line *line_of(const struct hold_key *key, __u32 *tag)
{
	__u64 high = 0, low = 0, hash;

	for (int i = 0; i < 8; i++) {
		high = high << 8 | key->address[i];
		low = low << 8 | key->address[i + 8];
	}
	hash = hold_hash(high, low, key->length, table.key);
	*tag = hold_tag(high, low, key->length, hash);
	return &lines[1 + hash % LINES];
}

/* As bpf/holds.h reads it: the end of a ban that stands alone, or that the rest is elsewhere. */
static bool is_found(const struct one *one)
{
	bool alone = one->key.length == 128 && !one->hold.allow_until_ns;
	__u32 tag;
	const struct hold_line *line = line_of(&one->key, &tag);

	for (int i = 0; i < HOLD_LINE_SLOTS; i++) {
		__u64 slot = line->slot[i];

		if (slot && HOLD_SLOT_TAG(slot) == tag)
			return !(slot & HOLD_SLOT_ALONE) ||
			       (alone && HOLD_SLOT_UNTIL(slot) == hold_time(one->hold.ban_until_ns));
	}
	return line->beside;
}

static void change(struct one *one, const struct hold *after)
{
	hold_table_change(&table, &one->key, one->held ? &one->hold : NULL, after);
	one->held = after != NULL;
	if (after)
		one->hold = *after;
}

static void change_any(void)
{
	struct one *one = &all[rand() % PREFIXES];
	struct hold after = {.ban_until_ns = (__u64)(rand() % 1000 + 1) << 32,
			     .allow_until_ns = rand() % 4 ? 0 : 1ULL << 50};

	if (one->held && rand() % 3 == 0)
		change(one, NULL);
	else
		change(one, &after);
}

static void nothing_held_is_missing(void **state)
{
	(void)state;
	srand(7);
	lines[0].slot[0] = LINES - 1;
	for (unsigned i = 0; i < PREFIXES; i++)
		name_one(i);
	for (int turn = 0; turn < CHANGES; turn++) {
		change_any();
		for (unsigned i = 0; i < PREFIXES; i++)
			assert_true(!all[i].held || is_found(&all[i]));
	}
}

static void all_lifted_is_empty(void **state)
{
	static const struct hold_line empty;

	(void)state;
	for (unsigned i = 0; i < PREFIXES; i++)
		if (all[i].held)
			change(&all[i], NULL);
	for (int i = 1; i <= LINES; i++)
		assert_memory_equal(&lines[i], &empty, sizeof(empty));
}

static void bans_without_an_end(void **state)
{
	struct hold hold = {.ban_until_ns = UINT64_MAX};
	__u32 tag;
	struct hold_line *line = line_of(&all[1].key, &tag);

	(void)state;
	change(&all[1], &hold);
	assert_int_equal(HOLD_SLOT_UNTIL(line->slot[0]), HOLD_TIME_MOST);
	assert_int_equal(HOLD_SLOT_TAG(line->slot[0]), 198u << 24 | 51 << 16 | 100 << 8 | 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_held_is_missing),
		cmocka_unit_test(all_lifted_is_empty),
		cmocka_unit_test(bans_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
