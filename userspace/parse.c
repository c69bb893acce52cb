/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Policy text -> struct policy. Here: the way through, scopes, and the kinds of values all of them share. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "parse.h"

const struct scope *const all_scopes[] = {
	&policy_scope,	    &list_scope,   &use_scope,	    &block_scope,   &service_scope,
	&limit_scope,	    &icmp_scope,   &stray_scope,    &events_scope,  &metrics_scope,
	&metrics_tls_scope, &test_scope,   &ban_scope,	    &tls_scope,	    &http_scope,
	&quic_scope,	    &path_scope,   &requests_scope, &profile_scope, &service_profile_scope,
	&zone_scope,	    &client_scope, &cookies_scope,  NULL,
};

const char *hint(const struct report *report, char *buffer, const char *name, const char *const *candidates,
		 size_t count)
{
	const char *nearest = NULL;

	if (!report_is_full(report, SEVERITY_ERROR))
		nearest = did_you_mean(name, candidates, count);

	*buffer = '\0';
	if (nearest)
		snprintf(buffer, HINT_TEXT, ": did you mean '%s'?", nearest);
	return buffer;
}

#define KEYS_MAX 40

static void refuse_key(struct parser *parser, const struct scope *scope, const struct node *key)
{
	const char *names[KEYS_MAX];
	char buffer[HINT_TEXT];

	for (size_t i = 0; i < scope->count; i++)
		names[i] = scope->keys[i].name;
	wrong(parser, key, "'%.80s' is not a key of %s%s", key->text, scope->what,
	      hint(parser->report, buffer, key->text, names, scope->count));
}

static const struct key *find_key(const struct scope *scope, const char *name)
{
	for (size_t i = 0; i < scope->count; i++)
		if (!strcmp(scope->keys[i].name, name))
			return &scope->keys[i];
	return NULL;
}

void warn_no_effect(struct parser *parser, const struct node *value)
{
	warn(parser, value->key, "'%s' has no effect in this version yet", value->key->text);
}

void parse_map(struct parser *parser, const struct scope *scope, void *object, const struct node *map)
{
	if (!is_map(parser, map, scope->what))
		return;
	for (const struct node *value = map->first; value; value = value->next) {
		const struct key *key = find_key(scope, value->key->text);

		if (!key)
			refuse_key(parser, scope, value->key);
		else if (!key->parse)
			wrong(parser, value->key, "'%s' is not supported by this version yet: remove it", key->name);
		else
			key->parse(parser, object, value);
	}
}

static bool is_kind(struct parser *parser, const struct node *node, enum node_kind kind, const char *of)
{
	if (node->broken)
		return false;
	if (node_is_null(node)) {
		wrong(parser, node, "%s has no value", of);
		return false;
	}
	if (node->kind != kind) {
		wrong(parser, node, "%s is %s, this is %s", of,
		      kind == NODE_MAP ? "a map (key: value)" : "a sequence [one, two]", node_kind_name(node));
		return false;
	}
	if (node->count > ITEMS_MAX && strcmp(of, "'addresses'")) {
		wrong(parser, node, "%s has %zu entries, at most %d are read", of, node->count, ITEMS_MAX);
		return false;
	}
	return true;
}

bool is_map(struct parser *parser, const struct node *node, const char *of)
{
	return is_kind(parser, node, NODE_MAP, of);
}

bool is_sequence(struct parser *parser, const struct node *node, const char *of)
{
	return is_kind(parser, node, NODE_SEQUENCE, of);
}

const char *take_scalar(struct parser *parser, const struct node *node)
{
	if (node->broken)
		return NULL;
	if (node->kind == NODE_SCALAR && !node_is_null(node))
		return node->text;
	if (node_is_null(node) && node->key)
		wrong(parser, node, "'%.80s' has no value", node->key->text);
	else if (node_is_null(node))
		wrong(parser, node, "there is no value here");
	else if (node->key)
		wrong(parser, node, "'%.80s' needs a single value, this is %s", node->key->text, node_kind_name(node));
	else
		wrong(parser, node, "a single value is needed here, this is %s", node_kind_name(node));
	return NULL;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

const char *take_text(struct parser *parser, const struct node *node)
{
	const char *text = take_scalar(parser, node);
	bool value;

	if (!text)
		return NULL;
	if (node_is_bool(node, &value) || node_is_number(node)) {
		wrong(parser, node, "text is needed here, %s is %s: put it into quotes", text, node_kind_name(node));
		return NULL;
	}
	if (!*text || strlen(text) > 1024 || !is_printable(text)) {
		wrong(parser, node, "one line of 1 to 1024 printable characters is needed here");
		return NULL;
	}
	return text;
}

char *copy_text(struct parser *parser, const char *text)
{
	char *copy = strdup(text);

	parser->no_memory |= !copy;
	return copy;
}

bool take_copy(struct parser *parser, const struct node *node, char **copy)
{
	const char *text = take_text(parser, node);

	if (!text)
		return false;
	free(*copy);
	*copy = copy_text(parser, text);
	return *copy;
}

void take_path(struct parser *parser, const struct node *node, char **path)
{
	const char *text = take_text(parser, node);

	if (!text)
		return;
	while (!strncmp(text, "./", 2))
		text += 2;
	free(*path);
	*path = NULL;
	if (*text == '/')
		*path = copy_text(parser, text);
	else if (asprintf(path, "%s/%s", directory_of(parser, node), text) < 0)
		*path = NULL, parser->no_memory = true;
}

bool take_bool(struct parser *parser, const struct node *node, bool *value)
{
	if (!take_scalar(parser, node))
		return false;
	if (node_is_bool(node, value))
		return true;
	wrong(parser, node, "'%.80s' is neither true nor false", node->text);
	return false;
}

bool take_number(struct parser *parser, const struct node *node, __u64 least, __u64 most, __u64 *value)
{
	const char *text = take_scalar(parser, node);
	bool hex = text && !strncmp(text, "0x", 2);
	size_t digits;

	if (!text)
		return false;
	digits = hex ? 2 + strspn(text + 2, "0123456789abcdefABCDEF") : strspn(text, "0123456789");
	if (!node->plain || text[digits] || digits == 2 * hex || digits > 18 || (!hex && digits > 1 && *text == '0')) {
		wrong(parser, node, "'%.80s' is not a whole number%s", text,
		      node->plain ? "" : ": write it without quotes");
		return false;
	}
	*value = strtoull(text, NULL, hex ? 16 : 10);
	if (*value >= least && *value <= most)
		return true;
	wrong(parser, node, "'%.80s' is not in %llu to %llu", text, least, most);
	return false;
}

int take_word(struct parser *parser, const struct node *node, const char *const *words)
{
	const char *text = take_scalar(parser, node);
	char list[160] = "", buffer[HINT_TEXT];
	size_t count = 0;

	if (!text)
		return -1;
	for (; words[count]; count++) {
		if (!strcmp(text, words[count]))
			return count;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", count ? ", " : "", words[count]);
	}
	wrong(parser, node, "'%.80s' is none of %s%s", text, list, hint(parser->report, buffer, text, words, count));
	return -1;
}

bool take_rate(struct parser *parser, const struct node *node, struct policy_rate *rate)
{
	const char *text = take_scalar(parser, node);
	int error;

	if (!text)
		return false;
	error = rate_parse(text, rate);
	rate->at = node->at;
	if (error == -ERANGE)
		wrong(parser, node, "'%.80s': at most 1000G a period", text);
	else if (error)
		wrong(parser, node, "'%.80s' is not a rate: write 50/s, 3k/m or 10M/s (units k M G; s m h d)", text);
	return !error;
}

bool take_period(struct parser *parser, const struct node *node, __u64 *seconds)
{
	const char *text = take_scalar(parser, node);
	int error;

	if (!text)
		return false;
	error = period_parse(text, seconds);
	if (error == -ERANGE)
		wrong(parser, node, "'%.80s' is longer than ten years", text);
	else if (error)
		wrong(parser, node, "'%.80s' is not a time: write 10s, 5m, 24h or 7d", text);
	else if (!*seconds)
		wrong(parser, node, "'%.80s' is no time at all", text);
	return !error && *seconds;
}

bool take_prefix(struct parser *parser, const struct node *node, struct prefix *prefix)
{
	const char *text = take_scalar(parser, node);
	char buffer[PREFIX_TEXT];

	switch (text ? prefix_parse(text, prefix) : 1) {
	case 0:
		return true;
	case 1:
		break;
	case -ERANGE:
		wrong(parser, node, "'%.80s': the length of an %s prefix is 0 to %d", text,
		      strchr(text, ':') ? "IPv6" : "IPv4", strchr(text, ':') ? 128 : 32);
		break;
	case -EDOM:
		wrong(parser, node, "'%.80s' has host bits set: the prefix is %s", text, prefix_text(prefix, buffer));
		break;
	case -EAFNOSUPPORT:
		wrong(parser, node, "'%.80s' is an IPv4 address in IPv6 form: write it as IPv4", text);
		break;
	default:
		wrong(parser, node, "'%.80s' is not an address or prefix (192.0.2.0/24, \"2001:db8::/32\")", text);
	}
	return false;
}

bool take_until(struct parser *parser, const struct node *node, char **until)
{
	const char *text = take_scalar(parser, node);

	if (!text)
		return false;
	if (date_parse(text) < 0) {
		wrong(parser, node, "'%.80s' is not a date: write it as 2027-01-31, the last day it holds (UTC)", text);
		return false;
	}
	return take_copy(parser, node, until);
}

bool has_ended(const struct parser *parser, const char *until)
{
	return until && date_parse(until) < parser->today;
}

bool is_name(struct parser *parser, const struct node *node, const char *what)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *text = node->text;
	bool value;

	if (!strchr(letters, *text) || !*text ||
	    text[strspn(text, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] ||
	    strlen(text) > 63) {
		wrong(parser, node, "'%.80s' cannot name %s: letters, digits, - and _, a letter first, at most 63",
		      text, what);
		return false;
	}
	if (node_is_null(node) || node_is_bool(node, &value)) {
		wrong(parser, node, "'%.80s' cannot name %s: YAML reads it as %s", text, what, node_kind_name(node));
		return false;
	}
	return true;
}

const char *directory_of(const struct parser *parser, const struct node *node)
{
	for (size_t i = 0; i < parser->policy->file_count; i++)
		if (parser->policy->files[i] == node->at.file)
			return parser->directories[i];
	return parser->directories[0];
}

void *append(struct parser *parser, void *array, size_t *count, size_t size)
{
	void **items = array, *grown = *items;

	if (!(*count & (*count - 1))) /* full at every power of two */
		grown = realloc(*items, (*count ? *count * 2 : 1) * size);
	if (!grown) {
		parser->no_memory = true;
		return NULL;
	}
	*items = grown;
	return memset((char *)grown + (*count)++ * size, 0, size);
}

static void parser_done(struct parser *parser)
{
	if (parser->no_memory)
		report_add(parser->report, SEVERITY_ERROR, NULL, NULL, "out of memory");
	for (size_t i = 0; parser->directories && i < parser->policy->file_count; i++)
		free(parser->directories[i]);
	free(parser->directories);
	for (size_t i = 0; i < parser->gone_count; i++)
		free(parser->gone[i]);
	free(parser->gone);
	yaml_free(parser->yaml);
}

/* As it will be found again later, from another working directory too. */
static char *absolute(const char *directory)
{
	char buffer[PATH_MAX];

	return strdup(realpath(directory, buffer) ? buffer : directory);
}

struct policy *policy_parse(const char *text, size_t length, const char *name, const char *directory,
			    struct report *report)
{
	struct parser parser = {.report = report, .today = time(NULL) / 86400};
	char *copy = malloc(length + 1);
	struct node *root;

	parser.policy = calloc(1, sizeof(*parser.policy));
	if (!copy || !parser.policy) {
		free(copy);
		free(parser.policy);
		return NULL;
	}
	memcpy(copy, text, length);
	copy[length] = '\0';
	parser.policy->directory = absolute(directory && *directory ? directory : ".");
	parser.directories = calloc(1, sizeof(*parser.directories));
	parser.yaml = yaml_new();
	if (policy_add_file(parser.policy, name, copy, length) < 0 || !parser.policy->directory ||
	    !parser.directories || !parser.yaml) {
		parser.no_memory = true;
		goto out;
	}
	parser.directories[0] = copy_text(&parser, parser.policy->directory);
	root = read_with_includes(&parser);
	if (!root || parser.no_memory)
		goto out;
	parse_policy(&parser, root);
out:
	parser_done(&parser);
	return parser.policy;
}

static struct policy *unread(const char *name, const char *words, struct report *report)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	struct place at = {};

	if (!policy || policy_add_file(policy, name, strdup(""), 0) < 0) {
		policy_free(policy);
		return NULL;
	}
	at.file = policy->files[0];
	report_add(report, SEVERITY_ERROR, &at, NULL, "%s", words);
	return policy;
}

struct policy *policy_read(const char *path, struct report *report)
{
	const char *name = strcmp(path, "-") ? path : "<stdin>", *slash = strrchr(name, '/');
	char *directory = slash ? strndup(name, slash == name ? 1 : slash - name) : strdup("."), words[256];
	struct policy *policy = NULL;
	size_t length;
	char *text;

	if (!directory)
		return NULL;
	text = read_policy_text(path, &length, words, sizeof(words));
	if (text)
		policy = policy_parse(text, length, name, directory, report);
	else
		policy = unread(name, words, report);
	free(text);
	free(directory);
	return policy;
}
