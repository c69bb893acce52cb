/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the golden tests: parse, check and print a policy, needing no kernel and no host.
 *
 *   policy_print_tool FILE     canonical text on standard output, findings on standard error; exit 2 on errors
 *   policy_print_tool --keys   "SCOPE KEY" of every key that is taken, "SCOPE KEY later" of those refused as not yet
 * supported policy_print_tool --json FILE   the YAML tree as JSON, for the JSON Schema
 */
#include <stdlib.h>
#include <string.h>

#include "../../userspace/parse.h"

static void print_keys(void)
{
	for (const struct scope *const *scope = all_scopes; *scope; scope++)
		for (size_t i = 0; i < (*scope)->count; i++)
			printf("%s %s%s\n", (*scope)->name, (*scope)->keys[i].name,
			       (*scope)->keys[i].parse ? "" : " later");
}

static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text < 0x20)
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void print_json(const struct node *node)
{
	bool value;

	if (node->kind != NODE_SCALAR) {
		putchar(node->kind == NODE_MAP ? '{' : '[');
		for (const struct node *child = node->first; child; child = child->next) {
			if (node->kind == NODE_MAP) {
				print_string(child->key->text);
				putchar(':');
			}
			print_json(child);
			if (child->next)
				putchar(',');
		}
		putchar(node->kind == NODE_MAP ? '}' : ']');
	} else if (node_is_null(node)) {
		fputs("null", stdout);
	} else if (node_is_bool(node, &value)) {
		fputs(value ? "true" : "false", stdout);
	} else if (node_is_number(node)) {
		printf("%.17g", strncmp(node->text, "0x", 2) ? strtod(node->text, NULL)
							     : (double)strtoull(node->text, NULL, 16));
	} else {
		print_string(node->text);
	}
}

static int json_of(const char *path)
{
	struct report report = {};
	struct policy *policy = policy_read(path, &report);
	struct yaml *yaml = yaml_new();
	struct node *root = policy && yaml && policy->file_count ? yaml_read(yaml, policy, 0, &report) : NULL;

	if (root)
		print_json(root);
	yaml_free(yaml);
	policy_free(policy);
	report_free(&report);
	return root ? 0 : 2;
}

static int canonical_of(const char *path)
{
	struct report report = {};
	struct policy *policy = policy_read(path, &report);
	char *text = NULL;
	size_t errors;

	if (policy)
		policy_check(policy, &report);
	errors = report.errors;
	if (policy && !errors)
		text = policy_print(policy);
	report_print(&report, stderr);
	if (text)
		fputs(text, stdout);
	free(text);
	report_free(&report);
	policy_free(policy);
	return errors || !policy ? 2 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--keys")) {
		print_keys();
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "--json"))
		return json_of(argv[2]);
	if (argc == 2)
		return canonical_of(argv[1]);
	fputs("usage: policy_print_tool FILE | --json FILE | --keys\n", stderr);
	return 2;
}
