/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* quic: what a service on UDP ports asks of long headers. */
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "../include/generation.h"

/* "v1", "v2", or a version's number as it stands in the header, 0xff00001d. 0: none of these. */
static __u32 version_of(const char *text)
{
	if (!strcmp(text, "v1"))
		return QUIC_VERSION_1;
	if (!strcmp(text, "v2"))
		return QUIC_VERSION_2;
	if (strlen(text) != 10 || strncmp(text, "0x", 2) || strspn(text + 2, "0123456789abcdefABCDEF") != 8)
		return 0;
	return strtoul(text, NULL, 16);
}

static void take_version(struct parser *parser, struct policy_quic *quic, const struct node *item)
{
	const char *text = take_scalar(parser, item);
	__u32 version = text ? version_of(text) : 0;

	if (!text)
		return;
	if (!version || (version & QUIC_RESERVED_MASK) == QUIC_RESERVED) {
		wrong(parser, item,
		      "'%.40s' is no version of QUIC that could be taken: write v1, v2 or eight digits as in "
		      "0xff00001d "
		      "(not 0x?a?a?a?a, which stands for none)",
		      text);
		return;
	}
	for (size_t i = 0; i < quic->version_count; i++)
		if (quic->versions[i] == version) {
			wrong(parser, item, "'%.40s' stands in this list already", text);
			return;
		}
	if (quic->version_count == QUIC_VERSIONS) {
		wrong(parser, item, "'%.40s': 'versions' has at most %d entries", text, QUIC_VERSIONS);
		return;
	}
	quic->versions[quic->version_count++] = version;
}

static void quic_versions(struct parser *parser, void *object, const struct node *value)
{
	if (value->kind == NODE_SCALAR) {
		take_version(parser, object, value);
		return;
	}
	if (!is_sequence(parser, value, "'versions'"))
		return;
	if (!value->count)
		wrong(parser, value, "'versions' is empty: name one, or remove it");
	for (const struct node *item = value->first; item; item = item->next)
		take_version(parser, object, item);
}

static void quic_unknown(struct parser *parser, void *object, const struct node *value)
{
	static const char *const words[] = {"pass", "drop", NULL};

	((struct policy_quic *)object)->unknown_drop = take_word(parser, value, words) == 1;
}

static void quic_monitor(struct parser *parser, void *object, const struct node *value)
{
	take_bool(parser, value, &((struct policy_quic *)object)->monitor);
}

static const struct key quic_keys[] = {
	{"versions", quic_versions},
	{"unknown", quic_unknown},
	{"monitor", quic_monitor},
};
const struct scope quic_scope = SCOPE("quic", "'quic'", quic_keys);

void parse_quic(struct parser *parser, void *object, const struct node *map)
{
	struct policy_quic *quic = &((struct service *)object)->quic;

	quic->given = true;
	quic->at = map->key ? map->key->at : map->at;
	parse_map(parser, &quic_scope, quic, map);
	if (!quic->version_count) {
		quic->versions[quic->version_count++] = QUIC_VERSION_1;
		quic->versions[quic->version_count++] = QUIC_VERSION_2;
	}
}
