/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "kernel_clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDLE 0xb01a /* ours, in a priority of our own */
#define PRIORITY_FIRST 11
#define PRIORITY_LAST 18

static struct bpf_tc_hook side_of(unsigned ifindex, enum hook hook)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = ifindex,
		.attach_point = hook == HOOK_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
}

/* The priority our handle sits at and the program it runs; 0 when it is nowhere. */
static unsigned find_priority(unsigned ifindex, enum hook side, __u32 *program)
{
	struct bpf_tc_hook hook = side_of(ifindex, side);

	for (unsigned priority = PRIORITY_FIRST; priority <= PRIORITY_LAST; priority++) {
		LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = priority);

		if (!bpf_tc_query(&hook, &options)) {
			*program = options.prog_id;
			return priority;
		}
	}
	return 0;
}

int clsact_filter_add(unsigned ifindex, enum hook side, int program, bool *made_qdisc)
{
	struct bpf_tc_hook hook = side_of(ifindex, side);
	int error = bpf_tc_hook_create(&hook);
	__u32 there;
	unsigned first = find_priority(ifindex, side, &there), priority = first ?: PRIORITY_FIRST;

	if (error && error != -EEXIST)
		return error;
	*made_qdisc = !error;
	do {
		LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = priority, .prog_fd = program,
			    .flags = first ? BPF_TC_F_REPLACE : 0);

		error = bpf_tc_attach(&hook, &options);
	} while (error && !first && ++priority <= PRIORITY_LAST); /* somebody else's priority: the next one */
	return error;
}

bool clsact_filter_there(unsigned ifindex, enum hook side, __u32 program_id)
{
	__u32 there = 0;

	return find_priority(ifindex, side, &there) && there == program_id;
}

static bool is_filter(const struct nlmsghdr *message, unsigned ifindex)
{
	const struct tcmsg *about = NLMSG_DATA(message);

	return message->nlmsg_type == RTM_NEWTFILTER && about->tcm_ifindex == (int)ifindex;
}

/* Whether anybody has a filter there; true also when the kernel does not say. */
static bool has_filters(unsigned ifindex, __u32 parent)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg about;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_GETTFILTER,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.about = {.tcm_family = AF_UNSPEC, .tcm_ifindex = ifindex, .tcm_parent = parent},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool found = fd < 0 || send(fd, &request, sizeof(request), 0) < 0, done = found;
	char answer[32768] __attribute__((aligned(8)));

	while (!done) {
		int length = recv(fd, answer, sizeof(answer), 0);
		struct nlmsghdr *message = (struct nlmsghdr *)answer;

		found |= length < 0;
		done = length <= 0;
		for (; length > 0 && NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
			found |= is_filter(message, ifindex);
			done |= message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR;
		}
	}
	if (fd >= 0)
		close(fd);
	return found;
}

void clsact_filter_remove(unsigned ifindex, enum hook side, __u32 program_id, bool made_qdisc)
{
	struct bpf_tc_hook hook = side_of(ifindex, side);
	__u32 there = 0;
	unsigned priority = find_priority(ifindex, side, &there);

	if (priority && there == program_id) {
		LIBBPF_OPTS(bpf_tc_opts, options, .handle = HANDLE, .priority = priority);

		bpf_tc_detach(&hook, &options);
	}
	if (!made_qdisc || has_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)) ||
	    has_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)))
		return;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}
