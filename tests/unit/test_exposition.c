/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "exposition_text.h"

static void the_accept_header_chooses(void **state)
{
	static const struct {
		const char *accept;
		enum exposition_format wanted;
	} rows[] = {
		{NULL, EXPOSITION_PROMETHEUS},
		{"", EXPOSITION_PROMETHEUS},
		{"*/*", EXPOSITION_PROMETHEUS},
		{"text/plain", EXPOSITION_PROMETHEUS},
		{"text/html,application/xhtml+xml,*/*;q=0.8", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text", EXPOSITION_OPENMETRICS},
		{"APPLICATION/OpenMetrics-Text; Version=1.0.0", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=0.3, text/plain;q=0.7", EXPOSITION_PROMETHEUS},
		{"text/plain;q=0.3 , application/openmetrics-text ; q=0.7", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;q=0", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=nan", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=-1", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-textual", EXPOSITION_PROMETHEUS},
		{",,;;q=;,", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;", EXPOSITION_OPENMETRICS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (exposition_negotiate(rows[i].accept) != rows[i].wanted)
			fail_msg("Accept: %s", rows[i].accept);
}

static char *written(enum exposition_format format)
{
	struct exposition_text text = {.format = format};
	char *result = NULL;
	size_t length;

	text.out = open_memstream(&result, &length);
	assert_non_null(text.out);
	metric_family(&text, METRIC_COUNTER, "bulwark_packets", "Packets.");
	metric_count(&text, 18446744073709551615ULL, "interface", "eth0", "reason", "", NULL);
	metric_family(&text, METRIC_INFO, "bulwark_policy", "The policy.");
	metric_count(&text, 1, "path", "a\"b\\c\nd\xff\xc3\xa4", NULL);
	metric_family(&text, METRIC_GAUGE, "bulwark_age_seconds", "Age.");
	metric_number(&text, 0.5, NULL);
	exposition_end(&text);
	fclose(text.out);
	return result;
}

static void both_formats_name_things_their_way(void **state)
{
	char *plain = written(EXPOSITION_PROMETHEUS), *open = written(EXPOSITION_OPENMETRICS);

	(void)state;
	assert_string_equal(plain, "# HELP bulwark_packets_total Packets.\n"
				   "# TYPE bulwark_packets_total counter\n"
				   "bulwark_packets_total{interface=\"eth0\"} 18446744073709551615\n"
				   "# HELP bulwark_policy_info The policy.\n"
				   "# TYPE bulwark_policy_info gauge\n"
				   "bulwark_policy_info{path=\"a\\\"b\\\\c?d?\xc3\xa4\"} 1\n"
				   "# HELP bulwark_age_seconds Age.\n"
				   "# TYPE bulwark_age_seconds gauge\n"
				   "bulwark_age_seconds 0.5\n");
	assert_string_equal(open, "# HELP bulwark_packets Packets.\n"
				  "# TYPE bulwark_packets counter\n"
				  "bulwark_packets_total{interface=\"eth0\"} 18446744073709551615\n"
				  "# HELP bulwark_policy The policy.\n"
				  "# TYPE bulwark_policy info\n"
				  "bulwark_policy_info{path=\"a\\\"b\\\\c?d?\xc3\xa4\"} 1\n"
				  "# HELP bulwark_age_seconds Age.\n"
				  "# TYPE bulwark_age_seconds gauge\n"
				  "bulwark_age_seconds 0.5\n"
				  "# EOF\n");
	free(plain);
	free(open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_accept_header_chooses),
		cmocka_unit_test(both_formats_name_things_their_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
