/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check: everything that can be known of a policy without changing anything. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/socket.h>

#include "judge.h"
#include "output.h"

struct checked { /* one file */
	const char *path;
	struct report report;
	struct policy *policy;
	struct image image;
	bool compiled, loaded;
	size_t passed, failed;
	char not_loaded[512]; /* why the verifier was not asked */
	struct program_figures figures[HOOK_COUNT];
	enum exit_status status;
};

static void checked_free(struct checked *checked)
{
	if (checked->compiled)
		image_free(&checked->image);
	policy_free(checked->policy);
	report_free(&checked->report);
}

/* Loads it and runs its tests. Without privileges that is left out and said. */
static void check_by_kernel(struct checked *checked)
{
	struct generation *offline = NULL;
	size_t errors = checked->report.errors;
	int err = generation_load(&checked->image, NULL, &offline);

	if (err) {
		bool denied = loading_denied(err);

		snprintf(checked->not_loaded, sizeof(checked->not_loaded), "%s",
			 denied ? "loading programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root; "
				  "what can be known without is checked"
				: kernel_words());
		if (!denied)
			checked->status = EXIT_SYSTEM;
		return;
	}
	checked->loaded = true;
	err = generation_figures(offline, checked->figures);
	if (!err)
		err = judge_tests(checked->policy, &checked->image, offline, &checked->report, &checked->passed);
	if (err) {
		fail_kernel(err, checked->path);
		checked->status = EXIT_SYSTEM;
	}
	checked->failed = checked->report.errors - errors;
	if (checked->failed)
		checked->status = EXIT_ANSWER_NO;
	generation_free(offline);
}

static void check_file(struct checked *checked)
{
	checked->policy = policy_read(checked->path, &checked->report);
	if (checked->policy)
		policy_check(checked->policy, &checked->report);
	if (!checked->policy || checked->report.errors) {
		checked->status = EXIT_USAGE;
		return;
	}
	if (image_compile(checked->policy, NULL, &checked->image, &checked->report)) {
		checked->status = EXIT_USAGE;
		return;
	}
	checked->compiled = true;
	check_by_kernel(checked);
}

/* ---- what was found, as JSON ---- */

static json_t *findings_json(const struct report *report)
{
	static const char *const severities[] = {
		[SEVERITY_NOTE] = "note", [SEVERITY_WARNING] = "warning", [SEVERITY_ERROR] = "error"};
	json_t *findings = json_array();

	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = &report->findings[i];

		json_array_append_new(findings,
				      json_pack("{s:s, s:s?, s:i, s:i, s:s}", "severity", severities[finding->severity],
						"file", finding->at.file, "line", (int)finding->at.line, "column",
						(int)finding->at.column, "text", finding->text));
	}
	return findings;
}

static json_t *lists_json(const struct image *image)
{
	json_t *lists = json_array();

	for (size_t i = 0; i < image->list_count; i++) {
		const struct image_list *list = &image->lists[i];

		json_array_append_new(lists, json_pack("{s:s, s:s?, s:I, s:I, s:I}", "name", list->name, "feed",
						       list->feed, "v4", (json_int_t)list->v4, "v6",
						       (json_int_t)list->v6, "cut", (json_int_t)list->cut));
	}
	return lists;
}

static json_t *cuts_json(const struct cuts *cuts)
{
	json_t *told = json_array();

	for (size_t i = 0; i < cuts->count && i < CUTS_TOLD; i++) {
		char feed[PREFIX_TEXT], hole[PREFIX_TEXT];

		json_array_append_new(told,
				      json_pack("{s:s, s:s, s:s}", "feed-prefix",
						prefix_text(&cuts->items[i].feed_prefix, feed), "hole",
						prefix_text(&cuts->items[i].hole, hole), "why", cuts->items[i].why));
	}
	return told;
}

static json_t *programs_json(const struct checked *checked)
{
	json_t *programs = json_array();

	for (int i = 0; checked->loaded && i < HOOK_COUNT; i++)
		if (image_hooks(&checked->image) & 1u << i)
			json_array_append_new(programs,
					      json_pack("{s:s, s:i, s:i, s:i}", "name", checked->figures[i].name,
							"instructions", (int)checked->figures[i].instructions,
							"jited-bytes", (int)checked->figures[i].jited_bytes,
							"verified-instructions",
							(int)checked->figures[i].verified_instructions));
	return programs;
}

static json_t *checked_json(const struct checked *checked)
{
	static const char *const results[] = {"ok", "tests-failed", "policy-error", "refused"};
	json_t *file = json_pack("{s:s, s:s, s:o}", "file", checked->path, "result", results[checked->status],
				 "findings", findings_json(&checked->report));

	if (!checked->compiled)
		return file;
	json_object_set_new(file, "tests",
			    json_pack("{s:b, s:I, s:I}", "run", checked->loaded, "passed", (json_int_t)checked->passed,
				      "failed", (json_int_t)checked->failed));
	json_object_set_new(file, "services", json_integer(checked->policy->service_count));
	json_object_set_new(file, "lists", lists_json(&checked->image));
	json_object_set_new(file, "cuts", cuts_json(&checked->image.cuts));
	json_object_set_new(file, "table-bytes",
			    json_pack("{s:I, s:I}", "v4", (json_int_t)tables_bytes(&checked->image.tables, AF_INET),
				      "v6", (json_int_t)tables_bytes(&checked->image.tables, AF_INET6)));
	json_object_set_new(file, "loaded", json_boolean(checked->loaded));
	if (!checked->loaded)
		json_object_set_new(file, "not-loaded", json_string(checked->not_loaded));
	json_object_set_new(file, "programs", programs_json(checked));
	return file;
}

/* ---- and for people ---- */

static void print_tests(const struct checked *checked)
{
	size_t count = checked->policy->test_count;

	if (!checked->loaded)
		printf("not loaded into the verifier%s\n", count ? ", tests not run" : "");
	else if (checked->failed)
		printf("%zu of %zu tests failed\n", checked->failed, count);
	else if (count)
		printf("%zu %s passed\n", count, plural(count, "test", "tests"));
	else
		printf("no tests\n");
}

static void print_cuts(const struct cuts *cuts)
{
	for (size_t i = 0; i < cuts->count && i < CUTS_TOLD; i++) {
		const struct cut *cut = &cuts->items[i];
		char feed[PREFIX_TEXT], hole[PREFIX_TEXT];

		printf("  cut: %s out of %s (%s)\n", prefix_text(&cut->hole, hole),
		       prefix_text(&cut->feed_prefix, feed), cut->why);
	}
	if (cuts->count > CUTS_TOLD)
		printf("  cut: and %zu more\n", cuts->count - CUTS_TOLD);
}

static void print_details(const struct checked *checked)
{
	const struct image *image = &checked->image;

	for (size_t i = 0; i < image->list_count; i++)
		printf("  list %s: %zu IPv4, %zu IPv6 prefixes%s%s\n", image->lists[i].name, image->lists[i].v4,
		       image->lists[i].v6, image->lists[i].feed ? " with feed " : "", image->lists[i].feed ?: "");
	print_cuts(&image->cuts);
	printf("  tables: %.1f KiB for IPv4, %.1f KiB for IPv6, %u %s of lists\n",
	       tables_bytes(&image->tables, AF_INET) / 1024.0, tables_bytes(&image->tables, AF_INET6) / 1024.0,
	       image->config.class_count, plural(image->config.class_count, "set", "sets"));
	for (int i = 0; checked->loaded && i < HOOK_COUNT; i++)
		if (image_hooks(image) & 1u << i)
			printf("  program %s: %u instructions, %u bytes of machine code, %u instructions verified\n",
			       checked->figures[i].name, checked->figures[i].instructions,
			       checked->figures[i].jited_bytes, checked->figures[i].verified_instructions);
}

static void print_feeds(const struct image *image)
{
	for (size_t i = 0; i < image->list_count; i++) {
		const struct image_list *list = &image->lists[i];

		if (list->cut)
			printf("  list %s: its feed was cut in %zu %s around what it must not touch (--verbose names "
			       "them)\n",
			       list->name, list->cut, plural(list->cut, "place", "places"));
	}
}

static void print_checked(const struct checked *checked, bool verbose)
{
	report_print(&checked->report, stderr);
	if (!checked->compiled) {
		fprintf(stderr, "%s: %zu %s; nothing was changed\n", checked->path, checked->report.errors,
			plural(checked->report.errors, "error", "errors"));
		return;
	}
	if (!checked->loaded)
		fprintf(stderr, "%s: note: %s\n", checked->path, checked->not_loaded);
	printf("%s: %s, ", checked->path, checked->status == EXIT_DONE ? "ok" : "not ok");
	printf("%zu %s, ", checked->policy->service_count,
	       plural(checked->policy->service_count, "service", "services"));
	printf("%zu %s, ", checked->image.list_count, plural(checked->image.list_count, "list", "lists"));
	print_tests(checked);
	if (verbose)
		print_details(checked);
	else
		print_feeds(&checked->image);
}

/* Of several files the worst: a wrong policy, then a refusal, then a failed test. */
static int worse(int one, int other)
{
	static const int weight[] = {[EXIT_DONE] = 0, [EXIT_ANSWER_NO] = 1, [EXIT_SYSTEM] = 2, [EXIT_USAGE] = 3};

	return weight[one] >= weight[other] ? one : other;
}

int verb_check(struct context *context, int argc, char **argv)
{
	int status = EXIT_DONE, option;
	bool verbose = false;
	const char *value;
	json_t *files;

	while ((option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		if (option == OPTIONS_WRONG)
			return EXIT_USAGE;
		verbose = true;
	}
	if (optind == argc)
		return fail_usage(context, "FILE is missing");
	files = context->json ? json_array() : NULL;
	for (int i = optind; i < argc; i++) {
		struct checked checked = {.path = argv[i]};

		check_file(&checked);
		if (context->json)
			json_array_append_new(files, checked_json(&checked));
		else
			print_checked(&checked, verbose);
		status = worse(status, checked.status);
		checked_free(&checked);
	}
	if (!context->json)
		return status;
	return worse(status, print_json(json_pack("{s:o}", "files", files)));
}
