/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reflected floods: answers of UDP services that are abused to make small questions large, to questions that somebody
 * asked in this host's name. What this host did ask for is an answer before anybody looks here.
 */
#ifndef BULWARK_AMPLIFICATION_H
#define BULWARK_AMPLIFICATION_H

#define PRIVILEGED_PORTS 1024 /* no client sends from one of these by chance */

/* Source ports of reflectors. A global function: verified once. */
__noinline int reflector(__u32 port)
{
	switch (port) {
	case 17:    /* quote of the day */
	case 19:    /* character generator */
	case 53:    /* DNS */
	case 69:    /* TFTP */
	case 111:   /* portmapper */
	case 123:   /* NTP */
	case 137:   /* NetBIOS names */
	case 161:   /* SNMP */
	case 177:   /* XDMCP */
	case 389:   /* CLDAP */
	case 427:   /* SLP */
	case 520:   /* RIP */
	case 623:   /* IPMI */
	case 1434:  /* MS SQL browser */
	case 1604:  /* Citrix ICA browser */
	case 1900:  /* SSDP */
	case 3283:  /* Apple Remote Desktop */
	case 3702:  /* WS-Discovery */
	case 5093:  /* Sentinel licence manager */
	case 5353:  /* multicast DNS */
	case 5683:  /* CoAP */
	case 10001: /* Ubiquiti discovery */
	case 10074: /* Mitel test facility */
	case 11211: /* memcached */
	case 32414: /* Plex discovery */
	case 33848: /* Jenkins discovery */
	case 37810: /* DHDiscover */
		return 1;
	}
	return 0;
}

/* What leaves for a reflector's port asks it, also from a port of a service: a client's answer does not go there. */
static __always_inline int is_question(const struct flow *flow)
{
	return flow->destination_port < PRIVILEGED_PORTS && flow->source_port != flow->destination_port &&
	       reflector(flow->destination_port);
}

/*
 * Whether a datagram is a reflector's: by its source port, unless servers of one kind speak with each other (NTP, DNS,
 * multicast DNS). At a port that no service names that tells what it was. At a declared service that everybody may use
 * a client can have come by one of the higher ports, so there only those below 1024 say it.
 */
static __always_inline int is_reflected(const struct flow *flow, const struct service_entry *service)
{
	if (flow->source_port == flow->destination_port || !reflector(flow->source_port))
		return 0;
	return !service || (!service->allow && flow->source_port < PRIVILEGED_PORTS);
}

#endif
