/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who must not be locked out: the SSH connection that this process runs under. sshd says it in the environment;
 * sudo and su take it away, so the environments and sockets of our parents are asked too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_parts.h"

#define ANCESTORS_MAX 64
#define NAME_TEXT 64
#define ENVIRONMENT_MAX (1u << 17)

static int address_parse(const char *text, __u8 address[16])
{
	struct prefix prefix;
	char plain[PREFIX_TEXT];

	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text); /* fe80::1%eth0 */
	if (prefix_parse(plain, &prefix) || prefix.length != 128)
		return -EINVAL;
	memcpy(address, prefix.address, 16);
	return 0;
}

int ssh_connection_parse(const char *text, struct host_peer *who)
{
	char remote[PREFIX_TEXT], local[PREFIX_TEXT];
	unsigned remote_port, local_port;

	if (sscanf(text, "%63s %5u %63s %5u", remote, &remote_port, local, &local_port) != 4 || remote_port > 65535 ||
	    local_port > 65535)
		return -EINVAL;
	memset(who, 0, sizeof(*who));
	who->remote_port = remote_port;
	who->local_port = local_port;
	return address_parse(remote, who->remote) || address_parse(local, who->local) ? -EINVAL : 0;
}

/* Name and parent of a process: "123 (any name) S 122 ...". The parent is 0 when there is none, or nobody says. */
static int parent_of(int pid, char name[NAME_TEXT])
{
	char path[64], line[512] = "", *opens, *closes;
	FILE *file;
	int parent;

	*name = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	line[fread(line, 1, sizeof(line) - 1, file)] = 0;
	fclose(file);
	opens = strchr(line, '(');
	closes = strrchr(line, ')'); /* a name may hold one, too, but nothing after it does */
	if (!opens || !closes || closes < opens || sscanf(closes, ") %*c %d", &parent) != 1)
		return 0;
	*closes = 0;
	snprintf(name, NAME_TEXT, "%s", opens + 1);
	return parent;
}

static bool environment_of(int pid, struct host_peer *who)
{
	static const char wanted[] = "SSH_CONNECTION=";
	char path[64], *text = calloc(1, ENVIRONMENT_MAX + 1);
	bool found = false;
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (text && fd >= 0)
		size = read(fd, text, ENVIRONMENT_MAX);
	for (ssize_t at = 0; at < size && !found; at += strlen(text + at) + 1)
		if (!strncmp(text + at, wanted, sizeof(wanted) - 1))
			found = !ssh_connection_parse(text + at + sizeof(wanted) - 1, who);
	if (fd >= 0)
		close(fd);
	free(text);
	return found;
}

static bool socket_with_inode(const struct host_sockets *sockets, unsigned inode, struct host_peer *who)
{
	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->items[i];

		if (socket->inode != inode || socket->listens || peer_is_loopback(&socket->peer))
			continue;
		*who = socket->peer;
		return true;
	}
	return false;
}

static bool sockets_of(int pid, const struct host_sockets *sockets, struct host_peer *who)
{
	char path[64], target[64];
	bool found = false;
	struct dirent *entry;
	unsigned inode;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	while (directory && !found && (entry = readdir(directory))) {
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = 0;
		found = sscanf(target, "socket:[%u]", &inode) == 1 && socket_with_inode(sockets, inode, who);
	}
	if (directory)
		closedir(directory);
	return found;
}

static bool connection_of(int pid, const struct host_sockets *known, struct host_peer *who)
{
	struct host_sockets asked = {};
	bool found;

	if (!known)
		host_read_sockets(&asked, 1u << TCP_ESTABLISHED);
	found = sockets_of(pid, known ?: &asked, who);
	free(asked.items);
	return found;
}

static bool is_ssh_server(const char *name)
{
	return !strncmp(name, "sshd", 4) || !strcmp(name, "dropbear");
}

bool host_operator(const struct host_sockets *sockets, struct host_peer *who)
{
	const char *told = getenv("SSH_CONNECTION");
	char name[NAME_TEXT];
	int pid = getppid();

	if (told && !ssh_connection_parse(told, who))
		return true;
	for (int i = 0, parent; i < ANCESTORS_MAX && pid > 1; i++, pid = parent) {
		if (environment_of(pid, who))
			return true;
		parent = parent_of(pid, name);
		if (is_ssh_server(name) && connection_of(pid, sockets, who))
			return true;
	}
	return false;
}
