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
#define PREFIXES 192 /* 24 a line: all of them overflow */
#define CHANGES 20000

struct one {
	struct hold_key key;
	struct hold hold;
	bool held;
};

static struct hold_line lines[HOLD_TABLE_ENTRIES(LINES)];
static struct one all[PREFIXES];

static struct hold_table table = {.lines = lines, .line_count = LINES, .key = 0x0123456789abcdefULL};

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

static unsigned line_of(const struct hold_key *key, __u32 *tag)
{
	__u64 high = 0, low = 0, hash;

	for (int i = 0; i < 8; i++) {
		high = high << 8 | key->address[i];
		low = low << 8 | key->address[i + 8];
	}
	hash = hold_hash(high, low, key->length, table.key);
	*tag = hold_tag(high, low, key->length, hash);
	return hold_line_at(hash, LINES);
}

static __u32 end_at(unsigned at, int i)
{
	return lines[at + LINES].end[i];
}

/* As bpf/holds.h reads it: the end of a ban that stands alone, or that the rest is elsewhere. */
static bool is_found(const struct one *one)
{
	bool alone = one->key.length == 128 && !one->hold.allow_until_ns;
	__u32 tag, end = hold_time(one->hold.ban_until_ns);
	unsigned at = line_of(&one->key, &tag);

	for (int i = 0; i < HOLD_LINE_TAGS; i++) {
		if (lines[at].tag[i] != tag)
			continue;
		return !(lines[at].about >> i & 1) ||
		       (alone && end_at(at, i) == end && HOLD_EARLIEST(lines[at].about) <= end);
	}
	return lines[at].about & HOLD_BESIDE;
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
	for (unsigned i = 0; i < PREFIXES; i++)
		name_one(i);
	for (int turn = 0; turn < CHANGES; turn++) {
		change_any();
		for (unsigned i = 0; i < PREFIXES; i++)
			assert_true(!all[i].held || is_found(&all[i]));
	}
}

/* A ban that stands alone is refused until its own end, not until another one's: the earliest is one of theirs. */
static void the_earliest_is_there(void **state)
{
	(void)state;
	for (unsigned at = HOLD_LINES_FROM; at < HOLD_LINES_FROM + LINES; at++) {
		__u32 earliest = HOLD_TIME_MOST;

		for (int i = 0; i < HOLD_LINE_TAGS; i++)
			if (lines[at].about >> i & 1 && end_at(at, i) < earliest)
				earliest = end_at(at, i);
		assert_int_equal(HOLD_EARLIEST(lines[at].about), earliest);
	}
}

static void all_lifted_is_empty(void **state)
{
	static const struct hold_line empty;

	(void)state;
	for (unsigned i = 0; i < PREFIXES; i++)
		if (all[i].held)
			change(&all[i], NULL);
	for (int i = HOLD_LINES_FROM; i < HOLD_LINES_FROM + LINES; i++) {
		assert_memory_equal(lines[i].tag, empty.tag, sizeof(empty.tag));
		assert_int_equal(lines[i].about & ~HOLD_CHANGES, (__u64)HOLD_TIME_MOST << 32);
	}
}

static void bans_without_an_end(void **state)
{
	struct hold hold = {.ban_until_ns = UINT64_MAX};
	__u32 tag;
	unsigned at = line_of(&all[1].key, &tag);

	(void)state;
	change(&all[1], &hold);
	assert_int_equal(end_at(at, 0), HOLD_TIME_MOST);
	assert_int_equal(lines[at].tag[0], 198u << 24 | 51 << 16 | 100 << 8 | 1);
	assert_true(lines[at].about & 1);
}

/* What a program has read of a line before and after is of one state of it, or it sees that it is not. */
static void changes_are_seen(void **state)
{
	struct hold hold = {.ban_until_ns = 1ULL << 40}, exception = {.allow_until_ns = 1ULL << 50};
	__u32 tag;
	unsigned at = line_of(&all[1].key, &tag);
	__u64 before;

	(void)state;
	change(&all[1], &hold);
	before = lines[at].about;
	change(&all[1], &exception);
	assert_false(lines[at].about & 1);
	change(&all[1], NULL);
	change(&all[1], &hold);
	assert_int_not_equal(lines[at].about, before);
	assert_int_equal(lines[at].about & ~HOLD_CHANGES, before & ~HOLD_CHANGES);
}

/* The address 0.0.0.0 is its tag, and a free one, too. */
static void nobodys_address(void **state)
{
	struct one nobody = {.key = {.length = 128, .address = {[10] = 0xff, 0xff}}};
	struct hold hold = {.ban_until_ns = 1ULL << 40};
	__u32 tag;
	unsigned at = line_of(&nobody.key, &tag);

	(void)state;
	change(&nobody, &hold);
	assert_int_equal(tag, 0);
	assert_int_equal(lines[at].about & HOLD_BESIDE, HOLD_BESIDE_ONE);
	change(&nobody, NULL);
	assert_int_equal(lines[at].about & HOLD_BESIDE, 0);
}

/* Programs and tables of an older version. */
static void other_versions(void **state)
{
	struct hold_line was[HOLD_TABLE_ENTRIES(LINES)];
	struct hold hold = {.ban_until_ns = 1ULL << 40};

	(void)state;
	table.line_count = 0;
	memcpy(was, lines, sizeof(was));
	change(&all[2], &hold);
	assert_memory_equal(was, lines, sizeof(was));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_held_is_missing), cmocka_unit_test(the_earliest_is_there),
		cmocka_unit_test(all_lifted_is_empty),	   cmocka_unit_test(bans_without_an_end),
		cmocka_unit_test(changes_are_seen),	   cmocka_unit_test(nobodys_address),
		cmocka_unit_test(other_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
