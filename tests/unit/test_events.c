/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events as ECS documents, field by field. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/events.h"

static struct places places;
static struct names *names;

static const char description[] =
	"{\"generation\": 7, \"rules\": [{\"number\": 1, \"kind\": \"default\", \"name\": \"default\", \"place\": "
	"null},"
	" {\"number\": 16, \"kind\": \"service\", \"name\": \"ssh\", \"place\": \"api.yaml:31\"},"
	" {\"number\": 17, \"kind\": \"block\", \"name\": \"bad-actors\", \"place\": \"api.yaml:12\"},"
	" {\"number\": 18, \"kind\": \"block\", \"name\": \"office\", \"place\": \"api.yaml:13\"}],"
	" \"services\": [{\"row\": 5, \"name\": \"ssh\"}],"
	" \"lists\": [{\"number\": 0, \"name\": \"office\", \"feed\": null},"
	" {\"number\": 1, \"name\": \"bad-actors\", \"feed\": \"/etc/feeds/bad.netset\"}]}";

static int setup(void **state)
{
	char path[SAVED_PATH_MAX];
	FILE *file;

	(void)state;
	strcpy(places.state_dir, "/tmp/bulwark-events-XXXXXX");
	if (!mkdtemp(places.state_dir))
		return -1;
	snprintf(path, sizeof(path), "%s/generations", places.state_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/generations/7", places.state_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/generations/8", places.state_dir);
	mkdir(path, 0700);
	file = fopen(saved_path(&places, 7, "description.json", path), "w");
	if (!file)
		return -1;
	fputs(description, file);
	fclose(file);
	file = fopen(saved_path(&places, 8, "description.json", path), "w");
	if (!file)
		return -1;
	fputs("{\"generation\": 8, \"anonymize\": [20, 48]}", file);
	fclose(file);
	names = names_open(&places);
	return names ? 0 : -1;
}

static int teardown(void **state)
{
	char command[400];

	(void)state;
	names_free(names);
	snprintf(command, sizeof(command), "rm -r %s", places.state_dir);
	return system(command);
}

static void put_address(__u8 address[16], const char *text)
{
	memset(address, 0, 16);
	address[10] = address[11] = 0xff;
	if (inet_pton(AF_INET, text, address + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, address), 1);
}

static struct event drop(void)
{
	struct timespec boot;
	struct event event = {
		.packets = 3,
		.generation = 7,
		.ifindex = 1, /* lo, which every host has */
		.source_port = 34855,
		.destination_port = 80,
		.rule = 16,
		.service = 5,
		.length = 74,
		.kind = EVENT_VERDICT,
		.verdict = VERDICT_DROP,
		.reason = REASON_NOT_ALLOWED,
		.protocol = IPPROTO_TCP,
		.tcp_flags = 2,
		.hook = HOOK_XDP,
	};

	clock_gettime(CLOCK_BOOTTIME, &boot);
	event.time_ns = (__u64)boot.tv_sec * 1000000000 + (__u64)boot.tv_nsec;
	put_address(event.source, "128.232.110.120");
	put_address(event.destination, "66.35.250.204");
	return event;
}

/* Member "a.b.c"; a number picks from an array. */
static const json_t *at(const json_t *document, const char *path)
{
	char copy[128], *save = NULL;

	strcpy(copy, path);
	for (char *word = strtok_r(copy, ".", &save); word && document; word = strtok_r(NULL, ".", &save))
		document = json_is_array(document) ? json_array_get(document, strtoul(word, NULL, 10))
						   : json_object_get(document, word);
	return document;
}

static void assert_text(const json_t *document, const char *path, const char *text)
{
	const char *found = json_string_value(at(document, path));

	if (!found)
		print_error("%s is missing\n", path);
	assert_non_null(found);
	assert_string_equal(found, text);
}

static void assert_number(const json_t *document, const char *path, json_int_t number)
{
	assert_true(json_is_integer(at(document, path)));
	assert_int_equal(json_integer_value(at(document, path)), number);
}

static void test_drop(void **state)
{
	struct event event = drop();
	json_t *document = event_verdict(names, &event, 42);
	char host[256];

	(void)state;
	gethostname(host, sizeof(host));
	assert_text(document, "ecs.version", ECS_VERSION);
	assert_text(document, "host.name", host);
	assert_text(document, "event.kind", "event");
	assert_text(document, "event.category.0", "network");
	assert_text(document, "event.type.0", "connection");
	assert_text(document, "event.type.1", "denied");
	assert_text(document, "event.action", "packet-dropped");
	assert_text(document, "event.reason", "not-allowed");
	assert_text(document, "source.ip", "128.232.110.120");
	assert_text(document, "source.address", "128.232.110.120");
	assert_number(document, "source.port", 34855);
	assert_text(document, "destination.ip", "66.35.250.204");
	assert_number(document, "destination.port", 80);
	assert_text(document, "network.transport", "tcp");
	assert_text(document, "network.type", "ipv4");
	assert_text(document, "network.iana_number", "6");
	assert_text(document, "network.direction", "inbound");
	assert_text(document, "network.community_id", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	assert_text(document, "observer.ingress.interface.name", "lo");
	assert_text(document, "rule.name", "ssh");
	assert_text(document, "rule.category", "service");
	assert_text(document, "service.name", "ssh");
	assert_text(document, "bulwark.rule", "api.yaml:31");
	assert_text(document, "bulwark.verdict", "drop");
	assert_number(document, "bulwark.generation", 7);
	assert_number(document, "bulwark.sequence", 42);
	assert_number(document, "bulwark.packets", 3);
	assert_number(document, "bulwark.tcp_flags", 2);
	assert_null(at(document, "bulwark.proven"));
	assert_null(at(document, "threat"));
	json_decref(document);
}

/* Of whom it is said that a handshake was completed. */
static void test_proven(void **state)
{
	static const struct {
		__u8 protocol, tcp_flags, reason, hook;
		bool proven;
	} rows[] = {
		{IPPROTO_TCP, 0x10, REASON_RATE_PACKETS, HOOK_XDP, true},
		{IPPROTO_TCP, 0x18, REASON_RATE_BYTES, HOOK_XDP, true},
		{IPPROTO_TCP, 0x10, REASON_RATE_CONNECTIONS, HOOK_XDP, true}, /* the answer to a SYN cookie */
		{IPPROTO_TCP, 0x02, REASON_RATE_CONNECTIONS, HOOK_XDP, false},
		{IPPROTO_TCP, 0x02, REASON_RATE_PACKETS, HOOK_XDP, false},
		{IPPROTO_TCP, 0x10, REASON_STRAY, HOOK_XDP, false},
		{IPPROTO_TCP, 0x10, REASON_BLOCKED, HOOK_XDP, false},
		{IPPROTO_TCP, 0x18, REASON_TLS_SNI, HOOK_INGRESS, true},
		{IPPROTO_UDP, 0, REASON_RATE_PACKETS, HOOK_XDP, false},
		{IPPROTO_ICMP, 0, REASON_ICMP_RATE, HOOK_XDP, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct event event = drop();
		json_t *document;

		event.protocol = rows[i].protocol;
		event.tcp_flags = rows[i].tcp_flags;
		event.reason = rows[i].reason;
		event.hook = rows[i].hook;
		document = event_verdict(names, &event, 1);
		assert_int_equal(json_is_true(at(document, "bulwark.proven")), rows[i].proven);
		json_decref(document);
	}
}

static void test_timestamp(void **state)
{
	struct event event = drop();
	json_t *document = event_verdict(names, &event, 1);
	struct tm broken = {};
	const char *rest = strptime(json_string_value(at(document, "@timestamp")), "%Y-%m-%dT%H:%M:%S", &broken);

	(void)state;
	assert_non_null(rest);
	assert_int_equal(strlen(rest), 5); /* .123Z */
	assert_int_equal(rest[4], 'Z');
	assert_in_range(timegm(&broken), time(NULL) - 3, time(NULL) + 1);
	json_decref(document);
}

static void test_blocked_by_feed(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	event.reason = REASON_BLOCKED;
	event.rule = 17;
	event.service = 0;
	document = event_verdict(names, &event, 1);
	assert_text(document, "threat.feed.name", "bad-actors");
	assert_text(document, "bulwark.list", "bad-actors");
	assert_text(document, "rule.name", "bad-actors");
	assert_null(at(document, "service"));
	json_decref(document);
	event.rule = 18; /* an inline list is no feed */
	document = event_verdict(names, &event, 1);
	assert_null(at(document, "threat"));
	assert_text(document, "bulwark.list", "office");
	json_decref(document);
}

static void test_would_drop_is_not_denied(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	event.verdict = VERDICT_WOULD_DROP;
	document = event_verdict(names, &event, 1);
	assert_text(document, "event.type.1", "allowed");
	assert_text(document, "event.action", "packet-would-drop");
	assert_text(document, "bulwark.verdict", "would-drop");
	json_decref(document);
}

static void test_icmp6(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	put_address(event.source, "fe80::200:86ff:fe05:80da");
	put_address(event.destination, "fe80::260:97ff:fe07:69ea");
	event.protocol = IPPROTO_ICMPV6;
	event.source_port = 135;
	event.destination_port = 0;
	event.vlan = 40;
	document = event_verdict(names, &event, 1);
	assert_text(document, "network.transport", "ipv6-icmp");
	assert_text(document, "network.type", "ipv6");
	assert_text(document, "network.vlan.id", "40");
	assert_text(document, "network.community_id", "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
	assert_text(document, "source.ip", "fe80::200:86ff:fe05:80da");
	assert_number(document, "bulwark.icmp.type", 135);
	assert_number(document, "bulwark.icmp.code", 0);
	assert_null(at(document, "source.port"));
	assert_null(at(document, "bulwark.tcp_flags"));
	json_decref(document);
}

static void test_egress(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	event.hook = HOOK_EGRESS;
	document = event_verdict(names, &event, 1);
	assert_text(document, "network.direction", "outbound");
	assert_text(document, "observer.egress.interface.name", "lo");
	assert_null(at(document, "observer.ingress"));
	json_decref(document);
}

static void test_no_addresses(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	memset(event.source, 0, 16);
	memset(event.destination, 0, 16);
	event.protocol = 0;
	event.reason = REASON_MALFORMED_ETHERNET;
	document = event_verdict(names, &event, 1);
	assert_text(document, "event.reason", "malformed-ethernet");
	assert_null(at(document, "source"));
	assert_null(at(document, "network.community_id"));
	json_decref(document);
}

static void test_unknown_generation(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	event.generation = 99;
	document = event_verdict(names, &event, 1);
	assert_non_null(document);
	assert_null(at(document, "rule"));
	assert_null(at(document, "service"));
	json_decref(document);
}

static void test_actions(void **state)
{
	json_t *line = json_pack("{s:f, s:s, s:i, s:i, s:s, s:s, s:f, s:s}", "time", 1700000000.25, "action", "ban",
				 "uid", 0, "login_uid", 1000, "user", "ana", "address", "203.0.113.7", "for_s", 600.0,
				 "reason", "scanning");
	json_t *document = event_action(names, line, 9);

	(void)state;
	assert_text(document, "@timestamp", "2023-11-14T22:13:20.250Z");
	assert_text(document, "event.action", "ban");
	assert_text(document, "event.type.0", "denied");
	assert_text(document, "event.reason", "scanning");
	assert_text(document, "source.ip", "203.0.113.7");
	assert_text(document, "user.name", "ana");
	assert_text(document, "user.id", "1000");
	assert_number(document, "bulwark.sequence", 9);
	json_decref(document);

	json_object_set_new(line, "address", json_string("203.0.113.0/24"));
	document = event_action(names, line, 10);
	assert_text(document, "source.address", "203.0.113.0/24");
	assert_null(at(document, "source.ip"));
	json_decref(document);

	json_object_set_new(line, "action", json_string("applied"));
	document = event_action(names, line, 11);
	assert_text(document, "event.action", "policy-applied");
	assert_text(document, "event.category.0", "configuration");
	json_decref(document);
	json_decref(line);
}

static void test_attack(void **state)
{
	json_t *line = json_pack("{s:f, s:s, s:s, s:s, s:f, s:f, s:I, s:n, s:s}", "time", 1700000002.0, "action",
				 "attack-started", "reason", "syn-flood", "service", "web", "start", 1700000000.5,
				 "proven_share", 0.25, "peak", (json_int_t)120000, "mitigated_s", "message",
				 "web is under attack");
	json_t *document;

	(void)state;
	json_object_set_new(line, "networks", json_pack("[{s:s, s:f}]", "prefix", "46.30.9.0/24", "share", 0.5));
	document = event_action(names, line, 9);
	assert_text(document, "bulwark.networks.0.prefix", "46.30.9.0/24");
	assert_true(json_real_value(at(document, "bulwark.networks.0.share")) == 0.5);
	assert_text(document, "@timestamp", "2023-11-14T22:13:22.000Z");
	assert_text(document, "event.kind", "alert");
	assert_text(document, "event.category.0", "network");
	assert_text(document, "event.type.0", "start");
	assert_text(document, "event.action", "attack-started");
	assert_text(document, "event.reason", "syn-flood");
	assert_text(document, "event.start", "2023-11-14T22:13:20.500Z");
	assert_null(at(document, "event.end"));
	assert_text(document, "service.name", "web");
	assert_text(document, "message", "web is under attack");
	assert_number(document, "bulwark.peak", 120000);
	assert_true(json_is_null(at(document, "bulwark.mitigated_s")));
	assert_null(at(document, "bulwark.start"));
	assert_null(at(document, "user"));
	json_decref(document);

	json_object_set_new(line, "action", json_string("attack-ended"));
	json_object_set_new(line, "end", json_real(1700000010.5));
	document = event_action(names, line, 10);
	assert_text(document, "event.kind", "event");
	assert_text(document, "event.type.0", "end");
	assert_text(document, "event.end", "2023-11-14T22:13:30.500Z");
	assert_true(json_integer_value(at(document, "event.duration")) == 10000000000);
	json_decref(document);
	json_decref(line);
}

static void test_action_at_no_time(void **state)
{
	static const double times[] = {1e300, -1e300, -0.5, 253402300800.0};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		json_t *line = json_pack("{s:f, s:s}", "time", times[i], "action", "applied");
		json_t *document = event_action(names, line, 9);

		assert_text(document, "@timestamp", "1970-01-01T00:00:00.000Z");
		json_decref(document);
		json_decref(line);
	}
}

static void test_notice(void **state)
{
	json_t *document =
		event_notice(names, "events-lost", "3 events were lost", json_pack("{s:i}", "events", 3), 12);

	(void)state;
	assert_text(document, "event.action", "events-lost");
	assert_text(document, "message", "3 events were lost");
	assert_number(document, "bulwark.events", 3);
	assert_number(document, "bulwark.sequence", 12);
	json_decref(document);
}

/* The far end is cut, whichever it is; this host's own address and the ports stay. */
static void test_anonymous(void **state)
{
	struct event event = drop();
	json_t *document;

	(void)state;
	event.generation = 8;
	document = event_verdict(names, &event, 1);
	assert_text(document, "source.ip", "128.232.96.0");
	assert_text(document, "source.address", "128.232.96.0");
	assert_text(document, "destination.ip", "66.35.250.204");
	assert_number(document, "source.port", 34855);
	assert_true(json_is_true(at(document, "bulwark.anonymous")));
	assert_null(at(document, "network.community_id"));
	json_decref(document);

	event.hook = HOOK_EGRESS;
	document = event_verdict(names, &event, 1);
	assert_text(document, "source.ip", "128.232.110.120");
	assert_text(document, "destination.ip", "66.35.240.0");
	json_decref(document);

	event.hook = HOOK_XDP;
	put_address(event.source, "2001:db8:1:2:3:4:5:6");
	put_address(event.destination, "2001:db8:ffff::1");
	document = event_verdict(names, &event, 1);
	assert_text(document, "source.ip", "2001:db8:1::");
	assert_text(document, "destination.ip", "2001:db8:ffff::1");
	json_decref(document);
}

/* What is done to an address is told as the policy in force wants it. */
static void test_anonymous_action(void **state)
{
	static const struct {
		const char *address, *told;
	} rows[] = {
		{"203.0.113.9", "203.0.112.0/20"}, {"203.0.113.0/24", "203.0.112.0/20"},
		{"203.0.0.0/16", "203.0.0.0/16"},  {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"no address", "no address"},
	};

	(void)state;
	names_in_force(names, 8);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *line = json_pack("{s:f, s:s, s:s}", "time", 1.0, "action", "ban", "address", rows[i].address);
		json_t *document = event_action(names, line, 1);

		assert_text(document, "source.address", rows[i].told);
		json_decref(document);
		json_decref(line);
	}
	names_in_force(names, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_proven),
		cmocka_unit_test(test_timestamp),
		cmocka_unit_test(test_blocked_by_feed),
		cmocka_unit_test(test_would_drop_is_not_denied),
		cmocka_unit_test(test_icmp6),
		cmocka_unit_test(test_egress),
		cmocka_unit_test(test_no_addresses),
		cmocka_unit_test(test_unknown_generation),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_attack),
		cmocka_unit_test(test_action_at_no_time),
		cmocka_unit_test(test_notice),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_anonymous_action),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
