/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policy's memory: its files with their texts, and giving all of it back. */
#include <errno.h>
#include <stdarg.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"

static void source_free(struct policy_source *source)
{
	if (!source)
		return;
	free(source->text);
	free(source->lines);
	free(source);
}

/* Takes text, also on failure. */
static struct policy_source *source_new(char *text, size_t length)
{
	struct policy_source *source = calloc(1, sizeof(*source));
	size_t lines = 1, line = 1;

	if (!source) {
		free(text);
		return NULL;
	}
	source->text = text;
	source->length = length;
	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	source->lines = calloc(lines, sizeof(*source->lines));
	if (!source->lines) {
		source_free(source);
		return NULL;
	}
	for (size_t i = 0; i < length; i++)
		if (text[i] == '\n')
			source->lines[line++] = i + 1;
	source->line_count = lines;
	return source;
}

int policy_add_file(struct policy *policy, const char *name, char *text, size_t length)
{
	struct policy_source *source = source_new(text, length);
	struct policy_source **sources;
	char **files;

	files = realloc(policy->files, (policy->file_count + 1) * sizeof(*files));
	if (files)
		policy->files = files;
	sources = realloc(policy->sources, (policy->file_count + 1) * sizeof(*sources));
	if (sources)
		policy->sources = sources;
	if (!source || !files || !sources)
		goto no_memory;
	files[policy->file_count] = strdup(name);
	if (!files[policy->file_count])
		goto no_memory;
	sources[policy->file_count] = source;
	return policy->file_count++;

no_memory:
	source_free(source);
	return -ENOMEM;
}

#define LINE_KEPT 4096 /* a finding on a longer line goes without it: a thousand copies of 16 MiB are too many */

/* A copy of the line, without its end; owned by the caller, NULL where there is none. */
static char *source_line(const struct policy *policy, const struct place *at)
{
	for (size_t i = 0; at && at->file && i < policy->file_count; i++) {
		const struct policy_source *source = policy->sources[i];
		const char *begin;
		size_t end;

		if (policy->files[i] != at->file)
			continue;
		if (!at->line || at->line > source->line_count)
			return NULL;
		begin = source->text + source->lines[at->line - 1];
		end = at->line < source->line_count ? source->lines[at->line] : source->length;
		if (end - source->lines[at->line - 1] > LINE_KEPT)
			return NULL;
		return strndup(begin, strcspn(begin, "\r\n"));
	}
	return NULL;
}

void policy_say(const struct policy *policy, struct report *report, enum severity severity, const struct place *at,
		const char *format, ...)
{
	va_list arguments;
	char *line, *text;

	if (report_is_full(report, severity)) { /* a hostile file makes millions: only count them */
		report_add(report, severity, at, NULL, "%s", "");
		return;
	}
	line = source_line(policy, at);
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	report_add(report, severity, at, line, "%s", text ? text : "out of memory");
	free(text);
	free(line);
}

static void uses_free(struct list_uses *uses)
{
	for (size_t i = 0; i < uses->count; i++) {
		free(uses->items[i].until);
		free(uses->items[i].owner);
		free(uses->items[i].why);
	}
	free(uses->items);
}

static void list_free(struct list *list)
{
	free(list->name);
	free(list->prefixes);
	free(list->feed);
	free(list->ca);
	free(list->owner);
	free(list->why);
	free(list->until);
}

static void texts_free(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free(texts->items);
}

void limit_free(struct policy_limit *limit)
{
	uses_free(&limit->except);
	uses_free(&limit->only);
	free(limit->until);
	free(limit->owner);
	free(limit->why);
}

static void profile_free(struct policy_profile *profile)
{
	for (size_t i = 0; i < profile->limit_count; i++)
		limit_free(&profile->limits[i]);
	free(profile->limits);
}

static bool uses_have_zone(const struct list_uses *uses)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->items[i].zone)
			return true;
	return false;
}

static bool limits_have_zone(const struct policy_limit *limits, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (uses_have_zone(&limits[i].except) || uses_have_zone(&limits[i].only))
			return true;
	return false;
}

static bool service_has_zone(const struct service *service)
{
	for (size_t i = 0; i < service->http.path_count; i++)
		if (uses_have_zone(&service->http.paths[i].allow))
			return true;
	return service->zone || uses_have_zone(&service->allow) || uses_have_zone(&service->to) ||
	       limits_have_zone(service->limits, service->limit_count) ||
	       limits_have_zone(service->under_attack.limits, service->under_attack.limit_count);
}

bool policy_has_zones(const struct policy *policy)
{
	const struct list_uses *const places[] = {&policy->trusted, &policy->block, &policy->never_ban,
						  &policy->health_checks, &policy->proxies};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (uses_have_zone(places[i]))
			return true;
	for (size_t i = 0; i < policy->list_count; i++)
		if (policy->lists[i].zone)
			return true;
	for (size_t i = 0; i < policy->service_count; i++)
		if (service_has_zone(&policy->services[i]))
			return true;
	return limits_have_zone(policy->under_attack.limits, policy->under_attack.limit_count);
}

unsigned policy_zone_by_name(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->zone_count; i++)
		if (!strcmp(policy->zones[i].name, name))
			return i + 1;
	return 0;
}

void service_free(struct service *service)
{
	for (size_t i = 0; i < service->limit_count; i++)
		limit_free(&service->limits[i]);
	profile_free(&service->under_attack);
	texts_free(&service->tls.sni);
	texts_free(&service->tls.alpn);
	texts_free(&service->http.hosts);
	texts_free(&service->http.methods);
	for (size_t i = 0; i < service->http.path_count; i++) {
		free(service->http.paths[i].path);
		uses_free(&service->http.paths[i].allow);
	}
	free(service->http.paths);
	texts_free(&service->tls.deny_ja4);
	free(service->name);
	free(service->ports);
	uses_free(&service->allow);
	uses_free(&service->to);
	free(service->limits);
	free(service->owner);
	free(service->why);
	free(service->until);
}

bool serves(const struct service *service, __u8 protocol)
{
	for (size_t i = 0; i < service->port_count; i++)
		if (service->ports[i].protocol == protocol)
			return true;
	return false;
}

bool serves_tcp(const struct service *service)
{
	return serves(service, IPPROTO_TCP);
}

struct service service_under_attack(const struct policy *policy, const struct service *service)
{
	const struct policy_profile *own = &service->under_attack, *common = &policy->under_attack;
	const struct policy_profile *limits = own->has_limits ? own : common;
	const struct policy_profile *cookies = own->has_syn_cookies ? own : common;
	struct service other = *service;

	if (limits->has_limits) {
		other.limits = limits->limits;
		other.limit_count = limits->limit_count;
	}
	if (cookies->has_syn_cookies && serves_tcp(service)) {
		other.syn_cookies = cookies->syn_cookies;
		other.syn_cookies_at = cookies->syn_cookies_at;
	}
	return other;
}

bool service_differs(const struct policy *policy, const struct service *service)
{
	struct service other = service_under_attack(policy, service);

	return other.limits != service->limits || other.syn_cookies != service->syn_cookies;
}

bool policy_has_profile(const struct policy *policy)
{
	for (size_t i = 0; i < policy->service_count; i++)
		if (service_differs(policy, &policy->services[i]))
			return true;
	return false;
}

static void test_free(struct policy_test *test)
{
	free(test->packet);
	free(test->reason);
	free(test->service);
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->file_count; i++) {
		free(policy->files[i]);
		source_free(policy->sources[i]);
	}
	for (size_t i = 0; i < policy->interface_count; i++)
		free(policy->interfaces[i]);
	for (size_t i = 0; i < policy->zone_count; i++) {
		free(policy->zones[i].name);
		texts_free(&policy->zones[i].interfaces);
		free(policy->zones[i].interface_at);
	}
	for (size_t i = 0; i < policy->list_count; i++)
		list_free(&policy->lists[i]);
	for (size_t i = 0; i < policy->service_count; i++)
		service_free(&policy->services[i]);
	for (size_t i = 0; i < policy->test_count; i++)
		test_free(&policy->tests[i]);
	uses_free(&policy->trusted);
	uses_free(&policy->block);
	uses_free(&policy->never_ban);
	uses_free(&policy->health_checks);
	uses_free(&policy->proxies);
	free(policy->files);
	free(policy->sources);
	free(policy->directory);
	free(policy->interfaces);
	free(policy->interface_at);
	free(policy->zones);
	free(policy->lists);
	free(policy->services);
	free(policy->tests);
	free(policy->metrics.listen);
	free(policy->metrics.cert);
	free(policy->metrics.key);
	free(policy->metrics.token_file);
	profile_free(&policy->under_attack);
	free(policy);
}
