/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Zones of a policy on hosts of several makes: which device and tag they are, and what could not be told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "zones.h"

static struct host_link links[] = {
	{.ifindex = 1, .name = "lo", .loopback = true},
	{.ifindex = 2, .name = "eth0"},
	{.ifindex = 3, .name = "eth0.40", .kind = "vlan", .lower = 2, .vlan = 40},
	{.ifindex = 4, .name = "eth1", .master = 6},
	{.ifindex = 5, .name = "eth2", .master = 6},
	{.ifindex = 6, .name = "bond0", .kind = "bond"},
	{.ifindex = 7, .name = "bond0.7", .kind = "vlan", .lower = 6, .vlan = 7},
	{.ifindex = 8, .name = "eth0.40.5", .kind = "vlan", .lower = 3, .vlan = 5},
	{.ifindex = 9, .name = "macvlan0", .kind = "macvlan", .lower = 2},
	{.ifindex = 10, .name = "far.9", .kind = "vlan", .lower = 99, .vlan = 9}, /* of another namespace */
	{.ifindex = 11, .name = "eth3", .strips_vlan = true},
	{.ifindex = 12, .name = "eth4", .strips_vlan = true},
	{.ifindex = 13, .name = "eth4.8", .kind = "vlan", .lower = 12, .vlan = 8},
};
static struct host_address addresses[] = {
	{.address = {{[10] = 0xff, 0xff, 10, 0, 0, 1}, 128}, .ifindex = 7},
	{.address = {{[10] = 0xff, 0xff, 10, 0, 1, 1}, 128}, .ifindex = 6},
	{.address = {{[10] = 0xff, 0xff, 10, 0, 2, 1}, 128}, .ifindex = 2},
};
static const struct host host = {.links = links,
				 .link_count = sizeof(links) / sizeof(*links),
				 .addresses = addresses,
				 .address_count = sizeof(addresses) / sizeof(*addresses)};

struct resolved {
	struct policy *policy;
	struct report report;
	struct zone_member *members;
	size_t count;
};

/* a, b: the interfaces of two zones. */
static struct resolved resolve(const char *a, const char *b)
{
	struct resolved all = {};
	char text[512];
	int length = snprintf(text, sizeof(text),
			      "version: 1\nzones: { a: { interfaces: [%s] }, b: { interfaces: [%s] } }\n"
			      "services: { one: { ports: tcp/1, zone: a }, two: { ports: tcp/2, zone: b } }\n",
			      a, b);

	all.policy = policy_parse(text, length, "text", ".", &all.report);
	assert_non_null(all.policy);
	assert_int_equal(all.report.count, 0);
	assert_int_equal(zones_resolve(all.policy, &host, &all.members, &all.count, &all.report), 0);
	return all;
}

static void resolved_free(struct resolved *all)
{
	free(all->members);
	policy_free(all->policy);
	report_free(&all->report);
}

static unsigned zone_at(const struct resolved *all, unsigned ifindex, unsigned vlan)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->members[i].ifindex == ifindex && all->members[i].vlan == vlan)
			return all->members[i].zone;
	return 0;
}

static void names_become_devices_and_tags(void **state)
{
	struct resolved all = resolve("eth0, bond0.7", "eth0.40, bond0, far.9");

	(void)state;
	assert_int_equal(all.report.count, 0);
	assert_int_equal(all.count, 7);
	assert_int_equal(zone_at(&all, 2, 0), 1);
	assert_int_equal(zone_at(&all, 2, 40), 2);
	assert_int_equal(zone_at(&all, 4, 7), 1); /* both ports of the bond */
	assert_int_equal(zone_at(&all, 5, 7), 1);
	assert_int_equal(zone_at(&all, 4, 0), 2);
	assert_int_equal(zone_at(&all, 5, 0), 2);
	assert_int_equal(zone_at(&all, 10, 0), 2);
	assert_int_equal(zone_of_address(&host, all.members, all.count, addresses[0].address.address), 1);
	assert_int_equal(zone_of_address(&host, all.members, all.count, addresses[1].address.address), 2);
	assert_int_equal(zone_of_address(&host, all.members, all.count, addresses[2].address.address), 1);
	resolved_free(&all);
}

/* What could not be told apart is an error, and is in no zone where an error stops nothing. */
static void refused(const char *a, const char *b, const char *words, size_t members)
{
	struct resolved all = resolve(a, b);

	assert_int_equal(all.report.errors, 1);
	if (!strstr(all.report.findings[0].text, words))
		fail_msg("'%s' is not in '%s'", words, all.report.findings[0].text);
	assert_int_equal(all.count, members);
	resolved_free(&all);
}

static void what_cannot_be_told_apart_is_refused(void **state)
{
	(void)state;
	refused("eth0", "eth0.40.5", "two VLAN tags", 1);
	refused("eth0", "macvlan0", "shares eth0", 1);
	refused("bond0", "eth1", "is in zone 'a' by another name", 2);
	refused("eth0", "eth4", "ethtool -K eth4 rxvlan off", 1);
	refused("eth0", "eth4.8", "ethtool -K eth4 rxvlan off", 1);
}

static void what_is_not_there_is_a_warning(void **state)
{
	struct resolved all = resolve("eth0", "eth9, eth3");

	(void)state;
	assert_int_equal(all.report.errors, 0);
	assert_int_equal(all.report.count, 1);
	assert_int_equal(all.count, 2); /* a device that strips tags of which nobody here has any */
	assert_int_equal(zone_at(&all, 11, 0), 2);
	resolved_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_devices_and_tags),
		cmocka_unit_test(what_cannot_be_told_apart_is_refused),
		cmocka_unit_test(what_is_not_there_is_a_warning),
	};

	return cmocka_run_group_tests_name("zones", tests, NULL, NULL);
}
