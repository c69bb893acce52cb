/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is asked of first bytes, of a stream or of a datagram -> rules, and one table of all names in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "compile.h"

#define LINES_MOST (NAMES_MAX * 4) /* beyond this hashes of that many names do not crowd */

struct naming {
	struct compile *compile;
	struct name_item *items;
	size_t count, capacity;
};

static int add_hash(struct naming *naming, __u64 hash, __u64 lists)
{
	if (naming->count == naming->capacity) {
		size_t capacity = naming->capacity ? 2 * naming->capacity : 64;
		struct name_item *larger = reallocarray(naming->items, capacity, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		naming->items = larger;
		naming->capacity = capacity;
	}
	naming->items[naming->count++] = (struct name_item){hash, lists};
	return 0;
}

static int add_name(struct naming *naming, const char *name, __u32 kind, __u32 rule, __u64 lists)
{
	__u64 seed = naming->compile->image->config.name_seed;
	static struct first_bytes bytes; /* one compiler a process at a time */
	size_t length = strlen(name);

	memcpy(bytes.byte, name, length);
	return add_hash(naming, name_hash(&bytes, 0, length, seed, kind, rule), lists);
}

static int add_host(struct naming *naming, const char *name, __u32 kind, __u32 rule)
{
	bool wildcard = !strncmp(name, "*.", 2);

	return add_name(naming, wildcard ? name + 2 : name, wildcard ? kind + 1 : kind, rule, 0);
}

static int add_tls(struct naming *naming, const struct policy_tls *tls, __u32 rule)
{
	int err = 0;

	for (size_t i = 0; !err && i < tls->sni.count; i++)
		err = add_host(naming, tls->sni.items[i], NAME_SNI, rule);
	for (size_t i = 0; !err && i < tls->alpn.count; i++)
		err = add_name(naming, tls->alpn.items[i], NAME_ALPN, rule, 0);
	for (size_t i = 0; !err && i < tls->deny_ja4.count; i++)
		err = add_name(naming, tls->deny_ja4.items[i], NAME_JA4, rule, 0);
	return err;
}

static struct tls_entry tls_entry_of(const struct compile *compile, const struct service *service, __u16 number,
				     __u16 rule)
{
	const struct policy_tls *tls = &service->tls;

	return (struct tls_entry){
		.number = number,
		.min_version = tls->min_version,
		.rule = rule,
		.flags = (tls->sni.count ? TLS_NAMES : 0) | (tls->no_sni_drop ? TLS_NO_SNI_DROP : 0) |
			 (tls->unknown_drop ? TLS_UNKNOWN_DROP : 0) | (tls->alpn.count ? TLS_ALPN : 0) |
			 (tls->deny_ja4.count ? TLS_DENY_JA4 : 0) | (service->client_proxied ? TLS_PROXIED : 0) |
			 (tls->monitor || service->monitor || compile->policy->monitor ? TLS_MONITOR : 0),
	};
}

static int compile_tls(struct naming *naming)
{
	struct compile *compile = naming->compile;
	const struct policy *policy = compile->policy;
	struct image *image = compile->image;
	int err = 0;

	image->tls_rules = calloc(policy->service_count + 1, sizeof(*image->tls_rules));
	compile->tls_numbers = calloc(policy->service_count + 1, sizeof(__u16));
	if (!image->tls_rules || !compile->tls_numbers)
		return -ENOMEM;
	image->tls_rule_count = 1;
	for (size_t i = 0; !err && i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		__u16 number = image->tls_rule_count;

		if (!compile->tls_rules[i])
			continue;
		image->tls_rules[number] = tls_entry_of(compile, service, number, compile->tls_rules[i]);
		compile->tls_numbers[i] = number;
		image->tls_rule_count++;
		image->config.have_tls = image->config.needs_ingress = 1;
		image->config.have_ja4 |= service->tls.deny_ja4.count != 0;
		image->config.have_proxied |= service->client_proxied;
		err = add_tls(naming, &service->tls, number);
	}
	return err;
}

static int add_http(struct naming *naming, const struct policy_http *http, __u32 rule)
{
	int err = 0;

	for (size_t i = 0; !err && i < http->hosts.count; i++)
		err = add_host(naming, http->hosts.items[i], NAME_HOST, rule);
	for (size_t i = 0; !err && i < http->methods.count; i++)
		err = add_name(naming, http->methods.items[i], NAME_METHOD, rule, 0);
	for (size_t i = 0; !err && i < http->path_count; i++)
		err = add_name(naming, http->paths[i].path, NAME_PATH, rule,
			       lists_as_set(naming->compile, &http->paths[i].allow));
	return err;
}

static int http_entry_of(struct compile *compile, const struct service *service, __u16 number, __u16 rule,
			 struct http_entry *entry)
{
	const struct policy_http *http = &service->http;

	*entry = (struct http_entry){
		.number = number,
		.rule = rule,
		.hops = service->client_hops,
		.flags = (http->hosts.count ? HTTP_HOSTS : 0) | (http->methods.count ? HTTP_METHODS : 0) |
			 (http->path_count ? HTTP_PATHS : 0) | (http->unknown_drop ? HTTP_UNKNOWN_DROP : 0) |
			 (service->client_proxied ? HTTP_PROXIED : 0) |
			 (http->monitor || service->monitor || compile->policy->monitor ? HTTP_MONITOR : 0),
	};
	return http->requests.measure == MEASURE_NONE ? 0 : requests_entry(compile, service, &entry->requests);
}

static int compile_http(struct naming *naming)
{
	struct compile *compile = naming->compile;
	const struct policy *policy = compile->policy;
	struct image *image = compile->image;
	int err = 0;

	image->http_rules = calloc(policy->service_count + 1, sizeof(*image->http_rules));
	compile->http_numbers = calloc(policy->service_count + 1, sizeof(__u16));
	if (!image->http_rules || !compile->http_numbers)
		return -ENOMEM;
	image->http_rule_count = 1;
	for (size_t i = 0; !err && i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];
		__u16 number = image->http_rule_count;

		if (!compile->http_rules[i])
			continue;
		err = http_entry_of(compile, service, number, compile->http_rules[i], &image->http_rules[number]);
		compile->http_numbers[i] = number;
		image->http_rule_count++;
		image->config.have_http = image->config.needs_ingress = 1;
		image->config.have_clients |= service->client_hops != 0;
		image->config.have_proxied |= service->client_proxied;
		if (!err)
			err = add_http(naming, &service->http, number);
	}
	return err;
}

static int compile_quic(struct compile *compile)
{
	const struct policy *policy = compile->policy;
	struct image *image = compile->image;

	image->quic_rules = calloc(policy->service_count + 1, sizeof(*image->quic_rules));
	compile->quic_numbers = calloc(policy->service_count + 1, sizeof(__u16));
	if (!image->quic_rules || !compile->quic_numbers)
		return -ENOMEM;
	image->quic_rule_count = 1;
	for (size_t i = 0; i < policy->service_count; i++) {
		const struct policy_quic *quic = &policy->services[i].quic;
		struct quic_entry *entry = &image->quic_rules[image->quic_rule_count];

		if (!compile->quic_rules[i])
			continue;
		entry->rule = compile->quic_rules[i];
		entry->flags = (quic->unknown_drop ? QUIC_UNKNOWN_DROP : 0) |
			       (quic->monitor || policy->services[i].monitor || policy->monitor ? QUIC_MONITOR : 0);
		for (size_t j = 0; j < quic->version_count; j++)
			entry->versions[j] = quic->versions[j];
		compile->quic_numbers[i] = image->quic_rule_count++;
		image->config.have_quic = 1;
	}
	return 0;
}

/* -EAGAIN: a line overflows. */
static int fill_lines(const struct naming *naming, struct name_line *lines, size_t line_count)
{
	for (size_t i = 0; i < naming->count; i++) {
		const struct name_item *item = &naming->items[i];
		struct name_line *line = &lines[item->hash >> 32 & (line_count - 1)];
		int at = 0;

		while (at < NAMES_A_LINE && line->item[at].hash && line->item[at].hash != item->hash)
			at++;
		if (at == NAMES_A_LINE)
			return -EAGAIN;
		line->item[at] = *item;
	}
	return 0;
}

/* The smallest table in which no line overflows. */
static int build_names(struct naming *naming)
{
	struct image *image = naming->compile->image;
	size_t lines = 1;
	int err = -EAGAIN;

	while (lines * NAMES_A_LINE < 2 * naming->count)
		lines *= 2;
	for (; err == -EAGAIN && lines <= LINES_MOST; lines *= 2) {
		free(image->names);
		image->names = calloc(lines, sizeof(*image->names));
		err = image->names ? fill_lines(naming, image->names, lines) : -ENOMEM;
		image->config.name_lines = lines;
	}
	return err;
}

int compile_first(struct compile *compile)
{
	struct naming naming = {.compile = compile};
	int err = 0;

	if (getrandom(&compile->image->config.name_seed, sizeof(__u64), 0) != sizeof(__u64))
		return -EIO;
	err = compile_tls(&naming);
	err = err ? err : compile_http(&naming);
	err = err ? err : compile_quic(compile);
	if (!err && naming.count > NAMES_MAX) {
		policy_say(compile->policy, compile->report, SEVERITY_ERROR, NULL,
			   "%zu names of servers, protocols and paths; a policy has at most %d", naming.count,
			   NAMES_MAX);
		err = -E2BIG;
	}
	if (!err)
		err = build_names(&naming);
	free(naming.items);
	return err;
}
