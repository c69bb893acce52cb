/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times as people write and read them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verbs.h"

static const struct unit {
	const char *name;
	__u64 ns;
} units[] = {
	{"d", 86400000000000ULL}, {"h", 3600000000000ULL}, {"m", 60000000000ULL}, {"s", 1000000000ULL},
	{"ms", 1000000ULL},	  {"us", 1000ULL},	   {"ns", 1ULL},
};
#define UNITS (sizeof(units) / sizeof(*units))
#define UNIT_SECONDS 3

/* The unit at the start of text; moves text behind it. A bare number is seconds. */
static const struct unit *unit_parse(const char **text)
{
	size_t length = 0;

	while (isalpha((unsigned char)(*text)[length]))
		length++;
	if (!length)
		return **text ? NULL : &units[UNIT_SECONDS];
	for (size_t i = 0; i < UNITS; i++) {
		if (strlen(units[i].name) != length || strncmp(units[i].name, *text, length))
			continue;
		*text += length;
		return &units[i];
	}
	return NULL;
}

int duration_parse(const char *text, __u64 *ns)
{
	__u64 total = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	while (*text) {
		const struct unit *unit;
		__u64 count = 0, part;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		for (; isdigit((unsigned char)*text); text++)
			if (__builtin_mul_overflow(count, 10, &count) ||
			    __builtin_add_overflow(count, *text - '0', &count))
				return -EINVAL;
		unit = unit_parse(&text);
		if (!unit || __builtin_mul_overflow(count, unit->ns, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return -EINVAL;
		text += *text == ' ' && isdigit((unsigned char)text[1]); /* "3m 20s", as we print it */
	}
	*ns = total;
	return 0;
}

const char *duration_text(__u64 ns, char *buffer, size_t size)
{
	size_t unit = 0, length;

	while (unit < UNITS - 1 && ns < units[unit].ns)
		unit++;
	length = snprintf(buffer, size, "%llu%s", (unsigned long long)(ns / units[unit].ns), units[unit].name);
	/* The next smaller unit too, down to seconds: "1d 2h", "3m 20s", but "41s" and "250ms". */
	if (unit < UNIT_SECONDS && length < size) {
		__u64 rest = ns % units[unit].ns / units[unit + 1].ns;

		if (rest)
			snprintf(buffer + length, size - length, " %llu%s", (unsigned long long)rest,
				 units[unit + 1].name);
	}
	return buffer;
}
