/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The canonical text of a policy: everything said, in one order, includes joined, feed paths absolute, so that two
 * policies that mean the same print the same, and what is printed can be compiled again. print -> parse -> print is a
 * fixed point.
 */
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "../include/generation.h"

/* Always in double quotes: what needs none is not worth a rule. */
static void print_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if (*text == '\t')
			fputs("\\t", out);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void print_prefix(FILE *out, const struct prefix *prefix)
{
	char buffer[PREFIX_TEXT];

	/* IPv6 is full of colons, which YAML reads in its own way */
	fprintf(out, prefix_is_v4(prefix) ? "%s" : "\"%s\"", prefix_text(prefix, buffer));
}

static void print_notes(FILE *out, const char *before, const char *until, const char *owner, const char *why,
			const char *after)
{
	const struct {
		const char *name, *text;
	} notes[] = {{"until", until}, {"owner", owner}, {"why", why}};

	for (size_t i = 0; i < 3; i++) {
		if (!notes[i].text)
			continue;
		fprintf(out, "%s%s: ", before, notes[i].name);
		print_text(out, notes[i].text);
		fputs(after, out);
	}
}

static void print_feed(FILE *out, const struct list *list)
{
	char buffer[VALUE_TEXT];

	fputs("    feed: ", out);
	print_text(out, list->feed);
	if (list->ca) {
		fputs("\n    ca: ", out);
		print_text(out, list->ca);
	}
	fprintf(out, "\n    format: %s\n", feed_formats[list->format]);
	if (list->refresh_s)
		fprintf(out, "    refresh: %s\n", period_text(list->refresh_s, buffer));
	fprintf(out, "    max-shrink: %u%%\n", list->max_shrink);
	if (list->max_age_s)
		fprintf(out, "    max-age: %s\n", period_text(list->max_age_s, buffer));
	if (list->keep_bogons)
		fputs("    bogons: keep\n", out);
}

static void print_zones(FILE *out, const struct policy *policy)
{
	if (policy->zone_count)
		fputs("zones:\n", out);
	for (size_t i = 0; i < policy->zone_count; i++) {
		const struct policy_zone *zone = &policy->zones[i];

		fprintf(out, "  %s:\n    interfaces: [", zone->name);
		for (size_t j = 0; j < zone->interfaces.count; j++) {
			fputs(j ? ", " : "", out);
			print_text(out, zone->interfaces.items[j]);
		}
		fputs("]\n", out);
	}
}

/* At the end of what holds in one zone only. */
static void print_zone(FILE *out, const struct policy *policy, unsigned zone)
{
	if (zone)
		fprintf(out, "    zone: %s\n", policy->zones[zone - 1].name);
}

static void print_list(FILE *out, const struct policy *policy, const struct list *list)
{
	fprintf(out, "  %s:\n", list->name);
	if (list->feed) {
		print_feed(out, list);
	} else {
		fputs(list->prefix_count ? "    addresses:\n" : "    addresses: []\n", out);
		for (size_t i = 0; i < list->prefix_count; i++) {
			fputs("      - ", out);
			print_prefix(out, &list->prefixes[i]);
			fputc('\n', out);
		}
	}
	print_zone(out, policy, list->zone);
	print_notes(out, "    ", list->until, list->owner, list->why, "\n");
}

static void print_lists(FILE *out, const struct policy *policy)
{
	bool any = false;

	for (size_t i = 0; i < policy->list_count; i++) {
		if (is_anonymous(&policy->lists[i]))
			continue;
		if (!any)
			fputs("lists:\n", out);
		any = true;
		print_list(out, policy, &policy->lists[i]);
	}
}

static void print_use(FILE *out, const struct policy *policy, const struct list_use *use)
{
	static const char *const directions[] = {"", "in", "out", "both"};
	const struct list *list = &policy->lists[use->list];

	if (use->direction == DIRECTION_IN && !use->monitor && !use->zone && !use->until && !use->owner && !use->why) {
		fputs(list->name, out);
		return;
	}
	fprintf(out, "{ list: %s", list->name);
	if (use->direction != DIRECTION_IN)
		fprintf(out, ", direction: %s", directions[use->direction]);
	if (use->monitor)
		fputs(", monitor: true", out);
	if (use->zone)
		fprintf(out, ", zone: %s", policy->zones[use->zone - 1].name);
	print_notes(out, ", ", use->until, use->owner, use->why, "");
	fputs(" }", out);
}

static void print_uses(FILE *out, const struct policy *policy, const char *name, const struct list_uses *uses,
		       const char *indent)
{
	fprintf(out, "%s%s:%s\n", indent, name, uses->count ? "" : " []");
	for (size_t i = 0; i < uses->count; i++) {
		const struct list *list = &policy->lists[uses->items[i].list];

		if (!is_anonymous(list)) {
			fprintf(out, "%s  - ", indent);
			print_use(out, policy, &uses->items[i]);
			fputc('\n', out);
			continue;
		}
		for (size_t j = 0; j < list->prefix_count; j++) {
			fprintf(out, "%s  - ", indent);
			print_prefix(out, &list->prefixes[j]);
			fputc('\n', out);
		}
	}
}

/* Within a map in one line. */
static void print_uses_inline(FILE *out, const struct policy *policy, const char *name, const struct list_uses *uses)
{
	fprintf(out, ", %s: [", name);
	for (size_t i = 0; i < uses->count; i++) {
		fputs(i ? ", " : "", out);
		print_use(out, policy, &uses->items[i]);
	}
	fputc(']', out);
}

static const char *most_text(const struct policy_limit *limit, char *buffer)
{
	if (limit->measure == MEASURE_CONNECTIONS)
		return amount_text(limit->most, UNIT_ONE, buffer);
	if (limit->measure == MEASURE_IDLE_REQUEST)
		return period_text(limit->most, buffer);
	return amount_rate_text(&limit->rate, measure_unit(limit->measure), buffer);
}

static void print_limit(FILE *out, const struct policy *policy, const char *indent, const struct policy_limit *limit)
{
	enum unit unit = measure_unit(limit->measure);
	char buffer[VALUE_TEXT];

	fprintf(out, "%s- { %s: %s", indent, limit_measures[limit->measure], most_text(limit, buffer));
	if (limit->burst)
		fprintf(out, ", burst: %s", amount_text(limit->burst, unit, buffer));
	if (limit->measure == MEASURE_IDLE_REQUEST)
		; /* each connection has its own */
	else if (limit->per == LIMITED_PREFIX)
		fprintf(out, ", per: \"/%u,/%u\"", limit->v4_length, limit->v6_length);
	else
		fprintf(out, ", per: %s", limit->per == LIMITED_SERVICE ? "service" : "source");
	if (limit->except.count)
		print_uses_inline(out, policy, "except", &limit->except);
	if (limit->has_only)
		print_uses_inline(out, policy, "for", &limit->only);
	if (limit->monitor)
		fputs(", monitor: true", out);
	print_notes(out, ", ", limit->until, limit->owner, limit->why, "");
	fputs(" }\n", out);
}

static void print_texts(FILE *out, const char *name, const struct texts *texts)
{
	fprintf(out, "      %s:\n", name);
	for (size_t i = 0; i < texts->count; i++) {
		fputs("        - ", out);
		print_text(out, texts->items[i]);
		fputc('\n', out);
	}
}

static void print_tls(FILE *out, const struct policy_tls *tls)
{
	fputs("    tls:\n", out);
	if (tls->sni.count)
		print_texts(out, "sni", &tls->sni);
	fprintf(out, "      no-sni: %s\n", tls->no_sni_drop ? "drop" : "pass");
	if (tls->min_version)
		fprintf(out, "      min-version: %s\n", tls_versions[tls->min_version - 0x0301]);
	if (tls->alpn.count)
		print_texts(out, "alpn", &tls->alpn);
	if (tls->deny_ja4.count)
		print_texts(out, "deny-ja4", &tls->deny_ja4);
	fprintf(out, "      unknown: %s\n", tls->unknown_drop ? "drop" : "pass");
	if (tls->monitor)
		fputs("      monitor: true\n", out);
}

static void print_paths(FILE *out, const struct policy *policy, const struct policy_http *http)
{
	size_t denied = 0;

	for (size_t i = 0; i < http->path_count; i++) {
		if (!http->paths[i].denied)
			continue;
		fputs(denied++ ? "        - " : "      deny-paths:\n        - ", out);
		print_text(out, http->paths[i].path);
		fputc('\n', out);
	}
	if (denied < http->path_count)
		fputs("      paths:\n", out);
	for (size_t i = 0; i < http->path_count; i++) {
		if (http->paths[i].denied)
			continue;
		fputs("        ", out);
		print_text(out, http->paths[i].path);
		fputs(":\n", out);
		print_uses(out, policy, "allow", &http->paths[i].allow, "          ");
	}
}

static void print_http(FILE *out, const struct policy *policy, const struct policy_http *http)
{
	char buffer[VALUE_TEXT];

	fputs("    http:\n", out);
	if (http->hosts.count)
		print_texts(out, "allow-hosts", &http->hosts);
	if (http->methods.count)
		print_texts(out, "methods", &http->methods);
	print_paths(out, policy, http);
	if (http->requests.measure != MEASURE_NONE) {
		fprintf(out, "      limits:\n        - { requests: %s", rate_text(&http->requests.rate, buffer));
		if (http->requests.burst)
			fprintf(out, ", burst: %s", amount_text(http->requests.burst, UNIT_ONE, buffer));
		fputs(", per: source }\n", out);
	}
	fprintf(out, "      unknown: %s\n", http->unknown_drop ? "drop" : "pass");
	if (http->monitor)
		fputs("      monitor: true\n", out);
}

static void print_quic(FILE *out, const struct policy_quic *quic)
{
	fputs("    quic:\n      versions: [", out);
	for (size_t i = 0; i < quic->version_count; i++) {
		fputs(i ? ", " : "", out);
		if (quic->versions[i] == QUIC_VERSION_1)
			fputs("v1", out);
		else if (quic->versions[i] == QUIC_VERSION_2)
			fputs("v2", out);
		else
			fprintf(out, "0x%08x", quic->versions[i]);
	}
	fprintf(out, "]\n      unknown: %s\n", quic->unknown_drop ? "drop" : "pass");
	if (quic->monitor)
		fputs("      monitor: true\n", out);
}

static void print_profile(FILE *out, const struct policy *policy, const struct policy_profile *profile,
			  const char *indent)
{
	char buffer[VALUE_TEXT];

	if (!profile->given)
		return;
	fprintf(out, "%sunder-attack:%s\n", indent,
		profile->has_limits || profile->has_syn_cookies || profile->hold_s || profile->by_hand ? "" : " {}");
	if (profile->has_limits)
		fprintf(out, "%s  limits:%s\n", indent, profile->limit_count ? "" : " []");
	for (size_t i = 0; i < profile->limit_count; i++) {
		fputs(indent, out);
		print_limit(out, policy, "    ", &profile->limits[i]);
	}
	if (profile->has_syn_cookies)
		fprintf(out, "%s  syn-cookies: %s\n", indent, syn_cookies_words[profile->syn_cookies]);
	if (profile->hold_s)
		fprintf(out, "%s  hold: %s\n", indent, period_text(profile->hold_s, buffer));
	if (profile->by_hand)
		fprintf(out, "%s  switch: %s\n", indent, switch_words[profile->by_hand]);
}

static void print_service(FILE *out, const struct policy *policy, const struct service *service)
{
	char buffer[VALUE_TEXT];

	fprintf(out, "  %s:\n    ports: [", service->name);
	for (size_t i = 0; i < service->port_count; i++)
		fprintf(out, "%s%s", i ? ", " : "", port_text(&service->ports[i], buffer));
	fputs("]\n", out);
	if (service->has_allow)
		print_uses(out, policy, "allow", &service->allow, "    ");
	if (service->has_to)
		print_uses(out, policy, "to", &service->to, "    ");
	print_zone(out, policy, service->zone);
	if (service->limit_count)
		fputs("    limits:\n", out);
	for (size_t i = 0; i < service->limit_count; i++)
		print_limit(out, policy, "      ", &service->limits[i]);
	if (service->tls.given)
		print_tls(out, &service->tls);
	if (service->http.given)
		print_http(out, policy, &service->http);
	if (service->quic.given)
		print_quic(out, &service->quic);
	if (service->client_hops)
		fprintf(out, "    client: { x-forwarded-for: %u }\n", service->client_hops);
	if (service->client_proxied)
		fprintf(out, "    client: proxy-v2\n");
	if (service->ttl)
		fprintf(out, "    ttl: %u\n", service->ttl);
	if (service->has_tag)
		fprintf(out, "    tag: %u\n", service->tag);
	if (service->syn_cookies)
		fprintf(out, "    syn-cookies: %s\n", syn_cookies_words[service->syn_cookies]);
	print_profile(out, policy, &service->under_attack, "    ");
	if (service->monitor)
		fputs("    monitor: true\n", out);
	print_notes(out, "    ", service->until, service->owner, service->why, "\n");
}

static void print_ban(FILE *out, const struct policy_ban *ban)
{
	char buffer[VALUE_TEXT];

	fprintf(out, "ban:\n  after: %llu drops in %s\n", ban->offences, period_text(ban->window_s, buffer));
	fprintf(out, "  for: %s\n", period_text(ban->for_s, buffer));
	if (ban->factor)
		fprintf(out, "  repeat: x%llu up to %s\n", ban->factor, period_text(ban->most_s, buffer));
}

static void print_named(FILE *out, const char *name, const char *text)
{
	if (!text)
		return;
	fputs(name, out);
	print_text(out, text);
	fputc('\n', out);
}

static void print_metrics(FILE *out, const struct policy_metrics *metrics)
{
	if (metrics->listen || metrics->connections)
		fputs("metrics:\n", out);
	print_named(out, "  listen: ", metrics->listen);
	if (metrics->remote)
		fputs("  remote: true\n", out);
	if (metrics->cert)
		fputs("  tls:\n", out);
	print_named(out, "    cert: ", metrics->cert);
	print_named(out, "    key: ", metrics->key);
	print_named(out, "  token-file: ", metrics->token_file);
	if (metrics->connections)
		fputs("  connections: true\n", out);
}

static void print_cookies(FILE *out, const struct policy *policy)
{
	bool bounded = policy->cookies_unlimited || policy->cookie_replies.given;
	const char *before = "";
	char buffer[VALUE_TEXT];

	if (bounded || policy->cookie_sysctls)
		fputs("syn-cookies:\n", out);
	if (bounded)
		fprintf(out, "  replies: %s\n",
			policy->cookies_unlimited ? "unlimited" : rate_text(&policy->cookie_replies, buffer));
	if (!policy->cookie_sysctls)
		return;
	fputs("  sysctls: [", out);
	for (size_t i = 0; cookie_sysctls_words[i]; i++) {
		if (!(policy->cookie_sysctls & 1u << i))
			continue;
		fprintf(out, "%s%s", before, cookie_sysctls_words[i]);
		before = ", ";
	}
	fputs("]\n", out);
}

static void print_rest(FILE *out, const struct policy *policy)
{
	char buffer[VALUE_TEXT];

	if (policy->source_v6)
		fprintf(out, "source-v6: /%u\n", policy->source_v6);
	if (policy->ban.given)
		print_ban(out, &policy->ban);
	print_profile(out, policy, &policy->under_attack, "");
	if (policy->tag_mask)
		fprintf(out, "tag-mask: 0x%08x\n", policy->tag_mask);
	if (policy->icmp_echo.given)
		fprintf(out, "icmp:\n  echo: %s\n", rate_text(&policy->icmp_echo, buffer));
	if (policy->stray == STRAY_RESET && policy->stray_rate.given)
		fprintf(out, "stray:\n  reset: %s\n", rate_text(&policy->stray_rate, buffer));
	else if (policy->stray != STRAY_RESET)
		fprintf(out, "stray: %s\n", stray_words[policy->stray]);
	print_cookies(out, policy);
	fprintf(out, "forward: %s\n", forward_words[policy->forward]);
	fprintf(out, "unparsed: %s\n", unparsed_words[policy->unparsed_pass]);
	fprintf(out, "on-failure: %s\n", on_failure_words[policy->on_failure]);
	if (policy->event_sample.given || policy->anonymize_v4)
		fputs("events:\n", out);
	if (policy->event_sample.given)
		fprintf(out, "  sample: %s per source and reason\n", rate_text(&policy->event_sample, buffer));
	if (policy->anonymize_v4)
		fprintf(out, "  anonymize: \"/%u,/%u\"\n", policy->anonymize_v4, policy->anonymize_v6);
	print_metrics(out, &policy->metrics);
}

static void print_tests(FILE *out, const struct policy *policy)
{
	if (policy->test_count)
		fputs("tests:\n", out);
	for (size_t i = 0; i < policy->test_count; i++) {
		const struct policy_test *test = &policy->tests[i];

		fputs("  - packet: ", out);
		print_text(out, test->packet);
		fprintf(out, "\n    expect: %s\n", expect_words[test->expect]);
		if (test->reason)
			fprintf(out, "    reason: %s\n", test->reason);
		if (test->service)
			fprintf(out, "    service: %s\n", test->service);
		if (test->under_attack)
			fputs("    under-attack: true\n", out);
		print_zone(out, policy, test->zone);
	}
}

static void print_head(FILE *out, const struct policy *policy)
{
	fputs("version: 1\n", out);
	for (size_t i = 0; i < policy->interface_count; i++) {
		fputs(i ? ", " : "interfaces: [", out);
		print_text(out, policy->interfaces[i]);
	}
	fputs(policy->interface_count ? "]\n" : "interfaces: [\"auto\"]\n", out);
	fprintf(out, "mode: %s\n", mode_words[policy->mode]);
	fprintf(out, "default: %s\n", default_words[policy->default_pass]);
	if (policy->monitor)
		fputs("monitor: true\n", out);
}

char *policy_print(const struct policy *policy)
{
	const struct {
		const char *name;
		const struct list_uses *uses;
	} uses[] = {
		{"trusted", &policy->trusted},	   {"block", &policy->block},
		{"never-ban", &policy->never_ban}, {"health-checks", &policy->health_checks},
		{"proxies", &policy->proxies},
	};
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	bool failed;

	if (!out)
		return NULL;
	print_head(out, policy);
	print_zones(out, policy);
	print_lists(out, policy);
	for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		if (uses[i].uses->count)
			print_uses(out, policy, uses[i].name, uses[i].uses, "");
	if (policy->service_count)
		fputs("services:\n", out);
	for (size_t i = 0; i < policy->service_count; i++)
		print_service(out, policy, &policy->services[i]);
	print_rest(out, policy);
	print_tests(out, policy);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
