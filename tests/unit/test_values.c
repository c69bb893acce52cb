/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rates, times, ports and dates as text. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/values.h"

#define SECOND 1000000000ULL

static void is_rate(const char *text, __u64 count, __u64 period_ns, const char *canonical)
{
	struct policy_rate rate = {}, again = {};
	char buffer[VALUE_TEXT];

	assert_int_equal(rate_parse(text, &rate), 0);
	assert_true(rate.given);
	assert_int_equal(rate.count, count);
	assert_int_equal(rate.period_ns, period_ns);
	assert_string_equal(rate_text(&rate, buffer), canonical);
	assert_int_equal(rate_parse(buffer, &again), 0);
	assert_int_equal(again.count, count);
	assert_int_equal(again.period_ns, period_ns);
}

static void test_rates(void **state)
{
	static const char *const bad[] = {"",	   "/",	    "1",    "/s",    "1/",    "1s",    "-1/s",	"+1/s",
					  " 1/s",  "1/s ",  "1 /s", "1/ s",  "1.5/s", "01/s",  "1K/s",	"1m/s",
					  "1kk/s", "1kM/s", "1k",   "k/s",   "1e3/s", "0x1/s", "1/sec", "1/w",
					  "1/ms",  "1/S",   "1//s", "1/s/s", "1kiB/s"};
	struct policy_rate rate;

	(void)state;
	is_rate("50/s", 50, SECOND, "50/s");
	is_rate("3k/m", 3000, 60 * SECOND, "3k/m");
	is_rate("10M/s", 10000000, SECOND, "10M/s");
	is_rate("1000/s", 1000, SECOND, "1k/s");
	is_rate("1500/h", 1500, 3600 * SECOND, "1500/h");
	is_rate("2000k/d", 2000000, 86400 * SECOND, "2M/d");
	is_rate("0/s", 0, SECOND, "0/s");
	is_rate("1000G/s", 1000000000000ULL, SECOND, "1000G/s");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(rate_parse(bad[i], &rate), -EINVAL);
	assert_int_equal(rate_parse("1001G/s", &rate), -ERANGE);
	assert_int_equal(rate_parse("999999999999999G/s", &rate), -ERANGE);
	assert_int_equal(rate_parse("18446744073709551617/s", &rate), -ERANGE);
}

static void test_periods(void **state)
{
	static const struct {
		const char *text;
		__u64 seconds;
		const char *canonical;
	} good[] = {
		{"10s", 10, "10s"},    {"5m", 300, "5m"},	   {"24h", 86400, "1d"}, {"7d", 604800, "7d"},
		{"90m", 5400, "90m"},  {"60s", 60, "1m"},	   {"0s", 0, "0d"},	 {"3660d", 316224000, "3660d"},
		{"3600s", 3600, "1h"}, {"86401s", 86401, "86401s"}};
	static const char *const bad[] = {"",	 "s",	"10",	 "10 s", "1h30m", "-1s", "+1s",	 "1.5h",
					  "01s", "10S", "10sec", "10ms", "1w",	  "1y",	 "0x1s", "10s "};
	char buffer[VALUE_TEXT];
	__u64 seconds;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(period_parse(good[i].text, &seconds), 0);
		assert_int_equal(seconds, good[i].seconds);
		assert_string_equal(period_text(seconds, buffer), good[i].canonical);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(period_parse(bad[i], &seconds), -EINVAL);
	assert_int_equal(period_parse("3661d", &seconds), -ERANGE);
	assert_int_equal(period_parse("999999999999999d", &seconds), -ERANGE);
	assert_int_equal(period_parse("9999999999999999s", &seconds), -ERANGE);
}

static void is_port(const char *text, int protocol, bool has_ports, int first, int last, const char *canonical)
{
	struct port_range range = {}, again = {};
	char buffer[VALUE_TEXT];

	assert_null(port_parse(text, &range));
	assert_int_equal(range.protocol, protocol);
	assert_int_equal(range.has_ports, has_ports);
	assert_int_equal(range.first, first);
	assert_int_equal(range.last, last);
	assert_string_equal(port_text(&range, buffer), canonical);
	assert_null(port_parse(buffer, &again));
	assert_memory_equal(&again, &range, sizeof(range));
}

static const char *const no_ports[] = {
	"",
	"/",
	"443",
	"tcp",
	"tcp/",
	"/443",
	"tcp/0",
	"tcp/65536",
	"tcp/65535-65536",
	"tcp/0-1",
	"tcp/2-1",
	"tcp/1-",
	"tcp/-1",
	"tcp/1-2-3",
	"tcp/1,2",
	"tcp/ 1",
	"tcp/1 ",
	" tcp/1",
	"TCP/1",
	"tcp/01",
	"tcp/0x1",
	"tcp/http",
	"tcp/*-1",
	"tcp/1-*",
	"tcp/**",
	"tcp//1",
	"tcp/1/udp",
	"icmp/8",
	"ip/",
	"ip/*",
	"ip/256",
	"ip/-1",
	"ip/01",
	"ip/VRRP",
	"ip/tcp",
	"ip/6",
	"ip/udp",
	"ip/17",
	"ip/sctp",
	"ip/132",
	"ip/icmp",
	"ip/1",
	"ip/icmp6",
	"ip/58",
	"ip/0",
	"ip/43",
	"ip/44",
	"ip/59",
	"ip/60",
	"ip/135",
	"ip/4294967343",
	"tcp/4294967739",
	"tc",
	"tcpp/1",
};

static void test_ports(void **state)
{
	struct port_range range;
	char text[16];

	(void)state;
	is_port("tcp/443", IPPROTO_TCP, true, 443, 443, "tcp/443");
	is_port("udp/9000-9010", IPPROTO_UDP, true, 9000, 9010, "udp/9000-9010");
	is_port("sctp/*", IPPROTO_SCTP, true, 1, 65535, "sctp/*");
	is_port("tcp/1-65535", IPPROTO_TCP, true, 1, 65535, "tcp/*");
	is_port("tcp/80-80", IPPROTO_TCP, true, 80, 80, "tcp/80");
	is_port("ip/vrrp", 112, false, 0, 0, "ip/vrrp");
	is_port("ip/112", 112, false, 0, 0, "ip/vrrp");
	is_port("ip/253", 253, false, 0, 0, "ip/253");
	is_port("ip/esp", 50, false, 0, 0, "ip/esp");
	for (size_t i = 0; i < sizeof(no_ports) / sizeof(*no_ports); i++) {
		if (!port_parse(no_ports[i], &range))
			print_error("'%s' was taken\n", no_ports[i]);
		assert_non_null(port_parse(no_ports[i], &range));
	}
	for (int number = 0; number < 256; number++) {
		snprintf(text, sizeof(text), "ip/%d", number);
		if (!port_parse(text, &range))
			assert_int_equal(range.protocol, number);
	}
}

static void test_dates(void **state)
{
	static const char *const bad[] = {
		"",	      "2027",	    "2027-1-31",  "2027-01-31 ", " 2027-01-31", "2027-00-01",
		"2027-13-01", "2027-01-00", "2027-01-32", "2027-02-29",	 "2100-02-29",	"2027-04-31",
		"1999-12-31", "27-01-31",   "2027/01/31", "20270131",	 "+027-01-31",	"2027-01-31T00:00:00Z"};

	(void)state;
	assert_int_equal(date_parse("2000-01-01"), 10957);
	assert_int_equal(date_parse("2000-02-29"), 11016);
	assert_int_equal(date_parse("2000-03-01"), 11017);
	assert_int_equal(date_parse("2024-02-29"), 19782);
	assert_int_equal(date_parse("2027-01-31"), 20849);
	assert_int_equal(date_parse("2038-01-19"), 24855);
	assert_int_equal(date_parse("9999-12-31"), 2932896);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(date_parse(bad[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_periods),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
