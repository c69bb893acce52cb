/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the generator's packets claim to come from. Lists are shuffled once, then walked in order. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flood_plan.h"

#define PUBLIC_SETS 512 /* a walk through random /8s: each packet has 24 more random bits */

static __u64 draw(struct flood_sources *sources)
{
	__u64 x = sources->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	sources->random = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static void *grown(void *items, size_t *room, size_t item)
{
	size_t more = *room ? *room * 2 : 1024;

	items = reallocarray(items, more, item);
	if (items)
		*room = more;
	return items;
}

static int add4(struct flood_sources *sources, struct flood_source4 source)
{
	void *items = sources->v4;

	if (sources->count4 == sources->room4) {
		items = grown(items, &sources->room4, sizeof(source));
		if (!items)
			return -ENOMEM;
		sources->v4 = items;
	}
	sources->v4[sources->count4++] = source;
	return 0;
}

static int add6(struct flood_sources *sources, struct flood_source6 source)
{
	void *items = sources->v6;

	if (sources->count6 == sources->room6) {
		items = grown(items, &sources->room6, sizeof(source));
		if (!items)
			return -ENOMEM;
		sources->v6 = items;
	}
	sources->v6[sources->count6++] = source;
	return 0;
}

static __u64 host_bits(int length)
{
	if (length <= 0)
		return ~0ULL;
	return length >= 64 ? 0 : ~0ULL >> length;
}

static int add_prefix6(struct flood_sources *sources, const char *address, long length)
{
	struct flood_source6 source;
	struct in6_addr parsed;

	if (inet_pton(AF_INET6, address, &parsed) != 1 || length > 128)
		return -EINVAL;
	memcpy(&source, &parsed, sizeof(parsed));
	source.host_high = htobe64(host_bits(length));
	source.host_low = htobe64(host_bits(length - 64));
	source.high &= ~source.host_high;
	source.low &= ~source.host_low;
	return add6(sources, source);
}

static int add_prefix4(struct flood_sources *sources, const char *address, long length)
{
	struct in_addr parsed;
	__u32 host = host_bits(length + 32);

	if (inet_pton(AF_INET, address, &parsed) != 1 || length > 32)
		return -EINVAL;
	return add4(sources, (struct flood_source4){parsed.s_addr & ~htonl(host), htonl(host)});
}

/* "addr" or "addr/length"; writes into text. */
static int add_prefix(struct flood_sources *sources, char *text)
{
	char *slash = strchr(text, '/'), *end = NULL;
	bool ipv6 = strchr(text, ':');
	long length = ipv6 ? 128 : 32;

	if (slash) {
		*slash = '\0';
		length = strtol(slash + 1, &end, 10);
		if (end == slash + 1 || *end || length < 0)
			return -EINVAL;
	}
	return ipv6 ? add_prefix6(sources, text, length) : add_prefix4(sources, text, length);
}

static int add_file(struct flood_sources *sources, const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long number = 0;
	char line[256];
	int error = 0;

	if (!file) {
		error = -errno;
		fprintf(stderr, "flood: cannot open %s: %s\n", path, strerror(-error));
		return error;
	}
	while (!error && fgets(line, sizeof(line), file)) {
		number++;
		line[strcspn(line, " \t\r\n;#")] = '\0';
		if (!*line)
			continue;
		error = add_prefix(sources, line);
		if (error)
			fprintf(stderr, "flood: %s:%lu: %s is no prefix\n", path, number, line);
	}
	fclose(file);
	return error;
}

static int add_blocked(struct flood_sources *sources, const char *blocked)
{
	char *row, *rest, *text;
	int error = 0;

	if (!access(blocked, F_OK))
		return add_file(sources, blocked);
	row = strdup(blocked);
	if (!row)
		return -ENOMEM;
	for (text = strtok_r(row, ",", &rest); text && !error; text = strtok_r(NULL, ",", &rest)) {
		error = add_prefix(sources, text);
		if (error)
			fprintf(stderr, "flood: '%s' is neither a file nor a prefix\n", text);
	}
	free(row);
	return error;
}

/* Unicast space that is neither private nor reserved as a whole; of IPv6 what registries hand out. */
static int add_public(struct flood_sources *sources)
{
	static const __u16 registries[] = {0x2400, 0x2600, 0x2800, 0x2a00};
	int error = 0;
	unsigned i;

	for (i = 0; i < PUBLIC_SETS && !error; i++) {
		__u32 first = 11 + draw(sources) % 160; /* 11..170: below 172.16/12, 192.168/16 and multicast */
		struct flood_source6 six = {.host_low = ~0ULL, .host_high = htobe64(~0ULL >> 12)};

		if (first == 100 || first == 127 || first == 169)
			first = 45;
		error = add4(sources, (struct flood_source4){htonl(first << 24), htonl(0x00ffffff)});
		six.high = htobe64((__u64)registries[i % 4] << 48);
		error = error ?: add6(sources, six);
	}
	return error;
}

/* That many single addresses, spread over a /8 and over a /32. */
static int add_many(struct flood_sources *sources, unsigned many)
{
	int error = 0;
	unsigned i;

	for (i = 0; i < many && !error; i++) {
		struct flood_source6 six = {.low = htobe64(1)};

		error = add4(sources, (struct flood_source4){htonl(45u << 24 | (draw(sources) >> 40)), 0});
		six.high = htobe64(0x2a01000000000000ULL | (draw(sources) >> 32));
		error = error ?: add6(sources, six);
	}
	return error;
}

static int add_one(struct flood_sources *sources, const char *one)
{
	char text[64];
	int error;

	if (one) {
		snprintf(text, sizeof(text), "%s", one);
		error = add_prefix(sources, text);
		if (error)
			fprintf(stderr, "flood: '%s' is no address\n", one);
		return error;
	}
	error = add_prefix4(sources, "45.33.1.5", 32);
	return error ?: add_prefix6(sources, "2a01:77::5", 128);
}

/* Fisher and Yates. */
static void shuffle(struct flood_sources *sources, const struct flood_set *set)
{
	size_t i, j;

	for (i = set->count4; i > 1; i--) {
		struct flood_source4 *items = sources->v4 + set->first4, kept = items[i - 1];

		j = draw(sources) % i;
		items[i - 1] = items[j];
		items[j] = kept;
	}
	for (i = set->count6; i > 1; i--) {
		struct flood_source6 *items = sources->v6 + set->first6, kept = items[i - 1];

		j = draw(sources) % i;
		items[i - 1] = items[j];
		items[j] = kept;
	}
}

int flood_sources_make(struct flood_sources *sources, const char *blocked, const char *one, unsigned many, __u64 seed)
{
	int from, error = 0;

	*sources = (struct flood_sources){.random = seed | 1};
	for (from = 0; from < FROM_COUNT && !error; from++) {
		struct flood_set *set = &sources->sets[from];

		set->first4 = sources->count4;
		set->first6 = sources->count6;
		if (from == FROM_PUBLIC)
			error = add_public(sources);
		else if (from == FROM_BLOCKED)
			error = blocked ? add_blocked(sources, blocked) : 0;
		else if (from == FROM_ONE)
			error = add_one(sources, one);
		else
			error = add_many(sources, many);
		set->count4 = sources->count4 - set->first4;
		set->count6 = sources->count6 - set->first6;
		shuffle(sources, set);
	}
	return error;
}

void flood_sources_free(struct flood_sources *sources)
{
	free(sources->v4);
	free(sources->v6);
	*sources = (struct flood_sources){};
}
