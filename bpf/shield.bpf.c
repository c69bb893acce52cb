/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A generation's programs: what happens to a packet. The order of judgement is a contract (the man page
 * bulwark-policy(5)); each step is one question in one file, and every packet leaves through conclude() with exactly
 * one reason.
 */
#include "state.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "generation.bpf.h"
#include "packet.h"
#include "parse.h"
#include "floor.h"
#include "lookup.h"
#include "zones.h"
#include "hash.h"
#include "lines.h"
#include "budget.h"
#include "flows.h"
#include "holds.h"
#include "options.h"
#include "cookies.h"
#include "services.h"
#include "open_lately.h"
#include "connections.h"
#include "profile.h"
#include "icmp.h"
#include "sources.h"
#include "amplification.h"
#include "exposure.h"
#include "quic.h"
#include "arming.h"
#include "tell.h"
#include "at_once.h"
#include "open_counts.h"
#include "limits.h"
#include "floor_meter.h"
#include "overload.h"
#include "challenge.h"
#include "skb.h"
#include "routed.h"
#include "recount.h"
#include "decrypted.h"
#include "bans.h"
#include "tags.h"
#include "stream.h"
#include "gather.h"
#include "proxied.h"
#include "tls.h"
#include "egress.h"
#include "http.h"
#include "ingress.h"
#include "handover.h"
#include "sockops.h"
#include "slow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static const __u8 usual_verdict[REASON_SLOTS] = {
#define REASON(symbol, name, verdict, sentence) [REASON_##symbol] = VERDICT_##verdict,
#include "reasons.def"
#undef REASON
};

/* A frame that is replied to has become the answer (challenge.h). */
static __always_inline int action_of(__u8 verdict)
{
	return verdict == VERDICT_PASS ? XDP_PASS : verdict == VERDICT_REPLY ? XDP_TX : XDP_DROP;
}

/* A parse that failed may pass where the policy says so; what lies is dropped all the same. */
static __always_inline void unparsed(struct packet *pkt, enum reason why)
{
	if (why != REASON_UNPARSED_VLAN && why != REASON_UNPARSED_EXTENSION)
		return;
	pkt->rule = RULE_UNPARSED;
	pkt->pass_anyway = constants.unparsed_pass;
}

static __always_inline void decide_offline(const struct packet *pkt, const struct outcome *outcome)
{
	decision.verdict = outcome->verdict;
	decision.reason = outcome->reason;
	decision.would = pkt->would;
	decision.rule = outcome->rule;
	decision.would_rule = pkt->would_rule;
	decision.service = pkt->service;
	decide_packet(pkt);
	decision.open_before = pkt->open_before;
}

static __always_inline void count_would(struct outcome outcome, const struct packet *pkt)
{
	outcome.verdict = VERDICT_WOULD_DROP;
	outcome.reason = pkt->would;
	outcome.rule = pkt->would_rule;
	count(&outcome, pkt);
	tell(&outcome, pkt);
}

/* The one exit of every judged packet. */
static __always_inline int conclude(struct xdp_md *ctx, struct packet *pkt, enum reason why)
{
	__u32 ifindex = ctx->ingress_ifindex;
	const struct interface_entry *interface = interface_find(ifindex);
	struct outcome outcome = {.ifindex = ifindex, .hook = HOOK_XDP, .reason = why, .rule = pkt->rule};

	outcome.verdict = why < REASON_SLOTS ? usual_verdict[why] : VERDICT_DROP;
	if (outcome.verdict == VERDICT_DROP && pkt->pass_anyway)
		outcome.verdict = VERDICT_PASS;
	if (constants.monitor && outcome.verdict == VERDICT_DROP) {
		would_drop(pkt, why, pkt->rule);
		outcome.verdict = VERDICT_PASS;
		outcome.reason = REASON_MONITORED;
		outcome.rule = RULE_MONITOR;
	}
	if (pkt->fragment == FRAGMENT_FIRST && outcome.verdict == VERDICT_PASS)
		fragment_note(pkt);
	if (constants.offline) {
		decide_offline(pkt, &outcome);
		return action_of(outcome.verdict);
	}
	outcome.row = interface_row(interface, ifindex);
	outcome.packets = segments(interface, pkt->length);
	count(&outcome, pkt);
	if (pkt->would)
		count_would(outcome, pkt);
	tell(&outcome, pkt);
	if (outcome.verdict == VERDICT_PASS && carries_services())
		tag_packet(ctx, pkt);
	return action_of(outcome.verdict);
}

/* A function of its own: its stack must not add to that of the questions. */
__noinline int note_handshake(struct xdp_md *ctx, struct packet *pkt)
{
	if (!pkt || !is_proof(ctx, pkt))
		return 0;
	/* its first data may come before the kernel has seen it, and is no second handshake */
	pkt->completed = (pkt->tcp_flags & ~(TCP_ECE | TCP_CWR)) == TCP_ACK && pkt->l4_length <= TCP_HEADER_MOST;
	return known_note(pkt);
}

/* What a service bears: limits, and whom they ban; SYN cookies. lists: those that the source is in. */
static __always_inline enum reason judge_load(struct xdp_md *ctx, struct packet *pkt, enum reason why, __u64 lists,
					      const struct open_flow *noted)
{
	if (constants.cookies.format && why == REASON_ESTABLISHED && pkt->completes)
		note_handshake(ctx, pkt);
	if (constants.cookies.format && constants.cookies_bounded && why == REASON_SERVICE &&
	    pkt->flow.protocol == IPPROTO_TCP && !may_be_answered(ctx, pkt))
		return REASON_SYN_OVERLOAD;
	if (constants.have_limits && (why == REASON_SERVICE || why == REASON_ESTABLISHED))
		why = judge_rates(ctx, pkt, lists, noted ? noted->source_hash : 0) ?: why;
	if (constants.have_bans && pkt->offence)
		judge_offence(ctx, pkt, why);
	if (constants.cookies.format && why == REASON_SERVICE && pkt->flow.protocol == IPPROTO_TCP)
		why = judge_challenge(ctx, pkt);
	if (pkt->flow.protocol == IPPROTO_TCP && (why == REASON_SERVICE || why == REASON_SYN_COOKIE))
		forget_open(ctx, &pkt->flow);
	return why;
}

/* What passes inside a connection to a service behind this host, where open ones are counted. */
static __always_inline enum reason follow(const struct packet *pkt, enum reason why)
{
	if (counts_routed() && pkt->forwarded && pkt->proven && (why == REASON_ESTABLISHED || constants.monitor) &&
	    (pkt->follow || pkt->tcp_flags & (TCP_FIN | TCP_RST)))
		count_routed(pkt, follow_client(pkt));
	return why;
}

/* What lies, and what the host cannot live without, as much of it as one neighbour needs to send. A usual frame is
 * neither. */
static __always_inline enum reason judge_headers(struct xdp_md *ctx, struct packet *pkt)
{
	enum reason why = parse_unusual(ctx, pkt);

	if (why)
		unparsed(pkt, why);
	else
		why = judge_floor(pkt);
	if (why == REASON_FLOOR && !floor_takes(ctx, pkt))
		return REASON_FLOOR_RATE;
	return why ? why : judge_addresses(&pkt->flow);
}

/* The order of judgement, a question after the other. */
static __always_inline enum reason judge(struct xdp_md *ctx, struct packet *pkt, const struct early *early)
{
	enum reason why = REASON_NONE, source;
	const struct open_flow *noted;
	__u64 lists = 0;

	if (early->eth)
		parse_usual(early->eth, pkt);
	else
		why = judge_headers(ctx, pkt);
	if (why)
		return why;
	if (constants.have_zones) /* or else nobody asks which interface this is */
		pkt->flow.zone = zone_of(ctx->ingress_ifindex, pkt->vlan);
	noted = noted_flow(ctx, pkt);
	source = judge_source(ctx, pkt, early, noted, &lists);
	if (source_decides(pkt, source))
		return source;
	why = judge_exposure(ctx, pkt, lists, noted);
	if (why == REASON_NONE)
		why = judge_icmp(ctx, pkt);
	if (constants.have_health_checks && pkt->checks && source != REASON_ALLOWED) {
		source = judge_health_check(pkt, source, why);
		if (source)
			return source;
	}
	if (constants.have_quic && why == REASON_SERVICE)
		why = judge_quic(ctx, pkt);
	/* an exception is one from bans, blocks and limits, not from exposure; it names the pass of a service */
	if (source == REASON_ALLOWED)
		return follow(pkt, why == REASON_SERVICE ? REASON_ALLOWED : why);
	return follow(pkt, judge_load(ctx, pkt, why, lists, noted));
}

/* The long way: all that is known of a packet is gathered, and one question after the other asked. */
static __always_inline int judge_all(struct xdp_md *ctx, const struct early *early)
{
	struct packet pkt = {.length = ctx->data_end - ctx->data};

	return conclude(ctx, &pkt, judge(ctx, &pkt, early));
}

SEC("xdp.frags")
int shield(struct xdp_md *ctx)
{
	struct early early; /* not set as a whole, or each way out of is_usual() does it again */
	enum reason why;

	early.eth = NULL;
	early.hold = HELD_UNKNOWN;
	why = judge_early(ctx, &early);
	if (constants.offline)
		decision.early = why;
	else if (why && refuse_at_once(ctx, why))
		return XDP_DROP;
	return judge_all(ctx, &early);
}

SEC("tc")
int egress(struct __sk_buff *skb)
{
	return judge_egress(skb);
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	if (goes_on(skb))
		return TCX_NEXT;
	take_cookie(skb);
	return carries_services() || constants.decrypts ? judge_ingress(skb) : TCX_NEXT;
}

SEC("sockops")
int sockets(struct bpf_sock_ops *ops)
{
	return judge_socket(ops);
}

/*
 * In the place of the two above where the policy asks nothing else of them (generation_programs() says where): before
 * 6.8 the verifier reads every function that a program could call, which takes it longer than all the rest.
 */
SEC("tc")
int ingress_cookies(struct __sk_buff *skb)
{
	take_cookie(skb);
	return TCX_NEXT;
}

SEC("sockops")
int sockets_idle(__attribute__((unused)) struct bpf_sock_ops *ops)
{
	return 1;
}

SEC("syscall")
int recount(struct recount_request *request)
{
	return constants.have_open ? judge_recount(request) : 1;
}

SEC("syscall")
int slow(struct slow_request *request)
{
	return constants.idle_request_ms ? judge_slow(request) : 1;
}
