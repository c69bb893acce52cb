/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* policy + feeds + host -> image: the order of the steps, the constants, the hash. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "compile.h"
#include "state.h"

#define SECOND_NS 1000000000ULL

/* What one CPU may tell of one reason in one jiffy: at HZ=250 a thousand events a second. */
#define EVENTS_PER_TICK 4

/* The first second after the day, UTC; 0 for what is no date. */
static time_t end_of(const char *until)
{
	struct tm day = {0};
	const char *rest = until ? strptime(until, "%Y-%m-%d", &day) : NULL;

	if (!rest || *rest)
		return 0;
	day.tm_mday++;
	return timegm(&day);
}

bool entry_over(const char *until, time_t now)
{
	time_t end = end_of(until);

	return end && end <= now;
}

static void note_end(struct compile *compile, const char *until)
{
	time_t end = end_of(until);

	if (end > compile->now && (!compile->image->ends || end < compile->image->ends))
		compile->image->ends = end;
}

static void note_uses(struct compile *compile, const struct list_uses *uses)
{
	for (size_t i = 0; i < uses->count; i++)
		note_end(compile, uses->items[i].until);
}

static void note_limits(struct compile *compile, const struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++) {
		note_end(compile, service->limits[i].until);
		note_uses(compile, &service->limits[i].except);
		note_uses(compile, &service->limits[i].only);
	}
}

/* What has ended is in the text like what has not: the next end tells them apart, in the hash too. */
static void note_ends(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	const struct list_uses *all[] = {&policy->trusted, &policy->block, &policy->never_ban, &policy->health_checks,
					 &policy->proxies};
	struct service other;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		note_uses(compile, all[i]);
	for (size_t i = 0; i < policy->list_count; i++)
		note_end(compile, policy->lists[i].until);
	for (size_t i = 0; i < policy->service_count; i++) {
		note_end(compile, policy->services[i].until);
		note_uses(compile, &policy->services[i].allow);
		note_uses(compile, &policy->services[i].to);
		note_limits(compile, &policy->services[i]);
		other = service_under_attack(policy, &policy->services[i]);
		note_limits(compile, &other);
	}
	for (unsigned i = 0; i < 2; i++)
		XXH3_128bits_update(compile->hash[i], &compile->image->ends, sizeof(compile->image->ends));
}

/* A rate may come all at once in the measure of one second: a smaller burst would refuse lawful traffic between two
 * ticks of the coarse clock. Less than three would refuse what a network reorders. */
static struct rate rate_of(__u64 count, __u64 period_ns)
{
	struct rate rate = {0};
	__u64 burst;

	if (!count)
		return rate;
	rate.increment_ns = period_ns / count ? period_ns / count : 1;
	burst = SECOND_NS / rate.increment_ns;
	if (burst < 3)
		burst = 3;
	rate.tolerance_ns = rate.increment_ns * (burst - 1);
	return rate;
}

static struct rate rate_or(const struct policy_rate *given, __u64 otherwise)
{
	if (given->given && given->period_ns)
		return rate_of(given->count, given->period_ns);
	return rate_of(otherwise, SECOND_NS);
}

static void configure_budgets(const struct policy *policy, struct generation_config *config)
{
	config->budgets[BUDGET_TRUSTED] = rate_of(10000, SECOND_NS);
	config->budgets[BUDGET_ECHO] = rate_or(&policy->icmp_echo, 100);
	config->budgets[BUDGET_FRAGMENT] = rate_of(1000, SECOND_NS);
	config->budgets[BUDGET_ICMP_ERROR] = rate_of(100, SECOND_NS);
	config->budgets[BUDGET_HEALTH_CHECK] = rate_of(1000, SECOND_NS);
	config->cookies_bounded = !policy->cookies_unlimited;
	for (unsigned which = BUDGET_COOKIES; which <= BUDGET_COOKIES_AGAIN; which++)
		config->budgets[which] = rate_or(&policy->cookie_replies, 100000);
	if (policy->stray == STRAY_RESET)
		config->budgets[BUDGET_STRAY] = rate_or(&policy->stray_rate, 1000);
}

static void configure_tags(const struct compile *compile)
{
	const struct policy *policy = compile->policy;
	struct generation_config *config = &compile->image->config;

	for (size_t i = 1; i < compile->image->service_count; i++)
		config->have_tags |= compile->image->services[i].tag != 0;
	if (!config->have_tags)
		return;
	config->tag_mask = policy->tag_mask;
	config->tag_shift = __builtin_ctz(policy->tag_mask);
	config->tag_class_shift = 32 - __builtin_clz(policy->tag_mask) - TAG_CLASS_BITS;
	config->needs_ingress = config->needs_sockops = 1;
}

static bool limits_sources(const struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++)
		if (service->limits[i].per == LIMITED_SOURCE)
			return true;
	return false;
}

static void configure_accounts(const struct policy *policy, struct generation_config *config)
{
	config->have_accounts = policy->metrics.connections;
	config->needs_sockops |= config->have_accounts;
}

static void configure_bans(const struct policy *policy, struct generation_config *config)
{
	const struct policy_ban *ban = &policy->ban;

	config->ban_v6_length = policy->source_v6 ?: 64;
	for (size_t i = 0; ban->given && i < policy->service_count; i++) {
		struct service other = service_under_attack(policy, &policy->services[i]);

		config->have_bans |= limits_sources(&policy->services[i]) || limits_sources(&other);
	}
	config->ban = (struct ban_rule){
		.window_ns = ban->window_s * SECOND_NS,
		.for_ns = ban->for_s * SECOND_NS,
		.most_ns = (ban->factor ? ban->most_s : ban->for_s) * SECOND_NS,
		.offences = (__u32)ban->offences,
		.factor = ban->factor ? (__u32)ban->factor : 1,
	};
}

static void configure_policy(const struct compile *compile)
{
	static const __u8 forwards[] = {
		[FORWARD_AS_PASS] = FORWARD_PASS,
		[FORWARD_AS_SERVICES] = FORWARD_SERVICES,
		[FORWARD_AS_DROP] = FORWARD_DROP,
	};
	const struct policy *policy = compile->policy;
	struct generation_config *config = &compile->image->config;
	const struct policy_rate *sample = &policy->event_sample;

	config->monitor = policy->monitor;
	config->default_pass = policy->default_pass;
	config->forward = forwards[policy->forward];
	config->stray_pass = policy->stray == STRAY_PASS;
	config->unparsed_pass = policy->unparsed_pass;
	configure_budgets(policy, config);
	configure_tags(compile);
	configure_bans(policy, config);
	config->have_health_checks = lists_as_set(compile, &policy->health_checks) != 0;
	config->limiter_lines = LIMITER_LINES;
	if (config->limit_horizon_ns < FLOOR_BURST_NS) /* its accounts stand among those of the limits */
		config->limit_horizon_ns = FLOOR_BURST_NS;
	config->limit_horizon_ns += CLOCK_LAG_NS;
	configure_accounts(policy, config);
	config->event_interval_ns = SECOND_NS;
	if (sample->given && sample->period_ns)
		config->event_interval_ns = sample->count ? sample->period_ns / sample->count : ~0ULL >> 1;
	config->events_per_tick = EVENTS_PER_TICK;
	for (size_t i = 0; i < policy->block.count; i++) {
		if (compile->block_rules[i] && policy->block.items[i].direction & DIRECTION_OUT)
			config->have_egress_block = 1;
	}
}

static void configure_tables(struct image *image)
{
	struct generation_config *config = &image->config;
	const struct tables *tables = &image->tables;

	config->have_v4 = tables->v4_blocks != NULL;
	config->v4_direct = tables->v4_direct != NULL;
	config->have_v6 = tables->v6_bits != NULL;
	config->have_v6_deep = tables->v6_deep_bits_size > 0;
	config->have_v6_by_length = tables->v6_mask32_size > 0;
	config->have_v6_short = tables->v6_short != NULL;
	config->have_v6_mask48 = tables->v6_mask48_size > 0;
	config->have_v6_wide = tables->v6_lines128_size > 0;
	config->v4_default = tables->v4_default;
	config->v6_default = tables->v6_default;
	config->v6_bits_size = tables->v6_bits_size;
	config->v6_deep_bits_size = tables->v6_deep_bits_size;
	config->v6_wide_bits_size = tables->v6_wide_bits_size;
	config->v6_mask32_size = tables->v6_mask32_size;
	config->v6_mask48_size = tables->v6_mask48_size;
	config->v6_deep_lines = tables->v6_deep_lines_size / V6_DEEP_LINES;
	config->v6_lines64_size = tables->v6_lines64_size;
	config->v6_lines128_size = tables->v6_lines128_size;
	config->v6_seed = tables->v6_seed;
	config->v6_wide_lengths = tables->v6_wide_lengths;
	config->v6_deep_lengths = tables->v6_deep_lengths;
	memcpy(config->v6_lengths, tables->v6_lengths, sizeof(config->v6_lengths));
	memcpy(config->v4_pairs, tables->v4_pairs, sizeof(config->v4_pairs));
}

/* Two 128-bit hashes of differing seeds: the hash tells policies apart, it does not guard against forgery. */
static int hash_begin(struct compile *compile)
{
	char *text = policy_print(compile->policy);

	if (!text)
		return -ENOMEM;
	for (unsigned i = 0; i < 2; i++) {
		compile->hash[i] = XXH3_createState();
		if (!compile->hash[i]) {
			free(text);
			return -ENOMEM;
		}
		XXH3_128bits_reset_withSeed(compile->hash[i], i);
		XXH3_128bits_update(compile->hash[i], text, strlen(text));
	}
	free(text);
	return 0;
}

static void hash_end(struct compile *compile)
{
	for (unsigned i = 0; i < 2; i++) {
		XXH128_canonical_t canonical;

		XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(compile->hash[i]));
		memcpy(compile->image->policy_hash + 16 * i, canonical.digest, 16);
	}
}

static int compile_tables(struct compile *compile)
{
	__u64 seed;
	int err;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	err = tables_build(&compile->prefixes, seed, &compile->image->tables);
	prefixes_free(&compile->prefixes);
	memset(&compile->prefixes, 0, sizeof(compile->prefixes));
	if (err == -E2BIG)
		policy_say(compile->policy, compile->report, SEVERITY_ERROR, NULL,
			   "the lists overlap in more than %d different ways; use fewer lists", CLASS_LIMIT);
	return err;
}

/* What of the host makes other programs of the same policy. */
static void note_host(struct compile *compile)
{
	struct generation_config *config = &compile->image->config;

	config->balances = compile->host && compile->host->balances;
	config->has_vrf = compile->host && compile->host->has_vrf;
	for (unsigned i = 0; i < 2; i++) {
		if (config->balances)
			XXH3_128bits_update(compile->hash[i], "balances", sizeof("balances"));
		if (config->has_vrf)
			XXH3_128bits_update(compile->hash[i], "vrf", sizeof("vrf"));
	}
}

static int compile_steps(struct compile *compile)
{
	int err = hash_begin(compile);

	if (!err)
		note_host(compile);
	if (!err)
		note_ends(compile);
	err = err ? err : compile_rules(compile);
	err = err ? err : compile_lists(compile);
	err = err ? err : compile_limits(compile);
	err = err ? err : compile_first(compile);
	err = err ? err : compile_services(compile);
	err = err ? err : compile_tables(compile);
	err = err ? err : compile_classes(compile);
	if (err)
		return err;
	configure_policy(compile);
	configure_cookies(compile);
	configure_tables(compile->image);
	hash_end(compile);
	return 0;
}

int image_compile(const struct policy *policy, const struct host *host, struct image *image, struct report *report)
{
	struct compile compile = {.policy = policy, .host = host, .image = image, .report = report, .now = time(NULL)};
	size_t errors = report->errors;
	int err;

	memset(image, 0, sizeof(*image));
	err = compile_steps(&compile);
	if (err && report->errors == errors)
		policy_say(policy, report, SEVERITY_ERROR, NULL, "the policy cannot be compiled: %s", strerror(-err));
	XXH3_freeState(compile.hash[0]);
	XXH3_freeState(compile.hash[1]);
	prefixes_free(&compile.prefixes);
	free(compile.lists);
	free(compile.service_rules);
	free(compile.trusted_rules);
	free(compile.block_rules);
	free(compile.limit_rules);
	free(compile.tls_rules);
	free(compile.tls_numbers);
	free(compile.http_rules);
	free(compile.http_numbers);
	free(compile.quic_rules);
	free(compile.quic_numbers);
	if (err) {
		image_free(image);
		memset(image, 0, sizeof(*image));
	}
	return err;
}

void image_free(struct image *image)
{
	for (size_t i = 0; i < image->service_count && image->service_names; i++)
		free(image->service_names[i]);
	for (size_t i = 0; i < image->rule_count; i++) {
		free(image->rules[i].name);
		free(image->rules[i].place);
	}
	for (size_t i = 0; i < image->list_count; i++) {
		free(image->lists[i].name);
		free(image->lists[i].feed);
	}
	for (size_t i = 0; i < image->word_count; i++)
		free(image->words[i]);
	free(image->words);
	free(image->service_names);
	free(image->services);
	free(image->limits);
	free(image->port_services);
	free(image->tls_rules);
	free(image->names);
	free(image->http_rules);
	free(image->quic_rules);
	free(image->rules);
	free(image->lists);
	free(image->classes);
	cuts_free(&image->cuts);
	tables_free(&image->tables);
}
