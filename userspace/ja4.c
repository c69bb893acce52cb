/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* After FoxIO's technical description of JA4 (technical_details/JA4.md of FoxIO-LLC/ja4). */
#include <ctype.h>
#include <sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ja4.h"

#define HASH_DIGITS 12
#define VALUE_TEXT 5 /* "c02b," */
#define NO_HASH "000000000000"

static const char *version_text(__u16 version)
{
	static const struct {
		__u16 version;
		const char *text;
	} versions[] = {
		{0x0304, "13"}, {0x0303, "12"}, {0x0302, "11"}, {0x0301, "10"}, {0x0300, "s3"}, {0x0002, "s2"},
	};

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
		if (versions[i].version == version)
			return versions[i].text;
	return "00";
}

/* The first and the last character of a protocol's name, or of what it is in hexadecimal digits. */
static void alpn_text(const struct sighting *sighting, char text[3])
{
	static const char digits[] = "0123456789abcdef";
	__u8 first = sighting->alpn[0], last = sighting->alpn[1];
	bool plain = first < 0x80 && last < 0x80 && isalnum(first) && isalnum(last);

	text[0] = !sighting->offers ? '0' : plain ? (char)first : digits[first >> 4];
	text[1] = !sighting->offers ? '0' : plain ? (char)last : digits[last & 15];
	text[2] = 0;
}

static int by_value(const void *a, const void *b)
{
	return (int)*(const __u16 *)a - (int)*(const __u16 *)b;
}

/* "0005,000a": in place of the terminating NUL of text, which has the room. */
static char *list_text(char *text, const __u16 *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		text += sprintf(text, "%s%04x", i ? "," : "", values[i]);
	return text;
}

static void hash_text(const char *list, char hash[HASH_DIGITS + 1])
{
	__u8 digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX sha256;

	if (!*list) {
		memcpy(hash, NO_HASH, HASH_DIGITS + 1);
		return;
	}
	SHA256Init(&sha256);
	SHA256Update(&sha256, (const __u8 *)list, strlen(list));
	SHA256Final(digest, &sha256);
	for (int i = 0; i < HASH_DIGITS / 2; i++)
		sprintf(hash + 2 * i, "%02x", digest[i]);
}

/* What counts of a list. */
static size_t without_grease(__u16 *to, const __u16 *values, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!is_grease(values[i]))
			to[kept++] = values[i];
	return kept;
}

static size_t ciphers_part(const struct sighting *sighting, char hash[HASH_DIGITS + 1])
{
	char list[SIGHT_CIPHERS * VALUE_TEXT + 1] = "";
	__u16 ciphers[SIGHT_CIPHERS];
	size_t count = without_grease(ciphers, sighting->cipher, sighting->cipher_count);

	qsort(ciphers, count, sizeof(*ciphers), by_value);
	list_text(list, ciphers, count);
	hash_text(list, hash);
	return count;
}

/* Neither the server's name nor the protocols: the first part says that they are there. */
static size_t extensions_part(const struct sighting *sighting, char hash[HASH_DIGITS + 1])
{
	char list[(SIGHT_EXTENSIONS + SIGHT_ALGORITHMS) * VALUE_TEXT + 2] = "", *end;
	__u16 extensions[SIGHT_EXTENSIONS], algorithms[SIGHT_ALGORITHMS];
	size_t count = without_grease(extensions, sighting->extension, sighting->extension_count), hashed = 0;
	size_t algorithm_count = without_grease(algorithms, sighting->algorithm, sighting->algorithm_count);

	for (size_t i = 0; i < count; i++)
		if (extensions[i] != EXTENSION_SNI && extensions[i] != EXTENSION_ALPN)
			extensions[hashed++] = extensions[i];
	qsort(extensions, hashed, sizeof(*extensions), by_value);
	end = list_text(list, extensions, hashed);
	if (hashed && algorithm_count) {
		*end++ = '_';
		list_text(end, algorithms, algorithm_count);
	}
	hash_text(list, hash);
	return count;
}

static unsigned two_digits(size_t count)
{
	return count > 99 ? 99 : (unsigned)count;
}

const char *ja4_text(const struct sighting *sighting, char text[JA4_TEXT])
{
	char second[HASH_DIGITS + 1], third[HASH_DIGITS + 1], alpn[3];
	unsigned ciphers = two_digits(ciphers_part(sighting, second));
	unsigned extensions = two_digits(extensions_part(sighting, third));

	alpn_text(sighting, alpn);
	snprintf(text, JA4_TEXT, "t%s%c%02u%02u%s_%s_%s", version_text(sighting->version), sighting->named ? 'd' : 'i',
		 ciphers, extensions, alpn, second, third);
	return text;
}

/* ---- as a person writes it ---- */

static bool is_version(const char *text)
{
	static const char versions[][3] = {"13", "12", "11", "10", "s3", "s2", "00"};

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
		if (!strncmp(text, versions[i], 2))
			return true;
	return false;
}

static bool is_hash(const char *text)
{
	return strspn(text, "0123456789abcdef") >= HASH_DIGITS;
}

const char *ja4_trouble(const char *text)
{
	static const char shape[] = "a JA4 has three parts, as in t13d1516h2_8daaf6152771_e5627efa2ab1";

	if (strlen(text) != JA4_LENGTH || text[10] != '_' || text[23] != '_')
		return shape;
	if (*text == 'q' || *text == 'd')
		return "a hello over QUIC (q) or DTLS (d) is not seen here; one over TCP begins with t";
	if (*text != 't' || !is_version(text + 1) || (text[3] != 'd' && text[3] != 'i') ||
	    strspn(text + 4, "0123456789") < 4 || !isalnum((unsigned char)text[8]) || !isalnum((unsigned char)text[9]))
		return "its first part is t, a version (13, 12, 11, 10, s3, s2, 00), d or i, two numbers of two "
		       "digits, and "
		       "two letters or digits of a protocol, as in t13d1516h2";
	if (!is_hash(text + 11) || !is_hash(text + 24))
		return "its second and third parts are 12 digits of 0-9 and a-f, in lower case";
	return NULL;
}
