/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the runners of this directory share. */
#ifndef BULWARK_RUNNER_H
#define BULWARK_RUNNER_H

#include <errno.h>
#include <stdio.h>

#include "judge.h"

/* The same numbers in every run: xorshift64* (Marsaglia, Vigna). */
static inline __u64 draw(void)
{
	static __u64 state = 0x9e3779b97f4a7c15ULL;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dULL;
}

/* From the file to the image; what is wrong is said. Both are the caller's, also after a failure. */
static inline int image_of(const char *path, struct policy **policy, struct image *image)
{
	struct report report = {0};
	int error;

	*policy = policy_read(path, &report);
	if (*policy && !report.errors)
		policy_check(*policy, &report);
	error = *policy && !report.errors ? image_compile(*policy, NULL, image, &report) : -EINVAL;
	if (error)
		report_print(&report, stdout);
	report_free(&report);
	return error;
}

/* A policy in the verifier's hands; NULL after words. The image is the caller's. */
static inline struct generation *offline_of(const char *path, struct image *image)
{
	struct generation *generation = NULL;
	struct policy *policy;

	if (image_of(path, &policy, image) || generation_load(image, NULL, &generation))
		printf("Bail out! %s: %s\n", path, kernel_words());
	policy_free(policy);
	return generation;
}

#endif
