/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets through the real program, in order, at their own times. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

#define PACKETS_START_NS (3600ULL * 1000000000)
#define BETWEEN_PACKETS_NS 1000000ULL /* packets given as text come a millisecond apart */
#define ORIGINAL_MAX (65535 + 64)     /* longest that a frame can be on the wire */

static bool is_ours(const struct explain *explain, const __u8 address[16])
{
	const struct prefix *own = explain->to_count ? explain->to : explain->own;
	size_t count = explain->to_count ?: explain->own_count;

	for (size_t i = 0; i < count; i++) {
		if (!memcmp(own[i].address, address, 16))
			return true;
	}
	return false;
}

/* The same rule on both sides of the wire: what we sent must not be judged as if it had come in. */
static bool sent_by_us(const struct explain *explain, const struct packet_flow *flow)
{
	return flow->ip && is_ours(explain, flow->source) && !is_ours(explain, flow->destination);
}

/* What the egress program drops is judged like what comes in; else it is only sent. */
static int sent(struct explain *explain, const __u8 *frame, struct explained *packet)
{
	size_t length = packet->length;
	__u8 *copy = malloc(length);
	int err = -ENOMEM;

	if (copy)
		frame = packet_untagged(frame, &length, copy);
	if (copy)
		err = generation_sent(explain->offline, frame, length, packet->time_ns, &packet->decision);
	packet->sent = true;
	packet->fate = packet->decision.verdict == VERDICT_DROP ? FATE_JUDGED : FATE_SENT;
	free(copy);
	return err;
}

static int through(struct explain *explain, const __u8 *frame, struct explained *packet)
{
	__u64 now = packet->time_ns;
	int err = connections_before(explain->connections, explain->offline, &packet->flow, now);

	if (err)
		return err;
	if (sent_by_us(explain, &packet->flow))
		err = sent(explain, frame, packet);
	else
		err = generation_judge(explain->offline, frame, packet->length, now, &packet->decision);
	/* in a capture the client that would be challenged goes on as it did: it proved itself */
	if (err || (packet->fate == FATE_JUDGED && packet->decision.verdict != VERDICT_PASS &&
		    packet->decision.verdict != VERDICT_REPLY))
		return err;
	return connections_after(explain->connections, explain->offline, &packet->flow, now);
}

static int tell(struct explain *explain, const struct explained *packet)
{
	if (packet->fate == FATE_SENT)
		explain->sent++;
	else if (packet->fate == FATE_CUT_OFF)
		explain->cut_off++;
	else
		explain->counts[packet->decision.verdict]++;
	if (packet->fate != FATE_CUT_OFF && packet->decision.would)
		explain->counts[VERDICT_WOULD_DROP]++;
	if (explain->summarize)
		return summary_add(explain->summary, packet);
	explain_print(explain, packet);
	return 0;
}

/* ---- packets given as text ---- */

static int explain_text(struct explain *explain, size_t index)
{
	struct explained packet = {
		.number = index + 1,
		.time_ns = explain->now_ns,
		.text = explain->packets[index],
	};
	char error[256];
	struct frame frame;
	int err = packet_text(packet.text, &frame, error, sizeof(error));

	if (err == -EINVAL)
		return fail(EXIT_USAGE, "--packet '%s': %s", packet.text, error);
	if (err)
		return fail(EXIT_SYSTEM, "--packet '%s': %s", packet.text, strerror(-err));
	packet.length = frame.length;
	packet_flow(frame.bytes, frame.length, frame.length, &packet.flow);
	if (frame.open)
		err = connections_open(explain->connections, explain->offline, &packet.flow);
	err = err ? err : through(explain, frame.bytes, &packet);
	err = err ? err : tell(explain, &packet);
	explain->now_ns += BETWEEN_PACKETS_NS;
	return err ? fail_kernel(err, "explain") : EXIT_DONE;
}

int explain_packets(struct explain *explain)
{
	int status = EXIT_DONE;

	explain->first_ns = explain->now_ns = PACKETS_START_NS;
	for (size_t i = 0; status == EXIT_DONE && i < explain->packet_count; i++)
		status = explain_text(explain, i);
	return status;
}

/* ---- captures ---- */

/* The frame at its length on the wire: what the capture left out is payload, which nobody looks at, and zero here. */
static const __u8 *whole_frame(struct explain *explain, const struct captured *captured)
{
	if (captured->original <= captured->length)
		return captured->frame;
	if (captured->original > explain->whole_size) {
		__u8 *whole = realloc(explain->whole, captured->original);

		if (!whole)
			return NULL;
		explain->whole = whole;
		explain->whole_size = captured->original;
	}
	memcpy(explain->whole, captured->frame, captured->length);
	memset(explain->whole + captured->length, 0, captured->original - captured->length);
	return explain->whole;
}

static int explain_captured(struct explain *explain, const struct captured *captured, unsigned long long number)
{
	struct explained packet = {
		.number = number, .length = captured->original, .truncated = captured->original > captured->length};
	const __u8 *frame;

	/* a clock that steps back in the middle of a capture must not make rates and lifetimes run backwards */
	if (number == 1)
		explain->first_ns = explain->now_ns = captured->time_ns;
	else if (captured->time_ns > explain->now_ns)
		explain->now_ns = captured->time_ns;
	packet.time_ns = explain->now_ns;
	if (captured->original > ORIGINAL_MAX ||
	    packet_flow(captured->frame, captured->length, captured->original, &packet.flow)) {
		packet.fate = FATE_CUT_OFF;
		return tell(explain, &packet);
	}
	frame = whole_frame(explain, captured);
	if (!frame)
		return -ENOMEM;
	return through(explain, frame, &packet) ?: tell(explain, &packet);
}

static int foresee(struct explain *explain, struct capture *capture)
{
	struct captured captured;
	struct packet_flow flow;
	int got, err = 0;

	while (!err && (got = capture_next(capture, &captured)) > 0) {
		if (!packet_flow(captured.frame, captured.length, captured.original, &flow))
			err = connections_foresee(explain->connections, &flow);
	}
	err = err ? err : connections_seed(explain->connections, explain->offline, &explain->open_before);
	if (err)
		return fail_kernel(err, explain->pcap);
	if (got < 0)
		fprintf(stderr, "bulwark: warning: %s: %s; what stands before that is judged\n", explain->pcap,
			capture_words(capture));
	if (capture_rewind(capture))
		return fail(EXIT_SYSTEM, "%s: cannot be read twice: %s", explain->pcap, capture_words(capture));
	return EXIT_DONE;
}

int explain_capture(struct explain *explain)
{
	struct captured captured;
	struct capture *capture;
	char error[512];
	int err = capture_open(explain->pcap, &capture, error, sizeof(error)), status;

	if (err)
		return fail(EXIT_USAGE, "%s: cannot be read as a capture: %s", explain->pcap, error);
	status = foresee(explain, capture);
	for (unsigned long long number = 1; status == EXIT_DONE && capture_next(capture, &captured) > 0; number++) {
		err = explain_captured(explain, &captured, number);
		if (err)
			status = fail_kernel(err, explain->pcap);
	}
	capture_close(capture);
	return status;
}
