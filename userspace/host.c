/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this host is, put together from its parts. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "host_parts.h"

#define RESOLV_CONF_MAX 65536

static char *read_text(const char *path)
{
	char *text = calloc(1, RESOLV_CONF_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = -1;

	if (text && fd >= 0)
		size = read(fd, text, RESOLV_CONF_MAX);
	if (fd >= 0)
		close(fd);
	if (size >= 0)
		return text;
	free(text);
	return NULL;
}

int resolvers_parse(const char *text, struct prefix **resolvers, size_t *count)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += !!line) {
		char address[PREFIX_TEXT];
		struct prefix prefix;

		if (sscanf(line, " nameserver%*[ \t]%63[0-9a-fA-F:.]", address) != 1 ||
		    prefix_parse(address, &prefix) || prefix.length != 128)
			continue;
		if (host_prefix_note(resolvers, count, &prefix))
			return -ENOMEM;
	}
	return 0;
}

/* systemd-resolved puts itself (127.0.0.53) into resolv.conf; whom it asks stands in its own file. */
int host_read_resolvers(struct host *host)
{
	static const char *const files[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
	int error = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && !error; i++) {
		char *text = read_text(files[i]);

		error = resolvers_parse(text, &host->resolvers, &host->resolver_count);
		free(text);
	}
	return error;
}

/* In any order: routes and addresses are told in none. */
static __u64 hash_of(const struct prefix *prefixes, size_t count)
{
	__u64 sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += XXH3_64bits(&prefixes[i], sizeof(*prefixes));
	return sum;
}

__u64 host_around(const struct host *host)
{
	__u64 sum = hash_of(host->gateways, host->gateway_count) + hash_of(host->resolvers, host->resolver_count);

	for (size_t i = 0; i < host->address_count; i++)
		sum += hash_of(&host->addresses[i].address, 1) + hash_of(&host->addresses[i].on_link, 1);
	return (sum & 0x7fffffffffffffff) ?: 1; /* as JSON holds it */
}

static void warn(struct report *report, const char *what, int error)
{
	report_add(report, SEVERITY_WARNING, NULL, NULL, "this host's %s could not be read: %s", what,
		   strerror(-error));
}

int host_read(struct host *host, struct report *report)
{
	struct host_sockets sockets = {};
	int error;

	memset(host, 0, sizeof(*host));
	host_read_tcp(&host->tcp);
	error = host_read_links(host);
	if (error)
		warn(report, "links, addresses, routes and resolvers", error);
	error = host_read_groups(host);
	if (error)
		warn(report, "multicast groups", error);
	error = host_read_sockets(&sockets, 1u << TCP_ESTABLISHED | 1u << TCP_LISTEN);
	if (!error)
		error = host_peers(host, &sockets);
	if (error)
		warn(report, "open connections", error);
	host->has_operator = host_operator(&sockets, &host->operator);
	free(sockets.items);
	return 0;
}

int host_read_spared(struct host *host, struct report *report)
{
	int error;

	memset(host, 0, sizeof(*host));
	error = host_read_neighbours(host);
	if (error)
		warn(report, "addresses, routes and resolvers", error);
	host->has_operator = host_operator(NULL, &host->operator);
	return 0;
}

void host_free(struct host *host)
{
	free(host->addresses);
	free(host->links);
	free(host->gateways);
	free(host->resolvers);
	free(host->peers);
	free(host->groups);
	memset(host, 0, sizeof(*host));
}
