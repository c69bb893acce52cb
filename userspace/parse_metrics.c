/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* metrics: where and how they are served. */
#include <netinet/in.h>
#include <string.h>

#include "endpoint.h"
#include "parse.h"

/* "127.0.0.1:10473", "[::1]:10473" */
static bool is_endpoint(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct port_range port;
	struct prefix prefix;
	char address[64], with_port[32];
	size_t length;

	if (!colon || strlen(colon) > 6)
		return false;
	snprintf(with_port, sizeof(with_port), "tcp/%s", colon + 1);
	if (port_parse(with_port, &port) || port.first != port.last)
		return false;
	length = colon - text;
	if (*text == '[' && length > 2 && text[length - 1] == ']')
		text++, length -= 2;
	else if (memchr(text, ':', length))
		return false;
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	return !strchr(address, '/') && !prefix_parse(address, &prefix);
}

static void metrics_listen(struct parser *parser, void *object, const struct node *value)
{
	struct policy_metrics *metrics = &((struct policy *)object)->metrics;
	const char *text = take_scalar(parser, value);

	metrics->listen_at = value->at;
	if (text && !is_endpoint(text))
		wrong(parser, value,
		      "'%.80s' is not an address with a port: write \"127.0.0.1:10473\" or \"[::1]:10473\"", text);
	else if (text)
		take_copy(parser, value, &metrics->listen);
}

static void tls_cert(struct parser *parser, void *object, const struct node *value)
{
	take_path(parser, value, &((struct policy *)object)->metrics.cert);
}

static void tls_key(struct parser *parser, void *object, const struct node *value)
{
	take_path(parser, value, &((struct policy *)object)->metrics.key);
}

static const struct key tls_keys[] = {{"cert", tls_cert}, {"key", tls_key}};
const struct scope metrics_tls_scope = SCOPE("metrics-tls", "'tls'", tls_keys);

static void metrics_tls(struct parser *parser, void *object, const struct node *value)
{
	const struct policy_metrics *metrics = &((struct policy *)object)->metrics;
	size_t errors = parser->report->errors;

	parse_map(parser, &metrics_tls_scope, object, value);
	if (errors == parser->report->errors && (!metrics->cert || !metrics->key))
		wrong(parser, value, "'tls' needs a 'cert' and its 'key', both PEM files");
}

static void metrics_token_file(struct parser *parser, void *object, const struct node *value)
{
	take_path(parser, value, &((struct policy *)object)->metrics.token_file);
}

static void metrics_remote(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy *)object)->metrics.remote);
}

static void metrics_connections(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy *)object)->metrics.connections);
}

static const struct key metrics_keys[] = {
	{"listen", metrics_listen},	      {"tls", metrics_tls},
	{"token-file", metrics_token_file},   {"remote", metrics_remote},
	{"connections", metrics_connections},
};
const struct scope metrics_scope = SCOPE("metrics", "'metrics'", metrics_keys);

/* An open port is said, not made by a slip of the pen. */
void policy_metrics(struct parser *parser, void *object, const struct node *value)
{
	const struct policy_metrics *metrics = &((struct policy *)object)->metrics;

	parse_map(parser, &metrics_scope, object, value);
	if (value->kind == NODE_MAP && !metrics->listen && (metrics->cert || metrics->token_file || metrics->remote))
		wrong(parser, value, "nothing is served without 'listen': write listen: \"127.0.0.1:10473\"");
	if (metrics->listen && !metrics->remote && !endpoint_is_loopback(metrics->listen))
		policy_say(parser->policy, parser->report, SEVERITY_ERROR, &metrics->listen_at,
			   "'%s' can be reached from other hosts: if that is meant, say remote: true", metrics->listen);
}
