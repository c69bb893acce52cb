/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slow senders: the program of the generation in force that says which of them a limit ends (include/state.h). */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>

struct slow_judge {
	int program, found, looks; /* descriptors; the last two are the instance's */
	__u32 shortest_ms;
};

static int run(int program, struct slow_request *request)
{
	/* a syscall program's context is copied back to where it came from */
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = request, .ctx_size_in = sizeof(*request));

	if (!bpf_prog_test_run_opts(program, &options))
		return options.retval ? -EINVAL : 0;
	kernel_say("cannot run the program that judges slow senders: %s", strerror(errno));
	return -errno;
}

/* During a pause nobody is ended. */
static int open_judging(struct instance *instance)
{
	struct control_state state;
	int error = instance->foreign ? -ENOENT : control_read(instance, &state);

	if (error)
		return error;
	return state.active == SLOT_PAUSED ? -ENOENT : slot_program_open(instance, "slow", slot_in_force(&state));
}

int slow_open(struct instance *instance, struct slow_judge **result)
{
	int program = open_judging(instance), error;
	struct slow_request request = {};
	struct slow_judge *judge;

	if (program < 0)
		return program;
	judge = calloc(1, sizeof(*judge));
	error = judge ? run(program, &request) : -ENOMEM;
	if (error) {
		close(program);
		free(judge);
		return error;
	}
	*judge = (struct slow_judge){
		.program = program,
		.found = instance->maps[MAP_slow_found],
		.looks = instance->maps[MAP_slow_looks],
		.shortest_ms = request.shortest_ms,
	};
	*result = judge;
	return 0;
}

__u32 slow_shortest_ms(const struct slow_judge *judge)
{
	return judge->shortest_ms;
}

int slow_ask(struct slow_judge *judge, struct slow_found *found, bool only_counts)
{
	struct slow_request request = {.judge = 1, .only_counts = only_counts};
	__u32 zero = 0;
	int error;

	if (bpf_map_update_elem(judge->found, &zero, found, BPF_ANY)) {
		kernel_say("cannot tell of slow senders: %s", strerror(errno));
		return -errno;
	}
	error = run(judge->program, &request);
	return error ?: bpf_map_lookup_elem(judge->found, &zero, found) ? -errno : 0;
}

int slow_looked(struct slow_judge *judge, const struct slow_looks *looks)
{
	__u32 zero = 0;

	return bpf_map_update_elem(judge->looks, &zero, looks, BPF_ANY) ? -errno : 0;
}

void slow_close(struct slow_judge *judge)
{
	if (judge)
		close(judge->program);
	free(judge);
}

int slow_looks_read(struct instance *instance, struct slow_looks *looks)
{
	cleanup_fd int program = open_judging(instance);
	__u32 zero = 0;

	if (program < 0)
		return program;
	return bpf_map_lookup_elem(instance->maps[MAP_slow_looks], &zero, looks) ? -errno : 0;
}
