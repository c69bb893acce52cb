/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "attack.h"

#define NS 1e9
#define SYNS_LEAST 500.0    /* a second: fewer are no flood to anybody */
#define REFUSED_LEAST 200.0 /* of a service */
#define HOST_LEAST 1000.0   /* of what belongs to no service: the internet scans everybody all the time */
#define FACTOR 4.0	    /* times what is usual */
#define OPEN_A_SYN 0.2	    /* packets of open connections for each SYN: a lawful surge that meets limits has more */
#define OPEN_ADMITTED 2.0   /* and for each SYN that was let in: a handshake alone brings one, a request the next */
#define REFUSED_SHARE 0.1   /* of what came: less is a few that overdo it */
#define CONCENTRATED 0.5
#define ALARM 2.0
#define CALM 0.5	   /* of the threshold */
#define LEARN_S 300.0	   /* the average's time constant */
#define LEARN_LEAST_S 30.0 /* fewer are no average: what came in them counts as if it had been so long */
#define LEARN_HOUR_S 3600.0
#define DAY_S 86400.0
#define ACCEPT_S 3600.0 /* an attack this long is what the service has to live with: learned from then on */

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double within(double least, double value, double most)
{
	return value < least ? least : value > most ? most : value;
}

static struct attack_rates rates_of(const struct attack_sample *sample)
{
	double seconds = sample->length_ns ? (double)sample->length_ns / NS : 1;
	struct attack_rates rates = {};

	for (int proof = 0; proof < PROOF_COUNT; proof++) {
		rates.arrived += (double)sample->arrived[proof] / seconds;
		rates.refused += (double)sample->refused[proof] / seconds;
	}
	rates.syns = (double)sample->arrived[PROOF_SYN] / seconds;
	rates.admitted = rates.syns - (double)sample->refused[PROOF_SYN] / seconds;
	rates.open = (double)sample->arrived[PROOF_OPEN] / seconds;
	return rates;
}

bool attack_is_loud(const struct attack *attack, const struct attack_sample *sample)
{
	struct attack_rates rates = rates_of(sample);

	return attack->state == STANCE_ATTACK || rates.syns >= SYNS_LEAST || rates.refused >= REFUSED_LEAST;
}

/* ---- what is usual ---- */

static void approach(struct attack_rates *usual, const struct attack_rates *now, double share)
{
	usual->arrived += (now->arrived - usual->arrived) * share;
	usual->syns += (now->syns - usual->syns) * share;
	usual->admitted += (now->admitted - usual->admitted) * share;
	usual->open += (now->open - usual->open) * share;
	usual->refused += (now->refused - usual->refused) * share;
}

static void learn(struct attack_baseline *baseline, const struct attack_rates *now, const struct attack_sample *sample)
{
	double seconds = (double)sample->length_ns / NS;
	struct attack_rates *hour = &baseline->hours[sample->hour % ATTACK_HOURS];

	baseline->seconds += seconds;
	/* The plain mean until there is enough for a moving one. Before that nothing is usual, and little becomes so:
	 * the edge of an attack would else be the measure of the rest of it. */
	approach(&baseline->usual, now, seconds / within(LEARN_LEAST_S, baseline->seconds, LEARN_S));
	approach(hour, now, seconds / (baseline->seconds < LEARN_HOUR_S ? baseline->seconds : LEARN_HOUR_S));
}

static struct attack_rates usual_rates(const struct attack_baseline *baseline, unsigned hour)
{
	const struct attack_rates *then = &baseline->hours[hour % ATTACK_HOURS];
	struct attack_rates usual = baseline->usual;

	if (baseline->seconds < DAY_S)
		return usual;
	usual.arrived = larger(usual.arrived, then->arrived);
	usual.syns = larger(usual.syns, then->syns);
	usual.refused = larger(usual.refused, then->refused);
	return usual; /* `open` and `admitted` count for the sender: what is usual now */
}

/* ---- judging one tick ---- */

/* Whether connections are completed: packets of open connections come with the SYNs that are more than usual. */
static bool completed(const struct attack_rates *now, const struct attack_rates *usual)
{
	double open = larger(now->open - usual->open, 0);

	return open >= OPEN_A_SYN * larger(now->syns - usual->syns, 0) &&
	       open >= OPEN_ADMITTED * larger(now->admitted - usual->admitted, 0);
}

static double syn_level(const struct attack_rates *now, const struct attack_rates *usual)
{
	return completed(now, usual) ? 0 : now->syns / larger(SYNS_LEAST, FACTOR * usual->syns);
}

static double refused_level(const struct attack *attack, const struct attack_rates *now,
			    const struct attack_rates *usual)
{
	if (now->refused < REFUSED_SHARE * now->arrived)
		return 0;
	return now->refused / larger(attack->host ? HOST_LEAST : REFUSED_LEAST, FACTOR * usual->refused);
}

static bool is_surge(const struct attack_sample *sample, const struct attack_rates *now,
		     const struct attack_rates *usual)
{
	__u64 refused = sample->refused[PROOF_NONE] + sample->refused[PROOF_SYN] + sample->refused[PROOF_OPEN];

	return sample->refused[PROOF_SYN] * 2 >= refused && now->open > 0 && completed(now, usual) &&
	       sample->concentration < CONCENTRATED;
}

static enum attack_cause cause_of(const struct attack *attack, const struct attack_sample *sample,
				  const struct attack_rates *now, const struct attack_rates *usual)
{
	__u64 none = sample->refused[PROOF_NONE], syn = sample->refused[PROOF_SYN], open = sample->refused[PROOF_OPEN];

	if (attack->host)
		return sample->reason ? CAUSE_REASON + sample->reason : CAUSE_PACKETS;
	if (syn >= none + open)
		return now->open > 0 && completed(now, usual) ? CAUSE_CONNECTIONS : CAUSE_SYN_FLOOD;
	if (open >= none || sample->reason == REASON_RATE_PACKETS || sample->reason == REASON_RATE_BYTES)
		return CAUSE_PACKETS;
	return sample->reason ? CAUSE_REASON + sample->reason : CAUSE_PACKETS;
}

/* ---- the course of an attack ---- */

static void begin(struct attack *attack, const struct attack_sample *sample)
{
	attack->state = STANCE_ATTACK;
	attack->attacks++;
	attack->since_ns = attack->suspected_ns;
	attack->detected_ms = (__u32)((sample->now_ns - attack->since_ns) / 1000000);
	attack->mitigated_ms = MITIGATED_NOT;
	attack->peak = 0;
	attack->arrived = attack->arrived_open = attack->arrived_syn = attack->refused = 0;
}

/* So little that proves nothing gets in as on any day. */
static bool is_mitigated(const struct attack_sample *sample, const struct attack_rates *usual)
{
	__u64 let_in = 0;

	for (int proof = PROOF_NONE; proof <= PROOF_SYN; proof++)
		let_in += sample->arrived[proof] - sample->refused[proof];
	return (double)let_in * NS <=
	       (double)sample->length_ns * larger(SYNS_LEAST, 2 * (usual->arrived - usual->open));
}

static void go_on(struct attack *attack, const struct attack_sample *sample, const struct attack_rates *usual)
{
	attack->peak = larger(attack->peak, attack->rate);
	for (int proof = 0; proof < PROOF_COUNT; proof++) {
		attack->arrived += sample->arrived[proof];
		attack->refused += sample->refused[proof];
	}
	attack->arrived_open += sample->arrived[PROOF_OPEN];
	attack->arrived_syn += sample->arrived[PROOF_SYN];
	if (attack->mitigated_ms == MITIGATED_NOT && is_mitigated(sample, usual))
		attack->mitigated_ms = (__u32)((sample->now_ns - attack->since_ns) / 1000000);
}

static void suspect(struct attack *attack, const struct attack_sample *sample, double level)
{
	if (level < 1) {
		attack->suspicion = 0;
		attack->suspected_ns = 0;
		return;
	}
	if (!attack->suspected_ns)
		attack->suspected_ns = sample->now_ns - sample->length_ns;
	attack->suspicion += level;
}

static enum attack_change follow(struct attack *attack, const struct attack_sample *sample, double level,
				 const struct attack_rates *usual)
{
	if (level >= CALM)
		attack->seen_ns = sample->now_ns;
	if (sample->now_ns - attack->seen_ns < ATTACK_QUIET_NS) {
		go_on(attack, sample, usual);
		return ATTACK_UNCHANGED;
	}
	attack->state = STANCE_NORMAL;
	attack->suspicion = 0;
	attack->suspected_ns = 0;
	return ATTACK_ENDED;
}

enum attack_change attack_step(struct attack *attack, const struct attack_sample *sample)
{
	struct attack_rates usual = usual_rates(&attack->baseline, sample->hour), now = rates_of(sample);
	double syns = attack->host ? 0 : syn_level(&now, &usual), refused = refused_level(attack, &now, &usual), level;
	bool surge = !attack->host && refused >= 1 && syns < 1 && is_surge(sample, &now, &usual);

	level = surge ? syns : larger(syns, refused);
	attack->rate = now.arrived;
	if (attack->state == STANCE_ATTACK) {
		if (sample->now_ns - attack->since_ns > (__u64)(ACCEPT_S * NS))
			learn(&attack->baseline, &now, sample);
		return follow(attack, sample, level, &usual);
	}
	attack->state =
		surge || now.arrived > larger(SYNS_LEAST, FACTOR * usual.arrived) ? STANCE_SURGE : STANCE_NORMAL;
	if (attack->baseline.seconds < LEARN_LEAST_S && !surge)
		attack->state = STANCE_NORMAL; /* nothing is known that it could be more than */
	suspect(attack, sample, level);
	if (attack->suspicion < ALARM) {
		if (level < 1 && !surge)
			learn(&attack->baseline, &now, sample);
		return ATTACK_UNCHANGED;
	}
	begin(attack, sample);
	attack->cause = cause_of(attack, sample, &now, &usual);
	attack->seen_ns = sample->now_ns;
	go_on(attack, sample, &usual);
	return ATTACK_STARTED;
}

static unsigned share(__u64 part, __u64 whole)
{
	return whole ? (unsigned)(part * 1000 / whole) : 0;
}

unsigned attack_open_share(const struct attack *attack)
{
	return share(attack->arrived_open, attack->arrived);
}

unsigned attack_syn_share(const struct attack *attack)
{
	return share(attack->arrived_syn, attack->arrived);
}
