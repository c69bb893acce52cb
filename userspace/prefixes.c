/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

static int grow(void **items, size_t size, size_t *capacity)
{
	size_t grown_capacity = *capacity ? 2 * *capacity : 64;
	void *grown = realloc(*items, grown_capacity * size);

	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = grown_capacity;
	return 0;
}

int prefixes_add4(struct prefixes *prefixes, __u32 address, unsigned length, unsigned list)
{
	if (prefixes->v4_count == prefixes->v4_capacity &&
	    grow((void **)&prefixes->v4, sizeof(*prefixes->v4), &prefixes->v4_capacity))
		return -ENOMEM;
	prefixes->v4[prefixes->v4_count++] =
		(struct prefix4){.address = address, .length = (__u8)length, .list = (__u8)list};
	return 0;
}

int prefixes_add6(struct prefixes *prefixes, __u64 high, __u64 low, unsigned length, unsigned list)
{
	if (prefixes->v6_count == prefixes->v6_capacity &&
	    grow((void **)&prefixes->v6, sizeof(*prefixes->v6), &prefixes->v6_capacity))
		return -ENOMEM;
	prefixes->v6[prefixes->v6_count++] =
		(struct prefix6){.high = high, .low = low, .length = (__u8)length, .list = (__u8)list};
	return 0;
}

int prefixes_add(struct prefixes *prefixes, const struct prefix *prefix, unsigned list)
{
	__u64 high, low;

	memcpy(&high, prefix->address, sizeof(high));
	memcpy(&low, prefix->address + 8, sizeof(low));
	if (prefix_is_v4(prefix))
		return prefixes_add4(prefixes, (__u32)be64toh(low), prefix->length - 96u, list);
	return prefixes_add6(prefixes, be64toh(high), be64toh(low), prefix->length, list);
}

void prefixes_free(struct prefixes *prefixes)
{
	free(prefixes->v4);
	free(prefixes->v6);
	memset(prefixes, 0, sizeof(*prefixes));
}
