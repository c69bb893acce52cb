/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The feed formats in JSON: lines of objects with a "cidr" (Spamhaus), and `nft -j list set`.
 *
 * A scanner that keeps nothing, not a tree: a set of a million elements needs no memory beyond its text, and an
 * error knows its line.
 */
#include "feed_parse.h"

#define DEPTH_MAX 32

struct json {
	struct text rest;
	const char *problem; /* the first thing wrong; nothing is read any more */
};

static bool fail(struct json *json, const char *problem)
{
	if (!json->problem)
		json->problem = problem;
	return false;
}

static void skip_space(struct json *json)
{
	struct text *rest = &json->rest;

	while (rest->at < rest->end && (is_blank(*rest->at) || *rest->at == '\n' || *rest->at == '\r'))
		rest->at++;
}

/* The next character that is no space, or 0. */
static char peek(struct json *json)
{
	skip_space(json);
	return json->problem || json->rest.at == json->rest.end ? 0 : *json->rest.at;
}

static bool unexpected(struct json *json)
{
	return fail(json, json->rest.at == json->rest.end ? "the text ends here, within an object"
							  : "not JSON as expected here");
}

static bool expect(struct json *json, char c)
{
	if (peek(json) != c)
		return unexpected(json);
	json->rest.at++;
	return true;
}

/* The characters between the quotes as they are written: an escape cannot be part of an address. */
static bool read_string(struct json *json, struct text *string)
{
	const char *at, *end = json->rest.end;

	if (!expect(json, '"'))
		return false;
	for (at = json->rest.at; at < end && *at != '"'; at++) {
		if ((unsigned char)*at < 0x20)
			return fail(json, "a control character in a string");
		if (*at == '\\' && ++at == end)
			break;
	}
	if (at == end)
		return fail(json, "a string that does not end");
	*string = (struct text){json->rest.at, at};
	json->rest.at = at + 1;
	return true;
}

static bool is_bare(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '+' || c == '-' || c == '.' || c == 'E';
}

/* A number, true, false, null. */
static bool read_bare(struct json *json, struct text *bare)
{
	peek(json);
	bare->at = json->rest.at;
	while (json->rest.at < json->rest.end && is_bare(*json->rest.at))
		json->rest.at++;
	bare->end = json->rest.at;
	return bare->at < bare->end || unexpected(json);
}

static bool read_unsigned(struct json *json, __u64 *number)
{
	struct text bare;

	if (!read_bare(json, &bare))
		return false;
	*number = 0;
	for (; bare.at < bare.end; bare.at++) {
		if (*bare.at < '0' || *bare.at > '9' || *number > 1ULL << 40)
			return fail(json, "not a number as expected here");
		*number = 10 * *number + (__u64)(*bare.at - '0');
	}
	return true;
}

/* Whether there is one more member or element before close; *first is true before the first one. */
static bool more(struct json *json, bool *first, char close)
{
	if (peek(json) == close) {
		json->rest.at++;
		return false;
	}
	if (!*first && !expect(json, ','))
		return false;
	*first = false;
	return !json->problem;
}

static bool next_member(struct json *json, bool *first, struct text *key)
{
	return more(json, first, '}') && read_string(json, key) && expect(json, ':');
}

static bool next_element(struct json *json, bool *first)
{
	return more(json, first, ']');
}

/* Any value, unread. Iterative: a hostile file cannot nest us to death. */
static void skip_value(struct json *json)
{
	char close[DEPTH_MAX];
	bool first[DEPTH_MAX];
	unsigned depth = 0;
	struct text unused;

	do {
		char c = peek(json);

		if (c == '{' || c == '[') {
			if (depth == DEPTH_MAX) {
				fail(json, "nested too deeply");
				return;
			}
			json->rest.at++;
			first[depth] = true;
			close[depth++] = c == '{' ? '}' : ']';
		} else if (c == '"') {
			read_string(json, &unused);
		} else {
			read_bare(json, &unused);
		}
		while (depth && !json->problem) {
			bool is_object = close[depth - 1] == '}';

			if (is_object ? next_member(json, &first[depth - 1], &unused)
				      : next_element(json, &first[depth - 1]))
				break;
			depth--;
		}
	} while (depth && !json->problem);
}

/* ---- lines of objects ---- */

struct record {
	struct text cidr, type;
	bool has_cidr;
	__u64 records;
};

static void read_record(struct json *json, struct record *record)
{
	struct text key;
	bool first = true;

	expect(json, '{');
	while (!json->problem && next_member(json, &first, &key)) {
		if (text_is(key, "cidr")) {
			if (record->has_cidr)
				fail(json, "\"cidr\" stands twice");
			record->has_cidr = read_string(json, &record->cidr);
		} else if (text_is(key, "type") && peek(json) == '"') {
			read_string(json, &record->type);
		} else if (text_is(key, "records")) {
			read_unsigned(json, &record->records);
		} else {
			skip_value(json);
		}
	}
	if (peek(json))
		fail(json, "something behind the object");
}

void feed_ndjson_line(struct feed *feed, struct text line)
{
	struct json json = {.rest = line};
	struct record record = {0};

	if (!peek(&json))
		return;
	read_record(&json, &record);
	if (json.problem)
		feed_bad(feed, line, (struct text){json.rest.at, line.end}, json.problem);
	else if (record.has_cidr)
		feed_add_text(feed, line, record.cidr);
	else if (text_is(record.type, "metadata"))
		feed->records = record.records;
	else
		feed_bad(feed, line, line, "an object without \"cidr\"");
}

/* ---- nft -j list set ---- */

/* An item put together from several strings of the file: {"addr", "len"} and ["first", "last"]. */
static void add_checked(struct feed *feed, struct text value, const char *problem, const struct item *item)
{
	if (problem)
		feed_bad(feed, value, value, problem);
	else
		feed_add(feed, value, value, item);
}

static const char *parse_address(struct text value, struct item *item)
{
	const char *problem = item_parse(&value, item);

	if (!problem && (value.at < value.end || item->range || item->length != (item->v4 ? 32 : 128)))
		problem = "not an address";
	return problem;
}

static void read_prefix(struct feed *feed, struct json *json)
{
	struct text key, address = {json->rest.at, json->rest.at};
	__u64 length = ~0ULL;
	struct item item;
	const char *problem;
	bool first = true;

	expect(json, '{');
	while (!json->problem && next_member(json, &first, &key)) {
		if (text_is(key, "addr"))
			read_string(json, &address);
		else if (text_is(key, "len"))
			read_unsigned(json, &length);
		else
			skip_value(json);
	}
	if (json->problem)
		return;
	problem = parse_address(address, &item);
	if (!problem && length > item.length)
		problem = "the length of the prefix does not fit its address";
	if (!problem)
		item.length = (unsigned)length;
	add_checked(feed, address, problem, &item);
}

static void read_range(struct feed *feed, struct json *json)
{
	struct text from, to;
	struct item item, last;
	const char *problem;

	if (!expect(json, '[') || !read_string(json, &from) || !expect(json, ',') || !read_string(json, &to) ||
	    !expect(json, ']'))
		return;
	problem = parse_address(from, &item);
	if (!problem)
		problem = parse_address(to, &last);
	if (!problem && (item.v4 != last.v4 || item.first > last.first))
		problem = "a range that ends before it starts";
	if (!problem) {
		item.last = last.first;
		item.range = true;
	}
	add_checked(feed, (struct text){from.at, to.end}, problem, &item);
}

/* "address", {"prefix": ...}, {"range": ...}, or {"elem": {"val": one of these, "timeout": ...}}. */
static void read_element(struct feed *feed, struct json *json, unsigned depth)
{
	struct text text = {json->rest.at, json->rest.at};
	bool first = true, known = false;

	if (peek(json) == '"') {
		if (read_string(json, &text))
			feed_add_text(feed, text, text);
		return;
	}
	expect(json, '{');
	while (!json->problem && next_member(json, &first, &text)) {
		if (text_is(text, "prefix"))
			read_prefix(feed, json);
		else if (text_is(text, "range"))
			read_range(feed, json);
		else if (depth < 2 && (text_is(text, "elem") || text_is(text, "val")))
			read_element(feed, json, depth + 1);
		else {
			skip_value(json);
			continue;
		}
		known = true;
	}
	if (!known && !json->problem)
		feed_bad(feed, text, text, "not an element of a set of addresses");
}

static void read_elements(struct feed *feed, struct json *json)
{
	bool first = true;

	expect(json, '[');
	while (!json->problem && next_element(json, &first))
		read_element(feed, json, 0);
}

/* {"set": {..., "elem": [...]}}; what else stands in a listing (metainfo, tables, chains) is none of ours. */
static void read_listed(struct feed *feed, struct json *json)
{
	struct text kind, key;
	bool first = true, first_member = true;

	expect(json, '{');
	while (!json->problem && next_member(json, &first, &kind)) {
		if (!text_is(kind, "set") && !text_is(kind, "element")) {
			skip_value(json);
			continue;
		}
		expect(json, '{');
		for (first_member = true; !json->problem && next_member(json, &first_member, &key);) {
			if (text_is(key, "elem"))
				read_elements(feed, json);
			else
				skip_value(json);
		}
	}
}

void feed_nft_json(struct feed *feed, struct text all)
{
	struct json json = {.rest = all};
	struct text key;
	bool first = true, first_listed = true;

	expect(&json, '{');
	while (!json.problem && next_member(&json, &first, &key)) {
		if (!text_is(key, "nftables")) {
			skip_value(&json);
			continue;
		}
		expect(&json, '[');
		for (first_listed = true; !json.problem && next_element(&json, &first_listed);)
			read_listed(feed, &json);
	}
	if (peek(&json))
		fail(&json, "something behind the object");
	if (json.problem)
		feed_bad(feed, all, (struct text){json.rest.at, all.end}, json.problem);
}
