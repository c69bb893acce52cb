/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Differences between two policies, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../userspace/policy_diff.h"

static const char base[] = "version: 1\n"
			   "default: drop\n"
			   "lists:\n"
			   "  office:\n"
			   "    addresses: [192.0.2.0/28]\n"
			   "trusted:\n"
			   "  - office\n"
			   "services:\n"
			   "  web:\n"
			   "    ports: [tcp/443]\n"
			   "  ssh:\n"
			   "    ports: [tcp/22]\n"
			   "    allow:\n"
			   "      - office\n";

/* The base with one piece replaced. */
static void changed(char *text, const char *from, const char *to)
{
	const char *at = strstr(base, from);

	assert_non_null(at);
	sprintf(text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
}

static void assert_difference(const char *from, const char *to, const char *change, const char *what, const char *words)
{
	char text[1024];
	json_t *differences, *first;

	changed(text, from, to);
	differences = policy_diff(base, text);
	assert_int_equal(json_array_size(differences), 1);
	first = json_array_get(differences, 0);
	assert_string_equal(json_string_value(json_object_get(first, "change")), change);
	assert_string_equal(json_string_value(json_object_get(first, "what")), what);
	assert_string_equal(json_string_value(json_object_get(first, "text")), words);
	json_decref(differences);
}

static void test_rows(void **state)
{
	(void)state;
	assert_difference("default: drop", "default: pass", "changed", "default", "drop -> pass");
	assert_difference("[tcp/443]", "[tcp/443, udp/443]", "changed", "service web", "ports: +udp/443");
	assert_difference("[192.0.2.0/28]", "[192.0.2.16/28]", "changed", "list office",
			  "addresses: -192.0.2.0/28, +192.0.2.16/28");
	assert_difference("    allow:\n      - office\n", "", "removed", "service ssh", "allow: office");
	assert_difference("services:\n", "services:\n  dns:\n    ports: [udp/53]\n", "added", "service dns",
			  "ports udp/53");
	assert_difference("  web:\n    ports: [tcp/443]\n", "", "removed", "service web", "ports tcp/443");
	assert_difference("trusted:\n  - office\n", "trusted: []\n", "changed", "trusted", "-office");
	assert_difference("version: 1\n", "version: 1\nmonitor: true\n", "added", "monitor", "true");
}

static void test_same(void **state)
{
	json_t *differences = policy_diff(base, base);

	(void)state;
	assert_int_equal(json_array_size(differences), 0);
	json_decref(differences);
}

static void test_line(void **state)
{
	char text[1024], line[256], cut[12];
	json_t *differences;

	(void)state;
	changed(text, "default: drop\nlists:", "default: pass\nmonitor: true\nlists:");
	differences = policy_diff(base, text);
	assert_string_equal(diff_line(differences, line, sizeof(line)), "default: drop -> pass; +monitor: true");
	assert_string_equal(diff_line(differences, cut, sizeof(cut)), "default: dr");
	json_decref(differences);
	differences = policy_diff(base, base);
	assert_string_equal(diff_line(differences, line, sizeof(line)), "");
	for (int i = 0; i < 7; i++)
		diff_add(differences, "changed", "x", "y");
	assert_string_equal(diff_line(differences, line, sizeof(line)), "x: y; x: y; x: y; x: y; x: y; and 2 more");
	json_decref(differences);
}

static void test_order_of_services(void **state)
{
	static const char turned[] = "version: 1\nservices:\n  b:\n    ports: [tcp/2]\n  a:\n    ports: [tcp/1]\n";
	static const char straight[] = "version: 1\nservices:\n  a:\n    ports: [tcp/1]\n  b:\n    ports: [tcp/2]\n";
	json_t *differences = policy_diff(straight, turned);

	(void)state;
	assert_int_equal(json_array_size(differences), 1);
	json_decref(differences);
}

static void test_many_addresses(void **state)
{
	char text[4096], addresses[2048] = "[192.0.2.0/28";

	(void)state;
	for (int i = 1; i < 20; i++)
		sprintf(addresses + strlen(addresses), ", 10.0.%d.0/24", i);
	strcat(addresses, "]");
	changed(text, "[192.0.2.0/28]", addresses);
	assert_difference(
		"[192.0.2.0/28]", addresses, "changed", "list office",
		"addresses: +10.0.1.0/24, +10.0.2.0/24, +10.0.3.0/24, +10.0.4.0/24, +10.0.5.0/24 and +14 more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	       cmocka_unit_test(test_same),
		cmocka_unit_test(test_line),	       cmocka_unit_test(test_order_of_services),
		cmocka_unit_test(test_many_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
