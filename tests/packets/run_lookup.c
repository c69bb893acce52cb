/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The look-up of the real program against the one of the builder, which tests/unit/test_tables.c holds against a naive
 * evaluator: the class of every address tried must be the same. Lists of every density, in both layouts of the IPv4
 * tables and of the IPv6 ones, with IPv6 stems that hold one prefix, a few, and too many. TAP.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "judge.h"
#include "kernel.h"
#include "runner.h"

#define TRIES 40000
#define LISTS 3

static char room[] = "/tmp/bulwark-lookup-XXXXXX";

/* ---- the lists ---- */

/* Three densities: a network of its own each, a few and many to a /24. */
static __u32 draw_address4(void)
{
	switch (draw() % 3) {
	case 0:
		return 0x14000000 + (draw() >> 40);
	case 1:
		return 0x2d000000 + (draw() >> 46);
	default:
		return 0x2e000000 + (draw() >> 51);
	}
}

static __u64 draw_address6(void)
{
	switch (draw() % 3) {
	case 0:
		return 0x2400000000000000ULL | draw() >> 12; /* stems of 32 bits with a few each */
	case 1:
		return 0x2a010db800000000ULL | draw() >> 44 << 12; /* one such with very many */
	default:
		return 0x2a02000000000000ULL | draw() >> 55; /* one of 48 bits with very many */
	}
}

static void write_prefixes4(FILE *file, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned length = draw() % 4 ? 32 : 18 + draw() % 14;
		struct in_addr address = {.s_addr = htonl(draw_address4() & ~0u << (32 - length))};

		fprintf(file, "%s/%u\n", inet_ntoa(address), length);
	}
}

static void write_prefixes6(FILE *file, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		static const unsigned lengths[] = {26, 32, 36, 44, 48, 48, 52, 56, 60, 64, 64, 80, 128, 128};
		unsigned length = lengths[draw() % (sizeof(lengths) / sizeof(*lengths))];
		__u64 high = draw_address6() & prefix_mask64(length);
		__u64 low = length > 64 ? draw() & prefix_mask64(length - 64) : 0;

		fprintf(file, "%llx:%llx:%llx:%llx:%llx:%llx:%llx:%llx/%u\n", high >> 48, high >> 32 & 0xffff,
			high >> 16 & 0xffff, high & 0xffff, low >> 48, low >> 32 & 0xffff, low >> 16 & 0xffff,
			low & 0xffff, length);
	}
}

static int write_policy(bool wide, char path[64])
{
	FILE *file;

	snprintf(path, 64, "%s/policy.yaml", room);
	file = fopen(path, "we");
	if (!file)
		return -1;
	fputs("version: 1\ninterfaces: [auto]\nlists:\n", file);
	for (unsigned i = 0; i < LISTS; i++)
		fprintf(file, "  l%u: { feed: l%u.txt, bogons: keep }\n", i, i);
	fputs("block: [l0, l1, l2]\nservices:\n  api: { ports: tcp/443 }\n", file);
	fclose(file);
	for (unsigned i = 0; i < LISTS; i++) {
		char feed[64];

		snprintf(feed, sizeof(feed), "%s/l%u.txt", room, i);
		file = fopen(feed, "we");
		if (!file)
			return -1;
		write_prefixes4(file, 10000);
		write_prefixes6(file, wide ? 100000 : 10000); /* enough for lines of their own, or not */
		if (wide && i == 2)			      /* more networks than the compact layout is for */
			fputs("64.0.0.0/4\n80.0.0.0/4\n96.0.0.0/4\n128.0.0.0/4\n", file);
		fclose(file);
	}
	return 0;
}

static void remove_room(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/policy.yaml", room);
	unlink(path);
	for (unsigned i = 0; i < LISTS; i++) {
		snprintf(path, sizeof(path), "%s/l%u.txt", room, i);
		unlink(path);
	}
	rmdir(room);
}

/* ---- looking up ---- */

/* The class that the program finds; negative when the frame was not judged. */
static int class_by_program(struct generation *offline, const __u8 address[16], bool ipv6)
{
	static __u8 four[64] = {
		[12] = 8,  [14] = 0x45, [17] = 40, [22] = 64,	[23] = IPPROTO_TCP, [30] = 192, [32] = 2,
		[33] = 10, [34] = 4,	[36] = 1,  [37] = 0xbb, [46] = 0x50,	    [47] = 0x02};
	static __u8 six[74] = {
		[12] = 0x86, [13] = 0xdd, [14] = 0x60, [19] = 20, [20] = IPPROTO_TCP, [21] = 64,   [38] = 0x20,
		[39] = 0x01, [53] = 1,	  [54] = 4,    [56] = 1,  [57] = 0xbb,	      [66] = 0x50, [67] = 0x02};
	struct decision decision;

	memcpy(ipv6 ? six + 22 : four + 26, ipv6 ? address : address + 12, ipv6 ? 16 : 4);
	if (generation_judge(offline, ipv6 ? six : four, ipv6 ? sizeof(six) : sizeof(four), 1, &decision))
		return -1;
	return decision.class;
}

/* An address near those of the lists: listed itself, a neighbour, or anywhere. */
static void draw_source(__u8 address[16], bool ipv6)
{
	__be64 halves[2];

	if (ipv6) {
		halves[0] = htobe64(draw() % 4 ? draw_address6() : 0x2000000000000000ULL | draw() >> 3);
		halves[1] = draw();
	} else {
		__u32 v4 = draw() % 4 ? draw_address4() : 0x01000000 + draw() % 0x7d000000;

		halves[0] = 0;
		halves[1] = htobe64(0xffffULL << 32 | v4);
	}
	memcpy(address, halves, sizeof(halves));
}

/* How many of the addresses tried differ; hits: those in some list. */
static unsigned compare(struct generation *offline, const struct image *image, bool ipv6, unsigned *hits)
{
	unsigned wrong = 0;

	*hits = 0;
	for (unsigned i = 0; i < TRIES; i++) {
		__u8 address[16];
		int class, want;

		draw_source(address, ipv6);
		want = tables_class(&image->tables, address);
		class = class_by_program(offline, address, ipv6);
		*hits += want != CLASS_NONE;
		if (class != want && !wrong++)
			printf("# address %02x%02x:..:%02x%02x%02x%02x: class %d, not %d\n", address[0], address[1],
			       address[12], address[13], address[14], address[15], class, want);
	}
	return wrong;
}

static bool test(unsigned number, bool wide)
{
	unsigned wrong[2], hits[2];
	struct image image = {0};
	struct generation *offline;
	char path[64];
	bool ok;

	if (write_policy(wide, path)) {
		printf("Bail out! cannot write to %s\n", room);
		return false;
	}
	offline = offline_of(path, &image);
	if (!offline)
		return false;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
		wrong[ipv6] = compare(offline, &image, ipv6, &hits[ipv6]);
	ok = !wrong[0] && !wrong[1] && hits[0] > TRIES / 10 && hits[1] > TRIES / 10 && hits[0] < TRIES &&
	     hits[1] < TRIES && wide == (image.tables.v4_direct != NULL) &&
	     wide == (image.tables.v6_deep_lines != NULL);
	printf("# of %u addresses each: IPv4 %u listed, %u differ; IPv6 %u listed, %u differ\n", TRIES, hits[0],
	       wrong[0], hits[1], wrong[1]);
	printf("%sok %u - program and builder find the same classes, %s\n", ok ? "" : "not ", number,
	       wide ? "direct IPv4 tables, IPv6 lines of 48 to 64 bits"
		    : "compact IPv4 tables, IPv6 lines of all lengths");
	generation_free(offline);
	image_free(&image);
	return ok;
}

int main(void)
{
	bool ok;

	if (!mkdtemp(room))
		return fprintf(stderr, "run_lookup: cannot make a directory in /tmp\n"), 2;
	ok = test(1, false);
	ok = test(2, true) && ok;
	puts("1..2");
	remove_room();
	return !ok;
}
