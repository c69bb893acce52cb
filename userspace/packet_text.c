/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet text, first half: words into a struct packet_spec.
 *
 *   tcp|udp|sctp A:PORT > B:PORT [words]     [A]:PORT for IPv6
 *   icmp|icmp6 A > B MESSAGE [words]         icmp with IPv6 addresses means ICMPv6
 *   igmp A > B, ip/N A > B, ip/NAME A > B [words]
 *   arp [A > B], ether TYPE [words], frame HEX
 *
 *   flags          syn ack fin rst psh urg ece cwr, null (none at all), open (an ACK of a connection that is open)
 *   MESSAGE        echo-request, echo-reply, unreachable, ... or `type N [code N]`; `quoting PACKET` ends the text
 *   anything       vlan N (again for QinQ), ttl N, tos N, len N (payload), id N, cut N (bytes from the IP header on)
 *   fragments      frag first|later|atomic|N (byte offset), more
 *   IPv4 options   options nop|record-route|lsrr|ssrr|timestamp|router-alert
 *   IPv6           ext hopopts|dstopts|routing|routing0|ah|mobility|hip|shim6, ext long (its length lies)
 *   TCP            seq N, acknum N, mss N
 *   TCP, UDP       data HEX (what the payload begins with, at most 64 bytes; len N: how long it is with zeros behind)
 *   lies           version N, ihl N, ip-length N, data-offset N, udp-length N, ethertype N
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "packet_spec.h"

struct words {
	char *save; /* strtok_r */
	const char *next;
	char *error;
	size_t error_size;
};

static int wrong(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int wrong(struct words *words, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words->error, words->error_size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static const char *take(struct words *words)
{
	const char *word = words->next;

	if (word)
		words->next = strtok_r(NULL, " \t,", &words->save);
	return word;
}

static bool take_if(struct words *words, const char *word)
{
	if (!words->next || strcmp(words->next, word))
		return false;
	take(words);
	return true;
}

/* A number from first to last, decimal or 0x.... */
static int number_of(struct words *words, const char *what, const char *text, unsigned first, unsigned last,
		     unsigned *value)
{
	unsigned long number;
	char *end;

	if (!text)
		return wrong(words, "'%s' wants a number from %u to %u after it", what, first, last);
	errno = 0;
	number = strtoul(text, &end, strncmp(text, "0x", 2) ? 10 : 16);
	if (errno || *end || !isdigit((unsigned char)*text) || number < first || number > last)
		return wrong(words, "'%s %s': not a number from %u to %u", what, text, first, last);
	*value = number;
	return 0;
}

/* ---- protocols and addresses ---- */

static const struct protocol {
	const char *name;
	__u8 number;
	bool ports;
} protocols[] = {
	{"tcp", IPPROTO_TCP, true},	  {"udp", IPPROTO_UDP, true},	    {"sctp", IPPROTO_SCTP, true},
	{"icmp", IPPROTO_ICMP, false},	  {"icmp6", IPPROTO_ICMPV6, false}, {"igmp", IPPROTO_IGMP, false},
	{"ip/gre", IPPROTO_GRE, false},	  {"ip/esp", IPPROTO_ESP, false},   {"ip/ah", IPPROTO_AH, false},
	{"ip/ospf", 89, false},		  {"ip/vrrp", 112, false},	    {"ip/ipip", IPPROTO_IPIP, false},
	{"ip/ipv6", IPPROTO_IPV6, false}, {"ip/icmp", IPPROTO_ICMP, false}, {"ip/pim", IPPROTO_PIM, false},
	{"ip/none", IPPROTO_NONE, false},
};

static int protocol_of(struct words *words, const char *word, struct packet_spec *spec)
{
	const char *names[sizeof(protocols) / sizeof(*protocols) + 3] = {"arp", "ether", "frame"};
	const char *near;
	unsigned number;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		names[i + 3] = protocols[i].name;
		if (strcmp(protocols[i].name, word))
			continue;
		spec->protocol = protocols[i].number;
		spec->has_ports = protocols[i].ports;
		return 0;
	}
	if (!strncmp(word, "ip/", 3) && word[3] >= '0' && word[3] <= '9') {
		int err = number_of(words, "ip/", word + 3, 0, 255, &number);

		spec->protocol = number;
		return err;
	}
	near = did_you_mean(word, names, sizeof(names) / sizeof(*names));
	if (near)
		return wrong(words, "'%s' is not a protocol; did you mean '%s'?", word, near);
	return wrong(words,
		     "'%s' is not a protocol: a packet begins with tcp, udp, sctp, icmp, icmp6, igmp, ip/N, arp, "
		     "ether or frame",
		     word);
}

static int address_of(struct words *words, const char *text, bool *ipv6, __u8 address[16])
{
	*ipv6 = strchr(text, ':') != NULL;
	if (inet_pton(*ipv6 ? AF_INET6 : AF_INET, text, address) == 1)
		return 0;
	return wrong(words, "'%s' is not an address", text);
}

/* "A:PORT", "[A]:PORT", or "A" where there are no ports */
static int endpoint_of(struct words *words, const char *word, bool has_port, bool *ipv6, __u8 address[16], __u16 *port)
{
	char text[INET6_ADDRSTRLEN + 16];
	char *colon = NULL, *start = text;
	unsigned number;
	int err;

	if (!word || !strcmp(word, ">") || strlen(word) >= sizeof(text))
		return wrong(words, "'%s': an address%s was expected", word ? word : "", has_port ? " and port" : "");
	strcpy(text, word);
	if (*text == '[') {
		char *bracket = strchr(text, ']');

		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return wrong(words, "'%s': '[ADDRESS]:PORT' was expected", word);
		*bracket = '\0';
		start = text + 1;
		colon = bracket[1] ? bracket + 1 : NULL;
	} else if (has_port && strchr(text, ':') == strrchr(text, ':')) {
		colon = strchr(text, ':');
	}
	if (has_port && !colon)
		return wrong(words, "'%s' has no port: write A.B.C.D:PORT or [IPv6]:PORT", word);
	if (!has_port && colon)
		return wrong(words, "'%s': this protocol has no ports", word);
	if (colon) {
		*colon = '\0';
		err = number_of(words, "port", colon + 1, 0, 65535, &number);
		if (err)
			return err;
		*port = number;
	}
	return address_of(words, start, ipv6, address);
}

static int endpoints_of(struct words *words, struct packet_spec *spec)
{
	bool ipv6;
	int err = endpoint_of(words, take(words), spec->has_ports, &spec->ipv6, spec->source, &spec->source_port);

	if (err)
		return err;
	if (!take_if(words, ">"))
		return wrong(words, "'%s' stands where '>' was expected: SOURCE > DESTINATION",
			     words->next ? words->next : "");
	err = endpoint_of(words, take(words), spec->has_ports, &ipv6, spec->destination, &spec->destination_port);
	if (!err && ipv6 != spec->ipv6)
		err = wrong(words, "source and destination are of different families");
	return err;
}

/* ---- ICMP ---- */

static const struct message {
	const char *name;
	short type4, code4, type6, code6; /* -1: not of this family */
} messages[] = {
	{"echo-request", 8, 0, 128, 0},
	{"echo-reply", 0, 0, 129, 0},
	{"unreachable", 3, 1, 1, 3},
	{"host-unreachable", 3, 1, 1, 3},
	{"net-unreachable", 3, 0, 1, 0},
	{"port-unreachable", 3, 3, 1, 4},
	{"admin-prohibited", 3, 13, 1, 1},
	{"frag-needed", 3, 4, 2, 0},
	{"packet-too-big", 3, 4, 2, 0},
	{"time-exceeded", 11, 0, 3, 0},
	{"parameter-problem", 12, 0, 4, 0},
	{"source-quench", 4, 0, -1, 0},
	{"redirect", 5, 0, 137, 0},
	{"timestamp-request", 13, 0, -1, 0},
	{"timestamp-reply", 14, 0, -1, 0},
	{"mask-request", 17, 0, -1, 0},
	{"router-solicitation", 10, 0, 133, 0},
	{"router-advertisement", 9, 0, 134, 0},
	{"neighbour-solicitation", -1, 0, 135, 0},
	{"neighbour-advertisement", -1, 0, 136, 0},
	{"neighbor-solicitation", -1, 0, 135, 0},
	{"neighbor-advertisement", -1, 0, 136, 0},
	{"mld-query", -1, 0, 130, 0},
	{"mld-report", -1, 0, 131, 0},
	{"mld-done", -1, 0, 132, 0},
	{"mld2-report", -1, 0, 143, 0},
};
#define MESSAGES (sizeof(messages) / sizeof(*messages))

static const struct message *message_of(const char *word)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		if (!strcmp(messages[i].name, word))
			return &messages[i];
	}
	return NULL;
}

static int set_message(struct words *words, const struct message *message, struct packet_spec *spec)
{
	int type = spec->ipv6 ? message->type6 : message->type4;

	if (type < 0)
		return wrong(words, "'%s' is not a message of ICMP%s", message->name, spec->ipv6 ? "v6" : " for IPv4");
	spec->icmp_type = type;
	spec->icmp_code = spec->ipv6 ? message->code6 : message->code4;
	return 0;
}

/* Neighbour discovery never crosses a router, group membership never leaves the link: their usual hop limits. */
static int usual_ttl(const struct packet_spec *spec)
{
	if (spec->protocol == IPPROTO_IGMP)
		return 1;
	if (spec->protocol != IPPROTO_ICMPV6)
		return 64;
	if (spec->icmp_type >= 133 && spec->icmp_type <= 137)
		return 255;
	if ((spec->icmp_type >= 130 && spec->icmp_type <= 132) || spec->icmp_type == 143)
		return 1;
	return 64;
}

/* ---- words with an argument ---- */

static int vlan_word(struct words *words, struct packet_spec *spec)
{
	unsigned number;
	int err = number_of(words, "vlan", take(words), 0, 4095, &number);

	if (!err && spec->vlan_count == SPEC_VLANS)
		err = wrong(words, "more than %d VLAN tags", SPEC_VLANS);
	if (!err)
		spec->vlans[spec->vlan_count++] = number;
	return err;
}

static int add_extension(struct words *words, struct packet_spec *spec, struct extension extension)
{
	if (spec->extension_count == SPEC_EXTENSIONS)
		return wrong(words, "more than %d extension headers", SPEC_EXTENSIONS);
	if (!spec->ipv6 && extension.header != IPPROTO_AH)
		return wrong(words, "IPv4 has no such extension header");
	spec->extensions[spec->extension_count++] = extension;
	return 0;
}

static int ext_word(struct words *words, struct packet_spec *spec)
{
	static const struct {
		const char *name;
		struct extension extension;
	} known[] = {
		{"hopopts", {IPPROTO_HOPOPTS, 0, false}},
		{"dstopts", {IPPROTO_DSTOPTS, 0, false}},
		{"routing", {IPPROTO_ROUTING, 2, false}},
		{"routing0", {IPPROTO_ROUTING, 0, false}},
		{"ah", {IPPROTO_AH, 0, false}},
		{"mobility", {IPPROTO_MH, 0, false}},
		{"hip", {139, 0, false}},
		{"shim6", {140, 0, false}},
		{"long", {IPPROTO_DSTOPTS, 0, true}},
	};
	const char *name = take(words);

	for (size_t i = 0; name && i < sizeof(known) / sizeof(*known); i++) {
		if (!strcmp(known[i].name, name))
			return add_extension(words, spec, known[i].extension);
	}
	return wrong(words,
		     "'ext %s': hopopts, dstopts, routing, routing0, ah, mobility, hip, shim6 or long was expected",
		     name ? name : "");
}

static int frag_word(struct words *words, struct packet_spec *spec)
{
	const char *how = take(words);
	unsigned offset = 0;
	int err;

	if (spec->fragment)
		return wrong(words, "'frag' stands twice");
	spec->fragment = true;
	if (how && !strcmp(how, "first")) {
		spec->more = true;
	} else if (how && !strcmp(how, "later")) {
		offset = 1480;
	} else if (how && !strcmp(how, "atomic")) {
		if (!spec->ipv6)
			return wrong(words, "'frag atomic' is of IPv6 only");
	} else {
		err = number_of(words, "frag", how, 0, 65528, &offset);
		if (err)
			return err;
		if (offset % 8)
			return wrong(words, "'frag %u': an offset is a multiple of 8", offset);
	}
	spec->fragment_offset = offset;
	return spec->ipv6 ? add_extension(words, spec, (struct extension){IPPROTO_FRAGMENT, 0, false}) : 0;
}

static int options_word(struct words *words, struct packet_spec *spec)
{
	static const struct {
		const char *name;
		__u8 bytes[8];
		unsigned length;
	} known[] = {
		{"nop", {1, 1, 1, 0}, 4},
		{"record-route", {7, 7, 4, 0, 0, 0, 0, 0}, 8},
		{"lsrr", {131, 7, 4, 192, 0, 2, 1, 0}, 8},
		{"ssrr", {137, 7, 4, 192, 0, 2, 1, 0}, 8},
		{"timestamp", {68, 8, 5, 0, 0, 0, 0, 0}, 8},
		{"router-alert", {148, 4, 0, 0}, 4},
	};
	const char *name = take(words);

	if (spec->ipv6)
		return wrong(words, "'options' is of IPv4 only; IPv6 has 'ext'");
	for (size_t i = 0; name && i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(known[i].name, name))
			continue;
		if (spec->option_bytes + known[i].length > sizeof(spec->options))
			return wrong(words, "IPv4 has room for 40 bytes of options");
		memcpy(spec->options + spec->option_bytes, known[i].bytes, known[i].length);
		spec->option_bytes += known[i].length;
		return 0;
	}
	return wrong(words, "'options %s': nop, record-route, lsrr, ssrr, timestamp or router-alert was expected",
		     name ? name : "");
}

/* The bytes of hexadecimal digits, two each, appended to *count of them. */
static int bytes_of(struct words *words, const char *digits, __u8 *bytes, size_t most, size_t *count)
{
	for (; *digits; digits += 2) {
		unsigned byte;
		char pair[3] = {digits[0], digits[1], '\0'};

		if (strspn(pair, "0123456789abcdefABCDEF") != 2)
			return wrong(words, "'%s': an even number of hexadecimal digits was expected", digits);
		if (*count == most)
			return wrong(words, "'%s': more than %zu bytes", digits, most);
		sscanf(pair, "%x", &byte);
		bytes[(*count)++] = byte;
	}
	return 0;
}

static int data_word(struct words *words, struct packet_spec *spec)
{
	const char *digits = take(words);
	size_t count = 0;
	int err;

	if (!spec->has_ports || spec->protocol == IPPROTO_SCTP)
		return wrong(words, "'data' is of TCP and UDP");
	if (spec->data_bytes)
		return wrong(words, "'data' stands twice");
	if (!digits)
		return wrong(words, "'data' wants hexadecimal digits after it");
	err = bytes_of(words, digits, spec->data, sizeof(spec->data), &count);
	spec->data_bytes = count;
	return err;
}

/* Words that are a number each. */
static const struct number_word {
	const char *name;
	size_t field;
	unsigned last;
} number_words[] = {
	{"ttl", offsetof(struct packet_spec, ttl), 255},
	{"tos", offsetof(struct packet_spec, tos), 255},
	{"len", offsetof(struct packet_spec, payload), SPEC_PAYLOAD_MAX},
	{"id", offsetof(struct packet_spec, id), 65535},
	{"cut", offsetof(struct packet_spec, cut), FRAME_MAX},
	{"type", offsetof(struct packet_spec, icmp_type), 255},
	{"code", offsetof(struct packet_spec, icmp_code), 255},
	{"ident", offsetof(struct packet_spec, icmp_id), 65535},
	{"version", offsetof(struct packet_spec, version), 15},
	{"ihl", offsetof(struct packet_spec, header_length), 15},
	{"ip-length", offsetof(struct packet_spec, ip_length), 65535},
	{"data-offset", offsetof(struct packet_spec, data_offset), 15},
	{"udp-length", offsetof(struct packet_spec, udp_length), 65535},
	{"ethertype", offsetof(struct packet_spec, ethertype), 65535},
	{"seq", offsetof(struct packet_spec, sequence), 0xffffffff},
	{"acknum", offsetof(struct packet_spec, acknowledgement), 0xffffffff},
	{"mss", offsetof(struct packet_spec, mss), 65535},
};

static const struct {
	const char *name;
	__u8 bits;
} flag_words[] = {
	{"fin", 0x01}, {"syn", 0x02}, {"rst", 0x04}, {"psh", 0x08},  {"ack", 0x10},
	{"urg", 0x20}, {"ece", 0x40}, {"cwr", 0x80}, {"null", 0x00},
};

static const struct {
	const char *name;
	int (*read)(struct words *words, struct packet_spec *spec);
} argument_words[] = {
	{"vlan", vlan_word}, {"ext", ext_word}, {"frag", frag_word}, {"options", options_word}, {"data", data_word},
};

static int number_word(struct words *words, const struct number_word *known, struct packet_spec *spec)
{
	void *field = (char *)spec + known->field;
	unsigned number;
	int err = number_of(words, known->name, take(words), 0, known->last, &number);

	if (!err && known->field == offsetof(struct packet_spec, mss))
		*(__u16 *)field = number;
	else if (!err)
		*(__u32 *)field = number;
	return err;
}

static int flag_word(struct words *words, const char *word, __u8 bits, struct packet_spec *spec)
{
	if (spec->protocol != IPPROTO_TCP || !spec->has_ports)
		return wrong(words, "'%s' is a flag of TCP", word);
	spec->has_tcp_flags = true;
	spec->tcp_flags |= bits;
	return 0;
}

static int unknown_word(struct words *words, const char *word)
{
	static const char *const others[] = {"more",  "open",	 "quoting", "first",
					     "later", "hopopts", "dstopts", "routing"};
	const char *names[128];
	const char *near;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(number_words) / sizeof(*number_words); i++)
		names[count++] = number_words[i].name;
	for (size_t i = 0; i < sizeof(flag_words) / sizeof(*flag_words); i++)
		names[count++] = flag_words[i].name;
	for (size_t i = 0; i < sizeof(argument_words) / sizeof(*argument_words); i++)
		names[count++] = argument_words[i].name;
	for (size_t i = 0; i < MESSAGES; i++)
		names[count++] = messages[i].name;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		names[count++] = others[i];
	near = did_you_mean(word, names, count);
	if (near)
		return wrong(words, "'%s' is not a word of packet text; did you mean '%s'?", word, near);
	return wrong(words, "'%s' is not a word of packet text", word);
}

static int parse_packet(struct words *words, struct packet_spec *spec, unsigned depth);

static int quoting_word(struct words *words, struct packet_spec *spec, unsigned depth)
{
	if (!spec->icmp)
		return wrong(words, "only ICMP errors quote a packet");
	if (depth)
		return wrong(words, "a quoted packet quotes nothing");
	spec->quoted = calloc(1, sizeof(*spec->quoted));
	if (!spec->quoted)
		return -ENOMEM;
	return parse_packet(words, spec->quoted, depth + 1);
}

static int parse_word(struct words *words, const char *word, struct packet_spec *spec, unsigned depth)
{
	bool icmp = spec->icmp;
	const struct message *message = message_of(word);

	if (!strcmp(word, "quoting"))
		return quoting_word(words, spec, depth);
	if (message)
		return icmp ? set_message(words, message, spec) : wrong(words, "'%s' is a message of ICMP", word);
	if ((!strcmp(word, "type") || !strcmp(word, "code")) && !icmp)
		return wrong(words, "'%s' is of ICMP", word);
	if (!strcmp(word, "more")) {
		spec->more = spec->fragment;
		return spec->fragment ? 0 : wrong(words, "'more' follows 'frag'");
	}
	if (!strcmp(word, "open")) {
		spec->open = true;
		return flag_word(words, word, 0x10, spec);
	}
	for (size_t i = 0; i < sizeof(argument_words) / sizeof(*argument_words); i++) {
		if (!strcmp(word, argument_words[i].name))
			return argument_words[i].read(words, spec);
	}
	for (size_t i = 0; i < sizeof(number_words) / sizeof(*number_words); i++) {
		if (!strcmp(word, number_words[i].name))
			return number_word(words, &number_words[i], spec);
	}
	for (size_t i = 0; i < sizeof(flag_words) / sizeof(*flag_words); i++) {
		if (!strcmp(word, flag_words[i].name))
			return flag_word(words, word, flag_words[i].bits, spec);
	}
	return unknown_word(words, word);
}

static int parse_words(struct words *words, struct packet_spec *spec, unsigned depth)
{
	const char *word;
	int err = 0;

	while (!err && (word = take(words)))
		err = parse_word(words, word, spec, depth);
	return err;
}

/* ---- whole packets ---- */

static int parse_hex(struct words *words, struct packet_spec *spec)
{
	const char *word;
	int err = 0;

	spec->kind = PACKET_HEX;
	while (!err && (word = take(words)))
		err = bytes_of(words, word, spec->hex, sizeof(spec->hex), &spec->hex_length);
	if (err)
		return err;
	return spec->hex_length >= 14 ? 0 : wrong(words, "a frame has at least the 14 bytes of an Ethernet header");
}

static int parse_arp(struct words *words, struct packet_spec *spec)
{
	int err;

	spec->kind = PACKET_ARP;
	memcpy(spec->source, (const __u8[]){192, 0, 2, 1}, 4);
	memcpy(spec->destination, (const __u8[]){192, 0, 2, 2}, 4);
	if (words->next && words->next[0] >= '0' && words->next[0] <= '9') {
		err = endpoints_of(words, spec);
		if (err)
			return err;
		if (spec->ipv6)
			return wrong(words, "ARP is of IPv4; IPv6 has icmp6 ... neighbour-solicitation");
	}
	return parse_words(words, spec, 0);
}

static int parse_ether(struct words *words, struct packet_spec *spec)
{
	unsigned type;
	int err = number_of(words, "ether", take(words), 0, 65535, &type);

	spec->kind = PACKET_ETHER;
	spec->ethertype = type;
	return err ? err : parse_words(words, spec, 0);
}

/* What the words left open. */
static int settle(struct words *words, struct packet_spec *spec)
{
	bool first = !spec->fragment || !spec->fragment_offset;

	if (spec->quoted && spec->ipv6 != spec->quoted->ipv6)
		return wrong(words, "the quoted packet is of the other family");
	if (spec->protocol == IPPROTO_TCP && spec->has_ports && !spec->has_tcp_flags)
		spec->tcp_flags = 0x10;
	if (spec->icmp && first && spec->icmp_type == SPEC_NOT_GIVEN)
		return wrong(words, "which ICMP message? For instance echo-request, or type 3 code 4");
	spec->ttl = spec->ttl == SPEC_NOT_GIVEN ? usual_ttl(spec) : spec->ttl;
	return 0;
}

static int parse_packet(struct words *words, struct packet_spec *spec, unsigned depth)
{
	const char *word = take(words);
	int err;

	spec->ttl = spec->tos = spec->payload = spec->id = SPEC_NOT_GIVEN;
	spec->icmp_type = spec->icmp_code = spec->icmp_id = SPEC_NOT_GIVEN;
	spec->ethertype = spec->version = spec->header_length = spec->ip_length = SPEC_NOT_GIVEN;
	spec->data_offset = spec->udp_length = spec->cut = SPEC_NOT_GIVEN;
	if (!word)
		return wrong(words, "a packet is missing: for instance 'tcp 192.0.2.1:4000 > 192.0.2.2:443 syn'");
	if (!depth && !strcmp(word, "frame"))
		return parse_hex(words, spec);
	if (!depth && !strcmp(word, "arp"))
		return parse_arp(words, spec);
	if (!depth && !strcmp(word, "ether"))
		return parse_ether(words, spec);
	err = protocol_of(words, word, spec);
	err = err ? err : endpoints_of(words, spec);
	if (err)
		return err;
	if (spec->protocol == IPPROTO_ICMPV6 && !spec->ipv6 && !strcmp(word, "icmp6"))
		return wrong(words, "icmp6 wants IPv6 addresses");
	spec->icmp = !strncmp(word, "icmp", 4);
	if (spec->icmp && spec->ipv6)
		spec->protocol = IPPROTO_ICMPV6;
	err = parse_words(words, spec, depth);
	return err ? err : settle(words, spec);
}

int packet_text(const char *text, struct frame *frame, char *error, size_t error_size)
{
	struct words words = {.error = error, .error_size = error_size};
	struct packet_spec *spec = calloc(1, sizeof(*spec));
	char *copy = strdup(text);
	int err = -ENOMEM;

	if (error_size)
		*error = '\0';
	if (spec && copy) {
		words.next = strtok_r(copy, " \t,", &words.save);
		err = parse_packet(&words, spec, 0);
		err = err ? err : packet_build(spec, frame);
	}
	if (err == -EMSGSIZE)
		err = wrong(&words, "the packet does not fit into a frame of %d bytes", FRAME_MAX);
	if (spec)
		free(spec->quoted);
	free(spec);
	free(copy);
	return err;
}
