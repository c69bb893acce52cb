/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an apply did, for people and as JSON. */
#include "apply.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

#define CUTS_SHOWN 5
#define PEERS_SHOWN 5
#define PEERS_TOLD 1000 /* by --json */

void apply_note(struct apply *apply, const char *format, ...)
{
	va_list arguments;
	char text[768];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(apply->notes, json_string(text));
}

void hash_text(const __u8 hash[32], char text[65])
{
	for (int i = 0; i < 32; i++)
		sprintf(text + 2 * i, "%02x", hash[i]);
}

const char *mode_text(const struct attachment *attachment, char *buffer, size_t size)
{
	if (attachment->native)
		snprintf(buffer, size, "native");
	else
		snprintf(buffer, size, "generic: %s", attachment->why_generic);
	return buffer;
}

json_t *apply_lists(const struct image *image)
{
	json_t *lists = json_array();

	for (size_t i = 0; i < image->list_count; i++) {
		const struct image_list *list = &image->lists[i];

		json_array_append_new(lists, json_pack("{s:i, s:s, s:s?, s:I, s:I, s:I, s:I}", "number", (int)i, "name",
						       list->name, "feed", list->feed, "v4", (json_int_t)list->v4, "v6",
						       (json_int_t)list->v6, "cut", (json_int_t)list->cut, "feed_mtime",
						       (json_int_t)list->feed_mtime));
	}
	return lists;
}

static json_t *interfaces_json(const struct apply *apply)
{
	json_t *interfaces = json_array();
	char mode[192];

	for (size_t i = 0; i < apply->link_count; i++) {
		json_t *one = json_pack("{s:s}", "name", apply->links[i]->name);

		if (apply->attached)
			json_object_set_new(one, "mode",
					    json_string(mode_text(&apply->attached[i], mode, sizeof(mode))));
		json_array_append_new(interfaces, one);
	}
	return interfaces;
}

static const char *result_word(const struct apply *apply)
{
	if (apply->unchanged)
		return "unchanged";
	return apply->request->dry_run ? "would-apply" : "live";
}

static json_t *cuts_json(const struct apply *apply)
{
	const struct cuts *cuts = &apply->image.cuts;
	json_t *array = json_array();
	char feed[PREFIX_TEXT], hole[PREFIX_TEXT];

	for (size_t i = 0; i < cuts->count && i < CUTS_TOLD; i++)
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:s}", "feed", prefix_text(&cuts->items[i].feed_prefix, feed),
					 "cut", prefix_text(&cuts->items[i].hole, hole), "why", cuts->items[i].why));
	return array;
}

static bool is_refused_peer(const struct guard_finding *finding)
{
	return finding->who == GUARD_PEER && !finding->open;
}

static json_t *peers_json(const struct apply *apply)
{
	json_t *peers = json_array();
	char address[PREFIX_TEXT];

	for (size_t i = 0; i < apply->finding_count && json_array_size(peers) < PEERS_TOLD; i++) {
		const struct guard_finding *finding = &apply->findings[i];

		if (is_refused_peer(finding))
			json_array_append_new(peers,
					      json_pack("{s:s, s:i, s:i, s:s}", "address",
							prefix_text(&finding->source, address), "port",
							(int)finding->port, "connections", (int)finding->more + 1,
							"reason", reason_name(finding->decision.reason)));
	}
	return peers;
}

static int say_json(const struct apply *apply)
{
	char hash[65];
	json_t *all;

	hash_text(apply->image.policy_hash, hash);
	all = json_pack("{s:s, s:i, s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:i, s:i, s:O}", "result",
			result_word(apply), "generation", (int)apply->number, "from", (int)apply->live, "policy_path",
			apply->request->source, "hash", hash, "monitor", apply->request->policy->monitor, "interfaces",
			interfaces_json(apply), "lists", apply_lists(&apply->image), "cuts", cuts_json(apply),
			"cut_count", (int)apply->image.cuts.count, "tests_passed", (int)apply->tests, "refused_peers",
			(int)apply_refused_peers(apply), "peers", peers_json(apply), "cut_connections", (int)apply->cut,
			"confirm_s", (int)(apply->request->confirm_ns / 1000000000), "notes", apply->notes);
	return print_json(all);
}

/* ---- for people ---- */

static void say_head(const struct apply *apply)
{
	char mode[192];

	if (apply->unchanged)
		printf("unchanged: generation %u", apply->number);
	else if (apply->request->dry_run)
		printf("would be applied: %s", apply->request->source);
	else
		printf("generation %u live", apply->number);
	for (size_t i = 0; i < apply->link_count; i++) {
		printf("%s %s", i ? "," : " on", apply->links[i]->name);
		if (apply->attached)
			printf(" (%s)", mode_text(&apply->attached[i], mode, sizeof(mode)));
	}
	printf("%s\n", apply->request->policy->monitor ? "; MONITOR: decides and counts, drops nothing" : "");
}

static void say_lists(const struct apply *apply)
{
	for (size_t i = 0; i < apply->image.list_count; i++) {
		const struct image_list *list = &apply->image.lists[i];

		printf("  list %s: %zu IPv4, %zu IPv6 prefixes", list->name, list->v4, list->v6);
		if (list->feed)
			printf(" from %s", list->feed);
		if (list->cut)
			printf(", %zu cut around", list->cut);
		putchar('\n');
	}
}

static void say_cuts(const struct apply *apply)
{
	const struct cuts *cuts = &apply->image.cuts;
	char feed[PREFIX_TEXT], hole[PREFIX_TEXT];

	for (size_t i = 0; i < cuts->count && i < CUTS_SHOWN; i++)
		printf("  cut %s out of a feed's %s: %s\n", prefix_text(&cuts->items[i].hole, hole),
		       prefix_text(&cuts->items[i].feed_prefix, feed), cuts->items[i].why);
	if (cuts->count > CUTS_SHOWN)
		printf("  and %zu more cuts (--json names %d)\n", cuts->count - CUTS_SHOWN, CUTS_TOLD);
}

static void say_peers(const struct apply *apply)
{
	size_t total = apply_refused_peers(apply), shown = 0;
	char address[PREFIX_TEXT];

	if (apply->cut)
		printf("  %zu open connection%s ended%s", apply->cut, apply->cut == 1 ? "" : "s", total ? ":" : "");
	else if (total)
		printf("  %zu open connection%s stay%s, but could not be opened anew:", total, total == 1 ? "" : "s",
		       total == 1 ? "s" : "");
	for (size_t i = 0; i < apply->finding_count && shown < PEERS_SHOWN; i++) {
		const struct guard_finding *finding = &apply->findings[i];

		if (is_refused_peer(finding))
			printf("%s %s to port %u (%s)", shown++ ? "," : "", prefix_text(&finding->source, address),
			       finding->port, reason_name(finding->decision.reason));
	}
	if (apply->cut || total)
		putchar('\n');
}

int apply_say(struct apply *apply)
{
	const struct apply_request *request = apply->request;
	json_t *note;
	size_t i;

	if (apply->context->json)
		return say_json(apply);
	say_head(apply);
	if (!apply->unchanged) {
		say_lists(apply);
		say_cuts(apply);
		if (apply->tests)
			printf("  %zu test%s of the policy passed\n", apply->tests, apply->tests == 1 ? "" : "s");
	}
	say_peers(apply);
	json_array_foreach(apply->notes, i, note) printf("  note: %s\n", json_string_value(note));
	if (request->confirm_ns && !request->dry_run && !apply->unchanged)
		printf("PENDING: in %llu s the kernel goes back to %s unless `bulwark confirm` comes\n",
		       (unsigned long long)request->confirm_ns / 1000000000,
		       apply->live ? "the previous generation" : "no policy");
	return EXIT_DONE;
}
