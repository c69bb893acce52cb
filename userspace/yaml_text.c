/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is this text that may be shown to libfyaml? 0.7.12 spins for ever on bytes that are no UTF-8 behind a '%', and takes
 * quadratic time over empty lines. What a person does not see (a lone carriage return, a line separator, a byte order
 * mark in the middle) would make the library, us and the editor count lines differently.
 */
#include "utf8.h"
#include "yaml.h"

#define EMPTY_LINES_MAX 1000

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
	unsigned length, value, empty = 0; /* empty: newlines with nothing to see between */

	at->line = at->column = 1;
	at->width = 0;
	for (size_t i = 0; i < size; i += length) {
		const char *why;

		value = utf8_character(text + i, size - i, &length);
		if (!length)
			return "a byte that is no UTF-8";
		why = why_not(value, !i, i + 1 < size && text[i + 1] == '\n', at->column == 1);
		if (why)
			return why;
		at->column += value != 0xfeff;
		if (value != '\n') {
			if (value != ' ' && value != '\t' && value != '\r')
				empty = 0;
			continue;
		}
		at->line++;
		at->column = 1;
		if (++empty > EMPTY_LINES_MAX + 1)
			return "more than a thousand empty lines in a row";
	}
	return NULL;
}
