/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a policy may name as a feed on the web: stricter than RFC 3986, because nothing else is ever fetched. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"
#include "url.h"

#define HOST_MAX 253

bool is_url(const char *text)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return scheme && !strncmp(text + scheme, "://", 3);
}

static bool is_name(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '.')
			return false;
	return length && length <= HOST_MAX && isalnum((unsigned char)*text) &&
	       isalnum((unsigned char)text[length - 1]);
}

static bool is_v6(const char *text, size_t length)
{
	char address[PREFIX_TEXT];
	struct prefix prefix;

	if (length >= sizeof(address) || memchr(text, '/', length))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	return strchr(address, ':') && !prefix_parse(address, &prefix);
}

static bool is_port(const char *text, size_t length)
{
	return length && length <= 5 && strspn(text, "0123456789") == length && *text != '0' && atoi(text) <= 65535;
}

const char *url_problem(const char *url)
{
	const char *host = url + strlen("https://"), *end, *port;

	if (!strncmp(url, "http://", 7))
		return "is not authenticated: whoever is on the way could write the list; use https://";
	if (strncmp(url, "https://", 8))
		return "cannot be fetched: a feed is a file, or an address that begins with https://";
	for (const char *c = url; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("\"<>\\^`{|}", *c))
			return "holds a character that an address cannot have: write it as %XX";
	if (strchr(url, '#'))
		return "has a fragment (#...), which no server sees: leave it out";
	end = host + strcspn(host, "/?");
	if (memchr(host, '@', (size_t)(end - host)))
		return "holds a user name: a policy is no place for credentials";
	if (*host == '[') {
		port = memchr(host, ']', (size_t)(end - host));
		if (!port || !is_v6(host + 1, (size_t)(port - host - 1)))
			return "names no host: write https://[2001:db8::1]/list.txt";
		port++;
	} else {
		port = memchr(host, ':', (size_t)(end - host)) ?: end;
		if (!is_name(host, (size_t)(port - host)))
			return "names no host: write https://lists.example.org/list.txt";
	}
	if (port < end && (*port != ':' || !is_port(port + 1, (size_t)(end - port - 1))))
		return "has a port that is none: 1 to 65535";
	return NULL;
}
