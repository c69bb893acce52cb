/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a policy: never a crash, always words when it is refused, and what is accepted prints to a fixed point.
 * libFuzzer, by `make fuzz`; seeds are the golden policies.
 */
#include <stdlib.h>
#include <string.h>

#include "../../userspace/policy.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct policy *read_one(const char *text, size_t length, struct report *report)
{
	struct policy *policy = policy_parse(text, length, "fuzz.yaml", "/nowhere", report);

	if (!policy)
		abort();
	policy_check(policy, report);
	return policy;
}

static void check_fixed_point(const char *first)
{
	struct report report = {};
	struct policy *policy = read_one(first, strlen(first), &report);
	char *second = policy_print(policy);

	if (report.errors) {
		fputs(first, stderr);
		report_print(&report, stderr);
		abort();
	}
	if (!second || strcmp(first, second)) {
		fprintf(stderr, "%s---\n%s", first, second ? second : "");
		abort();
	}
	free(second);
	policy_free(policy);
	report_free(&report);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static FILE *nowhere;
	struct report report = {};
	struct policy *policy = read_one((const char *)data, size, &report);
	char *text = report.errors ? NULL : policy_print(policy);

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	report_print(&report, nowhere);
	if (text)
		check_fixed_point(text);
	free(text);
	policy_free(policy);
	report_free(&report);
	return 0;
}
