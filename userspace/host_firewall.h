/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What of this host's own firewall concerns first bytes and SYN cookies. Connections that it sends elsewhere have no
 * socket here. Of SYN cookies: the kernel sees such a connection first by the ACK that ends
 * its handshake, and connection tracking makes of that what its rules and sysctls say.
 */
#ifndef BULWARK_HOST_FIREWALL_H
#define BULWARK_HOST_FIREWALL_H

#include <linux/types.h>
#include <stdbool.h>

#define FIREWALL_RULE 160

struct host_firewall {
	bool nat;			     /* some chain translates addresses */
	bool loose;			     /* nf_conntrack_tcp_loose: connections are taken up in their middle */
	char new_not_syn[FIREWALL_RULE];     /* a rule that drops new connections that do not begin with a SYN, or "" */
	char invalid[FIREWALL_RULE];	     /* a rule that drops what connection tracking calls invalid, or "" */
	char translated_rule[FIREWALL_RULE]; /* the last rule that sends inbound connections elsewhere (DNAT), or "" */
	__u8 translated[65536 / 8];	     /* TCP ports of such rules; all of them where a rule names none */
	char published_rule[FIREWALL_RULE];  /* the last of them that names a port, or "" */
	__u8 published[65536 / 8];	     /* TCP ports that they name */
};

/* nft's and iptables' own listings; where neither is there, nothing is found. */
void host_firewall_read(struct host_firewall *firewall);
/* One line of `nft list ruleset` or of iptables-save. */
void host_firewall_line(struct host_firewall *firewall, const char *line);
/* The first of these TCP ports that a rule names which sends it elsewhere; 0: none. */
unsigned host_firewall_published(const struct host_firewall *firewall, __u16 first, __u16 last);
/* Why a service with ports first to last (TCP) cannot use SYN cookies here, in words with what to do, or NULL.
 * handed_over: the kernel is told of the connection, and does not see for itself that it is one (COOKIES_OWN). */
const char *host_firewall_against(const struct host_firewall *firewall, bool handed_over, __u16 first, __u16 last,
				  char *words, unsigned size);

#endif
