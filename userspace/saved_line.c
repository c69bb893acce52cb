/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A line of bans.jsonl. There may be a million of them to read at boot, before the first packet is judged, and all but
 * a few are plain: texts without escapes, numbers, nothing nested. Those are read in place, in a twentieth of the time
 * that building a JSON object takes; whatever is not plain is left to the JSON library, which also decides what is
 * wrong.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "saved_line.h"

static const struct field {
	const char *name;
	size_t place; /* of a const char *, or of a double */
	bool number;
} fields[] = {
	{"kind", offsetof(struct saved_line, kind), false},
	{"address", offsetof(struct saved_line, address), false},
	{"until", offsetof(struct saved_line, until_s), true},
	{"since", offsetof(struct saved_line, since_s), true},
	{"origin", offsetof(struct saved_line, origin), false},
	{"by", offsetof(struct saved_line, by), false},
	{"reason", offsetof(struct saved_line, reason), false},
	{"service", offsetof(struct saved_line, service), false},
	{"forget", offsetof(struct saved_line, forget_s), true},
	{"times", offsetof(struct saved_line, times), true},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char **text_at(struct saved_line *line, const struct field *field)
{
	return (void *)((char *)line + field->place);
}

static double *number_at(struct saved_line *line, const struct field *field)
{
	return (void *)((char *)line + field->place);
}

static void make_empty(struct saved_line *line)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].number)
			*number_at(line, &fields[i]) = 0;
		else
			*text_at(line, &fields[i]) = "";
	line->json = NULL;
}

/* ---- plain lines ---- */

/* Behind the closing quote of the text that begins at `at`, which is ended there; NULL when it is not plain. */
static char *end_text(char *at)
{
	while (*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\')
		at++;
	if (*at != '"')
		return NULL;
	*at = '\0';
	return at + 1;
}

/* Behind a number as JSON has them, but for those with an exponent; NULL when it is none. */
static char *end_number(const char *at, double *value)
{
	size_t whole = strspn(at, "0123456789"), part = 0;
	char *end;

	if (at[whole] == '.')
		part = 1 + strspn(at + whole + 1, "0123456789");
	if (!whole || (whole > 1 && *at == '0') || part == 1)
		return NULL;
	*value = strtod(at, &end);
	return end == at + whole + part ? end : NULL;
}

static const struct field *field_named(const char *name)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

/* "name":value. Behind it, or NULL. */
static char *read_pair(char *at, struct saved_line *line)
{
	const struct field *field;
	char *name = at + 1;

	if (*at != '"')
		return NULL;
	at = end_text(name);
	field = at && *at == ':' ? field_named(name) : NULL;
	if (!field)
		return NULL;
	at++;
	if (field->number)
		return end_number(at, number_at(line, field));
	if (*at != '"')
		return NULL;
	*text_at(line, field) = at + 1;
	return end_text(at + 1);
}

static bool read_plain(const char *text, size_t length, struct saved_line *line)
{
	char *at = line->plain;

	if (length && text[length - 1] == '\n')
		length--;
	if (length >= sizeof(line->plain))
		return false;
	memcpy(line->plain, text, length);
	line->plain[length] = '\0';
	if (*at++ != '{')
		return false;
	while ((at = read_pair(at, line))) {
		if (*at == '}')
			return at + 1 == line->plain + length;
		if (*at++ != ',')
			return false;
	}
	return false;
}

/* ---- any line ---- */

static void take_field(struct saved_line *line, const struct field *field)
{
	const json_t *value = json_object_get(line->json, field->name);

	if (field->number)
		*number_at(line, field) = json_number_value(value);
	else
		*text_at(line, field) = json_string_value(value) ?: "";
}

int saved_line_read(const char *text, size_t length, struct saved_line *line)
{
	make_empty(line);
	if (read_plain(text, length, line))
		return 0;
	make_empty(line);
	line->json = json_loadb(text, length, 0, NULL);
	if (!json_is_object(line->json)) {
		saved_line_free(line);
		return -EINVAL;
	}
	for (size_t i = 0; i < FIELDS; i++)
		take_field(line, &fields[i]);
	return 0;
}

void saved_line_free(struct saved_line *line)
{
	json_decref(line->json);
	line->json = NULL;
}
