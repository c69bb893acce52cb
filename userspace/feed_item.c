/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses, prefixes and ranges in the text of a feed. */
#include "feed_parse.h"

typedef unsigned __int128 u128;

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A decimal number of at most three digits without leading zeros (010 is eight to some and ten to others). */
static bool read_number(struct text *text, unsigned limit, unsigned *number)
{
	const char *at = text->at, *end = text->end;
	unsigned value;

	if (at == end || !is_digit(*at))
		return false;
	value = (unsigned)(*at++ - '0');
	if (value && at < end && is_digit(*at))
		value = 10 * value + (unsigned)(*at++ - '0');
	if (value > 9 && at < end && is_digit(*at))
		value = 10 * value + (unsigned)(*at++ - '0');
	if (value > limit || (at < end && is_digit(*at)))
		return false;
	text->at = at;
	*number = value;
	return true;
}

static bool read_v4(struct text *text, __u32 *address)
{
	struct text rest = *text;
	unsigned octet;

	*address = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (i && (rest.at == rest.end || *rest.at++ != '.'))
			return false;
		if (!read_number(&rest, 255, &octet))
			return false;
		*address = *address << 8 | octet;
	}
	*text = rest;
	return true;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_group(struct text *text, unsigned *group)
{
	unsigned digits = 0;

	*group = 0;
	while (text->at < text->end && hex_digit(*text->at) >= 0 && digits++ < 4)
		*group = *group << 4 | (unsigned)hex_digit(*text->at++);
	return digits > 0 && digits < 5;
}

static bool at_double_colon(const struct text *text)
{
	return text->end - text->at >= 2 && text->at[0] == ':' && text->at[1] == ':';
}

/* The groups up to what is none, at most limit; an IPv4 address as two, behind so many others at least: it ends an
 * address. False: malformed. */
static bool read_groups(struct text *text, unsigned limit, unsigned before_v4, u128 *address, unsigned *count)
{
	*address = 0;
	*count = 0;
	while (*count < limit) {
		struct text rest = *text;
		unsigned group;
		__u32 v4;

		if (*count && (at_double_colon(&rest) || rest.at == rest.end || *rest.at != ':'))
			return true;
		rest.at += *count > 0;
		if (*count >= before_v4 && *count + 2 <= limit && read_v4(&rest, &v4)) {
			*address = *address << 32 | v4;
			*count += 2;
			*text = rest;
			return true;
		}
		if (!read_group(&rest, &group))
			return !*count;
		*address = *address << 16 | group;
		(*count)++;
		*text = rest;
	}
	return true;
}

static bool read_v6(struct text *text, u128 *address)
{
	unsigned before, after;
	u128 left, right;

	if (!read_groups(text, 8, 6, &left, &before))
		return false;
	if (before == 8) {
		*address = left;
		return true;
	}
	if (!at_double_colon(text))
		return false;
	text->at += 2;
	if (!read_groups(text, 7 - before, 0, &right, &after))
		return false;
	*address = (before ? left << (16 * (8 - before)) : 0) | right;
	return true;
}

static bool read_address(struct text *text, u128 *address, bool *v4)
{
	__u32 address4;

	*v4 = read_v4(text, &address4);
	if (*v4) {
		*address = address4;
		return true;
	}
	return read_v6(text, address);
}

/* ::ffff:a.b.c.d, which is how some programs write IPv4. */
static void unmap(struct item *item)
{
	if (item->v4 || item->first >> 32 != 0xffff || item->last >> 32 != 0xffff || item->length < 96)
		return;
	item->v4 = true;
	item->first &= 0xffffffff;
	item->last &= 0xffffffff;
	item->length -= 96;
}

static const char *read_range_end(struct text *text, struct item *item)
{
	bool v4;

	if (!read_address(text, &item->last, &v4))
		return "the end of the range is not an address";
	if (v4 != item->v4)
		return "a range from one address family to the other";
	if (item->last < item->first)
		return "a range that ends before it starts";
	item->range = true;
	return NULL;
}

/* " - " between two addresses, blanks or none around it. */
static bool at_range(struct text *text)
{
	struct text rest = *text;

	skip_blanks(&rest);
	if (rest.at == rest.end || *rest.at != '-')
		return false;
	rest.at++;
	skip_blanks(&rest);
	*text = rest;
	return true;
}

const char *item_parse(struct text *text, struct item *item)
{
	const char *problem = NULL;

	if (!read_address(text, &item->first, &item->v4))
		return "not an address, prefix or range";
	item->last = item->first;
	item->length = item->v4 ? 32 : 128;
	item->range = false;
	if (text->at < text->end && *text->at == '/') {
		text->at++;
		if (!read_number(text, item->length, &item->length))
			return item->v4 ? "the length of an IPv4 prefix is 0 to 32"
					: "the length of an IPv6 prefix is 0 to 128";
	} else if (at_range(text)) {
		problem = read_range_end(text, item);
	}
	if (!problem)
		unmap(item);
	return problem;
}
