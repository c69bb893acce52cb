/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The feed formats of one entry a line: plain lists (netset, ipsum, Spamhaus DROP, ...) and `ipset save`. */
#include "feed_parse.h"

static bool is_comment(char c)
{
	return c == '#' || c == ';';
}

/* ADDRESS[/LENGTH] or FIRST-LAST; what follows after a blank, # or ; is a remark or a column of the feed's own. */
void feed_plain_line(struct feed *feed, struct text line)
{
	struct text rest = line, value;
	struct item item;
	const char *problem;

	skip_blanks(&rest);
	if (rest.at == rest.end || is_comment(*rest.at))
		return;
	value.at = rest.at;
	problem = item_parse(&rest, &item);
	if (!problem && rest.at < rest.end && !is_blank(*rest.at) && !is_comment(*rest.at))
		problem = "not an address, prefix or range";
	value.end = rest.at;
	if (!problem) {
		feed_add(feed, line, value, &item);
		return;
	}
	rest.at = value.at;
	feed_bad(feed, line, next_word(&rest), problem);
}

/* Whether a word stands among the options, comment "..." apart. */
static bool has_option(struct text options, const char *wanted)
{
	while (options.at < options.end) {
		struct text word = next_word(&options);

		if (text_is(word, wanted))
			return true;
		if (!text_is(word, "comment"))
			continue;
		skip_blanks(&options);
		if (options.at < options.end && *options.at == '"') {
			do
				options.at++;
			while (options.at < options.end && *options.at != '"');
			options.at += options.at < options.end;
		} else {
			next_word(&options);
		}
	}
	return false;
}

/* add NAME ELEMENT [timeout N] [comment "..."]; create lines only announce a set. */
void feed_ipset_line(struct feed *feed, struct text line)
{
	struct text rest = line, verb = next_word(&rest), element;

	if (verb.at == verb.end || is_comment(*verb.at) || text_is(verb, "create") || text_is(verb, "COMMIT"))
		return;
	if (!text_is(verb, "add")) {
		feed_bad(feed, line, verb, "not a line of `ipset save` (create ..., add NAME ELEMENT ...)");
		return;
	}
	next_word(&rest);
	element = next_word(&rest);
	if (has_option(rest, "nomatch"))
		feed_bad(feed, line, element, "an exception (nomatch) cannot be part of a feed");
	else if (__builtin_memchr(element.at, ',', (size_t)(element.end - element.at)))
		feed_bad(feed, line, element, "a set of more than addresses (hash:ip, hash:net) cannot be a feed");
	else
		feed_add_text(feed, line, element);
}
