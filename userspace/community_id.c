/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * base64(SHA-1(seed, smaller end, larger end, protocol, 0, ports)), all in network order. ICMP's type and code stand
 * for ports: a question and its answer are one flow, other messages go one way and are never turned round.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sha1.h>
#include <stddef.h>
#include <string.h>

#include "community_id.h"

struct icmp_pair {
	__u8 protocol, question, answer;
};

static const struct icmp_pair icmp_pairs[] = {
	{IPPROTO_ICMP, 8, 0},	    {IPPROTO_ICMP, 10, 9},	{IPPROTO_ICMP, 13, 14},	    {IPPROTO_ICMP, 15, 16},
	{IPPROTO_ICMP, 17, 18},	    {IPPROTO_ICMPV6, 128, 129}, {IPPROTO_ICMPV6, 133, 134}, {IPPROTO_ICMPV6, 135, 136},
	{IPPROTO_ICMPV6, 130, 131}, {IPPROTO_ICMPV6, 139, 140}, {IPPROTO_ICMPV6, 144, 145},
};

/* Puts the type that answers this one where the destination port goes; false: a message of one way. */
static bool icmp_two_ways(__u8 protocol, __u16 type, __u16 *answer)
{
	for (size_t i = 0; i < sizeof(icmp_pairs) / sizeof(*icmp_pairs); i++) {
		if (icmp_pairs[i].protocol != protocol)
			continue;
		if (type == icmp_pairs[i].question)
			*answer = icmp_pairs[i].answer;
		else if (type == icmp_pairs[i].answer)
			*answer = icmp_pairs[i].question;
		else
			continue;
		return true;
	}
	return false;
}

static bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* 20 bytes are 27 characters and one of padding. */
static void base64_of_digest(const __u8 digest[SHA1_DIGEST_LENGTH], char *text)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < 21; i += 3) {
		__u32 word = (__u32)digest[i] << 16 | (__u32)digest[i + 1] << 8 |
			     (i + 2 < SHA1_DIGEST_LENGTH ? digest[i + 2] : 0);

		for (int shift = 18; shift >= 0; shift -= 6)
			*text++ = alphabet[word >> shift & 63];
	}
	text[-1] = '=';
	*text = 0;
}

const char *community_id(const struct community_flow *flow, char text[COMMUNITY_ID_TEXT])
{
	static const __u8 seed[2];
	size_t offset = flow->ipv6 ? 0 : 12, size = 16 - offset;
	const __u8 *ends[2] = {flow->source + offset, flow->destination + offset};
	__u16 ports[2] = {flow->source_port, flow->destination_port};
	__u8 between[2] = {flow->protocol, 0}, digest[SHA1_DIGEST_LENGTH];
	bool icmp = flow->protocol == IPPROTO_ICMP || flow->protocol == IPPROTO_ICMPV6;
	bool one_way = icmp && !icmp_two_ways(flow->protocol, ports[0], &ports[1]);
	int order = memcmp(ends[0], ends[1], size);
	bool turned = !one_way && (order > 0 || (!order && ports[0] > ports[1]));
	__be16 wire[2] = {htons(ports[turned]), htons(ports[!turned])};
	SHA1_CTX sha1;

	SHA1Init(&sha1);
	SHA1Update(&sha1, seed, sizeof(seed));
	SHA1Update(&sha1, ends[turned], size);
	SHA1Update(&sha1, ends[!turned], size);
	SHA1Update(&sha1, between, sizeof(between));
	if (has_ports(flow->protocol))
		SHA1Update(&sha1, (const __u8 *)wire, sizeof(wire));
	SHA1Final(digest, &sha1);
	text[0] = '1';
	text[1] = ':';
	base64_of_digest(digest, text + 2);
	return text;
}
