/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One packet as a line, as an answer with its reason in words, or as a JSON object. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

static bool all_zero(const __u8 address[16])
{
	static const __u8 zero[16];

	return !memcmp(address, zero, 16);
}

static const char *address_text(const __u8 address[16], char buffer[PREFIX_TEXT])
{
	struct prefix prefix = {.length = 128};

	memcpy(prefix.address, address, 16);
	return prefix_text(&prefix, buffer);
}

/* The section of the packet's path that decided. */
const char *explain_path(const struct decision *decision)
{
	return decision->hook == HOOK_XDP ? "xdp" : "tc";
}

/* No cookie is made here, nor checked. */
const char *explain_verdict(unsigned verdict)
{
	return verdict == VERDICT_REPLY ? "would-challenge" : verdict_name(verdict);
}

const char *explain_source(const struct explained *packet, char buffer[PREFIX_TEXT])
{
	const struct decision *decision = &packet->decision;

	if (packet->fate != FATE_JUDGED)
		return packet->flow.ip ? address_text(packet->flow.source, buffer) : NULL;
	if (all_zero(decision->source) && !decision->ipv6)
		return NULL;
	return address_text(decision->source, buffer);
}

static const char *service_of(const struct explain *explain, const struct decision *decision)
{
	if (!decision->service || decision->service >= explain->image.service_count)
		return NULL;
	return explain->image.service_names[decision->service];
}

static const char *place_of(const struct explain *explain, unsigned rule)
{
	return rule && rule < explain->image.rule_count ? explain->image.rules[rule].place : NULL;
}

/* ---- JSON ---- */

static void print_object(const struct explain *explain, const struct explained *packet)
{
	const struct decision *decision = &packet->decision;
	bool judged = packet->fate == FATE_JUDGED;
	const char *verdict = judged ? explain_verdict(decision->verdict) : packet->fate == FATE_SENT ? "sent" : NULL;
	char source[PREFIX_TEXT];
	json_t *object;

	object = json_pack("{s:I, s:s?, s:s?, s:s?, s:s?, s:s?}", "n", (json_int_t)packet->number, "verdict", verdict,
			   "reason", judged ? reason_name(decision->reason) : NULL, "service",
			   judged ? service_of(explain, decision) : NULL, "source", explain_source(packet, source),
			   "rule", judged ? place_of(explain, decision->rule) : NULL);
	if (packet->fate != FATE_CUT_OFF && decision->would) {
		const char *place = place_of(explain, decision->would_rule);

		json_object_set_new(object, "would-drop", json_string(reason_name(decision->would)));
		json_object_set_new(object, "would-drop-rule", place ? json_string(place) : json_null());
	}
	if (judged && packet->sent)
		json_object_set_new(object, "sent", json_true());
	if (judged)
		json_object_set_new(object, "path", json_string(explain_path(decision)));
	if (judged && decision->open_before)
		json_object_set_new(object, "open-before", json_true());
	if (packet->truncated)
		json_object_set_new(object, "truncated", json_true());
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* ---- lines ---- */

static const char *protocol_text(const struct packet_flow *flow, char *buffer, size_t size)
{
	switch (flow->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	case IPPROTO_SCTP:
		return "sctp";
	default:
		snprintf(buffer, size, "ip/%u", flow->protocol);
		return buffer;
	}
}

static void flags_text(__u8 flags, char *buffer, size_t size)
{
	static const char *const names[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
	size_t used = 0;

	*buffer = '\0';
	for (unsigned i = 0; i < 8 && used < size; i++) {
		if (flags >> i & 1)
			used += snprintf(buffer + used, size - used, "%s%s", used ? "," : " ", names[i]);
	}
}

/* "tcp 45.33.1.5:4000 > 192.0.2.10:443 syn" */
static void flow_text(const struct packet_flow *flow, char *buffer, size_t size)
{
	char source[PREFIX_TEXT], destination[PREFIX_TEXT], protocol[16], flags[48] = "";

	if (!flow->ip) {
		snprintf(buffer, size, "not IP, or no whole IP header");
		return;
	}
	address_text(flow->source, source);
	address_text(flow->destination, destination);
	if (flow->ports && flow->protocol == IPPROTO_TCP)
		flags_text(flow->tcp_flags, flags, sizeof(flags));
	if (flow->ports)
		snprintf(buffer, size, flow->ipv6 ? "%s [%s]:%u > [%s]:%u%s" : "%s %s:%u > %s:%u%s",
			 protocol_text(flow, protocol, sizeof(protocol)), source, flow->source_port, destination,
			 flow->destination_port, flags);
	else
		snprintf(buffer, size, "%s %s > %s%s", protocol_text(flow, protocol, sizeof(protocol)), source,
			 destination, flow->later_fragment ? " (later fragment)" : "");
}

/* Line `number` of a file that a place names, without its indent; empty when it cannot be read any more. */
static void print_policy_line(const char *place)
{
	const char *colon = strrchr(place, ':');
	char *path = colon ? strndup(place, colon - place) : NULL, *line = NULL;
	FILE *file = path ? fopen(path, "re") : NULL;
	long number = colon ? strtol(colon + 1, NULL, 10) : 0;
	size_t size = 0;

	for (long i = 0; file && i < number; i++) {
		if (getline(&line, &size, file) < 0) {
			number = 0;
			break;
		}
	}
	if (file && number > 0 && line)
		printf("      %s%s", line + strspn(line, " \t"), strchr(line, '\n') ? "" : "\n");
	if (file)
		fclose(file);
	free(line);
	free(path);
}

static void print_rule(const struct explain *explain, const char *what, unsigned rule)
{
	const char *place = place_of(explain, rule);
	char text[512];

	if (!rule)
		return;
	printf("  %s %s\n", what, rule_text(&explain->image, rule, text, sizeof(text)));
	if (place && explain->line_places)
		place = explain->line_places[rule];
	if (place)
		print_policy_line(place);
}

/* The long answer, for packets given one by one. */
static void print_answer(const struct explain *explain, const struct explained *packet)
{
	const struct decision *decision = &packet->decision;
	const char *service = service_of(explain, decision);

	printf("%s\n", packet->text);
	if (packet->fate == FATE_SENT)
		printf("  sent by this host: leaves, and its answer would be known\n");
	else
		printf("  %s at %s, %s: %s\n", explain_verdict(decision->verdict), explain_path(decision),
		       reason_name(decision->reason), reason_sentence(decision->reason));
	if (service)
		printf("  service %s\n", service);
	print_rule(explain, "by", decision->rule);
	if (decision->would) {
		printf("  would drop, %s: %s\n", reason_name(decision->would), reason_sentence(decision->would));
		print_rule(explain, "if it were enforced, by", decision->would_rule);
	}
}

static void print_line(const struct explain *explain, const struct explained *packet)
{
	const struct decision *decision = &packet->decision;
	const char *verdict = explain_verdict(decision->verdict), *reason = reason_name(decision->reason);
	const char *service = service_of(explain, decision), *place = place_of(explain, decision->rule);
	double seconds = (packet->time_ns - explain->first_ns) / 1e9;
	char flow[256];

	flow_text(&packet->flow, flow, sizeof(flow));
	if (packet->fate != FATE_JUDGED) {
		verdict = packet->fate == FATE_SENT ? "sent" : "-";
		reason = packet->fate == FATE_SENT ? "" : "cut off in the capture";
		service = place = NULL;
	}
	printf("%6llu %11.6f  %-5s %-20s %s", packet->number, seconds, verdict, reason, flow);
	if (packet->fate == FATE_JUDGED && decision->hook != HOOK_XDP)
		fputs("  at tc", stdout);
	if (service)
		printf("  service %s", service);
	if (place)
		printf("  %s", place);
	if (packet->fate != FATE_CUT_OFF && decision->would)
		printf("  would drop: %s", reason_name(decision->would));
	if (packet->fate == FATE_JUDGED && decision->open_before)
		printf("  open before the capture");
	if (packet->truncated && packet->fate == FATE_JUDGED)
		printf("  truncated in the capture");
	putchar('\n');
}

void explain_print(const struct explain *explain, const struct explained *packet)
{
	if (explain->context->json)
		print_object(explain, packet);
	else if (packet->text)
		print_answer(explain, packet);
	else
		print_line(explain, packet);
}

void explain_print_end(const struct explain *explain)
{
	if (explain->context->json || explain->packet_count)
		return;
	printf("%llu passed, %llu dropped", explain->counts[VERDICT_PASS], explain->counts[VERDICT_DROP]);
	if (explain->counts[VERDICT_REPLY])
		printf(", %llu answered", explain->counts[VERDICT_REPLY]);
	if (explain->counts[VERDICT_WOULD_DROP])
		printf(", %llu passed only because a rule monitors", explain->counts[VERDICT_WOULD_DROP]);
	if (explain->sent)
		printf(", %llu sent by this host", explain->sent);
	if (explain->cut_off)
		printf(", %llu cut off before their headers end: not judged", explain->cut_off);
	putchar('\n');
	if (explain->open_before)
		printf("%zu %s open before the capture began\n", explain->open_before,
		       plural(explain->open_before, "connection was", "connections were"));
}
