/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses and prefixes as text, one strict reading: what inet_aton() would make something of (1.2.3, 010.1.1.1,
 * 0x7f.1) is an error here, for a bad address that is read as another one blocks or trusts a stranger.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "policy.h"

static const __u8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Decimal, at most three digits, no sign, no leading zero. -1: not that. */
static int length_parse(const char *text)
{
	int length = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits] || (digits > 1 && *text == '0'))
		return -1;
	for (; *text; text++)
		length = length * 10 + (*text - '0');
	return length;
}

bool address_cut(__u8 address[16], unsigned length)
{
	bool any = false;

	for (unsigned bit = length; bit < 128;) {
		__u8 mask = bit % 8 ? 0xff >> (bit % 8) : 0xff;

		any |= address[bit / 8] & mask;
		address[bit / 8] &= ~mask;
		bit = (bit / 8 + 1) * 8;
	}
	return any;
}

int prefix_parse(const char *text, struct prefix *prefix)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	bool v6 = memchr(text, ':', length);
	int bits = v6 ? 128 : 32;

	*prefix = (struct prefix){};
	if (!length || length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = '\0';
	if (v6 && inet_pton(AF_INET6, address, prefix->address) != 1)
		return -EINVAL;
	if (!v6) {
		memcpy(prefix->address, mapped, sizeof(mapped));
		if (inet_pton(AF_INET, address, prefix->address + 12) != 1)
			return -EINVAL;
	}
	if (slash) {
		int given = length_parse(slash + 1);

		if (given < 0 || given > bits)
			return -ERANGE;
		bits = given;
	}
	prefix->length = v6 ? bits : bits + 96;
	if (v6 && !memcmp(prefix->address, mapped, sizeof(mapped)))
		return -EAFNOSUPPORT;
	return address_cut(prefix->address, prefix->length) ? -EDOM : 0;
}

const char *prefix_text(const struct prefix *prefix, char *buffer)
{
	bool v4 = prefix_is_v4(prefix);
	unsigned length = v4 ? prefix->length - 96 : prefix->length;

	if (v4)
		inet_ntop(AF_INET, prefix->address + 12, buffer, PREFIX_TEXT);
	else
		inet_ntop(AF_INET6, prefix->address, buffer, PREFIX_TEXT);
	if (length != (v4 ? 32 : 128)) {
		size_t used = strlen(buffer);

		snprintf(buffer + used, PREFIX_TEXT - used, "/%u", length);
	}
	return buffer;
}
