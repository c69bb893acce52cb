/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flood --replay: the packets of a capture as frames for this interface. Their MAC addresses are the lab's, their
 * destination is --dst where one of their family was given, with the checksums put right by the difference (RFC 1624),
 * so that one that was wrong stays wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <netinet/icmp6.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flood_plan.h"

#define FRAMES_MAX 200000 /* 300 MB */
#define SLL_BYTES 16	  /* Linux cooked capture: its last two are the EtherType */
#define PAUSE_NS 1000000  /* before the first packet comes again */

static void fix_checksum(__u8 *at, const void *old, const void *new, size_t length)
{
	__u64 sum;
	__u16 check;

	memcpy(&check, at, 2);
	/* ~old in one's complement is 0xffff less each word */
	sum = (__u64)(__u16)~check + 0xffffULL * (length / 2) - sum_words(old, length) + sum_words(new, length);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	check = ~sum;
	memcpy(at, &check, 2);
}

/* Where the checksum of a transport header is that covers the addresses, or -1. */
static int checksum_at(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	case IPPROTO_ICMPV6:
		return offsetof(struct icmp6_hdr, icmp6_cksum);
	}
	return -1;
}

static void fix_transport(__u8 protocol, __u8 *l4, const __u8 *end, const void *old, const void *new, size_t length)
{
	static const __u8 none[2];
	int at = checksum_at(protocol);

	if (at < 0 || l4 + at + 2 > end)
		return;
	if (protocol == IPPROTO_UDP && !memcmp(l4 + at, none, 2))
		return; /* it has none */
	fix_checksum(l4 + at, old, new, length);
}

static void aim4(const __u8 *to, __u8 *l3, const __u8 *end)
{
	struct iphdr ip;
	__u8 old[4];

	if (l3 + sizeof(ip) > end)
		return;
	memcpy(&ip, l3, sizeof(ip));
	memcpy(old, l3 + offsetof(struct iphdr, daddr), 4);
	fix_checksum(l3 + offsetof(struct iphdr, check), old, to, 4);
	if (!(ip.frag_off & htons(IP_OFFMASK)) && ip.protocol != IPPROTO_ICMPV6)
		fix_transport(ip.protocol, l3 + ip.ihl * 4, end, old, to, 4);
	memcpy(l3 + offsetof(struct iphdr, daddr), to, 4);
}

/* With extension headers the transport's checksum stays as it was. */
static void aim6(const __u8 *to, __u8 *l3, const __u8 *end)
{
	struct ip6_hdr ip;

	if (l3 + sizeof(ip) > end)
		return;
	memcpy(&ip, l3, sizeof(ip));
	fix_transport(ip.ip6_nxt, l3 + sizeof(ip), end, &ip.ip6_dst, to, 16);
	memcpy(l3 + offsetof(struct ip6_hdr, ip6_dst), to, 16);
}

static void aim(const struct flood_target *target, struct flood_frame *frame)
{
	static const __u8 nowhere[16];
	__u8 *at = frame->bytes + 12, *end = frame->bytes + frame->length;
	__u16 type;

	memcpy(frame->bytes, target->to_mac, 6);
	memcpy(frame->bytes + 6, target->from_mac, 6);
	memcpy(&type, at, 2);
	while ((type == htons(ETHERTYPE_VLAN) || type == htons(0x88a8)) && at + 6 <= end) {
		at += 4;
		memcpy(&type, at, 2);
	}
	if (type == htons(ETHERTYPE_IP) && memcmp(target->address4, nowhere, 16))
		aim4(target->address4 + 12, at + 2, end);
	else if (type == htons(ETHERTYPE_IPV6) && memcmp(target->address6, nowhere, 16))
		aim6(target->address6, at + 2, end);
}

/* An Ethernet frame of what the capture has; false: not one that can be sent. */
static bool make_frame(int link_type, const struct pcap_pkthdr *header, const __u8 *bytes, struct flood_frame *frame)
{
	size_t skip = link_type == DLT_LINUX_SLL ? SLL_BYTES : link_type == DLT_EN10MB ? ETH_HLEN : 0;
	__u16 type = htons(ETHERTYPE_IP);

	if (header->caplen < header->len || header->caplen <= skip || header->len - skip + ETH_HLEN > FLOOD_FRAME_MAX)
		return false;
	if (skip)
		memcpy(&type, bytes + skip - 2, 2);
	else if (bytes[0] >> 4 == 6)
		type = htons(ETHERTYPE_IPV6);
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes + 12, &type, 2);
	memcpy(frame->bytes + ETH_HLEN, bytes + skip, header->len - skip);
	frame->length = header->len - skip + ETH_HLEN;
	if (frame->length < ETH_ZLEN)
		frame->length = ETH_ZLEN;
	return true;
}

static int add_frame(struct flood_capture *capture, const struct flood_frame *frame, __u64 at_ns)
{
	if (capture->count == capture->room) {
		size_t room = capture->room ? capture->room * 2 : 256;
		void *frames = reallocarray(capture->frames, room, sizeof(*frame)), *times;

		if (!frames)
			return -ENOMEM;
		capture->frames = frames;
		times = reallocarray(capture->at_ns, room, sizeof(*capture->at_ns));
		if (!times)
			return -ENOMEM;
		capture->at_ns = times;
		capture->room = room;
	}
	if (capture->count && at_ns < capture->at_ns[capture->count - 1])
		at_ns = capture->at_ns[capture->count - 1]; /* its clock went back */
	capture->frames[capture->count] = *frame;
	capture->at_ns[capture->count++] = at_ns;
	return 0;
}

static __u64 time_of(const struct pcap_pkthdr *header)
{
	return header->ts.tv_sec * 1000000000ULL + header->ts.tv_usec; /* in ns: opened so */
}

static int read_frames(struct run *run, pcap_t *file)
{
	int link_type = pcap_datalink(file), got = 0, error = 0;
	struct pcap_pkthdr *header;
	struct flood_frame frame;
	const __u8 *bytes;
	__u64 first = 0;
	size_t left = 0;

	if (link_type != DLT_EN10MB && link_type != DLT_LINUX_SLL && link_type != DLT_RAW)
		return flood_complain("is neither of Ethernet, nor raw IP, nor a Linux cooked capture", run->capture);
	while (!error && run->replay->count < FRAMES_MAX && (got = pcap_next_ex(file, &header, &bytes)) == 1) {
		if (!make_frame(link_type, header, bytes, &frame)) {
			left++;
			continue;
		}
		aim(&run->target, &frame);
		if (!run->replay->count)
			first = time_of(header);
		error = add_frame(run->replay, &frame, time_of(header) > first ? time_of(header) - first : 0);
		if (frame.length > run->longest)
			run->longest = frame.length;
	}
	if (error)
		return flood_complain("out of memory", run->capture);
	if (got == PCAP_ERROR)
		return flood_complain(pcap_geterr(file), run->capture);
	if (left || got == 1)
		fprintf(stderr,
			"flood: of %s %zu packets are sent; %zu that are cut off or longer than %d bytes are not%s\n",
			run->capture, run->replay->count, left, FLOOD_FRAME_MAX, got == 1 ? ", nor the rest" : "");
	return run->replay->count ? 0 : flood_complain("has no packet that can be sent", run->capture);
}

int flood_capture_read(struct run *run)
{
	char words[PCAP_ERRBUF_SIZE];
	pcap_t *file = pcap_open_offline_with_tstamp_precision(run->capture, PCAP_TSTAMP_PRECISION_NANO, words);
	int status;

	if (!file)
		return flood_complain(words, "--replay");
	run->replay = calloc(1, sizeof(*run->replay));
	status = run->replay ? read_frames(run, file) : flood_complain("out of memory", run->capture);
	pcap_close(file);
	if (!status)
		run->replay->duration_ns = run->replay->at_ns[run->replay->count - 1] + PAUSE_NS;
	return status;
}

void flood_capture_free(struct flood_capture *capture)
{
	if (!capture)
		return;
	free(capture->frames);
	free(capture->at_ns);
	free(capture);
}
