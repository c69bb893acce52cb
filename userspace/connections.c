/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "connections.h"

#define TIME_WAIT_NS (60ULL * 1000000000) /* as long as Linux keeps a closed connection */

struct connection {
	struct connection_key key;
	bool used;
	__u8 state;	   /* CONNECTION_*, 0: none */
	bool began_inside; /* its first segment in the capture is its SYN */
	__u8 spoke;	   /* bit n: end n sent something other than RST */
	__u8 finished;	   /* bit n: end n sent FIN */
	__u64 ends_ns;	   /* when TIME_WAIT is over; 0: not in it */
};

struct connections {
	struct connection *slots; /* open addressing, at most half full */
	size_t capacity, count;
};

struct connections *connections_new(void)
{
	return calloc(1, sizeof(struct connections));
}

void connections_free(struct connections *connections)
{
	if (connections)
		free(connections->slots);
	free(connections);
}

static struct connection *slot_of(const struct connections *connections, const struct connection_key *key)
{
	size_t at = XXH3_64bits(key, sizeof(*key)) & (connections->capacity - 1);

	while (connections->slots[at].used && memcmp(&connections->slots[at].key, key, sizeof(*key)))
		at = (at + 1) & (connections->capacity - 1);
	return &connections->slots[at];
}

static int grow(struct connections *connections)
{
	struct connections bigger = {.capacity = connections->capacity ? connections->capacity * 2 : 1024};

	bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < connections->capacity; i++) {
		if (connections->slots[i].used)
			*slot_of(&bigger, &connections->slots[i].key) = connections->slots[i];
	}
	bigger.count = connections->count;
	free(connections->slots);
	*connections = bigger;
	return 0;
}

static struct connection *find(const struct connections *connections, const struct connection_key *key)
{
	struct connection *slot;

	if (!connections->count)
		return NULL;
	slot = slot_of(connections, key);
	return slot->used ? slot : NULL;
}

static struct connection *find_or_add(struct connections *connections, const struct connection_key *key, bool *added)
{
	struct connection *slot;

	if (connections->count * 2 >= connections->capacity && grow(connections))
		return NULL;
	slot = slot_of(connections, key);
	*added = !slot->used;
	if (slot->used)
		return slot;
	slot->used = true;
	slot->key = *key;
	connections->count++;
	return slot;
}

static bool is_segment(const struct packet_flow *flow)
{
	return flow->ports && flow->protocol == IPPROTO_TCP;
}

static bool is_syn(const struct packet_flow *flow)
{
	return (flow->tcp_flags & (FLOW_TCP_SYN | FLOW_TCP_ACK)) == FLOW_TCP_SYN;
}

int connections_foresee(struct connections *connections, const struct packet_flow *flow)
{
	struct connection_key key;
	struct connection *connection;
	bool added, second;

	if (!is_segment(flow))
		return 0;
	second = packet_connection(flow, &key);
	connection = find_or_add(connections, &key, &added);
	if (!connection)
		return -ENOMEM;
	if (added)
		connection->began_inside = is_syn(flow);
	if (!(flow->tcp_flags & FLOW_TCP_RST))
		connection->spoke |= 1 << second;
	return 0;
}

static int set_state(struct generation *generation, struct connection *connection, __u8 state)
{
	if (connection->state == state)
		return 0;
	connection->state = state;
	return generation_connection(generation, &connection->key, state);
}

int connections_seed(struct connections *connections, struct generation *generation, size_t *count)
{
	int err = 0;

	*count = 0;
	for (size_t i = 0; !err && i < connections->capacity; i++) {
		struct connection *connection = &connections->slots[i];

		if (!connection->used || connection->began_inside || connection->spoke != 3)
			continue;
		err = set_state(generation, connection, CONNECTION_OPEN_BEFORE);
		(*count)++;
	}
	return err;
}

int connections_open(struct connections *connections, struct generation *generation, const struct packet_flow *flow)
{
	struct connection_key key;
	struct connection *connection;
	bool added;

	if (!is_segment(flow))
		return 0;
	packet_connection(flow, &key);
	connection = find_or_add(connections, &key, &added);
	return connection ? set_state(generation, connection, CONNECTION_OPEN) : -ENOMEM;
}

int connections_forget(struct connections *connections, struct generation *generation)
{
	int err = 0;

	for (size_t i = 0; !err && i < connections->capacity; i++) {
		if (connections->slots[i].used && connections->slots[i].state)
			err = set_state(generation, &connections->slots[i], CONNECTION_CLOSED);
	}
	return err;
}

int connections_before(struct connections *connections, struct generation *generation, const struct packet_flow *flow,
		       __u64 now_ns)
{
	struct connection_key key;
	struct connection *connection;

	if (!is_segment(flow))
		return 0;
	packet_connection(flow, &key);
	connection = find(connections, &key);
	if (!connection || !connection->ends_ns || (now_ns < connection->ends_ns && !is_syn(flow)))
		return 0;
	connection->ends_ns = 0;
	return set_state(generation, connection, CONNECTION_CLOSED);
}

static int begin(struct generation *generation, struct connection *connection)
{
	if (connection->state && connection->state != CONNECTION_CLOSED)
		return 0;
	connection->finished = 0;
	connection->ends_ns = 0;
	return set_state(generation, connection, CONNECTION_HALF_OPEN);
}

int connections_after(struct connections *connections, struct generation *generation, const struct packet_flow *flow,
		      __u64 now_ns)
{
	struct connection_key key;
	struct connection *connection;
	bool added, second;

	if (!is_segment(flow))
		return 0;
	second = packet_connection(flow, &key);
	if (is_syn(flow)) {
		connection = find_or_add(connections, &key, &added);
		return connection ? begin(generation, connection) : -ENOMEM;
	}
	connection = find(connections, &key);
	if (!connection || !connection->state || connection->state == CONNECTION_CLOSED)
		return 0;
	if (flow->tcp_flags & FLOW_TCP_RST) {
		connection->ends_ns = 0;
		return set_state(generation, connection, CONNECTION_CLOSED);
	}
	if (flow->tcp_flags & FLOW_TCP_FIN)
		connection->finished |= 1 << second;
	if (connection->finished == 3 && !connection->ends_ns) {
		connection->ends_ns = now_ns + TIME_WAIT_NS;
		return set_state(generation, connection, CONNECTION_TIME_WAIT);
	}
	if (connection->state == CONNECTION_HALF_OPEN && !(flow->tcp_flags & FLOW_TCP_SYN))
		return set_state(generation, connection, CONNECTION_OPEN);
	return 0;
}
