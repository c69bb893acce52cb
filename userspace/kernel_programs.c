/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose programs see packets here: XDP, tcx, filters of clsact, sockops. Only reads. */
#include "kernel_private.h"

#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <fcntl.h>
#include <mntent.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

#include "host_parts.h"

#define PROGRAMS_MAX 64 /* on one hook */

struct gathering {
	struct instance *instance;
	struct packet_program *items;
	size_t count, capacity;
	const char *hook; /* of the filters that a dump is telling */
};

static void name_program(struct packet_program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	cleanup_fd int fd = bpf_prog_get_fd_by_id(program->id);

	if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size))
		snprintf(program->name, sizeof(program->name), "%s", info.name);
}

static int add(struct gathering *gathering, const char *hook, __u32 id, const char *name)
{
	struct packet_program *program;
	int error = host_grow(&gathering->items, gathering->count, &gathering->capacity, sizeof(*program));

	if (error)
		return error;
	program = &gathering->items[gathering->count++];
	*program = (struct packet_program){.hook = hook, .id = id};
	if (name)
		snprintf(program->name, sizeof(program->name), "%s", name);
	else
		name_program(program);
	for (int i = 0; gathering->instance && i < HOOK_COUNT; i++)
		program->ours |= id && gathering->instance->root_ids[i] == id;
	return 0;
}

static int add_xdp(struct gathering *gathering, unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int error = 0;

	if (bpf_xdp_query((int)ifindex, 0, &query))
		return 0; /* no answer: no program */
	if (query.drv_prog_id)
		error = add(gathering, "xdp", query.drv_prog_id, NULL);
	if (!error && query.skb_prog_id)
		error = add(gathering, "xdp generic", query.skb_prog_id, NULL);
	if (!error && query.hw_prog_id)
		error = add(gathering, "xdp offloaded", query.hw_prog_id, NULL);
	return error;
}

static int add_attached(struct gathering *gathering, const char *hook, int target, enum bpf_attach_type type)
{
	__u32 ids[PROGRAMS_MAX], count = PROGRAMS_MAX;
	int error = 0;

	if (bpf_prog_query(target, type, 0, NULL, ids, &count))
		return 0; /* a kernel without this hook */
	for (__u32 i = 0; i < count && !error; i++)
		error = add(gathering, hook, ids[i], NULL);
	return error;
}

static int on_filter(const struct nlmsghdr *message, void *arg)
{
	struct nlattr *attributes[TCA_MAX + 1] = {}, *options[TCA_BPF_MAX + 1] = {};
	struct gathering *gathering = arg;

	if (message->nlmsg_type != RTM_NEWTFILTER ||
	    nlmsg_parse((struct nlmsghdr *)message, sizeof(struct tcmsg), attributes, TCA_MAX, NULL) < 0 ||
	    !attributes[TCA_KIND] || strcmp(nla_get_string(attributes[TCA_KIND]), "bpf") || !attributes[TCA_OPTIONS] ||
	    nla_parse_nested(options, TCA_BPF_MAX, attributes[TCA_OPTIONS], NULL) < 0 || !options[TCA_BPF_ID])
		return 0;
	return add(gathering, gathering->hook, nla_get_u32(options[TCA_BPF_ID]),
		   options[TCA_BPF_NAME] ? nla_get_string(options[TCA_BPF_NAME]) : NULL);
}

static int add_filters(struct gathering *gathering, unsigned ifindex, __u32 side, const char *hook)
{
	struct tcmsg request = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_MAKE(TC_H_CLSACT, side)};
	int error;

	gathering->hook = hook;
	error = netlink_dump(NETLINK_ROUTE, RTM_GETTFILTER, &request, sizeof(request), on_filter, gathering);
	return error == -ENOMEM ? error : 0; /* no clsact there: nothing to tell */
}

/* It is not the same on every host. */
int cgroup_open(void)
{
	FILE *mounts = setmntent("/proc/mounts", "re");
	struct mntent *mount;
	int fd = -1;

	while (mounts && fd < 0 && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2"))
			fd = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mounts)
		endmntent(mounts);
	return fd;
}

static int add_sockops(struct gathering *gathering)
{
	cleanup_fd int cgroup = cgroup_open();

	return cgroup < 0 ? 0 : add_attached(gathering, "sockops", cgroup, BPF_CGROUP_SOCK_OPS);
}

int packet_programs(struct instance *instance, unsigned ifindex, struct packet_program **programs, size_t *count)
{
	struct gathering gathering = {.instance = instance};
	int error;

	libbpf_quiet();
	if (!ifindex) {
		error = add_sockops(&gathering);
	} else {
		error = add_xdp(&gathering, ifindex);
		if (!error)
			error = add_attached(&gathering, "tcx ingress", (int)ifindex, ATTACH_TCX_INGRESS);
		if (!error)
			error = add_attached(&gathering, "tcx egress", (int)ifindex, ATTACH_TCX_EGRESS);
		if (!error)
			error = add_filters(&gathering, ifindex, TC_H_MIN_INGRESS, "tc ingress filter");
		if (!error)
			error = add_filters(&gathering, ifindex, TC_H_MIN_EGRESS, "tc egress filter");
	}
	*programs = gathering.items;
	*count = gathering.count;
	if (error)
		kernel_say("the programs of interface %u cannot be listed: %s", ifindex, strerror(-error));
	return error;
}
