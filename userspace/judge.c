/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy's own tests, run through an offline generation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "packet_flow.h"

/* Tests do not disturb each other: between two of them every rate recovers and everything remembered is forgotten. */
#define BETWEEN_TESTS_NS (3ULL * 3600 * 1000000000)

struct verdict_seen { /* what a test is compared with */
	unsigned verdict, reason, rule;
	const char *service; /* or NULL */
};

const char *rule_kind_name(enum rule_kind kind)
{
	static const char *const names[] = {
		[RULE_KIND_NONE] = "none",   [RULE_KIND_DEFAULT] = "default", [RULE_KIND_SERVICE] = "service",
		[RULE_KIND_BLOCK] = "block", [RULE_KIND_TRUSTED] = "trusted", [RULE_KIND_WORD] = "word",
		[RULE_KIND_LIMIT] = "limit", [RULE_KIND_TLS] = "tls",	      [RULE_KIND_HTTP] = "http",
		[RULE_KIND_QUIC] = "quic",
	};

	return names[kind];
}

const char *rule_text(const struct image *image, unsigned rule, char *buffer, size_t size)
{
	static const char *const kinds[] = {
		[RULE_KIND_SERVICE] = "service ", [RULE_KIND_BLOCK] = "block ", [RULE_KIND_TRUSTED] = "trusted ",
		[RULE_KIND_LIMIT] = "limit of ",  [RULE_KIND_TLS] = "tls of ",	[RULE_KIND_HTTP] = "http of ",
		[RULE_KIND_QUIC] = "quic of ",
	};
	const struct rule *named = rule && rule < image->rule_count ? &image->rules[rule] : NULL;
	const char *kind = "";

	if (!named || named->kind == RULE_KIND_NONE) {
		snprintf(buffer, size, "no rule of the policy");
		return buffer;
	}
	if (named->kind < sizeof(kinds) / sizeof(*kinds) && kinds[named->kind])
		kind = kinds[named->kind];
	if (named->place)
		snprintf(buffer, size, "%s (%s%s)", named->place, kind, named->name);
	else
		snprintf(buffer, size, "%s%s, as the policy says nothing else", kind, named->name);
	return buffer;
}

static unsigned wanted_verdict(enum expectation expect)
{
	return expect == EXPECT_PASS ? VERDICT_PASS : expect == EXPECT_DROP ? VERDICT_DROP : VERDICT_REPLY;
}

static bool as_wanted(const struct policy_test *test, const struct verdict_seen *seen)
{
	if (wanted_verdict(test->expect) != seen->verdict)
		return false;
	if (test->reason && strcmp(test->reason, reason_name(seen->reason)))
		return false;
	return !test->service || (seen->service && !strcmp(test->service, seen->service));
}

static struct verdict_seen seen_of(const struct image *image, const struct decision *decision)
{
	struct verdict_seen seen = {decision->verdict, decision->reason, decision->rule, NULL};

	if (decision->service && decision->service < image->service_count)
		seen.service = image->service_names[decision->service];
	return seen;
}

static void say_failed(const struct policy *policy, const struct image *image, const struct policy_test *test,
		       const struct verdict_seen *seen, struct report *report)
{
	char rule[256], wanted[256] = "", service[160] = "";

	if (test->reason)
		snprintf(wanted, sizeof(wanted), " (%s)", test->reason);
	if (test->service)
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), " by service %s", test->service);
	if (seen->service)
		snprintf(service, sizeof(service), " by service %s", seen->service);
	policy_say(policy, report, SEVERITY_ERROR, &test->at, "test failed: expected %s%s, got %s (%s)%s: %s; %s",
		   verdict_name(wanted_verdict(test->expect)), wanted, verdict_name(seen->verdict),
		   reason_name(seen->reason), service, reason_sentence(seen->reason),
		   rule_text(image, seen->rule, rule, sizeof(rule)));
}

static int judge_frame(struct generation *offline, const struct frame *frame, __u64 now, struct decision *decision)
{
	struct connection_key key;
	struct packet_flow flow;
	int err = 0, closed;

	if (!frame->open || packet_flow(frame->bytes, frame->length, frame->length, &flow) || !flow.ports)
		return generation_judge(offline, frame->bytes, frame->length, now, decision);
	packet_connection(&flow, &key);
	err = generation_connection(offline, &key, CONNECTION_OPEN);
	if (err)
		return err;
	err = generation_judge(offline, frame->bytes, frame->length, now, decision);
	closed = generation_connection(offline, &key, CONNECTION_CLOSED);
	return err ? err : closed;
}

static int run_test(const struct policy *policy, const struct image *image, struct generation *offline,
		    const struct policy_test *test, __u64 now, struct report *report)
{
	struct decision decision = {0};
	struct verdict_seen seen;
	struct frame frame;
	char error[256];
	int err = packet_text(test->packet, &frame, error, sizeof(error));

	if (err == -EINVAL) {
		policy_say(policy, report, SEVERITY_ERROR, &test->at, "packet '%s': %s", test->packet, error);
		return 0;
	}
	generation_profile(offline, test->under_attack);
	generation_zone(offline, test->zone);
	err = err ? err : judge_frame(offline, &frame, now, &decision);
	generation_profile(offline, false);
	generation_zone(offline, 0);
	if (err)
		return err;
	seen = seen_of(image, &decision);
	/* A policy that only monitors is tested by what it would do: its tests go with it when it is enforced. */
	if (!as_wanted(test, &seen) && policy->monitor && decision.would) {
		seen.verdict = VERDICT_DROP;
		seen.reason = decision.would;
		seen.rule = decision.would_rule;
	}
	if (as_wanted(test, &seen))
		return 1;
	say_failed(policy, image, test, &seen, report);
	return 0;
}

int judge_tests(const struct policy *policy, const struct image *image, struct generation *offline,
		struct report *report, size_t *passed)
{
	__u64 now = BETWEEN_TESTS_NS;

	*passed = 0;
	for (size_t i = 0; i < policy->test_count; i++, now += BETWEEN_TESTS_NS) {
		int done = run_test(policy, image, offline, &policy->tests[i], now, report);

		if (done < 0)
			return done;
		*passed += done;
	}
	return 0;
}
