/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JSON and tables from the same rows. */
#include <errno.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define CELL_MAX 512

int print_json(json_t *document)
{
	int error = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(14));

	json_decref(document);
	if (error || putchar('\n') == EOF || fflush(stdout))
		return fail(EXIT_SYSTEM, "standard output: %s", strerror(errno));
	return EXIT_DONE;
}

static void append(char *buffer, size_t size, const char *text)
{
	size_t used = strlen(buffer);

	snprintf(buffer + used, size - used, "%s%s", used ? "," : "", text);
}

static const char *plain_text(const json_t *value, char *buffer, size_t size)
{
	char part[64];
	json_t *item;
	size_t i;

	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		snprintf(buffer, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return buffer;
	case JSON_REAL:
		snprintf(buffer, size, "%.1f", json_real_value(value));
		return buffer;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_ARRAY:
		*buffer = 0;
		json_array_foreach((json_t *)value, i, item) append(buffer, size, plain_text(item, part, sizeof(part)));
		return *buffer ? buffer : "-";
	default:
		return "-";
	}
}

const char *text_seconds(const json_t *value, char *buffer, size_t size)
{
	if (!json_is_number(value))
		return "-";
	return duration_text((__u64)(json_number_value(value) * 1e9), buffer, size);
}

const char *text_time(const json_t *value, char *buffer, size_t size)
{
	time_t seconds = json_is_number(value) ? (time_t)json_number_value(value) : 0;
	struct tm broken;

	if (!seconds || !localtime_r(&seconds, &broken))
		return "-";
	strftime(buffer, size, "%Y-%m-%d %H:%M:%S", &broken);
	return buffer;
}

const char *text_count(const json_t *value, char *buffer, size_t size)
{
	static const char units[] = " kMGTPE";
	double count = json_number_value(value);
	size_t unit = 0;

	if (!json_is_number(value))
		return "-";
	for (; count >= 1000 && units[unit + 1]; unit++)
		count /= 1000;
	if (unit)
		snprintf(buffer, size, "%.1f%c", count, units[unit]);
	else
		snprintf(buffer, size, "%.0f", count);
	return buffer;
}

const char *plural(unsigned long long count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

static int add_row(struct libscols_table *table, const json_t *row, const struct column *columns)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char buffer[CELL_MAX];

	for (size_t i = 0; line && columns[i].heading; i++) {
		const json_t *value = json_object_get(row, columns[i].key);
		const char *text = columns[i].text ? columns[i].text(value, buffer, sizeof(buffer))
						   : plain_text(value, buffer, sizeof(buffer));

		if (scols_line_set_data(line, i, text))
			return -ENOMEM;
	}
	return line ? 0 : -ENOMEM;
}

static int fill_table(struct libscols_table *table, const json_t *rows, const struct column *columns)
{
	json_t *row;
	size_t i;

	for (i = 0; columns[i].heading; i++)
		if (!scols_table_new_column(table, columns[i].heading, 0, columns[i].right ? SCOLS_FL_RIGHT : 0))
			return -ENOMEM;
	json_array_foreach((json_t *)rows, i, row)
	{
		if (add_row(table, row, columns))
			return -ENOMEM;
	}
	/* Cut to the terminal's width only where there is a terminal. */
	scols_table_enable_maxout(table, 0);
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	return scols_print_table(table);
}

int print_table(const json_t *rows, const struct column *columns)
{
	struct libscols_table *table;
	int error;

	if (!json_array_size(rows))
		return EXIT_DONE;
	table = scols_new_table();
	error = table ? fill_table(table, rows, columns) : -ENOMEM;
	scols_unref_table(table);
	return error ? fail(EXIT_SYSTEM, "the table could not be printed: %s", strerror(-error)) : EXIT_DONE;
}
