/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is this text that may be shown to libfyaml? 0.7.12 spins for ever on bytes that are no UTF-8 behind a '%', and what a
 * person does not see (a lone carriage return, a line separator, a byte order mark in the middle) would make the lines
 * counted differently by the library, by us and by the editor.
 */
#include <string.h>

#include "yaml.h"

/* The character at text, and its length; 0: no UTF-8 (Unicode 15, table 3-7: shortest form, no surrogates). */
static unsigned character_at(const unsigned char *text, size_t left, unsigned *length)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned first = *text, value;

	*length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
	if (!*length || *length > left)
		return *length = 0;
	value = *length == 1 ? first : first & (0x7f >> *length);
	for (unsigned i = 1; i < *length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return *length = 0;
		value = value << 6 | (text[i] & 0x3f);
	}
	if (value < least[*length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		*length = 0;
	return value;
}

static const char *why_not(unsigned value, bool at_begin, bool before_newline, bool begins_line)
{
	if (value == 0xfeff)
		return at_begin ? NULL : "a byte order mark (U+FEFF) in the middle of the text";
	if (value == '\r')
		return before_newline ? NULL : "a carriage return that ends no line";
	if (value == '%' && begins_line)
		return "YAML directives (%) are not used in policies";
	if (value == '\t' || value == '\n')
		return NULL;
	if (value < 0x20 || (value >= 0x7f && value < 0xa0))
		return "a control character";
	if (value == 0x2028 || value == 0x2029)
		return "a line or paragraph separator (U+2028, U+2029): end lines with a newline";
	return value == 0xfffe || value == 0xffff ? "a code point that is no character" : NULL;
}

const char *yaml_text_fault(const char *text, size_t size, struct place *at)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned length, value;

	at->line = at->column = 1;
	at->width = 0;
	for (size_t i = 0; i < size; i += length) {
		const char *why;

		value = character_at(bytes + i, size - i, &length);
		if (!length)
			return "a byte that is no UTF-8";
		why = why_not(value, !i, i + 1 < size && bytes[i + 1] == '\n', at->column == 1);
		if (why)
			return why;
		at->column += value != 0xfeff;
		if (value == '\n')
			at->line++, at->column = 1;
	}
	return NULL;
}
