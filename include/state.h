/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * State: what outlives a policy. Pinned under <pin dir>/v<LAYOUT_VERSION>/ by map name, shared by all
 * generations. A reload neither resets nor mixes it.
 *
 * map           type           entries        writer                      reader            when full
 * control       array (data)   1              the steer program           root programs     -
 * slots         array          SLOT_COUNT     controller                  everybody         -
 * counters      percpu array   COUNTERS       programs                    metrics, status   -
 * service_counters percpu arr. SERVICE_COUNTERS programs                  metrics, status, daemon -
 * service_names array          SERVICE_ROWS   controller                  everybody         apply refuses
 * stances       array (data)   SERVICE_ROWS   daemon, controller          programs, status, metrics -
 * fallthrough   percpu array   HOOK_COUNT     root programs               status            -
 * origin        array          1              controller, once            controller        -
 * profiles      array (data)   SERVICE_ROWS   daemon, controller          programs, status  -
 * interfaces    array          INTERFACES     controller, daemon          programs          row 0 serves the rest
 * zones         hash           ZONE_MEMBERS   controller, daemon          programs          in no zone, told
 * own_addresses hash           4096           controller, daemon          programs          the route lookup decides
 * host_facts    array          1              controller, daemon, egress programs  -
 * holds         hash           HOLDS_MAX      controller                  programs          refused with words
 * hold_tables   array of maps  1              controller                  programs          `holds` is asked instead
 * hold_notes    hash           HOLDS_MAX      controller                  bans, lookup      refused with words
 * hold_batches  array          HOLD_BATCHES   controller                  bans, lookup      the last one is shared
 * hold_lengths  array (data)   1              controller, shield          programs          -
 * offences      array of lines OFFENCE_LINES  shield                      shield            who offends least goes
 * automatic_bans hash          AUTOMATIC_BANS_MAX shield; controller, daemon programs, bans  counted; old ones stay
 * flows         array of lines FLOW_LINES     egress program              shield            the oldest goes
 * half_open     array of lines FLOW_LINES/4   shield                      shield            the oldest goes
 * fragments     array of lines FLOW_LINES/16  shield                      shield            the oldest goes
 * budgets       array          BUDGET_COUNT   shield                      shield            -
 * limiters      array of lines LIMITER_LINES  shield                      shield            the smallest debt goes
 * service_cells array          SERVICE_CELLS  shield                      shield            -
 * open_counts   hash           OPEN_COUNTS_MAX sockops, recount            shield, lookup    refuses nobody
 * open_found    array          1              daemon                      recount           told in portions
 * open_checked  array          1              recount, daemon             shield, status    -
 * routed        hash           ROUTED_MAX     shield, egress, recount     egress, recount   not counted
 * slow_found    array          1              daemon; slow, the answers   slow, daemon      asked in portions
 * slow_looks    array          1              daemon                      status, metrics   -
 * cookie_cells  array          SERVICE_ROWS   shield                      shield, ingress   -
 * known         array of lines KNOWN_LINES    shield                      shield            the oldest goes
 * unanswered    array of lines UNANSWERED_LINES shield                    shield            the older goes
 * samples       array of lines SAMPLE_LINES   programs                    programs          the oldest goes
 * proven_drops  array of lines PROVEN_LINES   programs                    status            the oldest goes
 * sightings     hash           SIGHTINGS      ingress                     daemon            told at its next hello
 * fingerprints  hash           FINGERPRINTS   daemon; ingress (use of it) ingress           the longest unseen goes
 * accounts      array of lines ACCOUNT_LINES  sockops                     sockops           not counted
 * closings      array          1<<CLOSING_BITS sockops                    shield            shared by several
 * near_sums     percpu array   NEAR_ROWS      sockops; apply clears       metrics, status   -
 * connection_sums percpu hash  SERVICE_ROWS   sockops; apply clears       metrics, status   not counted
 * telling       percpu array   REASON_SLOTS   programs                    metrics           -
 * packet_samples percpu array  SAMPLES_A_CPU  programs                    top, status, daemon the oldest goes
 * sample_turns  percpu array   1              programs                    programs          -
 * events        ring buffer    EVENTS_BYTES   programs                    daemon            counted as lost
 */
#ifndef BULWARK_STATE_H
#define BULWARK_STATE_H

#include "control.h"
#include "fingerprint.h"
#include "hold_lines.h"
#include "reasons.h"
#include "sampling.h"

#define ADDRESS_BYTES 16 /* addresses are 128 bits in network order, IPv4 as ::ffff:a.b.c.d */

struct counter {
	__u64 packets;
	__u64 bytes; /* of the frames, from the Ethernet header on */
};

/* counters[(row * VERDICT_COUNT + verdict) * REASON_SLOTS + reason] */
#define INTERFACE_ROWS 32 /* row 0: interfaces beyond the 31 that have a row of their own */
#define COUNTERS (INTERFACE_ROWS * VERDICT_COUNT * REASON_SLOTS)
#define COUNTER_INDEX(row, verdict, reason) (((row)*VERDICT_COUNT + (verdict)) * REASON_SLOTS + (reason))

/* service_counters[SERVICE_COUNTER(row, verdict, proof)]; service_names[row]. Row 0: packets of no service. A row keeps
 * its name as long as a live or pending generation uses it, so counters never mix. */
#define SERVICE_ROWS 2048
enum proof {		     /* what a packet to a service says of its sender */
	     PROOF_NONE = 0, /* nothing, and it is no SYN: a datagram, a stray segment */
	     PROOF_SYN = 1,  /* nothing yet: it asks for a connection */
	     PROOF_OPEN = 2, /* it is inside an open connection, so its source cannot be forged */
	     PROOF_COUNT = 3,
};
#define SERVICE_COUNTERS (SERVICE_ROWS * VERDICT_COUNT * PROOF_COUNT)
#define SERVICE_COUNTER(row, verdict, proof) (((row)*VERDICT_COUNT + (verdict)) * PROOF_COUNT + (proof))
struct service_name {
	char name[64];	  /* NUL-terminated; empty: free */
	__u32 generation; /* the last generation that used the row */
	__u32 unused;
};
_Static_assert(sizeof(struct service_name) == 72, "service_name is pinned");

/*
 * stances[row]: how things stand with a service; [0]: with what belongs to none. The daemon writes it every second
 * while it is not at peace, so that who comes after a restart goes on where it was, and status and metrics need no
 * daemon to ask. Times are CLOCK_MONOTONIC ns, 0: never.
 */
enum attack_state { STANCE_NORMAL = 0, STANCE_SURGE = 1, STANCE_ATTACK = 2 };
enum attack_cause {
	CAUSE_NONE = 0,
	CAUSE_SYN_FLOOD = 1,   /* SYNs that no handshakes follow */
	CAUSE_CONNECTIONS = 2, /* handshakes follow, and too many of them */
	CAUSE_PACKETS = 3,     /* inside open connections, or to a service without any */
	CAUSE_REASON = 64,     /* plus an enum reason: what most of it was refused for */
};
struct stance {
	__u64 attack_since_ns; /* of the attack, or of the last one */
	__u64 attack_seen_ns;  /* the last second that it went on */
	__u64 told_ns;	       /* when this was written: a daemon that lives does so every second, but in peace */
	__u32 rate, peak;      /* packets a second that came, in the last second and in the worst of this attack */
	__u32 attacks;	       /* that began so far */
	__u32 detected_ms;     /* of the last attack: from its first second until it was said */
	__u32 mitigated_ms;    /* until no more was let in than is usual; MITIGATED_NOT: not yet */
	__u16 proven;	       /* thousandths of what came in this attack, inside open connections */
	__u16 fresh;	       /* thousandths of it that asked for a connection */
	__u16 concentration;   /* thousandths of what was refused, from one /24 or /48, plus one; 0: not known */
	__u16 strangers;       /* thousandths of what came, from sources without a history, plus one; 0: not known */
	__u8 state;	       /* enum attack_state */
	__u8 cause;	       /* enum attack_cause */
	__u8 profile_told;     /* 1: that `under-attack` is switched on, see profiles */
	__u8 unused[5];
};
#define MITIGATED_NOT (~0u)
_Static_assert(sizeof(struct stance) == 64, "stance is pinned");

/*
 * profiles[row]: whether a service is held as its policy's `under-attack` says; [0]: all of them, by hand. The packet
 * path reads until_ns alone, so that a switch is one aligned store. The daemon puts the end off as long as an attack
 * goes on: when it dies, the profile ends by itself.
 */
struct profile_switch {
	__u64 until_ns; /* CLOCK_MONOTONIC; 0: not switched on; PROFILE_FOR_GOOD: until it is switched off */
	__u64 since_ns;
	__u64 lifted_ns; /* [0]: when somebody last switched off by hand; attacks from before stay without */
	char by[32];	 /* [0]: who switched on */
	__u64 unused;
};
_Static_assert(sizeof(struct profile_switch) == 64, "profile_switch is pinned");
#define PROFILE_FOR_GOOD (~0ULL)

/* interfaces[ifindex % INTERFACES] */
#define INTERFACES 4096
struct interface_entry {
	__u32 ifindex; /* whose entry this is; another ifindex uses row 0 */
	__u16 row;
	__u16 mtu;
	__u32 flags;
	__u32 unused;
	char name[16];
};
_Static_assert(sizeof(struct interface_entry) == 32, "interface_entry is pinned");
enum {
	INTERFACE_GENERIC = 1u << 0,  /* generic mode: a frame longer than the MTU holds several segments */
	INTERFACE_FORWARDS = 1u << 1, /* enslaved to a bridge */
	INTERFACE_CLSACT = 1u << 2,   /* no tcx here: egress is a clsact filter of ours */
	INTERFACE_QDISC = 1u << 3,    /* and the clsact qdisc was made by us: `down` removes it */
};

/*
 * zones: the zone that packets are in which come in, or leave, by an interface, under the policy of one generation;
 * what is not in here is in no zone. Interfaces come and go under the same generation, and a generation that takes over
 * has its own rows before it is live. Value: __u32.
 */
struct zone_key {
	__u32 generation;
	__u32 ifindex; /* of the device that the programs are attached to */
	__u16 vlan;    /* the outermost tag, 0: none */
	__u16 unused;
};
_Static_assert(sizeof(struct zone_key) == 12, "zone_key is pinned");
#define ZONE_MEMBERS 4096

/* own_addresses: key __u8[16], value __u32 (1). This host's own unicast addresses. */
#define OWN_ADDRESSES_MAX 4096

/*
 * host_facts[0]: what may change under a live policy. forwards: this host forwards (ip_forward, or a bridge with
 * ports), so that a destination may be somebody behind it. The controller and the daemon write what the kernel says;
 * the egress program sets it when a packet leaves that came in elsewhere, so that a container engine that starts after
 * the policy was applied is noticed even where nothing runs.
 */
struct host_facts {
	__u32 forwards;
	__u32 unused;
};
_Static_assert(sizeof(struct host_facts) == 8, "host_facts is pinned");

/* holds: bans and allows. For each prefix length in use the packet path asks the table in hold_tables[0], whose lines
 * grow with the holds (hold_lines.h), and this map only where that one cannot tell. Times are CLOCK_BOOTTIME ns. */
#define HOLDS_MAX (1u << 20)
struct hold_key {
	__u32 length; /* of the 128-bit prefix: IPv4 /24 is 120 */
	__u8 address[ADDRESS_BYTES];
};
_Static_assert(sizeof(struct hold_key) == 20, "hold_key is pinned");
struct hold {
	__u64 ban_until_ns;   /* 0: no ban */
	__u64 allow_until_ns; /* 0: no exception */
	__u32 ban_since_s;    /* of a ban that came with many others: CLOCK_BOOTTIME s */
	__u16 batch;	      /* hold_batches says of what; 0: hold_notes does */
	__u16 unused;
};
_Static_assert(sizeof(struct hold) == 24, "hold is pinned");
/* What is said of all bans that came together: a note for each would take twenty times what the bans take. */
#define HOLD_BATCHES 256 /* 0 is none */
struct hold_batch {
	char origin[32], reason[96];
};
_Static_assert(sizeof(struct hold_batch) == 128, "hold_batch is pinned");
struct hold_note { /* same key; what a person said about it. The packet path never reads this. */
	__u64 ban_since_ns, allow_since_ns; /* CLOCK_BOOTTIME */
	char ban_origin[32], ban_reason[96];
	char allow_by[32], allow_reason[96];
};
_Static_assert(sizeof(struct hold_note) == 272, "hold_note is pinned");
/* hold_lengths: how many holds have each prefix length, and the total (0: the packet path skips the look-up). */
struct hold_lengths {
	__u32 total;
	__u32 kinds;	  /* how many lengths are in use, at most HOLD_KINDS */
	__u32 length[32]; /* the lengths in use, longest first; 0 ends the list */
	__u32 count[129]; /* holds of this length; the controller's own bookkeeping */
	__u32 automatic;  /* AUTOMATIC_*: kinds of automatic bans that may be there; 0: the packet path skips them */
	__u32 no_room;	  /* automatic bans that found the table full */
	__u32 changes;	  /* another number: a ban or an exception came or was lifted */
};
#define HOLD_KINDS 32

/*
 * automatic_bans: what the shield banned by itself, apart from the operator's holds, which it can never push out. Key:
 * struct hold_key. An entry outlives its ban, so that who offends again is banned for longer; what is forgotten is
 * removed by the daemon and by whoever writes holds.
 */
#define AUTOMATIC_BANS_MAX (1u << 17)
enum {			       /* lengths that automatic bans can have */
       AUTOMATIC_V4 = 1u << 0, /* an IPv4 address, 128 */
       AUTOMATIC_64 = 1u << 1,
       AUTOMATIC_56 = 1u << 2,
       AUTOMATIC_48 = 1u << 3,
};
struct automatic_ban {	/* times are CLOCK_BOOTTIME ns */
	__u64 until_ns; /* of the ban */
	__u64 since_ns;
	__u64 forget_ns; /* until then its offences are remembered */
	__u32 times;	 /* bans in a row, this one included */
	__u16 service;	 /* row of the service that was offended */
	__u8 reason;	 /* of the drop that was one too many */
	__u8 unused;
};
_Static_assert(sizeof(struct automatic_ban) == 32, "automatic_ban is pinned");
#define OFFENCES_REMEMBERED_NS (24ULL * 3600 * 1000000000) /* after the end of the ban they led to */

/* Lines of eight slots; a slot is [fingerprint:32][expiry:30][mark:2], expiry in units of 2^28 ns (0.27 s) of the
 * coarse monotonic clock. A slot whose expiry has passed is free; the victim is the earliest expiry. */
struct slot_line {
	__u64 slot[8];
};
_Static_assert(sizeof(struct slot_line) == 64, "one cache line");
#define FLOW_LINES 16384u /* 1 MiB, 131072 flows */
#define HALF_OPEN_LINES 4096u
#define FRAGMENT_LINES 1024u
#define SAMPLE_LINES 4096u
#define CLOSING_BITS 14		/* 128 KiB */
#define PROVEN_LINES 1024u	/* 64 KiB, 8192 sources */
#define PROVEN_DROP_SECONDS 300 /* a source whose open connection met a drop stays in proven_drops */
#define KNOWN_LINES 8192u	/* 65536 sources that have completed a handshake in the last day */
#define SLOT_EXPIRY_SHIFT 28

/*
 * unanswered: SYNs that got no cookie lately, two bytes each, [fingerprint:13][time:3], the time in units of 2^29 ns
 * (0.54 s); fingerprint 0: free. Each has its one place: who comes later takes it. Of a flood of 2 million a second 37
 * % are still there after one, of 200,000 a second 90 %; one in ten thousand is taken for another that came before.
 */
#define UNANSWERED_LINES 65536u /* 4 MiB, 2097152 SYNs */
#define UNANSWERED_TIME_SHIFT 29
#define UNANSWERED_TIME_BITS 3
struct unanswered_line {
	__u16 syn[32];
};
_Static_assert(sizeof(struct unanswered_line) == 64, "one cache line");
#define UNANSWERED_UNITS_MOST 6 /* what is older, or of this very unit, was not sent again by a TCP */

/*
 * limiters: lines of eight GCRA slots, a slot is [fingerprint:24][theoretical arrival time:40], the time in units of
 * 64 ns of the coarse clock (it wraps every 19.5 h; a time further ahead than any limit can put it is one that wrapped,
 * and as good as expired; a source that comes back within its own burst time of exactly 19.5 h later finds that burst
 * spent once). Lines are found by the source, fingerprints also tell limits apart and say which of the slots is tried
 * first. The victim is the smallest debt: who sends least has least to lose, and over the limit nothing is written. A
 * first packet that came just now is no victim of another one (limiter_victim()), so that a flood too large for the
 * table cannot wash out its own loudest senders before they come back.
 */
#define LIMITER_LINES 16384u /* 1 MiB, 131072 slots */
#define LIMITER_TIME_SHIFT 6
#define LIMITER_TIME_BITS 40

/*
 * offences: drops that cannot have been forged, counted for each source from the first one on until the time of
 * `ban: after` is over. Lines of eight slots, a slot is [fingerprint:24][begin:26][count:14], begin in units of 2^26 ns
 * (67 ms) of the coarse monotonic clock (it wraps every 52 days: a slot that old counts on for one more time, for the
 * same source). A slot whose time is over is free; the victim is the smallest count.
 */
#define OFFENCE_LINES 4096u /* 256 KiB, 32768 sources that offend at the same time */
#define OFFENCE_TIME_SHIFT 26
#define OFFENCE_TIME_BITS 26
#define OFFENCE_COUNT_BITS 14
#define OFFENCES_MAX 10000

/* service_cells[(row * LIMIT_CELLS + position) * 2 + proven]: cells of limits per service. What proves nothing spends
 * from a cell of its own, so that a flood of it leaves open connections theirs. */
#define LIMIT_CELLS 8
#define SERVICE_CELLS (SERVICE_ROWS * LIMIT_CELLS * 2)

/* cookie_cells[row of a service], [0]: of all. A cell is a cache line; coarse monotonic clock. */
struct cookie_cell {
	__u64 issued_ns;      /* [0]: when a cookie was last issued, a tick of tens of milliseconds coarse; 0: never */
	__u64 armed_until_ns; /* unless what armed it goes on */
	__u64 armed_since_ns;
	__u64 syn_tat_ns;   /* GCRA cell of all its SYNs */
	__u64 known_tat_ns; /* of SYNs over a limit, from sources that have completed handshakes before */
	__u64 unused[3];
};
_Static_assert(sizeof(struct cookie_cell) == 64, "one cache line");

/* Values by powers of two: bucket[n] counts those below 2 to the power of n that are in no lower one, the last one all
 * others. */
#define HISTOGRAM_BUCKETS 24
struct histogram {
	__u64 sum; /* of the values */
	__u64 bucket[HISTOGRAM_BUCKETS + 1];
};

/* near_sums[row of a service] of the first rows, connection_sums[row] of others: TCP connections that clients opened.
 * What a connection has moved is added when it ends, whatever generation is in force then (accounts). */
#define NEAR_ROWS 64 /* 44 KiB a CPU; of all rows it would be 1.4 MiB */
enum connection_end {
	END_FIN = 0,
	END_RESET = 1,	 /* by the client */
	END_TIMEOUT = 2, /* the client answered no more, in silence or because routers or neighbours did not find it */
	END_ABORT = 3,	 /* by this host: closed with data unread or unsent, a refusal at TC, SOCK_DESTROY */
	END_COUNT = 4,
};
enum { DIRECTION_OF_CLIENT = 0, DIRECTION_OF_SERVICE = 1, DIRECTION_COUNT = 2 }; /* who sent it */
struct connection_sums {
	__u64 opened;
	__u64 closed[END_COUNT];
	__u64 bytes[DIRECTION_COUNT];	 /* of payload, once each */
	__u64 segments[DIRECTION_COUNT]; /* with retransmits */
	__u64 retransmits;		 /* of the service */
	struct histogram handshake_us, rtt_us, duration_ms;
};
_Static_assert(sizeof(struct connection_sums) == 8 * (10 + 3 * 26), "connection_sums is pinned");

/* accounts[a line of a socket's cookie]: connections that are counted and have not ended, eight to a line; 0: free.
 * Cookies are given in turn, and eight that follow each other share a line, so that connections of a moment meet in one
 * that is in the cache. Where others last, and fill it, there is a second line, the same one for all eight. A slot is
 * [what the line does not say of the cookie:21][row of the service:11][since:32]. */
#define ACCOUNT_LINES 32768u /* 2 MiB, 262144 connections at the same time */
#define ACCOUNT_LINE_BITS 15
#define ACCOUNT_LINE(cookie) ((__u32)((cookie) >> 3) & (ACCOUNT_LINES - 1))
#define ACCOUNT_OTHER_LINE(line) ((line)*20251u & (ACCOUNT_LINES - 1)) /* odd, so that no two share theirs */
#define ACCOUNT_SINCE_SHIFT 22 /* ns to 4.2 ms, about a tick of the coarse monotonic clock; 208 days */
#define ACCOUNT_SLOT(cookie, row, since)                                                                               \
	(((__u64)(cookie) >> (ACCOUNT_LINE_BITS + 3) << 3 | ((cookie)&7)) << 43 | (__u64)(row) << 32 | (__u32)(since))
#define ACCOUNT_PRINT(slot) ((slot) >> 43)
#define ACCOUNT_ROW(slot) ((slot) >> 32 & 0x7ff)
#define ACCOUNT_SINCE(slot) ((__u32)(slot))
_Static_assert(ACCOUNT_LINES == 1u << ACCOUNT_LINE_BITS && SERVICE_ROWS <= 1 << 11, "the bits of a slot");

/*
 * open_counts: open connections, for each limit of them and each part of the source that it counts as one. Only what
 * completed a handshake makes an entry. sockops counts at once, up at established and down at close; what it cannot
 * know (connections older than the policy, a program that took our callbacks away, a crash) the daemon's recount puts
 * right every few seconds, by the program `recount` that every generation with such a limit has. `open` is below 0 for
 * as long as a close was counted whose beginning was not.
 */
#define OPEN_COUNTS_MAX (1u << 18)
struct open_key {
	__u8 address[ADDRESS_BYTES]; /* host bits cleared; of everybody: 0 */
	__u32 limit;		     /* struct limit_entry.id */
};
_Static_assert(sizeof(struct open_key) == 20, "open_key is pinned");
struct open_count {
	__s32 open;
	__u32 changes;	      /* by sockops, ever */
	__u32 changes_before; /* as it was when the recount began */
	__u32 seen;	      /* by the recount that runs */
};
_Static_assert(sizeof(struct open_count) == 16, "open_count is pinned");

/* open_found[0]: connections that the recount is told of, a portion at a time. */
#define OPEN_FOUND_PORTION 256
struct open_connection { /* as the peer's packets name it */
	__u8 source[ADDRESS_BYTES];
	__u8 destination[ADDRESS_BYTES];
	__u16 port;	   /* of the destination, host order */
	__u16 source_port; /* likewise; only of what connection tracking tells */
};
_Static_assert(sizeof(struct open_connection) == 36, "open_connection is shared with the daemon");
struct open_found {
	__u32 count;
	struct open_connection items[OPEN_FOUND_PORTION];
};

/*
 * routed: connections that count in open_counts and only go through this host (`forward: services`). The packet path
 * makes an entry of what completed a handshake, by the number that only the server's answer tells, and takes it out
 * when the server has reset it or both ends have closed. What ends otherwise the recount takes out: what connection
 * tracking has told of it tells no more, or half_open has forgotten it. Who makes an entry counts up, who takes it out
 * counts down.
 */
#define ROUTED_MAX (1u << 17)
struct routed_key { /* as the client's packets name it */
	__u8 source[ADDRESS_BYTES];
	__u8 destination[ADDRESS_BYTES];
	__u16 source_port, destination_port; /* host order */
};
_Static_assert(sizeof(struct routed_key) == 36, "routed_key is pinned");
enum { ROUTED_CLIENT_CLOSED = 1u << 0, ROUTED_SERVER_CLOSED = 1u << 1 };
enum { ROUTED_TRACKED = 1u << 0, ROUTED_SEEN = 1u << 1 };
struct routed {
	__u32 closed; /* ROUTED_*_CLOSED */
	__u32 reset;  /* by the client, when, in the units of a slot's expiry; 0: it has not */
	__u32 told;   /* by connection tracking: ever, and in the recount that runs */
	__u32 unused;
};
_Static_assert(sizeof(struct routed) == 16, "routed is pinned");

/* open_checked[0]: a count that was not checked for so long refuses nobody. */
#define OPEN_UNCHECKED_NS 60000000000ULL
struct open_checked {
	__u64 at_ns; /* coarse monotonic clock; 0: never */
};

/* What the program `recount` is asked, its context. A recount is BEGIN, any number of FOUND and the like, SETTLE. */
enum recount_operation {
	RECOUNT_BEGIN = 0,
	RECOUNT_FOUND = 1,  /* the connections in open_found are open */
	RECOUNT_SETTLE = 2, /* counts become what was found, as far as changes meanwhile do not explain it */
	RECOUNT_OPENED = 3, /* offline, in the place of sockops */
	RECOUNT_CLOSED = 4,
	RECOUNT_TRANSLATED = 5, /* like FOUND: those that connection tracking sends on to another address */
	RECOUNT_ROUTED = 6,	/* and those that it only sees: these count where the packet path has seen them begin */
};
struct recount_request {
	__u32 operation;
	__u32 unused;
	__u64 now_ns; /* coarse monotonic clock */
};
_Static_assert(sizeof(struct recount_request) == 16, "recount_request is shared with the programs");

/*
 * Slow senders. The daemon looks at the kernel's own numbers of open connections and finds those that have been slow
 * for some time (userspace/slow.h); slow_found[0] is a portion of them, which the program `slow` of the generation in
 * force answers: whether a limit `idle-request` of the service ends it. What is to end is counted and told there, like
 * a drop, and then ended by the daemon.
 */
#define SLOW_FOUND_PORTION 256
enum slow_answer { SLOW_STAYS = 0, SLOW_ENDS = 1, SLOW_WOULD_END = 2 };
struct slow_connection { /* as the peer's packets name it */
	__u8 source[ADDRESS_BYTES];
	__u8 destination[ADDRESS_BYTES];
	__u16 source_port, port; /* host order */
	__u32 slow_ms;		 /* for how long */
	__u32 unanswered_ms;	 /* for how long the service has sent nothing at all; 0: it has */
	__u8 answer;		 /* enum slow_answer */
	__u8 unused[3];
};
_Static_assert(sizeof(struct slow_connection) == 48, "slow_connection is shared with the daemon");
struct slow_found {
	__u32 count;
	struct slow_connection items[SLOW_FOUND_PORTION];
};

/* What the program `slow` is asked, its context: the first two are told by it. */
struct slow_request {
	__u32 shortest_ms; /* of the limits in force */
	__u32 unused;
	__u32 judge;	   /* 1: what is in slow_found, else nothing */
	__u32 only_counts; /* 1: the kernel cannot end connections, so that none is said to have been ended */
};
_Static_assert(sizeof(struct slow_request) == 16, "slow_request is shared with the programs");

/* slow_looks[0]: what the daemon says of its last look. */
struct slow_looks {
	__u64 at_ns;	/* CLOCK_MONOTONIC; 0: none yet */
	__u64 took_ns;	/* of a CPU */
	__u64 every_ns; /* the next one comes after so long */
	__u32 followed; /* open connections that it knows */
	__u32 beyond;	/* open connections that it had no room for: they are never slow */
	__u32 slow;	/* of those followed, found slow in this look */
	__s32 error;	/* -errno of a look that failed; -EOPNOTSUPP: the kernel cannot end connections */
};
_Static_assert(sizeof(struct slow_looks) == 40, "slow_looks is pinned");

/*
 * sightings: clients whose JA4 is not known yet, by sighting_number(), until the daemon takes them out. fingerprints:
 * number -> JA4, what the daemon made of them. Those in use and those that a policy denies stay when there is no room.
 */
#define SIGHTINGS 256
#define FINGERPRINTS 16384

/* telling[reason], per CPU: the budget of events and what was not told. */
struct telling {
	__u64 tick;		  /* jiffies64 of the running budget */
	__u32 told;		  /* in this tick */
	__u32 probes;		  /* sources looked up in this tick */
	__u64 untold;		  /* packets since the last event of this reason */
	__u64 made;		  /* events written to the ring */
	__u64 sampled_out;	  /* packets that made no event of their own */
	__u64 lost;		  /* events that found the ring full; their packets count as untold */
	struct sampling sampling; /* of all packets of this reason, told or not */
};
_Static_assert(sizeof(struct telling) == 64, "telling is pinned");

/*
 * packet_samples: who sends, and what becomes of it: packets taken as sampling.h says, apart for each reason, so that a
 * flood of one drowns nobody else's. A ring on each CPU; sample_turns[0] says how many were written so far. Nothing is
 * decided by it in the packet path. A reader may see a sample half written over: one wrong sample.
 */
#define SAMPLES_A_CPU 4096u /* 128 KiB; 6 s of one flood at 250 ticks a second, hours of peace */
#define SAMPLE_TIME_SHIFT 20
struct packet_sample {
	__u8 source[ADDRESS_BYTES];
	__u32 time;    /* coarse monotonic clock, units of 2^20 ns (about 1 ms; wraps every 52 days) */
	__u32 packets; /* that it stands for; 0: nothing was written here yet */
	__u16 service; /* row; 0: none */
	__u8 reason, verdict;
	__u8 shift; /* one of 2 to the power of this was taken */
	__u8 flags; /* SAMPLE_* */
	__u8 unused[2];
};
_Static_assert(sizeof(struct packet_sample) == 32, "packet_sample is pinned");
enum {
	SAMPLE_HISTORY = 1u << 0, /* it was looked up whether the source has completed a handshake lately */
	SAMPLE_KNOWN = 1u << 1,	  /* and it has */
	SAMPLE_OPEN = 1u << 2,	  /* inside an open connection */
	SAMPLE_AGAIN = 1u << 3,	  /* counted before under what became of it: at XDP, or of a would-drop */
};

#define EVENTS_BYTES (1u << 20)

/* budgets[enum budget]: a GCRA cell (theoretical arrival time), alone on its cache line. */
struct budget_cell {
	__u64 tat_ns; /* coarse monotonic clock */
	__u64 unused[7];
};
_Static_assert(sizeof(struct budget_cell) == 64, "one cache line");

/* origin[0]: where and how this instance was made. Written once, before its pins appear. */
struct origin {
	__u64 state_key[2]; /* secret, per boot; SipHash key of everything in pinned state */
	__u64 netns;	    /* inode of the network namespace whose interfaces it protects */
	__u32 flags;	    /* ORIGIN_* */
	__u32 unused;
};
_Static_assert(sizeof(struct origin) == 32, "origin is pinned");
enum {
	ORIGIN_MOUNTED_BPFFS = 1u << 0, /* the bpffs was not there and we mounted it: `down` unmounts it */
	ORIGIN_EPHEMERAL = 1u << 1,	/* its bpffs is not one that PID 1 sees: protection ends with that namespace */
};

/* One event in the ring buffer `events`. */
enum event_kind {
	EVENT_VERDICT = 1, /* a drop, a reply or a would-drop */
};
struct event {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 packets; /* packets this event stands for, itself included */
	__u32 generation;
	__u32 ifindex;
	__u8 source[ADDRESS_BYTES];
	__u8 destination[ADDRESS_BYTES];
	__u16 source_port, destination_port; /* host order; ICMP: type, code */
	__u16 rule;
	__u16 service; /* row; 0: none */
	__u16 class;
	__u16 vlan;   /* outermost VLAN id, 0: none */
	__u16 length; /* of the frame, capped */
	__u8 kind;    /* enum event_kind */
	__u8 verdict;
	__u8 reason;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 hook; /* enum hook */
	__u8 unused[4];
};
_Static_assert(sizeof(struct event) == 80, "event is shared with the daemon");

/* decision: what the offline program says of the last packet (global data, not pinned, offline only). */
struct decision {
	__u8 verdict;
	__u8 reason;
	__u8 would; /* reason of the first monitored rule that would have dropped it; 0: none */
	__u8 unused;
	__u16 rule, would_rule;
	__u16 service; /* index in the generation, 0: none */
	__u16 class;
	__u8 source[ADDRESS_BYTES];
	__u8 destination[ADDRESS_BYTES];
	__u16 source_port, destination_port;
	__u8 protocol, tcp_flags, ipv6;
	__u8 open_before; /* passed because its connection was open before the capture began */
	__u8 hook;	  /* enum hook: whose program decided */
	__u8 early;	  /* reason that the short way out gives (bpf/at_once.h): none, or the same one */
	__u8 unused2[2];
};
_Static_assert(sizeof(struct decision) == 56, "decision is shared with userspace");

/* Offline only: connections fed from a capture or from this host's sockets. Hash map `connections`, key below with
 * the two ends in canonical order (smaller address:port first), value CONNECTION_*. */
struct connection_key {
	__u8 address[2][ADDRESS_BYTES];
	__be16 port[2];
};
_Static_assert(sizeof(struct connection_key) == 36, "connection_key is shared with userspace");
enum {
	CONNECTION_HALF_OPEN = 1,
	CONNECTION_OPEN = 2,
	CONNECTION_OPEN_BEFORE = 3,
	CONNECTION_CLOSED = 4,
	CONNECTION_TIME_WAIT = 5
};
#define CONNECTIONS_MAX (1u << 18)
#define STREAMS_OFFLINE (1u << 16)

#endif
