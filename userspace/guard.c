/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lock-out guard: before a policy goes live, those whom this host depends on and those who are connected now are
 * tried through the real program. Gateways, resolvers and own addresses are tried by an answer to something this host
 * asked them; connections by a segment of theirs, and by the SYN of their next one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "packet_flow.h"
#include "zones.h"

/* Trials do not use up each other's budgets. */
#define BETWEEN_TRIALS_NS (1ULL * 1000000000)
#define ASKING_PORT 40000

struct guard {
	const struct host *host;
	const struct zone_member *zones;
	size_t zone_count;
	struct generation *offline;
	__u64 now;
	struct guard_finding *findings;
	size_t count, capacity;
};

struct end { /* as packet text names it */
	char text[INET6_ADDRSTRLEN + 2 + 6];
};

static bool is_v4(const __u8 address[16])
{
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(address, mapped, 12);
}

static bool is_loopback(const __u8 address[16])
{
	static const __u8 one[16] = {[15] = 1};

	return is_v4(address) ? address[12] == 127 : !memcmp(address, one, 16);
}

static struct end end_of(const __u8 address[16], unsigned port)
{
	bool v4 = is_v4(address);
	char text[INET6_ADDRSTRLEN] = "";
	struct end end;

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, text, sizeof(text));
	snprintf(end.text, sizeof(end.text), v4 ? "%s:%u" : "[%s]:%u", text, port);
	return end;
}

static int make_frame(struct frame *frame, const char *protocol, struct end from, struct end to, const char *words)
{
	char text[256], error[128];
	int err;

	snprintf(text, sizeof(text), "%s %s > %s %s", protocol, from.text, to.text, words);
	err = packet_text(text, frame, error, sizeof(error));
	if (err)
		kernel_say("cannot make the trial packet '%s': %s", text, error);
	return err;
}

static int found(struct guard *guard, const struct guard_finding *finding)
{
	if (guard->count == guard->capacity) {
		size_t capacity = guard->capacity ? guard->capacity * 2 : 16;
		void *findings = reallocarray(guard->findings, capacity, sizeof(*guard->findings));

		if (!findings)
			return -ENOMEM;
		guard->findings = findings;
		guard->capacity = capacity;
	}
	guard->findings[guard->count++] = *finding;
	return 0;
}

/* local: the own address that it is for, which tells by which zone it would come in. */
static int try_frame(struct guard *guard, const struct frame *frame, const __u8 local[16], struct guard_finding finding)
{
	int err;

	guard->now += BETWEEN_TRIALS_NS;
	generation_zone(guard->offline, zone_of_address(guard->host, guard->zones, guard->zone_count, local));
	err = generation_judge(guard->offline, frame->bytes, frame->length, guard->now, &finding.decision);
	if (err || finding.decision.verdict != VERDICT_DROP)
		return err;
	return found(guard, &finding);
}

/* ---- those this host depends on ---- */

/* An own address of the same family, another one where there is one; documentation space where there is none. */
static void local_end(const struct guard *guard, const __u8 address[16], __u8 local[16])
{
	static const __u8 v4[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
	static const __u8 v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	bool have = false;

	memcpy(local, is_v4(address) ? v4 : v6, 16);
	for (size_t i = 0; i < guard->host->address_count; i++) {
		const __u8 *own = guard->host->addresses[i].address.address;

		if (is_v4(own) != is_v4(address) || is_loopback(own))
			continue;
		if (!have || !memcmp(local, address, 16))
			memcpy(local, own, 16);
		have = true;
	}
}

static int try_answer(struct guard *guard, enum guard_who who, const struct prefix *source)
{
	struct guard_finding finding = {.who = who, .source = *source};
	struct frame asked, answer;
	struct decision left;
	struct end here, there = end_of(source->address, 53);
	__u8 local[16];
	int err;

	if (is_loopback(source->address))
		return 0;
	local_end(guard, source->address, local);
	here = end_of(local, ASKING_PORT);
	err = make_frame(&asked, "udp", here, there, "len 32");
	err = err ? err : make_frame(&answer, "udp", there, here, "len 64");
	err = err ? err : generation_sent(guard->offline, asked.bytes, asked.length, guard->now, &left);
	return err ? err : try_frame(guard, &answer, local, finding);
}

static int try_dependencies(struct guard *guard)
{
	const struct host *host = guard->host;
	int err = 0;

	for (size_t i = 0; !err && i < host->gateway_count; i++)
		err = try_answer(guard, GUARD_GATEWAY, &host->gateways[i]);
	for (size_t i = 0; !err && i < host->resolver_count; i++)
		err = try_answer(guard, GUARD_RESOLVER, &host->resolvers[i]);
	for (size_t i = 0; !err && i < host->address_count; i++)
		err = try_answer(guard, GUARD_OWN, &host->addresses[i].address);
	return err;
}

/* ---- those who are connected ---- */

static struct packet_flow flow_of(const struct host_peer *peer)
{
	struct packet_flow flow = {.source_port = peer->remote_port, .destination_port = peer->local_port};

	memcpy(flow.source, peer->remote, 16);
	memcpy(flow.destination, peer->local, 16);
	return flow;
}

static int try_open(struct guard *guard, const struct host_peer *peer, struct guard_finding finding)
{
	struct packet_flow flow = flow_of(peer);
	struct connection_key key;
	struct frame frame;
	int err, closed;

	err = make_frame(&frame, "tcp", end_of(peer->remote, peer->remote_port), end_of(peer->local, peer->local_port),
			 "ack");
	if (err)
		return err;
	packet_connection(&flow, &key);
	err = generation_connection(guard->offline, &key, CONNECTION_OPEN);
	if (err)
		return err;
	finding.open = true;
	err = try_frame(guard, &frame, peer->local, finding);
	closed = generation_connection(guard->offline, &key, CONNECTION_CLOSED);
	return err ? err : closed;
}

static int try_new(struct guard *guard, const struct host_peer *peer, struct guard_finding finding)
{
	struct frame frame;
	int err = make_frame(&frame, "tcp", end_of(peer->remote, peer->remote_port),
			     end_of(peer->local, peer->local_port), "syn");

	return err ? err : try_frame(guard, &frame, peer->local, finding);
}

static int try_peer(struct guard *guard, enum guard_who who, const struct host_peer *peer, size_t more)
{
	struct guard_finding finding = {.who = who, .port = peer->local_port, .more = more};
	size_t before = guard->count;
	int err;

	memcpy(finding.source.address, peer->remote, 16);
	finding.source.length = 128;
	memcpy(finding.local, peer->local, 16);
	finding.remote_port = peer->outbound ? peer->remote_port : 0;
	err = try_open(guard, peer, finding);
	/* whoever would be cut off now need not be told that he cannot come back */
	if (err || peer->outbound || guard->count > before)
		return err;
	return try_new(guard, peer, finding);
}

/* Connections of one source to one port of one address stand together. */
static int by_source_and_port(const void *a, const void *b)
{
	const struct host_peer *x = a, *y = b;
	int order = memcmp(x->remote, y->remote, 16);

	if (order)
		return order;
	if (x->outbound != y->outbound)
		return x->outbound - y->outbound;
	order = memcmp(x->local, y->local, 16); /* a service may be served on one address only */
	if (order)
		return order;
	if (x->outbound) /* its local ports differ by chance; the remote one says what it is */
		return (int)x->remote_port - y->remote_port;
	return (int)x->local_port - y->local_port;
}

static int try_peers(struct guard *guard)
{
	size_t count = guard->host->peer_count;
	struct host_peer *peers = calloc(count + 1, sizeof(*peers));
	int err = 0;

	if (!peers)
		return -ENOMEM;
	if (count)
		memcpy(peers, guard->host->peers, count * sizeof(*peers));
	qsort(peers, count, sizeof(*peers), by_source_and_port);
	for (size_t i = 0, next; !err && i < count; i = next) {
		for (next = i + 1; next < count && !by_source_and_port(&peers[i], &peers[next]);)
			next++;
		err = try_peer(guard, GUARD_PEER, &peers[i], next - i - 1);
	}
	free(peers);
	return err;
}

int guard_try(const struct host *host, const struct zone_member *zones, size_t zone_count, struct generation *offline,
	      struct guard_finding **findings, size_t *count)
{
	struct guard guard = {
		.host = host, .zones = zones, .zone_count = zone_count, .offline = offline, .now = BETWEEN_TRIALS_NS};
	int err = 0;

	*findings = NULL;
	*count = 0;
	if (host->has_operator)
		err = try_peer(&guard, GUARD_OPERATOR, &host->operator, 0);
	err = err ? err : try_dependencies(&guard);
	err = err ? err : try_peers(&guard);
	if (err) {
		free(guard.findings);
		return err;
	}
	*findings = guard.findings;
	*count = guard.count;
	return 0;
}
