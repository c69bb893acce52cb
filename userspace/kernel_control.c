/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control word and the slots. Only the program `steer` writes the word; only the lock's holder writes slots. */
#include "kernel_private.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "saved.h"

int program_id(int fd, __u32 *id)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*id = info.id;
	return 0;
}

void wait_for_packets(void)
{
	/* waits for an RCU grace period, and packets are judged within one section */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(200000);
}

int steer(struct instance *instance, struct steer_request *request)
{
	/* a syscall program's context is copied back to where it came from */
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = request, .ctx_size_in = sizeof(*request));

	if (bpf_prog_test_run_opts(instance->programs[PROGRAM_STEER], &options)) {
		int error = -errno;

		kernel_say("cannot steer the root programs in %s: %s", instance->base, strerror(-error));
		return error;
	}
	return request->result;
}

const enum pinned_map slot_maps[HOOK_COUNT] = {
	[HOOK_XDP] = MAP_xdp_slots,
	[HOOK_EGRESS] = MAP_egress_slots,
	[HOOK_INGRESS] = MAP_ingress_slots,
	[HOOK_SOCKOPS] = MAP_sockops_slots,
};

__u32 slot_program(const struct instance *instance, enum hook hook, __u32 slot)
{
	__u32 id = 0;

	return bpf_map_lookup_elem(instance->maps[slot_maps[hook]], &slot, &id) ? 0 : id;
}

__u32 slot_in_force(const struct control_state *state)
{
	return state->active == SLOT_PAUSED ? state->fallback : state->active;
}

static bool slot_used(const struct instance *instance, __u32 slot)
{
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (slot_program(instance, hook, slot))
			return true;
	return false;
}

static unsigned hooks_in_slots(const struct instance *instance, __u64 word)
{
	const __u32 slots[] = {CONTROL_ACTIVE(word), CONTROL_FALLBACK(word)};
	unsigned hooks = 1u << HOOK_XDP | 1u << HOOK_EGRESS;
	struct slot_info info;

	for (int i = 0; i < 2; i++) {
		if (slots[i] >= GENERATION_SLOTS || bpf_map_lookup_elem(instance->maps[MAP_slots], &slots[i], &info) ||
		    !info.generation)
			continue;
		hooks |= info.flags & SLOT_FLAG_INGRESS ? 1u << HOOK_INGRESS : 0;
		hooks |= info.flags & SLOT_FLAG_SOCKOPS ? 1u << HOOK_SOCKOPS : 0;
	}
	return hooks;
}

unsigned instance_hooks(const struct instance *instance)
{
	__u32 zero = 0;
	__u64 word;

	if (bpf_map_lookup_elem(instance->maps[MAP_control], &zero, &word))
		return 0;
	return hooks_in_slots(instance, word);
}

unsigned image_hooks(const struct image *image)
{
	return 1u << HOOK_XDP | 1u << HOOK_EGRESS | (image->config.needs_ingress ? 1u << HOOK_INGRESS : 0) |
	       (image->config.needs_sockops ? 1u << HOOK_SOCKOPS : 0);
}

struct hook_slot {
	int map; /* of the hook's programs */
	__u32 slot;
	pthread_t thread;
	bool runs;
};

static void *hook_slot_empty(void *arg)
{
	const struct hook_slot *one = arg;

	bpf_map_delete_elem(one->map, &one->slot);
	return NULL;
}

/* The kernel waits for an RCU grace period with each that is taken out: together they wait for one. */
static void slot_empty(const struct instance *instance, __u32 slot)
{
	struct hook_slot all[HOOK_COUNT];

	for (int hook = HOOK_COUNT - 1; hook >= 0; hook--) {
		struct hook_slot *one = &all[hook];

		*one = (struct hook_slot){.map = instance->maps[slot_maps[hook]], .slot = slot};
		one->runs = hook && !pthread_create(&one->thread, NULL, hook_slot_empty, one);
		if (!one->runs)
			hook_slot_empty(one);
	}
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (all[hook].runs)
			pthread_join(all[hook].thread, NULL);
}

int slots_sweep(struct instance *instance, __u64 word)
{
	static const struct slot_info empty;
	bool waited = false;

	for (__u32 slot = 0; slot < GENERATION_SLOTS; slot++) {
		if (slot == CONTROL_ACTIVE(word) || slot == CONTROL_FALLBACK(word))
			continue;
		if (!slot_used(instance, slot))
			continue;
		slot_program_pin(instance, "recount", slot, -1);
		slot_program_pin(instance, "slow", slot, -1);
		if (!waited)
			wait_for_packets();
		waited = true;
		slot_empty(instance, slot);
		if (bpf_map_update_elem(instance->maps[MAP_slots], &slot, &empty, BPF_ANY))
			return -errno;
	}
	return 0;
}

static __u32 generation_in(const struct control_state *state, __u32 slot)
{
	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

/* Whoever first finds that a deadline has passed writes it down; the end of a pause is no change of policy. */
static void note_revert(struct instance *instance, __u64 found, const struct control_state *state)
{
	__u32 reverted = CONTROL_ACTIVE(found);
	json_t *more;

	if (reverted >= GENERATION_SLOTS)
		return;
	more = json_pack("{s:i, s:i, s:s}", "generation", (int)generation_in(state, state->active), "from",
			 (int)generation_in(state, reverted), "why",
			 "the kernel went back: nobody confirmed before the deadline");
	history_note(&instance->places, "reverted", more);
}

static int read_slots(struct instance *instance, struct control_state *state)
{
	for (__u32 slot = 0; slot < SLOT_COUNT; slot++) {
		if (bpf_map_lookup_elem(instance->maps[MAP_slots], &slot, &state->slots[slot])) {
			kernel_say("cannot read the slots in %s: %s", instance->base, strerror(errno));
			return -errno;
		}
		for (int hook = 0; hook < HOOK_COUNT; hook++)
			state->slot_holds[hook][slot] = slot_program(instance, hook, slot) != 0;
	}
	return 0;
}

static void take_word(struct control_state *state, const struct steer_request *request)
{
	state->active = CONTROL_ACTIVE(request->word);
	state->fallback = CONTROL_FALLBACK(request->word);
	state->remaining_ms = request->remaining_ms;
}

/* Asks steer, then reads the slots as they are under the word it answered. */
static int control_ask(struct instance *instance, struct steer_request *request, struct control_state *state)
{
	int result = steer(instance, request), error;

	memset(state, 0, sizeof(*state));
	take_word(state, request);
	state->reverted = request->reverted && CONTROL_ACTIVE(request->expected) != SLOT_PAUSED;
	error = read_slots(instance, state);
	if (!error && request->reverted)
		note_revert(instance, request->expected, state);
	if (instance->lock >= 0)
		slots_sweep(instance, request->word);
	return result ?: error;
}

int control_read(struct instance *instance, struct control_state *state)
{
	struct steer_request request = {.operation = STEER_READ};

	return control_ask(instance, &request, state);
}

static int control_do(struct instance *instance, __u32 operation)
{
	struct steer_request request = {.operation = operation};
	struct control_state state;

	return control_ask(instance, &request, &state);
}

int control_confirm(struct instance *instance)
{
	int error = control_do(instance, STEER_CONFIRM);

	if (error == -ENOENT)
		kernel_say("nothing is waiting to be confirmed");
	return error;
}

int control_fall_back(struct instance *instance)
{
	int error = control_do(instance, STEER_FALL_BACK);

	if (error == -ENOENT)
		kernel_say("nothing is waiting to be confirmed");
	return error;
}

/* Switches on the word as it is now; a deadline that passes in between makes steer refuse, and we look again. */
int control_switch(struct instance *instance, __u32 slot, __u64 timeout_ms)
{
	struct control_state state;
	int error = -EAGAIN;

	for (int attempt = 0; error == -EAGAIN && attempt < 8; attempt++) {
		struct steer_request request = {.operation = STEER_READ};

		error = steer(instance, &request);
		if (error)
			return error;
		request = (struct steer_request){
			.operation = STEER_SWITCH, .slot = slot, .timeout_ms = timeout_ms, .expected = request.word};
		error = control_ask(instance, &request, &state);
	}
	if (error)
		kernel_say("the control word kept changing under us: %s", strerror(-error));
	return error;
}

int control_pause(struct instance *instance, __u64 timeout_ms)
{
	struct control_state state;
	int error = control_read(instance, &state);

	if (error)
		return error;
	if (state.remaining_ms && state.active != SLOT_PAUSED) {
		kernel_say("generation %u waits to be confirmed: `bulwark confirm` or `bulwark rollback` first",
			   state.slots[state.active].generation);
		return -EBUSY;
	}
	if (slot_in_force(&state) == SLOT_NONE) {
		kernel_say("no policy is applied here, so there is nothing to pause");
		return -ENOENT;
	}
	return control_switch(instance, SLOT_PAUSED, timeout_ms);
}

int control_resume(struct instance *instance)
{
	struct control_state state;
	int error = control_read(instance, &state);

	if (error)
		return error;
	if (state.active != SLOT_PAUSED) {
		kernel_say("the shield is not paused");
		return -ENOENT;
	}
	return control_do(instance, STEER_FALL_BACK);
}
