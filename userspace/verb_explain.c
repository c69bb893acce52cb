/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* explain: packets through the real compiled program, with private state and the capture's own clock. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "saved.h"
#include "verb_common.h"

/* ---- what is asked ---- */

static int add_packet(struct explain *explain, const char *text)
{
	const char **packets = reallocarray(explain->packets, explain->packet_count + 1, sizeof(*packets));

	if (!packets)
		return fail(EXIT_SYSTEM, "explain: out of memory");
	explain->packets = packets;
	packets[explain->packet_count++] = text;
	return EXIT_DONE;
}

/* "ADDR" or "ADDR,ADDR" */
static int add_own(struct explain *explain, const char *text)
{
	char *copy = strdup(text), *save = NULL;
	int status = copy ? EXIT_DONE : fail(EXIT_SYSTEM, "explain: out of memory");

	for (char *word = copy ? strtok_r(copy, ",", &save) : NULL; word && status == EXIT_DONE;
	     word = strtok_r(NULL, ",", &save)) {
		struct prefix *to = reallocarray(explain->to, explain->to_count + 1, sizeof(*to));

		if (!to) {
			status = fail(EXIT_SYSTEM, "explain: out of memory");
			break;
		}
		explain->to = to;
		if (prefix_parse(word, &to[explain->to_count]) || to[explain->to_count].length != 128)
			status = fail(EXIT_USAGE, "explain: --to '%s': an address of this host was expected", word);
		else
			explain->to_count++;
	}
	free(copy);
	return status;
}

static int read_option(struct explain *explain, int option, const char *value)
{
	switch (option) {
	case 'p':
		return add_packet(explain, value);
	case 'f':
		explain->pcap = value;
		return EXIT_DONE;
	case 'P':
		explain->policy_path = value;
		return EXIT_DONE;
	case 't':
		return add_own(explain, value);
	case 'z':
		explain->zone = value;
		return EXIT_DONE;
	case 's':
		explain->summarize = true;
		return EXIT_DONE;
	default:
		return EXIT_USAGE;
	}
}

static int read_arguments(struct explain *explain, int argc, char **argv)
{
	int option, status = EXIT_DONE;
	const char *value;

	while (status == EXIT_DONE && (option = next_option(explain->context, argc, argv, &value)) != OPTIONS_END)
		status = read_option(explain, option, value);
	/* --to takes several addresses: those behind it come as operands */
	for (int i = optind; status == EXIT_DONE && i < argc; i++) {
		if (!explain->to_count)
			return fail_usage(explain->context, "'%s' is one argument too many", argv[i]);
		status = add_own(explain, argv[i]);
	}
	if (status != EXIT_DONE)
		return status;
	if (!explain->pcap && !explain->packet_count)
		return fail_usage(explain->context, "--packet TEXT or --pcap FILE is missing");
	if (explain->pcap && explain->packet_count)
		return fail_usage(explain->context, "--packet and --pcap exclude each other");
	return EXIT_DONE;
}

/* ---- the policy, compiled ---- */

/* Gives the first rule of this kind and name that has no place yet this one. */
static void name_place(struct image *image, const char *kind, const char *name, const char *place)
{
	for (size_t i = 1; i < image->rule_count; i++) {
		struct rule *rule = &image->rules[i];

		if (rule->place || strcmp(rule_kind_name(rule->kind), kind) || strcmp(rule->name, name))
			continue;
		rule->place = strdup(place);
		return;
	}
}

/* What is saved is canonical text, in which the entries keep their order; rules are named by the places of the file
 * that was applied. */
static void name_places(struct explain *explain, json_t *description)
{
	json_t *rules = json_object_get(description, "rules"), *told;
	struct image *image = &explain->image;
	size_t at;

	explain->line_places = rules ? calloc(image->rule_count, sizeof(*explain->line_places)) : NULL;
	for (size_t i = 0; explain->line_places && i < image->rule_count; i++) {
		explain->line_places[i] = image->rules[i].place;
		image->rules[i].place = NULL;
	}
	json_array_foreach(rules, at, told)
	{
		const char *kind = json_string_value(json_object_get(told, "kind"));
		const char *name = json_string_value(json_object_get(told, "name"));
		const char *place = json_string_value(json_object_get(told, "place"));

		if (explain->line_places && kind && name && place)
			name_place(image, kind, name, place);
	}
}

static int live_policy(struct explain *explain, unsigned *generation, struct report *report)
{
	struct instance *instance = NULL;
	int status = open_instance(explain->context, OPEN_READ, &instance);

	if (status != EXIT_DONE)
		return status;
	status = live_generation(instance, generation);
	instance_close(instance);
	if (status != EXIT_DONE)
		return status;
	if (!*generation)
		return fail(EXIT_ANSWER_NO, "explain: no policy is live; name one with --policy FILE");
	explain->policy = saved_policy(&explain->context->places, *generation, report);
	return EXIT_DONE;
}

static int note_own(struct explain *explain, const struct host *host)
{
	explain->own = calloc(host->address_count + 1, sizeof(*explain->own));
	if (!explain->own)
		return -ENOMEM;
	for (size_t i = 0; i < host->address_count; i++)
		explain->own[explain->own_count++] = host->addresses[i].address;
	return 0;
}

/* --to says who this host is; else the live policy is judged as this host, and another as nobody in particular. */
static int compile_for(struct explain *explain, struct report *report)
{
	struct host host = {0};
	int err;

	if (!explain->policy_path && !explain->to_count) {
		err = host_read(&host, report);
		err = err ? err : image_compile(explain->policy, &host, &explain->image, report);
		if (!err && explain->packet_count)
			err = note_own(explain, &host);
		host_free(&host);
		return err;
	}
	host.addresses = calloc(explain->to_count + 1, sizeof(*host.addresses));
	if (!host.addresses)
		return -ENOMEM;
	for (size_t i = 0; i < explain->to_count; i++)
		host.addresses[i].address = host.addresses[i].on_link = explain->to[i];
	host.address_count = explain->to_count;
	err = image_compile(explain->policy, explain->to_count ? &host : NULL, &explain->image, report);
	free(host.addresses);
	return err;
}

static int load_policy(struct explain *explain, struct report *report)
{
	unsigned generation = 0;
	json_t *description;
	int status = EXIT_DONE;

	if (explain->policy_path)
		explain->policy = policy_read(explain->policy_path, report);
	else
		status = live_policy(explain, &generation, report);
	if (status != EXIT_DONE)
		return status;
	if (explain->policy)
		policy_check(explain->policy, report);
	if (!explain->policy || report->errors || compile_for(explain, report))
		return EXIT_USAGE;
	description = generation ? saved_description(&explain->context->places, generation) : NULL;
	if (description)
		name_places(explain, description);
	json_decref(description);
	return EXIT_DONE;
}

static int set_zone(const struct explain *explain)
{
	unsigned zone = explain->zone ? policy_zone_by_name(explain->policy, explain->zone) : 0;

	if (explain->zone && !zone)
		return fail(EXIT_USAGE, "explain: --zone '%s': the policy has no zone of that name", explain->zone);
	generation_zone(explain->offline, zone);
	return EXIT_DONE;
}

static int load(struct explain *explain)
{
	struct report report = {0};
	int status = load_policy(explain, &report), err;

	report_print(&report, stderr);
	report_free(&report);
	if (status != EXIT_DONE)
		return status;
	explain->connections = connections_new();
	explain->summary = summary_new();
	if (!explain->connections || !explain->summary)
		return fail(EXIT_SYSTEM, "explain: out of memory");
	err = generation_load(&explain->image, NULL, &explain->offline);
	if (loading_denied(err))
		return fail(EXIT_SYSTEM,
			    "explain: packets go through the real programs, and loading them needs CAP_BPF, "
			    "CAP_NET_ADMIN and CAP_PERFMON, or root");
	if (!err && explain->to_count)
		err = generation_own(explain->offline, explain->to, explain->to_count);
	return err ? fail_kernel(err, "explain") : EXIT_DONE;
}

int verb_explain(struct context *context, int argc, char **argv)
{
	struct explain explain = {.context = context};
	int status = read_arguments(&explain, argc, argv);

	if (status == EXIT_DONE)
		status = load(&explain);
	if (status == EXIT_DONE)
		status = set_zone(&explain);
	if (status == EXIT_DONE)
		status = explain.pcap ? explain_capture(&explain) : explain_packets(&explain);
	if (status == EXIT_DONE && explain.summarize)
		status = summary_print(&explain);
	else if (status == EXIT_DONE)
		explain_print_end(&explain);
	if (status == EXIT_DONE && (fflush(stdout) || ferror(stdout)))
		status = fail(EXIT_SYSTEM, "explain: standard output: %s", strerror(errno));
	generation_free(explain.offline);
	connections_free(explain.connections);
	summary_free(explain.summary);
	for (size_t i = 0; explain.line_places && i < explain.image.rule_count; i++)
		free(explain.line_places[i]);
	free(explain.line_places);
	image_free(&explain.image);
	policy_free(explain.policy);
	free(explain.packets);
	free(explain.to);
	free(explain.own);
	free(explain.whole);
	return status;
}
