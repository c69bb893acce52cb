/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark lookup: everything that concerns an address, and what would become of its next SYN. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "host_senders.h"
#include "judge.h"
#include "live.h"
#include "packet_flow.h"
#include "verb_common.h"
#include "zones.h"

#define CLIENT_PORT 40000 /* any: no verdict depends on the source port of a SYN */

struct lookup {
	const struct context *context;
	struct live live;
	struct host host;
	struct prefix address;
	const char *destination; /* "192.0.2.10:443", or NULL */
	bool banned, allowed;
};

static json_t *lists_of(const struct lookup *lookup, const struct class_entry *class)
{
	json_t *lists = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(lookup->live.description, "lists"), i, entry)
	{
		json_int_t number = json_integer_value(json_object_get(entry, "number"));
		const char *name = json_string_value(json_object_get(entry, "name"));
		json_t *feed = json_object_get(entry, "feed");

		if (number < 0 || number >= LISTS_MAX || !name || !(class->lists >> number & 1))
			continue;
		json_array_append_new(lists, json_pack("{s:s, s:O?, s:o}", "name", name, "feed", feed, "used_for",
						       live_roles(lookup->live.policy, name)));
	}
	return lists;
}

/* The longest ban and allow that cover the address are those that the kernel decides by. */
static int put_holds(struct lookup *lookup, json_t *answer)
{
	const struct hold_row *ban = NULL, *allow = NULL;
	struct hold_row *rows = NULL;
	__u64 now = boottime_ns();
	char text[PREFIX_TEXT];
	size_t count = 0;
	int error = holds_read(lookup->live.instance, &rows, &count);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].prefix.length > lookup->address.length || !prefixes_meet(&rows[i].prefix, &lookup->address))
			continue;
		if (rows[i].hold.ban_until_ns > now && (!ban || ban->prefix.length < rows[i].prefix.length))
			ban = &rows[i];
		if (rows[i].hold.allow_until_ns > now && (!allow || allow->prefix.length < rows[i].prefix.length))
			allow = &rows[i];
	}
	lookup->banned = ban;
	lookup->allowed = allow;
	json_object_set_new(answer, "ban",
			    !ban ? json_null()
				 : json_pack("{s:s, s:I, s:s, s:s}", "address", prefix_text(&ban->prefix, text),
					     "left_s", (json_int_t)((ban->hold.ban_until_ns - now) / 1000000000),
					     "origin", ban->note.ban_origin, "reason", ban->note.ban_reason));
	json_object_set_new(answer, "allow",
			    !allow ? json_null()
				   : json_pack("{s:s, s:I, s:s, s:s}", "address", prefix_text(&allow->prefix, text),
					       "left_s", (json_int_t)((allow->hold.allow_until_ns - now) / 1000000000),
					       "by", allow->note.allow_by, "reason", allow->note.allow_reason));
	free(rows);
	return error;
}

static json_t *end_text(const __u8 address[16], unsigned port)
{
	struct prefix prefix = {.length = 128};
	char text[PREFIX_TEXT];

	memcpy(prefix.address, address, 16);
	prefix_text(&prefix, text);
	return json_sprintf(strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
}

static json_t *connections_of(const struct lookup *lookup)
{
	json_t *connections = json_array();

	for (size_t i = 0; i < lookup->host.peer_count; i++) {
		const struct host_peer *peer = &lookup->host.peers[i];

		if (memcmp(peer->remote, lookup->address.address, 16))
			continue;
		json_array_append_new(connections,
				      json_pack("{s:o, s:o, s:s}", "local", end_text(peer->local, peer->local_port),
						"remote", end_text(peer->remote, peer->remote_port), "direction",
						peer->outbound ? "outbound" : "inbound"));
	}
	return connections;
}

struct senders {
	const struct lookup *lookup;
	json_t *connections;
	struct slow_table *table; /* of this one look: what takes several to see is not in its verdicts */
};

static json_t *connection_find(const struct senders *senders, const struct host_peer *peer)
{
	json_t *local = end_text(peer->local, peer->local_port), *remote = end_text(peer->remote, peer->remote_port);
	json_t *entry, *found = NULL;
	size_t i;

	json_array_foreach(senders->connections, i, entry)
	{
		if (json_equal(json_object_get(entry, "local"), local) &&
		    json_equal(json_object_get(entry, "remote"), remote))
			found = entry;
	}
	json_decref(local);
	json_decref(remote);
	return found;
}

static int put_sender(void *arg, const struct host_sender *sender)
{
	const struct slow_sight *sight = &sender->sight;
	const struct senders *senders = arg;
	struct slow_verdict verdict;
	json_t *connection;

	if (memcmp(sender->peer.remote, senders->lookup->address.address, 16))
		return 0;
	connection = connection_find(senders, &sender->peer);
	if (!connection || slow_see(senders->table, sight, 0, &verdict))
		return 0;
	json_object_update_new(connection,
			       json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "received", (json_int_t)sight->received,
					 "sent", (json_int_t)sight->sent, "since_received_ms",
					 (json_int_t)sight->since_received_ms, "since_sent_ms",
					 (json_int_t)sight->since_sent_ms, "silent_ms", (json_int_t)verdict.slow_ms,
					 "unanswered_ms", (json_int_t)verdict.unanswered_ms));
	return 0;
}

/* What `idle-request` judges: how much came in each connection, and when. Where connections cannot be read, which has
 * been said, there are none to ask about. */
static int put_senders(const struct lookup *lookup, json_t *answer)
{
	struct senders senders = {.lookup = lookup, .connections = json_object_get(answer, "connections")};
	int error;

	if (!json_array_size(senders.connections))
		return 0;
	senders.table = slow_new();
	error = senders.table ? slow_begin(senders.table) : -ENOMEM;
	if (!error)
		error = host_senders(put_sender, &senders);
	slow_free(senders.table);
	return error;
}

/* What it owes of a limit per source or prefix; nobody owes what he has not lately spent. */
static int put_limits(struct lookup *lookup, json_t *answer)
{
	static const char *const kinds[] = {[LIMIT_PACKETS] = "packets",
					    [LIMIT_BYTES] = "bytes",
					    [LIMIT_NEW_CONNECTIONS] = "new-connections",
					    [LIMIT_CONNECTIONS] = "connections"};
	struct limit_state *states = NULL;
	json_t *limits = json_array();
	char rule[256];
	size_t count;
	int error = live_limits(lookup->live.instance, &lookup->address, &states, &count);

	for (size_t i = 0; !error && i < count; i++) {
		json_t *limit =
			json_pack("{s:s, s:s?, s:s?, s:s, s:f, s:b}", "service", states[i].service, "counts",
				  states[i].kind < sizeof(kinds) / sizeof(*kinds) ? kinds[states[i].kind] : NULL,
				  "rule", live_rule(&lookup->live, states[i].rule, rule, sizeof(rule)), "of",
				  states[i].proven ? "open connections" : "unproven packets", "spent", states[i].spent,
				  "over", states[i].over);

		if (states[i].kind == LIMIT_CONNECTIONS)
			json_object_update_new(limit, json_pack("{s:I, s:I}", "open", (json_int_t)states[i].open,
								"most", (json_int_t)states[i].most));
		json_array_append_new(limits, limit);
	}
	json_object_set_new(answer, "limits", limits);
	free(states);
	return error;
}

/* ---- the next SYN ---- */

/* By the zone of the own address that it is for. */
static int zone_set(const struct lookup *lookup, const struct frame *frame, struct generation *offline)
{
	struct zone_member *members = NULL;
	struct packet_flow flow = {};
	size_t count = 0;
	int error = zones_resolve(lookup->live.policy, &lookup->host, &members, &count, NULL);

	packet_flow(frame->bytes, frame->length, frame->length, &flow);
	if (!error)
		generation_zone(offline, zone_of_address(&lookup->host, members, count, flow.destination));
	free(members);
	return error;
}

static int judge_frame(struct lookup *lookup, const struct frame *frame, const struct image *image,
		       struct decision *decision)
{
	struct prefix *own = calloc(lookup->host.address_count + 1, sizeof(*own));
	struct generation *offline = NULL;
	int error = own ? generation_load((struct image *)image, NULL, &offline) : -ENOMEM;

	for (size_t i = 0; own && i < lookup->host.address_count; i++)
		own[i] = lookup->host.addresses[i].address;
	if (!error)
		error = generation_own(offline, own, lookup->host.address_count);
	if (!error)
		error = zone_set(lookup, frame, offline);
	if (!error)
		error = generation_judge(offline, frame->bytes, frame->length, boottime_ns(), decision);
	generation_free(offline);
	free(own);
	return error;
}

/* Bans and exceptions are state of the live kernel side, which an offline generation does not have: they are put where
 * the order of judgement has them, after trust and before the lists. */
static int judge(struct lookup *lookup, const struct frame *frame, struct decision *decision, char service[64])
{
	struct report report = {};
	struct image image = {};
	int error;

	/* Outbound only, not gone: the rules behind keep their numbers. */
	for (size_t i = 0; lookup->allowed && i < lookup->live.policy->block.count; i++)
		lookup->live.policy->block.items[i].direction = DIRECTION_OUT;
	error = image_compile(lookup->live.policy, &lookup->host, &image, &report);
	report_print(&report, stderr);
	report_free(&report);
	if (!error)
		error = judge_frame(lookup, frame, &image, decision);
	if (!error && decision->service && decision->service < image.service_count)
		snprintf(service, 64, "%s", image.service_names[decision->service]);
	image_free(&image);
	if (error || decision->reason == REASON_TRUSTED || lookup->allowed || !lookup->banned)
		return error;
	decision->verdict = VERDICT_DROP;
	decision->reason = REASON_BANNED;
	decision->rule = decision->would = 0;
	*service = 0;
	return 0;
}

static void put_pause(const struct lookup *lookup, struct decision *decision, char *service)
{
	if (lookup->live.control.active != SLOT_PAUSED)
		return;
	decision->verdict = VERDICT_PASS;
	decision->reason = REASON_PAUSED;
	decision->rule = decision->would = 0;
	*service = 0;
}

static int put_verdict(struct lookup *lookup, json_t *answer)
{
	char source[PREFIX_TEXT], text[256], words[256], rule[256];
	struct decision decision = {};
	char service[64] = "";
	const char *named;
	struct frame frame;
	int error;

	prefix_text(&lookup->address, source);
	snprintf(text, sizeof(text), prefix_is_v4(&lookup->address) ? "tcp %s:%u > %s syn" : "tcp [%s]:%u > %s syn",
		 source, CLIENT_PORT, lookup->destination);
	if (packet_text(text, &frame, words, sizeof(words)))
		return fail(EXIT_USAGE, "lookup: %s: %s", lookup->destination, words);
	error = judge(lookup, &frame, &decision, service);
	if (error)
		return fail_kernel(error, "lookup");
	put_pause(lookup, &decision, service);
	named = decision.rule ? live_rule(&lookup->live, decision.rule, rule, sizeof(rule)) : NULL;
	json_object_set_new(answer, "next_syn",
			    json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s}", "destination", lookup->destination,
				      "verdict", verdict_name(decision.verdict), "reason", reason_name(decision.reason),
				      "would_drop", decision.would ? reason_name(decision.would) : NULL, "service",
				      *service ? service : NULL, "rule", named, "because",
				      reason_sentence(decision.reason)));
	return EXIT_DONE;
}

/* ---- for people ---- */

static const char *word(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void print_lists(const json_t *lists)
{
	json_t *entry, *role;
	size_t i, n;

	if (!json_array_size(lists))
		puts("lists:        none");
	json_array_foreach((json_t *)lists, i, entry)
	{
		printf("%-13s %s", i ? "" : "lists:", word(entry, "name"));
		json_array_foreach(json_object_get(entry, "used_for"), n, role)
			printf("%s%s", n ? ", " : ": ", json_string_value(role));
		if (word(entry, "feed"))
			printf(" (feed %s)", word(entry, "feed"));
		putchar('\n');
	}
}

static void print_hold(const char *what, const json_t *hold, const char *who)
{
	char time[32];

	if (!json_is_object(hold)) {
		printf("%-13s no\n", what);
		return;
	}
	printf("%-13s %s, %s left, by %s", what, word(hold, "address"),
	       text_seconds(json_object_get(hold, "left_s"), time, sizeof(time)), word(hold, who));
	if (*word(hold, "reason"))
		printf(": %s", word(hold, "reason"));
	putchar('\n');
}

static void print_limit(const char *what, const json_t *limit)
{
	const char *over = json_is_true(json_object_get(limit, "over")) ? ": the next one is too much" : "";

	if (json_object_get(limit, "most"))
		printf("%-13s %s, connections: %lld open of at most %lld%s\n", what, word(limit, "service"),
		       json_integer_value(json_object_get(limit, "open")),
		       json_integer_value(json_object_get(limit, "most")), over);
	else
		printf("%-13s %s, %s of its %s: %.0f %% of the burst spent%s\n", what, word(limit, "service"),
		       word(limit, "counts") ?: "-", word(limit, "of"),
		       100 * json_real_value(json_object_get(limit, "spent")), over);
}

static void print_connection(const char *what, const json_t *connection)
{
	json_int_t silent_ms = json_integer_value(json_object_get(connection, "silent_ms"));
	json_int_t unanswered_ms = json_integer_value(json_object_get(connection, "unanswered_ms"));

	printf("%-13s %s %s %s", what, word(connection, "remote"),
	       !strcmp(word(connection, "direction"), "inbound") ? ">" : "<", word(connection, "local"));
	if (json_object_get(connection, "received"))
		printf(": %lld bytes in, the last %.1f s ago, %lld out",
		       json_integer_value(json_object_get(connection, "received")),
		       json_integer_value(json_object_get(connection, "since_received_ms")) / 1e3,
		       json_integer_value(json_object_get(connection, "sent")));
	if (silent_ms)
		printf("; silent since its handshake, %.1f s", silent_ms / 1e3);
	else if (unanswered_ms)
		printf("; not answered for %.1f s", unanswered_ms / 1e3);
	putchar('\n');
}

static void print_answer(const json_t *answer)
{
	const json_t *syn = json_object_get(answer, "next_syn"), *entry;
	json_t *connections = json_object_get(answer, "connections");
	size_t i;

	printf("address:      %s\n", word(answer, "address"));
	print_lists(json_object_get(answer, "lists"));
	print_hold("ban:", json_object_get(answer, "ban"), "origin");
	print_hold("exception:", json_object_get(answer, "allow"), "by");
	json_array_foreach(json_object_get(answer, "limits"), i, entry) print_limit(i ? "" : "limits:", entry);
	if (!json_array_size(json_object_get(answer, "limits")))
		puts("limits:       owes nothing");
	if (!json_array_size(connections))
		puts("connections:  none");
	json_array_foreach(connections, i, entry) print_connection(i ? "" : "connections:", entry);
	if (!syn)
		return;
	printf("next SYN:     to %s: %s, %s (%s)\n", word(syn, "destination"), word(syn, "verdict"),
	       word(syn, "reason"), word(syn, "because"));
	if (word(syn, "would_drop"))
		printf("%-13s would be dropped if the rule did more than monitor: %s\n", "", word(syn, "would_drop"));
	if (word(syn, "service"))
		printf("%-13s service %s\n", "", word(syn, "service"));
	if (word(syn, "rule"))
		printf("%-13s by %s\n", "", word(syn, "rule"));
}

static int answer(struct lookup *lookup)
{
	struct class_entry class = {};
	char text[PREFIX_TEXT];
	json_t *answer;
	int error = live_class(lookup->live.instance, &lookup->address, &class), status = EXIT_DONE;

	if (error)
		return fail_kernel(error, "lookup");
	answer = json_pack("{s:s, s:o, s:o}", "address", prefix_text(&lookup->address, text), "lists",
			   lists_of(lookup, &class), "connections", connections_of(lookup));
	error = put_senders(lookup, answer);
	if (!error)
		error = put_holds(lookup, answer);
	if (!error)
		error = put_limits(lookup, answer);
	if (error)
		status = fail_kernel(error, "lookup");
	if (!status && lookup->destination)
		status = put_verdict(lookup, answer);
	if (!status && lookup->context->json)
		return print_json(answer);
	if (!status)
		print_answer(answer);
	json_decref(answer);
	return status;
}

static int read_operands(struct lookup *lookup, int argc, char **argv)
{
	const char *value;
	int status;

	if (next_option(lookup->context, argc, argv, &value) != OPTIONS_END)
		return EXIT_USAGE;
	if (argc == optind)
		return fail_usage(lookup->context, "ADDR is missing");
	if (argc - optind > 2)
		return fail_usage(lookup->context, "'%s' is one argument too many", argv[optind + 2]);
	status = read_prefix(lookup->context, argv[optind], &lookup->address);
	if (status)
		return status;
	if (lookup->address.length != 128)
		return fail(EXIT_USAGE, "lookup: '%s' is a prefix; a single address is looked up", argv[optind]);
	lookup->destination = argc - optind > 1 ? argv[optind + 1] : NULL;
	return EXIT_DONE;
}

int verb_lookup(struct context *context, int argc, char **argv)
{
	struct lookup lookup = {.context = context};
	struct report report = {};
	int status = read_operands(&lookup, argc, argv);

	if (!status)
		status = live_open(context, &lookup.live);
	if (status)
		return status;
	host_read(&lookup.host, &report);
	report_print(&report, stderr);
	report_free(&report);
	status = answer(&lookup);
	host_free(&lookup.host);
	live_close(&lookup.live);
	return status;
}
