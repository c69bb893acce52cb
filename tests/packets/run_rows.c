/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_rows FILE DIRECTORY         the rows of FILE through the real program, with the policies of DIRECTORY.
 * TAP. run_rows --seeds INTO FILE      the packets of the rows as inputs of fuzz_packet and fuzz_text; judges nothing
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../fuzz/fuzz_packet.h"
#include "connections.h"
#include "judge.h"
#include "runner.h"
#include "verbs.h"

#define BETWEEN_ROWS_NS (3ULL * 3600 * 1000000000)
#define POLICIES_MAX 32

struct row {
	char *families, *policy, *name, *steps, *expected;
};

struct loaded { /* a policy in the verifier's hands */
	char name[64];
	struct policy *policy;
	struct image image;
	struct generation *offline;
};

static struct loaded policies[POLICIES_MAX];
static size_t policy_count, tests, failures;
static __u64 now = BETWEEN_ROWS_NS;
static bool expected_reasons[REASON_COUNT];

/* What no row can show: it needs an instance with holds, a pause, a payload, or IPsec. */
static const enum reason elsewhere[] = {
	REASON_ALLOWED,	      REASON_PAUSED,	   REASON_TLS_SNI,	   REASON_TLS_NO_SNI,	REASON_TLS_VERSION,
	REASON_TLS_ALPN,      REASON_TLS_NOT_TLS,  REASON_TLS_MALFORMED,   REASON_TLS_SPLIT,	REASON_HTTP_METHOD,
	REASON_HTTP_HOST,     REASON_HTTP_PATH,	   REASON_HTTP_NOT_HTTP,   REASON_HTTP_2,	REASON_HTTP_SPLIT,
	REASON_RATE_REQUESTS, REASON_TLS_JA4,	   REASON_TLS_JA4_UNKNOWN, REASON_IDLE_REQUEST, REASON_FIRST_EARLY,
	REASON_FIRST_CHANGED, REASON_FIRST_URGENT, REASON_HTTP_CLIENT,	   REASON_DECRYPTED,	REASON_PROXY_HEADER,
	REASON_PROXY_SPLIT,   REASON_PROXY_FORGED,
};

static const struct {
	char letter;
	const char *v4, *v6;
} addresses[] = {
	{'H', "192.0.2.10", "2001:db8::10"},	 {'I', "192.0.2.11", "2001:db8::11"},
	{'C', "45.33.1.5", "2a01:4f8::5"},	 {'D', "45.33.1.6", "2a01:4f8::6"},
	{'N', "45.33.1.77", "2a01:4f8:0:7::5"},	 {'F', "46.99.1.5", "2a01:5f8::5"},
	{'P', "45.10.20.9", "2a01:77::9"},	 {'T', "46.30.40.3", "2a02:30:40::3"},
	{'X', "203.0.113.5", "2001:db8:bad::5"}, {'Y', "198.51.100.7", "2001:db8:1::7"},
	{'W', "47.1.2.3", "2a03:1::3"},		 {'O', "8.8.4.4", "2a00:1450::44"},
	{'R', "80.81.192.1", "2001:7f8::1"},	 {'L', "192.0.2.1", "fe80::1"},
	{'K', "35.191.0.9", "2600:1901::9"},	 {'Q', "45.70.7.7", "2a06:98::7"},
	{'G', "46.77.1.5", "2a07:77::5"},
};

static void expand(const char *steps, bool ipv6, char *out, size_t size)
{
	size_t used = 0;

	for (; *steps && used + 64 < size; steps++) {
		const char *address = NULL;

		for (size_t i = 0; *steps == '%' && i < sizeof(addresses) / sizeof(*addresses); i++) {
			if (addresses[i].letter == steps[1])
				address = ipv6 ? addresses[i].v6 : addresses[i].v4;
		}
		if (address) {
			used += snprintf(out + used, size - used, "%s", address);
			steps++;
		} else {
			out[used++] = *steps;
		}
	}
	out[used] = '\0';
}

static struct loaded *policy_load(const char *directory, const char *name)
{
	struct loaded *loaded = &policies[policy_count];
	char path[512];
	int err;

	for (size_t i = 0; i < policy_count; i++) {
		if (!strcmp(policies[i].name, name))
			return &policies[i];
	}
	if (policy_count == POLICIES_MAX)
		return NULL;
	snprintf(loaded->name, sizeof(loaded->name), "%s", name);
	snprintf(path, sizeof(path), "%s/%s.yaml", directory, name);
	err = image_of(path, &loaded->policy, &loaded->image);
	err = err ? err : generation_load(&loaded->image, NULL, &loaded->offline);
	if (err) {
		printf("# %s: %s\n", path, kernel_words());
		return NULL;
	}
	policy_count++;
	return loaded;
}

/* ---- steps ---- */

struct run { /* one row with one family */
	struct generation *offline;
	struct connections *connections;
	struct decision decision;
	char words[512]; /* what went wrong */
};

/* What the short way out (bpf/at_once.h) refuses, the long one has to refuse for the same reason. */
static int compare_ways(struct run *run)
{
	__u8 early = run->decision.early;

	if (!early || (early == run->decision.reason && run->decision.verdict == VERDICT_DROP))
		return 0;
	snprintf(run->words, sizeof(run->words), "the short way says %s, the long one %s", reason_name(early),
		 reason_name(run->decision.reason));
	return -EINVAL;
}

static int run_packet(struct run *run, const char *text, bool sent)
{
	struct packet_flow flow;
	struct frame frame;
	int err = packet_text(text, &frame, run->words, sizeof(run->words));

	if (err)
		return err;
	packet_flow(frame.bytes, frame.length, frame.length, &flow);
	if (frame.open)
		err = connections_open(run->connections, run->offline, &flow);
	err = err ? err : connections_before(run->connections, run->offline, &flow, now);
	if (err)
		return err;
	if (sent)
		err = generation_sent(run->offline, frame.bytes, frame.length, now, &run->decision);
	else
		err = generation_judge(run->offline, frame.bytes, frame.length, now, &run->decision);
	if (err)
		snprintf(run->words, sizeof(run->words), "%s", kernel_words());
	else
		err = compare_ways(run);
	/* a client that is challenged goes on, as in explain */
	if (err || (!sent && run->decision.verdict != VERDICT_PASS && run->decision.verdict != VERDICT_REPLY))
		return err;
	return connections_after(run->connections, run->offline, &flow, now);
}

static int run_step(struct run *run, char *step)
{
	char *space = strchr(step, ' '), *rest = space ? space + 1 : step;
	struct prefix own;
	__u64 wait;
	int err = 0;

	if (!strncmp(step, "sent ", 5))
		return run_packet(run, rest, true);
	if (!strncmp(step, "own ", 4)) {
		err = prefix_parse(rest, &own);
		return err ? err : generation_own(run->offline, &own, 1);
	}
	if (!strncmp(step, "wait ", 5)) {
		err = duration_parse(rest, &wait);
		now += wait;
		return err;
	}
	if (!strncmp(step, "repeat ", 7)) {
		for (long i = strtol(rest, &rest, 10); !err && i > 0; i--)
			err = run_packet(run, rest, false);
		return err;
	}
	return run_packet(run, step, false);
}

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length && strchr(" \t\n", text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int run_steps(struct run *run, char *steps)
{
	char *save = NULL;
	int err = 0;

	for (char *step = strtok_r(steps, ";", &save); step && !err; step = strtok_r(NULL, ";", &save))
		err = run_step(run, trim(step));
	return err;
}

/* ---- rows ---- */

/* In the words of the last column. */
static void decision_text(const struct loaded *loaded, const struct decision *decision, char *out, size_t size)
{
	size_t used = snprintf(out, size, "%s %s", verdict_name(decision->verdict), reason_name(decision->reason));

	if (decision->service)
		used += snprintf(out + used, size - used, " %s", loaded->image.service_names[decision->service]);
	if (decision->would)
		snprintf(out + used, size - used, " would=%s", reason_name(decision->would));
}

static void verdict_tap(bool ok, const struct row *row, const char *family, const char *text)
{
	tests++;
	failures += !ok;
	printf("%sok %zu - %s: %s (%s)\n", ok ? "" : "not ", tests, row->policy, row->name, family);
	if (!ok)
		printf("#   steps: %s\n#   expected: %s\n#   got: %s\n", row->steps, row->expected, text);
}

static void run_row(const char *directory, const struct row *row, bool ipv6)
{
	struct loaded *loaded = policy_load(directory, row->policy);
	struct run run = {.offline = loaded ? loaded->offline : NULL, .connections = connections_new()};
	char steps[4096], text[512] = "the policy cannot be loaded";
	int err;

	expand(row->steps, ipv6, steps, sizeof(steps));
	now += BETWEEN_ROWS_NS;
	if (loaded && run.connections) {
		err = run_steps(&run, steps);
		if (err)
			snprintf(text, sizeof(text), "%s: %.400s", strerror(-err), run.words);
		else
			decision_text(loaded, &run.decision, text, sizeof(text));
		connections_forget(run.connections, run.offline);
		generation_own(run.offline, NULL, 0);
	}
	connections_free(run.connections);
	verdict_tap(!strcmp(text, row->expected), row, ipv6 ? "IPv6" : "IPv4", text);
}

static void note_expected(const char *expected)
{
	const char *reason = strchr(expected, ' '), *would = strstr(expected, "would=");
	char name[64];
	int number;

	snprintf(name, sizeof(name), "%.*s", reason ? (int)strcspn(reason + 1, " ") : 0, reason ? reason + 1 : "");
	number = reason_by_name(name);
	if (number > 0)
		expected_reasons[number] = true;
	number = would ? reason_by_name(would + 6) : 0;
	if (number > 0)
		expected_reasons[number] = true;
}

static bool read_row(char *line, struct row *row)
{
	char **columns[] = {&row->families, &row->policy, &row->name, &row->steps, &row->expected};
	char *save = NULL, *column = strtok_r(line, "|", &save);

	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
		if (!column)
			return false;
		*columns[i] = trim(column);
		column = strtok_r(NULL, "|", &save);
	}
	return !column;
}

/* ---- the rows as inputs of the fuzzers ---- */

static FILE *seed_file(const char *into, const char *kind)
{
	static unsigned number;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/row-%u", into, kind, number++);
	file = fopen(path, "we");
	if (!file) {
		printf("%s: %s\n", path, strerror(errno));
		exit(1);
	}
	return file;
}

static void write_frame_of(FILE *file, const struct frame *frame, enum step kind)
{
	const __u8 head[] = {kind, 0, frame->length & 0xff, frame->length >> 8};

	fwrite(head, sizeof(head), 1, file);
	fwrite(frame->bytes, frame->length, 1, file);
}

static void write_frame(const char *into, FILE *file, const char *text, enum step kind)
{
	FILE *text_file = seed_file(into, "text");
	struct frame frame;
	char words[256];

	fputs(text, text_file);
	fclose(text_file);
	if (packet_text(text, &frame, words, sizeof(words)))
		return;
	if (frame.open)
		write_frame_of(file, &frame, STEP_OPEN);
	write_frame_of(file, &frame, kind);
}

static void write_seed(const char *into, const struct row *row, bool ipv6)
{
	char steps[4096], *save = NULL;
	size_t policy = 0, policies_known = sizeof(fuzz_policies) / sizeof(*fuzz_policies);
	FILE *file;

	while (policy < policies_known && strcmp(fuzz_policies[policy], row->policy))
		policy++;
	if (policy == policies_known)
		return;
	expand(row->steps, ipv6, steps, sizeof(steps));
	file = seed_file(into, "packet");
	fputc((int)policy | (strstr(steps, "own ") ? 0x80 : 0), file);
	for (char *step = strtok_r(steps, ";", &save); step; step = strtok_r(NULL, ";", &save)) {
		step = trim(step);
		if (!strncmp(step, "sent ", 5))
			write_frame(into, file, step + 5, STEP_SENT);
		else
			write_frame(into, file, step, STEP_IN);
	}
	fclose(file);
}

static int run_file(const char *path, const char *directory, const char *seeds)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		return -errno;
	}
	for (unsigned number = 1; getline(&line, &size, file) >= 0; number++) {
		struct row row;

		if (*trim(line) == '#' || !*trim(line))
			continue;
		if (!read_row(line, &row)) {
			printf("Bail out! %s:%u: five columns were expected\n", path, number);
			failures++;
			break;
		}
		note_expected(row.expected);
		for (int ipv6 = 0; ipv6 < 2; ipv6++) {
			if (!strchr(row.families, ipv6 ? '6' : '4'))
				continue;
			if (seeds)
				write_seed(seeds, &row, ipv6);
			else
				run_row(directory, &row, ipv6);
		}
	}
	free(line);
	fclose(file);
	return 0;
}

/* Every reason there is has a row, so that a new one cannot be forgotten. */
static void every_reason(void)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		expected_reasons[elsewhere[i]] = true;
	for (unsigned reason = REASON_NONE + 1; reason < REASON_COUNT; reason++) {
		tests++;
		failures += !expected_reasons[reason];
		printf("%sok %zu - the rows show reason %s\n", expected_reasons[reason] ? "" : "not ", tests,
		       reason_name(reason));
	}
}

/* All policies stay loaded, each with its maps and programs: more than the 1024 files that a process may usually open.
 */
static void allow_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	int err;

	if (argc == 4 && !strcmp(argv[1], "--seeds"))
		return run_file(argv[3], NULL, argv[2]) ? 1 : 0;
	if (argc != 3) {
		fprintf(stderr, "usage: run_rows FILE DIRECTORY | run_rows --seeds INTO FILE\n");
		return 2;
	}
	allow_files();
	err = run_file(argv[1], argv[2], NULL);
	every_reason();
	printf("1..%zu\n", tests);
	for (size_t i = 0; i < policy_count; i++) {
		generation_free(policies[i].offline);
		image_free(&policies[i].image);
		policy_free(policies[i].policy);
	}
	return err || failures ? 1 : 0;
}
