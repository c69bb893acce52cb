/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The top level of a policy, and its small maps: icmp, stray, syn-cookies, events, tests. */
#include <stdlib.h>
#include <string.h>

#include "parse.h"

const char *const mode_words[] = {"auto", "native", "generic", NULL};
const char *const default_words[] = {"drop", "pass", NULL};
const char *const stray_words[] = {"reset", "drop", "pass", NULL};
const char *const forward_words[] = {"pass", "services", "drop", NULL};
const char *const unparsed_words[] = {"drop", "pass", NULL};
const char *const on_failure_words[] = {"open", "closed", NULL};
const char *const expect_words[] = {"pass", "drop", "reply", NULL};

/* ---- icmp, stray, syn-cookies, events ---- */

static void icmp_echo(struct parser *parser, void *object, const struct node *value)
{
	take_rate(parser, value, &((struct policy *)object)->icmp_echo);
}

static const struct key icmp_keys[] = {{"echo", icmp_echo}};
const struct scope icmp_scope = SCOPE("icmp", "'icmp'", icmp_keys);

static void stray_reset(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	if (take_rate(parser, value, &policy->stray_rate) && !policy->stray_rate.count)
		wrong(parser, value, "'%s' resets nothing: write stray: drop", value->text);
}

static const struct key stray_keys[] = {{"reset", stray_reset}};
const struct scope stray_scope = SCOPE("stray", "'stray'", stray_keys);

static void cookies_replies(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	if (value->kind == NODE_SCALAR && !strcmp(value->text, "unlimited"))
		policy->cookies_unlimited = true;
	else if (take_rate(parser, value, &policy->cookie_replies) && !policy->cookie_replies.count)
		wrong(parser, value, "'%s' answers nobody: write 'syn-cookies: off' on services that challenge nobody",
		      value->text);
}

const char *const cookie_sysctls_words[] = {"tcp_syncookies", "tcp_timestamps", NULL}; /* by bit of cookie_sysctls */

static void cookies_sysctls(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	if (!is_sequence(parser, value, "'sysctls'"))
		return;
	for (const struct node *item = value->first; item; item = item->next) {
		int word = take_word(parser, item, cookie_sysctls_words);

		if (word >= 0)
			policy->cookie_sysctls |= 1u << word;
	}
}

static const struct key cookies_keys[] = {{"replies", cookies_replies}, {"sysctls", cookies_sysctls}};
const struct scope cookies_scope = SCOPE("syn-cookies", "'syn-cookies'", cookies_keys);

static void events_sample(struct parser *parser, void *object, const struct node *value)
{
	static const char tail[] = " per source and reason";
	struct policy_rate *rate = &((struct policy *)object)->event_sample;
	const char *text = take_scalar(parser, value);
	char head[32];
	size_t length;

	if (!text)
		return;
	length = strlen(text);
	if (length > sizeof(tail) - 1 && !strcmp(text + length - (sizeof(tail) - 1), tail))
		length -= sizeof(tail) - 1;
	snprintf(head, sizeof(head), "%.*s", (int)length, text);
	rate->at = value->at;
	if (length >= sizeof(head) || rate_parse(head, rate))
		wrong(parser, value, "'%.80s' is not a sample rate: write 1/s per source and reason", text);
	else if (!rate->count)
		wrong(parser, value, "'%.80s' would tell nothing: at least one event a period", text);
}

static void events_anonymize(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;
	const char *text = take_scalar(parser, value);

	if (text && strcmp(text, "off") && !prefix_lengths(text, &policy->anonymize_v4, &policy->anonymize_v6))
		wrong(parser, value, "'%.80s' is neither off nor a prefix of both families, as in \"/24,/48\"", text);
}

static const struct key events_keys[] = {{"sample", events_sample}, {"anonymize", events_anonymize}};
const struct scope events_scope = SCOPE("events", "'events'", events_keys);

/* ---- tests ---- */

struct test_parts {
	struct policy_test test;
	bool has_packet, has_expect;
};

static void test_packet(struct parser *parser, void *object, const struct node *value)
{
	struct test_parts *parts = object;

	parts->has_packet = true;
	parts->test.packet_at = value->at;
	take_copy(parser, value, &parts->test.packet);
}

static void test_expect(struct parser *parser, void *object, const struct node *value)
{
	struct test_parts *parts = object;
	int word = take_word(parser, value, expect_words);

	parts->has_expect = true;
	parts->test.expect = word < 0 ? EXPECT_PASS : word;
}

static void test_reason(struct parser *parser, void *object, const struct node *value)
{
	struct policy_test *test = &((struct test_parts *)object)->test;

	test->reason_at = value->at;
	take_copy(parser, value, &test->reason);
}

static void test_service(struct parser *parser, void *object, const struct node *value)
{
	struct policy_test *test = &((struct test_parts *)object)->test;

	test->service_at = value->at;
	take_copy(parser, value, &test->service);
}

static void test_under_attack(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct test_parts *)object)->test.under_attack);
}

static void test_zone(struct parser *parser, void *object, const struct node *value)
{
	take_zone(parser, value, &((struct test_parts *)object)->test.zone);
}

static const struct key test_keys[] = {
	{"packet", test_packet},
	{"expect", test_expect},
	{"reason", test_reason},
	{"service", test_service},
	{"under-attack", test_under_attack},
	{"zone", test_zone},
};
const struct scope test_scope = SCOPE("test", "a test", test_keys);

static void test_free(struct policy_test *test)
{
	free(test->packet);
	free(test->reason);
	free(test->service);
}

static void take_test(struct parser *parser, struct policy *policy, const struct node *item)
{
	struct test_parts parts = {.test.at = item->at};
	struct policy_test *added;

	parse_map(parser, &test_scope, &parts, item);
	if (item->kind == NODE_MAP && !item->broken) {
		if (!parts.has_packet)
			wrong(parser, item, "a test needs a 'packet'");
		if (!parts.has_expect)
			wrong(parser, item, "a test needs 'expect': pass, drop or reply");
	}
	added = parts.test.packet ? append(parser, &policy->tests, &policy->test_count, sizeof(*added)) : NULL;
	if (added)
		*added = parts.test;
	else
		test_free(&parts.test);
}

static void policy_tests(struct parser *parser, void *object, const struct node *value)
{
	if (!is_sequence(parser, value, "'tests'"))
		return;
	for (const struct node *item = value->first; item; item = item->next)
		take_test(parser, object, item);
}

/* An entry that ends must never make the policy wrong: its tests go with it. */
static void leave_out_tests_of_gone_services(struct parser *parser)
{
	struct policy *policy = parser->policy;
	size_t kept = 0;

	for (size_t i = 0; i < policy->test_count; i++) {
		struct policy_test *test = &policy->tests[i];
		bool gone = false;

		for (size_t j = 0; test->service && j < parser->gone_count; j++)
			gone |= parser->gone[j] && !strcmp(parser->gone[j], test->service);
		if (!gone) {
			policy->tests[kept++] = *test;
			continue;
		}
		policy_say(policy, parser->report, SEVERITY_WARNING, &test->at,
			   "this test is left out with service '%s', which has ended", test->service);
		test_free(test);
	}
	policy->test_count = kept;
}

/* ---- the top level ---- */

static bool is_interface(const char *text)
{
	if (!strcmp(text, ".") || !strcmp(text, "..") || strlen(text) > 15)
		return false;
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p == '/' || *p == ':' || *p == 0x7f)
			return false;
	return *text;
}

const char *take_interface_name(struct parser *parser, const struct node *node)
{
	const char *text = take_text(parser, node);

	if (!text || is_interface(text))
		return text;
	wrong(parser, node, "'%.80s' cannot be an interface: at most 15 characters, no blanks, '/' or ':'", text);
	return NULL;
}

static void take_interface(struct parser *parser, struct policy *policy, const struct node *item)
{
	const char *text = take_interface_name(parser, item);
	size_t places = policy->interface_count;
	struct place *at;
	char **name;

	if (!text)
		return;
	for (size_t i = 0; i < places; i++) {
		if (strcmp(policy->interfaces[i], text))
			continue;
		wrong(parser, item, "'%s' stands here twice", text);
		return;
	}
	at = append(parser, &policy->interface_at, &places, sizeof(*at));
	name = at ? append(parser, &policy->interfaces, &policy->interface_count, sizeof(*name)) : NULL;
	if (!name)
		return;
	*at = item->at;
	*name = copy_text(parser, text);
	if (!*name)
		policy->interface_count--;
}

static void policy_interfaces(struct parser *parser, void *object, const struct node *value)
{
	if (!is_sequence(parser, value, "'interfaces'"))
		return;
	if (!value->count)
		wrong(parser, value, "'interfaces' is empty: nothing would be protected; write [auto]");
	if (value->count > INTERFACES_MAX) {
		wrong(parser, value, "'interfaces' has %zu entries, at most %d", value->count, INTERFACES_MAX);
		return;
	}
	for (const struct node *item = value->first; item; item = item->next)
		take_interface(parser, object, item);
}

static void policy_mode(struct parser *parser, void *object, const struct node *value)
{
	int word = take_word(parser, value, mode_words);

	if (word >= 0)
		((struct policy *)object)->mode = word;
}

static void policy_default(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	policy->default_pass = take_word(parser, value, default_words) == 1;
	policy->default_at = value->at;
}

static void policy_trusted(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy *)object)->trusted, &use_scope, value);
}

static void policy_block(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy *)object)->block, &block_scope, value);
}

static void policy_never_ban(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy *)object)->never_ban, &use_scope, value);
}

static void policy_health_checks(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy *)object)->health_checks, &use_scope, value);
}

static void policy_proxies(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy *)object)->proxies, &use_scope, value);
}

static void policy_icmp(struct parser *parser, void *object, const struct node *value)
{
	((struct policy *)object)->icmp_at = value->at;
	parse_map(parser, &icmp_scope, object, value);
}

static void policy_stray(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;
	int word;

	policy->stray_at = value->at;
	if (value->kind == NODE_MAP) {
		parse_map(parser, &stray_scope, policy, value);
		return;
	}
	if (value->kind == NODE_SCALAR && !strcmp(value->text, "reset")) {
		wrong(parser, value, "'reset' needs its rate: write { reset: 1k/s }");
		return;
	}
	word = take_word(parser, value, stray_words);
	if (word >= 0)
		policy->stray = word;
}

static void policy_cookies(struct parser *parser, void *object, const struct node *value)
{
	((struct policy *)object)->cookies_at = value->at;
	parse_map(parser, &cookies_scope, object, value);
}

static void policy_forward(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;
	int word = take_word(parser, value, forward_words);

	policy->forward_at = value->at;
	if (word >= 0)
		policy->forward = word;
}

static void policy_unparsed(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	policy->unparsed_at = value->at;
	policy->unparsed_pass = take_word(parser, value, unparsed_words) == 1;
}

static void policy_monitor(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;

	policy->monitor_at = value->at;
	take_bool(parser, value, &policy->monitor);
}

static void policy_on_failure(struct parser *parser, void *object, const struct node *value)
{
	int word = take_word(parser, value, on_failure_words);

	if (word < 0)
		return;
	((struct policy *)object)->on_failure = word;
}

static void policy_events(struct parser *parser, void *object, const struct node *value)
{
	parse_map(parser, &events_scope, object, value);
}

static void policy_tag_mask(struct parser *parser, void *object, const struct node *value)
{
	struct policy *policy = object;
	__u64 mask, lowest;

	if (!take_number(parser, value, 1, 0xffffffff, &mask))
		return;
	lowest = mask & -mask;
	if ((mask + lowest) & mask) {
		wrong(parser, value, "'%s' has a gap: the bits of 'tag-mask' stand side by side", value->text);
		return;
	}
	policy->tag_mask = mask;
	policy->tag_mask_at = value->at;
}

/* Read before the others: `version` by check_version(), `include` by parse_include.c, `zones` and `lists` by
 * parse_policy(). */
static void policy_read_before(struct parser *parser, void *object, const struct node *value)
{
	(void)parser, (void)object, (void)value;
}

static const struct key policy_keys[] = {
	{"version", policy_read_before},
	{"include", policy_read_before},
	{"interfaces", policy_interfaces},
	{"mode", policy_mode},
	{"default", policy_default},
	{"monitor", policy_monitor},
	{"lists", policy_read_before},
	{"trusted", policy_trusted},
	{"block", policy_block},
	{"never-ban", policy_never_ban},
	{"health-checks", policy_health_checks},
	{"proxies", policy_proxies},
	{"services", parse_services},
	{"source-v6", parse_source_v6},
	{"ban", parse_ban},
	{"tag-mask", policy_tag_mask},
	{"icmp", policy_icmp},
	{"stray", policy_stray},
	{"syn-cookies", policy_cookies},
	{"forward", policy_forward},
	{"unparsed", policy_unparsed},
	{"on-failure", policy_on_failure},
	{"events", policy_events},
	{"metrics", policy_metrics},
	{"tests", policy_tests},
	{"zones", policy_read_before},
	{"under-attack", parse_policy_profile},
};
const struct scope policy_scope = SCOPE("policy", "a policy", policy_keys);

void check_version(struct parser *parser, const struct node *root)
{
	__u64 version;

	for (const struct node *value = root->first; value; value = value->next) {
		if (strcmp(value->key->text, "version"))
			continue;
		if (take_number(parser, value, 0, 0xffffffff, &version) && version != 1)
			wrong(parser, value,
			      "version %llu of the policy language is not known: this program reads version 1",
			      version);
		return;
	}
	wrong(parser, root, "'version' is missing: begin with version: 1");
}

/* Zones and lists first, wherever they stand: everything else names them. */
void parse_policy(struct parser *parser, const struct node *root)
{
	for (const struct node *value = root->first; value; value = value->next)
		if (!strcmp(value->key->text, "zones"))
			parse_zones(parser, parser->policy, value);
	for (const struct node *value = root->first; value; value = value->next)
		if (!strcmp(value->key->text, "lists"))
			parse_lists(parser, parser->policy, value);
	parse_map(parser, &policy_scope, parser->policy, root);
	leave_out_tests_of_gone_services(parser);
}
