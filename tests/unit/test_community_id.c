/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Community ID: flows and names as published with the specification (version 1, seed 0). */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/community_id.h"

struct row {
	const char *source, *destination;
	unsigned source_port, destination_port;
	__u8 protocol;
	const char *id;
};

static const struct row rows[] = {
	{"128.232.110.120", "66.35.250.204", 34855, 80, IPPROTO_TCP, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	{"66.35.250.204", "128.232.110.120", 80, 34855, IPPROTO_TCP, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	{"192.168.1.52", "8.8.8.8", 54585, 53, IPPROTO_UDP, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
	{"8.8.8.8", "192.168.1.52", 53, 54585, IPPROTO_UDP, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
	{"192.168.170.8", "192.168.170.56", 7, 80, IPPROTO_SCTP, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
	{"192.168.0.89", "192.168.0.1", 8, 0, IPPROTO_ICMP, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	{"192.168.0.1", "192.168.0.89", 0, 0, IPPROTO_ICMP, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	{"fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, IPPROTO_ICMPV6,
	 "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
	{"fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, IPPROTO_ICMPV6,
	 "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
	/* one way: not turned round */
	{"192.168.0.89", "192.168.0.1", 20, 1, IPPROTO_ICMP, "1:tz/fHIDUHs19NkixVVoOZywde+I="},
	{"3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, IPPROTO_ICMPV6,
	 "1:NdobDX8PQNJbAyfkWxhtL2Pqp5w="},
	{"3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0, IPPROTO_ICMPV6,
	 "1:/OGBt9BN1ofenrmSPWYicpij2Vc="},
};

static bool address(const char *text, __u8 out[16])
{
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(out, mapped, 12);
	if (inet_pton(AF_INET, text, out + 12) == 1)
		return false;
	assert_int_equal(inet_pton(AF_INET6, text, out), 1);
	return true;
}

static void test_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		__u8 source[16], destination[16];
		char text[COMMUNITY_ID_TEXT];
		struct community_flow flow = {
			.source = source,
			.destination = destination,
			.source_port = rows[i].source_port,
			.destination_port = rows[i].destination_port,
			.protocol = rows[i].protocol,
			.ipv6 = address(rows[i].source, source),
		};

		address(rows[i].destination, destination);
		assert_string_equal(community_id(&flow, text), rows[i].id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_published)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
