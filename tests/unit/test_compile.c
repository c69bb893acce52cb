/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy's text compiled in memory: rules, services and their chains, classes, feeds and what they are cut around. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/compile.h"
#include "../../userspace/judge.h"

struct compiled {
	struct report report;
	struct policy *policy;
	struct image image;
	int err;
};

static struct compiled compile(const char *text, const struct host *host)
{
	struct compiled compiled = {0};

	compiled.policy = policy_parse(text, strlen(text), "p.yaml", "/tmp", &compiled.report);
	assert_non_null(compiled.policy);
	policy_check(compiled.policy, &compiled.report);
	if (compiled.report.errors)
		report_print(&compiled.report, stderr);
	assert_int_equal(compiled.report.errors, 0);
	compiled.err = image_compile(compiled.policy, host, &compiled.image, &compiled.report);
	return compiled;
}

static void done(struct compiled *compiled)
{
	if (!compiled->err)
		image_free(&compiled->image);
	policy_free(compiled->policy);
	report_free(&compiled->report);
}

static bool said(const struct compiled *compiled, const char *words)
{
	for (size_t i = 0; i < compiled->report.count; i++) {
		if (strstr(compiled->report.findings[i].text, words))
			return true;
	}
	return false;
}

static const struct class_entry *class_of(const struct compiled *compiled, const char *text)
{
	struct prefix address;

	assert_int_equal(prefix_parse(text, &address), 0);
	return &compiled->image.classes[tables_class(&compiled->image.tables, address.address)];
}

/* The names of the services of a port, in the order in which they are asked: "front back". */
static const char *chain_of(const struct compiled *compiled, size_t port, char text[256])
{
	const struct image *image = &compiled->image;

	*text = '\0';
	for (unsigned at = image->port_services[port]; at; at = image->services[at].next) {
		strcat(text, *text ? " " : "");
		strcat(text, image->service_names[at]);
	}
	return text;
}

static void test_rules_follow_the_file(void **state)
{
	struct compiled compiled = compile("version: 1\n"
					   "services:\n"
					   "  web: { ports: tcp/443 }\n"
					   "block:\n"
					   "  - bad\n"
					   "default: drop\n"
					   "trusted: [office]\n"
					   "lists:\n"
					   "  office: { addresses: [46.30.40.0/28] }\n"
					   "  bad: { addresses: [9.0.0.0/8] }\n",
					   NULL);
	const struct image *image = &compiled.image;

	(void)state;
	assert_int_equal(compiled.err, 0);
	assert_int_equal(image->rule_count, RULE_FIRST + 3);
	assert_string_equal(image->rules[RULE_FIRST].name, "web");
	assert_int_equal(image->rules[RULE_FIRST].kind, RULE_KIND_SERVICE);
	assert_string_equal(image->rules[RULE_FIRST].place, "p.yaml:3");
	assert_string_equal(image->rules[RULE_FIRST + 1].place, "p.yaml:5");
	assert_int_equal(image->rules[RULE_FIRST + 2].kind, RULE_KIND_TRUSTED);
	assert_string_equal(image->rules[RULE_DEFAULT].place, "p.yaml:6");
	assert_null(image->rules[RULE_STRAY].place);
	assert_int_equal(class_of(&compiled, "46.30.40.1")->trusted_rule, RULE_FIRST + 2);
	assert_int_equal(class_of(&compiled, "9.1.1.1")->flags, CLASS_BLOCK_IN);
	assert_int_equal(class_of(&compiled, "9.1.1.1")->block_rule, RULE_FIRST + 1);
	assert_int_equal(class_of(&compiled, "8.1.1.1")->flags, 0);
	done(&compiled);
}

static void test_directions_and_monitor(void **state)
{
	struct compiled compiled = compile("version: 1\n"
					   "lists:\n"
					   "  a: { addresses: [9.0.0.0/8] }\n"
					   "  b: { addresses: [9.9.0.0/16] }\n"
					   "block:\n"
					   "  - { list: a, monitor: true, direction: both }\n"
					   "  - { list: b, direction: out }\n"
					   "  - b\n",
					   NULL);
	const struct class_entry *class = class_of(&compiled, "9.9.1.1");

	(void)state;
	assert_int_equal(class->flags,
			 CLASS_BLOCK_IN | CLASS_BLOCK_IN_MONITOR | CLASS_BLOCK_OUT | CLASS_BLOCK_OUT_MONITOR);
	assert_int_equal(class->monitor_rule, RULE_FIRST);
	assert_int_equal(class->out_rule, RULE_FIRST + 1);
	assert_int_equal(class->block_rule, RULE_FIRST + 2);
	assert_true(compiled.image.config.have_egress_block);
	done(&compiled);
}

static void test_whole_policy_monitors(void **state)
{
	struct compiled compiled = compile("version: 1\nmonitor: true\n"
					   "lists: { bad: { addresses: [9.0.0.0/8] } }\nblock: [bad]\n"
					   "services: { web: { ports: tcp/443 } }\n",
					   NULL);

	(void)state;
	assert_true(compiled.image.config.monitor);
	assert_int_equal(class_of(&compiled, "9.1.1.1")->flags, CLASS_BLOCK_IN_MONITOR);
	assert_int_equal(compiled.image.services[1].flags, SERVICE_MONITOR);
	done(&compiled);
}

static void test_chains(void **state)
{
	struct compiled compiled = compile("version: 1\n"
					   "lists:\n"
					   "  x: { addresses: [192.0.2.1] }\n"
					   "  y: { addresses: [192.0.2.2] }\n"
					   "services:\n"
					   "  front: { ports: [tcp/80, tcp/443], to: [x] }\n"
					   "  back: { ports: [tcp/80, tcp/8000-8010], to: [y] }\n"
					   "  all: { ports: [tcp/443, tcp/8005] }\n"
					   "  any-udp: { ports: udp/* }\n"
					   "  tunnel: { ports: ip/gre }\n",
					   NULL);
	char text[256];

	(void)state;
	assert_string_equal(chain_of(&compiled, PORTS_TCP + 80, text), "front back");
	assert_string_equal(chain_of(&compiled, PORTS_TCP + 443, text), "front all");
	assert_string_equal(chain_of(&compiled, PORTS_TCP + 8000, text), "back");
	assert_string_equal(chain_of(&compiled, PORTS_TCP + 8005, text), "back all");
	assert_string_equal(chain_of(&compiled, PORTS_TCP + 8011, text), "");
	assert_string_equal(chain_of(&compiled, PORTS_UDP + 1, text), "any-udp");
	assert_string_equal(chain_of(&compiled, PORTS_UDP + 65535, text), "any-udp");
	assert_string_equal(chain_of(&compiled, PORTS_UDP, text), "");
	assert_string_equal(chain_of(&compiled, PORTS_SCTP + 1, text), "");
	assert_string_equal(chain_of(&compiled, PORTS_IP + IPPROTO_GRE, text), "tunnel");
	assert_string_equal(compiled.image.service_names[1], "front");
	assert_true(compiled.image.config.have_to);
	done(&compiled);
}

static void test_what_has_ended_never_widens(void **state)
{
	struct compiled compiled = compile("version: 1\n"
					   "lists:\n"
					   "  partners: { addresses: [45.10.20.0/24], until: 2020-01-31 }\n"
					   "  friends: { addresses: [45.10.21.0/24] }\n"
					   "services:\n"
					   "  api: { ports: tcp/443, allow: [{ list: friends, until: 2020-01-31 }] }\n"
					   "  old: { ports: tcp/80, until: 2020-01-31 }\n"
					   "  partner-api: { ports: tcp/8443, allow: [partners] }\n",
					   NULL);
	const struct image *image = &compiled.image;
	char text[256];

	(void)state;
	assert_int_equal(compiled.err, 0);
	/* an allow whose entries are all over lets nobody in */
	assert_int_equal(image->services[image->port_services[443]].allow, 1ULL << (LISTS_MAX - 1));
	assert_string_equal(chain_of(&compiled, 80, text), "");
	assert_int_equal(class_of(&compiled, "45.10.20.1")->lists, 0);
	assert_true(said(&compiled, "'old' ended on 2020-01-31"));
	assert_true(said(&compiled, "list 'partners' ended on 2020-01-31"));
	done(&compiled);
}

static void test_budgets(void **state)
{
	struct compiled compiled =
		compile("version: 1\nicmp: { echo: 30/m }\nstray: drop\nforward: drop\nunparsed: pass\n", NULL);
	const struct generation_config *config = &compiled.image.config;

	(void)state;
	assert_int_equal(config->budgets[BUDGET_ECHO].increment_ns, 2000000000);
	assert_int_equal(config->budgets[BUDGET_ECHO].tolerance_ns, 2 * 2000000000ULL); /* three at once at least */
	assert_int_equal(config->budgets[BUDGET_STRAY].increment_ns, 0);
	assert_int_equal(config->budgets[BUDGET_TRUSTED].increment_ns, 100000);
	assert_int_equal(config->budgets[BUDGET_TRUSTED].tolerance_ns, 9999 * 100000ULL);
	assert_int_equal(config->forward, FORWARD_DROP);
	assert_true(config->unparsed_pass);
	assert_false(config->default_pass);
	done(&compiled);
}

/* ---- feeds */

static char feed[] = "/tmp/bulwark-test-feed-XXXXXX";

static int write_feed(void **state)
{
	static const char text[] = "45.0.0.0/8\n10.0.0.0/8\n8.8.8.0/24\n198.20.0.0/16\n2a01::/16\n";
	int fd = mkstemp(feed);

	(void)state;
	if (fd < 0 || write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
		return -1;
	return close(fd);
}

static int remove_feed(void **state)
{
	(void)state;
	return unlink(feed);
}

static struct compiled compile_feed(const char *rest, const struct host *host)
{
	char text[1024];

	snprintf(text, sizeof(text), "version: 1\nlists:\n  bad: { feed: %s }\n%s", feed, rest);
	return compile(text, host);
}

static void test_feeds_are_cut(void **state)
{
	struct prefix resolver, gateway;
	struct host_address own = {0};
	struct host host = {.addresses = &own,
			    .address_count = 1,
			    .resolvers = &resolver,
			    .resolver_count = 1,
			    .gateways = &gateway,
			    .gateway_count = 1};
	struct compiled compiled;

	(void)state;
	assert_int_equal(prefix_parse("8.8.8.8", &resolver), 0);
	assert_int_equal(prefix_parse("198.20.0.1", &gateway), 0);
	assert_int_equal(prefix_parse("198.20.7.9", &own.address), 0);
	assert_int_equal(prefix_parse("198.20.7.0/24", &own.on_link), 0);
	compiled = compile_feed("  partners: { addresses: [45.10.20.0/24, '2a01:77::/48'] }\n"
				"block: [bad]\n"
				"services: { api: { ports: tcp/443, allow: [partners] } }\n",
				&host);
	assert_int_equal(compiled.err, 0);
	assert_true(class_of(&compiled, "45.10.21.1")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "45.10.20.1")->flags & CLASS_BLOCK_IN);
	assert_true(class_of(&compiled, "2a01:78::1")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "2a01:77::1")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "10.1.2.3")->flags & CLASS_BLOCK_IN);
	assert_true(class_of(&compiled, "8.8.8.9")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "8.8.8.8")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "198.20.0.1")->flags & CLASS_BLOCK_IN);
	assert_false(class_of(&compiled, "198.20.7.200")->flags & CLASS_BLOCK_IN);
	assert_true(class_of(&compiled, "198.20.8.1")->flags & CLASS_BLOCK_IN);
	assert_true(compiled.image.lists[0].cut >= 6);
	done(&compiled);
}

static void test_inline_lists_mean_what_they_say(void **state)
{
	struct compiled compiled = compile("version: 1\n"
					   "lists:\n"
					   "  bad: { addresses: [10.0.0.0/8, 45.0.0.0/8] }\n"
					   "  partners: { addresses: [45.10.20.0/24] }\n"
					   "block: [bad]\n"
					   "services: { api: { ports: tcp/443, allow: [partners] } }\n",
					   NULL);

	(void)state;
	assert_true(class_of(&compiled, "10.1.2.3")->flags & CLASS_BLOCK_IN);
	assert_true(class_of(&compiled, "45.10.20.1")->flags & CLASS_BLOCK_IN);
	assert_int_equal(compiled.image.cuts.count, 0);
	done(&compiled);
}

static void test_a_protected_feed_blocks_nothing(void **state)
{
	struct compiled compiled =
		compile_feed("block: [bad]\nservices: { api: { ports: tcp/443, allow: [bad] } }\n", NULL);

	(void)state;
	assert_true(said(&compiled, "nothing of it is blocked"));
	assert_false(class_of(&compiled, "45.1.1.1")->flags & CLASS_BLOCK_IN);
	assert_int_equal(class_of(&compiled, "10.1.1.1")->lists, 1); /* and is whole where it allows */
	done(&compiled);
}

static void test_the_hash(void **state)
{
	struct compiled one = compile_feed("block: [bad]\n", NULL), same = compile_feed("block: [bad]\n", NULL);
	struct compiled other = compile_feed("block: [bad]\nmonitor: true\n", NULL);
	FILE *file;
	struct compiled grown;

	(void)state;
	assert_memory_equal(one.image.policy_hash, same.image.policy_hash, 32);
	assert_memory_not_equal(one.image.policy_hash, other.image.policy_hash, 32);
	file = fopen(feed, "a");
	assert_non_null(file);
	fputs("9.9.9.9\n", file);
	fclose(file);
	grown = compile_feed("block: [bad]\n", NULL);
	assert_memory_not_equal(one.image.policy_hash, grown.image.policy_hash, 32);
	done(&one);
	done(&same);
	done(&other);
	done(&grown);
}

static void test_too_many_lists(void **state)
{
	char text[8192] = "version: 1\nlists:\n";
	size_t used = strlen(text);
	struct compiled compiled;

	(void)state;
	for (int i = 0; i < 64; i++)
		used += snprintf(text + used, sizeof(text) - used, "  l%d: { addresses: [9.9.%d.0/24] }\n", i, i);
	used += snprintf(text + used, sizeof(text) - used, "block: [");
	for (int i = 0; i < 64; i++)
		used += snprintf(text + used, sizeof(text) - used, "%sl%d", i ? ", " : "", i);
	snprintf(text + used, sizeof(text) - used, "]\n");
	compiled = compile(text, NULL);
	assert_int_equal(compiled.err, -E2BIG);
	assert_true(said(&compiled, "the policy uses 64 lists; 62 are possible"));
	done(&compiled);
}

/* `until: 2027-01-31` ends with that day, UTC. */
static void test_until_ends_with_its_day(void **state)
{
	const time_t midnight = 1801440000; /* 2027-02-01 00:00:00 UTC */

	(void)state;
	assert_false(entry_over("2027-01-31", midnight - 1));
	assert_true(entry_over("2027-01-31", midnight));
	assert_true(entry_over("2026-12-31", midnight));
	assert_false(entry_over(NULL, midnight));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_follow_the_file),
		cmocka_unit_test(test_directions_and_monitor),
		cmocka_unit_test(test_whole_policy_monitors),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_what_has_ended_never_widens),
		cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_feeds_are_cut),
		cmocka_unit_test(test_inline_lists_mean_what_they_say),
		cmocka_unit_test(test_a_protected_feed_blocks_nothing),
		cmocka_unit_test(test_the_hash),
		cmocka_unit_test(test_too_many_lists),
		cmocka_unit_test(test_until_ends_with_its_day),
	};

	return cmocka_run_group_tests(tests, write_feed, remove_feed);
}
