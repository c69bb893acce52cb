/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "policy.h"

socklen_t endpoint_parse(const char *endpoint, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	struct sockaddr_in *four = (struct sockaddr_in *)address;
	const char *colon = strrchr(endpoint, ':');
	char text[64] = "", *end;
	struct prefix prefix;
	unsigned long port;

	if (!colon || colon - endpoint >= (long)sizeof(text) || !isdigit((unsigned char)colon[1]))
		return 0;
	port = strtoul(colon + 1, &end, 10);
	memcpy(text, endpoint, colon - endpoint);
	if (*text == '[' && strlen(text) > 2) {
		text[strlen(text) - 1] = '\0';
		memmove(text, text + 1, strlen(text));
	}
	if (*end || !port || port > 65535 || prefix_parse(text, &prefix) || prefix.length != 128)
		return 0;
	memset(address, 0, sizeof(*address));
	if (prefix_is_v4(&prefix)) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, prefix.address + 12, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	memcpy(&six->sin6_addr, prefix.address, 16);
	return sizeof(*six);
}

bool endpoint_is_loopback(const char *text)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_parse(text, &address);

	if (length == sizeof(struct sockaddr_in))
		return ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == 127;
	return length && IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address)->sin6_addr);
}
