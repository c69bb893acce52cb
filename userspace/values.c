/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "values.h"

struct time_unit {
	char letter;
	__u64 seconds;
};

static const struct time_unit units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
#define UNITS (sizeof(units) / sizeof(*units))

static __u64 seconds_of(const char *unit)
{
	for (size_t i = 0; i < UNITS; i++)
		if (*unit == units[i].letter && !unit[1])
			return units[i].seconds;
	return 0;
}

/* A whole number without sign or leading zero, below 10^15. Moves *text behind it. */
static int number_parse(const char **text, __u64 *number)
{
	size_t digits = strspn(*text, "0123456789");

	if (!digits || (digits > 1 && **text == '0'))
		return -EINVAL;
	if (digits > 15)
		return -ERANGE;
	for (*number = 0; digits; digits--)
		*number = *number * 10 + (*(*text)++ - '0');
	return 0;
}

/* The larger first, so that a text made of an amount takes the largest that divides it. */
static const struct multiple {
	const char *name;
	__u64 factor;
} ones[] = {{"G", 1000000000}, {"M", 1000000}, {"k", 1000}, {"", 1}, {NULL, 0}},
  bytes[] = {{"GiB", 1 << 30}, {"GB", 1000000000}, {"MiB", 1 << 20}, {"MB", 1000000},
	     {"KiB", 1 << 10}, {"kB", 1000},	   {"B", 1},	     {NULL, 0}},
  bits[] = {{"Gbit", 1000000000}, {"Mbit", 1000000}, {"kbit", 1000}, {"bit", 1}, {NULL, 0}};

static const struct multiple *multiples(enum unit unit)
{
	return unit == UNIT_BYTE ? bytes : unit == UNIT_BIT ? bits : ones;
}

/* Up to the end of the text, or to a '/'. Moves *text there. */
static int amount_begin(const char **text, enum unit unit, __u64 *amount)
{
	size_t length;
	int error = number_parse(text, amount);

	if (error)
		return error;
	length = strcspn(*text, "/");
	for (const struct multiple *multiple = multiples(unit); multiple->name; multiple++) {
		if (strlen(multiple->name) != length || strncmp(*text, multiple->name, length))
			continue;
		if (*amount > RATE_COUNT_MAX / multiple->factor)
			return -ERANGE;
		*amount *= multiple->factor;
		*text += length;
		return 0;
	}
	return -EINVAL;
}

int amount_parse(const char *text, enum unit unit, __u64 *amount)
{
	int error = amount_begin(&text, unit, amount);

	return error ? error : *text ? -EINVAL : 0;
}

int amount_rate_parse(const char *text, enum unit unit, struct policy_rate *rate)
{
	__u64 count, seconds;
	int error = amount_begin(&text, unit, &count);

	if (error)
		return error;
	seconds = *text == '/' ? seconds_of(text + 1) : 0;
	if (!seconds)
		return -EINVAL;
	rate->count = count;
	rate->period_ns = seconds * 1000000000ULL;
	rate->given = true;
	return 0;
}

int rate_parse(const char *text, struct policy_rate *rate)
{
	return amount_rate_parse(text, UNIT_ONE, rate);
}

const char *amount_text(__u64 amount, enum unit unit, char *buffer)
{
	const struct multiple *multiple = multiples(unit);

	while (multiple->factor > 1 && (!amount || amount % multiple->factor))
		multiple++;
	snprintf(buffer, VALUE_TEXT, "%llu%s", amount / multiple->factor, multiple->name);
	return buffer;
}

const char *amount_rate_text(const struct policy_rate *rate, enum unit unit, char *buffer)
{
	__u64 seconds = rate->period_ns / 1000000000ULL;
	char period = 's';
	size_t length;

	for (size_t i = 0; i < UNITS; i++)
		if (seconds == units[i].seconds)
			period = units[i].letter;
	length = strlen(amount_text(rate->count, unit, buffer));
	snprintf(buffer + length, VALUE_TEXT - length, "/%c", period);
	return buffer;
}

const char *rate_text(const struct policy_rate *rate, char *buffer)
{
	return amount_rate_text(rate, UNIT_ONE, buffer);
}

int period_parse(const char *text, __u64 *seconds)
{
	__u64 number, unit;
	int error = number_parse(&text, &number);

	if (error)
		return error;
	unit = seconds_of(text);
	if (!unit)
		return -EINVAL;
	if (number > 3660 * 86400ULL / unit)
		return -ERANGE;
	*seconds = number * unit;
	return 0;
}

const char *period_text(__u64 seconds, char *buffer)
{
	for (size_t i = 0; i < UNITS; i++) {
		if (seconds % units[i].seconds)
			continue;
		snprintf(buffer, VALUE_TEXT, "%llu%c", seconds / units[i].seconds, units[i].letter);
		break;
	}
	return buffer;
}

/* Names by the IANA registry, lower case. Own table: a policy means the same on a host without /etc/protocols. */
static const struct protocol {
	const char *name;
	__u8 number;
} protocols[] = {
	{"igmp", 2},	 {"ipip", 4},  {"egp", 8},    {"igp", 9},    {"dccp", 33},     {"ipv6", 41},
	{"rsvp", 46},	 {"gre", 47},  {"esp", 50},   {"ah", 51},    {"eigrp", 88},    {"ospf", 89},
	{"etherip", 97}, {"pim", 103}, {"vrrp", 112}, {"l2tp", 115}, {"udplite", 136}, {"mpls", 137},
};
#define PROTOCOLS (sizeof(protocols) / sizeof(*protocols))

static const struct plane {
	const char *name;
	__u8 protocol;
} planes[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};
#define PLANES (sizeof(planes) / sizeof(*planes))

/* Protocols that are judged by something else than a service's ports. */
static const char *judged_elsewhere(unsigned number)
{
	switch (number) {
	case IPPROTO_TCP:
		return "TCP is written with its ports: tcp/443, or tcp/* for all of them";
	case IPPROTO_UDP:
		return "UDP is written with its ports: udp/443, or udp/* for all of them";
	case IPPROTO_SCTP:
		return "SCTP is written with its ports: sctp/36412, or sctp/* for all of them";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "ICMP is judged by its types: see 'icmp'";
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_NONE:
	case IPPROTO_DSTOPTS:
	case 135: /* mobility */
		return "this is an IPv6 extension header: write the protocol behind it";
	default:
		return NULL;
	}
}

static const char *protocol_parse(const char *text, struct port_range *range)
{
	static const char *const wrong =
		"a protocol is ip/ with a name such as vrrp, gre, esp, ospf, or a number from 0 to 255";
	__u64 number;

	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (strcmp(text, protocols[i].name))
			continue;
		range->protocol = protocols[i].number;
		return NULL;
	}
	if (!strcmp(text, "tcp") || !strcmp(text, "udp") || !strcmp(text, "sctp"))
		return judged_elsewhere(*text == 't' ? IPPROTO_TCP : *text == 'u' ? IPPROTO_UDP : IPPROTO_SCTP);
	if (!strcmp(text, "icmp") || !strcmp(text, "icmp6") || !strcmp(text, "icmpv6") || !strcmp(text, "ipv6-icmp"))
		return judged_elsewhere(IPPROTO_ICMP);
	if (number_parse(&text, &number) || *text || number > 255)
		return wrong;
	range->protocol = number;
	return judged_elsewhere(number);
}

static const char *range_parse(const char *text, struct port_range *range)
{
	__u64 first, last;

	if (!strcmp(text, "*")) {
		range->first = 1;
		range->last = 65535;
		return NULL;
	}
	if (!*text)
		return "the port is missing: 443, 9000-9010, or * for all";
	if (number_parse(&text, &first))
		return "a port is a whole number from 1 to 65535";
	last = first;
	if (*text == '-') {
		text++;
		if (number_parse(&text, &last))
			return "a range is written 9000-9010";
	}
	if (*text)
		return "a port is a whole number from 1 to 65535";
	if (!first || first > 65535 || last > 65535)
		return "a port is 1 to 65535";
	if (last < first)
		return "the range ends before it begins";
	range->first = first;
	range->last = last;
	return NULL;
}

const char *port_parse(const char *text, struct port_range *range)
{
	const char *slash = strchr(text, '/');

	range->has_ports = false;
	range->first = range->last = 0;
	if (!slash)
		return "the protocol is missing: tcp/443, udp/53, sctp/36412, ip/vrrp";
	if (slash - text == 2 && !strncmp(text, "ip", 2))
		return protocol_parse(slash + 1, range);
	for (size_t i = 0; i < PLANES; i++) {
		if ((size_t)(slash - text) != strlen(planes[i].name) || strncmp(text, planes[i].name, slash - text))
			continue;
		range->protocol = planes[i].protocol;
		range->has_ports = true;
		return range_parse(slash + 1, range);
	}
	return "a protocol is tcp, udp, sctp or ip";
}

const char *port_text(const struct port_range *range, char *buffer)
{
	const char *name = "ip";

	for (size_t i = 0; i < PLANES; i++)
		if (range->has_ports && range->protocol == planes[i].protocol)
			name = planes[i].name;
	for (size_t i = 0; !range->has_ports && i < PROTOCOLS; i++) {
		if (range->protocol != protocols[i].number)
			continue;
		snprintf(buffer, VALUE_TEXT, "ip/%s", protocols[i].name);
		return buffer;
	}
	if (!range->has_ports)
		snprintf(buffer, VALUE_TEXT, "ip/%u", range->protocol);
	else if (range->first == 1 && range->last == 65535)
		snprintf(buffer, VALUE_TEXT, "%s/*", name);
	else if (range->first == range->last)
		snprintf(buffer, VALUE_TEXT, "%s/%u", name, range->first);
	else
		snprintf(buffer, VALUE_TEXT, "%s/%u-%u", name, range->first, range->last);
	return buffer;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100) || year % 400 == 0;
}

long date_parse(const char *text)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	static const char form[] = "dddd-dd-dd";
	int year, month, day;
	long days = 0;

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return -EINVAL;
	year = atoi(text);
	month = atoi(text + 5);
	day = atoi(text + 8);
	if (year < 2000 || month < 1 || month > 12 || day < 1)
		return -EINVAL;
	if (day > month_days[month - 1] + (month == 2 && is_leap(year)))
		return -EINVAL;
	for (int y = 1970; y < year; y++)
		days += 365 + is_leap(y);
	for (int m = 1; m < month; m++)
		days += month_days[m - 1] + (m == 2 && is_leap(year));
	return days + day - 1;
}
