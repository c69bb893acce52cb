/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * YAML text as a tree with places: the only door to libfyaml. Strict beyond YAML 1.2 in what a policy never needs:
 * one document, no anchors or aliases (no bombs), no tags, no complex keys, no NUL, no key twice, bounded depth and
 * size.
 */
#ifndef BULWARK_YAML_H
#define BULWARK_YAML_H

#include "source.h"

#define YAML_DEPTH_MAX 12
#define YAML_NODES_MAX (1u << 19)

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAP };

struct node {
	enum node_kind kind;
	bool plain;  /* a scalar without quotes */
	bool broken; /* an error has been told about it already: say no more */
	struct place at;
	const char *text; /* of a scalar, else NULL */
	struct node *key; /* of a map's value */
	struct node *first, *last, *next;
	size_t count; /* children */
};

struct yaml; /* owns the nodes of all trees read with it */
struct yaml *yaml_new(void);
void yaml_free(struct yaml *yaml);

/*
 * Reads file `number` of the policy. NULL: nothing that could be looked into; a tree may still come with errors in
 * report, for more of them to be found. A map's children are its values, each with its key.
 */
struct node *yaml_read(struct yaml *yaml, const struct policy *policy, int number, struct report *report);

/* What is wrong with a text before it is looked at as YAML, and where (at->file is left alone); NULL: nothing.
 * (yaml_text.c) */
const char *yaml_text_fault(const char *text, size_t size, struct place *at);

/* What a plain scalar is to the core schema of YAML 1.2. */
bool node_is_null(const struct node *node);
bool node_is_bool(const struct node *node, bool *value);
bool node_is_number(const struct node *node);
/* "a map", "a sequence", "text", ... for messages */
const char *node_kind_name(const struct node *node);

#endif
