/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook sockops: one root program on the cgroup that everything is in, held by a pinned link, attached only while
 * the policy in force, or the one the kernel may go back to, needs it.
 */
#include "kernel_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* since 5.14 */
#endif

static void link_path(const struct instance *instance, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/sockops", instance->links);
}

bool sockops_attached(struct instance *instance)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);
	char path[PATH_MAX];
	cleanup_fd int fd = -1;

	link_path(instance, path);
	fd = bpf_obj_get(path);
	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == BPF_LINK_TYPE_CGROUP &&
	       info.prog_id == instance->root_ids[HOOK_SOCKOPS];
}

int sockops_attach(struct instance *instance)
{
	cleanup_fd int cgroup = -1, fd = -1;
	char path[PATH_MAX];

	if (sockops_attached(instance))
		return 0;
	cgroup = cgroup_open();
	if (cgroup < 0) {
		kernel_say("the policy needs to know of sockets, but no cgroup2 is mounted: `mkdir -p /sys/fs/cgroup/"
			   "unified && mount -t cgroup2 none /sys/fs/cgroup/unified`");
		return -ENODEV;
	}
	link_path(instance, path);
	fd = bpf_link_create(instance->programs[PROGRAM_ROOT_SOCKOPS], cgroup, BPF_CGROUP_SOCK_OPS, NULL);
	if (fd < 0) {
		kernel_say("cannot attach the sockops program to the cgroup: %s", strerror(errno));
		return -errno;
	}
	if ((unlink(path) && errno != ENOENT) || pin_object(fd, path)) {
		kernel_say("cannot pin the link as %s: %s", path, strerror(errno));
		return -errno;
	}
	return 0;
}

__u64 netns_cookie(void)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(__u64);
	__u64 cookie = 0;

	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) ? 0 : cookie;
}

void hooks_leave(struct instance *instance)
{
	unsigned needed = instance_hooks(instance);
	struct attachment *attachments = NULL;
	char path[PATH_MAX];
	size_t count = 0;

	if (!(needed & 1u << HOOK_SOCKOPS)) {
		link_path(instance, path);
		link_remove(path);
	}
	if (needed & 1u << HOOK_INGRESS || interfaces_attached(instance, &attachments, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (attachments[i].ingress)
			ingress_detach(instance, &attachments[i]);
	free(attachments);
}
