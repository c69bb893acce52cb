/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockops: an accepted socket gets the tag of its service, for the application to read and for its answers to carry;
 * where a policy limits them, open connections are counted (open_counts.h); where it wants it, all of them by service
 * (accounts.h).
 */
#ifndef BULWARK_SOCKOPS_H
#define BULWARK_SOCKOPS_H

#define FAMILY_INET6 10
#define SOL_SOCKET_ 1
#define SO_MARK_ 36

/* A word of the context, by its offset: the kernel takes no access through a changed pointer, and the compiler likes to
 * make one of several. */
#ifdef __bpf__
#define OPS_WORD(ops, field, index)                                                                                    \
	({                                                                                                             \
		__u32 word;                                                                                            \
                                                                                                                       \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                                                  \
			     : "=r"(word)                                                                              \
			     : "r"(ops), "i"(__builtin_offsetof(struct bpf_sock_ops, field) + 4 * (index)));           \
		word;                                                                                                  \
	})
#else /* a fuzzer */
#define OPS_WORD(ops, field, index) ((&(ops)->field)[index])
#endif

/* Both ends as the peer's packets name them. An IPv4 connection to a :: listener is one of IPv4. */
static __always_inline void read_socket(struct bpf_sock_ops *ops, struct flow *flow)
{
	flow->protocol = IPPROTO_TCP;
	flow->zone = ZONE_ANY;
	flow->source_port = bpf_ntohl(OPS_WORD(ops, remote_port, 0));
	flow->destination_port = OPS_WORD(ops, local_port, 0);
	flow->source.word[0] = OPS_WORD(ops, remote_ip6[0], 0);
	flow->source.word[1] = OPS_WORD(ops, remote_ip6[0], 1);
	flow->source.word[2] = OPS_WORD(ops, remote_ip6[0], 2);
	flow->source.word[3] = OPS_WORD(ops, remote_ip6[0], 3);
	flow->destination.word[0] = OPS_WORD(ops, local_ip6[0], 0);
	flow->destination.word[1] = OPS_WORD(ops, local_ip6[0], 1);
	flow->destination.word[2] = OPS_WORD(ops, local_ip6[0], 2);
	flow->destination.word[3] = OPS_WORD(ops, local_ip6[0], 3);
	flow->ipv6 = OPS_WORD(ops, family, 0) == FAMILY_INET6 && !is_mapped(&flow->destination);
	if (flow->ipv6)
		return;
	address_from_v4(&flow->source, OPS_WORD(ops, remote_ip4, 0));
	address_from_v4(&flow->destination, OPS_WORD(ops, local_ip4, 0));
}

#include "accounts.h"

static __always_inline void tag_socket(struct bpf_sock_ops *ops, const struct flow *flow,
				       const struct service_entry *service)
{
	struct bpf_sock *socket = ops->sk;
	__u32 mark;

	if (!service->tag || !socket)
		return;
	mark = tag_merge(socket->mark, tag_bits(service, tag_class_of(source_class(flow), service, 1)));
	/* setting it costs the socket the route that it has looked up */
	if (mark != socket->mark)
		bpf_setsockopt(ops, SOL_SOCKET_, SO_MARK_, &mark, sizeof(mark));
}

/* Before the kernel lets its ends be used again: what XDP has noted of the connection until now is believed no more,
 * nor what it finds while the socket may yet be found. */
static __always_inline void tell_closing(struct bpf_sock_ops *ops)
{
	__u32 word = OPS_WORD(ops, family, 0) == FAMILY_INET6 ? OPS_WORD(ops, remote_ip6[0], 3)
							      : OPS_WORD(ops, remote_ip4, 0);
	__u64 *until = closing_place(word, bpf_ntohl(OPS_WORD(ops, remote_port, 0)), OPS_WORD(ops, local_port, 0));

	if (until)
		*until = bpf_jiffies64() + CLOSING_TICKS;
}

/* Whether what closes is a connection that was established: not a listener, nor one that never was.
 * (Established to last acknowledgement and closing, without the states of handshake, TIME_WAIT and closed.) */
#define STATES_OPEN (1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11)
static __always_inline int socket_closes(struct bpf_sock_ops *ops)
{
	__u32 from = OPS_WORD(ops, args[0], 0);

	return from < 32 && 1u << from & STATES_OPEN;
}

/* A client's handshake is complete. */
static __always_inline void socket_opens(struct bpf_sock_ops *ops)
{
	const struct service_entry *service;
	struct flow flow = {};
	__u16 index;

	read_socket(ops, &flow);
	service = service_of(&flow, &index);
	if (!service)
		return;
	if (constants.have_tags)
		tag_socket(ops, &flow, service);
	if (constants.have_open)
		count_open(&flow, service, OPEN_STEP_UP);
	if (constants.have_accounts)
		account_open(ops, service->row);
	/* its end is told to whoever asks for the callback; what other programs asked for stays */
	if (hears_closings())
		bpf_sock_ops_cb_flags_set(ops, OPS_WORD(ops, bpf_sock_ops_cb_flags, 0) | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Of a socket that closes. */
static __always_inline void socket_ends(struct bpf_sock_ops *ops)
{
	struct flow flow = {};
	__u16 index;

	if (asks_beginnings())
		tell_closing(ops);
	if (!socket_closes(ops))
		return;
	if (constants.have_open) {
		read_socket(ops, &flow);
		count_open(&flow, service_of(&flow, &index), OPEN_STEP_DOWN);
	}
	if (constants.have_accounts)
		account_close(ops);
}

/* One cgroup holds the sockets of many network namespaces: only those of this instance's are its business. */
static __always_inline int judge_socket(struct bpf_sock_ops *ops)
{
	__u32 what = ops->op;

	/* the root program lets others pass by (root.bpf.c) */
	if (what != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && what != BPF_SOCK_OPS_STATE_CB)
		return 1;
	if ((!constants.have_tags && !constants.have_open && !constants.have_accounts) || constants.offline ||
	    bpf_get_netns_cookie(ops) != constants.netns_cookie)
		return 1;
	if (what == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		socket_opens(ops);
	else if (hears_closings() && OPS_WORD(ops, args[0], 1) == TCP_STATE_CLOSE)
		socket_ends(ops);
	return 1;
}

#endif
