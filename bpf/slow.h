/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Slow senders (`idle-request: 30s`): whether a limit of its service ends an open connection that the daemon has found
 * slow. A syscall program, run by the daemon: no packet meets any of this. It may not ask for the clock of the
 * packet path, which is the monotonic one as of the last tick.
 */
#ifndef BULWARK_SLOW_H
#define BULWARK_SLOW_H

struct slow_portion {
	struct slow_found *found;
	__u32 only_counts;
};

/* Trusted sources, health checks and exceptions have no limits; else the service, as it is now, and the lists that the
 * source is in. */
static __always_inline const struct service_entry *slow_service(struct packet *pkt, __u64 *lists)
{
	const struct service_entry *service;
	const struct class_entry *class;
	int attacked;
	__u64 now;

	service = service_of(&pkt->flow, &pkt->service);
	if (!service)
		return NULL;
	pkt->class = class_of(&pkt->flow.source, pkt->flow.ipv6);
	class = class_at(pkt->class, pkt->flow.zone);
	if (class) {
		*lists = class->lists;
		if (class->flags & (CLASS_TRUSTED | CLASS_HEALTH_CHECK))
			return NULL;
	}
	if (held(&pkt->flow.source) == HELD_ALLOWED)
		return NULL;
	if (!constants.profile_shift)
		return service;
	now = bpf_ktime_get_ns();
	attacked = profile_holds(0, now) || profile_holds(service->row, now);
	return attacked ? service_at(pkt->service + constants.profile_shift) : service;
}

/* The first limit that ends it; else the first that would if it did not only monitor. A service for TLS has something
 * to say as soon as it has seen a ClientHello, so there silence of the service says that none is complete. */
static __always_inline enum slow_answer slow_limit(struct packet *pkt, const struct slow_connection *connection)
{
	enum slow_answer answer = SLOW_STAYS;
	const struct service_entry *service;
	__u64 lists = 0, slow_ms;

	service = slow_service(pkt, &lists);
	if (!service)
		return SLOW_STAYS;
	pkt->row = service->row;
	slow_ms = connection->slow_ms;
	if (service->tls && connection->unanswered_ms > slow_ms)
		slow_ms = connection->unanswered_ms;
	for (__u32 i = 0; i < LIMIT_CELLS && i < service->limit_count; i++) {
		__u32 index = service->limits + i;
		const struct limit_entry *limit = bpf_map_lookup_elem(&limits, &index);

		if (!limit || limit->kind != LIMIT_IDLE_REQUEST || slow_ms < limit->most ||
		    !counts_source(limit, lists) || (limit->monitor && answer))
			continue;
		answer = limit->monitor ? SLOW_WOULD_END : SLOW_ENDS;
		pkt->rule = limit->rule;
		if (answer == SLOW_ENDS)
			break;
	}
	return answer;
}

static long judge_slow_one(__u32 index, struct slow_portion *portion)
{
	struct outcome outcome = {.packets = 1, .hook = HOOK_SOCKOPS, .reason = REASON_IDLE_REQUEST};
	struct packet pkt = {.proven = 1};
	struct slow_connection *connection;
	struct flow *flow = &pkt.flow;
	struct telling *mine;
	enum slow_answer answer;

	if (index >= SLOW_FOUND_PORTION)
		return 1;
	connection = &portion->found->items[index];
	flow->protocol = IPPROTO_TCP;
	flow->zone = ZONE_ANY;
	__builtin_memcpy(&flow->source, connection->source, ADDRESS_BYTES);
	__builtin_memcpy(&flow->destination, connection->destination, ADDRESS_BYTES);
	flow->source_port = connection->source_port;
	flow->destination_port = connection->port;
	flow->ipv6 = !is_mapped(&flow->destination);
	answer = slow_limit(&pkt, connection);
	if (answer == SLOW_ENDS && portion->only_counts)
		answer = SLOW_WOULD_END;
	connection->answer = answer;
	if (!answer)
		return 0;
	outcome.verdict = answer == SLOW_ENDS ? VERDICT_DROP : VERDICT_WOULD_DROP;
	outcome.rule = pkt.rule;
	count(&outcome, &pkt);
	mine = telling_of(REASON_IDLE_REQUEST);
	if (mine && within_tick(mine, &outcome))
		tell_unless_lately(&outcome, &pkt, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int judge_slow(struct slow_request *request)
{
	struct slow_portion portion = {.only_counts = request->only_counts};
	__u32 zero = 0;

	request->shortest_ms = constants.idle_request_ms;
	portion.found = bpf_map_lookup_elem(&slow_found, &zero);
	if (request->judge && portion.found)
		bpf_loop(portion.found->count, judge_slow_one, &portion, 0);
	return 0;
}

#endif
