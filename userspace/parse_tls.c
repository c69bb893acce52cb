/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tls: what a service asks of a ClientHello. */
#include <ctype.h>
#include <string.h>

#include "ja4.h"
#include "parse.h"
#include "../include/generation.h"

#define NAMES_A_SERVICE 65536
#define DNS_NAME_MOST 253
#define DNS_LABEL_MOST 63
#define ALPN_MOST 255

const char *const tls_versions[] = {"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3", NULL};
static const char *const verdict_words[] = {"pass", "drop", NULL};

/* What is wrong with a host's name in lower case, or NULL. */
static const char *host_trouble(const char *name)
{
	const char *label = strncmp(name, "*.", 2) ? name : name + 2;

	if (strlen(name) > DNS_NAME_MOST)
		return "a name has at most 253 bytes";
	if (!label[strspn(label, "0123456789.")])
		return "a server's name is no address";
	while (true) {
		size_t length = strcspn(label, ".");

		if (!length || length > DNS_LABEL_MOST)
			return "a label between dots has 1 to 63 bytes";
		for (size_t i = 0; i < length; i++)
			if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
				return "letters, digits, - and _ between dots; * only as a whole first label, as in "
				       "*.example.com; other letters in their xn-- form";
		if (!label[length])
			return NULL;
		label += length + 1;
	}
}

static bool has_text(const struct texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (!strcmp(texts->items[i], text))
			return true;
	return false;
}

void take_host(struct parser *parser, struct texts *names, const struct node *item)
{
	const char *text = take_text(parser, item), *why;
	char **added, name[DNS_NAME_MOST + 8];

	if (!text)
		return;
	if (strlen(text) > DNS_NAME_MOST) {
		wrong(parser, item, "'%.40s...': a name has at most 253 bytes", text);
		return;
	}
	for (size_t i = 0; i <= strlen(text); i++)
		name[i] = (char)tolower((unsigned char)text[i]);
	why = host_trouble(name);
	if (why) {
		wrong(parser, item, "'%.80s': %s", text, why);
		return;
	}
	added = append(parser, &names->items, &names->count, sizeof(*added));
	if (added && !(*added = copy_text(parser, name)))
		names->count--;
}

void take_each(struct parser *parser, struct texts *texts, const struct node *value, const char *what,
	       void (*take)(struct parser *parser, struct texts *texts, const struct node *item))
{
	if (value->kind == NODE_SCALAR) {
		take(parser, texts, value);
		return;
	}
	if (!is_sequence(parser, value, what))
		return;
	if (!value->count)
		wrong(parser, value, "%s is empty: name one, or remove it", what);
	if (value->count > NAMES_A_SERVICE) {
		wrong(parser, value, "%s has %zu entries, at most %d", what, value->count, NAMES_A_SERVICE);
		return;
	}
	for (const struct node *item = value->first; item; item = item->next)
		take(parser, texts, item);
}

static void tls_sni(struct parser *parser, void *object, const struct node *value)
{
	struct policy_tls *tls = object;

	tls->has_sni = true;
	take_each(parser, &tls->sni, value, "'sni'", take_host);
}

static void take_protocol(struct parser *parser, struct texts *protocols, const struct node *item)
{
	const char *text = take_text(parser, item);
	char **added;

	if (!text)
		return;
	if (!*text || strlen(text) > ALPN_MOST) {
		wrong(parser, item, "a protocol has 1 to 255 bytes, as in h2 or http/1.1");
		return;
	}
	if (has_text(protocols, text)) {
		wrong(parser, item, "'%.80s' stands in this list already", text);
		return;
	}
	added = append(parser, &protocols->items, &protocols->count, sizeof(*added));
	if (added && !(*added = copy_text(parser, text)))
		protocols->count--;
}

static void tls_alpn(struct parser *parser, void *object, const struct node *value)
{
	struct policy_tls *tls = object;

	tls->has_alpn = true;
	take_each(parser, &tls->alpn, value, "'alpn'", take_protocol);
}

static void take_ja4(struct parser *parser, struct texts *fingerprints, const struct node *item)
{
	const char *text = take_text(parser, item), *why = text ? ja4_trouble(text) : NULL;
	char **added;

	if (!text)
		return;
	if (why) {
		wrong(parser, item, "'%.80s': %s", text, why);
		return;
	}
	if (has_text(fingerprints, text)) {
		wrong(parser, item, "'%.80s' stands in this list already", text);
		return;
	}
	added = append(parser, &fingerprints->items, &fingerprints->count, sizeof(*added));
	if (added && !(*added = copy_text(parser, text)))
		fingerprints->count--;
}

static void tls_deny_ja4(struct parser *parser, void *object, const struct node *value)
{
	take_each(parser, &((struct policy_tls *)object)->deny_ja4, value, "'deny-ja4'", take_ja4);
}

static void tls_no_sni(struct parser *parser, void *object, const struct node *value)
{
	struct policy_tls *tls = object;
	int word = take_word(parser, value, verdict_words);

	tls->has_no_sni = true;
	tls->no_sni_drop = word == 1;
}

static void tls_unknown(struct parser *parser, void *object, const struct node *value)
{
	((struct policy_tls *)object)->unknown_drop = take_word(parser, value, verdict_words) == 1;
}

static void tls_min_version(struct parser *parser, void *object, const struct node *value)
{
	int word = take_word(parser, value, tls_versions);

	if (word >= 0)
		((struct policy_tls *)object)->min_version = 0x0301 + word;
}

static void tls_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy_tls *)object)->monitor);
}

static const struct key tls_keys[] = {
	{"sni", tls_sni},	  {"no-sni", tls_no_sni},   {"min-version", tls_min_version}, {"alpn", tls_alpn},
	{"unknown", tls_unknown}, {"monitor", tls_monitor}, {"deny-ja4", tls_deny_ja4},
};
const struct scope tls_scope = SCOPE("tls", "'tls'", tls_keys);

void parse_tls(struct parser *parser, void *object, const struct node *map)
{
	struct policy_tls *tls = &((struct service *)object)->tls;

	tls->given = true;
	tls->at = map->key ? map->key->at : map->at;
	parse_map(parser, &tls_scope, tls, map);
	if (!tls->has_no_sni)
		tls->no_sni_drop = tls->has_sni;
}
