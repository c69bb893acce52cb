/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How TCP is set in this network namespace. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_parts.h"

int sysctl_number(const char *name, unsigned column, long long *value)
{
	char path[128];
	FILE *file;
	int got = 1;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = fopen(path, "re");
	for (unsigned i = 0; file && got == 1 && i < column; i++)
		got = fscanf(file, "%lld", value);
	if (!file)
		return -ENOENT;
	fclose(file);
	return got == 1 ? 0 : -ENOENT;
}

static long long number_or(const char *name, unsigned column, long long otherwise)
{
	long long value;

	return sysctl_number(name, column, &value) ? otherwise : value;
}

bool host_routes_bound_windows(void)
{
	/* NOLINTNEXTLINE(cert-env33-c): a constant, with nobody's words in it */
	FILE *listing = popen(
		"PATH=$PATH:/usr/sbin:/sbin; { ip -4 route show table all; ip -6 route show table all; } 2>/dev/null",
		"re");
	char *line = NULL;
	bool found = false, any = false;
	size_t size = 0;

	while (listing && getline(&line, &size, listing) > 0) {
		any = true;
		found |= strstr(line, " window ") != NULL;
	}
	free(line);
	if (listing)
		pclose(listing);
	return found || !any;
}

void host_read_tcp(struct host_tcp *tcp)
{
	long long buffer = number_or("ipv4/tcp_rmem", 3, 0), most = number_or("core/rmem_max", 1, 0);

	tcp->known = buffer > 0;
	tcp->space = buffer > most ? buffer : most; /* rmem_max is not seen in every network namespace */
	tcp->space_sure = tcp->known && most > 0;
	tcp->syncookies = number_or("ipv4/tcp_syncookies", 1, 0);
	tcp->timestamps = number_or("ipv4/tcp_timestamps", 1, 0);
	tcp->window_scaling = number_or("ipv4/tcp_window_scaling", 1, 0);
	tcp->sack = number_or("ipv4/tcp_sack", 1, 0);
	tcp->ecn = number_or("ipv4/tcp_ecn", 1, 0);
	tcp->ttl = number_or("ipv4/ip_default_ttl", 1, 64);
}
