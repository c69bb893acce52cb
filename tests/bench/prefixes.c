/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * prefixes COUNT [-6] [-1] [SEED]: a block list as large as wanted, the same for the same seed. Mixed lengths: most are
 * single hosts and /24s (IPv6: /64s and /48s), some are /16 to /23; sorted, disjoint, so that every peer of the
 * benchmark can take them, and all in 11.0.0.0 to 98.255.255.255 (IPv6: 2400::/16, so that
 * many share a /32, as those of a provider do). -1: single addresses only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

#define SHORT_MAX 2000	 /* of /16 to /19: more would leave no room for ten million */
#define MIDDLE_MAX 40000 /* of /20 to /23, and of IPv6 /32 to /39 */

#define TURNS_MAX 20 /* so many do not fit */

struct item {
	__u64 address; /* IPv4 in the upper half; of IPv6 the first 64 bits */
	__u64 low;
	unsigned length;
};

static __u64 state;

static __u64 draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dULL;
}

static __u64 mask(unsigned length)
{
	return length >= 64 ? ~0ULL : length ? ~0ULL << (64 - length) : 0;
}

static unsigned length4(size_t *shorts, size_t *middles)
{
	unsigned part = draw() % 100;

	if (part < 1 && *shorts && (*shorts)--)
		return 16 + draw() % 4;
	if (part < 5 && *middles && (*middles)--)
		return 20 + draw() % 4;
	if (part < 20)
		return 24;
	return part < 30 ? 25 + draw() % 7 : 32;
}

static unsigned length6(size_t *shorts)
{
	unsigned part = draw() % 100;

	if (part < 2 && *shorts && (*shorts)--)
		return 32 + draw() % 8;
	if (part < 40)
		return 48;
	if (part < 50)
		return 56;
	return part < 90 ? 64 : 128;
}

static struct item make(int ipv6, int single, size_t *shorts, size_t *middles)
{
	struct item item = {};

	if (single)
		item.length = ipv6 ? 128 : 32;
	else
		item.length = ipv6 ? length6(middles) : length4(shorts, middles);
	if (ipv6)
		item.address = 0x2400000000000000ULL | draw() >> 16;
	else
		item.address = (11 + draw() % 88) << 56 | (draw() >> 40) << 32;
	item.address &= mask(item.length);
	if (item.length == 128)
		item.low = draw();
	return item;
}

static int compare(const void *one, const void *other)
{
	const struct item *a = one, *b = other;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return a->low < b->low ? -1 : a->low > b->low;
}

/* Sorted, so what covers comes before what it covers. */
static size_t without_covered(struct item *items, size_t count)
{
	size_t kept = 0;

	qsort(items, count, sizeof(*items), compare);
	for (size_t i = 0; i < count; i++) {
		const struct item *last = kept ? &items[kept - 1] : NULL;

		if (last && (items[i].address & mask(last->length)) == last->address &&
		    (last->length <= 64 || items[i].low == last->low))
			continue;
		items[kept++] = items[i];
	}
	return kept;
}

static void print_item(const struct item *item, int ipv6)
{
	__u64 a = item->address, b = item->low;

	if (ipv6)
		printf("%llx:%llx:%llx:%llx:%llx:%llx:%llx:%llx/%u\n", a >> 48, a >> 32 & 0xffff, a >> 16 & 0xffff,
		       a & 0xffff, b >> 48, b >> 32 & 0xffff, b >> 16 & 0xffff, b & 0xffff, item->length);
	else
		printf("%llu.%llu.%llu.%llu/%u\n", a >> 56, a >> 48 & 255, a >> 40 & 255, a >> 32 & 255, item->length);
}

/* Draws more than asked, drops what is covered, thins the rest evenly. */
static struct item *make_list(size_t count, int ipv6, int single)
{
	size_t shorts = SHORT_MAX, middles = MIDDLE_MAX, drawn = count + count / 3 + 64, kept = 0, i, turn;
	struct item *items = malloc(drawn * sizeof(*items));

	if (!items)
		return NULL;
	for (turn = 0; kept < count; turn++) {
		if (turn == TURNS_MAX) {
			free(items);
			return NULL;
		}
		for (i = kept; i < drawn; i++)
			items[i] = make(ipv6, single, &shorts, &middles);
		kept = without_covered(items, drawn);
	}
	for (i = 0; i < count; i++)
		items[i] = items[(__u64)i * kept / count];
	return items;
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, i;
	int ipv6 = 0, single = 0, at;
	struct item *items = NULL;

	for (at = 2; at < argc && *argv[at] == '-'; at++) {
		ipv6 |= !strcmp(argv[at], "-6");
		single |= !strcmp(argv[at], "-1");
	}
	state = (at < argc ? strtoull(argv[at], NULL, 10) : 1) * 0x9e3779b97f4a7c15ULL | 1;
	if (count)
		items = make_list(count, ipv6, single);
	if (!items) {
		fprintf(stderr, "usage: prefixes COUNT [-6] [-1] [SEED]; as many as there is room for\n");
		return 2;
	}
	for (i = 0; i < count; i++)
		print_item(&items[i], ipv6);
	free(items);
	return 0;
}
