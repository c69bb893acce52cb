/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The detector at a virtual clock: floods are seen within two seconds, lawful traffic never is, whatever its shape.
 * Real captures of both (shared/data beside the repository or above it) are played second by second; without them that
 * part is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/attack.h"
#include "../../userspace/capture_file.h"

#define SECOND 1000000000ULL

struct play { /* a service and its clock */
	struct attack attack;
	__u64 now_ns;
	unsigned started, ended;
	__u64 started_ns, ended_ns;
};

struct second { /* packets in it */
	double syns, open, none;
	double refused_syns, refused_open, refused_none;
	unsigned reason;
	double concentration;
};

static void feed(struct play *play, const struct second *second, __u64 length_ns)
{
	double share = (double)length_ns / SECOND;
	struct attack_sample sample = {
		.length_ns = length_ns,
		.arrived = {(__u64)(second->none * share), (__u64)(second->syns * share),
			    (__u64)(second->open * share)},
		.refused = {(__u64)(second->refused_none * share), (__u64)(second->refused_syns * share),
			    (__u64)(second->refused_open * share)},
		.reason = second->reason,
		.concentration = second->concentration,
	};

	play->now_ns += length_ns;
	sample.now_ns = play->now_ns;
	sample.hour = (unsigned)(play->now_ns / SECOND / 3600 % 24);
	switch (attack_step(&play->attack, &sample)) {
	case ATTACK_STARTED:
		play->started++;
		play->started_ns = play->now_ns;
		break;
	case ATTACK_ENDED:
		play->ended++;
		play->ended_ns = play->now_ns;
		break;
	case ATTACK_UNCHANGED:
		break;
	}
}

static void go(struct play *play, struct second second, unsigned seconds)
{
	while (seconds--)
		feed(play, &second, SECOND);
}

/* Connections a second, each a SYN and ten packets. */
static struct second lawful(double connections)
{
	return (struct second){.syns = connections, .open = 10 * connections};
}

/* Around a mean, by a third of it at most: more restless than Poisson at these rates. */
static double noisy(double mean)
{
	double sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (double)rand() / RAND_MAX;
	return mean * (1 + (sum - 2) / 6);
}

/* ---- floods ---- */

static struct second with_flood(struct second second, double syns, double refused)
{
	second.syns += syns;
	second.refused_syns += refused;
	return second;
}

static void test_syn_flood_is_seen_within_two_seconds(void **state)
{
	static const double rates[] = {2000, 20000, 2e6}, refused[] = {0, 0.5, 1};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < 3; j++)
			for (__u64 offset = SECOND / 10; offset < SECOND; offset += SECOND / 10) {
				struct play play = {};
				struct second flood = with_flood(lawful(100), rates[i], rates[i] * refused[j]);
				__u64 began;

				go(&play, lawful(100), 600);
				assert_int_equal(play.started, 0);
				began = play.now_ns + offset;
				/* the tick in which it begins has a part of it */
				flood.syns = 100 + rates[i] * (double)(SECOND - offset) / SECOND;
				flood.refused_syns = flood.syns * refused[j];
				go(&play, flood, 1);
				go(&play, with_flood(lawful(100), rates[i], rates[i] * refused[j]), 3);
				assert_int_equal(play.started, 1);
				assert_in_range(play.started_ns - began, 0, 2 * SECOND);
				assert_int_equal(play.attack.cause, CAUSE_SYN_FLOOD);
				assert_int_equal(play.attack.state, STANCE_ATTACK);
			}
}

static void test_cause_follows_from_what_was_refused(void **state)
{
	static const struct {
		struct second second;
		unsigned cause;
	} rows[] = {
		{{.syns = 3000, .open = 9000, .refused_syns = 2500, .concentration = 0.9}, CAUSE_CONNECTIONS},
		{{.syns = 50, .open = 90000, .refused_open = 60000}, CAUSE_PACKETS},
		{{.none = 90000, .refused_none = 60000, .reason = REASON_RATE_PACKETS}, CAUSE_PACKETS},
		{{.none = 90000, .refused_none = 90000, .reason = REASON_STRAY}, CAUSE_REASON + REASON_STRAY},
		{{.none = 90000, .refused_none = 90000, .reason = REASON_AMPLIFICATION},
		 CAUSE_REASON + REASON_AMPLIFICATION},
		{{.none = 9000, .refused_none = 9000}, CAUSE_PACKETS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct play play = {};

		go(&play, lawful(10), 600);
		go(&play, rows[i].second, 2);
		assert_int_equal(play.started, 1);
		assert_int_equal(play.attack.cause, rows[i].cause);
	}
}

static void test_a_daemon_that_starts_in_an_attack_sees_it(void **state)
{
	struct play play = {};

	(void)state;
	go(&play, (struct second){.syns = 50000, .refused_syns = 50000}, 2);
	assert_int_equal(play.started, 1);
}

static void test_attack_ends_when_it_was_quiet(void **state)
{
	struct play play = {};
	struct second flood = with_flood(lawful(50), 20000, 20000);
	__u64 last;

	(void)state;
	go(&play, lawful(50), 60);
	go(&play, flood, 30);
	go(&play, lawful(50), 5); /* a pause is no end */
	go(&play, flood, 5);
	assert_int_equal(play.ended, 0);
	last = play.now_ns;
	go(&play, lawful(50), 30);
	assert_int_equal(play.started, 1);
	assert_int_equal(play.ended, 1);
	assert_int_equal(play.attack.seen_ns, last);
	assert_int_equal(play.ended_ns - last, ATTACK_QUIET_NS);
	assert_int_equal(play.attack.state, STANCE_NORMAL);
	assert_int_equal(play.attack.detected_ms, 1000);
	assert_int_equal(play.attack.mitigated_ms, 1000);
	assert_true(play.attack.peak > 20000 && play.attack.peak < 21000);
	/* 50 connections of 11 packets, and 20000 SYNs, for 35 seconds and some of peace */
	assert_in_range(attack_open_share(&play.attack), 10, 60);
	assert_in_range(attack_syn_share(&play.attack), 900, 990);
	go(&play, flood, 2);
	assert_int_equal(play.started, 2);
	assert_int_equal(play.attack.attacks, 2);
}

static void test_mitigation_is_timed(void **state)
{
	struct play play = {};

	(void)state;
	go(&play, lawful(50), 60);
	go(&play, with_flood(lawful(50), 20000, 0), 5);
	assert_int_equal(play.attack.mitigated_ms, MITIGATED_NOT);
	go(&play, with_flood(lawful(50), 20000, 19900), 1);
	assert_int_equal(play.attack.mitigated_ms, 6000);
}

static void test_baseline_stands_still_in_an_attack(void **state)
{
	struct play play = {};

	(void)state;
	go(&play, lawful(50), 600);
	go(&play, with_flood(lawful(50), 20000, 20000), 1800);
	assert_true(play.attack.baseline.usual.syns < 60);
	go(&play, with_flood(lawful(50), 20000, 20000), 3600); /* this is what it has to live with */
	assert_true(play.attack.baseline.usual.syns > 10000);
	go(&play, with_flood(lawful(50), 20000, 20000), 60);
	assert_int_equal(play.ended, 1);
}

static void test_host_counts_volume_alone(void **state)
{
	struct play play = {.attack.host = true};
	struct second scan = {.none = 300, .refused_none = 300, .reason = REASON_UNEXPOSED};
	struct second flood = {.none = 30000, .refused_none = 30000, .reason = REASON_AMPLIFICATION};

	(void)state;
	go(&play, scan, 600);
	assert_int_equal(play.started, 0);
	go(&play, flood, 1);
	assert_int_equal(play.started, 1);
	assert_int_equal(play.attack.cause, CAUSE_REASON + REASON_AMPLIFICATION);
}

/* ---- false alarms ---- */

/* A day of a service whose load rises and falls by ten, with noise, a step at a full hour, and a lawful surge. */
static void test_lawful_days_raise_no_alarm(void **state)
{
	struct play play = {};
	unsigned surges = 0;

	(void)state;
	srand(7);
	for (unsigned second = 0; second < 3 * 86400; second++) {
		double of_day = (double)(second % 86400) / 86400, step = second % 3600 < 60 ? 3 : 1;
		double wave = 0.1 + 3.6 * (of_day < 0.5 ? of_day : 1 - of_day);
		double surge = second % 43200 >= 30000 && second % 43200 < 30300 ? 8 : 1;
		double connections = noisy(200 * wave * step * surge);

		go(&play, (struct second){.syns = connections, .open = noisy(10 * connections), .none = noisy(3)}, 1);
		surges += play.attack.state == STANCE_SURGE;
	}
	assert_int_equal(play.started, 0);
	assert_true(surges > 0);
}

/* More clients than a limit lets in: most SYNs are refused and come again, connections are completed all the same. */
static void test_surge_over_a_limit_is_a_surge(void **state)
{
	struct play play = {};
	struct second surge = {.syns = 9000, .refused_syns = 8000, .open = 10000, .concentration = 0.05};

	(void)state;
	go(&play, lawful(300), 900);
	go(&play, surge, 120);
	assert_int_equal(play.started, 0);
	assert_int_equal(play.attack.state, STANCE_SURGE);
	surge.concentration = 0.8; /* one network: not everybody */
	go(&play, surge, 2);
	assert_int_equal(play.started, 1);
	assert_int_equal(play.attack.cause, CAUSE_CONNECTIONS);
}

/* A daemon that has seen seconds: what came in them, edges of surges and of attacks, is not what is usual. */
static void test_edges_are_not_usual(void **state)
{
	static const unsigned edges[] = {0, 1, 2, 3, 10};
	struct second edge = {.syns = 290, .open = 400, .refused_syns = 190, .concentration = 0.1};
	struct second rest = {.syns = 700, .open = 400, .refused_syns = 600, .concentration = 0.8};

	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		struct play play = {};

		go(&play, edge, edges[i]);
		assert_int_equal(play.started, 0);
		go(&play, rest, 2);
		assert_int_equal(play.started, 1);
		assert_int_equal(play.attack.cause, CAUSE_CONNECTIONS);
	}
}

static void test_a_few_that_overdo_it_are_no_attack(void **state)
{
	struct play play = {};

	(void)state;
	go(&play, lawful(2000), 600);
	go(&play, (struct second){.syns = 2000, .open = 20000, .refused_open = 1500}, 60);
	assert_int_equal(play.started, 0);
}

/* Every day at noon ten times as many datagrams are refused: on the second day that is usual. */
static void test_shape_of_the_day_is_learned(void **state)
{
	struct play play = {};
	unsigned first;

	(void)state;
	for (unsigned day = 0; day < 3; day++) {
		for (unsigned minute = 0; minute < 1440; minute++) {
			bool noon = minute >= 720 && minute < 780;

			go(&play,
			   (struct second){.none = noon ? 9000 : 1000,
					   .refused_none = noon ? 2000 : 150,
					   .reason = REASON_RATE_PACKETS},
			   60);
		}
		if (!day)
			first = play.started;
	}
	assert_int_equal(first, 1);
	/* the first noon was an attack, and nothing was learned from it but its second half: no more alarms than days
	 */
	assert_true(play.started <= 3);
}

static void test_ticks_of_any_length(void **state)
{
	struct second flood = with_flood(lawful(50), 20000, 20000);
	struct play play = {};

	(void)state;
	for (int i = 0; i < 400; i++)
		feed(&play, &(struct second){.syns = 50, .open = 500}, SECOND / 4 + (__u64)(i % 7) * SECOND / 3);
	assert_int_equal(play.started, 0);
	feed(&play, &flood, SECOND / 5);
	assert_int_equal(play.started, 1);
}

/* ---- recordings ---- */

/* Where they are; without them the test is skipped, and says so. */
static const char *recordings(void)
{
	static const char *const above[] = {".", "..", "../..", "../../.."};
	static char path[256];

	for (size_t i = 0; i < sizeof(above) / sizeof(*above); i++) {
		snprintf(path, sizeof(path), "%s/shared/data/pcaps", above[i]);
		if (!access(path, R_OK))
			return path;
	}
	print_message("shared/data/pcaps is not there: recordings are not played\n");
	skip();
	return NULL;
}

#define FLOWS 65536

struct recording { /* packets by second, as the shield would see the side that answers */
	struct second seconds[300];
	unsigned count;
	unsigned char asked[FLOWS]; /* by hash of the answer's ends: a SYN was seen */
};

static unsigned half(const __u8 *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static unsigned flow_of(const __u8 *from, const __u8 *to, const __u8 *from_port, const __u8 *to_port)
{
	return (half(from) * 31 + half(from + 2) * 37 + half(to) * 41 + half(to + 2) * 43 + half(from_port) * 47 +
		half(to_port)) %
	       FLOWS;
}

/* IPv4 over Ethernet is enough for these captures. */
static void take_frame(struct recording *recording, const struct captured *packet, __u64 first_ns)
{
	const __u8 *ip = packet->frame + 14, *l4 = ip + (ip[0] & 15) * 4;
	size_t number = (size_t)((packet->time_ns - first_ns) / SECOND);
	struct second *second;
	unsigned flags;

	if (packet->length < 54 || half(packet->frame + 12) != 0x0800 || number >= 300 ||
	    l4 + 14 > packet->frame + packet->length)
		return;
	second = &recording->seconds[number];
	recording->count = (unsigned)number + 1;
	if (ip[9] != 6) { /* an answer that nobody asked for */
		second->none++;
		second->refused_none++;
		second->reason = REASON_AMPLIFICATION;
		return;
	}
	flags = l4[13] & 0x12;
	if (flags == 0x02) {
		second->syns++;
		recording->asked[flow_of(ip + 16, ip + 12, l4 + 2, l4)] = 1;
	} else if (flags == 0x12 && !recording->asked[flow_of(ip + 12, ip + 16, l4, l4 + 2)]) {
		second->none++;
		second->refused_none++;
		second->reason = REASON_STRAY;
	} else if (half(l4 + 2) < half(l4)) {
		second->open++; /* the other direction is what the server sends */
	}
}

static bool record(const char *directory, const char *name, struct recording *recording)
{
	struct capture *capture;
	struct captured packet;
	char path[512], error[256];
	__u64 first = 0;

	memset(recording, 0, sizeof(*recording));
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (capture_open(path, &capture, error, sizeof(error)))
		return false;
	while (capture_next(capture, &packet) == 1) {
		first = first ?: packet.time_ns;
		take_frame(recording, &packet, first);
	}
	capture_close(capture);
	return recording->count;
}

static void test_recorded_floods_are_seen(void **state)
{
	static const struct {
		const char *name;
		bool host;
		unsigned cause;
	} rows[] = {
		{"ddos-pkt.TCP.synflood.spoofed.pcap", false, CAUSE_SYN_FLOOD},
		{"ddos-amp.UDP.snmp.src161.pcapng", true, CAUSE_REASON + REASON_AMPLIFICATION},
		{"ddos-amp.TCP.reflection.SYNACK.pcap", true, CAUSE_REASON + REASON_STRAY},
	};
	static struct recording recording;
	const char *directory = recordings();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct play play = {.attack.host = rows[i].host};
		__u64 began;

		assert_true(record(directory, rows[i].name, &recording));
		if (!rows[i].host)
			go(&play, lawful(20), 300);
		began = play.now_ns;
		for (unsigned at = 0; at < recording.count && !play.started; at++)
			go(&play, recording.seconds[at], 1);
		assert_int_equal(play.started, 1);
		assert_in_range(play.started_ns - began, 0, 2 * SECOND);
		assert_int_equal(play.attack.cause, rows[i].cause);
	}
}

/* Clients of a recording at once, each somewhere else in it. */
static struct second many_of(const struct recording *recording, unsigned at, unsigned clients)
{
	struct second many = {};

	for (unsigned client = 0; client < clients; client++) {
		const struct second *one = &recording->seconds[(at + client * 7919) % recording->count];

		many.syns += one->syns;
		many.open += one->open;
	}
	return many;
}

/* Real API traffic from the midst of connections, and two hundred clients of it at once after an hour of one. */
static void test_recorded_lawful_traffic_raises_no_alarm(void **state)
{
	static const char *const names[] = {"ppp-http-packets.pcap", "ppp-tls2.pcap", "ja4-http1.pcapng",
					    "ja4-tls-handshake.pcapng", "ja4-tls-sni.pcapng"};
	static struct recording recording;
	unsigned alarms = 0, surges = 0;
	const char *directory = recordings();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct play play = {};

		assert_true(record(directory, names[i], &recording));
		for (unsigned at = 0; at < 3600; at++)
			go(&play, recording.seconds[at % recording.count], 1);
		for (unsigned at = 0; at < 10 * recording.count; at++) {
			go(&play, many_of(&recording, at, 200), 1);
			surges += play.attack.state == STANCE_SURGE;
		}
		alarms += play.started;
	}
	print_message("false alarms in recorded lawful traffic: %u; seconds called a surge: %u\n", alarms, surges);
	assert_int_equal(alarms, 0);
	assert_true(surges > 0);
}

/* A limit lets in so many of their SYNs; the others are refused, and nine of ten come again a second later. */
static struct second limited(struct second many, double limit, double *again)
{
	double wanted = many.syns + *again, admitted = wanted < limit ? wanted : limit;

	if (many.syns > admitted)
		many.open *= admitted / many.syns;
	many.syns = wanted;
	many.refused_syns = wanted - admitted;
	*again = 0.9 * many.refused_syns;
	return many;
}

#define SURGE_SYNS 3000.0 /* a second: many times what is no flood to anybody */

/* An hour of one client after the other, then a minute's surge of the same. How many of its seconds are called one. */
static unsigned play_surge(struct play *play, const struct recording *recording, double limit, double concentration)
{
	double syns = 0, again = 0;
	unsigned surges = 0;

	for (unsigned at = 0; at < recording->count; at++)
		syns += recording->seconds[at].syns / recording->count;
	assert_true(syns > 0); /* recorded from its handshake on */
	for (unsigned at = 0; at < 3600; at++)
		go(play, recording->seconds[at % recording->count], 1);
	for (unsigned at = 0; at < 60; at++) {
		struct second many = many_of(recording, at, (unsigned)(SURGE_SYNS / syns) + 1);

		many = limited(many, limit, &again);
		many.concentration = concentration;
		go(play, many, 1);
		surges += play->attack.state == STANCE_SURGE;
	}
	return surges;
}

/*
 * Real API traffic of thousands of clients at once, from everywhere and most of it from one network (a carrier's NAT,
 * an office), below a limit of the service and four times over it. One is called an attack, on purpose: most of what a
 * limit refuses comes from one network. Nobody can tell that from a flood of connections, and its cause says no more
 * than that.
 */
static void test_recorded_lawful_surges_raise_no_alarm(void **state)
{
	static const char *const names[] = {"zeek-tls13-ech.pcap", "zeek-chrome-1250-tls-x25519-kyber.pcap",
					    "ndpi-tls_with_huge_ch.pcapng", "sv-tls-client-hello-frag-mtu300.pcap"};
	static const struct {
		const char *what;
		double limit, concentration;
		bool attack;
	} rows[] = {
		{"from everywhere", 1e9, 0.02, false},
		{"from one network", 1e9, 0.9, false},
		{"from everywhere, over a limit", SURGE_SYNS / 4, 0.02, false},
		{"half of it from one network, over a limit", SURGE_SYNS / 4, 0.45, false},
		{"from one network, over a limit", SURGE_SYNS / 4, 0.9, true},
	};
	static struct recording recording;
	const char *directory = recordings();

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		unsigned alarms = 0, surges = 0;

		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			struct play play = {};

			assert_true(record(directory, names[i], &recording));
			surges += play_surge(&play, &recording, rows[row].limit, rows[row].concentration);
			alarms += play.started;
			if (play.started)
				assert_int_equal(play.attack.cause, CAUSE_CONNECTIONS);
		}
		print_message("recorded surges %s: %u alarms, %u seconds called a surge\n", rows[row].what, alarms,
			      surges);
		assert_int_equal(alarms, rows[row].attack ? sizeof(names) / sizeof(*names) : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn_flood_is_seen_within_two_seconds),
		cmocka_unit_test(test_cause_follows_from_what_was_refused),
		cmocka_unit_test(test_a_daemon_that_starts_in_an_attack_sees_it),
		cmocka_unit_test(test_attack_ends_when_it_was_quiet),
		cmocka_unit_test(test_mitigation_is_timed),
		cmocka_unit_test(test_baseline_stands_still_in_an_attack),
		cmocka_unit_test(test_host_counts_volume_alone),
		cmocka_unit_test(test_lawful_days_raise_no_alarm),
		cmocka_unit_test(test_surge_over_a_limit_is_a_surge),
		cmocka_unit_test(test_edges_are_not_usual),
		cmocka_unit_test(test_a_few_that_overdo_it_are_no_attack),
		cmocka_unit_test(test_shape_of_the_day_is_learned),
		cmocka_unit_test(test_ticks_of_any_length),
		cmocka_unit_test(test_recorded_floods_are_seen),
		cmocka_unit_test(test_recorded_lawful_traffic_raises_no_alarm),
		cmocka_unit_test(test_recorded_lawful_surges_raise_no_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
