/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Findings: collected in any order, told in the order of the files, with the line and a caret. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "utf8.h"

#define FINDINGS_KEPT 1000 /* a hostile file could make millions; the count of errors goes on */
#define DOUBTS_KEPT 500	   /* of them warnings and notes, which must not leave errors without a place */
#define LINE_SHOWN 110	   /* columns of a source line that are printed */

/*
 * What comes from a file may hold escape sequences for the reader's terminal, or be no text at all: each such character
 * becomes one '?', so that the caret still stands under what it means, and JSON stays JSON.
 */
static void make_harmless(char *text)
{
	size_t left = strlen(text);
	unsigned length;
	char *to = text;

	for (const char *from = text; left; from += length, left -= length) {
		unsigned character = utf8_character(from, left, &length);

		if (!length || (utf8_is_unseen(character) && character != '\t')) {
			*to++ = '?';
			length += !length;
			continue;
		}
		memmove(to, from, length);
		to += length;
	}
	*to = '\0';
}

static int grow(struct report *report)
{
	size_t capacity = report->capacity ? report->capacity * 2 : 16;
	struct finding *findings;

	if (report->count < report->capacity)
		return 0;
	findings = realloc(report->findings, capacity * sizeof(*findings));
	if (!findings)
		return -ENOMEM;
	report->findings = findings;
	report->capacity = capacity;
	return 0;
}

bool report_is_full(const struct report *report, enum severity severity)
{
	return report->count >= (severity == SEVERITY_ERROR ? FINDINGS_KEPT : DOUBTS_KEPT);
}

void report_add(struct report *report, enum severity severity, const struct place *at, const char *source_line,
		const char *format, ...)
{
	struct finding finding = {.severity = severity};
	va_list arguments;

	if (severity == SEVERITY_ERROR)
		report->errors++;
	if (report_is_full(report, severity) || grow(report))
		return;
	if (at)
		finding.at = *at;
	va_start(arguments, format);
	if (vasprintf(&finding.text, format, arguments) < 0)
		finding.text = NULL;
	va_end(arguments);
	if (!finding.text)
		return;
	make_harmless(finding.text);
	if (source_line) {
		finding.source = strdup(source_line);
		if (finding.source)
			make_harmless(finding.source);
	}
	report->findings[report->count++] = finding;
}

void report_free(struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		free(report->findings[i].text);
		free(report->findings[i].source);
	}
	free(report->findings);
	*report = (struct report){};
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The byte where the n-th character (from 0) begins, or the end. */
static const char *nth_character(const char *text, unsigned n)
{
	for (; *text; text++)
		if (!is_continuation(*text) && !n--)
			break;
	return text;
}

static unsigned characters(const char *text, const char *end)
{
	unsigned count = 0;

	for (; text < end && *text; text++)
		count += !is_continuation(*text);
	return count;
}

static void print_source(const struct finding *finding, FILE *out)
{
	unsigned column = finding->at.column, from = 0, width = finding->at.width ? finding->at.width : 1, room;
	const char *begin, *end, *p;

	if (!finding->source || !*finding->source || !column)
		return;
	if (column > LINE_SHOWN * 2 / 3)
		from = column - LINE_SHOWN / 3;
	begin = nth_character(finding->source, from);
	end = nth_character(begin, LINE_SHOWN);
	fprintf(out, "    %s%.*s%s\n", from ? "..." : "", (int)(end - begin), begin, *end ? "..." : "");
	fprintf(out, "    %s", from ? "   " : "");
	for (p = begin; p < end && column - 1 > from; column--) {
		fputc(*p == '\t' ? '\t' : ' ', out);
		p = nth_character(p, 1);
	}
	fputc('^', out);
	room = characters(p, end);
	while (--width && room-- > 1)
		fputc('~', out);
	fputc('\n', out);
}

struct row {
	const struct finding *finding;
	size_t file; /* rank of its file: in order of appearance */
	size_t order;
};

static int by_place(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->finding->at.line != b->finding->at.line)
		return a->finding->at.line < b->finding->at.line ? -1 : 1;
	if (a->finding->at.column != b->finding->at.column)
		return a->finding->at.column < b->finding->at.column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static size_t rank_of_file(const struct report *report, const char *file, size_t limit)
{
	for (size_t i = 0; i < limit; i++) {
		const char *other = report->findings[i].at.file;

		if (file == other || (file && other && !strcmp(file, other)))
			return i;
	}
	return limit;
}

void report_print(const struct report *report, FILE *out)
{
	static const char *const words[] = {"note", "warning", "error"};
	struct row *rows;
	size_t shown_errors = 0;

	rows = calloc(report->count + 1, sizeof(*rows));
	if (!rows)
		return;
	for (size_t i = 0; i < report->count; i++) {
		rows[i].finding = &report->findings[i];
		rows[i].file = rank_of_file(report, rows[i].finding->at.file, i);
		rows[i].order = i;
		shown_errors += rows[i].finding->severity == SEVERITY_ERROR;
	}
	qsort(rows, report->count, sizeof(*rows), by_place);
	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = rows[i].finding;

		if (finding->at.file)
			fprintf(out, "%s:", finding->at.file);
		if (finding->at.file && finding->at.line)
			fprintf(out, "%u:%u:", finding->at.line, finding->at.column);
		fprintf(out, "%s%s: %s\n", finding->at.file ? " " : "", words[finding->severity], finding->text);
		print_source(finding, out);
	}
	if (shown_errors < report->errors)
		fprintf(out, "and %zu more errors\n", report->errors - shown_errors);
	free(rows);
}

#define NAME_COMPARED 64

/* Optimal string alignment: insertions, deletions, substitutions and swapped neighbours cost one each. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][NAME_COMPARED + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b_length; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *free_row = before;

		now[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		before = last;
		last = now;
		now = free_row;
	}
	return last[b_length];
}

const char *did_you_mean(const char *name, const char *const *candidates, size_t count)
{
	size_t length = strlen(name), best = SIZE_MAX;
	const char *nearest = NULL;

	if (!length || length > NAME_COMPARED)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t other = strlen(candidates[i]), longer = other > length ? other : length, changes;

		if (!other || other > NAME_COMPARED)
			continue;
		changes = distance(name, length, candidates[i], other);
		if (changes < best && changes <= (longer + 2) / 3 && changes < other) {
			best = changes;
			nearest = candidates[i];
		}
	}
	return nearest;
}
