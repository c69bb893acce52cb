/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a policy: never a crash, always words when it is refused, and what is accepted prints to a fixed point.
 * libFuzzer; seeds are the golden policies:
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -Iinclude tests/fuzz/fuzz_policy.c \
 *     userspace/{report,utf8,prefix_text,policy,yaml,yaml_text,values,parse,parse_*,check,print,packet_text,packet_build}.c
 * \
 *     $(pkg-config --cflags --libs libfyaml) -o build/fuzz_policy
 *   mkdir -p build/corpus && build/fuzz_policy -max_len=4096 build/corpus tests/policies policies
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
