/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Makes the history tell what the kernel did by itself. */
#include <errno.h>
#include <string.h>

#include "history.h"

/* The generation that the history believes to wait for its confirmation; 0: none. */
static unsigned believed_pending(const json_t *entries)
{
	static const char *const ends[] = {"applied", "rolled-back", "confirmed", "reverted", "down"};
	unsigned pending = 0;
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		const char *action = json_string_value(json_object_get(entry, "action"));

		for (size_t n = 0; action && n < sizeof(ends) / sizeof(*ends); n++)
			if (!strcmp(action, ends[n]))
				pending = 0;
		if (json_is_true(json_object_get(entry, "pending")))
			pending = json_integer_value(json_object_get(entry, "generation"));
	}
	return pending;
}

static unsigned generation_in(const struct control_state *state, __u32 slot)
{
	return slot < GENERATION_SLOTS ? state->slots[slot].generation : 0;
}

const char *history_missing(const json_t *entries, const struct control_state *state, json_t **more)
{
	unsigned pending = believed_pending(entries), live = generation_in(state, state->active);

	*more = NULL;
	if (!pending || (live == pending && state->remaining_ms))
		return NULL;
	if (state->active == SLOT_PAUSED)
		live = generation_in(state, state->fallback);
	if (live == pending) {
		*more = json_pack("{s:I, s:s}", "generation", (json_int_t)live, "why", "found live without a deadline");
		return "confirmed";
	}
	*more = json_pack("{s:I, s:I, s:s}", "generation", (json_int_t)live, "from", (json_int_t)pending, "why",
			  "not confirmed in time: the kernel went back by itself");
	return "reverted";
}

int history_settle(const struct places *places)
{
	char path[SAVED_PATH_MAX];
	struct control_state state;
	struct instance *instance;
	json_t *entries, *more;
	const char *action;
	int error;

	error = instance_open(places, OPEN_WRITE, &instance);
	if (error)
		return error;
	error = control_read(instance, &state);
	if (!error) {
		entries = lines_read(saved_path(places, 0, "history.jsonl", path));
		action = history_missing(entries, &state, &more);
		json_decref(entries);
		if (action)
			error = history_note(places, action, more);
		if (action && !error)
			error = 1;
	}
	instance_close(instance);
	return error;
}
