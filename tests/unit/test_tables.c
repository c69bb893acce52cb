/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lookup tables against a naive evaluator: random and adversarial prefix sets, looked up at every edge. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "../../userspace/tables.h"

static __u64 random_state = 88172645463325252ULL;

static __u64 random_u64(void) /* xorshift64 (Marsaglia 2003): the same sets in every run */
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

static void add4(struct prefixes *prefixes, __u32 address, unsigned length, unsigned list)
{
	if (prefixes->v4_count == prefixes->v4_capacity) {
		prefixes->v4_capacity = prefixes->v4_capacity ? 2 * prefixes->v4_capacity : 64;
		prefixes->v4 = realloc(prefixes->v4, prefixes->v4_capacity * sizeof(*prefixes->v4));
		assert_non_null(prefixes->v4);
	}
	prefixes->v4[prefixes->v4_count++] = (struct prefix4){
		.address = length ? address & (~0u << (32 - length)) : 0,
		.length = (__u8)length,
		.list = (__u8)list,
	};
}

static void add6(struct prefixes *prefixes, __u64 high, __u64 low, unsigned length, unsigned list)
{
	if (prefixes->v6_count == prefixes->v6_capacity) {
		prefixes->v6_capacity = prefixes->v6_capacity ? 2 * prefixes->v6_capacity : 64;
		prefixes->v6 = realloc(prefixes->v6, prefixes->v6_capacity * sizeof(*prefixes->v6));
		assert_non_null(prefixes->v6);
	}
	prefixes->v6[prefixes->v6_count++] = (struct prefix6){
		.high = high & prefix_mask64(length),
		.low = low & prefix_mask64(length > 64 ? length - 64 : 0),
		.length = (__u8)length,
		.list = (__u8)list,
	};
}

static void release(struct prefixes *prefixes)
{
	free(prefixes->v4);
	free(prefixes->v6);
	memset(prefixes, 0, sizeof(*prefixes));
}

/* The lists that cover an address, one prefix after the other. */
static __u64 naive4(const struct prefixes *prefixes, __u32 address)
{
	__u64 lists = 0;

	for (size_t i = 0; i < prefixes->v4_count; i++) {
		const struct prefix4 *prefix = &prefixes->v4[i];

		if (!prefix->length || !((address ^ prefix->address) >> (32 - prefix->length)))
			lists |= 1ULL << prefix->list;
	}
	return lists;
}

static __u64 naive6(const struct prefixes *prefixes, __u64 high, __u64 low)
{
	__u64 lists = 0;

	for (size_t i = 0; i < prefixes->v6_count; i++) {
		const struct prefix6 *prefix = &prefixes->v6[i];
		unsigned below = prefix->length > 64 ? prefix->length - 64 : 0;

		if (!((high ^ prefix->high) & prefix_mask64(prefix->length)) &&
		    !((low ^ prefix->low) & prefix_mask64(below)))
			lists |= 1ULL << prefix->list;
	}
	return lists;
}

static __u64 lists4(const struct tables *tables, __u32 address)
{
	__u8 bytes[16] = {[10] = 0xff, [11] = 0xff};

	for (unsigned i = 0; i < 4; i++)
		bytes[12 + i] = (__u8)(address >> (24 - 8 * i));
	return tables->class_lists[tables_class(tables, bytes)];
}

static __u64 lists6(const struct tables *tables, __u64 high, __u64 low)
{
	__u8 bytes[16];

	for (unsigned i = 0; i < 8; i++) {
		bytes[i] = (__u8)(high >> (56 - 8 * i));
		bytes[8 + i] = (__u8)(low >> (56 - 8 * i));
	}
	return tables->class_lists[tables_class(tables, bytes)];
}

static void check4(const struct prefixes *prefixes, const struct tables *tables, __u32 address)
{
	assert_int_equal(naive4(prefixes, address), lists4(tables, address));
}

static void check6(const struct prefixes *prefixes, const struct tables *tables, __u64 high, __u64 low)
{
	if (!high && low >> 32 == 0xffff) /* that is an IPv4 address */
		return;
	assert_int_equal(naive6(prefixes, high, low), lists6(tables, high, low));
}

/* Both edges of a prefix, from both sides, and something within. */
static void check_edges4(const struct prefixes *prefixes, const struct tables *tables, const struct prefix4 *prefix)
{
	__u32 size_less_1 = prefix->length ? (__u32)((1ULL << (32 - prefix->length)) - 1) : ~0u;
	__u32 last = prefix->address + size_less_1;

	check4(prefixes, tables, prefix->address);
	check4(prefixes, tables, prefix->address - 1);
	check4(prefixes, tables, last);
	check4(prefixes, tables, last + 1);
	check4(prefixes, tables, prefix->address + ((__u32)random_u64() & size_less_1));
	check4(prefixes, tables, prefix->address ^ (1u << random_below(32)));
}

static void check_edges6(const struct prefixes *prefixes, const struct tables *tables, const struct prefix6 *prefix)
{
	__u64 high_rest = ~prefix_mask64(prefix->length);
	__u64 low_rest = prefix->length > 64 ? ~prefix_mask64(prefix->length - 64) : ~0ULL;
	__u64 last_high = prefix->high | high_rest, last_low = prefix->low | low_rest;
	unsigned bit = random_below(64);

	check6(prefixes, tables, prefix->high, prefix->low);
	check6(prefixes, tables, prefix->high - !prefix->low, prefix->low - 1);
	check6(prefixes, tables, last_high, last_low);
	check6(prefixes, tables, last_high + !(last_low + 1), last_low + 1);
	check6(prefixes, tables, prefix->high | (random_u64() & high_rest), prefix->low | (random_u64() & low_rest));
	check6(prefixes, tables, prefix->high ^ (1ULL << bit), prefix->low);
	check6(prefixes, tables, prefix->high, prefix->low ^ (1ULL << bit));
}

/* Builds, looks up every edge and some random addresses, and compares. The builder may reorder and expand its input. */
static void check_all(struct prefixes *prefixes)
{
	struct prefixes input = {0};
	struct tables tables;
	size_t stride4 = 1 + prefixes->v4_count / 2000, stride6 = 1 + prefixes->v6_count / 2000;

	for (size_t i = 0; i < prefixes->v4_count; i++)
		add4(&input, prefixes->v4[i].address, prefixes->v4[i].length, prefixes->v4[i].list);
	for (size_t i = 0; i < prefixes->v6_count; i++)
		add6(&input, prefixes->v6[i].high, prefixes->v6[i].low, prefixes->v6[i].length, prefixes->v6[i].list);
	assert_int_equal(0, tables_build(&input, random_u64(), &tables));
	release(&input);
	assert_int_equal(0, tables.class_lists[CLASS_NONE]);
	for (size_t i = 0; i < prefixes->v4_count; i += stride4)
		check_edges4(prefixes, &tables, &prefixes->v4[i]);
	for (size_t i = 0; i < prefixes->v6_count; i += stride6)
		check_edges6(prefixes, &tables, &prefixes->v6[i]);
	for (unsigned i = 0; i < 100; i++) {
		check4(prefixes, &tables, (__u32)random_u64());
		check6(prefixes, &tables, random_u64(), random_u64());
	}
	tables_free(&tables);
	release(prefixes);
}

static void nothing_at_all(void **state)
{
	struct prefixes prefixes = {0};
	struct tables tables;

	(void)state;
	assert_int_equal(0, tables_build(&prefixes, 1, &tables));
	assert_null(tables.v4_blocks);
	assert_null(tables.v6_bits);
	assert_int_equal(0, lists4(&tables, 0x01020304));
	assert_int_equal(0, lists6(&tables, 0x20010db800000000, 1));
	assert_int_equal(0, tables_bytes(&tables, AF_INET));
	assert_int_equal(0, tables_bytes(&tables, AF_INET6));
	tables_free(&tables);
}

static void one_family_only(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	add4(&prefixes, 0x2d0a1400, 24, 3);
	check_all(&prefixes);
	add6(&prefixes, 0x2a01007700000000, 0, 48, 63);
	check_all(&prefixes);
}

static void whole_space(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	add4(&prefixes, 0, 0, 5);
	add6(&prefixes, 0, 0, 0, 6);
	check_all(&prefixes);

	add4(&prefixes, 0, 0, 5);
	add4(&prefixes, 0, 0, 6);
	add4(&prefixes, 0x0a000000, 8, 5); /* adds nothing */
	add4(&prefixes, 0x0a000000, 24, 7);
	add4(&prefixes, 0x0a000101, 32, 7);
	add4(&prefixes, 0xffffffff, 32, 0);
	add4(&prefixes, 0, 32, 63);
	add6(&prefixes, 0, 0, 0, 6);
	add6(&prefixes, 0, 0, 128, 1);
	add6(&prefixes, ~0ULL, ~0ULL, 128, 2);
	add6(&prefixes, 0x2000000000000000, 0, 3, 6); /* adds nothing */
	add6(&prefixes, 0x2000000000000000, 0, 3, 7);
	check_all(&prefixes);
}

/* Every length, nested into each other, the same and different lists. */
static void nested(void **state)
{
	(void)state;
	for (unsigned lists = 1; lists <= 64; lists += 7) {
		struct prefixes prefixes = {0};
		__u32 address = (__u32)random_u64();
		__u64 high = random_u64(), low = random_u64();

		for (unsigned length = 0; length <= 32; length++)
			add4(&prefixes, address, length, length % lists);
		for (unsigned length = 0; length <= 128; length++)
			add6(&prefixes, high, low, length, length % lists);
		check_all(&prefixes);
	}
}

/* Wide prefixes that end where narrower ones end too. */
static void ends_together(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned length = 1; length <= 32; length++)
		add4(&prefixes, 0xffffffff, length, (length * 7) % 64);
	for (unsigned length = 1; length <= 128; length += 3)
		add6(&prefixes, ~0ULL, ~0ULL, length, (length * 7) % 64);
	check_all(&prefixes);
}

static void adjacent(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned i = 0; i < 1024; i++) {
		add4(&prefixes, 0x2d000000 + i * 4, 30, i % 3);
		add4(&prefixes, 0x2e000000 + i * 256, 24, i % 2);
		add4(&prefixes, 0x2f000000 + i * 64, 26, 0);
		add6(&prefixes, 0x20010db800000000 + ((__u64)i << 16), 0, 48, i % 2);
		add6(&prefixes, 0x20010db900000000, (__u64)i << 4, 124, i % 5);
	}
	check_all(&prefixes);
}

/* More /24 networks than the compact layout of the IPv4 tables is for. */
static void add_wide(struct prefixes *prefixes)
{
	for (unsigned i = 0; i < 4; i++)
		add4(prefixes, 0x60000000 + (i << 28), 4, 60);
}

static void check_both_layouts(struct prefixes *prefixes)
{
	struct prefixes wide = {0};
	struct tables tables;

	for (size_t i = 0; i < prefixes->v4_count; i++)
		add4(&wide, prefixes->v4[i].address, prefixes->v4[i].length, prefixes->v4[i].list);
	add_wide(&wide);
	assert_int_equal(0, tables_build(&wide, 1, &tables));
	assert_non_null(tables.v4_direct);
	assert_null(tables.v4_compact);
	tables_free(&tables);
	check_all(&wide);

	assert_int_equal(0, tables_build(prefixes, 1, &tables));
	assert_null(tables.v4_direct);
	assert_non_null(tables.v4_compact);
	tables_free(&tables);
	check_all(prefixes);
}

/* One to six prefixes longer than /24 in a network, in one to three lists: every kind of entry. */
static void few_hosts(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned hosts = 1; hosts <= 6; hosts++) {
		for (unsigned lists = 1; lists <= 3; lists++) {
			__u32 net = 0x2d000000 + hosts * 4096 + lists * 256;

			for (unsigned i = 0; i < hosts; i++)
				add4(&prefixes, net + random_below(256), 32, i % lists);
			add4(&prefixes, net + 0x1000000, 24, 9); /* the same with a background */
			for (unsigned i = 0; i < hosts; i++)
				add4(&prefixes, net + 0x1000000 + i, 32, i % lists);
			for (unsigned i = 0; i < hosts; i++) {
				add4(&prefixes, net + 0x2000000 + random_below(256), 25 + random_below(8), i % lists);
				add4(&prefixes, net + 0x62000000 + random_below(256), 25 + random_below(8), i % lists);
			}
		}
	}
	check_both_layouts(&prefixes);
}

/* Every prefix of a /24 alone in its network, on both sides of a word's and a block's end. */
static void each_node(void **state)
{
	struct prefixes prefixes = {0};
	__u32 net = (V4_BLOCK_NETS - 256) << 8;

	(void)state;
	for (unsigned length = 24; length <= 32; length++)
		for (unsigned octet = 0; octet < 256; octet += 1u << (32 - length), net += 256)
			add4(&prefixes, net + octet, length, 3);
	check_both_layouts(&prefixes);
}

/* More pairs of classes than an entry can name. */
static void many_pairs(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		__u32 net = 0x2d000000 + i * 256;

		add4(&prefixes, net, 24, random_below(64));
		add4(&prefixes, net + random_below(256), 32, random_below(64));
	}
	for (unsigned i = 0; i < 200; i++)
		add4(&prefixes, 0x50000000 + i * 256 + 7, 32, 1);
	for (unsigned i = 0; i < 64; i++) /* whole blocks of a class that no pair has */
		add4(&prefixes, 0x52000000 + i * 0x10000, 16, i);
	check_both_layouts(&prefixes);
}

static void random_sets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct prefixes prefixes = {0};
		unsigned count = 1 + random_below(60), lists = 1 + random_below(64);
		unsigned shared4 = random_below(33), shared6 = random_below(129); /* bits that all have in common */
		bool narrow = round % 8; /* wide IPv4 prefixes make large tables */
		__u32 stem4 = (__u32)random_u64();
		__u64 stem_high = random_u64(), stem_low = random_u64();
		__u32 mask4 = shared4 ? ~0u << (32 - shared4) : 0;
		__u64 mask_high = prefix_mask64(shared6), mask_low = prefix_mask64(shared6 > 64 ? shared6 - 64 : 0);

		for (unsigned i = 0; i < count; i++) {
			add4(&prefixes, (stem4 & mask4) | ((__u32)random_u64() & ~mask4),
			     narrow ? 12 + random_below(21) : 4 + random_below(29), random_below(lists));
			add6(&prefixes, (stem_high & mask_high) | (random_u64() & ~mask_high),
			     (stem_low & mask_low) | (random_u64() & ~mask_low), random_below(129),
			     random_below(lists));
		}
		check_all(&prefixes);
	}
}

/* Stems of 48 bits with one prefix of 48 to 64, a few, those of a line, and more; lists: so many sets of them, too. */
static void add_deep(struct prefixes *prefixes, unsigned lists)
{
	static const unsigned sharing[] = {1, 1, 1, 2, 3, 4, 5, 6, 9};

	while (prefixes->v6_count < 80000) {
		__u64 stem = (random_u64() & 0xffffffffff0000) | 0x2400000000000000;
		unsigned count = sharing[random_below(sizeof(sharing) / sizeof(*sharing))];

		for (unsigned i = 0; i < count; i++)
			add6(prefixes, stem | (random_u64() & 0xffff), 0,
			     i ? 48 + random_below(17) : 48 + 16 * random_below(2), random_below(lists));
	}
	for (unsigned i = 0; i < 300; i++) /* nested, of one stem of 32 bits, and what covers some */
		add6(prefixes, 0x2a010db8abcd0000ULL + ((__u64)(i / 9) << 16), i, 28 + 4 * (i % 9) + i % 9 / 8 * 68,
		     i % lists);
}

/* Enough for lines of their own, with as many classes as their entries can name, and with more. */
static void many_deep(void **state)
{
	static const unsigned lists[] = {1, 4, 40};

	(void)state;
	for (unsigned i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		struct prefixes prefixes = {0}, same = {0};
		struct tables tables;

		add_deep(&prefixes, lists[i]);
		for (size_t at = 0; at < prefixes.v6_count; at++)
			add6(&same, prefixes.v6[at].high, prefixes.v6[at].low, prefixes.v6[at].length,
			     prefixes.v6[at].list);
		assert_int_equal(0, tables_build(&same, 1, &tables));
		assert_int_equal(tables.class_count <= V6_DEEP_CLASSES, tables.v6_deep_lines != NULL);
		assert_int_equal(lists[i] < 40, tables.v6_deep_lines != NULL);
		tables_free(&tables);
		release(&same);
		check_all(&prefixes);
	}
}

#define MOST48 ((1ULL << 48) - 1)

/* Of an odd number, to 48 bits (Newton). */
static __u64 inverse48(__u64 odd)
{
	__u64 inverse = odd;

	for (unsigned i = 0; i < 5; i++)
		inverse *= 2 - odd * inverse;
	return inverse & MOST48;
}

/* From each hash its stem can be found again: no two have the same. */
static void deep_hash_is_a_permutation(void **state)
{
	(void)state;
	for (unsigned part = 0; part < 100; part++) {
		__u64 seed = random_u64(), stem = random_u64() >> 16, hash = v6_deep_hash(stem << 16, seed), back;

		back = hash ^ hash >> 24;
		back = back * inverse48(0xc4ceb9fe1a85ec53ULL) & MOST48;
		back ^= back >> 25;
		back = back * inverse48(0xff51afd7ed558ccdULL) & MOST48;
		back ^= back >> 25;
		assert_int_equal(stem, (back ^ seed) & MOST48);
	}
}

static void every_v6_length(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned length = 1; length <= 128; length++)
			add6(&prefixes, 0x2000000000000000 | random_u64() >> 3, random_u64(), length, random_below(64));
	}
	check_all(&prefixes);
}

static void dense_48s(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		add6(&prefixes, 0x20010db800000000 + ((__u64)i << 16), 0, 48, i % 3);
		if (i % 16 == 0)
			add6(&prefixes, 0x20010db800000000 + ((__u64)i << 16) + i % 100, 0, 64, 4);
	}
	check_all(&prefixes);
}

static void many_hosts(void **state)
{
	struct prefixes prefixes = {0};

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		add4(&prefixes, 0x2d000000 + random_below(1 << 20), 28 + random_below(5), random_below(3));
		add6(&prefixes, 0x2001067c00000000 + random_below(1 << 10), random_u64(), 128, random_below(3));
	}
	check_all(&prefixes);
}

/* Every prefix in a set of lists of its own. */
static void class_overflow(void **state)
{
	struct prefixes prefixes = {0};
	struct tables tables;

	(void)state;
	for (unsigned i = 0; i < 66000; i++) {
		for (unsigned bit = 0; bit < 17; bit++) {
			if (i >> bit & 1)
				add4(&prefixes, 0x2d000000 + i, 32, bit);
		}
	}
	assert_int_equal(-E2BIG, tables_build(&prefixes, 1, &tables));
	assert_null(tables.v4_blocks);
	for (size_t i = 0; i < prefixes.v4_count; i++) { /* one list fewer: half as many sets, they fit */
		if (prefixes.v4[i].list == 16)
			prefixes.v4[i].list = 0;
	}
	assert_int_equal(0, tables_build(&prefixes, 1, &tables));
	tables_free(&tables);
	release(&prefixes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(one_family_only),
		cmocka_unit_test(whole_space),
		cmocka_unit_test(nested),
		cmocka_unit_test(ends_together),
		cmocka_unit_test(adjacent),
		cmocka_unit_test(few_hosts),
		cmocka_unit_test(each_node),
		cmocka_unit_test(many_pairs),
		cmocka_unit_test(random_sets),
		cmocka_unit_test(every_v6_length),
		cmocka_unit_test(many_deep),
		cmocka_unit_test(deep_hash_is_a_permutation),
		cmocka_unit_test(dense_48s),
		cmocka_unit_test(many_hosts),
		cmocka_unit_test(class_overflow),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
