/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cutting feeds: what is left covers exactly what the feed covered and no hole does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../userspace/feed.h"
#include "../../include/tables.h"

static __u64 random_state = 362436069362436069ULL;

static __u64 random_u64(void) /* xorshift64 (Marsaglia 2003) */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dULL;
}

static unsigned random_below(unsigned limit)
{
	return (unsigned)((random_u64() >> 32) % limit);
}

static __u64 low_mask(unsigned length)
{
	return prefix_mask64(length > 64 ? length - 64 : 0);
}

static void add4(struct prefixes *prefixes, __u32 address, unsigned length, unsigned list)
{
	assert_int_equal(0, prefixes_add4(prefixes, length ? address & ~0u << (32 - length) : 0, length, list));
}

static void add6(struct prefixes *prefixes, __u64 high, __u64 low, unsigned length, unsigned list)
{
	assert_int_equal(0,
			 prefixes_add6(prefixes, high & prefix_mask64(length), low & low_mask(length), length, list));
}

static void put64(__u8 *at, __u64 value)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (__u8)(value >> (56 - 8 * i));
}

static struct protected_prefix hole4(__u32 address, unsigned length)
{
	struct protected_prefix hole = {.why = "test", .prefix = {.length = (__u8)(96 + length)}};

	put64(hole.prefix.address + 8, 0xffffULL << 32 | (length ? address & ~0u << (32 - length) : 0));
	return hole;
}

static struct protected_prefix hole6(__u64 high, __u64 low, unsigned length)
{
	struct protected_prefix hole = {.why = "test", .prefix = {.length = (__u8)length}};

	put64(hole.prefix.address, high & prefix_mask64(length));
	put64(hole.prefix.address + 8, low & low_mask(length));
	return hole;
}

static bool in_prefixes4(const struct prefixes *prefixes, __u32 address, unsigned list)
{
	for (size_t i = 0; i < prefixes->v4_count; i++) {
		const struct prefix4 *prefix = &prefixes->v4[i];

		if (prefix->list == list &&
		    (!prefix->length || !((prefix->address ^ address) >> (32 - prefix->length))))
			return true;
	}
	return false;
}

static bool in_prefixes6(const struct prefixes *prefixes, __u64 high, __u64 low, unsigned list)
{
	for (size_t i = 0; i < prefixes->v6_count; i++) {
		const struct prefix6 *prefix = &prefixes->v6[i];

		if (prefix->list == list && !((prefix->high ^ high) & prefix_mask64(prefix->length)) &&
		    !((prefix->low ^ low) & low_mask(prefix->length)))
			return true;
	}
	return false;
}

static bool in_holes(const struct protected_prefix *holes, size_t count, __u64 high, __u64 low)
{
	bool v4 = !high && low >> 32 == 0xffff;
	__u8 address[16];

	put64(address, high);
	put64(address + 8, low);
	for (size_t i = 0; i < count; i++) {
		unsigned bit = 0;

		if (prefix_is_v4(&holes[i].prefix) != v4) /* ::/0 is IPv6, whole as it is */
			continue;
		while (bit < holes[i].prefix.length &&
		       !((address[bit / 8] ^ holes[i].prefix.address[bit / 8]) >> (7 - bit % 8) & 1))
			bit++;
		if (bit == holes[i].prefix.length)
			return true;
	}
	return false;
}

static struct prefixes copy_of(const struct prefixes *prefixes)
{
	struct prefixes copy = {0};

	for (size_t i = 0; i < prefixes->v4_count; i++)
		add4(&copy, prefixes->v4[i].address, prefixes->v4[i].length, prefixes->v4[i].list);
	for (size_t i = 0; i < prefixes->v6_count; i++)
		add6(&copy, prefixes->v6[i].high, prefixes->v6[i].low, prefixes->v6[i].length, prefixes->v6[i].list);
	return copy;
}

struct trial {
	struct prefixes before, after;
	struct protected_prefix holes[400];
	size_t hole_count;
	struct cuts cuts;
};

static void check4(const struct trial *trial, __u32 address)
{
	bool hole = in_holes(trial->holes, trial->hole_count, 0, 0xffffULL << 32 | address);

	assert_int_equal(in_prefixes4(&trial->before, address, 1) && !hole, in_prefixes4(&trial->after, address, 1));
	assert_int_equal(in_prefixes4(&trial->before, address, 2), in_prefixes4(&trial->after, address, 2));
}

static void check6(const struct trial *trial, __u64 high, __u64 low)
{
	bool hole = in_holes(trial->holes, trial->hole_count, high, low);

	if (!high && low >> 32 == 0xffff)
		return;
	assert_int_equal(in_prefixes6(&trial->before, high, low, 1) && !hole,
			 in_prefixes6(&trial->after, high, low, 1));
	assert_int_equal(in_prefixes6(&trial->before, high, low, 2), in_prefixes6(&trial->after, high, low, 2));
}

static void check_edges4(const struct trial *trial, __u32 first, unsigned length)
{
	__u32 last = first + (length ? (__u32)((1ULL << (32 - length)) - 1) : ~0u);

	check4(trial, first);
	check4(trial, first - 1);
	check4(trial, last);
	check4(trial, last + 1);
	check4(trial, first + ((__u32)random_u64() & (last - first)));
}

static void check_edges6(const struct trial *trial, __u64 high, __u64 low, unsigned length)
{
	__u64 last_high = high | ~prefix_mask64(length), last_low = low | ~low_mask(length);

	check6(trial, high, low);
	check6(trial, high - !low, low - 1);
	check6(trial, last_high, last_low);
	check6(trial, last_high + !(last_low + 1), last_low + 1);
	check6(trial, high | (random_u64() & ~prefix_mask64(length)), low | (random_u64() & ~low_mask(length)));
}

/* Cuts list 1 (list 2 must stay as it is) and asks at every edge. */
static void run(struct trial *trial)
{
	trial->after = copy_of(&trial->before);
	assert_int_equal(0, feed_cut(&trial->after, 1, trial->holes, trial->hole_count, &trial->cuts));
	for (size_t i = 0; i < trial->before.v4_count; i++)
		check_edges4(trial, trial->before.v4[i].address, trial->before.v4[i].length);
	for (size_t i = 0; i < trial->before.v6_count; i++)
		check_edges6(trial, trial->before.v6[i].high, trial->before.v6[i].low, trial->before.v6[i].length);
	for (size_t i = 0; i < trial->hole_count; i++) {
		const struct prefix *hole = &trial->holes[i].prefix;
		__u64 halves[2] = {0};

		for (unsigned byte = 0; byte < 16; byte++)
			halves[byte / 8] = halves[byte / 8] << 8 | hole->address[byte];
		if (prefix_is_v4(hole))
			check_edges4(trial, (__u32)halves[1], hole->length - 96u);
		else
			check_edges6(trial, halves[0], halves[1], hole->length);
	}
	prefixes_free(&trial->before);
	prefixes_free(&trial->after);
	cuts_free(&trial->cuts);
}

static void a_host_in_an_8(void **state)
{
	struct prefixes prefixes = {0};
	struct protected_prefix hole = hole4(0x2d0a1407, 32);
	struct cuts cuts = {0};

	(void)state;
	add4(&prefixes, 0x2d000000, 8, 1);
	add4(&prefixes, 0x2d000000, 8, 2);
	assert_int_equal(0, feed_cut(&prefixes, 1, &hole, 1, &cuts));
	assert_int_equal(1 + 24, prefixes.v4_count);
	assert_int_equal(1, cuts.count);
	assert_int_equal(104, cuts.items[0].feed_prefix.length);
	assert_int_equal(128, cuts.items[0].hole.length);
	assert_string_equal("test", cuts.items[0].why);
	cuts_free(&cuts);
	prefixes_free(&prefixes);
}

static void nothing_to_do(void **state)
{
	struct trial trial = {.hole_count = 0};

	(void)state;
	add4(&trial.before, 0x2d000000, 8, 1);
	add6(&trial.before, 0x2a00000000000000, 0, 16, 1);
	run(&trial);
	trial.holes[0] = hole4(0x2e000000, 8);
	trial.holes[1] = hole6(0x2b00000000000000, 0, 16);
	trial.hole_count = 2;
	add4(&trial.before, 0x2d000000, 8, 1);
	add6(&trial.before, 0x2a00000000000000, 0, 16, 1);
	run(&trial);
}

static void whole_space(void **state)
{
	struct trial trial = {.hole_count = 4};

	(void)state;
	trial.holes[0] = hole4(0, 32);
	trial.holes[1] = hole4(~0u, 32);
	trial.holes[2] = hole6(0, 0, 128);
	trial.holes[3] = hole6(~0ULL, ~0ULL, 128);
	add4(&trial.before, 0, 0, 1);
	add6(&trial.before, 0, 0, 0, 1);
	run(&trial);

	trial.holes[0] = hole4(0, 0); /* everything is protected */
	trial.holes[1] = hole6(0, 0, 0);
	trial.hole_count = 2;
	add4(&trial.before, 0x2d000000, 8, 1);
	add6(&trial.before, 0x2a00000000000000, 0, 16, 1);
	run(&trial);
}

static void random_sets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct trial trial = {.hole_count = random_below(24)};
		unsigned count = 1 + random_below(24), shared = random_below(30);
		__u32 stem = (__u32)random_u64(), mask = shared ? ~0u << (32 - shared) : 0;
		__u64 high = random_u64();

		for (unsigned i = 0; i < count; i++) {
			add4(&trial.before, (stem & mask) | ((__u32)random_u64() & ~mask),
			     shared / 2 + random_below(33 - shared / 2), 1 + random_below(2));
			add6(&trial.before, high ^ (random_u64() >> shared), random_u64(), random_below(129),
			     1 + random_below(2));
		}
		for (size_t i = 0; i < trial.hole_count; i++) {
			const struct prefix4 *near4 = &trial.before.v4[random_below(count)];
			const struct prefix6 *near6 = &trial.before.v6[random_below(count)];

			if (i % 2)
				trial.holes[i] = hole4(near4->address ^ ((__u32)random_u64() & random_u64() & ~mask),
						       random_below(33));
			else
				trial.holes[i] = hole6(near6->high ^ (random_u64() >> (shared + random_below(30))),
						       random_below(2) ? near6->low : random_u64(), random_below(129));
		}
		run(&trial);
	}
}

/* A feed that repeats itself gives no more pieces than one that does not. */
static void hostile_repetition(void **state)
{
	struct prefixes prefixes = {0};
	struct protected_prefix holes[200];
	struct cuts cuts = {0};

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		holes[i] = hole4(0x01010101u + i * 0x00a10307u, 32);
	for (unsigned i = 0; i < 100000; i++)
		add4(&prefixes, 0, i % 8 + 1, 1);
	assert_int_equal(0, feed_cut(&prefixes, 1, holes, 200, &cuts));
	assert_in_range(prefixes.v4_count, 1, 100000 / 8 + 200 * 32); /* no hole is in the /8 */
	assert_in_range(cuts.count, 100000, 100000 * 200);
	cuts_free(&cuts);
	prefixes_free(&prefixes);
}

static void special_space(void **state)
{
	static const __u32 inside[] = {0x0a000001, 0x7f000001, 0xc0a80001, 0xac1fffff, 0x64400000, 0xa9fe0001,
				       0xc0000201, 0xcb007105, 0xc6336401, 0xe0000001, 0xffffffff, 0x00000000};
	static const __u32 outside[] = {0x01010101, 0x08080808, 0x0b000000, 0xac200000,
					0x64800000, 0xc0000100, 0xdfffffff};
	size_t count;
	const struct protected_prefix *special = special_purpose(&count);

	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++)
		assert_true(in_holes(special, count, 0, 0xffffULL << 32 | inside[i]));
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
		assert_false(in_holes(special, count, 0, 0xffffULL << 32 | outside[i]));
	assert_true(in_holes(special, count, 0, 1));
	assert_true(in_holes(special, count, 0xfe80000000000000, 1));
	assert_true(in_holes(special, count, 0xfd00000000000000, 1));
	assert_true(in_holes(special, count, 0xff02000000000000, 1));
	assert_true(in_holes(special, count, 0x20010db800000000, 1));
	assert_false(in_holes(special, count, 0x2a01007700000000, 1));
	assert_false(in_holes(special, count, 0x2001067c00000000, 1));
	for (size_t i = 0; i < count; i++) { /* no host bits, and one sentence for a person */
		struct prefix prefix = special[i].prefix;

		for (unsigned bit = prefix.length; bit < 128; bit++)
			assert_false(prefix.address[bit / 8] >> (7 - bit % 8) & 1);
		assert_non_null(strstr(special[i].why, "special-purpose: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_in_an_8), cmocka_unit_test(nothing_to_do),	cmocka_unit_test(whole_space),
		cmocka_unit_test(random_sets),	  cmocka_unit_test(hostile_repetition), cmocka_unit_test(special_space),
	};

	return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
