/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as packet text. Refused with words, or a frame; one whose text tells no lie is taken apart without fault by
 * the evaluator of fuzz_packet, and its checksums are right.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/judge.h"
#include "evaluate.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Words that ask for a frame which cannot be, or for one that may be: those are not looked into. */
static bool may_lie(const char *text)
{
	static const char *const words[] = {"version", "ihl",	 "length", "cut",   "frame", "doff", "udp-",  "ext",
					    "frag",    "offset", "flags",  "type",  "ether", "vlan", "hex",   "id",
					    "ip/",     ":0",	 "none",   "quote", "mss",   "opt",  "tunnel"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strstr(text, words[i]))
			return true;
	}
	return false;
}

static __u32 sum(const __u8 *at, size_t length)
{
	__u32 total = 0;

	for (size_t i = 0; i < length; i++)
		total += i % 2 ? at[i] : at[i] << 8;
	return total;
}

static bool is_zero(__u32 total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total == 0xffff;
}

/* RFC 1071: over a header with its checksum, the sum is all ones. */
static void check_sums(const struct taken_apart *packet)
{
	const __u8 *network = packet->frame + packet->network;
	size_t from = packet->version == 6 ? 8 : 12, to = packet->version == 6 ? 40 : 20;
	__u32 pseudo = sum(network + from, to - from) + (__u32)packet->rest + packet->protocol;

	if (packet->version == 4 && !is_zero(sum(network, packet->transport - packet->network)))
		abort();
	if (packet->protocol == IPPROTO_ICMP)
		pseudo = 0;
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP && packet->protocol != IPPROTO_ICMP &&
	    packet->protocol != IPPROTO_ICMPV6)
		return;
	if (!is_zero(pseudo + sum(packet->frame + packet->transport, packet->rest)))
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char text[2048], error[256] = "";
	struct taken_apart packet;
	struct frame frame;
	enum reason why;
	int err;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	err = packet_text(text, &frame, error, sizeof(error));
	if (err) {
		if (err != -EINVAL || !*error || !memchr(error, '\0', sizeof(error)))
			abort();
		return 0;
	}
	if (frame.length > FRAME_MAX)
		abort();
	why = take_apart(frame.bytes, frame.length, &packet);
	if (may_lie(text) || !packet.version)
		return 0;
	/* whoever names flags may name impossible ones */
	if (why && why != REASON_MALFORMED_TCP_FLAGS) {
		fprintf(stderr, "%s: %s\n", text, reason_name(why));
		abort();
	}
	check_sums(&packet);
	return 0;
}
