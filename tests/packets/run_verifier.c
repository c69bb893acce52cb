/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_verifier TABLE DIRECTORY [POLICY...]   what the verifier says of every program, against TABLE. TAP.
 *        run_verifier --print DIRECTORY [POLICY...]  the rows of this kernel, for tests/packets/verifier --renew
 * With the constants of the policies of that name in DIRECTORY, or of all.
 *
 * A row: kernel, policy, program, instructions processed, stack bytes, bytes of machine code. A program is loaded as a
 * live one with the constants of the policy, but with maps of its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel_private.h"
#include "root.skel.h"
#include "runner.h"
#include "shield.skel.h"

#define REFUSAL_LINES 24 /* of the log */
#define LOG_BYTES (1 << 16)
#define PROGRAMS 16
#define STACK_LIMIT 512		 /* of the kernel, for a program and what it calls */
#define PROCESSED_LIMIT 1000000u /* likewise */
#define SLACK 10 /* percent more than the table says that are no jump, and a little for small programs */

struct measured {
	char program[32];
	unsigned processed, stack, bytes;
};

static char kernel[32];
static unsigned tests, failures;

static void tap(bool ok, const char *format, ...)
{
	va_list arguments;

	failures += !ok;
	printf("%sok %u - ", ok ? "" : "not ", ++tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* "6.12": builds of one series are alike. */
static void read_kernel(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	snprintf(kernel, sizeof(kernel), "%u.%u", major, minor);
}

/* "stack depth 136+0+64": with every function that can be called, the deepest chain at most their sum. */
static unsigned stack_of(const char *log)
{
	const char *at = strstr(log, "stack depth ");
	unsigned deepest = 0;

	for (at = at ? at + strlen("stack depth ") : ""; *at >= '0' && *at <= '9'; at++) {
		unsigned here = strtoul(at, (char **)&at, 10);

		deepest = here > deepest ? here : deepest;
		if (*at != '+')
			break;
	}
	return deepest;
}

/* The verifier's last words, of a program that it refuses. */
static void tell_refusal(const struct bpf_program *program, const char *log)
{
	const char *at = log + strlen(log);

	for (unsigned lines = 0; at > log && lines < REFUSAL_LINES; at--)
		lines += at[-1] == '\n';
	printf("# %s: ", bpf_program__name(program));
	for (; *at; at++)
		printf(*at == '\n' && at[1] ? "\n# " : "%c", *at);
}

static int measure(struct bpf_object *object, struct measured *measured, size_t *count)
{
	static char logs[PROGRAMS][LOG_BYTES];
	struct bpf_program *program;
	size_t loaded = 0;
	int error;

	bpf_object__for_each_program(program, object)
	{
		if (!bpf_program__autoload(program))
			continue;
		if (loaded == PROGRAMS)
			return -E2BIG;
		logs[loaded][0] = '\0';
		bpf_program__set_log_buf(program, logs[loaded], LOG_BYTES);
		bpf_program__set_log_level(program, 4); /* BPF_LOG_STATS */
		loaded++;
	}
	error = bpf_object__load(object);
	loaded = 0;
	bpf_object__for_each_program(program, object)
	{
		if (error && bpf_program__autoload(program))
			tell_refusal(program, logs[loaded++]);
	}
	if (error)
		return error;
	bpf_object__for_each_program(program, object)
	{
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);
		struct measured *one;
		const char *processed;

		if (!bpf_program__autoload(program))
			continue;
		one = &measured[(*count)++];
		processed = strstr(logs[loaded], "processed ");
		snprintf(one->program, sizeof(one->program), "%s", bpf_program__name(program));
		one->processed = processed ? strtoul(processed + strlen("processed "), NULL, 10) : 0;
		one->stack = stack_of(logs[loaded++]);
		if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			return -errno;
		one->bytes = info.jited_prog_len;
	}
	return 0;
}

static int measure_roots(struct measured *measured, size_t *count)
{
	struct root_bpf *root = root_bpf__open();
	int error = root ? measure(root->obj, measured, count) : -errno;

	root_bpf__destroy(root);
	return error;
}

static int measure_policy(const char *directory, const char *name, struct measured *measured, size_t *count)
{
	struct shield_bpf *shield = NULL;
	struct policy *policy = NULL;
	struct image image = {0};
	char path[512];
	int error;

	snprintf(path, sizeof(path), "%s/%s.yaml", directory, name);
	error = image_of(path, &policy, &image);
	if (!error && !(shield = shield_bpf__open()))
		error = -errno;
	if (!error) {
		shield->rodata->constants = image.config;
		shield->rodata->constants.generation = 1;
		shield->rodata->constants.conntrack = kernel_has_ct_lookup();
		shield->rodata->constants.have_syncookie_helpers = kernel_has_syncookie_helpers();
		if (image.config.cookies.format && !kernel_has_own_cookies())
			shield->rodata->constants.cookies.format = COOKIES_KERNEL;
		generation_programs(shield);
		error = measure(shield->obj, measured, count);
	}
	shield_bpf__destroy(shield);
	image_free(&image);
	policy_free(policy);
	return error;
}

/* ---- the table */

struct row {
	char kernel[32], policy[32], program[32];
	unsigned processed, stack, bytes;
};

static bool find_row(const char *path, const char *policy, const char *program, struct row *row)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		if (*line == '#' || sscanf(line, "%31s %31s %31s %u %u %u", row->kernel, row->policy, row->program,
					   &row->processed, &row->stack, &row->bytes) != 6)
			continue;
		found = !strcmp(row->kernel, kernel) && !strcmp(row->policy, policy) && !strcmp(row->program, program);
	}
	if (file)
		fclose(file);
	return found;
}

static bool jumped(unsigned now, unsigned before, unsigned little)
{
	return now > before + before * SLACK / 100 + little;
}

static void compare(const char *path, const char *policy, const struct measured *now)
{
	struct row row = {0};

	tap(now->processed && now->processed < PROCESSED_LIMIT / 2 && now->stack <= STACK_LIMIT,
	    "%s, %s: %u instructions processed, %u bytes of stack, %u of code are within half of what is possible",
	    policy, now->program, now->processed, now->stack, now->bytes);
	if (!find_row(path, policy, now->program, &row)) {
		printf("ok %u - %s, %s # SKIP no row for kernel %s: tests/packets/verifier --renew\n", ++tests, policy,
		       now->program, kernel);
		return;
	}
	tap(!jumped(now->processed, row.processed, 50) && !jumped(now->stack, row.stack, 32) &&
		    !jumped(now->bytes, row.bytes, 200),
	    "%s, %s: no jump from %u instructions, %u bytes of stack, %u of code; wanted: tests/packets/verifier "
	    "--renew",
	    policy, now->program, row.processed, row.stack, row.bytes);
}

static void tell(const char *table, const char *policy, const struct measured *measured, size_t count, int error)
{
	if (error)
		tap(false, "%s does not load: %s", policy, strerror(-error));
	for (size_t i = 0; !error && i < count; i++) {
		printf("%s%-5s %-17s %-12s %8u %6u %7u\n", table ? "# row " : "", kernel, policy, measured[i].program,
		       measured[i].processed, measured[i].stack, measured[i].bytes);
		if (table)
			compare(table, policy, &measured[i]);
	}
}

static int tell_policy(const char *table, const char *directory, const char *name)
{
	struct measured measured[PROGRAMS];
	size_t count = 0;
	int error;

	error = measure_policy(directory, name, measured, &count);
	tell(table, name, measured, count, error);
	return error;
}

static int is_policy(const struct dirent *entry)
{
	return !fnmatch("*.yaml", entry->d_name, FNM_PERIOD);
}

/* Every policy of the directory. */
static int tell_directory(const char *table, const char *directory)
{
	struct dirent **entries = NULL;
	int error = 0, files = scandir(directory, &entries, is_policy, alphasort);

	for (int i = 0; i < files; i++) {
		*strchr(entries[i]->d_name, '.') = '\0';
		error |= tell_policy(table, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (files <= 0)
		tap(false, "no policy in %s", directory);
	return error;
}

int main(int argc, char **argv)
{
	struct measured measured[PROGRAMS];
	const char *table = argc > 1 && strcmp(argv[1], "--print") ? argv[1] : NULL;
	size_t count = 0;
	int error;

	if (argc < 3)
		return fprintf(stderr, "usage: run_verifier TABLE|--print DIRECTORY [POLICY...]\n"), 2;
	libbpf_quiet();
	read_kernel();
	error = measure_roots(measured, &count);
	tell(table, "-", measured, count, error);
	for (int i = 3; i < argc; i++)
		error |= tell_policy(table, argv[2], argv[i]);
	if (argc == 3)
		error |= tell_directory(table, argv[2]);
	if (table)
		printf("1..%u\n", tests);
	return failures || error ? 1 : 0;
}
