/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_paths TABLE           how many instructions each packet of TABLE costs, against TABLE. TAP.
 *        run_paths --print TABLE   TABLE with the figures of now
 *
 * A row: instructions | policy | packet | verdict and reason. The packet path of bpf/, compiled for this process
 * (tests/fuzz/shield_user.c), takes one step after the other; those of helpers (a look-up in a map is one) do not
 * count. Of two runs the second one counts, when nothing is new. These are no instructions of BPF, but as many, or
 * nearly so, and the same each time on every machine, whatever else runs there.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <x86intrin.h>

#include "judge.h"
#include "verbs.h"

#include "../fuzz/fuzz_packet.h"
#include "../fuzz/shield_user.h"

#define SLACK 10 /* percent more than the table says that are none too many, and a few for short paths */
#define FEW 6
#define TRAP_FLAG 0x100ull /* of the processor: SIGTRAP after every instruction */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

extern const char __start_shield_text[], __stop_shield_text[]; /* the linker's, around the packet path */

static volatile unsigned instructions;
static struct decision judged;

static void step(int signal, siginfo_t *info, void *context)
{
	const char *at = (const char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)signal;
	(void)info;
	instructions += at >= __start_shield_text && at < __stop_shield_text;
}

static void watch(const struct decision *decision)
{
	if (!decision) {
		instructions = 0;
		__writeeflags(__readeflags() | TRAP_FLAG);
		return;
	}
	__writeeflags(__readeflags() & ~TRAP_FLAG);
	judged = *decision;
}

struct row {
	unsigned instructions;
	char policy[32], packet[256], expected[64];
};

static int policy_number(const char *name)
{
	for (size_t i = 0; i < sizeof(fuzz_policies) / sizeof(*fuzz_policies); i++)
		if (!strcmp(fuzz_policies[i], name))
			return i;
	return -1;
}

/* NULL, or what is wrong with the row. */
static const char *run(const struct row *row)
{
	static char words[256];
	unsigned char input[4096 + 5];
	int policy = policy_number(row->policy);
	struct frame frame;

	if (policy < 0)
		return "there is no such policy here";
	if (packet_text(row->packet, &frame, words, sizeof(words)))
		return words;
	input[0] = policy;
	input[1] = STEP_IN;
	input[2] = 0;
	input[3] = frame.length & 0xff;
	input[4] = frame.length >> 8;
	memcpy(input + 5, frame.bytes, frame.length);
	for (int i = 0; i < 2; i++)
		LLVMFuzzerTestOneInput(input, frame.length + 5);
	snprintf(words, sizeof(words), "%s %s", verdict_name(judged.verdict), reason_name(judged.reason));
	return strcmp(words, row->expected) ? words : NULL;
}

static bool read_row(const char *line, struct row *row)
{
	bool four = sscanf(line, " %u | %31[^ |] | %255[^|] | %63[^\n]", &row->instructions, row->policy, row->packet,
			   row->expected) == 4;

	for (size_t end = strlen(row->packet); end && row->packet[end - 1] == ' '; end--)
		row->packet[end - 1] = '\0';
	return four;
}

static bool tell(const struct row *row, unsigned number, const char *trouble)
{
	unsigned most = row->instructions + row->instructions * SLACK / 100 + FEW;
	bool ok = !trouble && instructions && instructions <= most;

	printf("%sok %u - %s, %s: %s in %u instructions, %u are in the table\n", ok ? "" : "not ", number, row->policy,
	       row->packet, row->expected, instructions, row->instructions);
	if (trouble)
		printf("# %s\n", trouble);
	return ok;
}

int main(int argc, char **argv)
{
	const struct sigaction trap = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
	bool print = argc == 3 && !strcmp(argv[1], "--print");
	FILE *file = argc == 2 || print ? fopen(argv[argc - 1], "re") : NULL;
	unsigned tests = 0, failures = 0;
	char line[512];

	if (!file)
		return fprintf(stderr, "usage: run_paths [--print] TABLE\n"), 2;
	LLVMFuzzerInitialize(NULL, NULL);
	sigaction(SIGTRAP, &trap, NULL);
	shield_watch = watch;
	while (fgets(line, sizeof(line), file)) {
		struct row row = {0};
		const char *trouble;

		if (*line == '#') {
			if (print)
				fputs(line, stdout);
			continue;
		}
		trouble = read_row(line, &row) ? run(&row) : "four columns were expected";
		if (print)
			printf("%5u | %s | %s | %s\n", instructions, row.policy, row.packet,
			       trouble ? trouble : row.expected);
		else
			failures += !tell(&row, ++tests, trouble);
	}
	fclose(file);
	if (!print)
		printf("1..%u\n", tests);
	return failures || (!print && !tests);
}
