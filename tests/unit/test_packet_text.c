/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packet text: the bytes that rows and policies' tests are judged by must be the bytes of real packets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/judge.h"

static struct frame frame_of(const char *text)
{
	struct frame frame;
	char error[256];
	int err = packet_text(text, &frame, error, sizeof(error));

	if (err)
		print_error("%s: %s\n", text, error);
	assert_int_equal(err, 0);
	return frame;
}

static unsigned at16(const struct frame *frame, size_t at)
{
	return frame->bytes[at] << 8 | frame->bytes[at + 1];
}

static unsigned ones(const __u8 *data, size_t length, unsigned sum)
{
	for (size_t i = 0; i < length; i++)
		sum += i & 1 ? data[i] : data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The transport's sum over the pseudo header, 0xffff when right (RFC 1071). */
static unsigned transport_sum(const struct frame *frame, size_t network, size_t header, size_t addresses, size_t size,
			      unsigned protocol, size_t length)
{
	unsigned sum = ones(frame->bytes + network + addresses, 2 * size, protocol + length);

	return ones(frame->bytes + network + header, length, sum);
}

static void test_tcp4(void **state)
{
	struct frame frame = frame_of("tcp 45.33.1.5:4000 > 192.0.2.10:443 syn");

	(void)state;
	assert_int_equal(frame.length, 60);
	assert_int_equal(at16(&frame, 12), 0x0800);
	assert_int_equal(frame.bytes[14], 0x45);
	assert_int_equal(at16(&frame, 16), 40);
	assert_int_equal(frame.bytes[22], 64);
	assert_int_equal(ones(frame.bytes + 14, 20, 0), 0xffff);
	assert_memory_equal(frame.bytes + 26, ((__u8[]){45, 33, 1, 5, 192, 0, 2, 10}), 8);
	assert_int_equal(at16(&frame, 34), 4000);
	assert_int_equal(at16(&frame, 36), 443);
	assert_int_equal(frame.bytes[46], 0x50);
	assert_int_equal(frame.bytes[47], 0x02);
	assert_int_equal(transport_sum(&frame, 14, 20, 12, 4, 6, 20), 0xffff);
	assert_false(frame.open);
}

static void test_udp6(void **state)
{
	struct frame frame = frame_of("udp [2001:db8::1]:53 > [2a01::1]:5353 len 201");

	(void)state;
	assert_int_equal(frame.length, 14 + 40 + 8 + 201);
	assert_int_equal(at16(&frame, 12), 0x86dd);
	assert_int_equal(at16(&frame, 18), 209);
	assert_int_equal(frame.bytes[20], 17);
	assert_int_equal(at16(&frame, 58), 209);
	assert_int_equal(transport_sum(&frame, 14, 40, 8, 16, 17, 209), 0xffff);
}

static void test_data(void **state)
{
	struct frame frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 data c0FF01 len 5");

	(void)state;
	assert_int_equal(at16(&frame, 38), 8 + 5);
	assert_memory_equal(frame.bytes + 42, ((__u8[]){0xc0, 0xff, 1, 0, 0}), 5);
	assert_int_equal(transport_sum(&frame, 14, 20, 12, 4, 17, 13), 0xffff);
	frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 data c0FF01");
	assert_int_equal(at16(&frame, 38), 8 + 3);
	frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 data c0FF01 len 2");
	assert_int_equal(at16(&frame, 38), 8 + 2);
	frame = frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 psh data 1603");
	assert_int_equal(at16(&frame, 16), 20 + 20 + 2);
	assert_memory_equal(frame.bytes + 54, "\x16\x03", 2);
}

static void test_icmp(void **state)
{
	struct frame frame =
		frame_of("icmp 45.33.1.5 > 192.0.2.10 type 3 code 4 quoting tcp 192.0.2.10:443 > 45.33.1.5:99");

	(void)state;
	assert_int_equal(frame.bytes[34], 3);
	assert_int_equal(frame.bytes[35], 4);
	assert_int_equal(ones(frame.bytes + 34, 8 + 40, 0), 0xffff);
	assert_memory_equal(frame.bytes + 42 + 12, ((__u8[]){192, 0, 2, 10, 45, 33, 1, 5}), 8);
	assert_int_equal(at16(&frame, 62), 443);

	frame = frame_of("icmp 2001:db8::1 > 2001:db8::2 echo-request len 8");
	assert_int_equal(frame.bytes[20], 58);
	assert_int_equal(frame.bytes[54], 128);
	assert_int_equal(transport_sum(&frame, 14, 40, 8, 16, 58, 16), 0xffff);

	frame = frame_of("icmp6 fe80::1 > ff02::1:ff00:2 neighbour-solicitation");
	assert_int_equal(frame.bytes[21], 255);
	assert_int_equal(frame.length, 14 + 40 + 24);
	assert_memory_equal(frame.bytes, ((__u8[]){0x33, 0x33, 0xff, 0, 0, 2}), 6);
}

static void test_vlan(void **state)
{
	struct frame frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 vlan 7");

	(void)state;
	assert_int_equal(at16(&frame, 12), 0x8100);
	assert_int_equal(at16(&frame, 14), 7);
	assert_int_equal(at16(&frame, 16), 0x0800);
	frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 vlan 7 vlan 8");
	assert_int_equal(at16(&frame, 12), 0x88a8);
	assert_int_equal(at16(&frame, 16), 0x8100);
	assert_int_equal(at16(&frame, 18), 8);
	assert_int_equal(at16(&frame, 20), 0x0800);
}

static void test_fragments(void **state)
{
	struct frame frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 frag first len 13");

	(void)state;
	assert_int_equal(at16(&frame, 20), 0x2000);
	assert_int_equal(at16(&frame, 16), 20 + 8 + 13); /* a length that was asked for is not rounded */
	frame = frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 frag later id 5");
	assert_int_equal(at16(&frame, 18), 5);
	assert_int_equal(at16(&frame, 20), 185);
	assert_int_equal(at16(&frame, 16), 20 + 64);
	frame = frame_of("tcp [2001:db8::1]:1 > [2001:db8::2]:2 ext hopopts frag later");
	assert_int_equal(frame.bytes[20], 0);
	assert_int_equal(frame.bytes[54], 44);
	assert_int_equal(frame.bytes[62], 6);
	assert_int_equal(at16(&frame, 64), 1480);
}

static void test_options_and_extensions(void **state)
{
	struct frame frame = frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 syn options lsrr");

	(void)state;
	assert_int_equal(frame.bytes[14], 0x47);
	assert_int_equal(frame.bytes[34], 131);
	assert_int_equal(ones(frame.bytes + 14, 28, 0), 0xffff);
	assert_int_equal(at16(&frame, 42), 1);
	frame = frame_of("tcp [2001:db8::1]:1 > [2001:db8::2]:2 syn ext hopopts ext routing0 ext ah");
	assert_int_equal(frame.bytes[54], 43);
	assert_int_equal(frame.bytes[62], 51);
	assert_int_equal(frame.bytes[70], 6);
	assert_int_equal(at16(&frame, 18), 8 + 8 + 24 + 20);
}

static void test_lies(void **state)
{
	struct frame frame = frame_of("udp 10.0.0.1:1 > 10.0.0.2:2 ip-length 1000 udp-length 9 ihl 6 version 5");

	(void)state;
	assert_int_equal(at16(&frame, 16), 1000);
	assert_int_equal(frame.bytes[14], 0x56);
	assert_int_equal(at16(&frame, 38), 9);
	frame = frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 syn cut 24");
	assert_int_equal(frame.length, 38);
	frame = frame_of("frame ffffffffffff 525400000001 88cc 0102");
	assert_int_equal(frame.length, 16);
	assert_int_equal(at16(&frame, 12), 0x88cc);
}

static void test_others(void **state)
{
	struct frame frame = frame_of("arp 10.0.0.1 > 10.0.0.2");

	(void)state;
	assert_int_equal(at16(&frame, 12), 0x0806);
	assert_memory_equal(frame.bytes + 28, ((__u8[]){10, 0, 0, 1}), 4);
	assert_true(frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 open").open);
	assert_int_equal(frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 open").bytes[47], 0x10);
	assert_int_equal(frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 syn,ack,psh").bytes[47], 0x1a);
	assert_int_equal(frame_of("tcp 10.0.0.1:1 > 10.0.0.2:2 null").bytes[47], 0);
	assert_int_equal(frame_of("ip/47 10.0.0.1 > 10.0.0.2").bytes[23], 47);
	assert_int_equal(frame_of("ip/esp 2001:db8::1 > 2001:db8::2").bytes[20], 50);
	frame = frame_of("sctp 10.0.0.1:1 > 10.0.0.2:2");
	assert_int_equal(frame.bytes[23], 132);
	/* CRC-32C of 0001 0002 00000000 00000000, least significant byte first */
	assert_int_equal(frame.bytes[42] | frame.bytes[43] << 8 | frame.bytes[44] << 16 | (__u32)frame.bytes[45] << 24,
			 0x518098fd);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"", "a packet is missing: for instance 'tcp 192.0.2.1:4000 > 192.0.2.2:443 syn'"},
		{"tpc 10.0.0.1:1 > 10.0.0.2:2", "'tpc' is not a protocol; did you mean 'tcp'?"},
		{"tcp 10.0.0.1 > 10.0.0.2:2", "'10.0.0.1' has no port: write A.B.C.D:PORT or [IPv6]:PORT"},
		{"tcp 10.0.0.256:1 > 10.0.0.2:2", "'10.0.0.256' is not an address"},
		{"tcp 10.0.0.1:1 10.0.0.2:2", "'10.0.0.2:2' stands where '>' was expected: SOURCE > DESTINATION"},
		{"tcp 10.0.0.1:65536 > 10.0.0.2:2", "'port 65536': not a number from 0 to 65535"},
		{"tcp 10.0.0.1:\v0 > 10.0.0.2:2", "'port \v0': not a number from 0 to 65535"},
		{"tcp 10.0.0.1:1 > [2001:db8::1]:2", "source and destination are of different families"},
		{"tcp 10.0.0.1:1 > 10.0.0.2:2 sny", "'sny' is not a word of packet text; did you mean 'syn'?"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 syn", "'syn' is a flag of TCP"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 ttl", "'ttl' wants a number from 0 to 255 after it"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 ttl 256", "'ttl 256': not a number from 0 to 255"},
		{"icmp 10.0.0.1 > 10.0.0.2", "which ICMP message? For instance echo-request, or type 3 code 4"},
		{"icmp 10.0.0.1:1 > 10.0.0.2 echo-request", "'10.0.0.1:1' is not an address"},
		{"icmp6 10.0.0.1 > 10.0.0.2 echo-request", "icmp6 wants IPv6 addresses"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 ext hopopts", "IPv4 has no such extension header"},
		{"udp [2001:db8::1]:1 > [2001:db8::2]:2 options nop", "'options' is of IPv4 only; IPv6 has 'ext'"},
		{"frame 0102", "a frame has at least the 14 bytes of an Ethernet header"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct frame frame;
		char error[256];

		assert_int_equal(packet_text(rows[i].text, &frame, error, sizeof(error)), -EINVAL);
		assert_string_equal(error, rows[i].error);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp4),
		cmocka_unit_test(test_udp6),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_options_and_extensions),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
