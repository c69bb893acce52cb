/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open connections, counted again (include/state.h). A generation that limits them has a program that knows its
 * services and limits; it is pinned as long as the generation has its slot, for a daemon that reaches nothing but pins.
 */
#include "kernel_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct recount {
	int program, found; /* descriptors; found is the instance's */
	__u32 operation;    /* that tells of what is in the portion */
	struct open_found portion;
};

static void pin_path(const struct instance *instance, const char *name, __u32 slot, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s-%u", instance->base, name, slot);
}

int slot_program_pin(const struct instance *instance, const char *name, __u32 slot, int program)
{
	char path[PATH_MAX];

	pin_path(instance, name, slot, path);
	if (unlink(path) && errno != ENOENT)
		return -errno;
	return program >= 0 && pin_object(program, path) ? -errno : 0;
}

static __u64 coarse_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* the clock of the programs */
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int recount_run(int program, __u32 operation)
{
	struct recount_request request = {.operation = operation, .now_ns = coarse_ns()};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));

	if (!bpf_prog_test_run_opts(program, &options))
		return options.retval ? -EINVAL : 0;
	kernel_say("cannot run the program that counts open connections: %s", strerror(errno));
	return -errno;
}

int slot_program_open(const struct instance *instance, const char *name, __u32 slot)
{
	char path[PATH_MAX];
	int fd;

	pin_path(instance, name, slot, path);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

static int open_live(struct instance *instance)
{
	struct control_state state;
	int error = control_read(instance, &state);

	return error ?: slot_program_open(instance, "recount", slot_in_force(&state));
}

/* What was routed when a policy counted it, and ended, or went on, under one that does not. */
static int forget_routed(const struct instance *instance)
{
	int map = instance->maps[MAP_routed];
	struct routed_key key;

	for (unsigned i = 0; i < ROUTED_MAX && !bpf_map_get_next_key(map, NULL, &key); i++)
		if (bpf_map_delete_elem(map, &key) && errno != ENOENT)
			return -errno;
	return 0;
}

int recount_doubt(const struct instance *instance, __u32 slot)
{
	static const struct open_checked never;
	cleanup_fd int program = slot_program_open(instance, "recount", slot);
	__u32 zero = 0;

	if (program != -ENOENT)
		return 0;
	if (bpf_map_update_elem(instance->maps[MAP_open_checked], &zero, &never, BPF_ANY))
		return -errno;
	return forget_routed(instance);
}

int recount_begin(struct instance *instance, struct recount **result)
{
	/* the sockets of this network namespace are not those that the instance protects */
	int program = instance->foreign ? -ENOENT : open_live(instance), error;
	struct recount *recount;

	if (program == -ENOENT && !instance->foreign)
		return forget_routed(instance) ?: -ENOENT;
	if (program < 0)
		return program;
	recount = calloc(1, sizeof(*recount));
	error = recount ? recount_run(program, RECOUNT_BEGIN) : -ENOMEM;
	if (error) {
		close(program);
		free(recount);
		return error;
	}
	recount->program = program;
	recount->found = instance->maps[MAP_open_found];
	*result = recount;
	return 0;
}

int recount_tell(int program, int found, struct open_found *portion, __u32 operation)
{
	__u32 zero = 0;

	if (bpf_map_update_elem(found, &zero, portion, BPF_ANY)) {
		kernel_say("cannot tell of open connections: %s", strerror(errno));
		return -errno;
	}
	portion->count = 0;
	return recount_run(program, operation);
}

static int tell_portion(struct recount *recount)
{
	if (!recount->portion.count)
		return 0;
	return recount_tell(recount->program, recount->found, &recount->portion, recount->operation);
}

int recount_found(struct recount *recount, const struct open_connection *connection, __u32 operation)
{
	struct open_found *portion = &recount->portion;
	int error = operation == recount->operation ? 0 : tell_portion(recount);

	if (error)
		return error;
	recount->operation = operation;
	portion->items[portion->count++] = *connection;
	return portion->count < OPEN_FOUND_PORTION ? 0 : tell_portion(recount);
}

int recount_end(struct recount *recount, bool settle)
{
	int error = 0;

	if (settle)
		error = tell_portion(recount);
	if (settle && !error)
		error = recount_run(recount->program, RECOUNT_SETTLE);
	close(recount->program);
	free(recount);
	return error;
}

int recount_age(struct instance *instance, __u64 *age_ns)
{
	struct open_checked checked = {};
	cleanup_fd int program = open_live(instance);
	__u64 now = coarse_ns();
	__u32 zero = 0;

	if (program < 0)
		return program;
	if (bpf_map_lookup_elem(instance->maps[MAP_open_checked], &zero, &checked))
		return -errno;
	*age_ns = !checked.at_ns ? ~0ULL : now > checked.at_ns ? now - checked.at_ns : 0;
	return 0;
}
