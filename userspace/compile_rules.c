/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules: what a verdict can name. Numbered in file order, so that "the first one" means what a reader sees. Then the
 * classes: for each set of lists, what the rules make of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

struct candidate { /* a rule before it has its number */
	enum rule_kind kind;
	const char *name;
	const struct place *at;
	size_t file;
	__u16 *number;
};

static size_t file_index(const struct policy *policy, const char *file)
{
	for (size_t i = 0; i < policy->file_count; i++) {
		if (policy->files[i] == file || (file && !strcmp(policy->files[i], file)))
			return i;
	}
	return policy->file_count;
}

static int in_file_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->at->line != y->at->line)
		return x->at->line < y->at->line ? -1 : 1;
	if (x->at->column != y->at->column)
		return x->at->column < y->at->column ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int rule_set(struct rule *rule, enum rule_kind kind, const char *name, const struct place *at)
{
	rule->kind = kind;
	rule->name = strdup(name);
	if (!rule->name)
		return -ENOMEM;
	if (at && at->line && asprintf(&rule->place, "%s:%u", at->file ? at->file : "policy", at->line) < 0) {
		rule->place = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int word_rules(const struct policy *policy, struct rule *rules)
{
	static const struct place silent;
	const struct place *icmp = policy->icmp_echo.at.line ? &policy->icmp_echo.at : &policy->icmp_at;
	int err = rule_set(&rules[RULE_NONE], RULE_KIND_NONE, "none", &silent);

	err = err ? err : rule_set(&rules[RULE_DEFAULT], RULE_KIND_DEFAULT, "default", &policy->default_at);
	err = err ? err : rule_set(&rules[RULE_FORWARD], RULE_KIND_WORD, "forward", &policy->forward_at);
	err = err ? err : rule_set(&rules[RULE_STRAY], RULE_KIND_WORD, "stray", &policy->stray_at);
	err = err ? err : rule_set(&rules[RULE_ICMP], RULE_KIND_WORD, "icmp", icmp);
	err = err ? err : rule_set(&rules[RULE_UNPARSED], RULE_KIND_WORD, "unparsed", &policy->unparsed_at);
	err = err ? err : rule_set(&rules[RULE_MONITOR], RULE_KIND_WORD, "monitor", &policy->monitor_at);
	err = err ? err : rule_set(&rules[RULE_COOKIES], RULE_KIND_WORD, "syn-cookies", &policy->cookies_at);
	for (unsigned i = RULE_COOKIES + 1; !err && i < RULE_FIRST; i++)
		err = rule_set(&rules[i], RULE_KIND_NONE, "none", &silent);
	return err;
}

/* Whether an entry counts today; one whose time is over is told. */
static bool counts(struct compile *compile, const char *until, const char *name, const struct place *at)
{
	if (!entry_over(until, compile->now))
		return true;
	policy_say(compile->policy, compile->report, SEVERITY_WARNING, at, "'%s' ended on %s and is left out", name,
		   until);
	return false;
}

static size_t use_candidates(struct compile *compile, const struct list_uses *uses, enum rule_kind kind, __u16 *numbers,
			     struct candidate *candidates)
{
	const struct policy *policy = compile->policy;
	size_t count = 0;

	for (size_t i = 0; i < uses->count; i++) {
		const struct list_use *use = &uses->items[i];
		const struct list *list = &policy->lists[use->list];

		if (counts(compile, use->until, list->name, &use->at))
			candidates[count++] = (struct candidate){kind, list->name, &use->at,
								 file_index(policy, use->at.file), &numbers[i]};
	}
	return count;
}

static size_t service_candidates(struct compile *compile, struct candidate *candidates)
{
	const struct policy *policy = compile->policy;
	size_t count = 0;

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];

		if (counts(compile, service->until, service->name, &service->at))
			candidates[count++] =
				(struct candidate){RULE_KIND_SERVICE, service->name, &service->at,
						   file_index(policy, service->at.file), &compile->service_rules[i]};
	}
	return count;
}

/* The limits of a service, by its name; numbers go to limit_rules from `at` on. */
static size_t limits_of(struct compile *compile, const struct service *service, size_t at, struct candidate *candidates)
{
	if (entry_over(service->until, compile->now))
		return 0;
	for (size_t i = 0; i < service->limit_count; i++) {
		const struct place *place = &service->limits[i].at;

		candidates[i] =
			(struct candidate){RULE_KIND_LIMIT, service->name, place,
					   file_index(compile->policy, place->file), &compile->limit_rules[at + i]};
	}
	return service->limit_count;
}

/* Those of services that count, in peace and under attack. */
static size_t limit_candidates(struct compile *compile, struct candidate *candidates)
{
	const struct policy *policy = compile->policy;
	size_t count = 0;

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		struct service other = service_under_attack(policy, service);

		count += limits_of(compile, service, first_limit(policy, i), candidates + count);
		if (other.limits != service->limits)
			count += limits_of(compile, &other, first_limit_under_attack(policy, i), candidates + count);
	}
	return count;
}

static size_t first_candidates(struct compile *compile, struct candidate *candidates)
{
	const struct policy *policy = compile->policy;
	size_t count = 0;

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];

		if (service->tls.given && !entry_over(service->until, compile->now))
			candidates[count++] =
				(struct candidate){RULE_KIND_TLS, service->name, &service->tls.at,
						   file_index(policy, service->tls.at.file), &compile->tls_rules[i]};
		if (service->http.given && !entry_over(service->until, compile->now))
			candidates[count++] =
				(struct candidate){RULE_KIND_HTTP, service->name, &service->http.at,
						   file_index(policy, service->http.at.file), &compile->http_rules[i]};
		if (service->quic.given && !entry_over(service->until, compile->now))
			candidates[count++] =
				(struct candidate){RULE_KIND_QUIC, service->name, &service->quic.at,
						   file_index(policy, service->quic.at.file), &compile->quic_rules[i]};
	}
	return count;
}

static int number_candidates(struct compile *compile, struct candidate *candidates, size_t count)
{
	struct image *image = compile->image;
	int err = 0;

	if (count > 65535 - RULE_FIRST) {
		policy_say(compile->policy, compile->report, SEVERITY_ERROR, NULL, "%zu rules; a policy has at most %d",
			   count, 65535 - RULE_FIRST);
		return -E2BIG;
	}
	qsort(candidates, count, sizeof(*candidates), in_file_order);
	image->rules = calloc(RULE_FIRST + count, sizeof(*image->rules));
	if (!image->rules)
		return -ENOMEM;
	image->rule_count = RULE_FIRST + count;
	err = word_rules(compile->policy, image->rules);
	for (size_t i = 0; !err && i < count; i++) {
		*candidates[i].number = RULE_FIRST + i;
		err = rule_set(&image->rules[RULE_FIRST + i], candidates[i].kind, candidates[i].name, candidates[i].at);
	}
	return err;
}

int compile_rules(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	size_t limits = first_limit_under_attack(policy, policy->service_count), count;
	struct candidate *candidates;
	int err;

	compile->service_rules = calloc(policy->service_count + 1, sizeof(__u16));
	compile->trusted_rules = calloc(policy->trusted.count + 1, sizeof(__u16));
	compile->block_rules = calloc(policy->block.count + 1, sizeof(__u16));
	compile->limit_rules = calloc(limits + 1, sizeof(__u16));
	compile->tls_rules = calloc(policy->service_count + 1, sizeof(__u16));
	compile->http_rules = calloc(policy->service_count + 1, sizeof(__u16));
	compile->quic_rules = calloc(policy->service_count + 1, sizeof(__u16));
	candidates = calloc(4 * policy->service_count + policy->trusted.count + policy->block.count + limits + 1,
			    sizeof(*candidates));
	if (!compile->service_rules || !compile->trusted_rules || !compile->block_rules || !compile->limit_rules ||
	    !compile->tls_rules || !compile->http_rules || !compile->quic_rules || !candidates) {
		free(candidates);
		return -ENOMEM;
	}
	count = use_candidates(compile, &policy->trusted, RULE_KIND_TRUSTED, compile->trusted_rules, candidates);
	count += use_candidates(compile, &policy->block, RULE_KIND_BLOCK, compile->block_rules, candidates + count);
	count += service_candidates(compile, candidates + count);
	count += limit_candidates(compile, candidates + count);
	count += first_candidates(compile, candidates + count);
	err = number_candidates(compile, candidates, count);
	free(candidates);
	return err;
}

int number_of_use(const struct compile *compile, const struct list_use *use)
{
	if (!use->zone)
		return compile->lists[use->list].number;
	for (size_t i = 0; i < compile->zoned_count; i++)
		if (compile->zoned[i].list == use->list && compile->zoned[i].zone == use->zone)
			return compile->zoned[i].number;
	return -1;
}

__u64 lists_as_set(const struct compile *compile, const struct list_uses *uses)
{
	__u64 lists = 0;

	for (size_t i = 0; i < uses->count; i++) {
		int number = number_of_use(compile, &uses->items[i]);

		if (number >= 0 && !entry_over(uses->items[i].until, compile->now))
			lists |= 1ULL << number;
	}
	return lists;
}

__u64 lists_or_nobody(const struct compile *compile, const struct list_uses *uses)
{
	__u64 lists = lists_as_set(compile, uses);

	return lists ? lists : 1ULL << LIST_NOBODY;
}

static void first_rule(__u16 *rule, __u16 candidate)
{
	if (!*rule || candidate < *rule)
		*rule = candidate;
}

static void class_blocks(const struct compile *compile, struct class_entry *class)
{
	const struct policy *policy = compile->policy;

	for (size_t i = 0; i < policy->block.count; i++) {
		const struct list_use *use = &policy->block.items[i];
		const struct compiled_list *list = &compile->lists[use->list];
		bool monitor = use->monitor || policy->monitor;
		__u16 rule = compile->block_rules[i];

		if (!rule || !list->blocked || !(class->lists >> number_of_use(compile, use) & 1))
			continue;
		if (use->direction & DIRECTION_IN) {
			class->flags |= monitor ? CLASS_BLOCK_IN_MONITOR : CLASS_BLOCK_IN;
			first_rule(monitor ? &class->monitor_rule : &class->block_rule, rule);
		}
		if (use->direction & DIRECTION_OUT) {
			class->flags |= monitor ? CLASS_BLOCK_OUT_MONITOR : CLASS_BLOCK_OUT;
			first_rule(monitor ? &class->out_monitor_rule : &class->out_rule, rule);
		}
	}
}

static void class_trust(const struct compile *compile, struct class_entry *class)
{
	const struct list_uses *trusted = &compile->policy->trusted;

	for (size_t i = 0; i < trusted->count; i++) {
		int number = number_of_use(compile, &trusted->items[i]);

		if (!compile->trusted_rules[i] || number < 0 || !(class->lists >> number & 1))
			continue;
		class->flags |= CLASS_TRUSTED;
		first_rule(&class->trusted_rule, compile->trusted_rules[i]);
	}
}

/* The lists that an address of these is in when it comes in by a zone, those among them that are meant so. */
static __u64 lists_in_zone(const struct compile *compile, __u64 lists, unsigned zone)
{
	const struct policy *policy = compile->policy;

	for (size_t i = 0; i < policy->list_count; i++)
		if (compile->lists[i].number >= 0 && policy->lists[i].zone && policy->lists[i].zone != zone)
			lists &= ~(1ULL << compile->lists[i].number);
	for (size_t i = 0; i < compile->zoned_count; i++)
		if (compile->zoned[i].zone == zone && lists >> compile->lists[compile->zoned[i].list].number & 1)
			lists |= 1ULL << compile->zoned[i].number;
	return lists;
}

/* Which sources the packet path may refuse without a look at anything else (bpf/at_once.h). */
static void classes_at_once(struct image *image, bool monitor)
{
	struct generation_config *config = &image->config;

	for (size_t i = 0; !monitor && !config->have_zones && i < image->class_count && i < 64; i++) {
		__u32 flags = image->classes[i].flags;

		if (flags & (CLASS_TRUSTED | CLASS_HEALTH_CHECK | CLASS_BLOCK_IN_MONITOR))
			continue;
		config->plain_classes |= 1ULL << i;
		if (flags & CLASS_BLOCK_IN)
			config->refused_classes |= 1ULL << i;
	}
}

int compile_classes(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	const struct tables *tables = &compile->image->tables;
	__u64 never_ban = lists_as_set(compile, &policy->never_ban) | 1ULL << LIST_HOST;
	__u64 health_checks = lists_as_set(compile, &policy->health_checks);
	__u64 proxies = lists_as_set(compile, &policy->proxies);
	size_t count = tables->class_count ? tables->class_count : 1;
	size_t zones = policy_has_zones(policy) ? policy->zone_count + 1 : 1; /* the first: no zone */

	compile->image->classes = calloc(zones * count, sizeof(struct class_entry));
	if (!compile->image->classes)
		return -ENOMEM;
	compile->image->class_count = zones * count;
	compile->image->config.class_count = (__u32)count;
	compile->image->config.have_zones = zones > 1;
	for (size_t i = 0; i < zones * count; i++) {
		struct class_entry *class = &compile->image->classes[i];
		__u64 lists = tables->class_count ? tables->class_lists[i % count] : 0;

		class->lists = lists_in_zone(compile, lists, (unsigned)(i / count));
		class->flags |= class->lists & never_ban ? CLASS_NEVER_BAN : 0;
		class->flags |= class->lists & health_checks ? CLASS_HEALTH_CHECK : 0;
		class->flags |= class->lists & proxies ? CLASS_PROXY : 0;
		class_trust(compile, class);
		class_blocks(compile, class);
	}
	classes_at_once(compile->image, policy->monitor);
	return 0;
}
