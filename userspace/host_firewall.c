/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "host_firewall.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_parts.h"

static bool has(const char *line, const char *word)
{
	return strstr(line, word) != NULL;
}

/* A word on its own: `new` is not in `renew`. */
static bool has_word(const char *line, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = strstr(line, word); at; at = strstr(at + 1, word))
		if ((at == line || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[length]))
			return true;
	return false;
}

static void keep(char rule[FIREWALL_RULE], const char *line)
{
	line += strspn(line, " \t");
	snprintf(rule, FIREWALL_RULE, "%.*s", (int)strcspn(line, "\r\n"), line);
}

static bool refuses(const char *line)
{
	return has_word(line, "drop") || has_word(line, "reject") || has(line, "-j DROP") || has(line, "-j REJECT");
}

static bool of_state(const char *line, const char *nft, const char *iptables)
{
	return (has(line, "ct state") && has_word(line, nft)) ||
	       ((has(line, "--ctstate") || has(line, "--state")) && has_word(line, iptables));
}

static bool is_no_syn(const char *line)
{
	return (has(line, "tcp flags") && has(line, "!=") && has_word(line, "syn")) || has(line, "! --syn") ||
	       has(line, "! --tcp-flags");
}

static void translate(__u8 ports[65536 / 8], unsigned long first, unsigned long last)
{
	for (unsigned long port = first; port <= last && port < 65536; port++)
		ports[port / 8] |= 1 << port % 8;
}

/* A port, or a range of them, and what stands behind it. false: neither, or a part of something else. */
static bool read_ports(const char **at, bool in_set, unsigned long *first, unsigned long *last)
{
	char *end;

	*first = *last = strtoul(*at, &end, 10);
	if (*first && (*end == '-' || *end == ':'))
		*last = strtoul(end + 1, &end, 10);
	*at = end + strspn(end, " ");
	return *first && (!in_set || **at == ',' || **at == '}');
}

/* "dport 443", "--dport 8000:8010", "dport { 80, 443 }", "--dports 80,443"; a set with a name, a map or no port at all
 * may be any. */
static void translate_line(struct host_firewall *firewall, const char *line)
{
	const char *at = strstr(line, "dport");
	unsigned long first, last;
	bool in_set;

	keep(firewall->translated_rule, line);
	at = at ? at + strspn(at, "dports ") : "";
	in_set = *at == '{';
	do {
		at += strspn(at, "{, ");
		if (!read_ports(&at, in_set, &first, &last)) {
			translate(firewall->translated, 0, 65535);
			return;
		}
		keep(firewall->published_rule, line);
		translate(firewall->translated, first, last);
		translate(firewall->published, first, last);
	} while (*at == ',');
}

void host_firewall_line(struct host_firewall *firewall, const char *line)
{
	if (has(line, "type nat hook") || !strncmp(line, "*nat", 4))
		firewall->nat = true;
	if (refuses(line) && of_state(line, "new", "NEW") && is_no_syn(line))
		keep(firewall->new_not_syn, line);
	if (refuses(line) && of_state(line, "invalid", "INVALID"))
		keep(firewall->invalid, line);
	if (has_word(line, "udp") && !has_word(line, "tcp"))
		return;
	if (has(line, "dnat to") || has(line, "dnat ip") || has(line, "-j DNAT") || has(line, "-j REDIRECT") ||
	    has_word(line, "redirect"))
		translate_line(firewall, line);
}

static void read_listing(struct host_firewall *firewall, const char *command)
{
	/* NOLINTNEXTLINE(cert-env33-c): one of the constants below, with nobody's words in it */
	FILE *listing = popen(command, "re");
	char *line = NULL;
	size_t size = 0;

	while (listing && getline(&line, &size, listing) > 0)
		host_firewall_line(firewall, line);
	free(line);
	if (listing)
		pclose(listing);
}

void host_firewall_read(struct host_firewall *firewall)
{
	/* iptables over nftables too: not every nft can spell its matches */
	static const char *const commands[] = {
		"PATH=$PATH:/usr/sbin:/sbin nft list ruleset 2>/dev/null",
		"PATH=$PATH:/usr/sbin:/sbin iptables-save 2>/dev/null",
		"PATH=$PATH:/usr/sbin:/sbin ip6tables-save 2>/dev/null",
		"PATH=$PATH:/usr/sbin:/sbin iptables-legacy-save 2>/dev/null",
		"PATH=$PATH:/usr/sbin:/sbin ip6tables-legacy-save 2>/dev/null",
	};
	long long loose;

	memset(firewall, 0, sizeof(*firewall));
	firewall->loose = !sysctl_number("netfilter/nf_conntrack_tcp_loose", 1, &loose) && loose;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		read_listing(firewall, commands[i]);
}

static unsigned first_of(const __u8 ports[65536 / 8], __u16 first, __u16 last)
{
	for (unsigned port = first; port <= last; port++)
		if (ports[port / 8] >> port % 8 & 1)
			return port;
	return 0;
}

unsigned host_firewall_published(const struct host_firewall *firewall, __u16 first, __u16 last)
{
	return first_of(firewall->published, first, last);
}

const char *host_firewall_against(const struct host_firewall *firewall, bool handed_over, __u16 first, __u16 last,
				  char *words, unsigned size)
{
	unsigned port = first_of(firewall->translated, first, last);

	if (port) {
		snprintf(words, size, "port %u is sent elsewhere by '%s', where no listener of this host answers", port,
			 firewall->translated_rule);
		return words;
	}
	if (firewall->loose && *firewall->new_not_syn)
		snprintf(words, size,
			 "'%s' drops the ACK that completes them: sysctl net.netfilter.nf_conntrack_tcp_loose=0, or "
			 "remove the rule",
			 firewall->new_not_syn);
	else if (!firewall->loose && *firewall->invalid)
		snprintf(words, size,
			 "'%s' drops the ACK that completes them while nf_conntrack_tcp_loose is 0: sysctl "
			 "net.netfilter.nf_conntrack_tcp_loose=1, or remove the rule",
			 firewall->invalid);
	else if (handed_over && firewall->loose && firewall->nat)
		snprintf(words, size,
			 "this host translates addresses, and loose connection tracking lets that reset them: sysctl "
			 "net.netfilter.nf_conntrack_tcp_loose=0");
	else
		return NULL;
	return words;
}
