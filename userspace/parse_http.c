/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* http: what a service on a plain port asks of requests. */
#include <string.h>
#include <strings.h>

#include "parse.h"
#include "../include/generation.h"

#define PATHS_MAX 4096
#define PATH_MOST 200 /* bytes */
#define PATH_SEGMENTS 8
#define METHOD_MOST 31

static void http_hosts(struct parser *parser, void *object, const struct node *value)
{
	take_each(parser, &((struct policy_http *)object)->hosts, value, "'allow-hosts'", take_host);
}

static void take_method(struct parser *parser, struct texts *methods, const struct node *item)
{
	const char *text = take_text(parser, item);
	char **added;

	if (!text)
		return;
	if (!*text || strlen(text) > METHOD_MOST || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")]) {
		wrong(parser, item, "'%.40s' is no method: capital letters, as in GET", text);
		return;
	}
	added = append(parser, &methods->items, &methods->count, sizeof(*added));
	if (added && !(*added = copy_text(parser, text)))
		methods->count--;
}

static void http_methods(struct parser *parser, void *object, const struct node *value)
{
	take_each(parser, &((struct policy_http *)object)->methods, value, "'methods'", take_method);
}

/* What is wrong with a path prefix, or NULL. */
static const char *path_trouble(const char *path)
{
	size_t segments = 0;

	if (*path != '/' || !path[1])
		return "a path begins with / and names something below it, as in /admin";
	if (strlen(path) > PATH_MOST)
		return "a path has at most 200 bytes here";
	if (path[strlen(path) - 1] == '/')
		return "write it without the / at its end: it covers itself and all below";
	for (const char *at = path; *at; at++) {
		segments += *at == '/';
		if (*at <= ' ' || *at >= 0x7f || strchr("%?#;\\", *at))
			return "plain printable characters, not encoded, without a query";
		if (*at == '/' && (at[1] == '/' || !strcmp(at, "/.") || !strcmp(at, "/..") || !strncmp(at, "/./", 3) ||
				   !strncmp(at, "/../", 4)))
			return "segments are neither empty nor . nor ..";
	}
	return segments > PATH_SEGMENTS ? "a path has at most 8 segments here" : NULL;
}

static struct policy_path *add_path(struct parser *parser, struct policy_http *http, const struct node *node)
{
	const char *why = path_trouble(node->text);
	struct policy_path *path;

	if (why) {
		wrong(parser, node, "'%.80s': %s", node->text, why);
		return NULL;
	}
	for (size_t i = 0; i < http->path_count; i++)
		if (!strcasecmp(http->paths[i].path, node->text)) {
			wrong(parser, node, "'%.80s' stands on line %u already", node->text, http->paths[i].at.line);
			return NULL;
		}
	if (http->path_count == PATHS_MAX) {
		wrong(parser, node, "more than %d paths", PATHS_MAX);
		return NULL;
	}
	path = append(parser, &http->paths, &http->path_count, sizeof(*path));
	if (!path)
		return NULL;
	path->at = node->at;
	path->path = copy_text(parser, node->text);
	if (path->path)
		return path;
	http->path_count--;
	return NULL;
}

static void http_deny_paths(struct parser *parser, void *object, const struct node *value)
{
	if (!is_sequence(parser, value, "'deny-paths'"))
		return;
	for (const struct node *item = value->first; item; item = item->next) {
		struct policy_path *path = take_text(parser, item) ? add_path(parser, object, item) : NULL;

		if (path)
			path->denied = true;
	}
}

static void path_allow(struct parser *parser, void *object, const struct node *value)
{
	parse_uses(parser, &((struct policy_path *)object)->allow, &use_scope, value);
}

static const struct key path_keys[] = {{"allow", path_allow}};
const struct scope path_scope = SCOPE("path", "a path", path_keys);

static void http_paths(struct parser *parser, void *object, const struct node *map)
{
	if (!is_map(parser, map, "'paths'"))
		return;
	for (const struct node *value = map->first; value; value = value->next) {
		struct policy_path *path = add_path(parser, object, value->key);

		if (!path)
			continue;
		parse_map(parser, &path_scope, path, value);
		if (value->kind == NODE_MAP && !path->allow.count)
			wrong(parser, value->key, "'%.80s' needs 'allow'; what is for nobody goes into 'deny-paths'",
			      value->key->text);
	}
}

static void requests_rate(struct parser *parser, void *object, const struct node *value)
{
	struct policy_limit *limit = object;

	if (!take_rate(parser, value, &limit->rate))
		return;
	if (!limit->rate.count)
		wrong(parser, value, "'%.80s' lets nothing through: refuse methods or paths instead", value->text);
	else
		limit->measure = MEASURE_NEW_CONNECTIONS; /* counted one by one, as those are */
}

static void requests_burst(struct parser *parser, void *object, const struct node *value)
{
	struct policy_limit *limit = object;
	const char *text = take_scalar(parser, value);

	limit->burst_at = value->at;
	if (text && (amount_parse(text, UNIT_ONE, &limit->burst) || !limit->burst))
		wrong(parser, value, "'%.80s' is not a burst of requests: write 100 or 20k", text);
}

static void requests_per(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"source", NULL};

	((struct policy_limit *)object)->has_per = take_word(parser, value, words) == 0;
}

static const struct key requests_keys[] = {
	{"requests", requests_rate},
	{"burst", requests_burst},
	{"per", requests_per},
};
const struct scope requests_scope = SCOPE("requests", "a limit of requests", requests_keys);

static void http_limits(struct parser *parser, void *object, const struct node *sequence)
{
	struct policy_limit *limit = &((struct policy_http *)object)->requests;

	if (!is_sequence(parser, sequence, "'limits'"))
		return;
	if (sequence->count != 1) {
		wrong(parser, sequence, "'limits' of 'http' has one entry: { requests: 100/s, per: source }");
		return;
	}
	limit->at = sequence->first->at;
	parse_map(parser, &requests_scope, limit, sequence->first);
	if (sequence->first->kind == NODE_MAP && (!limit->rate.at.line || !limit->has_per))
		wrong(parser, sequence->first, "a limit of requests needs 'requests' and 'per: source'");
}

static void http_unknown(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"pass", "drop", NULL};

	((struct policy_http *)object)->unknown_drop = take_word(parser, value, words) == 1;
}

static void http_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy_http *)object)->monitor);
}

static const struct key http_keys[] = {
	{"allow-hosts", http_hosts}, {"methods", http_methods}, {"deny-paths", http_deny_paths}, {"paths", http_paths},
	{"limits", http_limits},     {"unknown", http_unknown}, {"monitor", http_monitor},
};
const struct scope http_scope = SCOPE("http", "'http'", http_keys);

void parse_http(struct parser *parser, void *object, const struct node *map)
{
	struct policy_http *http = &((struct service *)object)->http;

	http->given = true;
	http->requests.measure = MEASURE_NONE;
	http->at = map->key ? map->key->at : map->at;
	parse_map(parser, &http_scope, http, map);
}
