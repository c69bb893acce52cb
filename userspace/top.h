/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark top in three parts: what is going on (top_sample.c), a frame of it as cells of characters (top_draw.c), and
 * the terminal with its keys (verb_top.c). Memory is bounded, whoever sends what.
 */
#ifndef BULWARK_TOP_H
#define BULWARK_TOP_H

#include "kernel.h"

#define SERIES_MAX 128	   /* of one kind; what is beyond is in the totals only */
#define HITTERS_SHOWN 100  /* sources, prefixes: those that send most */
#define HITTERS_SECONDS 10 /* their rates are means of so long */
#define HISTORY_SECONDS 60
#define BANS_SHOWN 16

struct series { /* something that packets are counted for */
	char name[80];
	char note[40];
	__u64 passed, dropped, bytes;			   /* so far */
	__u64 passed_before, dropped_before, bytes_before; /* at the last sample */
	double passed_rate, dropped_rate, byte_rate;	   /* a second */
	bool known;					   /* at the last sample, too */
	bool seen;					   /* in this one */
};

struct series_list {
	struct series rows[SERIES_MAX];
	size_t count;
};

struct sender { /* a source or a network, by sampled packets */
	char address[PREFIX_TEXT];
	const char *reason; /* most of it was refused for, "": none was */
	double passed_rate, passed_error, dropped_rate, dropped_error;
	double share; /* of all packets that came, or were dropped: as they are sorted */
	unsigned sources;
};

struct senders {
	struct sender rows[HITTERS_SHOWN];
	size_t count;
};

struct ban_line {
	char prefix[PREFIX_TEXT], origin[32], reason[96];
	__u64 left_s;
};

struct top {
	struct places places;
	struct instance *instance; /* NULL: nothing is applied */
	struct control_state control;
	unsigned generation;
	bool monitor, attached;
	char headline[160];
	char attacks[160]; /* services under attack, "": none */
	struct series_list interfaces, services, reasons;
	double in_rate, dropped_rate;					      /* all interfaces */
	double in_history[HISTORY_SECONDS], dropped_history[HISTORY_SECONDS]; /* the newest last */
	struct senders sources, networks; /* sorted as the view is, `name`: those that are dropped most */
	struct ban_line bans[BANS_SHOWN];
	size_t ban_lines;
	__u64 ban_count;
	struct holds_census census;
	__u64 sampled_ns;
};

enum top_sort { SORT_DROPPED, SORT_PASSED, SORT_NAME, SORT_COUNT };
int top_open(struct top *top, const struct places *places); /* 0 or -errno with kernel_words() */
int top_sample(struct top *top, enum top_sort sort);

struct top_view {
	enum top_sort sort;
	char filter[40];   /* rows whose name holds it; "": all */
	char message[120]; /* above the keys: what was done, what is asked */
	size_t selected;   /* of the sources or networks shown */
	bool frozen, utf8, networks;
	char selected_address[PREFIX_TEXT]; /* out: at `selected` */
	size_t senders_shown;		    /* out */
};

enum style { STYLE_PLAIN, STYLE_TITLE, STYLE_GOOD, STYLE_DOUBT, STYLE_BAD, STYLE_FAINT, STYLE_SELECTED };
struct cell {
	char text[5]; /* one character of UTF-8 */
	unsigned char style;
};
#define FRAME_COLUMNS 240
#define FRAME_ROWS 100
struct frame_cells {
	unsigned rows, columns;
	struct cell cells[FRAME_ROWS][FRAME_COLUMNS];
};
void top_draw(struct top *top, struct top_view *view, struct frame_cells *frame);

#endif
