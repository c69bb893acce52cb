/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark top: the terminal and its keys; --batch prints frames. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "top.h"
#include "verb_common.h"

#define SECOND_MS 1000
#define FRAMES_MAX 1000000

struct screen {
	struct context *context;
	struct top top;
	struct top_view view;
	struct frame_cells frame;
	bool filtering, asking, quit;
};

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- batch ---- */

static void print_frame(const struct frame_cells *frame)
{
	for (unsigned row = 0; row < frame->rows; row++) {
		unsigned end = frame->columns;

		while (end && !strcmp(frame->cells[row][end - 1].text, " "))
			end--;
		for (unsigned column = 0; column < end; column++)
			fputs(frame->cells[row][column].text, stdout);
		putchar('\n');
	}
	putchar('\n');
}

static json_t *series_json(const struct series_list *list, bool only_drops)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct series *row = &list->rows[i];
		json_t *one;

		if (!row->seen)
			continue;
		one = json_pack("{s:s, s:f, s:I}", "name", row->name, "dropped_rate", row->dropped_rate, "dropped",
				(json_int_t)row->dropped);
		if (!only_drops)
			json_object_update_new(one,
					       json_pack("{s:f, s:I, s:f}", "passed_rate", row->passed_rate, "passed",
							 (json_int_t)row->passed, "bit_rate", row->byte_rate * 8));
		json_array_append_new(rows, one);
	}
	return rows;
}

static json_t *senders_json(const struct senders *senders)
{
	json_t *rows = json_array(), *one;

	for (size_t i = 0; i < senders->count; i++) {
		const struct sender *row = &senders->rows[i];

		one = json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:i}", "address", row->address, "passed_rate",
				row->passed_rate, "passed_error", row->passed_error, "dropped_rate", row->dropped_rate,
				"dropped_error", row->dropped_error, "share", row->share, "sources", (int)row->sources);
		json_object_set_new(one, "reason", *row->reason ? json_string(row->reason) : json_null());
		json_array_append_new(rows, one);
	}
	return rows;
}

static json_t *frame_json(const struct top *top)
{
	return json_pack("{s:s, s:i, s:f, s:f, s:I, s:o, s:o, s:o, s:o, s:o}", "status", top->headline, "generation",
			 (int)top->generation, "in_rate", top->in_rate, "dropped_rate", top->dropped_rate, "bans",
			 (json_int_t)top->ban_count, "interfaces", series_json(&top->interfaces, false), "services",
			 series_json(&top->services, false), "reasons", series_json(&top->reasons, true), "sources",
			 senders_json(&top->sources), "networks", senders_json(&top->networks));
}

/* What LINES and COLUMNS say, within what a frame can hold. */
static unsigned size_from(const char *variable, unsigned usual, unsigned most)
{
	const char *text = getenv(variable);
	unsigned long size = text ? strtoul(text, NULL, 10) : 0;

	return !size ? usual : size > most ? most : (unsigned)size;
}

static int batch(struct screen *screen, __u64 frames)
{
	int error = 0;

	screen->frame.rows = size_from("LINES", 24, FRAME_ROWS);
	screen->frame.columns = size_from("COLUMNS", 80, FRAME_COLUMNS);
	for (__u64 i = 0; i < frames && !error && !ferror(stdout); i++) {
		usleep(SECOND_MS * 1000);
		error = top_sample(&screen->top, screen->view.sort);
		if (error)
			break;
		if (screen->context->json) {
			json_t *frame = frame_json(&screen->top);

			json_dumpf(frame, stdout, JSON_COMPACT);
			putchar('\n');
			json_decref(frame);
		} else {
			top_draw(&screen->top, &screen->view, &screen->frame);
			print_frame(&screen->frame);
		}
		fflush(stdout);
	}
	return error ? fail_kernel(error, screen->context->verb) : EXIT_DONE;
}

/* ---- the terminal ---- */

static void colours(void)
{
	start_color();
	use_default_colors();
	init_pair(STYLE_GOOD, COLOR_GREEN, -1);
	init_pair(STYLE_DOUBT, COLOR_YELLOW, -1);
	init_pair(STYLE_BAD, COLOR_RED, -1);
	init_pair(STYLE_FAINT, COLOR_CYAN, -1);
}

static attr_t attribute(enum style style)
{
	switch (style) {
	case STYLE_TITLE:
	case STYLE_SELECTED:
		return A_REVERSE;
	case STYLE_GOOD:
	case STYLE_DOUBT:
	case STYLE_BAD:
		return (attr_t)COLOR_PAIR(style) | A_BOLD;
	case STYLE_FAINT:
		return (attr_t)COLOR_PAIR(style);
	default:
		return A_NORMAL;
	}
}

static void show(struct screen *screen)
{
	struct frame_cells *frame = &screen->frame;

	frame->rows = LINES > FRAME_ROWS ? FRAME_ROWS : (unsigned)LINES;
	frame->columns = COLS > FRAME_COLUMNS ? FRAME_COLUMNS : (unsigned)COLS;
	top_draw(&screen->top, &screen->view, frame);
	erase();
	for (unsigned row = 0; row < frame->rows; row++) {
		move((int)row, 0);
		for (unsigned column = 0; column < frame->columns; column++) {
			attrset(attribute(frame->cells[row][column].style));
			addstr(frame->cells[row][column].text);
		}
	}
	refresh();
}

/* The verb itself, with all its refusals; its last line becomes the message. */
static void ban_selected(struct screen *screen)
{
	struct context *context = screen->context;
	char *const arguments[] = {"bulwark",
				   "--pin-dir",
				   context->places.pin_dir,
				   "--state-dir",
				   context->places.state_dir,
				   "ban",
				   screen->view.selected_address,
				   "--for",
				   "10m",
				   "--reason",
				   "from top",
				   NULL};
	char text[sizeof(screen->view.message)] = "";
	size_t length = 0;
	int ends[2], status;
	ssize_t got;
	pid_t child;

	if (pipe(ends))
		return;
	child = fork();
	if (!child) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	close(ends[1]);
	while (length < sizeof(text) - 1 && (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += got;
	close(ends[0]);
	if (child > 0)
		waitpid(child, &status, 0);
	text[strcspn(text, "\n")] = '\0';
	snprintf(screen->view.message, sizeof(screen->view.message), "%s", text);
}

static void filter_key(struct screen *screen, int key)
{
	struct top_view *view = &screen->view;
	size_t length = strlen(view->filter);

	if (key == '\n' || key == KEY_ENTER || key == 27) {
		if (key == 27)
			*view->filter = '\0';
		screen->filtering = false;
		*view->message = '\0';
		return;
	}
	if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && length)
		view->filter[length - 1] = '\0';
	else if (key < 256 && isgraph(key) && length + 1 < sizeof(view->filter))
		view->filter[length] = (char)key, view->filter[length + 1] = '\0';
	snprintf(view->message, sizeof(view->message), "filter: %s_  (enter keeps it, escape clears it)", view->filter);
}

static void ask_ban(struct screen *screen)
{
	if (!*screen->view.selected_address)
		return;
	screen->asking = true;
	snprintf(screen->view.message, sizeof(screen->view.message), "ban %s for 10m? y/n",
		 screen->view.selected_address);
}

static void press(struct screen *screen, int key)
{
	struct top_view *view = &screen->view;

	if (screen->filtering) {
		filter_key(screen, key);
		return;
	}
	if (screen->asking) {
		screen->asking = false;
		*view->message = '\0';
		if (key == 'y')
			ban_selected(screen);
		return;
	}
	*view->message = '\0';
	if (key == 'q')
		screen->quit = true;
	else if (key == 's')
		view->sort = (view->sort + 1) % SORT_COUNT;
	else if (key == 'n') {
		view->networks = !view->networks;
		view->selected = 0;
	} else if (key == ' ')
		view->frozen = !view->frozen;
	else if (key == 'b')
		ask_ban(screen);
	else if (key == KEY_UP && view->selected)
		view->selected--;
	else if (key == KEY_DOWN && view->selected + 1 < view->senders_shown)
		view->selected++;
	else if (key == '/') {
		screen->filtering = true;
		filter_key(screen, 0);
	}
}

/* Keys until the second is over. */
static void keys(struct screen *screen, long until)
{
	long left;

	while (!screen->quit && (left = until - now_ms()) > 0) {
		int key;

		timeout((int)left);
		key = getch();
		if (key == ERR)
			return;
		press(screen, key);
		show(screen);
	}
}

static int run(struct screen *screen)
{
	int error = 0;

	if (!initscr())
		return fail(EXIT_SYSTEM, "%s: this terminal cannot be used; --batch 1 prints", screen->context->verb);
	colours();
	noecho();
	cbreak();
	keypad(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	for (long next = now_ms(); !screen->quit && !error; next += SECOND_MS) {
		if (next < now_ms() - SECOND_MS)
			next = now_ms(); /* the machine stood still */
		if (!screen->view.frozen)
			error = top_sample(&screen->top, screen->view.sort);
		show(screen);
		keys(screen, next + SECOND_MS);
	}
	endwin();
	return error ? fail_kernel(error, screen->context->verb) : EXIT_DONE;
}

static int read_options(const struct context *context, int argc, char **argv, __u64 *frames)
{
	const char *value;
	char *end;
	int option;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == OPTIONS_WRONG)
			return EXIT_USAGE;
		errno = 0;
		*frames = strtoull(value, &end, 10);
		if (errno || *end || !isdigit((unsigned char)*value) || !*frames || *frames > FRAMES_MAX)
			return fail(EXIT_USAGE, "%s: --batch '%s' is not a number of frames", context->verb, value);
	}
	return no_operands(context, argc, argv);
}

int verb_top(struct context *context, int argc, char **argv)
{
	static struct screen screen; /* large */
	__u64 frames = 0;
	int error, status = read_options(context, argc, argv, &frames);

	if (status)
		return status;
	if (!frames && context->json)
		return fail_usage(context, "--json needs --batch N");
	if (!frames && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
		return fail_usage(context, "this is no terminal; --batch N prints N frames");
	setlocale(LC_CTYPE, "");
	screen.context = context;
	screen.view.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	error = top_open(&screen.top, &context->places);
	if (error)
		status = fail_kernel(error, context->verb);
	else
		status = frames ? batch(&screen, frames) : run(&screen);
	return status;
}
