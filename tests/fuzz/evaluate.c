/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The order of judgement over a frame that was taken apart, and what is remembered between frames. */
#include "evaluate.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ULL

enum { KINDS_REMEMBERED = 64 };
enum kept { KEPT_FLOW = 1, KEPT_FRAGMENT };

struct kept_entry {
	enum kept kind;
	struct end local, remote;
	unsigned protocol;
	__u32 id;
	__u64 until;
	bool spoken;
};

enum cell { CELL_TRUSTED, CELL_STRAY, CELL_ECHO, CELL_FRAGMENT, CELL_ERROR, CELLS };

struct evaluator {
	const struct policy *policy;
	const struct prefix *own;
	size_t own_count;
	struct kept_entry kept[KINDS_REMEMBERED];
	size_t kept_count;
	struct end open[KINDS_REMEMBERED][2];
	size_t open_count;
	struct {
		__u64 interval, burst, due; /* ns */
	} cells[CELLS];
	__u64 now;
	bool unsure;
};

/* ---- rates: a packet is due every interval, and may come burst ahead of that */

static void cell_set(struct evaluator *evaluator, enum cell cell, __u64 count, __u64 period)
{
	__u64 interval = count ? period / count : 0, packets = interval ? SECOND / interval : 0;

	evaluator->cells[cell].interval = interval;
	evaluator->cells[cell].burst = interval * ((packets < 3 ? 3 : packets) - 1);
}

static bool conforms(struct evaluator *evaluator, enum cell cell)
{
	__u64 due = evaluator->cells[cell].due, now = evaluator->now;

	if (!evaluator->cells[cell].interval || due > now + evaluator->cells[cell].burst)
		return false;
	evaluator->cells[cell].due = (due > now ? due : now) + evaluator->cells[cell].interval;
	return true;
}

struct evaluator *evaluator_new(const struct policy *policy)
{
	struct evaluator *evaluator = calloc(1, sizeof(*evaluator));
	const struct policy_rate *echo = &policy->icmp_echo, *stray = &policy->stray_rate;

	if (!evaluator)
		return NULL;
	evaluator->policy = policy;
	cell_set(evaluator, CELL_TRUSTED, 10000, SECOND);
	cell_set(evaluator, CELL_FRAGMENT, 1000, SECOND);
	cell_set(evaluator, CELL_ERROR, 100, SECOND);
	cell_set(evaluator, CELL_ECHO, echo->given ? echo->count : 100, echo->given ? echo->period_ns : SECOND);
	if (policy->stray == STRAY_RESET)
		cell_set(evaluator, CELL_STRAY, stray->given ? stray->count : 1000,
			 stray->given ? stray->period_ns : SECOND);
	return evaluator;
}

void evaluator_free(struct evaluator *evaluator)
{
	free(evaluator);
}

void evaluator_reset(struct evaluator *evaluator, const struct prefix *own, size_t own_count)
{
	evaluator->own = own;
	evaluator->own_count = own_count;
	evaluator->kept_count = evaluator->open_count = 0;
	for (int i = 0; i < CELLS; i++)
		evaluator->cells[i].due = 0;
}

/* ---- what is remembered */

static bool same_end(const struct end *one, const struct end *other)
{
	return !memcmp(one->address, other->address, 16) && one->port == other->port;
}

static struct kept_entry *kept(struct evaluator *evaluator, const struct kept_entry *like)
{
	for (size_t i = 0; i < evaluator->kept_count; i++) {
		struct kept_entry *entry = &evaluator->kept[i];

		if (entry->kind != like->kind || entry->protocol != like->protocol || entry->id != like->id ||
		    !same_end(&entry->local, &like->local) || !same_end(&entry->remote, &like->remote))
			continue;
		if (entry->until + SECOND > evaluator->now && entry->until < evaluator->now + SECOND)
			evaluator->unsure = true;
		return evaluator->now < entry->until ? entry : NULL;
	}
	return NULL;
}

static void keep(struct evaluator *evaluator, const struct kept_entry *entry)
{
	for (size_t i = 0; i < evaluator->kept_count; i++) {
		struct kept_entry *old = &evaluator->kept[i];

		if (old->kind == entry->kind && old->protocol == entry->protocol && old->id == entry->id &&
		    same_end(&old->local, &entry->local) && same_end(&old->remote, &entry->remote)) {
			*old = *entry;
			return;
		}
	}
	if (evaluator->kept_count < KINDS_REMEMBERED)
		evaluator->kept[evaluator->kept_count++] = *entry;
	else
		evaluator->unsure = true;
}

/* Whether this host asked; from then on both have spoken. Echoes live 30 s all the same. */
static bool asked(struct evaluator *evaluator, unsigned protocol, const struct end *local, const struct end *remote)
{
	struct kept_entry like = {KEPT_FLOW, *local, *remote, protocol, 0, 0, true}, *entry = kept(evaluator, &like);

	if (!entry)
		return false;
	entry->spoken = true;
	entry->until = evaluator->now + (protocol == IPPROTO_UDP ? 120 : 30) * SECOND;
	return true;
}

void evaluate_open(struct evaluator *evaluator, const struct end *one, const struct end *other)
{
	if (evaluator->open_count == KINDS_REMEMBERED)
		return;
	evaluator->open[evaluator->open_count][0] = *one;
	evaluator->open[evaluator->open_count++][1] = *other;
}

static bool is_open(const struct evaluator *evaluator, const struct end *one, const struct end *other)
{
	for (size_t i = 0; i < evaluator->open_count; i++) {
		const struct end *ends = evaluator->open[i];

		if ((same_end(&ends[0], one) && same_end(&ends[1], other)) ||
		    (same_end(&ends[0], other) && same_end(&ends[1], one)))
			return true;
	}
	return false;
}

/* ---- lists and services */

static bool within(const struct prefix *prefix, const __u8 address[16])
{
	for (unsigned bit = 0; bit < prefix->length; bit++) {
		if ((prefix->address[bit / 8] ^ address[bit / 8]) & 0x80 >> bit % 8)
			return false;
	}
	return true;
}

static bool listed(const struct policy *policy, unsigned number, const __u8 address[16])
{
	const struct list *list = &policy->lists[number];

	for (size_t i = 0; i < list->prefix_count; i++) {
		if (within(&list->prefixes[i], address))
			return true;
	}
	return false;
}

static bool listed_in_any(const struct policy *policy, const struct list_uses *uses, const __u8 address[16])
{
	for (size_t i = 0; i < uses->count; i++) {
		if (listed(policy, uses->items[i].list, address))
			return true;
	}
	return false;
}

static bool takes(const struct service *service, unsigned protocol, unsigned port)
{
	bool ported = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;

	for (size_t i = 0; i < service->port_count; i++) {
		const struct port_range *range = &service->ports[i];

		if (range->protocol == protocol &&
		    (!ported || !range->has_ports || (port >= range->first && port <= range->last)))
			return true;
	}
	return false;
}

static const struct service *service_on(const struct policy *policy, unsigned protocol, const struct end *local)
{
	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];

		if (takes(service, protocol, local->port) &&
		    (!service->has_to || listed_in_any(policy, &service->to, local->address)))
			return service;
	}
	return NULL;
}

static bool admits(const struct policy *policy, const struct service *service, const struct taken_apart *packet)
{
	if (!service || (service->ttl && service->ttl != packet->ttl))
		return false;
	return !service->has_allow || listed_in_any(policy, &service->allow, packet->from.address);
}

/* ---- the floor and addresses that cannot be */

static bool link_local(const struct end *end)
{
	return end->address[0] == 0xfe && end->address[1] >= 0x80 && end->address[1] <= 0xbf;
}

static bool unspecified(const struct end *end)
{
	for (int i = 0; i < 16; i++) {
		if (end->address[i])
			return false;
	}
	return true;
}

static enum reason floor_icmp6(const struct taken_apart *packet)
{
	unsigned type = packet->icmp_type;

	if (type == 130 || type == 131 || type == 132 || type == 143) {
		if (packet->ttl == 1 && (link_local(&packet->from) || unspecified(&packet->from)))
			return REASON_FLOOR;
		return REASON_ICMP_TYPE;
	}
	if (type < 133 || type > 137)
		return REASON_NONE;
	if (packet->first_fragment || packet->ttl != 255 || packet->icmp_code)
		return REASON_MALFORMED_ND;
	if ((type == 134 || type == 137) && !link_local(&packet->from))
		return REASON_MALFORMED_ND;
	return REASON_FLOOR;
}

static enum reason the_floor(const struct taken_apart *packet)
{
	unsigned from = packet->from.port, to = packet->to.port;

	if (packet->later_fragment)
		return REASON_NONE;
	if (packet->version == 4) {
		if (packet->protocol == 2 && packet->ttl == 1 && packet->to.address[12] / 16 == 14)
			return REASON_FLOOR;
		return packet->protocol == IPPROTO_UDP && from == 67 && to == 68 ? REASON_FLOOR : REASON_NONE;
	}
	if (packet->protocol == IPPROTO_ICMPV6)
		return floor_icmp6(packet);
	if (packet->protocol == IPPROTO_UDP && from == 547 && to == 546 && link_local(&packet->from))
		return REASON_FLOOR;
	return REASON_NONE;
}

static enum reason addresses4(const struct taken_apart *packet)
{
	const __u8 *from = packet->from.address + 12, *to = packet->to.address + 12;
	static const __u8 nobody[4], everybody[4] = {255, 255, 255, 255};
	bool dhcp = packet->protocol == IPPROTO_UDP && packet->from.port == 68 && packet->to.port == 67 &&
		    !memcmp(from, nobody, 4);

	if ((from[0] == 0 && !dhcp) || from[0] == 127 || (from[0] >= 224 && from[0] <= 239) ||
	    !memcmp(from, everybody, 4))
		return REASON_MALFORMED_SOURCE;
	return to[0] == 0 || to[0] == 127 ? REASON_MALFORMED_DESTINATION : REASON_NONE;
}

/* ::, ::1, ::ffff:0:0/96 */
static bool impossible6(const struct end *end)
{
	static const __u8 mapped[12] = {[10] = 0xff, 0xff}, loopback[16] = {[15] = 1};

	return unspecified(end) || !memcmp(end->address, loopback, 16) || !memcmp(end->address, mapped, 12);
}

static enum reason bad_addresses(const struct taken_apart *packet)
{
	enum reason why = REASON_NONE;

	if (packet->version == 4)
		why = addresses4(packet);
	else if (packet->from.address[0] == 0xff || impossible6(&packet->from))
		why = REASON_MALFORMED_SOURCE;
	else if (impossible6(&packet->to))
		why = REASON_MALFORMED_DESTINATION;
	if (why)
		return why;
	if ((packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) &&
	    same_end(&packet->from, &packet->to))
		return REASON_MALFORMED_LAND;
	return REASON_NONE;
}

/* ---- who sent it */

static bool is_icmp(const struct taken_apart *packet)
{
	return packet->protocol == (packet->version == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static bool opens(const struct taken_apart *packet)
{
	return packet->protocol == IPPROTO_TCP && packet->flags & 2 && !(packet->flags & 16);
}

static bool proven(struct evaluator *evaluator, const struct taken_apart *packet)
{
	if (packet->later_fragment || opens(packet))
		return false;
	if (packet->protocol == IPPROTO_TCP)
		return is_open(evaluator, &packet->from, &packet->to);
	if (packet->protocol == IPPROTO_UDP || is_icmp(packet))
		return asked(evaluator, packet->protocol, &packet->to, &packet->from);
	return false;
}

static enum reason who(struct evaluator *evaluator, const struct taken_apart *packet, struct told *told)
{
	const struct policy *policy = evaluator->policy;
	bool blocked = false;

	if (listed_in_any(policy, &policy->trusted, packet->from.address) &&
	    (proven(evaluator, packet) || conforms(evaluator, CELL_TRUSTED)))
		return REASON_TRUSTED;
	for (size_t i = 0; i < policy->block.count; i++) {
		const struct list_use *use = &policy->block.items[i];

		if (!(use->direction & DIRECTION_IN) || !listed(policy, use->list, packet->from.address))
			continue;
		if (use->monitor || policy->monitor)
			told->would = REASON_BLOCKED;
		else
			blocked = true;
	}
	return blocked ? REASON_BLOCKED : REASON_NONE;
}

/* ---- exposure */

static bool for_others(const struct evaluator *evaluator, const struct taken_apart *packet)
{
	static const __u8 everybody[4] = {255, 255, 255, 255};
	const __u8 *to = packet->to.address;

	if (packet->version == 4 && (to[12] / 16 == 14 || !memcmp(to + 12, everybody, 4)))
		return false;
	if (packet->version == 6 && to[0] == 0xff)
		return false;
	for (size_t i = 0; i < evaluator->own_count; i++) {
		if (!memcmp(evaluator->own[i].address, to, 16))
			return false;
	}
	return evaluator->own_count;
}

static enum reason fragment_of(struct evaluator *evaluator, const struct taken_apart *packet)
{
	struct kept_entry like = {KEPT_FRAGMENT, packet->from, packet->to, 0, packet->fragment_id, 0, false};

	like.local.port = like.remote.port = 0;
	if (kept(evaluator, &like))
		return REASON_FRAGMENT;
	return conforms(evaluator, CELL_FRAGMENT) ? REASON_FRAGMENT_BUDGET : REASON_FRAGMENT_EARLY;
}

/* What an ICMP error quotes: a packet that this host is said to have sent. */
static bool quoted(const struct taken_apart *packet, struct taken_apart *quote)
{
	const __u8 *at = packet->frame + packet->transport + 8;
	size_t left = packet->rest - 8, header = packet->version == 6 ? 40 : 20;

	memset(quote, 0, sizeof(*quote));
	quote->version = packet->version;
	if (left < header || at[0] / 16 != packet->version)
		return false;
	if (packet->version == 6) {
		memcpy(quote->from.address, at + 8, 16);
		memcpy(quote->to.address, at + 24, 16);
		quote->protocol = at[6];
	} else {
		memcpy(quote->from.address, packet->from.address, 12);
		memcpy(quote->from.address + 12, at + 12, 4);
		memcpy(quote->to.address, quote->from.address, 12);
		memcpy(quote->to.address + 12, at + 16, 4);
		quote->protocol = at[9];
		header = at[0] % 16 * 4;
		if (header < 20 || at[6] % 32 || at[7])
			return false;
	}
	if (packet->version == 6 && quote->protocol == 44) {
		if (left < header + 8 || at[header + 2] || at[header + 3] / 8)
			return false;
		quote->protocol = at[header];
		header += 8;
	}
	if (left < header + 8)
		return false;
	at += header;
	quote->from.port = at[0] * 256 + at[1];
	quote->to.port = at[2] * 256 + at[3];
	if (is_icmp(quote))
		quote->from.port = quote->to.port = at[4] * 256 + at[5];
	return true;
}

static enum reason icmp_error(struct evaluator *evaluator, const struct taken_apart *packet)
{
	struct taken_apart quote;

	if (!quoted(packet, &quote))
		return REASON_ICMP_UNRELATED;
	if (quote.protocol == IPPROTO_TCP ? is_open(evaluator, &quote.from, &quote.to)
					  : asked(evaluator, quote.protocol, &quote.from, &quote.to))
		return REASON_ICMP_ERROR;
	if (memcmp(quote.from.address, packet->to.address, 16) ||
	    !service_on(evaluator->policy, quote.protocol, &quote.from))
		return REASON_ICMP_UNRELATED;
	return conforms(evaluator, CELL_ERROR) ? REASON_ICMP_DECLARED : REASON_ICMP_UNRELATED;
}

static enum reason icmp(struct evaluator *evaluator, const struct taken_apart *packet)
{
	unsigned type = packet->icmp_type;
	bool six = packet->version == 6;

	if (type == (six ? 128 : 8))
		return conforms(evaluator, CELL_ECHO) ? REASON_ICMP_ECHO : REASON_ICMP_RATE;
	if (type == (six ? 129 : 0))
		return asked(evaluator, packet->protocol, &packet->to, &packet->from) ? REASON_ANSWER
										      : REASON_ICMP_UNRELATED;
	if (six ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12)
		return icmp_error(evaluator, packet);
	return REASON_ICMP_TYPE;
}

static enum reason for_a_service(struct evaluator *evaluator, const struct taken_apart *packet,
				 const struct service *service, struct told *told)
{
	const struct policy *policy = evaluator->policy;

	if (!service) {
		if (policy->default_pass)
			told->verdict = VERDICT_PASS;
		return REASON_UNEXPOSED;
	}
	if (admits(policy, service, packet))
		return REASON_SERVICE;
	if (!service->monitor && !policy->monitor)
		return REASON_NOT_ALLOWED;
	if (!told->would)
		told->would = REASON_NOT_ALLOWED;
	return REASON_SERVICE;
}

/* ---- QUIC, as RFC 8999, 9000 and 9369 have it */

static bool is_taken(const struct policy_quic *quic, __u32 version)
{
	for (size_t i = 0; i < quic->version_count; i++)
		if (quic->versions[i] == version)
			return true;
	return false;
}

/* Sent by a server, or a client's first packet in a datagram that no server may take. */
static bool quic_is_odd(__u32 version, unsigned first, size_t length)
{
	static const char *const kinds[] = {"initial", "0-rtt", "handshake", "retry"};
	static const char *const kinds_2[] = {"retry", "initial", "0-rtt", "handshake"};
	const char *kind = (version == 1 ? kinds : kinds_2)[(first & 0x30) / 16];

	return !strcmp(kind, "retry") || (!strcmp(kind, "initial") && length < 1200);
}

static enum reason quic_of(const struct taken_apart *packet, const struct policy_quic *quic)
{
	const __u8 *udp = packet->frame + packet->transport, *data = udp + 8;
	size_t length = udp[4] * 256 + udp[5] - 8, there = packet->rest - 8;
	size_t ids[2];
	__u32 version;

	if (!length || !there)
		return REASON_QUIC_MALFORMED;
	if (data[0] < 128)
		return REASON_NONE;
	if (length < 7 || there < 7)
		return REASON_QUIC_MALFORMED;
	ids[0] = data[5];
	if (length < 7 + ids[0] || there < 7 + ids[0])
		return REASON_QUIC_MALFORMED;
	ids[1] = data[6 + ids[0]];
	if (length < 7 + ids[0] + ids[1])
		return REASON_QUIC_MALFORMED;
	version = data[1] * 0x1000000u + data[2] * 0x10000u + data[3] * 0x100u + data[4];
	if (!version || (data[1] % 16 == 10 && data[2] % 16 == 10 && data[3] % 16 == 10 && data[4] % 16 == 10))
		return REASON_QUIC_UNKNOWN;
	if (!is_taken(quic, version))
		return version == 1 || version == 0x6b3343cf ? REASON_QUIC_VERSION : REASON_QUIC_UNKNOWN;
	if (version != 1 && version != 0x6b3343cf)
		return REASON_NONE;
	if (ids[0] > 20 || ids[1] > 20 || quic_is_odd(version, data[0], length))
		return REASON_QUIC_MALFORMED;
	return REASON_NONE;
}

/* Of what the service lets in. */
static enum reason quic(struct evaluator *evaluator, const struct taken_apart *packet, const struct service *service,
			struct told *told)
{
	enum reason why = quic_of(packet, &service->quic);

	if (!why)
		return REASON_SERVICE;
	if (asked(evaluator, packet->protocol, &packet->to, &packet->from))
		return REASON_ANSWER;
	if (!service->quic.monitor && !service->monitor && !evaluator->policy->monitor &&
	    (why != REASON_QUIC_UNKNOWN || service->quic.unknown_drop))
		return why;
	if (!told->would)
		told->would = why;
	return REASON_SERVICE;
}

/* UDP source ports of services that answer more than they are asked. */
static bool amplifies(unsigned port)
{
	static const unsigned ports[] = {17,   19,   53,   69,	  111,	 123,	137,   161,   177,
					 389,  427,  520,  623,	  1434,	 1604,	1900,  3283,  3702,
					 5093, 5353, 5683, 10001, 10074, 11211, 32414, 33848, 37810};

	for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++)
		if (ports[i] == port)
			return true;
	return false;
}

static enum reason datagram(struct evaluator *evaluator, const struct taken_apart *packet,
			    const struct service *service, struct told *told)
{
	const struct policy *policy = evaluator->policy;
	bool reflected = packet->from.port != packet->to.port && amplifies(packet->from.port) &&
			 (!service || (!service->has_allow && packet->from.port < 1024));
	bool admitted = admits(policy, service, packet);

	if ((reflected || !admitted) && asked(evaluator, packet->protocol, &packet->to, &packet->from))
		return REASON_ANSWER;
	if (!reflected || (service && !admitted))
		return for_a_service(evaluator, packet, service, told);
	if (service && (service->monitor || policy->monitor)) {
		if (!told->would)
			told->would = REASON_AMPLIFICATION;
		return REASON_SERVICE;
	}
	if (!service && policy->default_pass)
		told->verdict = VERDICT_PASS;
	return REASON_AMPLIFICATION;
}

static enum reason exposure(struct evaluator *evaluator, const struct taken_apart *packet, struct told *told)
{
	const struct policy *policy = evaluator->policy;
	const struct service *service;

	if (for_others(evaluator, packet) && policy->forward != FORWARD_AS_SERVICES)
		return policy->forward == FORWARD_AS_PASS ? REASON_FORWARDED : REASON_FORWARD_REFUSED;
	if (packet->later_fragment)
		return fragment_of(evaluator, packet);
	if (is_icmp(packet))
		return icmp(evaluator, packet);
	service = service_on(policy, packet->protocol, &packet->to);
	told->service = service ? service->name : NULL;
	if (packet->protocol == IPPROTO_TCP && !opens(packet)) {
		if (is_open(evaluator, &packet->from, &packet->to))
			return service ? REASON_ESTABLISHED : REASON_ANSWER;
		if (policy->stray == STRAY_PASS || conforms(evaluator, CELL_STRAY))
			told->verdict = VERDICT_PASS;
		return REASON_STRAY;
	}
	if (packet->protocol == IPPROTO_UDP) {
		enum reason why = datagram(evaluator, packet, service, told);

		return why == REASON_SERVICE && service->quic.given ? quic(evaluator, packet, service, told) : why;
	}
	return for_a_service(evaluator, packet, service, told);
}

/* ---- all of it, in order */

static enum verdict usual(enum reason reason)
{
	static const enum verdict usual_verdicts[] = {
#define REASON(symbol, name, verdict, sentence) [REASON_##symbol] = VERDICT_##verdict,
#include "../../include/reasons.def"
#undef REASON
	};

	return usual_verdicts[reason];
}

struct told evaluate(struct evaluator *evaluator, const __u8 *frame, size_t length, __u64 now_ns)
{
	struct told told = {.verdict = VERDICT_COUNT};
	struct taken_apart *packet = &told.packet;
	const struct policy *policy = evaluator->policy;
	enum reason why = take_apart(frame, length, packet);

	evaluator->now = now_ns;
	evaluator->unsure = false;
	if ((why == REASON_UNPARSED_VLAN || why == REASON_UNPARSED_EXTENSION) && policy->unparsed_pass)
		told.verdict = VERDICT_PASS;
	if (!why)
		why = the_floor(packet);
	if (!why)
		why = bad_addresses(packet);
	if (!why)
		why = who(evaluator, packet, &told);
	if (!why)
		why = exposure(evaluator, packet, &told);
	told.reason = why;
	if (told.verdict == VERDICT_COUNT)
		told.verdict = usual(why);
	if (told.verdict == VERDICT_DROP && policy->monitor) {
		told.would = told.would ? told.would : why;
		told.verdict = VERDICT_PASS;
		told.reason = REASON_MONITORED;
	}
	if (packet->first_fragment && told.verdict == VERDICT_PASS) {
		struct kept_entry entry = {KEPT_FRAGMENT,	packet->from,	      packet->to, 0,
					   packet->fragment_id, now_ns + 30 * SECOND, false};

		entry.local.port = entry.remote.port = 0;
		if (!kept(evaluator, &entry))
			keep(evaluator, &entry);
	}
	told.unsure = evaluator->unsure;
	return told;
}

/* What leaves is not judged. Questions are remembered; what may be the answer of a service is none. */
bool evaluate_sent(struct evaluator *evaluator, const __u8 *frame, size_t length, __u64 now_ns)
{
	struct kept_entry entry = {.kind = KEPT_FLOW}, *old;
	const struct policy *policy = evaluator->policy;
	struct taken_apart packet;
	const struct service *service;

	evaluator->now = now_ns;
	evaluator->unsure = false;
	if (take_apart(frame, length, &packet))
		return true; /* no host sends it: whatever is remembered of it */
	if (packet.later_fragment)
		return false;
	entry.local = packet.from;
	entry.remote = packet.to;
	entry.protocol = packet.protocol;
	if (packet.protocol == IPPROTO_UDP) {
		bool asks = packet.to.port < 1024 && packet.to.port != packet.from.port && amplifies(packet.to.port);

		service = asks ? NULL : service_on(policy, IPPROTO_UDP, &packet.from);
		if (service && (!service->has_allow || listed_in_any(policy, &service->allow, packet.to.address)))
			return false;
	} else if (!is_icmp(&packet) || packet.icmp_type != (packet.version == 6 ? 128 : 8)) {
		return false;
	}
	old = kept(evaluator, &entry);
	entry.spoken = old && old->spoken;
	entry.until = now_ns + (packet.protocol == IPPROTO_UDP && entry.spoken ? 120 : 30) * SECOND;
	keep(evaluator, &entry);
	return evaluator->unsure;
}
