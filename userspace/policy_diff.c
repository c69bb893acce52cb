/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Works on the canonical text instead of struct policy: whatever the language learns to say and print.c prints is
 * compared without a line here.
 */
#include <libfyaml.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "policy_diff.h"

#define MEMBERS_TOLD 5 /* of a sequence that gained or lost more, only so many are named */
#define TEXT_MAX 2048
#define DIFFERENCES_TOLD 5 /* in one line */

/* ---- YAML as JSON: scalars are strings, so that 10 and "10" do not differ ---- */

static json_t *tree_of(struct fy_node *node);

static json_t *object_of(struct fy_node *node)
{
	json_t *object = json_object();
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		size_t length;
		const char *key = fy_node_get_scalar(fy_node_pair_key(pair), &length);
		char *name = key ? strndup(key, length) : NULL;

		if (name)
			json_object_set_new(object, name, tree_of(fy_node_pair_value(pair)));
		free(name);
	}
	return object;
}

static json_t *array_of(struct fy_node *node)
{
	json_t *array = json_array();
	struct fy_node *item;
	void *iterator = NULL;

	while ((item = fy_node_sequence_iterate(node, &iterator)))
		json_array_append_new(array, tree_of(item));
	return array;
}

static json_t *tree_of(struct fy_node *node)
{
	size_t length;
	const char *text;

	switch (fy_node_get_type(node)) {
	case FYNT_MAPPING:
		return object_of(node);
	case FYNT_SEQUENCE:
		return array_of(node);
	default:
		text = fy_node_get_scalar(node, &length);
		return text ? json_stringn(text, length) : json_null();
	}
}

static json_t *read_tree(const char *text)
{
	struct fy_document *document = fy_document_build_from_string(NULL, text, FY_NT);
	json_t *tree = document ? tree_of(fy_document_root(document)) : NULL;

	fy_document_destroy(document);
	return tree;
}

/* ---- words ---- */

void diff_add(json_t *differences, const char *change, const char *what, const char *format, ...)
{
	va_list arguments;
	char text[TEXT_MAX];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(differences, json_pack("{s:s, s:s, s:s}", "change", change, "what", what, "text", text));
}

static void words_of(const json_t *value, char *text, size_t size)
{
	size_t used = strlen(text), i;
	const char *key;
	json_t *item;

	if (used + 1 >= size)
		return;
	if (json_is_string(value)) {
		snprintf(text + used, size - used, "%s", json_string_value(value));
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, item)
		{
			if (i)
				strncat(text, ", ", size - strlen(text) - 1);
			words_of(item, text, size);
		}
		if (!json_array_size(value))
			snprintf(text + used, size - used, "nothing");
	} else if (json_is_object(value)) {
		json_object_foreach((json_t *)value, key, item)
		{
			used = strlen(text);
			snprintf(text + used, size - used, "%s%s ", used ? ", " : "", key);
			words_of(item, text, size);
		}
	}
}

static const char *words(const json_t *value, char text[TEXT_MAX])
{
	*text = 0;
	words_of(value, text, TEXT_MAX / 3);
	return text;
}

/* ---- sequences as sets ---- */

static json_t *set_of(const json_t *array)
{
	json_t *set = json_object(), *item;
	char text[TEXT_MAX];
	size_t i;

	json_array_foreach(array, i, item)
	{
		json_object_set_new(set, words(item, text), json_true());
	}
	return set;
}

/* "+10.0.0.0/8, +11.0.0.0/8 and 17 more": members of one set that the other lacks. Returns how many. */
static size_t told_members(const json_t *set, const json_t *without, char sign, char text[TEXT_MAX])
{
	size_t count = 0, used;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)set, key, value)
	{
		if (json_object_get(without, key) || ++count > MEMBERS_TOLD)
			continue;
		used = strlen(text);
		snprintf(text + used, TEXT_MAX - used, "%s%c%s", used ? ", " : "", sign, key);
	}
	used = strlen(text);
	if (count > MEMBERS_TOLD)
		snprintf(text + used, TEXT_MAX - used, " and %c%zu more", sign, count - MEMBERS_TOLD);
	return count;
}

static void compare_arrays(const char *what, const char *key, const json_t *old, const json_t *new, json_t *differences)
{
	json_t *before = set_of(old), *after = set_of(new);
	char text[TEXT_MAX] = "";
	size_t count = told_members(before, after, '-', text) + told_members(after, before, '+', text);

	if (count)
		diff_add(differences, "changed", what, "%s%s%s", key, *key ? ": " : "", text);
	else if (!json_equal(old, new))
		diff_add(differences, "changed", what, "%s%sthe order", key, *key ? ": " : "");
	json_decref(before);
	json_decref(after);
}

/* ---- members ---- */

static void compare(const char *what, const char *key, const json_t *old, const json_t *new, json_t *differences)
{
	char before[TEXT_MAX], after[TEXT_MAX];

	if (old && new &&json_equal(old, new))
		return;
	if (json_is_array(old) && json_is_array(new)) {
		compare_arrays(what, key, old, new, differences);
		return;
	}
	diff_add(differences,
		 old && new ? "changed"
		 : old	    ? "removed"
			    : "added",
		 what, "%s%s%s%s%s", key, *key ? ": " : "", old ? words(old, before) : "", old && new ? " -> " : "",
		 new ? words(new, after) : "");
}

/* Every member of either object, in the order of the new one and then what is gone. */
static void compare_objects(const char *what, const json_t *old, const json_t *new, json_t *differences)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)new, key, value)
		compare(what, key, json_object_get(old, key), value, differences);
	json_object_foreach((json_t *)old, key, value) if (!json_object_get(new, key))
		compare(what, key, value, NULL, differences);
}

static void whole(const char *change, const char *what, const json_t *value, json_t *differences)
{
	size_t addresses = json_array_size(json_object_get(value, "addresses"));
	char text[TEXT_MAX];

	if (addresses > MEMBERS_TOLD)
		diff_add(differences, change, what, "%zu addresses", addresses);
	else
		diff_add(differences, change, what, "%s", words(value, text));
}

/* lists and services: things with names. */
static void compare_named(const char *kind, const json_t *old, const json_t *new, json_t *differences)
{
	const char *name;
	char what[256];
	json_t *value;

	json_object_foreach((json_t *)new, name, value)
	{
		const json_t *before = json_object_get(old, name);

		snprintf(what, sizeof(what), "%s %s", kind, name);
		if (before)
			compare_objects(what, before, value, differences);
		else
			whole("added", what, value, differences);
	}
	json_object_foreach((json_t *)old, name, value)
	{
		snprintf(what, sizeof(what), "%s %s", kind, name);
		if (!json_object_get(new, name))
			whole("removed", what, value, differences);
	}
}

static void compare_policies(const json_t *old, const json_t *new, json_t *differences)
{
	json_t *rest_old = json_copy((json_t *)old), *rest_new = json_copy((json_t *)new);
	static const char *const named[][2] = {{"lists", "list"}, {"services", "service"}};
	const char *key;
	json_t *value;

	for (size_t i = 0; i < 2; i++) {
		compare_named(named[i][1], json_object_get(old, named[i][0]), json_object_get(new, named[i][0]),
			      differences);
		json_object_del(rest_old, named[i][0]);
		json_object_del(rest_new, named[i][0]);
	}
	json_object_foreach(rest_new, key, value) compare(key, "", json_object_get(rest_old, key), value, differences);
	json_object_foreach(rest_old, key, value) if (!json_object_get(rest_new, key))
		compare(key, "", value, NULL, differences);
	json_decref(rest_old);
	json_decref(rest_new);
}

const char *diff_line(const json_t *differences, char *text, size_t size)
{
	size_t count = json_array_size(differences), used = 0, i;
	json_t *entry;

	*text = 0;
	json_array_foreach(differences, i, entry)
	{
		const char *change = json_string_value(json_object_get(entry, "change"));
		bool known = change && strcmp(change, "changed");

		if (i == DIFFERENCES_TOLD || used >= size)
			break;
		used += snprintf(text + used, size - used, "%s%s%s: %s", i ? "; " : "",
				 !known		  ? ""
				 : *change == 'a' ? "+"
						  : "-",
				 json_string_value(json_object_get(entry, "what")),
				 json_string_value(json_object_get(entry, "text")));
	}
	if (count > DIFFERENCES_TOLD && used < size)
		snprintf(text + used, size - used, "; and %zu more", count - DIFFERENCES_TOLD);
	return text;
}

json_t *policy_diff(const char *old_text, const char *new_text)
{
	json_t *old = read_tree(old_text), *new = read_tree(new_text);
	json_t *differences = old && new ? json_array() : NULL;

	if (differences)
		compare_policies(old, new, differences);
	/* The order of services decides where they share a port. */
	if (differences && !json_array_size(differences) && strcmp(old_text, new_text))
		diff_add(differences, "changed", "policy", "the order of lists or services");
	json_decref(old);
	json_decref(new);
	return differences;
}
