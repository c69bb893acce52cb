/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Netlink dumps, without a cache: a router's million routes pass by one at a time. */
#include <arpa/inet.h>
#include <errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host_parts.h"

#define ASKED_MAX 8 /* times: a host that never stands still for one dump is described as well as can be */

struct dump {
	int (*heard)(const struct nlmsghdr *message, void *arg);
	void *arg;
	int result; /* of heard(), the first that failed */
};

static int on_message(struct nl_msg *message, void *arg)
{
	struct dump *dump = arg;

	dump->result = dump->heard(nlmsg_hdr(message), dump->arg);
	return dump->result ? NL_STOP : NL_OK;
}

static int on_error(struct sockaddr_nl *peer, struct nlmsgerr *error, void *arg)
{
	struct dump *dump = arg;

	(void)peer;
	dump->result = error->error;
	return NL_STOP;
}

/* 1: the kernel calls it inconsistent: what was dumped changed meanwhile, and something may be missing or twice. */
static int dump_over(struct nl_sock *socket, int type, const void *body, size_t body_size, struct dump *dump)
{
	int error;

	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, dump);
	nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, on_error, dump);
	nl_socket_disable_seq_check(socket);
	nl_socket_set_msg_buf_size(socket, 1 << 16);
	error = nl_send_simple(socket, type, NLM_F_DUMP, (void *)body, body_size);
	if (error < 0)
		return -EIO;
	error = nl_recvmsgs_default(socket);
	if (dump->result)
		return dump->result;
	if (error == -NLE_DUMP_INTR)
		return 1;
	return error < 0 ? -EIO : 0;
}

static int dump_once(int protocol, int type, const void *body, size_t body_size,
		     int (*heard)(const struct nlmsghdr *message, void *arg), void *arg)
{
	struct dump dump = {.heard = heard, .arg = arg};
	struct nl_sock *socket = nl_socket_alloc();
	int error;

	if (!socket)
		return -ENOMEM;
	error = nl_connect(socket, protocol) < 0 ? -errno : 0;
	if (!error)
		error = dump_over(socket, type, body, body_size, &dump);
	nl_socket_free(socket);
	return error;
}

/* A dump that is inconsistent is still the best answer there is. */
int netlink_dump(int protocol, int type, const void *body, size_t body_size,
		 int (*heard)(const struct nlmsghdr *message, void *arg), void *arg)
{
	int error = dump_once(protocol, type, body, body_size, heard, arg);

	return error > 0 ? 0 : error;
}

int netlink_dump_whole(int protocol, int type, const void *body, size_t body_size,
		       int (*heard)(const struct nlmsghdr *message, void *arg), void (*forget)(void *arg), void *arg)
{
	int error = 1;

	for (int asked = 0; error > 0 && asked < ASKED_MAX; asked++) {
		if (asked)
			forget(arg);
		error = dump_once(protocol, type, body, body_size, heard, arg);
	}
	return error > 0 ? 0 : error;
}

int netlink_do(int protocol, int type, const void *body, size_t body_size)
{
	struct dump answer = {};
	struct nl_sock *socket = nl_socket_alloc();
	int error;

	if (!socket)
		return -ENOMEM;
	error = nl_connect(socket, protocol) < 0 ? -errno : 0;
	if (!error) {
		nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, on_error, &answer);
		error = nl_send_simple(socket, type, NLM_F_ACK, (void *)body, body_size) < 0 ? -EIO : 0;
	}
	if (!error && nl_wait_for_ack(socket) < 0)
		error = answer.result ?: -EIO;
	nl_socket_free(socket);
	return error;
}

int host_grow(void *array, size_t count, size_t *capacity, size_t item_size)
{
	void **items = array;
	size_t wanted = *capacity ? *capacity * 2 : 16;
	void *larger;

	if (count < *capacity)
		return 0;
	larger = reallocarray(*items, wanted, item_size);
	if (!larger)
		return -ENOMEM;
	*items = larger;
	*capacity = wanted;
	return 0;
}

int host_prefix_note(struct prefix **prefixes, size_t *count, const struct prefix *prefix)
{
	struct prefix *larger;

	for (size_t i = 0; i < *count; i++)
		if (!memcmp(&(*prefixes)[i], prefix, sizeof(*prefix)))
			return 0;
	larger = reallocarray(*prefixes, *count + 1, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	larger[(*count)++] = *prefix;
	*prefixes = larger;
	return 0;
}

void host_prefix_from(struct prefix *prefix, int family, const void *address, unsigned length)
{
	memset(prefix, 0, sizeof(*prefix));
	if (family == AF_INET) {
		prefix->address[10] = prefix->address[11] = 0xff;
		memcpy(prefix->address + 12, address, 4);
		length += 96;
	} else {
		memcpy(prefix->address, address, 16);
	}
	prefix->length = length > 128 ? 128 : length;
	for (unsigned bit = prefix->length; bit < 128; bit++)
		prefix->address[bit / 8] &= ~(0x80 >> (bit % 8));
}
