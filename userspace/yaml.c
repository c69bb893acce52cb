/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <libfyaml.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "yaml.h"

#define CHUNK_BYTES 65536

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

struct yaml {
	struct chunk *chunks;
	size_t nodes;
};

struct reader { /* one file */
	struct yaml *yaml;
	const struct policy *policy;
	struct report *report;
	struct fy_diag *diag;
	struct fy_parser *parser;
	int file;
	struct node *root;
	struct node *stack[YAML_DEPTH_MAX];
	struct node *keys[YAML_DEPTH_MAX]; /* of a map on the stack: the key that waits for its value */
	unsigned depth;
	unsigned documents;
	bool stop;
};

struct yaml *yaml_new(void)
{
	return calloc(1, sizeof(struct yaml));
}

void yaml_free(struct yaml *yaml)
{
	while (yaml && yaml->chunks) {
		struct chunk *next = yaml->chunks->next;

		free(yaml->chunks);
		yaml->chunks = next;
	}
	free(yaml);
}

static void *take(struct yaml *yaml, size_t bytes)
{
	struct chunk *chunk = yaml->chunks;
	void *taken;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!chunk || chunk->size - chunk->used < bytes) {
		size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

		chunk = calloc(1, sizeof(*chunk) + size);
		if (!chunk)
			return NULL;
		chunk->size = size;
		chunk->next = yaml->chunks;
		yaml->chunks = chunk;
	}
	taken = chunk->bytes + chunk->used;
	chunk->used += bytes;
	return taken;
}

#define refuse(reader, at, ...) policy_say((reader)->policy, (reader)->report, SEVERITY_ERROR, at, __VA_ARGS__)

static void give_up(struct reader *reader, const struct place *at, const char *why)
{
	if (!reader->stop)
		refuse(reader, at, "%s", why);
	reader->stop = true;
}

/* Marks of quoted scalars stand inside the quotes; people look at the quotes. */
static struct place place_of(const struct reader *reader, struct fy_event *event, bool quoted)
{
	struct fy_token *token = fy_event_get_token(event);
	const struct fy_mark *start = token ? fy_token_start_mark(token) : fy_event_start_mark(event);
	const struct fy_mark *end = token ? fy_token_end_mark(token) : NULL;
	struct place at = {.file = reader->policy->files[reader->file]};

	if (!start)
		return at;
	at.line = start->line + 1;
	at.column = start->column + 1;
	if (end && end->line == start->line && end->column > start->column)
		at.width = end->column - start->column;
	if (quoted && at.column > 1) {
		at.column--;
		at.width += end && end->line == start->line ? 2 : 1;
	}
	return at;
}

static const struct place *parent_place(const struct reader *reader)
{
	const struct node *parent = reader->depth ? reader->stack[reader->depth - 1] : NULL;

	if (!parent)
		return NULL;
	if (parent->kind == NODE_MAP && reader->keys[reader->depth - 1])
		return &reader->keys[reader->depth - 1]->at;
	return &parent->at;
}

static struct node *new_node(struct reader *reader, struct fy_event *event, enum node_kind kind)
{
	enum fy_scalar_style style = FYSS_PLAIN;
	struct node *node;

	if (reader->yaml->nodes++ >= YAML_NODES_MAX) {
		give_up(reader, parent_place(reader),
			"the policy holds more than 524288 values: keep long lists in feed files");
		return NULL;
	}
	node = take(reader->yaml, sizeof(*node));
	if (!node) {
		give_up(reader, NULL, "out of memory");
		return NULL;
	}
	if (event->type == FYET_SCALAR && event->scalar.value)
		style = fy_token_scalar_style(event->scalar.value);
	node->kind = kind;
	node->plain = style == FYSS_PLAIN;
	node->at = place_of(reader, event, style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED);
	return node;
}

/*
 * libfyaml 0.7 misreads quotes that are escaped next to each other inside single quotes: 'a''''b' becomes a''', short
 * of its end, and memory is lost. Marks of quoted scalars stand inside the quotes and count bytes of the source.
 */
static bool is_misread(const struct reader *reader, struct fy_token *token)
{
	const struct policy_source *source = reader->policy->sources[reader->file];
	const struct fy_mark *start = fy_token_start_mark(token), *end = fy_token_end_mark(token);

	return fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED && start && end &&
	       start->input_pos < end->input_pos && end->input_pos <= source->length &&
	       memmem(source->text + start->input_pos, end->input_pos - start->input_pos, "''''", 4);
}

static struct node *new_scalar(struct reader *reader, struct fy_event *event)
{
	struct node *node = new_node(reader, event, NODE_SCALAR);
	const char *text = "";
	size_t length = 0;
	char *copy;

	if (!node)
		return NULL;
	if (event->scalar.value && is_misread(reader, event->scalar.value)) {
		refuse(reader, &node->at,
		       "quotes doubled twice in a row (''''): write this text in \"double quotes\" instead");
		node->broken = true;
	} else if (event->scalar.value) {
		text = fy_token_get_text(event->scalar.value, &length);
	}
	if (!text)
		text = "", length = 0;
	if (!length && node->plain && parent_place(reader)) /* a value left empty has no place of its own */
		node->at = *parent_place(reader);
	if (memchr(text, '\0', length))
		refuse(reader, &node->at, "the text holds a NUL character");
	copy = take(reader->yaml, length + 1);
	if (!copy) {
		give_up(reader, NULL, "out of memory");
		return NULL;
	}
	memcpy(copy, text, length);
	node->text = copy;
	return node;
}

/* Puts a node where the next value is expected. A map's first, third, ... child is a key. */
static void attach(struct reader *reader, struct node *node)
{
	struct node *parent = reader->depth ? reader->stack[reader->depth - 1] : NULL;
	struct node **key = reader->depth ? &reader->keys[reader->depth - 1] : NULL;

	if (!parent) {
		reader->root = node;
		return;
	}
	if (parent->kind == NODE_MAP && !*key) {
		if (node->kind != NODE_SCALAR || node->broken)
			give_up(reader, &node->at, "a key is a word, not a map or a sequence");
		*key = node;
		return;
	}
	if (parent->kind == NODE_MAP) {
		node->key = *key;
		*key = NULL;
	}
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->count++;
}

static void descend(struct reader *reader, struct node *node)
{
	attach(reader, node);
	if (reader->depth == YAML_DEPTH_MAX) {
		give_up(reader, &node->at, "nested deeper than 12 levels");
		return;
	}
	reader->keys[reader->depth] = NULL;
	reader->stack[reader->depth++] = node;
}

static int by_key(const void *left, const void *right)
{
	const struct node *a = *(const struct node *const *)left, *b = *(const struct node *const *)right;
	int order = strcmp(a->key->text, b->key->text);

	if (order)
		return order;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	return a->at.column < b->at.column ? -1 : a->at.column > b->at.column;
}

/* Tells keys that stand twice and takes the later ones out of the map. */
static void check_duplicates(struct reader *reader, struct node *map)
{
	struct node **values = calloc(map->count + 1, sizeof(struct node *));
	struct node *value = map->first;
	size_t first = 0;

	if (!values) {
		give_up(reader, NULL, "out of memory");
		return;
	}
	for (size_t i = 0; value; value = value->next)
		values[i++] = value;
	qsort(values, map->count, sizeof(struct node *), by_key);
	for (size_t i = 1; i < map->count; i++) {
		if (strcmp(values[i]->key->text, values[first]->key->text)) {
			first = i;
			continue;
		}
		refuse(reader, &values[i]->key->at, "'%.80s' stands twice: first on line %u", values[i]->key->text,
		       values[first]->key->at.line);
		values[i]->key = NULL;
	}
	free(values);
	for (struct node **link = &map->first; *link;) {
		if ((*link)->key) {
			map->last = *link;
			link = &(*link)->next;
			continue;
		}
		*link = (*link)->next;
		map->count--;
	}
}

/* The marks of anchors and aliases stand behind their sign. */
static struct place place_of_token(const struct reader *reader, struct fy_token *token, int behind)
{
	const struct fy_mark *start = fy_token_start_mark(token);
	struct place at = {.file = reader->policy->files[reader->file]};

	if (start) {
		at.line = start->line + 1;
		at.column = start->column + 1 > behind ? start->column + 1 - behind : 1;
	}
	return at;
}

static const char no_anchors[] = "anchors (&name) and aliases (*name) are not used in policies: write it out";

static void refuse_decorations(struct reader *reader, struct fy_event *event)
{
	struct fy_token *anchor = fy_event_get_anchor_token(event), *tag = fy_event_get_tag_token(event);
	struct place at;

	if (anchor) {
		at = place_of_token(reader, anchor, 1);
		refuse(reader, &at, no_anchors);
	}
	if (tag) {
		at = place_of_token(reader, tag, 0);
		refuse(reader, &at, "YAML tags (!name) are not used in policies");
	}
}

static void take_alias(struct reader *reader, struct fy_event *event)
{
	struct node *node = new_node(reader, event, NODE_SCALAR);

	if (!node)
		return;
	if (node->at.column > 1)
		node->at.column--;
	refuse(reader, &node->at, no_anchors);
	node->broken = true;
	node->text = "";
	attach(reader, node);
}

static void take_event(struct reader *reader, struct fy_event *event)
{
	struct node *node;
	struct place at;

	switch (event->type) {
	case FYET_DOCUMENT_START:
		at = place_of(reader, event, false);
		if (reader->documents++)
			give_up(reader, &at, "a policy is one YAML document: a second one begins here");
		break;
	case FYET_ALIAS:
		take_alias(reader, event);
		break;
	case FYET_SCALAR:
		refuse_decorations(reader, event);
		node = new_scalar(reader, event);
		if (node)
			attach(reader, node);
		break;
	case FYET_SEQUENCE_START:
	case FYET_MAPPING_START:
		refuse_decorations(reader, event);
		node = new_node(reader, event, event->type == FYET_MAPPING_START ? NODE_MAP : NODE_SEQUENCE);
		if (node)
			descend(reader, node);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		if (!reader->depth)
			break;
		reader->depth--;
		if (event->type == FYET_MAPPING_END)
			check_duplicates(reader, reader->stack[reader->depth]);
		break;
	default:
		break;
	}
}

/* What libfyaml found wrong, in our form. It stops at its first error. */
static void tell_syntax(struct reader *reader)
{
	struct place at = {.file = reader->policy->files[reader->file]};
	const struct policy_source *source = reader->policy->sources[reader->file];
	const struct fy_diag_error *error;
	void *iterator = NULL;
	bool told = false;

	while ((error = fy_diag_errors_iterate(reader->diag, &iterator))) {
		if (error->type != FYET_ERROR)
			continue;
		at.line = error->line > 0 ? error->line : 1;
		at.column = error->column > 0 ? error->column : 1;
		if (at.line >= source->line_count &&
		    reader->depth) /* something stays open to the end: where it begins */
			at = reader->stack[reader->depth - 1]->at;
		refuse(reader, &at, "YAML: %s", error->msg ? error->msg : "not understood");
		told = true;
	}
	if (!told)
		refuse(reader, &at, "YAML: not understood");
}

static bool start(struct reader *reader)
{
	const struct policy_source *source = reader->policy->sources[reader->file];
	struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE};
	struct fy_diag_cfg diag_config;

	fy_diag_cfg_default(&diag_config);
	diag_config.fp = NULL;
	diag_config.level = FYET_ERROR;
	reader->diag = fy_diag_create(&diag_config);
	if (!reader->diag)
		return false;
	fy_diag_set_collect_errors(reader->diag, true);
	config.diag = reader->diag;
	reader->parser = fy_parser_create(&config);
	return reader->parser && !fy_parser_set_string(reader->parser, source->text, source->length);
}

struct node *yaml_read(struct yaml *yaml, const struct policy *policy, int number, struct report *report)
{
	struct reader reader = {.yaml = yaml, .policy = policy, .report = report, .file = number};
	struct place at = {.file = policy->files[number]}, whole = at;
	const struct policy_source *source = policy->sources[number];
	const char *fault = yaml_text_fault(source->text, source->length, &at);
	struct fy_event *event;

	if (fault) {
		refuse(&reader, &at, "%s", fault);
		return NULL;
	}
	if (!start(&reader)) {
		refuse(&reader, &whole, "out of memory");
		goto out;
	}
	while (!reader.stop && (event = fy_parser_parse(reader.parser))) {
		take_event(&reader, event);
		fy_parser_event_free(reader.parser, event);
	}
	if (!reader.stop && fy_parser_get_stream_error(reader.parser))
		tell_syntax(&reader);
	else if (!reader.stop && !reader.root)
		refuse(&reader, &whole, "the file holds no policy");
	else if (!reader.stop && reader.root->kind != NODE_MAP)
		refuse(&reader, &reader.root->at, "a policy is a map of keys, this is %s", node_kind_name(reader.root));
	else if (!reader.stop)
		goto out;
	reader.root = NULL; /* a torn tree would only make errors that nobody wrote */
out:
	if (reader.parser)
		fy_parser_destroy(reader.parser);
	if (reader.diag)
		fy_diag_destroy(reader.diag);
	return reader.root;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

bool node_is_null(const struct node *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

	return node->kind == NODE_SCALAR && node->plain && is_one_of(node->text, words);
}

bool node_is_bool(const struct node *node, bool *value)
{
	static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE",
											NULL};

	if (node->kind != NODE_SCALAR || !node->plain)
		return false;
	*value = is_one_of(node->text, yes);
	return *value || is_one_of(node->text, no);
}

bool node_is_number(const struct node *node)
{
	const char *text = node->text;
	char *end;

	if (node->kind != NODE_SCALAR || !node->plain || !*text)
		return false;
	if (!strncmp(text, "0o", 2))
		return text[2] && !text[2 + strspn(text + 2, "01234567")];
	if (!strncmp(text, "0x", 2))
		return text[2] && !text[2 + strspn(text + 2, "0123456789abcdefABCDEF")];
	if (text[strspn(text, "+-.0123456789eE")])
		return false;
	strtod(text, &end);
	return !*end;
}

const char *node_kind_name(const struct node *node)
{
	bool value;

	if (node->kind == NODE_MAP)
		return "a map";
	if (node->kind == NODE_SEQUENCE)
		return "a sequence";
	if (node_is_null(node))
		return "nothing";
	if (node_is_bool(node, &value))
		return "a boolean";
	return node_is_number(node) ? "a number" : "text";
}
