/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark doctor: what this host can do, and what would happen on attach. Changes nothing. */
#include <stdarg.h>
#include <string.h>

#include "doctor.h"
#include "verb_common.h"

static const char *const level_names[] = {"ok", "note", "warning", "problem"};

void doctor_say(struct doctor *doctor, enum level level, const char *about, const char *remedy, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	doctor->problems += level == LEVEL_PROBLEM;
	json_array_append_new(doctor->findings, json_pack("{s:s, s:s, s:s, s:s?}", "level", level_names[level], "about",
							  about, "text", text, "remedy", remedy));
}

static void print_findings(const json_t *findings)
{
	const char *before = "";
	json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
	{
		const char *about = json_string_value(json_object_get(finding, "about"));
		const char *remedy = json_string_value(json_object_get(finding, "remedy"));

		if (strcmp(about, before))
			printf("%s\n", about);
		before = about;
		printf("  %-8s %s\n", json_string_value(json_object_get(finding, "level")),
		       json_string_value(json_object_get(finding, "text")));
		if (remedy)
			printf("  %-8s -> %s\n", "", remedy);
	}
}

static void print_costs(const json_t *costs)
{
	json_t *cost;
	size_t i;

	if (json_array_size(costs))
		puts("cost on this host: one CPU, without the driver, a table standing for this host's sockets");
	json_array_foreach(costs, i, cost)
	{
		printf("  %-30s %3lld ns, %lld more than a program that does nothing\n",
		       json_string_value(json_object_get(cost, "packet")),
		       (long long)json_integer_value(json_object_get(cost, "ns")),
		       (long long)json_integer_value(json_object_get(cost, "over_bare_ns")));
	}
}

static int print_answer(struct doctor *doctor)
{
	int status = doctor->problems ? EXIT_ANSWER_NO : EXIT_DONE;

	if (doctor->context->json)
		return print_json(json_pack("{s:b, s:O, s:O}", "ready", !doctor->problems, "findings", doctor->findings,
					    "cost", doctor->costs))
			       ? EXIT_SYSTEM
			       : status;
	print_findings(doctor->findings);
	print_costs(doctor->costs);
	return status;
}

static int examine(struct doctor *doctor, const char *name)
{
	const struct host_link *link = name ? host_link_by_name(&doctor->host, name) : NULL;

	if (name && !link)
		return fail(EXIT_USAGE, "doctor: this host has no interface '%s'", name);
	doctor_host(doctor);
	if (link)
		doctor_interface(doctor, link);
	for (size_t i = 0; !link && i < doctor->host.link_count; i++)
		if (doctor->host.links[i].up && !doctor->host.links[i].loopback)
			doctor_interface(doctor, &doctor->host.links[i]);
	doctor_cost(doctor);
	return print_answer(doctor);
}

int verb_doctor(struct context *context, int argc, char **argv)
{
	struct doctor doctor = {.context = context, .findings = json_array(), .costs = json_array()};
	struct report report = {};
	const char *name;
	int status = only_operand(context, argc, argv, &name);

	if (!status) {
		if (instance_open(&context->places, OPEN_READ, &doctor.instance))
			doctor.instance = NULL;
		host_read(&doctor.host, &report);
		report_print(&report, stderr);
		report_free(&report);
		status = examine(&doctor, name);
		host_free(&doctor.host);
		instance_close(doctor.instance);
	}
	json_decref(doctor.findings);
	json_decref(doctor.costs);
	return status;
}
