/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The multicast groups that this host has joined, as procfs tells them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host_parts.h"

#define LINE_TEXT 160

/* "				E00000FB     1 0:00000000		0": the group as a number in network order */
static bool group_v4(const char *line, __u8 address[16])
{
	unsigned group;

	if (*line != '\t' || sscanf(line, " %8X", &group) != 1)
		return false;
	memcpy(address, &group, sizeof(group));
	return true;
}

/* "2    eth0            ff0200000000000000000000000000fb     1 0000000C 0" */
static bool group_v6(const char *line, __u8 address[16])
{
	char digits[33];

	if (sscanf(line, "%*u %*s %32[0-9a-f]", digits) != 1 || strlen(digits) != 32)
		return false;
	for (int i = 0; i < 16; i++)
		if (sscanf(digits + 2 * i, "%2hhx", &address[i]) != 1)
			return false;
	return true;
}

static int read_groups(struct host *host, const char *path, int family, bool (*group)(const char *, __u8[16]))
{
	FILE *file = fopen(path, "re");
	char line[LINE_TEXT];
	__u8 address[16];
	int error = 0;

	if (!file)
		return 0; /* a kernel without that family */
	while (!error && fgets(line, sizeof(line), file)) {
		struct prefix prefix;

		if (!group(line, address))
			continue;
		host_prefix_from(&prefix, family, address, family == AF_INET ? 32 : 128);
		error = host_prefix_note(&host->groups, &host->group_count, &prefix);
	}
	fclose(file);
	return error;
}

int host_read_groups(struct host *host)
{
	int error = read_groups(host, "/proc/net/igmp", AF_INET, group_v4);

	return error ? error : read_groups(host, "/proc/net/igmp6", AF_INET6, group_v6);
}
