/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "utf8.h"

unsigned utf8_character(const char *text, size_t left, unsigned *length)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned first = *bytes, character;

	*length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
	if (!*length || *length > left)
		return *length = 0;
	character = *length == 1 ? first : first & (0x7f >> *length);
	for (unsigned i = 1; i < *length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return *length = 0;
		character = character << 6 | (bytes[i] & 0x3f);
	}
	if (character < least[*length] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
		*length = 0;
	return character;
}

bool utf8_is_unseen(unsigned character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) || /* C0, DEL, C1 */
	       (character >= 0x2028 && character <= 0x202e) ||		      /* separators, embeddings, overrides */
	       (character >= 0x2066 && character <= 0x2069) ||		      /* isolates */
	       character == 0xfeff || character == 0xfffe || character == 0xffff;
}
