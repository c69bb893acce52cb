/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is told of this host in text, and from names of interfaces to devices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "../../userspace/host_firewall.h"
#include "../../userspace/host_parts.h"

/* In place of libnl's: the first dumps are called inconsistent, as the kernel does when a link comes meanwhile. */
static unsigned dumps, dumps_disturbed;

int nl_recvmsgs_default(struct nl_sock *socket)
{
	struct nl_cb *callbacks = nl_socket_get_cb(socket);
	int error = nl_recvmsgs(socket, callbacks);

	nl_cb_put(callbacks);
	return dumps++ < dumps_disturbed && error >= 0 ? -NLE_DUMP_INTR : error;
}

static void assert_address(const __u8 address[16], const char *text)
{
	struct prefix prefix = {.length = 128};
	char buffer[PREFIX_TEXT];

	memcpy(prefix.address, address, 16);
	assert_string_equal(prefix_text(&prefix, buffer), text);
}

static void test_resolvers(void **state)
{
	static const char text[] = "# made by hand\n"
				   "search example.com\n"
				   "nameserver 192.0.2.53\n"
				   "  nameserver\t2001:db8::53\n"
				   "nameserver fe80::1%eth0\n"
				   "nameserver 192.0.2.53\n" /* twice is once */
				   "nameservers 192.0.2.54\n"
				   "#nameserver 192.0.2.55\n"
				   "nameserver not-an-address\n"
				   "nameserver 192.0.2.0/24\n"
				   "options edns0\n"
				   "nameserver 198.51.100.7";
	struct prefix *resolvers = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(resolvers_parse(text, &resolvers, &count), 0);
	assert_int_equal(resolvers_parse(NULL, &resolvers, &count), 0);
	assert_int_equal(resolvers_parse("", &resolvers, &count), 0);
	assert_address(resolvers[0].address, "192.0.2.53");
	assert_address(resolvers[1].address, "2001:db8::53");
	assert_address(resolvers[2].address, "fe80::1");
	assert_address(resolvers[count - 1].address, "198.51.100.7");
	free(resolvers);
}

static void test_ssh_connection(void **state)
{
	static const char *const bad[] = {"", "192.0.2.1", "192.0.2.1 50000 192.0.2.10", "name 1 192.0.2.1 22",
					  "192.0.2.1 70000 192.0.2.10 22"};
	struct host_peer peer;

	(void)state;
	assert_int_equal(ssh_connection_parse("192.0.2.1 50000 192.0.2.10 22", &peer), 0);
	assert_address(peer.remote, "192.0.2.1");
	assert_address(peer.local, "192.0.2.10");
	assert_int_equal(peer.remote_port, 50000);
	assert_int_equal(peer.local_port, 22);
	assert_int_equal(ssh_connection_parse("fe80::1%eth0 50000 fe80::2%eth0 22", &peer), 0);
	assert_address(peer.remote, "fe80::1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(ssh_connection_parse(bad[i], &peer), -EINVAL);
}

/* eth0, eth1 under bond0 under bond0.40 (default route); eth2 in a VRF; a veth; lo; a tunnel with another default
 * route, in the same VRF */
static struct host_link links[] = {
	{.ifindex = 1, .name = "lo", .loopback = true},
	{.ifindex = 2, .name = "eth0", .master = 4},
	{.ifindex = 3, .name = "eth1", .master = 4},
	{.ifindex = 4, .name = "bond0", .kind = "bond"},
	{.ifindex = 5, .name = "bond0.40", .kind = "vlan", .lower = 4, .default_route = true},
	{.ifindex = 6, .name = "eth2", .master = 9},
	{.ifindex = 7, .name = "veth0", .kind = "veth"},
	{.ifindex = 8, .name = "far.7", .kind = "vlan", .lower = 99}, /* its device is in another namespace */
	{.ifindex = 9, .name = "blue", .kind = "vrf"},
	{.ifindex = 10, .name = "wg0", .kind = "wireguard", .bare = true, .default_route = true, .master = 9},
};
static const struct host host = {.links = links, .link_count = sizeof(links) / sizeof(*links)};

static void assert_devices(char *const *names, size_t name_count, const char *expected, size_t errors)
{
	const struct host_link **devices;
	struct report report = {};
	char text[128] = "";
	size_t count;

	assert_int_equal(host_interfaces(&host, names, NULL, name_count, &devices, &count, &report), 0);
	for (size_t i = 0; i < count; i++) {
		strcat(text, i ? " " : "");
		strcat(text, devices[i]->name);
	}
	assert_string_equal(text, expected);
	assert_int_equal(report.errors, errors);
	free(devices);
	report_free(&report);
}

static void test_interfaces(void **state)
{
	(void)state;
	assert_devices((char *[]){"auto"}, 1, "eth0 eth1", 0);
	assert_devices((char *[]){"eth2"}, 1, "eth2", 0);
	assert_devices((char *[]){"bond0"}, 1, "eth0 eth1", 0);
	assert_devices((char *[]){"eth1", "auto", "eth1"}, 3, "eth1 eth0", 0);
	assert_devices((char *[]){"blue"}, 1, "eth2", 0);
	assert_devices((char *[]){"veth0"}, 1, "veth0", 0);
	assert_devices((char *[]){"far.7"}, 1, "far.7", 0);
	assert_devices((char *[]){"eth9", "eth2"}, 2, "eth2", 1);
	assert_devices((char *[]){"lo"}, 1, "", 1);
	assert_devices((char *[]){"wg0"}, 1, "", 1);
	assert_devices((char *[]){"eth2", "wg0"}, 2, "eth2", 1);
}

static void assert_auto_finds_nothing(struct host_link *link, const char *words)
{
	const struct host plain = {.links = link, .link_count = 1};
	const struct host_link **devices;
	struct report report = {};
	size_t count;

	assert_int_equal(host_interfaces(&plain, (char *[]){"auto"}, NULL, 1, &devices, &count, &report), 0);
	assert_int_equal(count, 0);
	assert_int_equal(report.errors, 1);
	assert_non_null(strstr(report.findings[0].text, words));
	free(devices);
	report_free(&report);
}

static void test_auto_finds_nothing(void **state)
{
	static struct host_link alone = {.ifindex = 2, .name = "eth0"};
	static struct host_link tunnel = {
		.ifindex = 3, .name = "wg0", .kind = "wireguard", .bare = true, .default_route = true};

	(void)state;
	assert_auto_finds_nothing(&alone, "no interface of this host carries a default route");
	assert_auto_finds_nothing(&tunnel, "wg0 (wireguard) have no Ethernet header");
}

static void test_loopback_peers(void **state)
{
	struct host_peer peer = {};

	(void)state;
	assert_int_equal(ssh_connection_parse("127.0.0.1 1 127.0.0.1 22", &peer), 0);
	assert_true(peer_is_loopback(&peer));
	assert_int_equal(ssh_connection_parse("::1 1 ::1 22", &peer), 0);
	assert_true(peer_is_loopback(&peer));
	assert_int_equal(ssh_connection_parse("192.0.2.10 1 192.0.2.10 22", &peer), 0);
	assert_true(peer_is_loopback(&peer)); /* this host with itself */
	assert_int_equal(ssh_connection_parse("192.0.2.1 1 192.0.2.10 22", &peer), 0);
	assert_false(peer_is_loopback(&peer));
}

/* The first port of those that a rule sends elsewhere, as far as it names them. */
static unsigned published_by(const char *rule)
{
	struct host_firewall *firewall = calloc(1, sizeof(*firewall));
	unsigned port;

	assert_non_null(firewall);
	host_firewall_line(firewall, rule);
	port = host_firewall_published(firewall, 1, 65535);
	free(firewall);
	return port;
}

static void test_published_ports(void **state)
{
	(void)state;
	assert_int_equal(published_by("tcp dport 443 counter dnat to 10.0.0.2:443"), 443);
	assert_int_equal(
		published_by("-A DOCKER ! -i docker0 -p tcp --dport 8000:8010 -j DNAT --to-destination 10.0.0.2:80"),
		8000);
	assert_int_equal(published_by("tcp dport { 80, 443 } dnat ip to 10.0.0.2"), 80);
	assert_int_equal(published_by("tcp dport { 8000-8010, 9000 } redirect to :80"), 8000);
	assert_int_equal(published_by("-A N -p tcp -m multiport --dports 443,8000:8010 -j REDIRECT --to-ports 80"),
			 443);
	/* which, it does not say */
	assert_int_equal(published_by("dnat ip to tcp dport map { 80 : 10.0.0.2 }"), 0);
	assert_int_equal(published_by("ip daddr . tcp dport { 192.0.2.1 . 80 } dnat to 10.0.0.2"), 0);
	assert_int_equal(published_by("tcp dport . ip daddr { 80 . 192.0.2.1 } dnat to 10.0.0.2"), 0);
	assert_int_equal(published_by("tcp dport @published dnat to 10.0.0.2"), 0);
	assert_int_equal(published_by("tcp dport != 22 dnat to 10.0.0.2"), 0);
}

/* host_read_links(), with so many dumps disturbed: how many it asked for; each link is there once */
static unsigned dumps_for_links(unsigned disturbed)
{
	struct host host = {};

	dumps = 0;
	dumps_disturbed = disturbed;
	assert_int_equal(host_read_links(&host), 0);
	assert_true(host.link_count);
	for (size_t i = 0; i < host.link_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(host.links[i].ifindex, host.links[j].ifindex);
	host_free(&host);
	return dumps;
}

static void test_inconsistent_dump_is_asked_again(void **state)
{
	(void)state;
	assert_true(dumps_for_links(0) >= 3); /* links, addresses, routes */
	assert_true(dumps_for_links(1) >= 4);
	assert_true(dumps_for_links(3) >= 6);
	assert_int_equal(dumps_for_links(100), 8 + 8 + 1); /* and an answer all the same */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolvers),
		cmocka_unit_test(test_ssh_connection),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_auto_finds_nothing),
		cmocka_unit_test(test_loopback_peers),
		cmocka_unit_test(test_published_ports),
		cmocka_unit_test(test_inconsistent_dump_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
