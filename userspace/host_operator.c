/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who must not be locked out: the SSH connection that this process runs under. sshd says it in the environment;
 * sudo and su take it away, so the environments and sockets of our parents are asked too.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_parts.h"

#define ANCESTORS_MAX 64
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

/* Field `name` of /proc/PID/status, "" when there is none. */
static void status_field(int pid, const char *name, char *value, size_t size)
{
	char path[64], line[256];
	FILE *file;

	*value = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		size_t length = strlen(name);

		if (strncmp(line, name, length) || line[length] != ':')
			continue;
		snprintf(value, size, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
		value[strcspn(value, "\n")] = 0;
		break;
	}
	if (file)
		fclose(file);
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

static bool is_ssh_server(int pid)
{
	char name[32];

	status_field(pid, "Name", name, sizeof(name));
	return !strncmp(name, "sshd", 4) || !strcmp(name, "dropbear");
}

bool host_operator(const struct host_sockets *sockets, struct host_peer *who)
{
	const char *told = getenv("SSH_CONNECTION");
	int pid = getpid();
	char parent[16];

	if (told && !ssh_connection_parse(told, who))
		return true;
	for (int i = 0; i < ANCESTORS_MAX; i++) {
		status_field(pid, "PPid", parent, sizeof(parent));
		pid = atoi(parent);
		if (pid <= 1)
			return false;
		if (environment_of(pid, who))
			return true;
		if (is_ssh_server(pid) && sockets_of(pid, sockets, who))
			return true;
	}
	return false;
}
