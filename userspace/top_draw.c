/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame: the same cells for a terminal and for --batch. Made for 80 x 24, uses what there is. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "output.h"
#include "top.h"
#include "utf8.h"

#define SPARK_COLUMNS 48

struct pen {
	struct frame_cells *frame;
	unsigned row, last; /* the next row; rows from `last` on are the footer's */
};

/* Text from a place on; what is no printable UTF-8 becomes '?', what does not fit is cut. The column behind it. */
static unsigned put(struct frame_cells *frame, unsigned row, unsigned column, enum style style, const char *text)
{
	size_t left = strlen(text);
	unsigned length;

	for (; left && row < frame->rows && column < frame->columns; text += length, left -= length, column++) {
		struct cell *cell = &frame->cells[row][column];
		unsigned character = utf8_character(text, left, &length);
		bool seen = length && length < sizeof(cell->text) && !utf8_is_unseen(character);

		length += !length;
		memset(cell->text, 0, sizeof(cell->text));
		if (seen)
			memcpy(cell->text, text, length);
		else
			*cell->text = '?';
		cell->style = style;
	}
	return column;
}

static unsigned __attribute__((format(printf, 5, 6)))
say(struct frame_cells *frame, unsigned row, unsigned column, enum style style, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return put(frame, row, column, style, text);
}

static void fill(struct frame_cells *frame, unsigned row, enum style style)
{
	for (unsigned column = 0; row < frame->rows && column < frame->columns; column++)
		frame->cells[row][column] = (struct cell){" ", style};
}

/* "12.3k", in at most 7 columns. */
static const char *short_number(double value, char text[16])
{
	json_t *number = json_real(value);

	text_count(number, text, 16);
	json_decref(number);
	return text;
}

/* ---- the head ---- */

static enum style headline_style(const struct top *top)
{
	if (!strncmp(top->headline, "ENFORCING", 9))
		return STYLE_GOOD;
	return !strncmp(top->headline, "UNPROTECTED", 11) || !strncmp(top->headline, "DEGRADED", 8) ? STYLE_BAD
												    : STYLE_DOUBT;
}

static void draw_head(struct top *top, const struct top_view *view, struct pen *pen)
{
	struct frame_cells *frame = pen->frame;
	char bans[16], clock[16];
	time_t now = time(NULL);
	struct tm broken;
	unsigned column;

	localtime_r(&now, &broken);
	strftime(clock, sizeof(clock), "%H:%M:%S", &broken);
	fill(frame, 0, STYLE_TITLE);
	column = put(frame, 0, 1, STYLE_TITLE, "bulwark  ");
	column = put(frame, 0, column, headline_style(top), top->headline);
	if (top->generation)
		column = say(frame, 0, column, STYLE_TITLE, "  generation %u", top->generation);
	column = say(frame, 0, column, STYLE_TITLE, "  bans %s%s", short_number((double)top->ban_count, bans),
		     view->frozen ? "  FROZEN" : "");
	if (*top->attacks)
		say(frame, 0, column, STYLE_BAD, "  UNDER ATTACK: %s", top->attacks);
	if (frame->columns > 10)
		put(frame, 0, frame->columns - 9, STYLE_TITLE, clock);
	pen->row = 1;
}

static void draw_spark(struct pen *pen, const char *name, const double *history, double value, enum style style,
		       bool utf8)
{
	static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "%", "#"};
	unsigned width = pen->frame->columns > 78 ? SPARK_COLUMNS : 20;
	double most = 1;
	char text[16];

	for (unsigned i = HISTORY_SECONDS - width; i < HISTORY_SECONDS; i++)
		most = history[i] > most ? history[i] : most;
	say(pen->frame, pen->row, 1, STYLE_PLAIN, "%-8s %8s/s ", name, short_number(value, text));
	for (unsigned i = 0; i < width; i++) {
		double height = history[HISTORY_SECONDS - width + i] / most * 8;
		unsigned level = height > 0 && height < 1 ? 1 : (unsigned)height;

		put(pen->frame, pen->row, 21 + i, style, (utf8 ? blocks : plain)[level > 8 ? 8 : level]);
	}
	say(pen->frame, pen->row, 22 + width, STYLE_FAINT, "%us", width);
	pen->row++;
}

/* ---- tables ---- */

static enum top_sort sorting;

static int by_rate(const void *a, const void *b)
{
	const struct series *one = *(const struct series *const *)a, *two = *(const struct series *const *)b;
	double first = sorting == SORT_PASSED ? one->passed_rate : one->dropped_rate;
	double second = sorting == SORT_PASSED ? two->passed_rate : two->dropped_rate;

	if (sorting != SORT_NAME && first != second)
		return first < second ? 1 : -1;
	if (sorting != SORT_NAME && one->dropped + one->passed != two->dropped + two->passed)
		return one->dropped + one->passed < two->dropped + two->passed ? 1 : -1;
	return strcmp(one->name, two->name);
}

static size_t pick(const struct series_list *list, const struct top_view *view, const struct series **rows)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		if (list->rows[i].seen && (!*view->filter || strstr(list->rows[i].name, view->filter)))
			rows[count++] = &list->rows[i];
	sorting = view->sort;
	if (count)
		qsort(rows, count, sizeof(*rows), by_rate);
	return count;
}

static enum style drop_style(const struct series *row)
{
	if (row->dropped_rate <= 0)
		return STYLE_PLAIN;
	return row->dropped_rate > row->passed_rate ? STYLE_BAD : STYLE_DOUBT;
}

static void draw_series(struct pen *pen, const struct top_view *view, const char *title, const struct series_list *list,
			unsigned most, bool only_drops)
{
	const struct series *rows[SERIES_MAX];
	size_t count = pick(list, view, rows);
	char in[16], dropped[16], bits[16], total[16];

	if (pen->row + 2 > pen->last)
		return;
	fill(pen->frame, pen->row, STYLE_FAINT);
	say(pen->frame, pen->row++, 1, STYLE_FAINT, "%-34s %10s %10s %10s", title, only_drops ? "" : "PASSED/s",
	    "DROPPED/s", only_drops ? "SO FAR" : "BITS/s");
	for (size_t i = 0; i < count && i < most && pen->row < pen->last; i++, pen->row++) {
		const struct series *row = rows[i];

		put(pen->frame, pen->row, 1, STYLE_PLAIN, row->name);
		if (*row->note)
			put(pen->frame, pen->row, 20, STYLE_FAINT, row->note);
		if (!only_drops)
			say(pen->frame, pen->row, 36, STYLE_PLAIN, "%10s", short_number(row->passed_rate, in));
		say(pen->frame, pen->row, 47, drop_style(row), "%10s", short_number(row->dropped_rate, dropped));
		say(pen->frame, pen->row, 58, STYLE_PLAIN, "%10s",
		    only_drops ? short_number((double)row->dropped, total) : short_number(row->byte_rate * 8, bits));
	}
}

/* Of the rate that rows are sorted by. */
static const char *error_text(const struct sender *row, const struct top_view *view, char text[16])
{
	return short_number(view->sort == SORT_PASSED ? row->passed_error : row->dropped_error, text);
}

static void draw_sender(struct pen *pen, const struct top_view *view, const struct sender *row, bool chosen)
{
	char passed[16], dropped[16], error[16];

	put(pen->frame, pen->row, 1, chosen ? STYLE_SELECTED : STYLE_PLAIN, row->address);
	say(pen->frame, pen->row, 30, STYLE_PLAIN, "%9s %9s", short_number(row->passed_rate, passed),
	    short_number(row->dropped_rate, dropped));
	say(pen->frame, pen->row, 50, STYLE_FAINT, "%7s %4.0f%%", error_text(row, view, error), 100 * row->share);
	put(pen->frame, pen->row, 64, STYLE_PLAIN, row->reason);
}

/* Sources, or with `n` networks. */
static void draw_senders(struct top *top, struct top_view *view, struct pen *pen, unsigned most)
{
	const struct senders *senders = view->networks ? &top->networks : &top->sources;

	view->senders_shown = 0;
	*view->selected_address = '\0';
	if (pen->row + 2 > pen->last)
		return;
	fill(pen->frame, pen->row, STYLE_FAINT);
	say(pen->frame, pen->row++, 1, STYLE_FAINT, "%-28s %9s %9s %8s %4s REASON (%u s)",
	    view->networks ? "NETWORK" : "SOURCE", "PASSED/s", "DROPPED/s", "+/-", "PART", HITTERS_SECONDS);
	for (size_t i = 0; i < senders->count && view->senders_shown < most && pen->row < pen->last; i++) {
		const struct sender *row = &senders->rows[i];
		bool chosen = view->senders_shown == view->selected;

		if (*view->filter && !strstr(row->address, view->filter) && !strstr(row->reason, view->filter))
			continue;
		if (chosen)
			snprintf(view->selected_address, sizeof(view->selected_address), "%s", row->address);
		draw_sender(pen, view, row, chosen);
		view->senders_shown++;
		pen->row++;
	}
}

static void draw_bans(struct top *top, const struct top_view *view, struct pen *pen)
{
	char left[64];

	if (!top->ban_lines || pen->row + 2 > pen->last)
		return;
	say(pen->frame, pen->row++, 1, STYLE_FAINT, "%-34s %10s  %s", "BAN", "LEFT", "BY, WHY");
	for (size_t i = 0; i < top->ban_lines && pen->row < pen->last; i++) {
		const struct ban_line *ban = &top->bans[i];

		if (*view->filter && !strstr(ban->prefix, view->filter))
			continue;
		duration_text(ban->left_s * 1000000000ULL, left, sizeof(left));
		say(pen->frame, pen->row++, 1, STYLE_PLAIN, "%-34s %10s  %s, %s", ban->prefix, left, ban->origin,
		    ban->reason);
	}
}

/* ---- the foot ---- */

static void draw_foot(const struct top_view *view, struct pen *pen)
{
	static const char *const words[] = {"dropped", "passed", "name"};
	unsigned row = pen->frame->rows - 1;

	fill(pen->frame, row, STYLE_TITLE);
	if (*view->message)
		put(pen->frame, row, 1, STYLE_TITLE, view->message);
	else
		say(pen->frame, row, 1, STYLE_TITLE,
		    "q quit  s sort: %s  / filter%s%s  n %s  up down b ban  space freeze", words[view->sort],
		    *view->filter ? ": " : "", view->filter, view->networks ? "sources" : "networks");
}

void top_draw(struct top *top, struct top_view *view, struct frame_cells *frame)
{
	struct pen pen = {.frame = frame, .last = frame->rows - 1};
	unsigned room;

	for (unsigned row = 0; row < frame->rows; row++)
		fill(frame, row, STYLE_PLAIN);
	if (frame->rows < 12 || frame->columns < 60) {
		put(frame, 0, 0, STYLE_BAD, "too small: 60 x 12 at least");
		return;
	}
	draw_head(top, view, &pen);
	draw_spark(&pen, "in", top->in_history, top->in_rate, STYLE_GOOD, view->utf8);
	draw_spark(&pen, "dropped", top->dropped_history, top->dropped_rate, STYLE_BAD, view->utf8);
	room = frame->rows - 4 - 4; /* rows between sparks and foot, without four headings */
	draw_series(&pen, view, "INTERFACE", &top->interfaces, room / 6 + 1, false);
	draw_series(&pen, view, "SERVICE", &top->services, room / 5, false);
	draw_series(&pen, view, "REASON", &top->reasons, room / 4, true);
	draw_senders(top, view, &pen, room / 4);
	draw_bans(top, view, &pen);
	draw_foot(view, &pen);
}
